//! Findings as annotations of GitHub Actions, one workflow command a line:
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>. No text of a report
//! may act as a command of its own, or as a property.

use std::io;

use netcheck_diagnose::clean::clean;
use netcheck_diagnose::report::{Report, Severity};

use super::story;

/// Writes the report.
///
/// # Errors
///
/// Those of the writer.
pub(crate) fn write(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    for finding in &report.findings {
        let level = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let title = format!("{} ({})", finding.title, finding.code);
        command(out, level, &title, &story(finding))?;
    }
    for open in &report.undecided {
        let title = format!("could not be decided ({})", open.code);
        command(out, "warning", &title, &open.needs)?;
    }
    if report.findings.is_empty() && report.undecided.is_empty() {
        command(out, "notice", "docker netcheck", &report.summary)?;
    }
    Ok(())
}

fn command(out: &mut dyn io::Write, level: &str, title: &str, text: &str) -> io::Result<()> {
    let lines: Vec<String> = text.split('\n').map(clean).collect();
    writeln!(
        out,
        "::{level} title={}::{}",
        property(&clean(title)),
        data(&lines.join("\n"))
    )
}

/// As actions/toolkit escapes what stands after the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The same for a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_a_command() {
        let mut out = Vec::new();
        command(&mut out, "error", "a: b, c", "100%\n::error::x\u{1b}[31m").unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("::error title=a%3A b%2C c::100%25%0A::error::x"));
        assert!(!text.contains('\u{1b}'));
    }
}
