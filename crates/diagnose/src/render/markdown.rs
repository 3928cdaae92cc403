//! The report as Markdown (GitHub's), to be pasted into an issue.
//!
//! No text of the report may act as Markdown or HTML there: it is escaped, or inside of code.

use std::io;

use super::{EXPLAIN, drawing, grouped};
use crate::clean::clean;
use crate::report::{CheckStatus, Finding, Report, Severity};

/// Writes the report.
///
/// # Errors
///
/// Those of the writer.
pub fn write(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "## {}", inline(&report.summary))?;
    if let Some(engine) = &report.engine {
        writeln!(out, "\n{}", inline(engine))?;
    }
    if !report.path.is_empty() {
        writeln!(out, "\n{}", code(&drawing(&report.path, true)))?;
        writeln!(out, "\n| step | status | seen |\n|---|---|---|")?;
        for step in &report.path {
            writeln!(
                out,
                "| {} | {} | {} |",
                step.step.label(),
                status(step.status),
                cell(&step.saw)
            )?;
        }
    }
    if !report.checks.is_empty() {
        writeln!(out, "\n| check | status | seen | from |\n|---|---|---|---|")?;
        for line in &report.checks {
            writeln!(
                out,
                "| {} | {} | {} | {} |",
                line.check.label(),
                status(line.status),
                cell(&line.saw),
                cell(&line.from)
            )?;
        }
    }
    for finding in &report.findings {
        write_finding(finding, out)?;
    }
    if !report.undecided.is_empty() {
        writeln!(out, "\n### Undecided\n")?;
        for (codes, needs) in grouped(&report.undecided) {
            let codes: Vec<String> = codes.into_iter().map(code).collect();
            writeln!(out, "- {}: {}", codes.join(", "), inline(needs))?;
        }
    }
    Ok(())
}

fn write_finding(finding: &Finding, out: &mut dyn io::Write) -> io::Result<()> {
    let severity = match finding.severity {
        Severity::Error => "Error",
        Severity::Warning => "Warning",
    };
    writeln!(out, "\n### {severity}: {}\n", inline(&finding.problem))?;
    writeln!(
        out,
        "{}, see {}",
        code(&finding.code),
        code(&format!("{EXPLAIN} {}", finding.code))
    )?;
    if !finding.evidence.is_empty() {
        writeln!(out, "\nProof:\n")?;
        for fact in &finding.evidence {
            writeln!(out, "- {}", inline(fact))?;
        }
    }
    for (index, fix) in finding.fixes.iter().enumerate() {
        let label = if index == 0 { "Fix" } else { "Or" };
        writeln!(out, "\n{label}: {}", inline(&fix.text))?;
        if !fix.commands.is_empty() {
            let commands: Vec<String> = fix.commands.iter().map(|one| clean(one)).collect();
            let fence = "`".repeat(longest_run(&commands).max(2) + 1);
            writeln!(out, "\n{fence}sh")?;
            for command in commands {
                writeln!(out, "{command}")?;
            }
            writeln!(out, "{fence}")?;
        }
    }
    if !finding.explains.is_empty() {
        writeln!(out, "\nWhat follows from it:\n")?;
        for explained in &finding.explains {
            writeln!(
                out,
                "- {}: {}",
                code(&explained.code),
                inline(&explained.problem)
            )?;
        }
    }
    Ok(())
}

fn status(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Ok => "✓ ok",
        CheckStatus::Problem => "✗ problem",
        CheckStatus::Undecided => "? unknown",
        CheckStatus::Skipped => "– skipped",
    }
}

/// The longest run of backticks, which a fence must exceed.
fn longest_run(commands: &[String]) -> usize {
    commands
        .iter()
        .flat_map(|command| command.split(|c| c != '`'))
        .map(str::len)
        .max()
        .unwrap_or(0)
}

/// A text that becomes code; one that holds a backtick is escaped instead.
fn code(text: &str) -> String {
    if text.is_empty() || text.contains('`') {
        return escape(&clean(text));
    }
    format!("`{}`", clean(text))
}

/// A sentence in a table. GitHub splits a row into cells before it looks for code: a bar in code
/// needs a backslash as well, and one after a backslash cannot be written as code at all.
fn cell(text: &str) -> String {
    let text = clean(text);
    if !text.contains('|') {
        inline(&text)
    } else if text.contains('\\') {
        escape(&text)
    } else {
        with_code(&text, |code| code.replace('|', "\\|"))
    }
}

/// A sentence: what it has in backticks becomes code, the rest is escaped. Backticks of foreign
/// text can at most shift what is code; no part stays that is neither code nor escaped.
fn inline(text: &str) -> String {
    with_code(&clean(text), str::to_owned)
}

fn with_code(text: &str, span: impl Fn(&str) -> String) -> String {
    let pieces: Vec<&str> = text.split('`').collect();
    let paired = pieces.len() % 2 == 1;
    let has_empty_code = pieces
        .iter()
        .skip(1)
        .step_by(2)
        .any(|piece| piece.trim().is_empty());
    // Two pieces of code with nothing between them would make a longer run of backticks.
    let touching = pieces
        .iter()
        .step_by(2)
        .skip(1)
        .rev()
        .skip(1)
        .any(|piece| piece.is_empty());
    if !paired || has_empty_code || touching {
        return escape(text);
    }
    pieces
        .iter()
        .enumerate()
        .map(|(index, piece)| {
            if index % 2 == 1 {
                format!("`{}`", span(piece))
            } else {
                escape(piece)
            }
        })
        .collect()
}

/// No character of it acts (GitHub Flavored Markdown 2.4: any ASCII punctuation may be escaped).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let acts = match c {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '&' | '~' | '#' | '$' => true,
            // Within a word it is a letter, and names are full of it.
            '_' => {
                let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                !(letter(before) && letter(rest.peek().copied()))
            }
            // A list within a list.
            '-' | '+' | '=' => before.is_none(),
            _ => false,
        };
        if acts {
            escaped.push('\\');
        }
        escaped.push(c);
        before = Some(c);
    }
    escaped
}
