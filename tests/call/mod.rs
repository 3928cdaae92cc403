//! One call of the real binary, with a clean environment, a bound on its time, and what came of it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use netcheck_diagnose::report::Report;

use super::world::{BINARY, show};

/// Nothing may take longer in any test; what does hangs.
const FOR_EVER: Duration = Duration::from_secs(30);

/// A run that failed is over by then, whatever the engine does: half a second beyond `--timeout 2s`.
pub const PROMISE: Duration = Duration::from_millis(2500);

/// What came of a call.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

/// A command without what the surroundings say about Docker.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("DOCKER_") || text.starts_with("NO_COLOR") || text == "TERM" {
            command.env_remove(name);
        }
    }
    command.env("DOCKER_CONFIG", "/nonexistent");
    command
}

/// The binary with these words.
pub fn netcheck(words: &[&str]) -> Command {
    let mut command = command(BINARY);
    command.args(words);
    command
}

/// The binary with these words, for the engine at `host`.
pub fn netcheck_at(host: &str, words: &[&str]) -> Command {
    let mut command = netcheck(words);
    command.env("DOCKER_HOST", host);
    command
}

/// Runs it to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Ended {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let all = move |pipe: &mut dyn Read| {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).expect("what is said is UTF-8")
    };
    let out = thread::spawn(move || all(&mut stdout));
    let err = thread::spawn(move || all(&mut stderr));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > FOR_EVER {
            child.kill().unwrap();
            panic!("it hangs: {command:?}");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let took = started.elapsed();
    let ended = Ended {
        code: status.code(),
        stdout: out.join().unwrap(),
        stderr: err.join().unwrap(),
        took,
    };
    assert!(!ended.stderr.contains("panicked"), "{ended:#?}");
    ended
}

impl Ended {
    /// It could not run: exit code 1, nothing on stdout, and these words on stderr, in time.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:#?}");
        self.only_said(words);
    }

    /// The words typed were wrong.
    #[track_caller]
    pub fn was_misused(&self, words: &[&str]) {
        assert_eq!(self.code, Some(125), "{self:#?}");
        self.only_said(words);
        assert!(
            self.stderr.contains("Run 'docker netcheck --help'"),
            "{self:#?}"
        );
    }

    /// This exit code, nothing on stdout, and these words on stderr.
    #[track_caller]
    pub fn only(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self.only_said(words);
    }

    #[track_caller]
    fn only_said(&self, words: &[&str]) {
        assert_eq!(self.stdout, "", "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in {self:#?}");
        }
        assert!(self.took < PROMISE, "{self:#?}");
        no_control_characters(&self.stderr);
    }

    /// The report, which was asked for as JSON, with the exit code that belongs to it.
    #[track_caller]
    pub fn report(&self) -> Report {
        let report: Report = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no report: {error}\n{self:#?}"));
        let expected = match report.outcome {
            netcheck_diagnose::report::Outcome::Healthy => 0,
            netcheck_diagnose::report::Outcome::Problems => 2,
            netcheck_diagnose::report::Outcome::Undecided => 3,
        };
        assert_eq!(self.code, Some(expected), "{}", show(&report));
        report
    }
}

/// Nothing that a terminal would obey, and nothing that changes how text around it reads.
#[track_caller]
pub fn no_control_characters(text: &str) {
    let bad = text
        .chars()
        .find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
    assert_eq!(bad, None, "{text:?}");
}

/// The newest and the oldest version of the API that the engine speaks. The newest one that this tool
/// knows is never older on the engines of the tests.
pub fn engine_api() -> (String, String) {
    let format = "{{.Server.APIVersion}} {{.Server.MinAPIVersion}}";
    let words = ["version", "--format", format];
    let done = Command::new("docker").args(words).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    let (newest, oldest) = said.trim().split_once(' ').unwrap();
    (newest.to_owned(), oldest.to_owned())
}
