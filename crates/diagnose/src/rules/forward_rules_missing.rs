//! The policy of FORWARD is to drop, and the rules that Docker puts there are gone.

use crate::case::Case;
use crate::filtered::{self, Kind};
use crate::rule::{Check, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "forward-rules-missing",
    title: "Docker's firewall rules are missing",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

With `--deep`, where a connection failed: it is tried again, two and three times, while the packets on the
interfaces of the engine's host are watched and the counters of the packet filters are read before and after:
those of nf_tables (native rules and iptables-nft), those of iptables-legacy, on the host and inside both
ends. No rule let the packets through, and the policy of the chain FORWARD, which drops, counted them.

## Why it matters

Docker sets that policy itself, and writes rules that let its networks through. `iptables -F`, and firewalls
that write all rules anew (ufw, firewalld, shell scripts), wipe those out, and everything between containers
and outward hangs until the engine is started again.

## How to fix it

Restart the engine: it writes its rules at each start. Then keep that script from flushing rules that are not
its own.

## When it is wrong

The engine runs with `--iptables=false`, and somebody meant to write the rules by hand.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    filtered::judge(case, Kind::Forward)
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::testing::deep::{Lost, lost, near_misses};
    use crate::rules::testing::{check_rule, commands, fails};

    fn case() -> Lost {
        Lost {
            verdict: None,
            ..Lost::default()
        }
    }

    #[test]
    fn a_rule_that_counted_each_packet() {
        check_rule(&RULE, &lost(&case()), fails("no firewall rule on the engine's host lets `app` through to 172.18.0.3:80: Docker's rules are missing"));
        assert_eq!(commands(&RULE, &lost(&case())), ["systemctl restart docker"]);
    }

    #[test]
    fn one_that_counted_none_is_not_it() {
        near_misses(&RULE, case());
    }
}
