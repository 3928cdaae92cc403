//! The program accepts more slowly than connections come, and its kernel turns some away.

use crate::case::{Case, Went};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "accept-queue-overflows",
    title: "a program accepts too slowly, and connections are turned away",
    check: Check::Listening,
    explained_by: &["process-does-not-accept"],
    docs: "\
## What it checks

With `--count` or `--for`: some connections open late or not at all, and meanwhile the target's kernel
counted connections for which an accept queue had no room (`ListenOverflows`, also in `nstat -az`).

## Why it matters

The kernel completes handshakes and keeps them in a queue until the program accepts them. When the queue
is full it ignores further ones, whose senders try again after 1, 3 and 7 seconds. Clients see
time-outs and seconds of delay under load, although the port is open and the program is alive.

## How to fix it

Let the program accept faster (more workers or threads, no work in the accepting one), or give it a
longer queue: the backlog of its `listen()` (for instance `backlog=` of nginx and redis, `--backlog` of
gunicorn), up to `net.core.somaxconn`, which `docker run --sysctl net.core.somaxconn=4096` raises.

## When it is wrong

The count is of the whole container: another port of it may be the one that overflows.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(tries) = case.repetition() else {
        return Verdict::NotApplicable;
    };
    let kept = tries.count(|went| matches!(went, Went::Late | Went::Unanswered));
    let overflows = tries.repetition.overflows.known().copied().unwrap_or(0);
    if kept == 0 || overflows == 0 {
        return Verdict::Pass;
    }
    let Some(far) = Case::target(case.evidence) else {
        return Verdict::NotApplicable;
    };
    let (name, far, target) = (case.name(), far.name(), tries.target);
    let fault = Fault::error(
        format!("`{far}` accepts connections to port {} too slowly, and some are turned away", target.port()),
        vec![
            Subject::container(far),
            Subject::container(name),
            Subject::port(target.port()),
        ],
    )
    .proof(format!(
        "seen from `{name}`: {kept} of {} connections opened only after a second or more, or not at all",
        tries.total()
    ))
    .proof(format!(
        "seen from `{far}`: meanwhile its kernel turned {overflows} away because an accept queue was full"
    ))
    .fix(Fix::new(
        "Let the program accept faster (more workers), or give it a longer queue (the backlog of its \
         listen(), and the container's net.core.somaxconn)",
        Vec::new(),
    ));
    Verdict::Fail(vec![fault])
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Evidence, Fact};
    use crate::rule::Verdict;
    use crate::rules::testing::tries::{LATE, OK, tried};

    fn judged(evidence: &Evidence) -> Verdict {
        (RULE.judge)(&Case::new(evidence).unwrap())
    }

    #[test]
    fn late_ones_while_the_kernel_turned_some_away() {
        let mut evidence = tried(&[OK, LATE]);
        evidence.repetitions[0].overflows = Fact::Known(3);
        let Verdict::Fail(faults) = judged(&evidence) else {
            panic!("no fault");
        };
        assert_eq!(
            faults[0].problem,
            "`db` accepts connections to port 80/tcp too slowly, and some are turned away"
        );
    }

    #[test]
    fn one_without_the_other_is_none() {
        assert_eq!(judged(&tried(&[OK, LATE])), Verdict::Pass);
        let mut quick = tried(&[OK, OK]);
        quick.repetitions[0].overflows = Fact::Known(3);
        assert_eq!(judged(&quick), Verdict::Pass);
        let mut unknown = tried(&[OK, LATE]);
        unknown.repetitions[0].overflows = Fact::NotCollected;
        assert_eq!(judged(&unknown), Verdict::Pass, "told by packet-loss");
    }
}
