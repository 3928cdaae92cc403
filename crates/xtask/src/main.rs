//! `cargo xtask`: what people and machines do with this repository, in one place that needs no
//! shell: the demo, all tests, the benchmark, the package, and the search for leftovers.
//!
//! It must leave the engine as it found it however it ends, and never stop or touch an engine,
//! container, network or file that it did not make.

mod bench;
mod build;
mod busybox;
mod demo;
mod engine;
mod failure;
mod install;
mod leftovers;
mod matrix;
mod node_image;
mod own_engine;
mod package;
mod process;
mod stop;
mod tally;
mod test;
mod world;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everyday work on docker netcheck
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build and install the plugin, break a small world, and see it diagnosed and repaired
    Demo,
    /// Run every test of the workspace, also those that need a real engine
    Test {
        /// Only the tests that need an engine, on this one of those that `engines` brings up
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,
        /// With --engine: write the result into docs/compatibility.md
        #[arg(long, requires = "engine")]
        write: bool,
        /// With --engine: only this test program, e.g. faults; may be given several times
        #[arg(long, requires = "engine", value_name = "PROGRAM")]
        only: Vec<String>,
        /// Words for the test programs, e.g. a part of a test's name
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Measure the plugin against what people do by hand
    Bench {
        /// How often each thing is measured
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=500))]
        runs: u16,
        /// Write the table into docs/benchmarks.md
        #[arg(long)]
        write: bool,
    },
    /// Build the Debian package, and install and remove it where nothing of the machine is changed
    Package,
    /// List what of ours is left on the engine; exit code 1 if there is anything
    Leftovers,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = stop::listen().and_then(|()| match cli.command {
        Task::Demo => demo::run(),
        Task::Test {
            engine: None, args, ..
        } => test::run(&args),
        Task::Test {
            engine: Some(engine),
            write,
            only,
            args,
        } => matrix::run(&engine, &only, &args, write),
        Task::Bench { runs, write } => bench::run(runs.into(), write),
        Task::Package => package::run(),
        Task::Leftovers => leftovers::run(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.to_string());
            ExitCode::from(failure.code())
        }
    }
}

/// A line of the result. A reader that has gone away is no error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line about what is being done or went wrong; nothing can be done if nobody reads it.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
