//! What the container sends outside keeps its private address.

use crate::case::{Case, Place, Traced};
use crate::evidence::Network;
use crate::filtered;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "masquerade-missing",
    title: "what it sends outside keeps its private address",
    check: Check::Outbound,
    explained_by: &["engine-iptables-off"],
    docs: "\
## What it checks

With `--deep`, where a connection outside failed: the packets are seen leaving the engine's host, and their
source is still the container's own address.

## Why it matters

Nobody outside knows a way back to 172.18.0.2. Packets to the outside get the host's address on their way out
(MASQUERADE), and answers find back by that. Without it every connection outside hangs, while the host itself is
fine. `iptables -t nat -F` in a firewall script does that, and so does a network with
`com.docker.network.bridge.enable_ip_masquerade=false`.

## How to fix it

Restart the engine, which writes its rules again, and keep that script from flushing them. Or write the rule by
hand.

## When it is wrong

The network is meant to be routed, and the router outside lost its route to it.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let traced = case.traced();
    if traced.is_empty() {
        return Verdict::NotApplicable;
    }
    let faults = traced
        .iter()
        // Of IPv6 there is a rule of its own.
        .filter(|one| one.trial.to.is_ipv4())
        .filter_map(|one| Some(fault(case, one, unmasked(case, one)?)));
    Verdict::from_faults(faults.take(1).collect())
}

/// The network whose address left the host as a source, if one did.
pub(super) fn unmasked<'a>(case: &Case<'a>, traced: &Traced<'_>) -> Option<&'a Network> {
    let (_, from, to) = traced.left?;
    let network = case.network_holding(from.ip())?;
    let leaves = traced.place == Place::Behind && case.network_holding(to.ip()).is_none();
    leaves.then_some(network)
}

/// The rule that Docker would have written.
pub(super) fn own_rule(case: &Case<'_>, traced: &Traced<'_>, network: &Network) -> Option<Fix> {
    let subnet = case.source_network(traced.trial)?.to_string();
    let bridge = case.bridge_name(network)?;
    let filter = case.host_filter();
    let program = filter
        .known()
        .and_then(|filter| filtered::program_of_docker(filter))
        .unwrap_or("iptables");
    let program = if traced.trial.to.is_ipv6() {
        program.replacen("ip", "ip6", 1)
    } else {
        program.to_owned()
    };
    let words = [
        &program, "-t", "nat", "-A", "POSTROUTING", "-s", &subnet, "!", "-o", &bridge, "-j",
        "MASQUERADE",
    ];
    Some(Fix::new(
        "Or write the rule by hand, on the engine's host (as root)",
        vec![shell::command(words)],
    ))
}

/// The sights that prove it.
pub(super) fn proofs(traced: &Traced<'_>) -> Vec<String> {
    let mut proofs = traced.proofs();
    if let Some((interface, from, to)) = traced.left {
        proofs.push(format!(
            "the packet that left by {interface} is from {}, to {to}",
            from.ip()
        ));
    }
    proofs
}

fn fault(case: &Case<'_>, traced: &Traced<'_>, network: &Network) -> Fault {
    let name = case.name();
    let mut fault = Fault::error(
        format!(
            "what `{name}` sends to {} leaves the engine's host with its private address, to which no \
             answer finds back",
            traced.trial.to
        ),
        vec![Subject::container(name), Subject::network(&network.name)],
    )
    .proofs(proofs(traced));
    if network.masquerades() {
        fault = fault.fix(filtered::write_rules_again(case));
    } else {
        fault = fault.proof(format!(
            "Engine API: `{}` has com.docker.network.bridge.enable_ip_masquerade=false",
            network.name
        ));
    }
    fault.fixes(own_rule(case, traced, network))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::testing::deep::{Lost, lost};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, on_podman, passes, world,
    };

    fn left_as(source: &'static str) -> Lost {
        Lost {
            verdict: None,
            counted: false,
            to: "203.0.113.9:443",
            left: Some(("eth0", source)),
            ..Lost::default()
        }
    }

    #[test]
    fn a_private_source_outside() {
        let evidence = lost(&left_as("172.18.0.2"));
        check_rule(
            &RULE,
            &evidence,
            fails(
                "what `app` sends to 203.0.113.9:443 leaves the engine's host with its private address, \
                 to which no answer finds back",
            ),
        );
        assert_eq!(commands(&RULE, &evidence)[0], "systemctl restart docker");
        let reload = [
            "nft delete table inet netavark || true",
            "podman network reload --all",
        ];
        assert_eq!(commands(&RULE, &on_podman(evidence))[..2], reload);
    }

    #[test]
    fn the_hosts_own_address_or_no_deep_look() {
        check_rule(&RULE, &lost(&left_as("192.0.2.7")), passes());
        check_rule(&RULE, &lost(&Lost::default()), passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
