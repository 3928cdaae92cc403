//! The container did not start, because its host port belongs to somebody else.

use std::net::SocketAddr;

use crate::case::Case;
use crate::evidence::{Binding, Container, Status};
use crate::recreate::Recreate;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use crate::start_error::StartError;

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
    let at = match StartError::read(&case.detail.state.error) {
        Some(StartError::PortAllocated(at) | StartError::PortInUse(at)) => at,
        _ => return Verdict::Pass,
    };
    Verdict::from_faults(vec![fault(case, at)])
}

fn fault(case: &Case<'_>, at: SocketAddr) -> Fault {
    let name = case.name();
    let holder = holder(case, at.port());
    let process = case
        .host_listens(at.port())
        .is_some_and(|addresses| !addresses.is_empty());
    let (problem, who) = match holder {
        Some(holder) => (
            format!(
                "`{name}` could not start: port {} of the host is published by `{}`",
                at.port(),
                holder.name
            ),
            vec![Subject::container(name), Subject::container(&holder.name)],
        ),
        None => (
            format!(
                "`{name}` could not start: port {} of the host was taken{}",
                at.port(),
                if process {
                    ", by a process of the host"
                } else {
                    ""
                }
            ),
            vec![Subject::container(name)],
        ),
    };
    let mut fault = Fault::error(problem, who).proof(format!(
        "the engine's last error: {}",
        crate::redact::text(&case.detail.state.error)
    ));
    if let Some(holder) = holder {
        fault = fault.proof(format!(
            "Engine API: `{}` runs and publishes port {}",
            holder.name,
            at.port()
        ));
    } else if process {
        fault = fault.proof(format!(
            "seen from the engine's host: something listens on port {}",
            at.port()
        ));
    }
    if let Some(fix) = elsewhere(case, at.port()) {
        fault = fault.fix(fix);
    }
    let start = shell::command(["docker", "start", name]);
    fault.fix(match holder {
        Some(holder) => Fix::new(
            format!("If `{}` does not need it, stop that and start `{name}`", holder.name),
            vec![shell::command(["docker", "stop", &holder.name]), start],
        ),
        None => Fix::new(
            format!(
                "See who has it with `sudo ss -ltnup 'sport = :{}'` on the engine's host, end that, and \
                 `docker start {name}`",
                at.port()
            ),
            Vec::new(),
        ),
    })
}

/// A running container that publishes this port of the host.
fn holder<'a>(case: &Case<'a>, port: u16) -> Option<&'a Container> {
    case.evidence.containers.iter().find(|other| {
        let has = |binding: &Binding| binding.host_port == Some(port);
        other.id != case.subject.id && other.is_running() && other.published.iter().any(has)
    })
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
        world,
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
