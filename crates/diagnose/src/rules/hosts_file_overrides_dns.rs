//! A line in /etc/hosts gives a container's name another address than DNS does.

use std::net::IpAddr;

use crate::case::{Case, endpoint_names, list};
use crate::evidence::Container;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "hosts-file-overrides-dns",
    title: "/etc/hosts gives a container's name another address",
    check: Check::Name,
    explained_by: &[],
    docs: "\
## What it checks

The container's /etc/hosts has a line for a name that another container carries on one of its
networks, and the line's address is not that container's.

## Why it matters

Programs read /etc/hosts before they ask DNS. The name leads to a stale or wrong address, while
`nslookup`, which asks DNS only, shows the right one.

## How to fix it

Make the container again without the line: no `--add-host NAME:…`, no `extra_hosts` in the Compose
file. A line that an entrypoint script of the image writes has to go from there.

## When it is wrong

The line may lead the name elsewhere on purpose, e.g. to a proxy or a test server.
",
    judge,
};

/// A line: the name and where it leads.
struct Line<'a> {
    name: &'a str,
    address: IpAddr,
}

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let neighbours: Vec<&Container> = case
        .evidence
        .containers
        .iter()
        .filter(|other| other.id != case.subject.id && other.is_running())
        .filter(|other| {
            case.shared_networks(other)
                .iter()
                .any(|network| network.has_dns())
        })
        .collect();
    if neighbours.is_empty() {
        return Verdict::NotApplicable;
    }
    let seen = case
        .snapshot()
        .and_then(|snapshot| snapshot.hosts.as_ref().map_err(Clone::clone));
    let wished = case.detail.extra_hosts.iter().filter_map(|line| {
        Some(Line {
            name: &line.name,
            address: line.address.parse().ok()?,
        })
    });
    let (lines, unread): (Vec<Line<'_>>, _) = match seen {
        Ok(hosts) => (
            hosts
                .iter()
                .flat_map(|entry| {
                    entry.names.iter().map(|name| Line {
                        name,
                        address: entry.address,
                    })
                })
                .collect(),
            None,
        ),
        Err(reason) => (wished.collect(), Some(reason)),
    };
    let mut done: Vec<&str> = Vec::new();
    let mut faults = Vec::new();
    for line in &lines {
        if is_own(case, line) || done.iter().any(|name| name.eq_ignore_ascii_case(line.name)) {
            continue;
        }
        done.push(line.name);
        let owners: Vec<&Container> = neighbours
            .iter()
            .copied()
            .filter(|other| carries(case, other, line.name))
            .collect();
        let right: Vec<IpAddr> = owners
            .iter()
            .flat_map(|owner| &owner.endpoints)
            .flat_map(|endpoint| &endpoint.addresses)
            .copied()
            .collect();
        let all: Vec<IpAddr> = lines
            .iter()
            .filter(|other| other.name.eq_ignore_ascii_case(line.name))
            .map(|other| other.address)
            .collect();
        if let Some(owner) = owners.first()
            && !right.is_empty()
            && !all.iter().any(|address| right.contains(address))
        {
            faults.push(fault(case, line, owner, &right, unread.is_none()));
        }
    }
    match unread {
        Some(reason) if faults.is_empty() => {
            Verdict::Unknown(format!("the /etc/hosts of `{}`: {reason}", case.name()))
        }
        _ => Verdict::from_faults(faults),
    }
}

/// The lines that the engine writes for the container itself, and those of every hosts file.
fn is_own(case: &Case<'_>, line: &Line<'_>) -> bool {
    let is = |name: &str| name.eq_ignore_ascii_case(line.name);
    case.subject.has_address(line.address)
        || is(case.name())
        || is(&case.detail.hostname)
        || line.name.to_ascii_lowercase().contains("localhost")
        || case
            .subject
            .endpoints
            .iter()
            .any(|endpoint| endpoint_names(case.subject, endpoint).into_iter().any(is))
}

fn carries(case: &Case<'_>, other: &Container, name: &str) -> bool {
    case.shared_networks(other)
        .into_iter()
        .filter(|network| network.has_dns())
        .filter_map(|network| other.endpoint(&network.id))
        .any(|endpoint| {
            endpoint_names(other, endpoint)
                .into_iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        })
}

