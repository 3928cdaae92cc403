//! Writes a report down. Renderers get a report and a writer; they decide nothing, and read no
//! clock, terminal or environment.

/// A duration in its largest sensible unit: `12 s`, `3 min`, `2 h`, `5 days`.
pub fn age(seconds: i64) -> String {
    match seconds {
        s if s < 120 => format!("{s} s"),
        s if s < 2 * 3600 => format!("{} min", s / 60),
        s if s < 48 * 3600 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86400),
    }
}
