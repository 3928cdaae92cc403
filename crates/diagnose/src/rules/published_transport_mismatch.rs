//! A port is published for TCP, and the service speaks UDP; or the reverse.

use netcheck_probe::Protocol;

use crate::case::{Case, Standing};
use crate::evidence::Port;
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-transport-mismatch",
    title: "a port is published for the wrong protocol",
    check: Check::Published,
    explained_by: &[
        "container-starting",
        "container-paused",
        "shared-namespace-dead",
    ],
    docs: "\
## What it checks

A container port is published for one protocol, nothing listens on it in that protocol, and the same
number listens in the other one, which is not published.

## Why it matters

`-p 5353:5353` publishes TCP alone. DNS, VPN, syslog and game servers speak UDP: their datagrams to the
host are refused, while a TCP connection to the port is taken by docker-proxy and closed at once, so
the port looks published to everybody who looks.

## How to fix it

Name the protocol: `-p 5353:5353/udp`. Publish both (`-p 53:53/tcp -p 53:53/udp`) where the service
speaks both, as DNS does.

## When it is wrong

If a client in the container happens to hold the number in the other protocol. That is rare below
32768, where no client port is chosen by the kernel.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.published_ports().is_empty() {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let (standings, listeners) = match (case.standings(), case.listeners()) {
        (Ok(standings), Ok(listeners)) => (standings, listeners),
        (Err(why), _) | (_, Err(why)) => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
    };
    let mut faults = Vec::new();
    for (port, standing) in standings {
        if standing != Standing::OtherProtocol {
            continue;
        }
        let container = Port {
            protocol: match port.protocol {
                Protocol::Tcp => Protocol::Udp,
                Protocol::Udp => Protocol::Tcp,
            },
            ..port
        };
        let side = case.host_side(port);
        let mut fault = Fault::error(
            format!(
                "`{name}` publishes {port} ({side}), but its service on that port is {container}"
            ),
            vec![Subject::container(name), Subject::port(port)],
        )
        .proof(case.sockets_seen(&listeners));
        for line in case.host_saw(port) {
            fault = fault.proof(line);
        }
        faults.push(fault.fix(case.publish_instead(port, container, "Publish it for the protocol it speaks")));
    }
    Verdict::from_faults(faults)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::Protocol;

    use super::RULE;
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, not_applicable, passes, socket, tcp, udp,
        unknown, world,
    };

    #[test]
    fn tcp_is_published_and_udp_listens() {
        let dns = container("dns").publishes(binding("127.0.0.1", 18085, tcp(5353)));
        let evidence = world(dns).listens(vec![socket(Protocol::Udp, "0.0.0.0:5353")]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`dns` publishes 5353/tcp (host port 127.0.0.1:18085), but its service on that port \
                 is 5353/udp",
            ),
        );
        assert!(commands(&RULE, &evidence)[2].contains("-p 127.0.0.1:18085:5353/udp app:1"));
    }

    #[test]
    fn udp_is_published_and_tcp_listens() {
        let web = container("web").publishes(binding("0.0.0.0", 80, udp(80)));
        let evidence = world(web).listens(vec![socket(Protocol::Tcp, "[::]:80")]);
        check_rule(
            &RULE,
            &evidence,
            fails("`web` publishes 80/udp (host port 80), but its service on that port is 80/tcp"),
        );
        assert!(commands(&RULE, &evidence)[2].contains("-p 0.0.0.0:80:80 app:1"));
    }

    #[test]
    fn one_of_two_published_protocols_is_enough() {
        let dns = container("dns")
            .publishes(binding("0.0.0.0", 53, tcp(53)))
            .publishes(binding("0.0.0.0", 53, udp(53)));
        let evidence = world(dns.clone()).listens(vec![socket(Protocol::Udp, "0.0.0.0:53")]);
        check_rule(&RULE, &evidence, passes());
        check_rule(&RULE, &world(dns.clone()).listens(vec![]), passes());
        check_rule(
            &RULE,
            &world(dns),
            unknown("the listening sockets of `dns`"),
        );
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
