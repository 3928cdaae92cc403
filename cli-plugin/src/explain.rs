//! `docker netcheck explain [CODE|WORDS]`: the documentation of the findings, from the rules themselves; and
//! what the words mean with which the engine or the docker CLI refused a command.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use netcheck_diagnose::clean::clean;
use netcheck_diagnose::evidence::Evidence;
use netcheck_diagnose::rules::{RULES, by_code};
use netcheck_engine::{Client, Deadline};

use crate::args::{Color, Format, duration, format, print};
use crate::check::{Paper, runtime, save_evidence, say, write_about};
use crate::words::Globals;
use crate::{connection, exit};

/// No more of standard input is read, in bytes.
const MOST_READ: u64 = 1024 * 1024;

/// No more of it is looked at, in bytes: a refusal stands at the end.
const MOST_WORDS: usize = 64 * 1024;

/// What is to be explained, and the flags of the report where it is a refusal.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Code of a finding, e.g. listens-on-loopback-only; or the words with which `docker network create`, `docker
    /// run` or `docker compose up` was refused, in quotes, with the command if you like; `-` reads them from
    /// standard input
    #[arg(value_name = "CODE|WORDS")]
    pub(crate) what: Option<String>,
    /// Format of the report on a refusal, as without `explain`
    #[arg(long, short, value_parser = format, default_value = "text", value_name = "FORMAT")]
    pub(crate) format: Format,
    /// How long the engine is waited for; without it the words are explained all the same
    #[arg(long, default_value = "2s", value_parser = duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// When to use colour: auto, always or never
    #[arg(
        long,
        value_enum,
        default_value = "auto",
        hide_possible_values = true,
        value_name = "WHEN"
    )]
    pub(crate) color: Color,
    /// Also write the (redacted) evidence to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) save_evidence: Option<PathBuf>,
}

/// Explains one finding or one refusal, or lists all findings.
pub(crate) fn main(args: &ExplainArgs, globals: &Globals) -> ExitCode {
    match args.what.as_deref() {
        None => print(&list()),
        Some("-") => {
            let mut read = Vec::new();
            match io::stdin().lock().take(MOST_READ).read_to_end(&mut read) {
                Ok(_) => refusal(&String::from_utf8_lossy(&read), args, globals),
                Err(error) => cannot(&format!("cannot read standard input: {error}")),
            }
        }
        // A finding as it stands in a report.
        Some(words) if heading(words).is_some() => finding(heading(words).unwrap_or_default()),
        // No code has a blank in it.
        Some(words) if words.trim().contains(char::is_whitespace) => refusal(words, args, globals),
        Some(code) => finding(code.trim()),
    }
}

/// The code in `error[CODE]: …`.
fn heading(words: &str) -> Option<&str> {
    let words = words.trim();
    let rest = words
        .strip_prefix("error[")
        .or_else(|| words.strip_prefix("warning["))?;
    Some(rest.split_once(']')?.0)
}

fn cannot(message: &str) -> ExitCode {
    say(&clean(message));
    ExitCode::from(exit::CANNOT_RUN)
}

/// What somebody was refused with.
fn refusal(words: &str, args: &ExplainArgs, globals: &Globals) -> ExitCode {
    let words = words.trim();
    if words.is_empty() {
        return cannot(
            "there is nothing to explain: what was said goes to standard error (`2>&1 |`)",
        );
    }
    let from = words.len().saturating_sub(MOST_WORDS);
    let from = (from..=words.len()).find(|at| words.is_char_boundary(*at));
    let words = &words[from.unwrap_or_default()..];
    let evidence = ask(words, args, globals)
        .unwrap_or_else(|why| netcheck_engine::refused_without_engine(words, &why));
    let done = match &args.save_evidence {
        Some(file) => save_evidence(&evidence, file),
        None => Ok(()),
    };
    let paper = Paper {
        format: &args.format,
        file: None,
        color: args.color,
        verbose: false,
        quiet: false,
    };
    match done.and_then(|()| write_about(&evidence, &paper)) {
        Ok(code) => ExitCode::from(code),
        Err(message) => cannot(&message),
    }
}

/// What the engine has to do with it.
fn ask(words: &str, args: &ExplainArgs, globals: &Globals) -> Result<Evidence, String> {
    let endpoint = connection::endpoint(globals)?;
    let runtime = runtime()?;
    let deadline = Deadline::after(args.timeout);
    let evidence = runtime.block_on(async {
        let pinned = std::env::var("DOCKER_API_VERSION").ok();
        let client = Client::connect_to(&endpoint, pinned.as_deref(), deadline).await?;
        netcheck_engine::gather_refused(&client, words, deadline).await
    });
    // A call that hangs must not keep the process.
    runtime.shutdown_background();
    evidence.map_err(|error| error.to_string())
}

/// The documentation of one finding.
fn finding(code: &str) -> ExitCode {
    match by_code(code) {
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
                .filter(|known| known.contains(code) || code.contains(known))
                .collect();
            if close.is_empty() {
                message.push_str("; `docker netcheck explain` lists them all");
            } else {
                // Writing to a String cannot fail.
                let _ = write!(message, "; did you mean {}?", close.join(" or "));
            }
            say(&message);
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
