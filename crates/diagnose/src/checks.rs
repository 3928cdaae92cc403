//! The lines of a report: for each check what was asked, from where, and what was seen.
//!
//! They tell the evidence and judge nothing: a line is a problem only where a rule found one, never
//! because of what the line itself saw. They must not show what was not redacted.

mod config;
mod gateway;
mod host;
mod listening;
mod name;
mod networks;
mod outbound;
mod published;
mod state;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use netcheck_probe::Delivered;

use crate::case::Case;
use crate::evidence::{Evidence, Fact, Viewpoint};
use crate::report::{CheckLine, CheckStatus, Finding};
use crate::rule::{Check, Rule};

/// What the Engine API told, as the place something was seen from.
const API: &str = "the Engine API";

/// The most things one line lists; the details have them all.
const MOST_IN_LINE: usize = 8;

/// What one check saw, before the rules are heard.
struct Seen {
    asked: &'static str,
    from: String,
    saw: String,
    details: Vec<String>,
    /// Holds unless a rule says otherwise.
    status: CheckStatus,
}

impl Seen {
    fn new(
        status: CheckStatus,
        asked: &'static str,
        from: impl Into<String>,
        saw: impl Into<String>,
    ) -> Self {
        Self {
            asked,
            from: from.into(),
            saw: saw.into(),
            details: Vec::new(),
            status,
        }
    }

    /// Nothing could be seen, and why.
    fn unknown(asked: &'static str, from: impl Into<String>, why: impl Display) -> Self {
        Self::new(
            CheckStatus::Undecided,
            asked,
            from,
            format!("not known: {why}"),
        )
    }

    fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }
}

/// The lines of a case, in the order of the report.
///
/// A container that does not run has a state and networks; there is nothing else to look at, and
/// seven lines that say so would only hide the one that matters.
pub(crate) fn lines(
    case: &Case<'_>,
    found: &[(&'static Rule, Finding)],
    undecided: &[(&'static Rule, String)],
) -> Vec<CheckLine> {
    let runs = case.subject.is_running();
    Check::ALL
        .into_iter()
        .filter(|check| runs || matches!(check, Check::State | Check::Networks))
        .filter_map(|check| {
            let seen = look(check, case, found)?;
            let status = if found.iter().any(|(rule, _)| rule.check == check) {
                CheckStatus::Problem
            } else if undecided.iter().any(|(rule, _)| rule.check == check) {
                CheckStatus::Undecided
            } else {
                seen.status
            };
            Some(CheckLine {
                check,
                status,
                asked: seen.asked.into(),
                from: seen.from,
                saw: seen.saw,
                details: seen.details,
            })
        })
        .collect()
}

fn look(check: Check, case: &Case<'_>, found: &[(&'static Rule, Finding)]) -> Option<Seen> {
    Some(match check {
        Check::State => state::look(case),
        Check::Networks => networks::look(case),
        Check::Name => name::look(case),
        Check::Gateway => gateway::look(case),
        Check::Listening => listening::look(case),
        Check::Published => published::look(case, found),
        Check::Host => host::look(case),
        Check::Outbound => outbound::look(case),
        Check::Config => return config::look(case, found),
    })
}

/// A viewpoint in words: `mysql-db`, `a helper on my_network`, `the engine's host`.
pub(crate) fn viewpoint_name(evidence: &Evidence, viewpoint: &Viewpoint) -> String {
    match viewpoint {
        Viewpoint::Container(id) => evidence.container(id).map_or_else(
            || format!("the container {}", short(id)),
            |container| container.name.clone(),
        ),
        Viewpoint::Network(id) => evidence.network(id).map_or_else(
            || format!("a helper on the network {}", short(id)),
            |network| format!("a helper on {}", network.name),
        ),
        Viewpoint::Host => "the engine's host".into(),
    }
}

/// The beginning of an id, as `docker ps` shows it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// `a, b, c`.
fn comma<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    join(items, ", ")
}

/// Parts of a line: `a; b; c`, and how many more there are.
fn parts(items: &[String]) -> String {
    let shown = join(items.iter().take(MOST_IN_LINE), "; ");
    match items.len().saturating_sub(MOST_IN_LINE) {
        0 => shown,
        more => format!("{shown}; and {more} more (-v lists them)"),
    }
}

fn join<T: Display>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(between)
}

/// `1 name`, `2 names`.
fn count(n: impl Into<u64>, one: &str) -> String {
    match n.into() {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// What came of an echo request, in words that follow the address, and what that is worth.
fn echo(ping: &Fact<&Delivered>) -> (String, CheckStatus) {
    use CheckStatus::{Ok, Skipped, Undecided};
    match ping {
        Fact::Known(Delivered::Reply { took_ms }) => (format!("answers (ping, {took_ms} ms)"), Ok),
        Fact::Known(Delivered::Neighbour { .. }) => {
            ("is there, without an answer to ping".into(), Ok)
        }
        Fact::Known(Delivered::Silent) => ("does not answer ping".into(), Undecided),
        Fact::Known(Delivered::Failed { errno }) => {
            (format!("cannot be pinged: {}", errno.words()), Undecided)
        }
        Fact::NotCollected => ("was not pinged".into(), Skipped),
        Fact::Failed(why) => (format!("could not be pinged: {why}"), Undecided),
    }
}
