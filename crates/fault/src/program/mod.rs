//! Starts the program: blocks the signals that are waited for, then serves the caller. It makes no
//! fault before it is told to.

mod capability;
mod conntrack;
mod dns;
mod filter;
mod lease;
mod link;
mod netlink;
mod nft;
mod refuse;
mod session;
mod tap;
mod trouble;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// EX_USAGE of sysexits(3).
const USAGE: u8 = 64;

/// Runs the program to its end.
pub(crate) fn start(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match arguments.next() {
        None => session::serve(),
        Some(argument) if argument == "--version" => {
            // The only other owner of stdout is the session, which is not started here.
            let _ = writeln!(
                std::io::stdout(),
                "netcheck-fault {} (protocol {})",
                env!("CARGO_PKG_VERSION"),
                netcheck_fault::VERSION
            );
            ExitCode::SUCCESS
        }
        Some(argument) => {
            complain(&format!(
                "unknown argument {argument:?}; the only one is --version"
            ));
            ExitCode::from(USAGE)
        }
    }
}

/// Says something on stderr; nobody may be listening.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "netcheck-fault: {message}");
}
