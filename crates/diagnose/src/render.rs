//! Writes a report down. Renderers get a report and a writer; they decide nothing, and read no
//! clock, terminal or environment.

pub mod json;
pub mod markdown;
pub mod text;
mod wrap;

#[cfg(test)]
mod tests;

use crate::report::{CheckStatus, Step, Undecided};

/// What a person types to read more about a finding; the code follows.
const EXPLAIN: &str = "docker netcheck explain";

/// A duration in its largest sensible unit: `12 s`, `3 min`, `2 h`, `5 days`.
pub fn age(seconds: i64) -> String {
    match seconds {
        s if s < 120 => format!("{s} s"),
        s if s < 2 * 3600 => format!("{} min", s / 60),
        s if s < 48 * 3600 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86400),
    }
}

/// Open questions that need the same, told once: their codes and the need, in the report's order.
fn grouped(undecided: &[Undecided]) -> Vec<(Vec<&str>, &str)> {
    let mut groups: Vec<(Vec<&str>, &str)> = Vec::new();
    for open in undecided {
        match groups.iter_mut().find(|(_, needs)| *needs == open.needs) {
            Some((codes, _)) => codes.push(&open.code),
            None => groups.push((vec![&open.code], &open.needs)),
        }
    }
    groups
}

/// The way of a pair on one line: `app ── my_network ──▶ mysql-db:3306`; with a cross where it ends
/// early, and a question mark where that is not known.
fn drawing(path: &[Step], unicode: bool) -> String {
    let any = |status| path.iter().any(|step| step.status == status);
    let (line, arrow) = match (
        unicode,
        any(CheckStatus::Problem),
        any(CheckStatus::Undecided),
    ) {
        (true, true, _) => ("──", "──✗"),
        (true, false, true) => ("──", "──?"),
        (true, false, false) => ("──", "──▶"),
        (false, true, _) => ("--", "--x"),
        (false, false, true) => ("--", "--?"),
        (false, false, false) => ("--", "-->"),
    };
    let places: Vec<&str> = path
        .iter()
        .filter_map(|step| step.place.as_deref())
        .collect();
    match places.split_last() {
        Some((last, before)) if !before.is_empty() => {
            format!("{} {arrow} {last}", before.join(&format!(" {line} ")))
        }
        Some((only, _)) => (*only).to_owned(),
        None => String::new(),
    }
}