fn fault(
    case: &Case<'_>,
    line: &Line<'_>,
    owner: &Container,
    right: &[IpAddr],
    was_seen: bool,
) -> Fault {
    let name = case.name();
    let word = line.name;
    let fault = Fault::error(
        format!(
            "in `{name}`, /etc/hosts leads `{word}` to {}, but `{}` has {}",
            line.address,
            owner.name,
            list(right)
        ),
        vec![
            Subject::container(name),
            Subject::container(&owner.name),
            Subject::address(word),
        ],
    )
    .proof(if was_seen {
        format!(
            "seen from `{name}`: /etc/hosts has `{} {word}`",
            line.address
        )
    } else {
        format!(
            "Engine API: `{name}` was made with `--add-host {word}:{}`",
            line.address
        )
    })
    .proof(format!("Engine API: `{}` has {}", owner.name, list(right)));
    let by_flag = case
        .detail
        .extra_hosts
        .iter()
        .any(|wish| wish.name.eq_ignore_ascii_case(word));
    if by_flag {
        return fault.fix(case.recreate().drop_host(word).fix(
            &format!("Take the line for `{word}` out, so that DNS is asked"),
            &format!("take `{word}` out of `extra_hosts`"),
        ));
    }
    fault.fix(Fix::new(
        format!(
            "Take the line for `{word}` out of /etc/hosts of `{name}`: the engine was not told to write \
             it, so look in the image's entrypoint or for a `--link`, and restart the container then"
        ),
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{HostsEntry, Snapshot};

    use super::RULE;
    use crate::evidence::{Container, HostsLine};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes, snapshot,
        unknown, world,
    };

    fn db() -> Container {
        container("db").on("my_network", "172.18.0.2")
    }

    fn app_with(name: &str, address: &str) -> Container {
        let mut app = container("app");
        app.detail_mut().extra_hosts.push(HostsLine {
            name: name.into(),
            address: address.into(),
        });
        app
    }

    fn hosts(lines: &[(&str, &str)]) -> Snapshot {
        Snapshot {
            hosts: Ok(lines
                .iter()
                .map(|(address, name)| HostsEntry {
                    address: ip(address),
                    names: vec![(*name).into()],
                })
                .collect()),
            ..snapshot()
        }
    }

    const PROBLEM: &str = "in `app`, /etc/hosts leads `db` to 127.0.0.9, but `db` has 172.18.0.2";

    #[test]
    fn a_wrong_line_of_add_host() {
        let evidence = world(app_with("db", "127.0.0.9"))
            .and(db())
            .sees(hosts(&[("127.0.0.9", "db")]));
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let commands = commands(&RULE, &evidence);
        assert!(commands.iter().all(|line| !line.contains("--add-host")));
        let unseen = world(app_with("db", "127.0.0.9")).and(db());
        check_rule(&RULE, &unseen, fails(PROBLEM));
    }

    #[test]
    fn a_wrong_line_that_nobody_asked_for() {
        let evidence = world(container("app"))
            .and(db())
            .sees(hosts(&[("127.0.0.9", "db")]));
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert!(fix_texts(&RULE, &evidence)[0].contains("entrypoint"));
    }

    #[test]
    fn right_own_and_foreign_lines_are_silent() {
        let evidence = world(container("app")).and(db()).sees(hosts(&[
            ("172.18.0.2", "db"),
            ("172.18.0.9", "app"),
            ("127.0.0.1", "localhost"),
            ("::1", "ip6-localhost"),
            ("10.0.0.1", "printer"),
        ]));
        check_rule(&RULE, &evidence, passes());
        check_rule(
            &RULE,
            &world(container("app")).sees(hosts(&[("127.0.0.9", "db")])),
            not_applicable(),
        );
    }

    #[test]
    fn an_unread_file_stays_open_where_there_are_others() {
        let evidence = world(container("app")).and(db());
        check_rule(&RULE, &evidence, unknown("the /etc/hosts of `app`"));
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
