//! The asked place has an IPv6 address, and the service behind it takes IPv4 only.

use std::net::IpAddr;

use netcheck_probe::Protocol;

use crate::case::{Asked, Case, Listener, Reached, command_holds, list};
use crate::evidence::Mode;
use crate::report::{Fix, Severity, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "ipv6-name-ipv4-service",
    title: "its IPv6 address is refused, as the service takes IPv4 only",
    check: Check::Listening,
    explained_by: &["stale-container-address", "hosts-file-overrides-dns"],
    docs: "\
## What it checks

You asked whether one container reaches a port of another one. The place that you named has an IPv6 address,
each connection to it is refused, and every socket on that port takes IPv4 only. By IPv4, where the name has
such an address too, it works.

## Why it matters

On a network with IPv6 a name has two addresses, and most programs try the IPv6 one first. Those that try the
other one after that work, and a little later. Those that take the first address and give up (small tools, some
database drivers, some JVM and Node settings) fail with `connection refused`, while another program beside them
works.

## How to fix it

Let the service listen on `[::]`, which takes both families (nginx `listen [::]:80`, `--host ::`). Or make the
network without IPv6 if nobody needs it: the name then has one address.

## When it is wrong

If every client tries both addresses, nobody notices.
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
    let works = match asked.by_family() {
        (Some(Reached::Through), Some(Reached::Refused)) => true,
        // A datagram service need not answer.
        (Some(Reached::Else), Some(Reached::Refused)) if asked.port.protocol == Protocol::Udp => {
            true
        }
        (None, Some(Reached::Refused)) => false,
        _ => return Verdict::Pass,
    };
    let addresses = asked.addresses();
    // Refused by somebody else is another story.
    let (six, own): (Vec<IpAddr>, bool) = (
        addresses.iter().copied().filter(IpAddr::is_ipv6).collect(),
        addresses
            .iter()
            .all(|address| case.subject.has_address(*address)),
    );
    if !own {
        return Verdict::Pass;
    }
    let name = case.name();
    let listeners = match case.listeners() {
        Ok(listeners) => listeners,
        Err(why) => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
    };
    let on_port: Vec<&Listener> = listeners
        .iter()
        .filter(|listener| listener.port == asked.port)
        .collect();
    let ipv4_only = on_port.iter().any(|listener| listener.serves_ipv4())
        && on_port
            .iter()
            .all(|listener| listener.local.ip().to_canonical().is_ipv4());
    if !ipv4_only {
        return Verdict::Pass;
    }
    Verdict::Fail(vec![fault(case, &asked, &six, &on_port, works)])
}

fn fault(
    case: &Case<'_>,
    asked: &Asked<'_>,
    six: &[IpAddr],
    on_port: &[&Listener],
    works: bool,
) -> Fault {
    let name = case.name();
    let port = asked.port;
    let host = &asked.target.host;
    let problem = if works {
        format!(
            "`{host}` has an IPv4 and an IPv6 address, and port {port} of `{name}` is open by IPv4 only"
        )
    } else {
        format!("`{host}` is an IPv6 address, and port {port} of `{name}` is open by IPv4 only")
    };
    let local: Vec<String> = on_port.iter().map(|l| l.local.to_string()).collect();
    let mut fault = Fault::error(
        problem,
        vec![
            Subject::container(name),
            Subject::container(&asked.from.name),
            Subject::port(port),
        ],
    );
    if works {
        fault.severity = Severity::Warning;
    }
    if host.parse::<IpAddr>().is_err() {
        fault = fault.proof(format!(
            "seen from `{}`: `{host}` is {}",
            asked.from.name,
            list(&asked.addresses())
        ));
    }
    fault
        .proofs(asked.connections())
        .proof(format!(
            "seen from `{name}`: {} {} is open, and no socket takes IPv6 on that port",
            port.protocol.as_str(),
            local.join(", ")
        ))
        .fix(listen_on_both(case, port.number))
        .fix(Fix::new(
            format!(
                "Let nobody come to {} there: use an IPv4 address or a client that tries both, or make \
                 the network without IPv6",
                list(six)
            ),
            Vec::new(),
        ))
}

