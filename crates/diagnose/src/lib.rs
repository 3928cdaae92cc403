//! Evidence in, report out: the pure core of `docker netcheck` and of the testkit's diagnosis.
//!
//! Nothing here is asynchronous, opens a socket or a file, or reads a clock, the environment or a
//! terminal: the same evidence gives the same report on every machine.
//!
//! The way through: [`plan`] says what to ask where, somebody else asks, [`diagnose`] judges the
//! evidence with the [`rules`], and [`render`] writes the report down.

pub mod case;
mod checks;
pub mod clean;
pub mod evidence;
mod filtered;
mod judge;
mod moved;
mod pair;
pub mod plan;
pub mod recreate;
pub mod redact;
pub mod reference;
pub mod refusal;
pub mod refused_bind;
pub mod render;
pub mod report;
pub mod request;
pub mod rule;
pub mod rules;
pub mod shell;
pub mod start_error;
pub mod target;

pub use judge::diagnose;
pub use netcheck_probe as probe;
pub use pair::diagnose_pairs;
