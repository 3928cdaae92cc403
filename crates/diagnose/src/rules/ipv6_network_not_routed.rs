//! What the container sends outside over IPv6 keeps an address to which nobody outside knows the way.

use super::masquerade_missing::{own_rule, proofs, unmasked};
use crate::case::{Case, Traced};
use crate::evidence::Network;
use crate::plan::is_private;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "ipv6-network-not-routed",
    title: "what it sends over IPv6 keeps an address that nobody routes",
    check: Check::Outbound,
    explained_by: &["engine-iptables-off"],
    docs: "\
## What it checks

With `--deep`, where an IPv6 connection outside failed: the packets are seen leaving the engine's host, and their
source is still the container's own address, from a range of private ones (RFC 4193, `fd00::/8`).

## Why it matters

Engines before 27 write no IPv6 rules unless they are told to: a network with `--ipv6` and a private subnet has
addresses that look right, its packets leave, and no answer finds back. Programs that prefer IPv6 wait for that before
they try IPv4.

## How to fix it

Have the engine write IPv6 rules: `{\"experimental\": true, \"ip6tables\": true}` in daemon.json up to version 26, no
`\"ip6tables\": false` from 27 on. Or write the rule by hand.

## When it is wrong

The network is meant to be routed, and the router outside lost its route to it.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let traced = case.traced();
    if !traced.iter().any(|one| one.trial.to.is_ipv6()) {
        return Verdict::NotApplicable;
    }
    let faults = traced
        .iter()
        .filter(|one| one.trial.to.is_ipv6())
        .filter(|one| one.left.is_some_and(|(_, from, _)| is_private(from.ip())))
        .filter_map(|one| Some(fault(case, one, unmasked(case, one)?)));
    Verdict::from_faults(faults.take(1).collect())
}

fn fault(case: &Case<'_>, traced: &Traced<'_>, network: &Network) -> Fault {
    let name = case.name();
    Fault::error(
        format!(
            "what `{name}` sends to {} leaves the engine's host with its private IPv6 address, to which no answer \
             finds back",
            traced.trial.to
        ),
        vec![Subject::container(name), Subject::network(&network.name)],
    )
    .proofs(proofs(traced))
    .fixes(own_rule(case, traced, network))
    .fix(Fix::new(
        "Have the engine write IPv6 rules (`{\"experimental\": true, \"ip6tables\": true}` in its daemon.json up to \
         version 26, no `\"ip6tables\": false` from 27 on), and restart it",
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Evidence, Fact};
    use crate::rules::testing::deep::{Lost, lost};
    use crate::rules::testing::{
        check_rule, commands, container, fails, network, not_applicable, passes, world,
    };

    fn left_as(source: &'static str) -> Evidence {
        let mut evidence = lost(&Lost {
            verdict: None,
            counted: false,
            to: "[2001:db8::9]:443",
            left: Some(("eth0", source)),
            ..Lost::default()
        });
        if let Fact::Known(networks) = &mut evidence.networks {
            let six = network("my_network", "fd00:18::/64");
            networks[1].ipam.extend(six.ipam);
        }
        for container in &mut evidence.containers {
            for endpoint in &mut container.endpoints {
                endpoint.addresses.push("fd00:18::2".parse().unwrap());
            }
        }
        evidence
    }

    #[test]
    fn a_private_source_outside() {
        let evidence = left_as("fd00:18::2");
        check_rule(
            &RULE,
            &evidence,
            fails(
                "what `app` sends to [2001:db8::9]:443 leaves the engine's host with its private IPv6 address, \
                 to which no answer finds back",
            ),
        );
        assert!(commands(&RULE, &evidence)[0].contains("-t nat -A POSTROUTING -s fd00:18::/64"));
        assert!(commands(&RULE, &evidence)[0].starts_with("ip6tables"));
    }

    #[test]
    fn the_hosts_own_address_the_other_family_or_no_deep_look() {
        check_rule(&RULE, &left_as("2001:db8::1"), passes());
        check_rule(&RULE, &lost(&Lost::default()), not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
