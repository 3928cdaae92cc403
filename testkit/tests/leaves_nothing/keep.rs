//! What stays on purpose, and what is told of a test that failed.

use std::fs;
use std::process::Command;

use netcheck_testkit::LABEL_PROCESS;
use rustix::process::Signal;

use crate::engine::{nothing_is_left, nothing_was_left, things, things_of, until};
use crate::process::{Ended, Process};
use crate::{GONE, beside_others};

pub fn shell(words: &str) -> String {
    let done = Command::new("sh").args(["-c", words]).output().unwrap();
    assert!(
        done.status.success(),
        "{words}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

/// The command that was printed after this word.
#[track_caller]
pub fn command(ended: &Ended, word: &str) -> String {
    let line = ended.stderr.lines().find_map(|line| {
        let (before, after) = line.split_once(word)?;
        before.trim().is_empty().then(|| after.trim().to_owned())
    });
    line.unwrap_or_else(|| panic!("no `{word}` in {ended}"))
}

/// It is all there, and the printed commands show and remove it.
#[track_caller]
fn is_kept(ended: &Ended) {
    let reaper_done = || match crate::process::reaper_of(ended.pid) {
        Some(reaper) => Err(format!("{reaper:?}")),
        None => Ok(()),
    };
    // With the reaper's end it is decided.
    until("the reaper ends", GONE, reaper_done);
    let kept = things_of(ended.pid, None);
    assert_eq!(kept.len(), 3, "{kept:#?}\n{ended}");
    let seen = shell(&command(ended, "look:"));
    for name in ["mysql-db-", "app-"] {
        assert!(seen.contains(name), "{seen}");
    }
    shell(&command(ended, "remove:"));
    nothing_was_left(ended);
    let marks = ended.leases();
    assert!(
        !marks.iter().any(|file| file.ends_with(".kept")),
        "{marks:?}"
    );
}

#[test]
fn everything_is_kept_if_it_is_to_be() {
    let _shared = beside_others();
    // Of a test that passed the harness shows nothing, unless it is told to.
    for words in [None, Some("--show-output")] {
        for scenario in ["ends", "is_dropped"] {
            let process = Process::start_with(scenario, |command| {
                command.env("NETCHECK_TESTKIT_KEEP", "1").args(words);
            });
            is_kept(&process.end().with_code(0));
            if words.is_some() {
                break;
            }
        }
    }
}

#[test]
fn what_failed_is_kept_and_what_passed_is_not() {
    let _shared = beside_others();
    let run = |scenario: &str| {
        let adjust = |command: &mut Command| {
            command.env("NETCHECK_TESTKIT_KEEP", "on-failure");
        };
        Process::start_with(scenario, adjust).end()
    };
    nothing_was_left(&run("ends").with_code(0));
    is_kept(&run("panic_current").with_code(101));
}

#[test]
fn what_is_kept_stays_when_the_process_is_killed() {
    let _shared = beside_others();
    let mut process = Process::start("keeps_one_and_waits");
    let kept = process.says("KEPT");
    process.says("READY");
    process.signal(Signal::KILL);
    let ended = process.end().by(Signal::KILL);
    let label = format!("io.netcheck.testkit.lab={kept}");
    let stays = things(&label);
    assert_eq!(stays.len(), 1, "{stays:?}");
    let all = format!("{LABEL_PROCESS}={}", ended.pid);
    until("the other lab is gone", GONE, || {
        let left = things(&all);
        if left == stays {
            return Ok(());
        }
        Err(format!("{left:#?}"))
    });
    shell(&command(&ended, "remove:"));
    nothing_is_left(&ended);
}

#[test]
fn a_test_that_failed_tells_its_story() {
    let _shared = beside_others();
    let ended = Process::start("panic_with_a_story").end().with_code(101);
    nothing_was_left(&ended);
    assert!(ended.stderr.contains("so it is"), "{ended}");
    for words in ["mysql-db", "running", "@back", "exited with code 64"] {
        assert!(ended.stderr.contains(words), "{words}: {ended}");
    }
    let path = command(&ended, "whole story:");
    let story = fs::read_to_string(&path).unwrap();
    for words in ["== confused", "exited with code 64", "nonsense", "@back"] {
        assert!(story.contains(words), "{words}: {story}");
    }
}

/// Nowhere to write to, and nobody to hear it: it is still a panic that ends the test, and no abort.
#[test]
fn drop_never_aborts() {
    let _shared = beside_others();
    let ended = Process::start_with("panic_current", |command| {
        command.env("NETCHECK_TESTKIT_REPORTS", "/proc/no/such/folder");
    });
    let ended = ended.end().with_code(101);
    nothing_was_left(&ended);
    assert!(ended.stderr.contains("so it is"), "{ended}");
    assert!(ended.stderr.contains("mysql-db"), "{ended}");

    for keep in ["", "on-failure"] {
        let ended = Process::start_with("panic_current", |command| {
            Process::lose_stderr(command);
            command.env("NETCHECK_TESTKIT_KEEP", keep);
        });
        let ended = ended.end().with_code(101);
        if keep.is_empty() {
            nothing_was_left(&ended);
            continue;
        }
        let label = format!("label={LABEL_PROCESS}={}", ended.pid);
        shell(&format!(
            "docker ps -aq --filter {label} | xargs docker rm -f; docker network ls -q --filter {label} | xargs docker network rm"
        ));
        nothing_was_left(&ended);
    }
}
