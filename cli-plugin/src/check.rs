//! One diagnosis from the flags to the report, and the clean-up command.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use netcheck_diagnose::clean::{clean, is_unsafe};
use netcheck_diagnose::evidence::{EngineKind, Evidence, SCHEMA_VERSION};
use netcheck_diagnose::render::{self, text::Style};
use netcheck_diagnose::report::{Pairs, Report};
use netcheck_diagnose::request::{Cause, Refused};
use netcheck_diagnose::target;
use netcheck_engine::{Client, Deadline, Endpoint, Error, Options, PairsOptions, Run};
use tokio::runtime::Runtime;

use crate::args::{CheckArgs, Color, Format};
use crate::interrupt::{Signals, Stop};
use crate::progress::Progress;
use crate::words::Globals;
use crate::{connection, exit, formats, terminal};

/// How long an interrupted run may take to remove its helpers; they end by themselves too.
const CLEAN_UP: Duration = Duration::from_millis(1500);

/// The same for a run that failed, which may have used up its time; the reaper does the rest.
const CLEAN_UP_LATE: Duration = Duration::from_millis(250);

/// How long `cleanup` waits for the engine.
const CLEANUP_COMMAND: Duration = Duration::from_secs(60);

/// The largest evidence file that is read, in bytes: an engine with 2,000 containers makes 20 MiB.
const LARGEST_EVIDENCE: u64 = 256 * 1024 * 1024;

/// Why there is no report.
enum Failure {
    /// A message, and what to do next.
    Message(String, Option<String>),
    /// Told to stop.
    Stopped(Stop),
}

impl Failure {
    /// What the engine there refused, with what to do next.
    fn of(error: &Error, endpoint: &Endpoint) -> Self {
        let advice = error.advice();
        let named_by = endpoint.named_by.as_deref();
        let next = match (error, named_by) {
            (Error::Unreachable { .. }, Some(named_by)) => format!(
                "Check that the engine runs (`docker version`) and that {named_by} names the right one."
            ),
            _ if error.names_no_engine() => {
                format!("The engine is the one at {}. {advice}", endpoint.host)
            }
            _ => advice,
        };
        Self::Message(error.to_string(), Some(next))
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message, None)
    }
}

/// A runtime for one thread: the work is waiting, not computing.
pub(crate) fn runtime() -> Result<Runtime, String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))
}

/// Writes a message to standard error; nothing can be done if that is closed.
pub(crate) fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

fn fail(failure: Failure) -> ExitCode {
    match failure {
        Failure::Message(message, advice) => {
            say(&clean(&message));
            if let Some(advice) = advice {
                say(&clean(&advice));
            }
            ExitCode::from(exit::CANNOT_RUN)
        }
        Failure::Stopped(stop) => ExitCode::from(stop.code()),
    }
}

/// What is asked of the engine.
enum Asked {
    /// About one container.
    One(Options),
    /// About what one can connect to.
    Pairs(PairsOptions),
}

/// What is written down in the end.
enum Answer {
    One(Box<Report>),
    Pairs(Pairs),
}