/// To take IPv6 too.
pub(crate) fn listen_on_both(case: &Case<'_>, number: u16) -> Fix {
    let (from, to) = (format!("0.0.0.0:{number}"), format!("[::]:{number}"));
    if command_holds(&case.detail.run, &from) {
        return case.recreate().edit_command(&from, &to).fix(
            &format!("Let it listen on both families, with `{to}` in place of `{from}` in its command"),
            &format!("write `{to}` in place of `{from}` in `command` (or `entrypoint`)"),
        );
    }
    Fix::new(
        format!(
            "Let `{}` listen on `{to}` too, which takes both families (nginx `listen [::]:{number}`, \
             `--host ::`)",
            case.name()
        ),
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Protocol, Question, Then};

    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::report::Severity;
    use crate::request::Target;
    use crate::rule::Verdict;
    use crate::rules::testing::{container, id_of, ip, snapshot, socket, world};

    const FOUR: &str = "172.18.0.3";
    const SIX: &str = "fd00::3";

    /// `app` asks `host` for port 80 of `web`; what came of it by IPv4 and IPv6.
    fn pair(host: &str, four: bool, six: Result<(), Errno>, sockets: &[&str]) -> Evidence {
        let mut web = container("web")
            .on("my_network", FOUR)
            .command(&["tcp=0.0.0.0:80"]);
        web.endpoints[0].addresses.push(ip(SIX));
        let mut evidence = world(container("app")).and(web);
        evidence.request.target = Some(Target {
            container: Some(id_of("web")),
            ..Target::new(host, 80, Protocol::Tcp)
        });
        let connect = |address: &str| Question::Connect {
            to: (ip(address), 80).into(),
            listen_ms: 1,
        };
        let answer = |came: Result<(), Errno>| {
            Answer::Connect(match came {
                Ok(()) => Connected::Open {
                    from: (ip("172.18.0.9"), 40000).into(),
                    took_ms: 0,
                    then: Then::Silent,
                },
                Err(errno) => Connected::Failed { errno, took_ms: 0 },
            })
        };
        let came = if four { Ok(()) } else { Err(Errno::Refused) };
        let seen = netcheck_probe::Snapshot {
            sockets: Ok(sockets.iter().map(|at| socket(Protocol::Tcp, at)).collect()),
            ..snapshot()
        };
        evidence
            .resolves("web", &[FOUR, SIX])
            .resolves("six", &[SIX])
            .resolves("four", &[FOUR])
            .answered(connect(FOUR), answer(came))
            .answered(connect(SIX), answer(six))
            .answered_from(
                Viewpoint::Container(id_of("web")),
                Question::Snapshot,
                Answer::Snapshot(seen),
            )
    }

    fn judged(evidence: &Evidence) -> Verdict {
        (RULE.judge)(&Case::target(evidence).unwrap())
    }

    const REFUSED: Result<(), Errno> = Err(Errno::Refused);

    #[test]
    fn one_family_of_two_works() {
        let Verdict::Fail(faults) = judged(&pair("web", true, REFUSED, &["0.0.0.0:80"])) else {
            panic!("no fault");
        };
        assert_eq!(faults[0].severity, Severity::Warning);
        assert_eq!(
            faults[0].problem,
            "`web` has an IPv4 and an IPv6 address, and port 80/tcp of `web` is open by IPv4 only"
        );
        assert_eq!(
            faults[0].evidence,
            [
                "seen from `app`: `web` is 172.18.0.3, fd00::3",
                "seen from `app`: 172.18.0.3:80: connected after 0 ms",
                "seen from `app`: [fd00::3]:80: connection refused after 0 ms",
                "seen from `web`: tcp 0.0.0.0:80 is open, and no socket takes IPv6 on that port"
            ]
        );
        let run = &faults[0].fixes[0].commands[2];
        assert!(run.ends_with("app:1 'tcp=[::]:80'"), "{run}");
    }

    #[test]
    fn with_no_other_address_it_does_not_work() {
        for host in [SIX, "six"] {
            let Verdict::Fail(faults) = judged(&pair(host, true, REFUSED, &["0.0.0.0:80"])) else {
                panic!("no fault");
            };
            assert_eq!(faults[0].severity, Severity::Error);
            assert!(faults[0].problem.contains("is an IPv6 address"));
        }
    }

    #[test]
    fn near_misses() {
        let both = pair("web", true, Ok(()), &["[::]:80"]);
        assert_eq!(judged(&both), Verdict::Pass);
        // By IPv4 nobody comes to the other one.
        for host in [FOUR, "four"] {
            let four = pair(host, true, REFUSED, &["0.0.0.0:80"]);
            assert_eq!(judged(&four), Verdict::Pass, "{host}");
        }
        // A program without an IPv6 address of its own does not try (RFC 6724).
        let without = pair("web", true, Err(Errno::AddressNotAvailable), &["0.0.0.0:80"]);
        assert_eq!(judged(&without), Verdict::Pass);
        // Something rejects on the way: the socket is there.
        let rejected = pair("web", true, REFUSED, &["[::]:80"]);
        assert_eq!(judged(&rejected), Verdict::Pass);
        // Where both are refused it is something else.
        let neither = pair("web", false, REFUSED, &["127.0.0.1:80"]);
        assert_eq!(judged(&neither), Verdict::Pass);
        let mut strange = pair("web", true, REFUSED, &["0.0.0.0:80"]);
        strange.containers[1].endpoints[0].addresses.truncate(1);
        assert_eq!(judged(&strange), Verdict::Pass);
        let alone = world(container("web"));
        let verdict = (RULE.judge)(&Case::new(&alone).unwrap());
        assert_eq!(verdict, Verdict::NotApplicable);
    }
}
