//! Exit codes: part of the interface, as scripts see it. Never renumbered.

use netcheck_diagnose::report::Outcome;

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

/// The exit code of a verdict.
pub(crate) fn of(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Healthy => 0,
        Outcome::Problems => PROBLEMS,
        Outcome::Undecided => UNDECIDED,
    }
}