/// Diagnoses a container, pairs, or saved evidence.
pub(crate) fn main(args: &CheckArgs, globals: &Globals) -> ExitCode {
    let evidence = match &args.evidence {
        Some(file) => read_evidence(file).map_err(Failure::from),
        None => {
            let asked = asked(args);
            if let Asked::Pairs(options) = &asked
                && options.targets.is_empty()
            {
                // Nothing is left to be tried, so the engine is not asked either.
                return crate::args::usage_error(&refusals(&options.refused));
            }
            collect(&asked, args, globals)
        }
    };
    let done = evidence.and_then(|evidence| {
        if let Some(file) = &args.save_evidence {
            save_evidence(&evidence, file)?;
        }
        let request = &evidence.request;
        if request.target.is_none() && request.refused.is_empty() {
            return Ok(write_about(&evidence, &Paper::from(args))?);
        }
        let pairs = netcheck_diagnose::diagnose_pairs(&evidence)?;
        let code = exit::of_pairs(&pairs);
        let mut said = Vec::new();
        if !pairs.refused.is_empty() {
            said.push(refusals(&pairs.refused));
        }
        let notes = pairs.notes.iter();
        said.extend(notes.map(|note| format!("note: {}", clean(note))));
        // What was not tried at all has no report.
        let written = if pairs.pairs.is_empty() {
            Ok(())
        } else {
            write_report(&Answer::Pairs(pairs), &Paper::from(args))
        };
        // Below the reports, where it is seen.
        for line in said {
            say(&line);
        }
        written?;
        Ok(code)
    });
    match done {
        Ok(code) => ExitCode::from(exit::kept(code, args.fail_on)),
        Err(failure) => fail(failure),
    }
}

/// One line for each target that cannot be tried.
fn refusals(refused: &[Refused]) -> String {
    let lines: Vec<String> = refused
        .iter()
        .map(|one| {
            format!(
                "cannot try the target `{}`: {}",
                clean(&one.target),
                clean(&one.why)
            )
        })
        .collect();
    lines.join("\n")
}

/// The question in the words typed.
fn asked(args: &CheckArgs) -> Asked {
    let container = args.container.clone().unwrap_or_default();
    if args.targets.is_empty() {
        return Asked::One(Options {
            container,
            probe: args.probe(),
            outbound: args.outbound.clone(),
            deep: args.deep,
        });
    }
    let mut targets = Vec::new();
    let mut refused = Vec::new();
    for text in &args.targets {
        match target::parse(text) {
            Ok(places) => targets.extend(places),
            Err(why) => refused.push(Refused {
                target: target::shown(text),
                why,
                cause: Cause::Words,
            }),
        }
    }
    Asked::Pairs(PairsOptions {
        from: container,
        targets,
        refused,
        probe: args.probe(),
        repeat: args.repeat(),
        deep: args.deep,
    })
}

/// What `--deep` is about to do.
const DEEP: &str = "--deep: what fails is tried again while firewall rules, their counters and the packets of \
    these tries are read in the network namespaces of the engine's host and of both ends. As root on that \
    host this is done directly, else by helper containers with NET_ADMIN and NET_RAW. Nothing is changed.";

fn collect(asked: &Asked, args: &CheckArgs, globals: &Globals) -> Result<Evidence, Failure> {
    let endpoint = connection::endpoint(globals)?;
    if args.deep {
        // Before anything is done. A standard error that is closed is no reason to stop.
        let _ = writeln!(io::stderr(), "{DEEP}");
    }
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let deadline = Deadline::after(args.timeout);
        let mut signals = Signals::new()
            .await
            .map_err(|error| format!("cannot listen for signals: {error}"))?;
        let progress = Progress::default();
        let told = progress.clone();
        let run = Run::new(reaper());
        let pinned = std::env::var("DOCKER_API_VERSION").ok();
        let mut connected = None;
        let work = async {
            let client = Client::connect_to(&endpoint, pinned.as_deref(), deadline).await?;
            let client = connected.insert(client);
            let tell = |doing: &str| told.say(doing);
            match asked {
                Asked::One(options) => {
                    netcheck_engine::gather(client, options, &run, deadline, &tell).await
                }
                Asked::Pairs(options) => {
                    netcheck_engine::gather_pairs(client, options, &run, deadline, &tell).await
                }
            }
        };
        let evidence = tokio::select! {
            evidence = progress.during(work) => evidence.map_err(|error| Failure::of(&error, &endpoint)),
            stop = signals.stop() => Err(Failure::Stopped(stop)),
        };
        let connected = connected.as_ref().filter(|_| run.made_helpers());
        let left = match (&evidence, connected) {
            (Err(Failure::Stopped(_)), _) => Some(CLEAN_UP),
            (Err(Failure::Message(..)), _) => Some(CLEAN_UP_LATE),
            // It removes no container in whose namespace a helper still ends.
            (Ok(_), Some(client)) if client.kind() == EngineKind::Podman => Some(CLEAN_UP),
            (Ok(_), _) => None,
        };
        if let (Some(time), Some(client)) = (left, connected) {
            tokio::select! {
                // What cannot be removed now ends by itself, and the reaper looks again.
                _ = run.clean_up(client, Deadline::after(time)) => {}
                _ = signals.stop() => {}
            }
        }
        if evidence.is_ok() || connected.is_none() {
            run.finish();
        }
        evidence.map(|evidence| (evidence, signals))
    });
    match result {
        Ok((evidence, signals)) => {
            stop_while_writing(runtime, signals);
            Ok(evidence)
        }
        Err(failure) => {
            // A call to the engine that hangs must not keep the process.
            runtime.shutdown_background();
            Err(failure)
        }
    }
}

