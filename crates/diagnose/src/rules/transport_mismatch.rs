//! Somebody asks by TCP for what the container serves by UDP, or the other way round.

use netcheck_probe::Protocol;

use crate::case::Case;
use crate::evidence::Mode;
use crate::report::{Fix, Subject};
use crate::request::Target;
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "transport-mismatch",
    title: "the port is open for the other protocol only",
    check: Check::Listening,
    explained_by: &[
        "container-starting",
        "shared-namespace-dead",
        "stale-container-address",
        "hosts-file-overrides-dns",
    ],
    docs: "\
## What it checks

You asked whether one container reaches a port of another one by TCP (or by UDP, with `/udp`). No socket of
that one has this port for the protocol that you asked for, and one has it for the other protocol.

## Why it matters

A port of TCP and a port of UDP with the same number have nothing to do with each other. DNS, syslog, StatsD,
WireGuard and game servers speak UDP; a TCP connection to them is refused at once, and they look dead to
`nc`, `telnet` and every check that only knows TCP. The other way round a datagram to a TCP port is answered
with an ICMP message that many programs never show.

## How to fix it

Use the protocol that the service speaks: `NAME:5353/udp`. Where the port is published, publish it for that
protocol too: `-p 5353:5353/udp`.

## When it is wrong

The service is meant to speak both, as DNS does, and only one of its two sockets is there. Then
`docker logs --tail 50 NAME` tells why it did not open the other.
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
    let listeners = match case.listeners() {
        Ok(listeners) => listeners,
        Err(why) => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
    };
    let Some(there) = case.asked_by_the_other_protocol(&listeners) else {
        return Verdict::Pass;
    };
    let (port, open) = (asked.port, there.port);
    let (wrong, right) = (port.protocol.as_str(), open.protocol.as_str());
    let owner = there
        .owner
        .as_ref()
        .map_or_else(String::new, |process| format!(", held by `{}`", process.name));
    let right_place = Target {
        port: open.number,
        protocol: open.protocol,
        ..asked.target.clone()
    };
    let meant = match open.protocol {
        Protocol::Udp => "a datagram service, which no TCP client reaches",
        Protocol::Tcp => "a TCP service, which takes no datagrams",
    };
    Verdict::Fail(vec![
        Fault::error(
            format!(
                "`{}` asks `{name}` for port {} by {wrong}, and it is open there by {right} only",
                asked.from.name, port.number
            ),
            vec![
                Subject::container(name),
                Subject::container(&asked.from.name),
                Subject::port(port),
            ],
        )
        .proof(format!(
            "seen from `{name}`: {right} {} is open{owner}, and no {wrong} socket has port {}",
            there.local, port.number
        ))
        .proofs(asked.connections())
        .fix(Fix::new(
            format!("Use it by {right}, as `{right_place}`: it is {meant}"),
            Vec::new(),
        ))
        .fix(Fix::new(
            format!("If {port} is right, see why `{name}` does not open it"),
            vec![shell::command(["docker", "logs", "--tail", "50", name])],
        )),
    ])
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Delivered, Errno, Protocol, Question};

    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::request::Target;
    use crate::rule::Verdict;
    use crate::rules::testing::{container, id_of, ip, snapshot, socket, world};
    use crate::rules::{nothing_listens, wrong_port};

    fn pair(port: u16, protocol: Protocol, sockets: &[(Protocol, &str)]) -> Evidence {
        let mut evidence = world(container("app")).and(container("dns").on("my_network", "172.18.0.3"));
        evidence.request.target = Some(Target {
            container: Some(id_of("dns")),
            ..Target::new("dns", port, protocol)
        });
        let seen = netcheck_probe::Snapshot {
            sockets: Ok(sockets.iter().map(|(p, at)| socket(*p, at)).collect()),
            ..snapshot()
        };
        let to = (ip("172.18.0.3"), port).into();
        let (question, answer) = match protocol {
            Protocol::Tcp => (
                Question::Connect { to, listen_ms: 1 },
                Answer::Connect(Connected::Failed {
                    errno: Errno::Refused,
                    took_ms: 0,
                }),
            ),
            Protocol::Udp => (
                Question::Datagram { to, wait_ms: 200 },
                Answer::Datagram(Delivered::Failed {
                    errno: Errno::Refused,
                }),
            ),
        };
        evidence.answered(question, answer).answered_from(
            Viewpoint::Container(id_of("dns")),
            Question::Snapshot,
            Answer::Snapshot(seen),
        )
    }

    fn judged(evidence: &Evidence) -> Verdict {
        (RULE.judge)(&Case::target(evidence).unwrap())
    }

    /// Named by this rule, and by no other one about the same listener.
    #[track_caller]
    fn only_it(evidence: &Evidence) -> crate::rule::Fault {
        let case = Case::target(evidence).unwrap();
        for rule in [&wrong_port::RULE, &nothing_listens::RULE] {
            assert_eq!((rule.judge)(&case), Verdict::Pass, "{}", rule.code);
        }
        match judged(evidence) {
            Verdict::Fail(mut faults) => faults.remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tcp_where_udp_is_served() {
        let fault = only_it(&pair(5353, Protocol::Tcp, &[(Protocol::Udp, "0.0.0.0:5353")]));
        assert_eq!(
            fault.problem,
            "`app` asks `dns` for port 5353 by tcp, and it is open there by udp only"
        );
        assert_eq!(
            fault.evidence,
            [
                "seen from `dns`: udp 0.0.0.0:5353 is open, and no tcp socket has port 5353",
                "seen from `app`: 172.18.0.3:5353: connection refused after 0 ms"
            ]
        );
        assert!(fault.fixes[0].text.starts_with("Use it by udp, as `dns:5353/udp`"));
        // Of a number that clients get too; and beside a service on another port.
        only_it(&pair(51820, Protocol::Tcp, &[(Protocol::Udp, "0.0.0.0:51820")]));
        only_it(&pair(
            53,
            Protocol::Tcp,
            &[(Protocol::Udp, "[::]:53"), (Protocol::Tcp, "0.0.0.0:80")],
        ));
    }

    #[test]
    fn udp_where_tcp_is_served() {
        let fault = only_it(&pair(80, Protocol::Udp, &[(Protocol::Tcp, "0.0.0.0:80")]));
        assert!(fault.fixes[0].text.starts_with("Use it by tcp, as `dns:80`"));
    }

    #[test]
    fn near_misses() {
        let both = [(Protocol::Udp, "0.0.0.0:53"), (Protocol::Tcp, "127.0.0.1:53")];
        assert_eq!(judged(&pair(53, Protocol::Tcp, &both)), Verdict::Pass);
        let neither = [(Protocol::Udp, "0.0.0.0:54")];
        assert_eq!(judged(&pair(53, Protocol::Tcp, &neither)), Verdict::Pass);
        // Nobody else could use it by the other protocol either.
        let private = [(Protocol::Udp, "127.0.0.1:53")];
        assert_eq!(judged(&pair(53, Protocol::Tcp, &private)), Verdict::Pass);
        // The embedded DNS is the engine's.
        let engines = [(Protocol::Udp, "127.0.0.11:40000")];
        assert_eq!(judged(&pair(40000, Protocol::Tcp, &engines)), Verdict::Pass);
        let alone = world(container("dns"));
        let verdict = (RULE.judge)(&Case::new(&alone).unwrap());
        assert_eq!(verdict, Verdict::NotApplicable);
        let mut unseen = pair(53, Protocol::Tcp, &[]);
        unseen.visits.clear();
        assert!(matches!(judged(&unseen), Verdict::Unknown(_)));
    }
}
