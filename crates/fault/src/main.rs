//! `netcheck-fault`: makes one network fault in the namespace it is started in, and heals it. It
//! must never change another namespace, write a file, or leave the fault behind; the work is in
//! [`program`].

use std::process::ExitCode;

#[cfg(target_os = "linux")]
mod program;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    program::start(std::env::args_os().skip(1))
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    use std::io::Write as _;
    // Nobody may be reading; there is no other place to say it.
    let _ = writeln!(
        std::io::stderr(),
        "netcheck-fault: faults are made in Linux network namespaces only"
    );
    ExitCode::FAILURE
}