/// Once listened to, signals no longer end the process by themselves: somebody has to hear them
/// while the report is written into a pipe that nobody reads.
fn stop_while_writing(runtime: Runtime, mut signals: Signals) {
    std::thread::spawn(move || {
        let stop = runtime.block_on(signals.stop());
        std::process::exit(stop.code().into());
    });
}

/// This program again, as the reaper.
fn reaper() -> Option<Vec<std::ffi::OsString>> {
    let program = std::env::current_exe().ok()?;
    Some(vec![program.into(), crate::REAP.into()])
}

fn read_evidence(file: &Path) -> Result<Evidence, String> {
    let shown = file.display();
    let size = fs::metadata(file)
        .map_err(|error| format!("cannot read the evidence {shown}: {error}"))?
        .len();
    if size > LARGEST_EVIDENCE {
        return Err(format!(
            "cannot read the evidence {shown}: it is larger than 256 MiB"
        ));
    }
    let text =
        fs::read(file).map_err(|error| format!("cannot read the evidence {shown}: {error}"))?;
    let value = serde_json::from_slice::<serde_json::Value>(&text)
        .map_err(|error| format!("cannot read the evidence {shown}: it is not JSON: {error}"))?;
    // A report has a version too, of its own layout.
    if value.get("outcome").is_some() {
        return Err(format!(
            "cannot read the evidence {shown}: it is a report; evidence is what --save-evidence writes"
        ));
    }
    // The version first: a newer layout would only give a puzzling message.
    let version = value
        .get("schema_version")
        .and_then(serde_json::Value::as_u64);
    match version {
        Some(version) if version == u64::from(SCHEMA_VERSION) => {}
        Some(version) => {
            return Err(format!(
                "cannot read the evidence {shown}: it has version {version} of the layout, and this \
                 tool knows {SCHEMA_VERSION}"
            ));
        }
        None => {
            return Err(format!(
                "cannot read the evidence {shown}: it is no netcheck evidence"
            ));
        }
    }
    serde_json::from_slice(&text)
        .map_err(|error| format!("cannot read the evidence {shown}: {error}"))
}

pub(crate) fn save_evidence(evidence: &Evidence, file: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!("cannot write the evidence to {}: {error}", file.display())
    };
    let text = serde_json::to_string_pretty(evidence).map_err(|error| failed(&error))?;
    fs::write(file, escape(&text) + "\n").map_err(|error| failed(&error))
}

/// JSON lets C1 and bidirectional controls stand in its strings, and people look at it in terminals.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Where a report goes, and how it looks there.
pub(crate) struct Paper<'a> {
    pub(crate) format: &'a Format,
    /// Standard output, if none.
    pub(crate) file: Option<&'a Path>,
    pub(crate) color: Color,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
}

