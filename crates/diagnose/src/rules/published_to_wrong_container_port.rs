//! A port is published to a container port without a listener, while another one listens.

use netcheck_probe::Protocol;

use crate::case::{Case, Standing};
use crate::evidence::Port;
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-to-wrong-container-port",
    title: "a port is published to the wrong port of the container",
    check: Check::Published,
    explained_by: &[
        "container-starting",
        "container-paused",
        "shared-namespace-dead",
    ],
    docs: "\
## What it checks

Nothing listens on a published TCP port of the container, and exactly one other TCP port listens for
the world and is not published: the mapping points past the service.

## Why it matters

In `-p 8080:80` the right number is the port of the program inside. With `-p 8080:8080` and nginx on
80, the host's port is taken and forwarded to nobody: `empty reply from server` on the host,
`connection refused` from everywhere else.

## How to fix it

Put the port on which the program listens to the right of the colon: `-p 8080:80`. A published port
cannot be changed on a container that exists; it has to be created again.

## When it is wrong

If the program was to listen on the published port and took another by mistake (a `PORT` variable that
did not arrive), mend the program instead. If the one listener is a side door (an admin or metrics
port) and the service itself has not started, see its log.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let tcp = |port: &Port| port.protocol == Protocol::Tcp;
    if !case.published_ports().iter().any(tcp) {
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
        let Standing::Elsewhere(number) = standing else {
            continue;
        };
        let side = case.host_side(port);
        let mut fault = Fault::error(
            format!(
                "`{name}` publishes its port {} ({side}), but it listens on port {number}",
                port.number
            ),
            vec![Subject::container(name), Subject::port(port)],
        )
        .proof(case.sockets_seen(&listeners));
        for line in case.host_saw(port) {
            fault = fault.proof(line);
        }
        let container = Port { number, ..port };
        faults.push(fault.fix(case.publish_instead(port, container, "Publish the port on which it listens")));
    }
    Verdict::from_faults(faults)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::Protocol;

    use super::RULE;
    use crate::evidence::{Binding, Container, Evidence};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, not_applicable, passes, socket, tcp, udp,
        unknown, world,
    };

    /// `-p 18083:8080`, as the engine lists it.
    fn web() -> Container {
        let mut web = container("web");
        web.detail_mut().wanted = vec![Binding {
            container: tcp(8080),
            host_address: None,
            host_port: Some(18083),
        }];
        web.published = vec![
            binding("0.0.0.0", 18083, tcp(8080)),
            binding("::", 18083, tcp(8080)),
        ];
        web
    }

    fn tcp_on(subject: Container, on: &[&str]) -> Evidence {
        world(subject).listens(on.iter().map(|at| socket(Protocol::Tcp, at)).collect())
    }

    const PROBLEM: &str =
        "`web` publishes its port 8080 (host port 18083), but it listens on port 80";

    #[test]
    fn one_fault_for_both_families_and_the_mapping_that_works() {
        let evidence = tcp_on(web(), &["0.0.0.0:80", "[::]:80"]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker stop web",
                "docker rename web web-old",
                "docker run -d --name web --network my_network -p 18083:80 app:1",
            ]
        );
    }

    #[test]
    fn keeps_the_host_address_and_other_ports() {
        let mut web = web().publishes(binding("127.0.0.1", 9000, tcp(9000)));
        web.detail_mut().wanted[0].host_address = Some([10, 0, 0, 1].into());
        let evidence = tcp_on(web, &["0.0.0.0:80", "0.0.0.0:9000"]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert!(
            commands(&RULE, &evidence)[2].contains("-p 127.0.0.1:9000:9000 -p 10.0.0.1:18083:80 "),
        );
    }

    #[test]
    fn a_debugger_or_a_port_of_chance_is_no_candidate() {
        let evidence = tcp_on(web(), &["0.0.0.0:80", "0.0.0.0:9229", "[::]:33060"]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
    }

    #[test]
    fn two_candidates_or_none_are_not_for_this_rule() {
        check_rule(
            &RULE,
            &tcp_on(web(), &["0.0.0.0:80", "0.0.0.0:81"]),
            passes(),
        );
        check_rule(&RULE, &tcp_on(web(), &[]), passes());
        check_rule(&RULE, &tcp_on(web(), &["127.0.0.1:80"]), passes());
        let two = web().publishes(binding("0.0.0.0", 9000, tcp(9000)));
        check_rule(&RULE, &tcp_on(two, &["0.0.0.0:80"]), passes());
    }

    #[test]
    fn a_service_that_is_published_and_a_side_door_that_is_not() {
        check_rule(
            &RULE,
            &tcp_on(web(), &["0.0.0.0:8080", "0.0.0.0:9090"]),
            passes(),
        );
        let udp_only = container("dns").publishes(binding("0.0.0.0", 53, udp(53)));
        check_rule(
            &RULE,
            &tcp_on(udp_only, &["0.0.0.0:8080"]),
            not_applicable(),
        );
        check_rule(
            &RULE,
            &world(web()),
            unknown("the listening sockets of `web`"),
        );
    }
}
