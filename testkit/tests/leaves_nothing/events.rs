//! The ways in which a test ends, one after the other.

use std::time::Duration;

use rustix::process::Signal;

use crate::engine::{self, nothing_is_left, nothing_was_left, things_of, until};
use crate::process::{Ended, Process};
use crate::{GONE, beside_others};

/// The reaper looks for 9 s after what the engine may still be making.
const REAPER_ENDS: Duration = Duration::from_secs(15);

/// Ends by itself, having removed everything; and its reaper ends at once.
#[track_caller]
fn ends_with(scenario: &str, code: i32) -> Ended {
    let _shared = beside_others();
    let mut process = Process::start(scenario);
    process.says("READY");
    let reaper = process.reaper();
    let ended = process.end().with_code(code);
    nothing_was_left(&ended);
    until("the reaper ends", GONE, || match reaper.lives() {
        true => Err(format!("process {}", reaper.pid)),
        false => Ok(()),
    });
    assert_eq!(ended.leases(), [""; 0], "leases are left");
    ended
}

#[test]
fn an_end_and_a_drop() {
    ends_with("ends", 0);
    ends_with("is_dropped", 0);
}

#[test]
fn an_error_that_is_returned() {
    ends_with("question_mark", 101);
}

#[test]
fn a_panic() {
    for scenario in ["panic_current", "panic_multi", "panic_in_a_spawned_task"] {
        let ended = ends_with(scenario, 101);
        assert!(ended.stderr.contains("so it is"), "{ended}");
    }
}

#[test]
fn a_panic_in_a_plain_test_that_holds_handles() {
    let ended = ends_with("panic_in_a_plain_test", 101);
    assert!(ended.stderr.contains("so it is"), "{ended}");
}

#[test]
fn a_timeout_around_the_body() {
    ends_with("timeout_around_the_body", 0);
}

#[test]
fn cancellation_during_start() {
    ends_with("cancelled_during_start", 0);
}

#[test]
fn starts_that_fail_leave_nothing_at_once() {
    ends_with("starts_that_fail", 0);
}

#[test]
fn a_drop_in_strange_places() {
    for scenario in [
        "dropped_outside_a_runtime",
        "dropped_in_a_local_set",
        "dropped_on_a_worker",
    ] {
        ends_with(scenario, 0);
    }
}

/// Ends without a chance to remove anything.
#[track_caller]
fn ends_abruptly(scenario: &str, code: i32) {
    let _shared = beside_others();
    let mut process = Process::start(scenario);
    process.says("READY");
    let ended = process.end().with_code(code);
    nothing_is_left(&ended);
}

#[test]
fn a_static_a_forgotten_lab_and_an_exit() {
    ends_abruptly("is_static", 0);
    ends_abruptly("is_forgotten", 0);
    ends_abruptly("exits", 3);
}

/// A process that has a lab, and its things.
#[track_caller]
fn waiting(scenario: &str, host: Option<&str>) -> Process {
    let mut process = Process::start_with(scenario, |command| {
        command.envs(host.map(|host| ("DOCKER_HOST", host)));
    });
    process.says("READY");
    if scenario == "waits" {
        process.says("HELD");
    }
    process.reaper();
    let things = things_of(process.pid, None);
    assert!(things.len() >= 3, "{things:#?}");
    process
}

#[test]
fn signals() {
    let _shared = beside_others();
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let process = waiting("waits", None);
        process.signal(signal);
        nothing_is_left(&process.end().by(signal));
    }
    let mut process = Process::start("aborts");
    process.says("READY");
    nothing_is_left(&process.end().by(Signal::ABORT));
}

/// And the reaper, which has done its work, ends too.
#[test]
fn a_kill_of_the_whole_group() {
    let _shared = beside_others();
    let mut process = waiting("waits", None);
    let reaper = process.reaper();
    process.signal_group(Signal::KILL);
    let ended = process.end().by(Signal::KILL);
    nothing_is_left(&ended);
    until("the reaper ends", REAPER_ENDS, || match reaper.lives() {
        true => Err(format!("process {}", reaper.pid)),
        false => Ok(()),
    });
    assert_eq!(ended.leases(), [""; 0], "leases are left");
    nothing_was_left(&ended);
}

/// nextest asks the group to end and kills it 10 s later, a service manager asks every process.
#[test]
fn being_asked_and_then_killed() {
    let _shared = beside_others();
    let process = waiting("waits", None);
    process.signal_group(Signal::TERM);
    let ended = process.end().by(Signal::TERM);
    nothing_is_left(&ended);

    let mut process = waiting("waits", None);
    let reaper = process.reaper();
    for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
        reaper.signal(signal);
    }
    process.signal_group(Signal::TERM);
    nothing_is_left(&process.end().by(Signal::TERM));
}

#[test]
fn plain_containers_of_testcontainers_on_the_network() {
    let _shared = beside_others();
    let mut process = waiting("waits_with_guests", None);
    let guests = process.says("GUESTS");
    let there = || guests.split(' ').filter(|id| engine::has_container(id));
    assert_eq!(there().count(), 2, "{guests}");
    process.signal(Signal::KILL);
    nothing_is_left(&process.end().by(Signal::KILL));
    // The network, which is gone, was removed after them.
    assert_eq!(there().count(), 0, "guests are left");
}

#[test]
fn an_engine_reached_over_tcp() {
    let _shared = beside_others();
    let host = format!("tcp://127.0.0.1:{}", engine::tcp_port());
    let process = waiting("waits", Some(&host));
    process.signal_group(Signal::KILL);
    nothing_is_left(&process.end().by(Signal::KILL));
    for (scenario, code) in [("exits", 3), ("panic_current", 101)] {
        let mut process = Process::start_with(scenario, |command| {
            command.env("DOCKER_HOST", &host);
        });
        process.says("READY");
        let ended = process.end().with_code(code);
        let run = ended.run.clone();
        assert!(run.is_some(), "no reaper was seen: {ended}");
        nothing_is_left(&ended);
    }
}

/// In a process, and in several at once: all pass, and the one that is first to end is nothing to
/// the others.
#[test]
fn one_name_in_many_processes() {
    let _shared = beside_others();
    let mut processes: Vec<Process> = (0..6).map(|_| Process::start("ends_when_told")).collect();
    let mut subnets: Vec<String> = processes.iter_mut().map(|one| one.says("SUBNET")).collect();
    subnets.sort();
    subnets.dedup();
    assert_eq!(subnets.len(), 6, "{subnets:?}");
    // The first alone, then the others.
    let others = processes.split_off(1);
    for (at, mut process) in processes.into_iter().chain(others).enumerate() {
        process.go_on();
        let ended = process.end().with_code(0);
        assert!(ended.stdout.contains("1 passed"), "{at}: {ended}");
        nothing_was_left(&ended);
    }
}

#[test]
fn one_name_in_many_labs_of_a_process() {
    let _shared = beside_others();
    let mut process = Process::start_with("labs_at_once", |command| {
        command.env("COUNT", "3").env("NODES", "1");
    });
    assert_eq!(process.says("READY"), "3");
    process.go_on();
    nothing_was_left(&process.end().with_code(0));
}