impl<'a> From<&'a CheckArgs> for Paper<'a> {
    fn from(args: &'a CheckArgs) -> Self {
        Self {
            format: &args.format,
            file: args.output.as_deref(),
            color: args.color,
            verbose: args.verbose,
            quiet: args.quiet,
        }
    }
}

/// Judges evidence about one thing and writes the report; its exit code.
pub(crate) fn write_about(evidence: &Evidence, paper: &Paper<'_>) -> Result<u8, String> {
    let report = netcheck_diagnose::diagnose(evidence)?;
    let code = exit::of(report.outcome);
    write_report(&Answer::One(Box::new(report)), paper)?;
    Ok(code)
}

fn write_report(answer: &Answer, paper: &Paper<'_>) -> Result<(), String> {
    match paper.file {
        Some(file) => {
            let failed = |error: io::Error| {
                format!("cannot write the report to {}: {error}", file.display())
            };
            let mut out = io::BufWriter::new(File::create(file).map_err(failed)?);
            let style = style(paper, false);
            render(answer, paper.format, &style, &mut out)
                .and_then(|()| out.flush())
                .map_err(failed)
        }
        None => {
            let style = style(paper, terminal::color(paper.color));
            let mut out = io::BufWriter::new(io::stdout().lock());
            match render(answer, paper.format, &style, &mut out).and_then(|()| out.flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    Err(format!("cannot write the report: {error}"))
                }
                // A reader that has seen enough is no error.
                _ => Ok(()),
            }
        }
    }
}

fn style(paper: &Paper<'_>, color: bool) -> Style {
    Style {
        color,
        width: terminal::width(),
        verbose: paper.verbose,
        quiet: paper.quiet,
        unicode: terminal::unicode(),
    }
}

fn render(answer: &Answer, format: &Format, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let reports: Vec<&Report> = match answer {
        Answer::One(report) => vec![&**report],
        Answer::Pairs(pairs) => pairs.pairs.iter().collect(),
    };
    match (answer, format) {
        (Answer::One(report), Format::Json) => return render::json::write(report, out),
        (Answer::Pairs(pairs), Format::Json) => return render::json::write_pairs(pairs, out),
        (_, Format::Junit) => return formats::junit::write(&reports, out),
        _ => {}
    }
    for (index, report) in reports.into_iter().enumerate() {
        match format {
            Format::Github => formats::github::write(report, out)?,
            Format::Template(text) => {
                let value = serde_json::to_value(report).map_err(io::Error::other)?;
                formats::template::write(text, &value, out)?;
            }
            Format::Markdown | Format::Text => {
                if index > 0 && !style.quiet {
                    writeln!(out)?;
                }
                if *format == Format::Text {
                    render::text::write(report, style, out)?;
                } else {
                    render::markdown::write(report, out)?;
                }
            }
            // Written as one.
            Format::Json | Format::Junit => {}
        }
    }
    Ok(())
}

/// Removes what carries our label.
pub(crate) fn cleanup(globals: &Globals) -> ExitCode {
    let work = || -> Result<netcheck_engine::Cleaned, Failure> {
        let endpoint = connection::endpoint(globals)?;
        let deadline = Deadline::after(CLEANUP_COMMAND);
        runtime()?
            .block_on(async {
                let pinned = std::env::var("DOCKER_API_VERSION").ok();
                let client = Client::connect_to(&endpoint, pinned.as_deref(), deadline).await?;
                netcheck_engine::cleanup(&client, deadline).await
            })
            .map_err(|error| Failure::of(&error, &endpoint))
    };
    match work() {
        Ok(cleaned) => {
            let mut lines = String::new();
            for name in &cleaned.containers {
                lines.push_str(&format!("removed container {}\n", clean(name)));
            }
            for name in &cleaned.images {
                lines.push_str(&format!("removed image {}\n", clean(name)));
            }
            if lines.is_empty() {
                lines.push_str("nothing to remove\n");
            }
            crate::args::print(&lines)
        }
        Err(failure) => fail(failure),
    }
}
