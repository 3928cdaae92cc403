//! Writes the packet filter of the namespace it is started in as one line of JSON. It changes nothing.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let answer = netcheck_firewall::read()
        .and_then(|filter| serde_json::to_string(&filter).map_err(Into::into))
        .and_then(|line| writeln!(std::io::stdout(), "{line}"));
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "netcheck-firewall: {error}");
            ExitCode::FAILURE
        }
    }
}
