//! The firewall of the engine's host keeps containers from a port of the host.

use crate::case::Case;
use crate::filtered::{self, Kind};
use crate::rule::{Check, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-firewall-blocks-containers",
    title: "the host's firewall keeps containers out",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

With `--deep`, where a connection failed: it is tried again, two and three times, while the packets on the
interfaces of the engine's host are watched and the counters of the packet filters are read before and after:
those of nf_tables (native rules and iptables-nft), those of iptables-legacy, on the host and inside both
ends. The packets were for the host itself, and a rule or the policy of its INPUT side took them.

## Why it matters

ufw, firewalld and others let in what was allowed for the outside, and a container's bridge is one more outside
to them. `host.docker.internal` then resolves, and hangs.

## How to fix it

Let the network of the container in, for that port. So that it lasts, in the words of the firewall itself: `ufw allow
from 172.16.0.0/12 to any port PORT proto tcp`, or `firewall-cmd --permanent --zone=trusted --add-interface=br-…`.

## When it is wrong

It is there on purpose.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    filtered::judge(case, Kind::Host)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::testing::deep::{Lost, lost, near_misses};
    use crate::rules::testing::{check_rule, commands, fails};

    fn case() -> Lost {
        Lost {
            chain: ("INPUT", 1),
            to: "172.18.0.1:80",
            ..Lost::default()
        }
    }

    #[test]
    fn a_rule_that_counted_each_packet() {
        check_rule(&RULE, &lost(&case()), fails("the firewall of the engine's host keeps `app` from 172.18.0.1:80"));
        assert_eq!(commands(&RULE, &lost(&case())), ["iptables-nft -I INPUT -s 172.18.0.0/16 -p tcp --dport 80 -j ACCEPT"]);
    }

    #[test]
    fn one_that_counted_none_is_not_it() {
        near_misses(&RULE, case());
    }
}
