//! The report for a person at a terminal: the verdict first, then what was seen, then what to do.
//!
//! Prose is wrapped; a command never is, so that it can be pasted; nothing is cut. Every text goes
//! through [`clean`] once more here, as a report may come from a file.

use std::io;

use super::wrap::{columns, wrap};
use super::{EXPLAIN, grouped};
use crate::clean::clean;
use crate::report::{CheckLine, CheckStatus, Finding, Fix, Outcome, Report, Severity};

/// How to write; the caller knows the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours.
    pub color: bool,
    /// Columns of the terminal; less than 40 is taken for 40.
    pub width: usize,
    /// Also what each check asked and saw in detail, and how long each visit took.
    pub verbose: bool,
    /// The verdict alone; outweighs `verbose`.
    pub quiet: bool,
    /// Symbols beyond ASCII.
    pub unicode: bool,
}

/// Narrower than this, what a check saw gets lines of its own.
const NARROW: usize = 64;

/// The engine stands at the right end of the verdict, but not beyond this column.
const VERDICT_WIDTH: usize = 100;

/// Columns of `proof`, `fix` and the like with the space around them.
const LABEL: usize = 9;

/// Writes the report.
///
/// # Errors
///
/// Those of the writer.
pub fn write(report: &Report, style: &Style, out: &mut dyn io::Write) -> io::Result<()> {
    let mut page = Page {
        style: *style,
        width: style.width.max(40),
        out,
    };
    page.verdict(report)?;
    if style.quiet {
        return Ok(());
    }
    if !report.path.is_empty() {
        page.line("")?;
        page.path(report)?;
    }
    if !report.checks.is_empty() {
        page.line("")?;
        for line in &report.checks {
            page.check(line)?;
        }
    }
    for finding in &report.findings {
        page.line("")?;
        page.finding(finding)?;
    }
    if !report.undecided.is_empty() {
        page.line("")?;
        for (codes, needs) in grouped(&report.undecided) {
            let head = format!("undecided[{}]:", codes.join(", "));
            page.prose(Ink::Yellow, &head, needs, 2)?;
        }
    }
    if style.verbose && !report.visits.is_empty() {
        page.line("")?;
        for visit in &report.visits {
            let text = format!("{}, {} ms ({})", visit.from, visit.took_ms, visit.how);
            page.prose(Ink::Dim, "looked from", &text, 2)?;
        }
    }
    Ok(())
}

/// SGR codes (ECMA-48 8.3.117).
#[derive(Clone, Copy)]
enum Ink {
    Red,
    Green,
    Yellow,
    Bold,
    Dim,
}

struct Page<'a> {
    style: Style,
    width: usize,
    out: &'a mut dyn io::Write,
}

