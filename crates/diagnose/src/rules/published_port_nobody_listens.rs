//! A port is published, and nothing in the container listens on it.

use netcheck_probe::Protocol;

use crate::case::{Case, Listener, Reach, Standing};
use crate::evidence::Port;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-port-nobody-listens",
    title: "a published port leads to where nothing listens",
    check: Check::Published,
    explained_by: &[
        "container-starting",
        "container-paused",
        "shared-namespace-dead",
    ],
    docs: "\
## What it checks

Each TCP port that the container publishes has a listening socket in it. It is not
reported where another rule has the better word: exactly one other port listens and is not published
(`published-to-wrong-container-port`), the number listens in the other protocol
(`published-transport-mismatch`), or the listener is there but not for the world
(`listens-on-loopback-only`, `listens-on-ipv6-only`). For UDP there is `published-udp-nobody-listens`.

## Why it matters

The engine forwards the host's port whether or not somebody is at home. From the host itself
docker-proxy takes the connection, cannot get through and closes it within milliseconds: `curl: (52)
Empty reply from server` or `(56) Connection reset by peer`. From other machines it is `connection
refused`.

## How to fix it

If nothing listens at all, `docker logs --tail 50 NAME` shows why; mend that and `docker restart
NAME`. If the program listens on another port, publish that one: `-p 8080:3000` for a program on 3000.

## When it is wrong

Ports whose listener comes and goes: passive FTP, RTP, TURN. A published range of four ports or more
is not reported while another published port is served, nor is one of two protocols of a number
(443/udp beside 443/tcp), nor what only `-P` published. A port that is kept for later is reported, and
harmless.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let is_tcp = |port: &Port| port.protocol == Protocol::Tcp;
    if !case.published_ports().iter().any(is_tcp) {
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
        .filter(|(port, standing)| is_tcp(port) && *standing == Standing::Nobody)
        .map(|(port, _)| fault(case, port, &listeners))
        .collect();
    Verdict::from_faults(faults)
}

fn fault(case: &Case<'_>, port: Port, listeners: &[Listener]) -> Fault {
    let name = case.name();
    let side = case.host_side(port);
    let mut fault = Fault::error(
        format!("`{name}` publishes its port {port} ({side}), and nothing in it listens there"),
        vec![Subject::container(name), Subject::port(port)],
    )
    .proof(case.sockets_seen(listeners));
    for line in case.host_saw(port) {
        fault = fault.proof(line);
    }
    let published = case.published_ports();
    let mut others: Vec<&Listener> = listeners
        .iter()
        .filter(|l| l.port.protocol == port.protocol && !published.contains(&l.port))
        .collect();
    others.dedup_by_key(|listener| listener.port);
    if others.is_empty() {
        return fault.fix(Fix::new(
            format!("See why it does not listen on {port}; then mend that and start it again"),
            vec![
                shell::command(["docker", "logs", "--tail", "50", name]),
                shell::command(["docker", "restart", name]),
            ],
        ));
    }
    let words: Vec<String> = others
        .iter()
        .take(8)
        .map(|listener| {
            let only = match listener.reach {
                Reach::Loopback => " (on its own loopback only)",
                Reach::Ipv6Only => " (IPv6 only)",
                Reach::Everybody | Reach::OneAddress(_) => "",
            };
            format!("{}{only}", listener.port.number)
        })
        .collect();
    fault.fix(Fix::new(
        format!(
            "Make it listen on {port}, or publish a port on which it does listen: {}",
            words.join(", ")
        ),
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Protocol, Question, Then};

    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Container, Evidence, Viewpoint};
    use crate::rule::Verdict;
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, ip, not_applicable, passes, socket, tcp,
        udp, unknown, world,
    };

    fn web() -> Container {
        container("web")
            .publishes(binding("0.0.0.0", 18082, tcp(80)))
            .publishes(binding("::", 18082, tcp(80)))
    }

    fn tcp_on(subject: Container, on: &[&str]) -> Evidence {
        world(subject).listens(on.iter().map(|at| socket(Protocol::Tcp, at)).collect())
    }

    const PROBLEM: &str =
        "`web` publishes its port 80/tcp (host port 18082), and nothing in it listens there";

    #[test]
    fn nothing_listens_at_all() {
        let evidence = tcp_on(web(), &[]).answered_from(
            Viewpoint::Host,
            Question::Connect {
                to: (ip("127.0.0.1"), 18082).into(),
                listen_ms: 30,
            },
            Answer::Connect(Connected::Open {
                from: (ip("127.0.0.1"), 40000).into(),
                took_ms: 0,
                then: Then::Reset,
            }),
        );
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker logs --tail 50 web", "docker restart web"]
        );
        let Verdict::Fail(faults) = (RULE.judge)(&Case::new(&evidence).unwrap()) else {
            panic!("no fault");
        };
        assert_eq!(
            faults[0].evidence,
            [
                "seen from `web`: no listening socket at all",
                "seen from the engine's host: 127.0.0.1:18082: connected, then closed at once: \
                 docker-proxy accepts and cannot get through"
            ]
        );
    }

    #[test]
    fn several_others_are_named_without_a_command() {
        let evidence = tcp_on(web(), &["0.0.0.0:3306", "[::]:8080"]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert!(commands(&RULE, &evidence).is_empty());
    }

    #[test]
    fn udp_is_for_another_rule() {
        let dns = container("dns").publishes(binding("0.0.0.0", 53, udp(53)));
        check_rule(&RULE, &tcp_on(dns, &["0.0.0.0:8080"]), not_applicable());
    }

    #[test]
    fn others_have_the_better_word() {
        check_rule(&RULE, &tcp_on(web(), &["0.0.0.0:3000"]), passes());
        check_rule(&RULE, &tcp_on(web(), &["127.0.0.1:80"]), passes());
        let other = world(web()).listens(vec![socket(Protocol::Udp, "0.0.0.0:80")]);
        check_rule(&RULE, &other, passes());
    }

    #[test]
    fn served_ports_in_all_their_forms() {
        check_rule(
            &RULE,
            &tcp_on(web(), &["[::]:80", "127.0.0.1:9000"]),
            passes(),
        );
        check_rule(&RULE, &tcp_on(web(), &["172.18.0.9:80"]), passes());
        // HTTP/3 was published in advance.
        let twice = web().publishes(binding("0.0.0.0", 18082, udp(80)));
        check_rule(&RULE, &tcp_on(twice, &["0.0.0.0:80"]), passes());
        // Passive FTP opens its range on demand.
        let ftp = (21100..21104).fold(web(), |ftp, port| {
            ftp.publishes(binding("0.0.0.0", port, tcp(port)))
        });
        check_rule(&RULE, &tcp_on(ftp, &["0.0.0.0:80"]), passes());
        let mut all = container("db");
        all.detail_mut().publish_all = true;
        all.published = vec![
            binding("0.0.0.0", 32768, tcp(3306)),
            binding("0.0.0.0", 32769, tcp(33060)),
        ];
        check_rule(&RULE, &tcp_on(all, &["0.0.0.0:3306"]), passes());
    }

    #[test]
    fn unknown_without_a_look_inside() {
        check_rule(
            &RULE,
            &world(web()),
            unknown("the listening sockets of `web`: no look"),
        );
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
