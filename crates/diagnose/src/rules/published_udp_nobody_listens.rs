//! A UDP port is published, and no socket in the container has it: datagrams vanish in silence.

use crate::case::{Case, Standing};
use crate::evidence::Port;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use netcheck_probe::Protocol;

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-udp-nobody-listens",
    title: "a published UDP port leads to where nothing listens",
    check: Check::Published,
    explained_by: &[
        "container-starting",
        "container-paused",
        "shared-namespace-dead",
    ],
    docs: "\
## What it checks

Each UDP port that the container publishes has a UDP socket in it. It is not reported where only TCP has that
number (`published-transport-mismatch`) or where the socket is on its loopback.

## Why it matters

A datagram to a port that nobody has is answered with an ICMP message, and a program sees `connection refused`. On
the way through docker-proxy, which is the way from the host's loopback, that message is lost: nothing comes back,
no error and no reply, and it looks like a firewall or a slow server.

## How to fix it

`docker logs --tail 50 NAME` shows why the program does not open it; mend that and `docker restart NAME`. Or
publish the port that it does have. To test it, ask the container itself rather than the published port:
`docker netcheck CLIENT NAME:5353/udp`.

## When it is wrong

Ports whose sockets come and go: RTP, TURN, game lobbies. A published range of four ports or more is not reported
while another published port is served, nor is one of two protocols of a number (443/udp beside 443/tcp), nor what
only `-P` published.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let published = case.published_ports();
    if !published.iter().any(|port| port.protocol == Protocol::Udp) {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let (standings, listeners) = match (case.standings(), case.listeners()) {
        (Ok(standings), Ok(listeners)) => (standings, listeners),
        (Err(why), _) | (_, Err(why)) => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
    };
    let faults = standings
        .into_iter()
        .filter(|(port, standing)| {
            port.protocol == Protocol::Udp && *standing == Standing::Nobody
        })
        .map(|(port, _)| {
            let mut others: Vec<u16> = listeners
                .iter()
                .map(|listener| listener.port)
                // A client's UDP socket is nobody's service.
                .filter(|other| other.protocol == Protocol::Udp && other.number < 32768)
                .filter(|other| !published.contains(other))
                .map(|other| other.number)
                .collect();
            others.dedup();
            Fault::error(
                format!(
                    "`{name}` publishes its port {port} ({}), and no socket in it has that: what is sent \
                     there vanishes without an error",
                    case.host_side(port)
                ),
                vec![Subject::container(name), Subject::port(port)],
            )
            .proof(case.sockets_seen(&listeners))
            .proofs(case.host_saw(port))
            .fix(fix(name, port, &others))
        })
        .collect();
    Verdict::from_faults(faults)
}

fn fix(name: &str, port: Port, others: &[u16]) -> Fix {
    if others.is_empty() {
        return Fix::new(
            format!("See why it does not open {port}; then mend that and start it again"),
            vec![
                shell::command(["docker", "logs", "--tail", "50", name]),
                shell::command(["docker", "restart", name]),
            ],
        );
    }
    let words: Vec<String> = others.iter().take(8).map(ToString::to_string).collect();
    Fix::new(
        format!(
            "Make it open {port}, or publish a UDP port that it has: {}",
            words.join(", ")
        ),
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Delivered, Errno, Protocol, Question};

    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Container, Evidence, Viewpoint};
    use crate::rule::Verdict;
    use crate::rules::published_port_nobody_listens;
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes,
        socket, tcp, udp, unknown, world,
    };

    fn dns() -> Container {
        container("dns").publishes(binding("0.0.0.0", 18085, udp(5353)))
    }

    fn with(subject: Container, on: &[(Protocol, &str)]) -> Evidence {
        world(subject).listens(on.iter().map(|(p, at)| socket(*p, at)).collect())
    }

    #[test]
    fn nobody_has_it() {
        let to = |address: &str| Question::Datagram {
            to: (ip(address), 18085).into(),
            wait_ms: 200,
        };
        let evidence = with(dns(), &[(Protocol::Tcp, "0.0.0.0:8080")]).answered_from(
            Viewpoint::Host,
            to("127.0.0.1"),
            Answer::Datagram(Delivered::Silent),
        );
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`dns` publishes its port 5353/udp (host port 18085), and no socket in it has that: \
                 what is sent there vanishes without an error",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker logs --tail 50 dns", "docker restart dns"]
        );
        let case = Case::new(&evidence).unwrap();
        let Verdict::Fail(faults) = (RULE.judge)(&case) else {
            panic!("no fault");
        };
        assert_eq!(
            faults[0].evidence[1],
            "seen from the engine's host: 127.0.0.1:18085: no reply"
        );
        // Told once.
        let verdict = (published_port_nobody_listens::RULE.judge)(&case);
        assert_eq!(verdict, Verdict::NotApplicable);
        let refused = with(dns(), &[]).answered_from(
            Viewpoint::Host,
            to("127.0.0.1"),
            Answer::Datagram(Delivered::Failed {
                errno: Errno::Refused,
            }),
        );
        assert!(matches!((RULE.judge)(&Case::new(&refused).unwrap()), Verdict::Fail(_)));
        let other = with(dns(), &[(Protocol::Udp, "0.0.0.0:53")]);
        assert!(fix_texts(&RULE, &other)[0].contains("a UDP port that it has: 53"));
    }

    #[test]
    fn near_misses() {
        check_rule(&RULE, &with(dns(), &[(Protocol::Udp, "[::]:5353")]), passes());
        // Others have the better word.
        check_rule(&RULE, &with(dns(), &[(Protocol::Tcp, "0.0.0.0:5353")]), passes());
        check_rule(&RULE, &with(dns(), &[(Protocol::Udp, "127.0.0.1:5353")]), passes());
        // HTTP/3 was published in advance, and so was a range for media.
        let both = dns().publishes(binding("0.0.0.0", 18085, tcp(5353)));
        check_rule(&RULE, &with(both, &[(Protocol::Tcp, "0.0.0.0:5353")]), passes());
        let range = (20000..20004).fold(container("sip").publishes(binding("0.0.0.0", 5060, udp(5060))), |sip, port| {
            sip.publishes(binding("0.0.0.0", port, udp(port)))
        });
        check_rule(&RULE, &with(range, &[(Protocol::Udp, "0.0.0.0:5060")]), passes());
        let web = container("web").publishes(binding("0.0.0.0", 80, tcp(80)));
        check_rule(&RULE, &with(web, &[]), not_applicable());
        check_rule(&RULE, &world(dns()), unknown("the listening sockets of `dns`"));
    }
}