impl Page<'_> {
    fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// The text in a colour, if colours are wanted. The text must be clean.
    fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.style.color || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Red => "1;31",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Bold => "1",
            Ink::Dim => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn symbol(&self, status: CheckStatus) -> &'static str {
        match (status, self.style.unicode) {
            (CheckStatus::Ok, true) => "✓",
            (CheckStatus::Ok, false) => "ok",
            (CheckStatus::Problem, true) => "✗",
            (CheckStatus::Problem, false) => "x",
            (CheckStatus::Undecided, _) => "?",
            (CheckStatus::Skipped, true) => "–",
            (CheckStatus::Skipped, false) => "-",
        }
    }

    fn verdict(&mut self, report: &Report) -> io::Result<()> {
        let (status, ink) = match report.outcome {
            Outcome::Healthy => (CheckStatus::Ok, Ink::Green),
            Outcome::Problems => (CheckStatus::Problem, Ink::Red),
            Outcome::Undecided => (CheckStatus::Undecided, Ink::Yellow),
        };
        let symbol = self.symbol(status);
        let summary = clean(&bare(&report.summary));
        let indent = columns(symbol) + 1;
        let room = self.width - indent;
        let mut lines = wrap(&summary, room, room);
        if let Some(engine) = &report.engine {
            let engine = format!("({})", clean(engine));
            let used = indent + lines.last().map_or(0, |last| columns(last));
            let right = self.width.min(VERDICT_WIDTH);
            let wide = columns(&engine);
            if used + 2 + wide <= right
                && let Some(last) = lines.last_mut()
            {
                last.push_str(&" ".repeat(right - used - wide));
                last.push_str(&engine);
            } else if self.style.verbose {
                // Where there is no room for it, only those who want everything get it.
                lines.extend(wrap(&engine, room, room));
            }
        }
        for (index, line) in lines.iter().enumerate() {
            let line = if index == 0 {
                let head = self.paint(ink, symbol);
                format!("{head} {}", self.paint(Ink::Bold, line))
            } else {
                format!("{}{line}", " ".repeat(indent))
            };
            self.line(&line)?;
        }
        Ok(())
    }

    /// `  app ── my_network ──▶ mysql-db:3306`, and below it step by step what was seen.
    fn path(&mut self, report: &Report) -> io::Result<()> {
        let line = clean(&super::drawing(&report.path, self.style.unicode));
        // Drawn on one line, whatever the width: names that were broken up could not be found.
        let line = self.paint(Ink::Bold, &line);
        self.line(&format!("  {line}"))?;
        self.line("")?;
        for step in &report.path {
            self.seen(step.status, step.step.label(), &step.saw)?;
        }
        Ok(())
    }

    /// `  ✓ state      ok        running for 3 min`, and more about it.
    fn check(&mut self, line: &CheckLine) -> io::Result<()> {
        let indent = self.seen(line.status, line.check.label(), &line.saw)?;
        if self.style.verbose {
            let asked = format!("asked from {}: {}", line.from, line.asked);
            for detail in std::iter::once(&asked).chain(&line.details) {
                self.detail(detail, indent)?;
            }
        }
        Ok(())
    }

    /// One line with a status; the column in which what was seen begins.
    fn seen(&mut self, status: CheckStatus, label: &str, saw: &str) -> io::Result<usize> {
        let (word, ink) = match status {
            CheckStatus::Ok => ("ok", Ink::Green),
            CheckStatus::Problem => ("problem", Ink::Red),
            CheckStatus::Undecided => ("unknown", Ink::Yellow),
            CheckStatus::Skipped => ("skipped", Ink::Dim),
        };
        let symbol = self.symbol(status);
        let wide = if self.style.unicode { 1 } else { 2 };
        let symbol = format!("{symbol:<wide$}");
        let head = format!(
            "  {} {:<9}  {}",
            self.paint(ink, &symbol),
            label,
            self.paint(ink, word),
        );
        // What `head` takes when it is seen, without the colours.
        let taken = 2 + wide + 1 + 9 + 2 + columns(word);
        let narrow = self.width < NARROW;
        let indent = if narrow { 6 } else { 2 + wide + 1 + 11 + 10 };
        let room = self.width - indent;
        let saw = wrap(&clean(saw), room, room);
        let mut rest = saw.iter();
        if narrow {
            self.line(&head)?;
        } else if let Some(first) = rest.next() {
            let gap = " ".repeat(indent - taken);
            self.line(&format!("{head}{gap}{first}"))?;
        }
        for more in rest {
            self.line(&format!("{}{more}", " ".repeat(indent)))?;
        }
        Ok(indent)
    }

    fn detail(&mut self, text: &str, indent: usize) -> io::Result<()> {
        let room = self.width - indent - 2;
        for (index, line) in wrap(&clean(text), room, room).iter().enumerate() {
            let mark = if index == 0 { "- " } else { "  " };
            let line = self.paint(Ink::Dim, &format!("{mark}{line}"));
            self.line(&format!("{}{line}", " ".repeat(indent)))?;
        }
        Ok(())
    }

    fn finding(&mut self, finding: &Finding) -> io::Result<()> {
        let (word, ink) = match finding.severity {
            Severity::Error => ("error", Ink::Red),
            Severity::Warning => ("warning", Ink::Yellow),
        };
        let head = format!("{word}[{}]:", finding.code);
        self.prose(ink, &head, &finding.problem, 2)?;
        for (index, fact) in finding.evidence.iter().enumerate() {
            self.labelled(if index == 0 { "proof" } else { "" }, fact)?;
        }
        for (index, Fix { text, commands, .. }) in finding.fixes.iter().enumerate() {
            self.labelled(if index == 0 { "fix" } else { "or" }, text)?;
            for command in commands {
                let indent = " ".repeat(LABEL + 2);
                let command = self.paint(Ink::Bold, &clean(command));
                self.line(&format!("{indent}{command}"))?;
            }
        }
        for (index, explained) in finding.explains.iter().enumerate() {
            let text = format!("{}: {}", explained.code, explained.problem);
            self.labelled(if index == 0 { "also" } else { "" }, &text)?;
        }
        // A command, so it is not wrapped.
        let label = self.paint(Ink::Dim, "more");
        self.line(&format!("  {label}   {EXPLAIN} {}", clean(&finding.code)))
    }

    /// `  proof  seen from ...`, with what follows under its beginning.
    fn labelled(&mut self, label: &str, text: &str) -> io::Result<()> {
        let room = self.width - LABEL;
        for (index, line) in wrap(&clean(text), room, room).iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let gap = " ".repeat(LABEL - 2 - label.len());
            let label = self.paint(Ink::Dim, label);
            self.line(&format!("  {label}{gap}{line}"))?;
        }
        Ok(())
    }

    /// A head in a colour and prose after it, with a hanging indent.
    fn prose(&mut self, ink: Ink, head: &str, text: &str, indent: usize) -> io::Result<()> {
        let head = clean(head);
        let text = clean(&format!("{head} {text}"));
        for (index, line) in wrap(&text, self.width, self.width - indent)
            .iter()
            .enumerate()
        {
            let line = match line.strip_prefix(&head) {
                Some(rest) if index == 0 => format!("{}{rest}", self.paint(ink, &head)),
                _ if index == 0 => line.clone(),
                _ => format!("{}{line}", " ".repeat(indent)),
            };
            self.line(&line)?;
        }
        Ok(())
    }
}

/// The verdict's subject needs no quotes at the beginning of the page.
fn bare(summary: &str) -> String {
    match summary.strip_prefix('`') {
        Some(rest) => rest.replacen('`', "", 1),
        None => summary.to_owned(),
    }
}
