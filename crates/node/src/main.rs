//! `netcheck-node`: the one program of the one-file images from which test worlds are built. It
//! plays servers, hung servers and silent clients, as PID 1. It must never need a file, a name
//! server or a registry, and never reach out unless told to (`check=`).
//!
//! Its command line is a list of words that are carried out in order; see [`word`].

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

mod act;
mod client;
mod name_server;
mod serve;
mod signal;
mod word;

use word::Word;

/// EX_USAGE of sysexits(3).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    // First of all: without a handler, PID 1 ignores SIGTERM and `docker stop` takes 10 seconds.
    signal::exit_when_told();
    let words: Result<Vec<Word>, String> = std::env::args_os()
        .skip(1)
        .map(|argument: OsString| match argument.to_str() {
            Some(text) => Word::read(text),
            None => Err(format!("not UTF-8: {argument:?}")),
        })
        .collect();
    match words {
        Ok(words) => act::carry_out(words),
        Err(message) => {
            complain(&message);
            ExitCode::from(USAGE)
        }
    }
}

/// Says on stderr why something did not work; nobody may be listening.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "netcheck-node: {message}");
}
