//! `docker netcheck`: the Docker CLI plugin. The only place that knows words typed, terminals and
//! exit codes; it must leave judging to `netcheck-diagnose` and looking to `netcheck-engine`.

mod args;
mod check;
mod complete;
mod connection;
mod exit;
mod explain;
mod formats;
mod hooks;
mod install;
mod interrupt;
mod progress;
mod terminal;
mod version;
mod words;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// The word with which the docker CLI asks a plugin who it is.
const METADATA: &str = "docker-cli-plugin-metadata";

/// The hidden word that makes this program the reaper of a run, see `netcheck_engine::reap`.
pub(crate) const REAP: &str = "__reap";

fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    match typed.first().and_then(|word| word.to_str()) {
        // Before anything else: the docker CLI waits for it at every `docker --help`.
        Some(METADATA) => return metadata(),
        Some(REAP) => return reap(&typed[1..]),
        Some(word) if complete::ASKED.contains(&word) => {
            let words: Vec<String> = typed[1..]
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            return complete::main(&words, word == complete::ASKED[0]);
        }
        _ => {}
    }
    match words::split(typed) {
        Ok(words) if words.own.first().is_some_and(|word| word == hooks::ASKED) => {
            let event = words.own.get(1).and_then(|event| event.to_str());
            hooks::answer(event)
        }
        Ok(words) => args::main(words),
        Err(message) => args::usage_error(&message),
    }
}

fn metadata() -> ExitCode {
    let metadata = serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "netcheck",
        "Version": concat!("v", env!("CARGO_PKG_VERSION")),
        "ShortDescription": "Say why a container cannot connect, with proof and fix",
    });
    match writeln!(std::io::stdout(), "{metadata}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(exit::CANNOT_RUN),
    }
}

fn reap(words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words
        .iter()
        .filter_map(|word| word.to_str().map(str::to_owned))
        .collect();
    let [run, host, through @ ..] = words.as_slice() else {
        return ExitCode::from(exit::USAGE);
    };
    let endpoint = netcheck_engine::Endpoint {
        host: host.clone(),
        through: (!through.is_empty()).then(|| through.to_vec()),
        named_by: None,
    };
    if let Ok(runtime) = check::runtime() {
        runtime.block_on(netcheck_engine::reap(&endpoint, run));
    }
    ExitCode::SUCCESS
}
