//! A rule of a packet filter takes the answers on their way back to the container.

use crate::case::Case;
use crate::filtered::{self, Kind};
use crate::rule::{Check, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "docker-user-drops-replies",
    title: "a firewall rule takes the answers",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

With `--deep`, where a connection failed: it is tried again, two and three times, while the packets on the
interfaces of the engine's host are watched and the counters of the packet filters are read before and after:
those of nf_tables (native rules and iptables-nft), those of iptables-legacy, on the host and inside both
ends. The packets went out to the target and its answers came back to the host, where the rule that is named took
them.

## Why it matters

A rule in DOCKER-USER that means to keep strangers out (`-i eth0 ! -s 10.0.0.0/8 -j DROP`) also takes the
answers to what containers asked strangers, unless answers were let through before.

## How to fix it

Let through what belongs to a connection that exists, before that rule.

## When it is wrong

Never: the answers were seen to come in and not to go out.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    filtered::judge(case, Kind::Replies)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::testing::deep::{Lost, lost, near_misses};
    use crate::rules::testing::{check_rule, commands, fails};

    fn case() -> Lost {
        Lost {
            chain: ("DOCKER-USER", 2),
            left: Some(("eth0", "172.18.0.2")),
            answered: true,
            ..Lost::default()
        }
    }

    #[test]
    fn a_rule_that_counted_each_packet() {
        check_rule(&RULE, &lost(&case()), fails("a firewall rule on the engine's host takes the answers of 172.18.0.3:80 to `app`"));
        assert_eq!(commands(&RULE, &lost(&case())), ["iptables-nft -I DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]);
    }

    #[test]
    fn one_that_counted_none_is_not_it() {
        near_misses(&RULE, case());
    }
}
