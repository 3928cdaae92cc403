//! A rule of the host's own firewall is meant for a published port, which it never gets to see.

use crate::case::Case;
use crate::filtered;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-port-bypasses-host-firewall",
    title: "the host's firewall does not cover its published port",
    check: Check::Published,
    explained_by: &[],
    docs: "\
## What it checks

With `--deep`: a rule of the host's own firewall (the chain INPUT of iptables, and ufw's chains behind it) drops or
refuses packets to a port of the host that the container publishes on other addresses than loopback.

## Why it matters

A packet to a published port is translated and forwarded before INPUT is ever asked: `ufw deny 8080` and
`iptables -A INPUT --dport 8080 -j DROP` do not stop anybody from reaching the container.

## How to fix it

Publish the port on 127.0.0.1 if only the host should reach it. Else filter where the packets pass: in DOCKER-USER, by
the port that the connection was for at first.

## When it is wrong

Another firewall stands before this host.
",
    judge,
};

/// INPUT, and where ufw has what people ask it for.
const CHAINS: [&str; 4] = ["INPUT", "ufw-user-input", "ufw-before-input", "ufw-after-input"];

fn judge(case: &Case<'_>) -> Verdict {
    let filter = case.host_filter();
    let Some(filter) = filter.known() else {
        return Verdict::NotApplicable;
    };
    let name = case.name();
    let mut faults: Vec<Fault> = Vec::new();
    for one in filtered::meant(case, filter, &CHAINS) {
        let port = one.binding.host_port.unwrap_or_default();
        if filtered::is_filtered(case, filter, port) {
            continue;
        }
        let suspect = filtered::as_suspect(one.chain, one.number, one.rule);
        let program = filtered::program(one.chain);
        let problem = format!(
            "host port {port} of `{name}` is open to other machines, though the host's firewall forbids it"
        );
        if faults.iter().any(|known| known.problem == problem) {
            continue;
        }
        faults.push(
            Fault::warning(
                problem,
                vec![Subject::container(name), Subject::port(one.binding.container)],
            )
            .proof(format!("{}: {}", suspect.place(), suspect.words()))
            .proof(format!(
                "packets to host port {port} are forwarded to {} and never come to that chain",
                one.binding.container
            ))
            .fix(Fix::new(
                "Forbid it where its packets pass, on the engine's host (as root)",
                vec![shell::command(filtered::drop_host_port(case, program, one.binding))],
            )),
        );
    }
    Verdict::from_faults(faults)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::firewall::Verdict as Fate;

    use super::RULE;
    use crate::evidence::Evidence;
    use crate::rules::testing::deep::with_a_rule;
    use crate::rules::testing::{check_rule, commands, container, fails, not_applicable, on_podman, passes, world};

    fn published(host_port: u16, port: u16, verdict: Fate) -> Evidence {
        with_a_rule(("INPUT", 1), (host_port, port), verdict)
    }

    #[test]
    fn a_rule_for_the_host_port() {
        check_rule(&RULE, &published(8080, 80, Fate::Drop), fails(
            "host port 8080 of `app` is open to other machines, though the host's firewall forbids it",
        ));
        let chain = |evidence| commands(&RULE, &evidence).concat().split(' ').nth(2).map(str::to_owned);
        let evidence = published(8080, 80, Fate::Drop);
        assert_eq!(chain(evidence.clone()).as_deref(), Some("DOCKER-USER"));
        assert_eq!(chain(on_podman(evidence)).as_deref(), Some("FORWARD"));
    }

    #[test]
    fn other_ports_other_verdicts_and_no_deep_look() {
        check_rule(&RULE, &published(8081, 80, Fate::Drop), passes());
        check_rule(&RULE, &published(8080, 80, Fate::Accept), passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
