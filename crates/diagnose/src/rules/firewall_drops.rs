//! A rule of a packet filter drops what the container sends.

use crate::case::Case;
use crate::filtered::{self, Kind};
use crate::rule::{Check, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "firewall-drops",
    title: "a firewall rule drops the packets",
    check: Check::Networks,
    explained_by: &["no-shared-network", "inter-container-communication-off", "network-is-internal", "stale-container-address"],
    docs: "\
## What it checks

With `--deep`, where a connection failed: it is tried again, two and three times, while the packets on the
interfaces of the engine's host are watched and the counters of the packet filters are read before and after:
those of nf_tables (native rules and iptables-nft), those of iptables-legacy, on the host and inside both
ends. The rule that is named asks for nothing that the packets are not, and counted each of them.

## Why it matters

A packet that is dropped is never answered: programs hang until they give up. Nothing else shows it, and from
the host itself the port may well answer, as its own packets do not go through FORWARD and DOCKER-USER.

## How to fix it

Take the rule away, or put one that accepts before it; and out of whatever writes it at the next start.

## When it is wrong

It is there on purpose. Then this connection is what it is meant to stop.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    filtered::judge(case, Kind::Drops)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::testing::deep::{Lost, lost};
    use crate::rules::testing::{check_rule, commands, container, fails, not_applicable, on_podman, passes, unknown, world};

    fn case() -> Lost {
        Lost::default()
    }

    #[test]
    fn a_rule_that_counted_each_packet() {
        check_rule(&RULE, &lost(&case()), fails("a firewall rule on the engine's host drops what `app` sends to 172.18.0.3:80"));
        assert_eq!(commands(&RULE, &lost(&case())), ["iptables-nft -D FORWARD -p tcp --dport 80 -j DROP"]);
    }

    #[test]
    fn one_that_counted_none_is_not_it() {
        let case = Lost {
            counted: false,
            ..case()
        };
        check_rule(&RULE, &lost(&case), unknown("no rule on the engine's host"));
    }

    /// podman has no rules of its own in iptables' FORWARD that could be missing.
    #[test]
    fn the_policy_of_forward_on_podman() {
        let policy = Lost {
            verdict: None,
            ..case()
        };
        let docker = lost(&policy);
        check_rule(&RULE, &docker, passes());
        let podman = on_podman(docker);
        check_rule(&super::super::forward_rules_missing::RULE, &podman, passes());
        assert_eq!(
            commands(&RULE, &podman),
            ["iptables-nft -P FORWARD ACCEPT"]
        );
    }

    #[test]
    fn without_a_deep_look_it_says_nothing() {
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
