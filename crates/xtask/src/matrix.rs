//! `cargo xtask test --engine NAME`: the tests that need a real engine, on another engine than the
//! machine's own, and the page that records how that went.
//!
//! Engines are brought up by the program `engines` (on PATH, or named by `NETCHECK_ENGINES`): `up
//! NAME`, `down NAME`, `list`, `exec NAME PROGRAM…`, which runs a program of this machine in that
//! engine's host network with its socket, and `enter NAME PROGRAM…`, which runs a program of that engine's
//! own system. An engine that was up before stays up.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::engine::on_path;
use crate::failure::{Failure, Result, told};
use crate::process::{self, Patience};
use crate::tally::Tally;
use crate::{build, complain, say, stop};

/// The packages whose tests talk to an engine.
const PACKAGES: [&str; 3] = ["docker-netcheck", "netcheck-engine", "netcheck-testkit"];

/// Where the results are kept, below the root of the workspace.
const PAGE: &str = "docs/compatibility.md";

/// And which tests they are of, a file for each engine: docs/rules.md tells from them where a finding was tried.
const LISTS: &str = "docs/compatibility";

const BEGIN: &str = "<!-- results: `cargo xtask test --engine NAME --write` -->\n";
const END: &str = "<!-- end of results -->";

/// Compares a page with what this writes, which it cannot hold before.
const OF_THE_RESULTS: &str = "the_page_of_rules_is_up_to_date";

/// By this `tests/private` finds the programs of the engine's version, for an engine of its own.
const AMONG: &str = "NETCHECK_TEST_AMONG";

/// So many failed tests are named in the page; more are only in the list.
const NAMED: usize = 12;

/// The first start of an engine installs it.
const UP: Patience = Patience::seconds(600);

/// The tests on one engine of the matrix.
pub(crate) fn run(name: &str, only: &[String], args: &[String], write: bool) -> Result<()> {
    let engines = Engines::find()?;
    let was_up = engines.is_up(name)?;
    let mut tally = Tally::default();
    let mut results = Results::new();
    let result = engines.up(name).and_then(|version| {
        complain(&format!("testing with {name}, version {version}"));
        test(&engines, name, (only, args), &mut tally, &mut results).map(|()| version)
    });
    if !was_up {
        // The tests' failures are worth more than this one.
        if let Err(failure) = engines.call("down", name, Patience::TIDYING) {
            complain(&failure.to_string());
        }
    }
    let version = match result {
        Ok(version) => version,
        Err(failure) => {
            say(&tally.to_string());
            return Err(failure);
        }
    };
    let failed: Vec<String> = results
        .iter()
        .filter(|(_, passed)| !**passed)
        .map(|(test, _)| test.clone())
        .collect();
    for test in &failed {
        complain(&format!("failed on {name}: {test}"));
    }
    if write {
        let all = list(name, results)?;
        let (passed, failed): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, passed)| *passed);
        let row = Row {
            version,
            passed: passed.len(),
            failed: failed.into_iter().map(|(test, _)| test).collect(),
        };
        record(name, row)?;
    }
    // The last line, always: programs read it.
    say(&tally.to_string());
    match (tally.passed + tally.failed, tally.failed) {
        (0, _) => told("no test ran"),
        (_, 0) => Ok(()),
        (_, many) => told(format!("{many} tests failed on {name}")),
    }
}

/// Whether each test passed, by its name.
type Results = BTreeMap<String, bool>;

/// The program that has the engines.
struct Engines(PathBuf);

impl Engines {
    fn find() -> Result<Self> {
        let named = std::env::var_os("NETCHECK_ENGINES").map(PathBuf::from);
        named
            .or_else(|| on_path("engines"))
            .map(Self)
            .ok_or_else(|| {
                Failure::Told(
                    "the program `engines`, which brings up other engines, is not on PATH; name it by \
                     NETCHECK_ENGINES"
                        .into(),
                )
            })
    }

    fn call(&self, word: &str, name: &str, patience: Patience) -> Result<String> {
        let mut command = Command::new(&self.0);
        command.args([word, name]);
        process::output(
            &format!("running `engines {word} {name}`"),
            &mut command,
            patience,
        )
    }

    fn is_up(&self, name: &str) -> Result<bool> {
        let mut command = Command::new(&self.0);
        let listed = process::output("listing the engines", command.arg("list"), UP)?;
        let row = listed
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        match row.map(|row| row.split_whitespace().nth(1)) {
            Some(state) => Ok(state == Some("up")),
            None => told(format!(
                "there is no engine `{name}`; `engines list` shows which there are"
            )),
        }
    }

    /// Its version, once it is up.
    fn up(&self, name: &str) -> Result<String> {
        complain(&format!("bringing up {name}…"));
        let host = self.call("up", name, UP)?;
        let mut command = Command::new("docker");
        command.args([
            "-H",
            host.trim(),
            "version",
            "--format",
            "{{.Server.Version}}",
        ]);
        let version = process::output("asking the engine for its version", &mut command, UP)?;
        Ok(version.trim().to_owned())
    }

    /// The setting by which cargo puts `engines exec NAME` in front of each test program.
    fn runner(&self, name: &str) -> Result<String> {
        // A list of strings of JSON is one of TOML, too.
        let words = self.words("exec", name)?;
        Ok(format!("target.'cfg(unix)'.runner = {words}"))
    }

    /// What to put in front of a command, as JSON.
    fn words(&self, word: &str, name: &str) -> Result<String> {
        let path = self.0.to_str();
        match path.map(|path| serde_json::to_string(&[path, word, name])) {
            Some(Ok(words)) => Ok(words),
            _ => told(format!(
                "the path of `engines` is not UTF-8: {}",
                self.0.display()
            )),
        }
    }
}

