//! `cargo xtask test`: every test of the workspace, those on a real engine too, and one line at the
//! end that tells how it went. Nothing is skipped silently, and no test at all is a failure.

use std::process::Command;

use crate::engine::Engine;
use crate::failure::{Failure, Result, told};
use crate::process::{self, Patience};
use crate::tally::Tally;
use crate::{build, complain, leftovers, say, stop};

/// What is tested: everything, with the features that only a build script or a test turns on.
const WHAT: [&str; 3] = [
    "--workspace",
    "--features",
    "netcheck-probe/program,netcheck-fault/program,netcheck-firewall/program,netcheck-diagnose/schema",
];

/// The key that is on every image of the kit; its value says which program is in it.
/// `netcheck_testkit::LABEL_IMAGE`, written out: building the kit would double the time of a first
/// `cargo xtask demo`. A test of the kit compares.
const KIT_IMAGE_LABEL: &str = "io.netcheck.testkit.image";

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut tally = Tally::default();
    let result = run_all(args, &mut tally);
    if let Err(failure) = &result {
        complain(&failure.to_string());
    }
    // The last line, always: programs read it.
    say(&tally.to_string());
    match result {
        // Everything has been said.
        Err(failure) => std::process::exit(failure.code().into()),
        Ok(()) => Ok(()),
    }
}

fn run_all(args: &[String], tally: &mut Tally) -> Result<()> {
    let engine = Engine::ensure()?;
    complain(&format!("testing with Docker Engine {}", engine.version()));
    let mut wrong = Vec::new();
    if let Err(failure) = test(&engine, args, tally) {
        stop::check()?;
        wrong.push(failure.to_string());
    }
    // Not `?`: the tests' failures are worth more than this one.
    if let Err(failure) = clean_up(&engine) {
        wrong.push(failure.to_string());
    }
    if engine.is_own() {
        // Afterwards there is no engine to look at any more.
        match leftovers::find(&engine) {
            Ok(found) if found.is_empty() => {}
            Ok(found) => wrong.push(format!("the tests left behind: {}", found.join(", "))),
            Err(failure) => wrong.push(failure.to_string()),
        }
    }
    if tally.passed + tally.failed == 0 {
        wrong.push("no test ran".into());
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        told(wrong.join("\n"))
    }
}

fn test(engine: &Engine, args: &[String], tally: &mut Tally) -> Result<()> {
    let shown = format!("cargo test {}", WHAT.join(" "));
    complain(&format!("\n==> {shown}"));
    let mut command = build::cargo();
    engine.aim(&mut command);
    command
        .args(["test", "--locked", "--no-fail-fast"])
        .args(WHAT)
        .arg("--")
        .args(args);
    let before = tally.failed;
    let status = process::watch(&format!("running `{shown}`"), &mut command, |line| {
        tally.see(line);
    })?;
    if status.success() {
        return Ok(());
    }
    if tally.failed > before {
        return told(format!("`{shown}`: {} failed", tally.failed - before));
    }
    // It counts, so that nobody reads "0 failed" under a build that broke.
    tally.failed += 1;
    told(format!(
        "`{shown}` failed ({status}) without a failed test: something did not compile, or a test \
         program died; it is counted as one failure"
    ))
}

/// Removes the helper's image and those of the kit, which are kept between runs of single tests and
/// must not stay after all of them.
fn clean_up(engine: &Engine) -> Result<()> {
    let plugin = build::plugin(false)
        .map_err(|failure| Failure::Told(format!("cleaning up after the tests: {failure}")))?;
    let mut command = Command::new(plugin);
    engine.aim(&mut command);
    let doing = "cleaning up after the tests with `docker-netcheck cleanup`";
    process::output(doing, command.arg("cleanup"), Patience::TIDYING)?;
    let docker = |words: &[&str]| {
        let mut command = Command::new("docker");
        engine.aim(&mut command);
        let doing = "removing the kit's images";
        process::output(doing, command.args(words), Patience::TIDYING)
    };
    let label = format!("label={KIT_IMAGE_LABEL}");
    let listed = docker(&["images", "-q", "--no-trunc", "--filter", &label])?;
    let mut ids: Vec<&str> = listed.split_whitespace().collect();
    ids.sort_unstable();
    ids.dedup();
    if !ids.is_empty() {
        let mut words = vec!["rmi", "-f"];
        words.extend(ids);
        docker(&words)?;
    }
    Ok(())
}
