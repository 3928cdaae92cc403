//! A container in host mode and container names: it knows none, and has none.

use std::net::{IpAddr, Ipv4Addr};

use netcheck_probe::Protocol;

use crate::case::Case;
use crate::evidence::{Container, Mode, Status};
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "network-mode-host",
    title: "container names do not work in host mode",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

The container uses the host's network (`--network host`) and its environment or command line names
another container, which nothing there resolves; or another container names this one.

## Why it matters

Only the engine's embedded DNS knows container names, and it exists only on user-defined networks. In
host mode the container has the host's resolv.conf, so `db` is `could not resolve host`. The other
way round it has no name either: it is on no network.

## How to fix it

From host mode, use the port that the other container publishes on the host: `127.0.0.1:PORT`. If it
publishes none, publish it, or run this container on the other one's network instead of the host's.
Towards a container in host mode, use the host: `--add-host NAME:host-gateway`.

## When it is wrong

Programs that look names up by other means than hosts file and DNS (Consul, their own discovery) may
find it all the same.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.detail.mode != Mode::Host {
        return Verdict::NotApplicable;
    }
    let mut faults = Vec::new();
    let mut open = None;
    for reference in case.named_references() {
        let Some(other) = case
            .others_named(&reference.host)
            .into_iter()
            .find(|other| other.is_running() && !case.networks_of(other, "").is_empty())
        else {
            continue;
        };
        match case.resolution(&reference.host) {
            Ok(addresses) if addresses.is_empty() => faults.push(outwards(case, reference, other)),
            Ok(_) => {}
            Err(reason) => {
                open.get_or_insert(format!(
                    "whether `{}` resolves `{}`: {reason}",
                    case.name(),
                    reference.host
                ));
            }
        }
    }
    faults.extend(inwards(case));
    match open {
        Some(needs) if faults.is_empty() => Verdict::Unknown(needs),
        _ => Verdict::from_faults(faults),
    }
}

fn outwards(case: &Case<'_>, reference: &Reference, other: &Container) -> Fault {
    let name = case.name();
    let host = &reference.host;
    let mut fault = Fault::error(
        format!(
            "`{name}` is told to use `{host}`{}, but it runs in host mode, where container names \
             do not resolve",
            reference.place.aside()
        ),
        vec![
            Subject::container(name),
            Subject::container(&other.name),
            Subject::setting(&reference.place),
        ],
    )
    .proof(format!("Engine API: the network mode of `{name}` is host"))
    .proof(format!(
        "seen from `{name}`: `{host}`: {}",
        case.lookup_words(host)
            .unwrap_or_else(|| "nobody knows it".into())
    ));
    let published = on_host_loopback(reference, other);
    match published {
        Some((address, port)) => {
            fault = fault.proof(format!(
                "Engine API: `{}` publishes {port} on the host",
                other.name
            ));
            let to = match written_as(reference, address, port) {
                Some(to) => to,
                None => {
                    return fault.fix(Fix::new(
                        format!(
                            "Make `{name}` use host {address} and port {port}, where `{}` is \
                             published",
                            other.name
                        ),
                        Vec::new(),
                    ));
                }
            };
            let (recreate, edit) = case.point_at(reference, &to);
            fault.fix(recreate.fix(
                &format!("Use the port that `{}` publishes on the host", other.name),
                &edit,
            ))
        }
        None => {
            let network = case
                .networks_of(other, host)
                .into_iter()
                .find(|network| network.has_dns());
            if let Some(network) = network {
                fault = fault.fix(case.recreate().join(&network.name).fix(
                    &format!(
                        "Run `{name}` on `{}`, the network of `{}`, instead of the host's",
                        network.name, other.name
                    ),
                    &format!(
                        "put it on the network `{}` instead of `network_mode: host`",
                        network.name
                    ),
                ));
            }
            let port = reference.certain_port().map_or_else(String::new, |port| {
                format!(" (`-p 127.0.0.1:{port}:{port}`)")
            });
            fault.fix(Fix::new(
                format!(
                    "Keep host mode: publish the port of `{}` on the host{port} and use 127.0.0.1 \
                     in {}",
                    other.name, reference.place
                ),
                Vec::new(),
            ))
        }
    }
}

/// Where the host's loopback leads to the port that is meant.
fn on_host_loopback(reference: &Reference, other: &Container) -> Option<(IpAddr, u16)> {
    let wanted = reference.certain_port()?;
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    other
        .published
        .iter()
        .filter(|binding| {
            binding.container.number == wanted && binding.container.protocol == Protocol::Tcp
        })
        .filter_map(|binding| {
            let bound = binding.host_address?;
            let reaches = bound == loopback || (bound.is_ipv4() && bound.is_unspecified());
            reaches.then_some((loopback, binding.host_port?))
        })
        .next()
}

/// What to write instead of the reference's host and port; none where the port stands elsewhere and
/// is another.
fn written_as(reference: &Reference, address: IpAddr, port: u16) -> Option<String> {
    let port_is_written = reference.written != reference.host;
    if port_is_written || reference.scheme.is_some() {
        return Some(format!("{address}:{port}"));
    }
    (reference.certain_port() == Some(port)).then(|| address.to_string())
}