fn test(
    engines: &Engines,
    name: &str,
    (only, args): (&[String], &[String]),
    tally: &mut Tally,
    results: &mut Results,
) -> Result<()> {
    let mut command = build::cargo();
    command
        .args(["test", "--locked", "--no-fail-fast", "--config"])
        .arg(engines.runner(name)?)
        .env(AMONG, engines.words("enter", name)?);
    if only.is_empty() {
        command.arg("--tests");
    }
    for program in only {
        command.args(["--test", program]);
    }
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let shown = format!("the tests of {} on {name}", PACKAGES.join(", "));
    command.args(["--", "--skip", OF_THE_RESULTS]).args(args);
    complain(&format!("\n==> {shown}"));
    process::watch(&format!("running {shown}"), &mut command, |line| {
        tally.see(line);
        if let Some((name, passed)) = result_of(line) {
            // Of two tests with one name both have to pass.
            *results.entry(name.to_owned()).or_insert(true) &= passed;
        }
    })?;
    stop::check()
}

/// `test name ... ok` as `cargo test` prints it.
fn result_of(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match result {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
}

/// Writes down which tests ran and how; of those that did not run now, what they were before stays. All of them.
fn list(name: &str, results: Results) -> Result<Results> {
    let folder = build::workspace().join(LISTS);
    let file = folder.join(format!("{name}.txt"));
    let before = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return told(format!("reading the tests in {}: {error}", file.display())),
    };
    let all = merged(&before, results);
    let lines: Vec<String> = all
        .iter()
        .map(|(test, passed)| format!("{} {test}\n", if *passed { "ok" } else { "FAILED" }))
        .collect();
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, lines.concat()))
        .map_err(|error| Failure::Told(format!("recording the tests in {LISTS}: {error}")))?;
    Ok(all)
}

fn merged(before: &str, results: Results) -> Results {
    let mut all: Results = before
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, test)| !test.contains(OF_THE_RESULTS))
        .map(|(result, test)| (test.to_owned(), result == "ok"))
        .collect();
    all.extend(results);
    all
}

/// How it went on one engine.
struct Row {
    version: String,
    passed: usize,
    failed: Vec<String>,
}

/// Puts the row into the page, in place of the engine's last one.
fn record(name: &str, row: Row) -> Result<()> {
    let file = build::workspace().join(PAGE);
    let trouble =
        |error: std::io::Error| Failure::Told(format!("recording the result in {PAGE}: {error}"));
    let page = fs::read_to_string(&file).map_err(trouble)?;
    let page = with_row(&page, name, &row)
        .ok_or_else(|| Failure::Told(format!("{PAGE} has lost the marks around its results")))?;
    fs::write(&file, page).map_err(trouble)
}

fn with_row(page: &str, name: &str, row: &Row) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (table, after) = rest.split_once(END)?;
    let mut rows: BTreeMap<String, String> = table
        .lines()
        .skip(3)
        .filter_map(|line| {
            let name = line.strip_prefix("| ")?.split(" |").next()?;
            Some((name.to_owned(), line.to_owned()))
        })
        .collect();
    let failed: Vec<String> = row.failed.iter().map(|test| format!("`{test}`")).collect();
    let failed = match failed.len() {
        0 => "none".to_owned(),
        many if many > NAMED => {
            format!("{many}: the lines with `FAILED` in [{name}.txt](compatibility/{name}.txt)")
        }
        _ => failed.join(", "),
    };
    rows.insert(
        name.to_owned(),
        format!("| {name} | {} | {} | {failed} |", row.version, row.passed),
    );
    let rows: Vec<String> = rows.into_values().collect();
    Some(format!(
        "{before}{BEGIN}\n| engine | version | passed | failed |\n|---|---|---|---|\n{}\n\n{END}{after}",
        rows.join("\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_what_cargo_prints() {
        assert_eq!(result_of("test a::b ... ok"), Some(("a::b", true)));
        assert_eq!(result_of("test b ... FAILED"), Some(("b", false)));
        assert_eq!(result_of("test result: ok. 1 passed"), None);
        assert_eq!(result_of("test b ... ignored"), None);
    }

    #[test]
    fn a_run_of_some_tests_keeps_what_the_others_were() {
        let before = "ok a\nFAILED b\nFAILED c::the_page_of_rules_is_up_to_date\n";
        let all = merged(before, [("b".into(), true), ("d".into(), false)].into());
        let expected = [("a", true), ("b", true), ("d", false)];
        assert_eq!(
            all,
            expected.map(|(test, passed)| (test.into(), passed)).into()
        );
    }

    #[test]
    fn a_row_takes_the_place_of_its_engines_last_one() {
        let page = format!("a\n{BEGIN}{END}\nb\n");
        let row = |version: &str, failed: &[&str]| Row {
            version: version.into(),
            passed: 7,
            failed: failed.iter().map(|&test| test.to_owned()).collect(),
        };
        let page = with_row(&page, "podman", &row("5", &["x", "y"])).unwrap();
        let page = with_row(&page, "docker", &row("28", &[])).unwrap();
        let page = with_row(&page, "podman", &row("6", &["x"])).unwrap();
        let expected = format!(
            "a\n{BEGIN}\n| engine | version | passed | failed |\n|---|---|---|---|\n\
             | docker | 28 | 7 | none |\n| podman | 6 | 7 | `x` |\n\n{END}\nb\n"
        );
        assert_eq!(page, expected);
        assert!(with_row("no marks", "x", &row("1", &[])).is_none());
        let many = with_row(&page, "podman", &row("6", &["x"; 13])).unwrap();
        assert!(
            many.contains("| 13: the lines with `FAILED` in [podman.txt]"),
            "{many}"
        );
    }
}
