//! Completions, by the protocol of cobra that the docker CLI speaks with its plugins: a candidate a line, with
//! a tab before its description, and a last line with what the shell is to do.
//!
//! It must be quick whatever the engine does, print nothing but that, and never fail.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use netcheck_diagnose::clean::clean;
use netcheck_diagnose::rules::RULES;
use netcheck_engine::{Client, Deadline, Named};

use crate::args::{self, FORMATS};
use crate::words::{self, Globals};
use crate::{check, connection};

/// The words with which a shell asks, without and with the wish for no descriptions.
pub(crate) const ASKED: [&str; 2] = ["__complete", "__completeNoDesc"];

/// The engine's time: what is typed on must not feel slow, and 200 ms do.
const PATIENCE: Duration = Duration::from_millis(150);

/// cobra's ShellCompDirectiveNoFileComp; 0 lets the shell complete names of files.
const NO_FILES: u8 = 4;

/// One candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    value: String,
    about: String,
}

fn candidate(value: impl Into<String>, about: impl Into<String>) -> Candidate {
    Candidate {
        value: value.into(),
        about: about.into(),
    }
}

/// What can stand where the cursor is.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// A flag of the diagnosis, or of this subcommand.
    Flag(Option<String>),
    /// The value of a flag, with what stands before it in the same word.
    Value(String, String),
    /// The container asked about, or a subcommand.
    First,
    /// Where it connects to.
    Target,
    /// A code.
    Code,
    /// A subcommand.
    Subcommand,
    /// Nothing.
    Nothing,
}

