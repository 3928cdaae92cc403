//! A rule of a packet filter answers for the target, with a refusal.

use crate::case::Case;
use crate::filtered::{self, Kind};
use crate::rule::{Check, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "firewall-rejects",
    title: "a firewall rule refuses the packets",
    check: Check::Networks,
    explained_by: &["no-shared-network", "inter-container-communication-off", "network-is-internal", "stale-container-address"],
    docs: "\
## What it checks

With `--deep`, where a connection failed: it is tried again, two and three times, while the packets on the
interfaces of the engine's host are watched and the counters of the packet filters are read before and after:
those of nf_tables (native rules and iptables-nft), those of iptables-legacy, on the host and inside both
ends. The rule that is named asks for nothing that the packets are not, counted each of them, and refuses.

## Why it matters

A REJECT looks like a server that is not there: `connection refused`, or `no route to host` where it is
firewalld that refuses. One looks for the fault in the program, which is fine.

## How to fix it

Take the rule away, or put one that accepts before it. With firewalld: put the bridge into a zone that accepts,
`firewall-cmd --permanent --zone=trusted --add-interface=br-…` and `firewall-cmd --reload`.

## When it is wrong

It is there on purpose.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    filtered::judge(case, Kind::Rejects)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::firewall::Verdict as Fate;

    use super::RULE;
    use crate::rules::testing::deep::{Lost, lost, near_misses};
    use crate::rules::testing::{check_rule, commands, fails};

    fn case() -> Lost {
        Lost {
            verdict: Some(Fate::Reject),
            ..Lost::default()
        }
    }

    #[test]
    fn a_rule_that_counted_each_packet() {
        check_rule(&RULE, &lost(&case()), fails("a firewall rule on the engine's host refuses what `app` sends to 172.18.0.3:80"));
        assert_eq!(commands(&RULE, &lost(&case())), ["iptables-nft -D FORWARD 1"]);
    }

    #[test]
    fn one_that_counted_none_is_not_it() {
        near_misses(&RULE, case());
    }
}
