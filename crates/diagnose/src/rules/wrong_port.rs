//! Somebody asks for a port that the container does not serve, while it serves others.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::evidence::{Mode, Port};
use crate::report::{Fix, Subject};
use crate::request::place;
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "wrong-port",
    title: "nothing listens on that port, but on others",
    check: Check::Listening,
    explained_by: &[
        "container-starting",
        "shared-namespace-dead",
        "host-port-used-between-containers",
        "stale-container-address",
        "hosts-file-overrides-dns",
    ],
    docs: "\
## What it checks

You asked whether one container reaches a port of another one. That one's network namespace holds
listening sockets, and none of them is on this port with this protocol.

## Why it matters

The packet arrives, and the kernel answers at once that nobody is there: `connection refused`, for UDP
an ICMP message. No firewall and no network setting changes that. Usual reasons: the port of another
version or of the documentation, the host's port, or one of two services in the container that did not
start. TCP where the service speaks UDP is `transport-mismatch`.

## How to fix it

Connect to a port that is open there. If the port is right, `docker logs --tail 50 NAME` shows why the
program does not open it.

## When it is wrong

A program that opens its port only now and then, such as the data port of passive FTP.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(asked) = case.asked else {
        return Verdict::NotApplicable;
    };
    if case.detail.mode == Mode::Host {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let (services, listeners) = match (case.services(), case.listeners()) {
        (Ok(services), Ok(listeners)) => (services, listeners),
        (Err(why), _) | (_, Err(why)) => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
    };
    let port = asked.port;
    // With no service at all it is no wrong port; nor where the number is right, and the protocol is not.
    if services.is_empty()
        || listeners.iter().any(|listener| listener.port == port)
        || case.asked_by_the_other_protocol(&listeners).is_some()
    {
        return Verdict::Pass;
    }
    let open: BTreeSet<Port> = services
        .iter()
        .filter(|service| service.is_reachable())
        .map(|service| service.port)
        .collect();
    let all: BTreeSet<Port> = services.iter().map(|service| service.port).collect();
    let problem = format!(
        "nothing listens on {port} in `{name}`; what listens there is on {}",
        words(&all)
    );
    let mut fault = Fault::error(
        problem,
        vec![
            Subject::container(name),
            Subject::container(&asked.from.name),
            Subject::port(port),
        ],
    )
    .proof(case.sockets_seen(&listeners))
    .proofs(asked.connections());
    if !open.is_empty() {
        let instead: Vec<String> = open
            .iter()
            .map(|open| {
                let other = if open.protocol == port.protocol {
                    String::new()
                } else {
                    format!(" by {}", open.protocol.as_str())
                };
                format!("`{}`{other}", place(&asked.target.host, open.number))
            })
            .collect();
        fault = fault.fix(Fix::new(
            format!("Use what is open there: {}", instead.join(" or ")),
            Vec::new(),
        ));
    }
    Verdict::Fail(vec![fault.fix(Fix::new(
        format!("If {port} is right, see why `{name}` does not open it"),
        vec![shell::command(["docker", "logs", "--tail", "50", name])],
    ))])
}

fn words(ports: &BTreeSet<Port>) -> String {
    let words: Vec<String> = ports.iter().map(ToString::to_string).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Protocol, Question};

    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::request::Target;
    use crate::rule::Verdict;
    use crate::rules::testing::{container, id_of, ip, snapshot, socket, world};

    fn pair(port: u16, protocol: Protocol, sockets: &[(Protocol, &str)]) -> Evidence {
        let mut evidence = world(container("app")).and(container("db").on("my_network", "172.18.0.3"));
        evidence.request.target = Some(Target {
            container: Some(id_of("db")),
            ..Target::new("db", port, protocol)
        });
        let seen = netcheck_probe::Snapshot {
            sockets: Ok(sockets.iter().map(|(p, at)| socket(*p, at)).collect()),
            ..snapshot()
        };
        evidence
            .answered(
                Question::Connect {
                    to: (ip("172.18.0.3"), port).into(),
                    listen_ms: 1,
                },
                Answer::Connect(Connected::Failed {
                    errno: Errno::Refused,
                    took_ms: 0,
                }),
            )
            .answered_from(
                Viewpoint::Container(id_of("db")),
                Question::Snapshot,
                Answer::Snapshot(seen),
            )
    }

    fn judged(evidence: &Evidence) -> Verdict {
        (RULE.judge)(&Case::target(evidence).unwrap())
    }

    #[test]
    fn another_port_is_open() {
        let evidence = pair(
            3306,
            Protocol::Tcp,
            &[
                (Protocol::Tcp, "0.0.0.0:8080"),
                (Protocol::Tcp, "127.0.0.1:9000"),
                (Protocol::Tcp, "127.0.0.11:40000"),
            ],
        );
        let Verdict::Fail(faults) = judged(&evidence) else {
            panic!("no fault");
        };
        assert_eq!(
            faults[0].problem,
            "nothing listens on 3306/tcp in `db`; what listens there is on 8080/tcp, 9000/tcp"
        );
        assert_eq!(faults[0].fixes[0].text, "Use what is open there: `db:8080`");
        assert_eq!(
            faults[0].evidence[1],
            "seen from `app`: 172.18.0.3:3306: connection refused after 0 ms"
        );
    }

    #[test]
    fn the_other_protocol_of_that_number_is_for_another_rule() {
        let evidence = pair(53, Protocol::Tcp, &[(Protocol::Udp, "0.0.0.0:53")]);
        assert_eq!(judged(&evidence), Verdict::Pass);
        // Of another number it is what there is.
        let evidence = pair(80, Protocol::Tcp, &[(Protocol::Udp, "0.0.0.0:53")]);
        let Verdict::Fail(faults) = judged(&evidence) else {
            panic!("no fault");
        };
        assert_eq!(faults[0].fixes[0].text, "Use what is open there: `db:53` by udp");
    }

    #[test]
    fn silent_where_it_listens_or_nothing_does_or_nobody_asks() {
        let right = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "127.0.0.1:80")]);
        assert_eq!(judged(&right), Verdict::Pass);
        assert_eq!(judged(&pair(80, Protocol::Tcp, &[])), Verdict::Pass);
        let alone = world(container("db"));
        let case = Case::new(&alone).unwrap();
        assert_eq!((RULE.judge)(&case), Verdict::NotApplicable);
    }

    #[test]
    fn without_a_look_inside_it_stays_open() {
        let mut evidence = pair(80, Protocol::Tcp, &[]);
        evidence.visits.clear();
        assert!(matches!(judged(&evidence), Verdict::Unknown(why) if why.contains("`db`: no look")));
    }
}
