//! Some connections need their first packet sent again: something on the way loses packets.

use crate::case::{Case, Went};
use crate::evidence::Fact;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "packet-loss",
    title: "packets are lost on the way",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

With `--count` or `--for`: of many connections to one address, some open at once, and others only after
a second or more, or not at all. The kernel sends the first packet of a connection (SYN) again after
1, 3 and 7 seconds; nothing else takes just as long. That the target turned them away because the
program's accept queue was full is ruled out by the kernel's own count (`ListenOverflows`).

## Why it matters

A program sees connections that take 1, 3 or 7 seconds now and then, or time out, while most take
less than a millisecond. A single try mostly finds nothing.

## How to fix it

Find what drops: on the engine's host a firewall rule with `statistic`, `limit` or `hashlimit`
(`iptables-save | grep -E 'statistic|limit'`, `nft list ruleset`), a queueing discipline (`tc -s qdisc`
counts drops), a full conntrack table (`dmesg | grep conntrack`), an interface that counts errors
(`ip -s link`); between machines, cables, Wi-Fi and busy hosts.

## When it is wrong

A target that was paused or restarted while the tries went on loses packets as well.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(tries) = case.repetition() else {
        return Verdict::NotApplicable;
    };
    let lost = |went: &&&Went| matches!(went, Went::Late | Went::Unanswered);
    let lossy: Vec<_> = tries
        .by_address()
        .into_iter()
        .filter(|(_, went)| went.contains(&&Went::Through) && went.iter().any(|w| lost(&w)))
        .collect();
    if lossy.is_empty() {
        return Verdict::Pass;
    }
    let target = tries.target;
    match &tries.repetition.overflows {
        Fact::Known(0) => {}
        // The program is the cause, which has a rule of its own.
        Fact::Known(_) => return Verdict::Pass,
        other => {
            return Verdict::Unknown(format!(
                "whether packets to `{target}` are lost on the way, or turned away by a program that \
                 accepts too slowly: what its kernel counted {}",
                other.why_unknown().unwrap_or_default()
            ));
        }
    }
    let name = case.name();
    let mut fault = Fault::error(
        format!("packets from `{name}` to `{target}` are lost now and then"),
        vec![Subject::container(name), Subject::address(target)],
    );
    for (to, went) in lossy {
        let late = went.iter().filter(|one| ***one == Went::Late).count();
        let unanswered = went.iter().filter(|one| ***one == Went::Unanswered).count();
        let mut words = Vec::new();
        if late > 0 {
            words.push(format!("{late} opened only after a second or more"));
        }
        if unanswered > 0 {
            words.push(format!("{unanswered} did not open at all"));
        }
        fault = fault.proof(format!(
            "seen from `{name}`: of {} connections to {to}, {}; the others at once",
            went.len(),
            words.join(", ")
        ));
    }
    Verdict::Fail(vec![
        fault
            .proof("the target's kernel turned none of them away: its accept queues were not full")
            .fix(Fix::new(
                "Find what drops them on the engine's host: a rule with `statistic`, `limit` or \
                 `hashlimit` (iptables-save, nft list ruleset), or a queue (tc -s qdisc)",
                Vec::new(),
            )),
    ])
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Evidence, Fact};
    use crate::rule::Verdict;
    use crate::rules::testing::tries::{LATE, OK, REFUSED, UNANSWERED, tried};

    fn judged(evidence: &Evidence) -> Verdict {
        (RULE.judge)(&Case::new(evidence).unwrap())
    }

    #[test]
    fn late_and_unanswered_among_quick_ones() {
        for lost in [LATE, UNANSWERED] {
            let Verdict::Fail(faults) = judged(&tried(&[OK, lost, OK])) else {
                panic!("{lost:?}");
            };
            assert_eq!(
                faults[0].problem,
                "packets from `app` to `db:80` are lost now and then"
            );
        }
    }

    #[test]
    fn all_alike_is_no_loss() {
        for all in [OK, UNANSWERED, LATE] {
            assert_eq!(judged(&tried(&[all; 3])), Verdict::Pass, "{all:?}");
        }
        assert_eq!(judged(&tried(&[OK, REFUSED])), Verdict::Pass);
    }

    #[test]
    fn a_full_queue_is_no_loss_and_an_unknown_one_decides_nothing() {
        let mut evidence = tried(&[OK, LATE]);
        evidence.repetitions[0].overflows = Fact::Known(1);
        assert_eq!(judged(&evidence), Verdict::Pass);
        evidence.repetitions[0].overflows = Fact::NotCollected;
        assert!(matches!(judged(&evidence), Verdict::Unknown(_)));
    }
}