/// Others that use the subject's name, which nobody can know.
fn inwards(case: &Case<'_>) -> Vec<Fault> {
    let name = case.name();
    let is_subject = |host: &str| {
        let host = host.trim_end_matches('.');
        let known = |known: &str| known.eq_ignore_ascii_case(host);
        known(name)
            || case
                .subject
                .compose
                .get("service")
                .is_some_and(|s| known(s))
    };
    let mut faults = Vec::new();
    for other in &case.evidence.containers {
        let Some(detail) = other.detail() else {
            continue;
        };
        if other.id == case.subject.id
            || other.status != Status::Running
            || detail.mode != Mode::Networks
        {
            continue;
        }
        for reference in &detail.references {
            let host = &reference.host;
            // A service name means the subject only within its project.
            let same_project = other.compose.get("project") == case.subject.compose.get("project");
            let meant = host.eq_ignore_ascii_case(name) || (is_subject(host) && same_project);
            let known = detail
                .extra_hosts
                .iter()
                .any(|line| line.name.eq_ignore_ascii_case(host));
            let another = case
                .named(host)
                .iter()
                .any(|named| named.id != case.subject.id && named.is_running());
            if !meant || known || another {
                continue;
            }
            let Some(recreate) = case.recreate_other(other) else {
                continue;
            };
            faults.push(
                Fault::error(
                    format!(
                        "`{}` is told to use `{host}` ({}), but `{name}` runs in host mode and has \
                         no name on any network",
                        other.name, reference.place
                    ),
                    vec![
                        Subject::container(name),
                        Subject::container(&other.name),
                        Subject::setting(&reference.place),
                    ],
                )
                .proof(format!("Engine API: the network mode of `{name}` is host"))
                .proof(format!(
                    "{} of `{}` is {}",
                    reference.place, other.name, reference.shown
                ))
                .fix(recreate.add_host(host, "host-gateway").fix(
                    &format!("Let `{host}` mean the host in `{}`", other.name),
                    &format!("add `{host}:host-gateway` to `extra_hosts`"),
                )),
            );
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Mode};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, fix_texts, not_applicable, passes, tcp,
        unknown, world,
    };

    fn app(env: &[&str]) -> Container {
        container("app").alone().mode(Mode::Host).env(env)
    }

    const PROBLEM: &str = "`app` is told to use `mysql-db` (DB_URL), but it runs in host mode, where \
                           container names do not resolve";

    #[test]
    fn the_published_port_takes_the_place_of_the_name() {
        let db = container("mysql-db").publishes(binding("0.0.0.0", 13306, tcp(3306)));
        let evidence = world(app(&["DB_URL=mysql://mysql-db:3306/some"]))
            .and(db)
            .resolves("mysql-db", &[]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let commands = commands(&RULE, &evidence);
        assert!(
            commands
                .iter()
                .any(|command| command.contains("--network host")
                    && command.contains("-e DB_URL=mysql://127.0.0.1:13306/some")),
            "{commands:?}"
        );
    }

    #[test]
    fn without_a_published_port_it_goes_to_the_network() {
        let evidence = world(app(&["DB_URL=mysql://mysql-db:3306/some"]))
            .and(container("mysql-db"))
            .resolves("mysql-db", &[]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let commands = commands(&RULE, &evidence);
        assert!(
            commands
                .iter()
                .any(|command| command.contains("--network my_network")),
            "{commands:?}"
        );
    }

    #[test]
    fn a_port_in_another_variable_is_left_to_the_reader() {
        let db = container("mysql-db").publishes(binding("127.0.0.1", 13306, tcp(3306)));
        let evidence = world(app(&["DB_HOST=mysql-db", "DB_PORT=3306"]))
            .and(db)
            .resolves("mysql-db", &[]);
        assert_eq!(
            fix_texts(&RULE, &evidence),
            ["Make `app` use host 127.0.0.1 and port 13306, where `mysql-db` is published"]
        );
    }

    #[test]
    fn another_container_cannot_find_a_host_mode_one_by_name() {
        let web = container("web").alone().mode(Mode::Host);
        let client = container("client").env(&["API_URL=http://web:8080/"]);
        let evidence = world(web).and(client);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`client` is told to use `web` (API_URL), but `web` runs in host mode and has no name \
                 on any network",
            ),
        );
        let commands = commands(&RULE, &evidence);
        assert!(
            commands
                .iter()
                .any(|command| command.contains("--add-host web:host-gateway")),
            "{commands:?}"
        );
    }

    #[test]
    fn healthy_host_mode_is_silent() {
        let evidence = world(app(&["DB_URL=mysql://127.0.0.1:3306/some"])).and(container("other"));
        check_rule(&RULE, &evidence, passes());
        let known = world(app(&["DB_URL=mysql://mysql-db:3306/some"]))
            .and(container("mysql-db"))
            .resolves("mysql-db", &["10.0.0.7"]);
        check_rule(&RULE, &known, passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }

    #[test]
    fn without_a_look_from_inside_it_stays_open() {
        let evidence =
            world(app(&["DB_URL=mysql://mysql-db:3306/some"])).and(container("mysql-db"));
        check_rule(
            &RULE,
            &evidence,
            unknown("whether `app` resolves `mysql-db`"),
        );
    }
}
