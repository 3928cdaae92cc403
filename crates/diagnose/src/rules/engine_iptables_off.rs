//! The engine writes no firewall rules at all.

use super::masquerade_missing::{own_rule, proofs, unmasked};
use crate::case::Case;
use crate::evidence::Fact;
use crate::filtered;
use crate::report::{Fix, Subject, SubjectKind};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "engine-iptables-off",
    title: "the engine writes no firewall rules",
    check: Check::Outbound,
    explained_by: &[],
    docs: "\
## What it checks

With `--deep`, where a connection outside failed because its packets kept their private address: whether there is
any chain of Docker's in the packet filter of the engine's host.

## Why it matters

With `--iptables=false` (`\"iptables\": false` in daemon.json) the engine leaves the firewall to somebody else, and
everything that its rules do with it: nothing gets the host's address on its way out, published ports are served by
a proxy that hides the client's address, and networks are not shut off from each other.

## How to fix it

Take the setting out and restart the engine. Where somebody has a reason for it, write the rules by hand: one
for each network that may go out.

## When it is wrong

All chains were wiped out by something else; then a restart of the engine is enough.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    // It has no chain of Docker's in any case.
    if case.is_podman() {
        return Verdict::NotApplicable;
    }
    let traced = case.traced();
    let Some((one, network)) = traced
        .iter()
        .find_map(|one| Some((one, unmasked(case, one)?)))
    else {
        return Verdict::NotApplicable;
    };
    let filter = match case.host_filter() {
        Fact::Known(filter) if !filter.incomplete => filter,
        other => {
            return Verdict::Unknown(format!(
                "whether the engine writes firewall rules: {}",
                other.why_unknown().unwrap_or("they could not be read as a whole")
            ));
        }
    };
    let of_docker = |table: &str| table.starts_with("docker");
    if filtered::program_of_docker(filter).is_some()
        || filter.chains.iter().any(|chain| of_docker(&chain.table))
    {
        return Verdict::Pass;
    }
    let name = case.name();
    let engine = Subject {
        kind: SubjectKind::Engine,
        name: "iptables".into(),
    };
    Verdict::Fail(vec![
        Fault::error(
            format!("the engine writes no firewall rules, and nothing else lets `{name}` out"),
            vec![Subject::container(name), engine],
        )
        .proofs(proofs(one))
        .proof("the packet filter of the engine's host has no chain of Docker's")
        .fixes(own_rule(case, one, network))
        .fix(Fix::new(
            "Take `--iptables=false` (or `\"iptables\": false` of daemon.json) away and restart the engine",
            Vec::new(),
        )),
    ])
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::testing::deep::{Lost, lost};
    use crate::rules::testing::{check_rule, container, fails, not_applicable, on_podman, passes, world};

    fn left(chain: &'static str) -> Lost {
        Lost {
            chain: (chain, 2),
            verdict: None,
            counted: false,
            to: "203.0.113.9:443",
            left: Some(("eth0", "172.18.0.2")),
            ..Lost::default()
        }
    }

    #[test]
    fn no_chain_of_dockers() {
        let problem = "the engine writes no firewall rules, and nothing else lets `app` out";
        check_rule(&RULE, &lost(&left("FORWARD")), fails(problem));
    }

    #[test]
    fn with_its_chains_or_with_nothing_lost() {
        check_rule(&RULE, &lost(&left("DOCKER")), passes());
        check_rule(&RULE, &on_podman(lost(&left("FORWARD"))), not_applicable());
        check_rule(&RULE, &lost(&Lost::default()), not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
