//! `docker netcheck explain [CODE]`: the documentation of the findings, from the rules themselves.

use std::fmt::Write as _;
use std::process::ExitCode;

use netcheck_diagnose::clean::clean;
use netcheck_diagnose::rules::{RULES, by_code};

use crate::args::print;
use crate::exit;

/// Explains one finding, or lists all.
pub(crate) fn main(code: Option<&str>) -> ExitCode {
    let Some(code) = code else {
        return print(&list());
    };
    // A whole heading is what people copy from a report.
    let wanted = code
        .trim_start_matches("error[")
        .trim_start_matches("warning[")
        .trim_end_matches(']');
    match by_code(wanted) {
        Some(rule) => print(&format!(
            "{}: {}\n\n{}\n",
            rule.code,
            rule.title,
            rule.docs.trim_end()
        )),
        None => {
            let mut message = format!("no finding has the code `{}`", clean(code));
            let close: Vec<_> = RULES
                .iter()
                .map(|rule| rule.code)
                .filter(|known| known.contains(wanted) || wanted.contains(known))
                .collect();
            if close.is_empty() {
                message.push_str("; `docker netcheck explain` lists them all");
            } else {
                // Writing to a String cannot fail.
                let _ = write!(message, "; did you mean {}?", close.join(" or "));
            }
            crate::check::say(&message);
            ExitCode::from(exit::CANNOT_RUN)
        }
    }
}

fn list() -> String {
    let widest = RULES
        .iter()
        .map(|rule| rule.code.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for rule in RULES {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:widest$}  {}", rule.code, rule.title);
    }
    text
}