/// Prints what the last of the words can become.
pub(crate) fn main(words: &[String], descriptions: bool) -> ExitCode {
    let (current, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let split = words::split(before.iter().map(Into::into).collect());
    let (mut globals, own) = match split {
        Ok(words) => (words.globals, words.own),
        Err(_) => return print(&[], NO_FILES, false),
    };
    let own: Vec<String> = own
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    // The docker CLI takes its own flags out; its command line still has them.
    if globals.host.is_none()
        && globals.context.is_none()
        && globals.config.is_none()
        && let Some(of_docker) = of_parent()
    {
        globals = of_docker;
    }
    let (candidates, directive) = match wanted(&own, current) {
        Wanted::Flag(of) => (flags(of.as_deref()), NO_FILES),
        Wanted::Value(flag, prefix) => values(&flag, &prefix),
        Wanted::Code => (codes(), NO_FILES),
        Wanted::Subcommand => (subcommands(), NO_FILES),
        Wanted::Nothing => (Vec::new(), NO_FILES),
        Wanted::First => {
            let mut all = names(&containers(&globals, None));
            all.push(candidate("host", "the engine's host"));
            all.extend(subcommands());
            (all, NO_FILES)
        }
        Wanted::Target => {
            let of = current.split_once(':').map(|(name, _)| name);
            (targets(&containers(&globals, of), of), NO_FILES)
        }
    };
    let fitting: Vec<Candidate> = candidates
        .into_iter()
        .filter(|one| one.value.starts_with(current))
        .collect();
    let descriptions = descriptions
        && std::env::var_os("DOCKER_CLI_DISABLE_COMPLETION_DESCRIPTION")
            .is_none_or(|value| value.is_empty());
    print(&fitting, directive, descriptions)
}

/// The globals in front of our name on the command line of the docker CLI that asks.
fn of_parent() -> Option<Globals> {
    #[cfg(target_os = "linux")]
    {
        let parent = std::os::unix::process::parent_id();
        let line = std::fs::read(format!("/proc/{parent}/cmdline")).ok()?;
        let words: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let at = words
            .iter()
            .position(|word| ASKED.contains(&word.as_str()))?;
        let words = words.get(at + 1..)?;
        let split = words::split(words.iter().map(Into::into).collect()).ok()?;
        split.as_plugin.then_some(split.globals)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

fn wanted(own: &[String], current: &str) -> Wanted {
    let mut positional: Vec<&str> = Vec::new();
    let mut words = own.iter().peekable();
    let mut only_words = false;
    while let Some(word) = words.next() {
        if only_words || !word.starts_with('-') || word == "-" {
            positional.push(word);
        } else if word == "--" {
            only_words = true;
        } else if let Some(flag) = args::takes_value(word) {
            match words.next() {
                Some(_) => {}
                None => return Wanted::Value(flag, String::new()),
            }
        }
    }
    let subcommand = positional
        .first()
        .copied()
        .filter(|word| subcommands().iter().any(|one| one.value == **word));
    if current.starts_with('-') && !only_words {
        return match current.split_once('=') {
            Some((flag, _)) => match args::takes_value(flag) {
                Some(name) => Wanted::Value(name, format!("{flag}=")),
                None => Wanted::Nothing,
            },
            None => Wanted::Flag(subcommand.map(str::to_owned)),
        };
    }
    match (subcommand, positional.len()) {
        (Some("explain"), 1) => Wanted::Code,
        (Some("help"), 1) => Wanted::Subcommand,
        (Some(_), _) => Wanted::Nothing,
        (None, 0) => Wanted::First,
        (None, _) => Wanted::Target,
    }
}

fn flags(of: Option<&str>) -> Vec<Candidate> {
    args::flags(of)
        .into_iter()
        .map(|(flag, about)| candidate(flag, about))
        .collect()
}

fn subcommands() -> Vec<Candidate> {
    args::subcommands()
        .into_iter()
        .map(|(name, about)| candidate(name, about))
        .collect()
}

fn codes() -> Vec<Candidate> {
    RULES
        .iter()
        .map(|rule| candidate(rule.code, rule.title))
        .collect()
}

fn values(flag: &str, prefix: &str) -> (Vec<Candidate>, u8) {
    let with = |values: Vec<(String, String)>| {
        let all = values.into_iter();
        all.map(|(value, about)| candidate(format!("{prefix}{value}"), about))
            .collect()
    };
    match flag {
        "format" => {
            let names = FORMATS.map(|(name, _)| (name.to_owned(), String::new()));
            (with(names.into()), NO_FILES)
        }
        "output" | "save-evidence" | "evidence" | "config" => (Vec::new(), 0),
        "context" => {
            let names = connection::contexts();
            (with(names), NO_FILES)
        }
        _ => (with(args::values(flag)), NO_FILES),
    }
}

/// Those of the engine, if it answers in time; all ports of those that are called so.
fn containers(globals: &Globals, with_ports: Option<&str>) -> Vec<Named> {
    let deadline = Deadline::after(PATIENCE);
    let (Ok(endpoint), Ok(runtime)) = (connection::endpoint(globals), check::runtime()) else {
        return Vec::new();
    };
    let found = runtime.block_on(async {
        let pinned = std::env::var("DOCKER_API_VERSION").ok();
        let work = async {
            let client = Client::connect_to(&endpoint, pinned.as_deref(), deadline).await?;
            netcheck_engine::containers(&client, with_ports, deadline).await
        };
        tokio::time::timeout(PATIENCE, work).await
    });
    // A call that hangs must not keep the process.
    runtime.shutdown_background();
    match found {
        Ok(Ok(containers)) => containers,
        _ => Vec::new(),
    }
}

fn names(containers: &[Named]) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = containers
        .iter()
        .map(|one| candidate(&one.name, format!("{}, {}", one.image, one.state)))
        .collect();
    for one in containers {
        if let Some(service) = &one.service {
            let service = candidate(service, "service of Compose");
            if !all.contains(&service) {
                all.push(service);
            }
        }
    }
    all
}

/// Containers, or the ports of the one whose name stands before a colon.
fn targets(containers: &[Named], of: Option<&str>) -> Vec<Candidate> {
    let Some(name) = of else {
        return names(containers);
    };
    let meant = containers.iter().filter(|one| one.is_called(name));
    let ports = meant.flat_map(|one| &one.ports);
    let mut all: Vec<Candidate> = ports
        .map(|port| {
            // TCP is what a bare number means.
            let short = port.strip_suffix("/tcp").unwrap_or(port);
            candidate(format!("{name}:{short}"), "")
        })
        .collect();
    all.dedup();
    all
}

/// All at once, and never with an exit code: the CLI would add an error to what is there.
fn print(candidates: &[Candidate], directive: u8, descriptions: bool) -> ExitCode {
    let mut text = String::new();
    for one in candidates {
        text.push_str(&clean(&one.value));
        if descriptions && !one.about.is_empty() {
            text.push('\t');
            text.push_str(&clean(&one.about).replace('\t', " "));
        }
        text.push('\n');
    }
    text.push_str(&format!(":{directive}\n"));
    // Nobody is there who could be told.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(own: &str, current: &str) -> Wanted {
        let own: Vec<String> = own.split_whitespace().map(str::to_owned).collect();
        wanted(&own, current)
    }

    #[test]
    fn what_can_stand_where() {
        let value = |flag: &str, prefix: &str| Wanted::Value(flag.into(), prefix.into());
        assert_eq!(at("", "my"), Wanted::First);
        assert_eq!(at("-v --timeout 2s", ""), Wanted::First);
        assert_eq!(at("app", "db:"), Wanted::Target);
        assert_eq!(at("app db:80", ""), Wanted::Target);
        assert_eq!(at("--format", ""), value("format", ""));
        assert_eq!(at("-f", ""), value("format", ""));
        assert_eq!(at("app", "--format=j"), value("format", "--format="));
        assert_eq!(at("app", "--"), Wanted::Flag(None));
        assert_eq!(at("explain", ""), Wanted::Code);
        assert_eq!(at("explain", "--"), Wanted::Flag(Some("explain".into())));
        assert_eq!(at("explain x", ""), Wanted::Nothing);
        assert_eq!(at("help", ""), Wanted::Subcommand);
        assert_eq!(at("-- explain", ""), Wanted::Code);
    }

    #[test]
    fn ports_of_the_container_before_the_colon() {
        let named = |name: &str, ports: &[&str]| Named {
            name: name.into(),
            image: "i".into(),
            state: "running".into(),
            service: Some(format!("shop/{name}")),
            ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        };
        let all = [
            named("db", &["3306/tcp", "53/udp"]),
            named("web", &["80/tcp"]),
        ];
        let values = |of| -> Vec<String> {
            let found = targets(&all, of).into_iter();
            found.map(|one| one.value).collect()
        };
        assert_eq!(values(Some("db")), ["db:3306", "db:53/udp"]);
        assert_eq!(values(Some("shop/web")), ["shop/web:80"]);
        assert_eq!(values(None), ["db", "web", "shop/db", "shop/web"]);
        assert!(values(Some("nobody")).is_empty());
    }
}
