//! A rule in DOCKER-USER asks for a host port, which no packet has any more there.

use crate::case::Case;
use crate::filtered;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "firewall-rule-never-matches",
    title: "a firewall rule for its port never matches",
    check: Check::Published,
    explained_by: &[],
    docs: "\
## What it checks

With `--deep`: a rule in the chain DOCKER-USER drops or refuses packets to a port of the host that the container
publishes as another port, and its counter is at zero.

## Why it matters

DOCKER-USER is asked after the destination was translated: a packet to port 8080 of the host is for port 80 of the
container by then. A rule for port 8080 looks right in a list, and lets everybody in.

## How to fix it

Ask for the port that the connection was for at first, which the kernel still knows:
`-m conntrack --ctorigdstport 8080 --ctdir ORIGINAL`.

## When it is wrong

The rule is meant for another container, whose own port that is.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let filter = case.host_filter();
    let Some(filter) = filter.known() else {
        return Verdict::NotApplicable;
    };
    let name = case.name();
    let faults = filtered::meant(case, filter, &[filtered::own_chain(case)])
        .into_iter()
        .filter(|one| {
            let port = one.binding.host_port.unwrap_or_default();
            one.binding.container.number != port
                && one.rule.counter() == Some(0)
                && !filtered::is_filtered(case, filter, port)
        })
        .map(|one| {
            let suspect = filtered::as_suspect(one.chain, one.number, one.rule);
            let port = one.binding.host_port.unwrap_or_default();
            let program = filtered::program(one.chain);
            let mut commands = vec![shell::command(filtered::drop_host_port(case, program, one.binding))];
            commands.extend(suspect.removal().map(shell::command));
            // The removal is by number where it cannot be by words, and what is put before it moves it.
            commands.reverse();
            Fault::warning(
                format!("a firewall rule for host port {port} of `{name}` never matches: anybody gets in"),
                vec![Subject::container(name), Subject::port(one.binding.container)],
            )
            .proof(format!("{}: {}", suspect.place(), suspect.words()))
            .proof(format!(
                "its counter is at 0: host port {port} is translated to {} before that chain",
                one.binding.container
            ))
            .fix(Fix::new(
                "Ask for the port before its translation, on the engine's host (as root)",
                commands,
            ))
        });
    Verdict::from_faults(faults.collect())
}

#[cfg(test)]
mod tests {
    use netcheck_probe::firewall::Verdict as Fate;

    use super::RULE;
    use crate::evidence::Evidence;
    use crate::rules::testing::deep::with_a_rule;
    use crate::rules::testing::{check_rule, container, fails, not_applicable, on_podman, passes, world};

    fn published(host_port: u16, port: u16, verdict: Fate) -> Evidence {
        with_a_rule(("DOCKER-USER", 2), (host_port, port), verdict)
    }

    #[test]
    fn a_rule_for_the_host_port() {
        check_rule(&RULE, &published(8080, 80, Fate::Drop), fails(
            "a firewall rule for host port 8080 of `app` never matches: anybody gets in",
        ));
    }

    /// podman has no chain but FORWARD for that, which is the engine's own on Docker.
    #[test]
    fn the_chain_of_podman() {
        let evidence = with_a_rule(("FORWARD", 2), (8080, 80), Fate::Drop);
        check_rule(&RULE, &evidence, passes());
        let podman = on_podman(evidence);
        check_rule(&RULE, &podman, fails(
            "a firewall rule for host port 8080 of `app` never matches: anybody gets in",
        ));
    }

    #[test]
    fn other_ports_other_verdicts_and_no_deep_look() {
        check_rule(&RULE, &published(8081, 80, Fate::Drop), passes());
        check_rule(&RULE, &published(8080, 80, Fate::Accept), passes());
        check_rule(&RULE, &published(8080, 8080, Fate::Drop), passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
