//! Exit codes: part of the interface, as scripts see it. Never renumbered.

use netcheck_diagnose::report::{Outcome, Pairs};
use netcheck_diagnose::request::{Cause, Refused};

use crate::args::FailOn;

/// Could not run: engine unreachable, no such container, refused. Also what `docker` itself uses.
pub(crate) const CANNOT_RUN: u8 = 1;
/// At least one problem was found.
const PROBLEMS: u8 = 2;
/// Nothing failed, but something that matters could not be decided.
const UNDECIDED: u8 = 3;
/// The words typed were wrong; Docker's convention.
pub(crate) const USAGE: u8 = 125;
/// Interrupted (SIGINT, or the docker CLI let go of us).
pub(crate) const INTERRUPTED: u8 = 130;
/// Terminated (SIGTERM).
pub(crate) const TERMINATED: u8 = 143;

/// The exit code that is left of one, where not everything is to be told by it. What could not run at all is
/// always told.
pub(crate) fn kept(code: u8, fail_on: FailOn) -> u8 {
    match (code, fail_on) {
        (PROBLEMS | UNDECIDED, FailOn::Never) | (UNDECIDED, FailOn::Problem) => 0,
        _ => code,
    }
}

/// The exit code of a verdict.
pub(crate) fn of(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Healthy => 0,
        Outcome::Problems => PROBLEMS,
        Outcome::Undecided => UNDECIDED,
    }
}

/// The exit code of a target that could not be tried.
fn of_refused(refused: &Refused) -> u8 {
    match refused.cause {
        Cause::Words => USAGE,
        Cause::Unknown => CANNOT_RUN,
    }
}

/// The worst of several: what could not be tried comes before what was found.
pub(crate) fn of_pairs(pairs: &Pairs) -> u8 {
    let found = pairs.pairs.iter().map(|report| of(report.outcome));
    let worst = [USAGE, CANNOT_RUN, PROBLEMS, UNDECIDED];
    let codes: Vec<u8> = pairs.refused.iter().map(of_refused).chain(found).collect();
    worst
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_tried_is_worse_than_what_was_found() {
        let refused = |cause| Refused {
            target: "x".into(),
            why: "y".into(),
            cause,
        };
        let code = |refused| {
            of_pairs(&Pairs {
                schema_version: 1,
                outcome: Outcome::Undecided,
                pairs: Vec::new(),
                refused,
                notes: Vec::new(),
            })
        };
        assert_eq!(code(vec![refused(Cause::Unknown)]), CANNOT_RUN);
        let both = vec![refused(Cause::Unknown), refused(Cause::Words)];
        assert_eq!(code(both), USAGE);
        assert_eq!(code(Vec::new()), 0);
    }
}
