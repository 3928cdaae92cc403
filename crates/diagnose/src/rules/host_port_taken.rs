//! The container did not start, because its host port belongs to somebody else.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::Protocol;

use crate::case::Case;
use crate::evidence::{Binding, Container, Status};
use crate::recreate::Recreate;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-port-taken",
    title: "the host port it publishes belongs to somebody else",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's last error about a container that does not run: `port is already allocated`, or `address
already in use` for a port of the host. Who has the port is looked up among the published ports of
other containers, and among the listeners of the host where the host was seen.

## Why it matters

A port of the host belongs to one socket. The container was made, but it does not run; a port that is
published on 127.0.0.1 and one on 0.0.0.0 exclude each other too.

## How to fix it

Publish another port of the host (`-p 8081:80`), or stop who has it and start the container.

## When it is wrong

The error is of the last attempt. Whoever had the port then may have ended meanwhile: then starting
the container is all that is needed.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !matches!(case.subject.status, Status::Created | Status::Exited) {
        return Verdict::NotApplicable;
    }
    let Some(at) = case.refused_host_port() else {
        return Verdict::Pass;
    };
    Verdict::from_faults(vec![fault(case, at)])
}

fn fault(case: &Case<'_>, at: SocketAddr) -> Fault {
    let (name, port) = (case.name(), at.port());
    let protocols = protocols(case, port);
    let start = shell::command(["docker", "start", name]);
    let error = format!(
        "the engine's last error: {}",
        crate::redact::text(&case.detail.state.error)
    );
    let was_taken = format!("`{name}` could not start: port {port} of the host was taken");
    let alone = vec![Subject::container(name)];
    let sees = match protocols.as_slice() {
        [Protocol::Udp] => "-lnup",
        [Protocol::Tcp] => "-ltnp",
        _ => "-ltnup",
    };
    let look = Fix::new(
        format!(
            "See who has it with `sudo ss {sees} 'sport = :{port}'` on the engine's host, end that, and \
             `docker start {name}`"
        ),
        Vec::new(),
    );
    if let Some(holder) = holder(case, at, &protocols) {
        Fault::error(
            format!(
                "`{name}` could not start: port {port} of the host is published by `{}`",
                holder.name
            ),
            vec![Subject::container(name), Subject::container(&holder.name)],
        )
        .proof(error)
        .proof(format!(
            "Engine API: `{}` runs and publishes port {port}",
            holder.name
        ))
        .fixes(elsewhere(case, port))
        .fix(Fix::new(
            format!("If `{}` does not need it, stop that and start `{name}`", holder.name),
            vec![shell::command(["docker", "stop", &holder.name]), start],
        ))
    } else {
        match host_has(case, at, &protocols) {
            Some(true) => Fault::error(format!("{was_taken}, by a process of the host"), alone)
                .proof(error)
                .proof(format!(
                    "seen from the engine's host: something listens on port {port}"
                ))
                .fixes(elsewhere(case, port))
                .fix(look),
            Some(false) => Fault::error(format!("{was_taken}; it is free now"), alone)
                .proof(error)
                .proof(format!(
                    "seen from the engine's host: nothing listens on port {port} now"
                ))
                .fix(Fix::new("Start it", vec![start]))
                .fixes(elsewhere(case, port)),
            None => Fault::error(was_taken, alone)
                .proof(error)
                .fixes(elsewhere(case, port))
                .fix(look),
        }
    }
}

/// The protocols in which the container wants this port of the host; both, where it is not known
/// which: then nothing that may have it is passed over.
fn protocols(case: &Case<'_>, port: u16) -> Vec<Protocol> {
    let wanted = case.detail.wanted.iter();
    let mut protocols: Vec<Protocol> = wanted
        .filter(|binding| binding.host_port == Some(port))
        .map(|binding| binding.container.protocol)
        .collect();
    if protocols.is_empty() {
        protocols = vec![Protocol::Tcp, Protocol::Udp];
    }
    protocols
}

/// A running container whose published port excludes this one.
fn holder<'a>(
    case: &Case<'a>,
    at: SocketAddr,
    protocols: &[Protocol],
) -> Option<&'a Container> {
    case.evidence.containers.iter().find(|other| {
        let has = |binding: &Binding| {
            binding.host_port == Some(at.port())
                && binding.host_address.is_none_or(|ip| exclude(ip, at.ip()))
                && protocols.contains(&binding.container.protocol)
        };
        other.id != case.subject.id && other.is_running() && other.published.iter().any(has)
    })
}

/// Whether anything on the engine's host has this port, if the host was seen.
fn host_has(case: &Case<'_>, at: SocketAddr, protocols: &[Protocol]) -> Option<bool> {
    let sockets = case.host_snapshot()?.sockets.as_ref().ok()?;
    Some(sockets.iter().any(|socket| {
        socket.local.port() == at.port()
            && exclude(socket.local.ip(), at.ip())
            && protocols.contains(&socket.protocol)
    }))
}

/// Whether two sockets of one port, on these addresses, exclude each other: bind(2) lets a port be
/// had once on each address, and whoever has it on all of them has it on each.
fn exclude(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

/// The same container with a port of the host that the engine chooses.
fn elsewhere(case: &Case<'_>, port: u16) -> Option<Fix> {
    let old = case
        .detail
        .wanted
        .iter()
        .find(|binding| binding.host_port == Some(port))?;
    let new = Binding {
        host_port: None,
        ..*old
    };
    let recreate = Recreate::of(case.subject, case.detail, &case.evidence.containers);
    Some(recreate.replace_binding(old, new).fix(
        "Publish a port of the host that is free (`docker port` tells which)",
        &format!("give another host port than {port}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Status};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, fix_texts, not_applicable, passes, tcp,
        udp, world,
    };

    fn refused(error: &str) -> Container {
        let mut web = container("web").status(Status::Created);
        web.detail_mut().state.error = error.into();
        web.detail_mut().wanted = vec![binding("0.0.0.0", 8080, tcp(80))];
        web
    }

    const BY_A_CONTAINER: &str = "driver failed programming external connectivity on endpoint web: \
                                  Bind for 0.0.0.0:8080 failed: port is already allocated";

    #[test]
    fn a_container_that_has_the_port_is_named() {
        let other = container("shop").publishes(binding("0.0.0.0", 8080, tcp(80)));
        let evidence = world(refused(BY_A_CONTAINER)).and(other);
        check_rule(
            &RULE,
            &evidence,
            fails("`web` could not start: port 8080 of the host is published by `shop`"),
        );
        let commands = commands(&RULE, &evidence);
        assert!(
            commands
                .iter()
                .any(|line| line.starts_with("docker run") && line.contains("0.0.0.0::80")),
            "{commands:?}"
        );
        assert!(commands.contains(&"docker stop shop".to_owned()));
    }

    #[test]
    fn who_has_it_may_be_unknown() {
        let evidence = world(refused(
            "listen tcp4 0.0.0.0:8080: bind: address already in use",
        ));
        check_rule(
            &RULE,
            &evidence,
            fails("`web` could not start: port 8080 of the host was taken"),
        );
        assert!(fix_texts(&RULE, &evidence)[1].contains("sport = :8080"));
    }

    #[test]
    fn a_neighbour_of_another_protocol_or_address_has_not_taken_it() {
        let dns = container("dns").publishes(binding("0.0.0.0", 8080, udp(80)));
        let admin = container("admin").publishes(binding("127.0.0.2", 8080, tcp(80)));
        let error = "listen tcp4 127.0.0.1:8080: bind: address already in use";
        check_rule(
            &RULE,
            &world(refused(error)).and(dns).and(admin),
            fails("`web` could not start: port 8080 of the host was taken"),
        );
    }

    #[test]
    fn a_process_of_the_host_is_told_from_nobody() {
        let error = "listen tcp4 0.0.0.0:8080: bind: address already in use";
        let at = |local: &str| world(refused(error)).host_listens(&[local]);
        check_rule(
            &RULE,
            &at("127.0.0.1:8080"),
            fails(
                "`web` could not start: port 8080 of the host was taken, by a process of the host",
            ),
        );
        let free = at("0.0.0.0:9090");
        check_rule(
            &RULE,
            &free,
            fails("`web` could not start: port 8080 of the host was taken; it is free now"),
        );
        assert_eq!(commands(&RULE, &free)[0], "docker start web");
    }

    #[test]
    fn other_errors_and_running_containers_are_silent() {
        check_rule(
            &RULE,
            &world(refused("no such file or directory")),
            passes(),
        );
        check_rule(&RULE, &world(refused("Address already in use")), passes());
        let mut running = container("web");
        running.detail_mut().state.error = BY_A_CONTAINER.into();
        check_rule(&RULE, &world(running), not_applicable());
    }
}
