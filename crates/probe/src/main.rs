//! `netcheck-probe`: looks at one network namespace from inside and answers on standard output.
//! It must never write a file, change a setting or outlive its caller; the work is in [`program`].

use std::io::Write as _;
use std::process::ExitCode;

mod program;

fn main() -> ExitCode {
    match program::start(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nobody may be reading; there is no other place to say it.
            let _ = writeln!(std::io::stderr(), "netcheck-probe: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
