//! Many labs, at once and one after the other, and kills at any moment.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::engine::{nameless_images, nothing_is_left, nothing_was_left, things_of};
use crate::process::Process;
use crate::{GONE, alone};

/// A simple generator (xorshift32), for moments that are the same in every run of the test.
struct Moments(u32);

impl Moments {
    fn next(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % below
    }
}

#[test]
fn killed_at_fifty_moments() {
    const SEED: u32 = 0x2545_f491;
    /// The life of a lab, start to end, on a machine that has nothing else to do; under load the
    /// kills come earlier in it.
    const LIFE_MS: u32 = 1500;
    /// More would be a test of the engine under load.
    const LANES: usize = 2;
    let _alone = alone();
    println!("seed {SEED:#x}");
    // One moment in each of 50 equal parts of a life, early and late ones by turns.
    let mut moments = Moments(SEED);
    let part = LIFE_MS / 50;
    let moments: Vec<u32> = (0..50)
        .map(|turn| turn * 27 % 50 * part + moments.next(part))
        .collect();
    let cut: Mutex<usize> = Mutex::default();
    thread::scope(|scope| {
        for lane in 0..LANES {
            let mine = moments.iter().skip(lane).step_by(LANES);
            let cut = &cut;
            scope.spawn(move || {
                for (turn, moment) in mine.enumerate() {
                    let mut process = Process::start("lives");
                    process.says("BEGUN");
                    thread::sleep(Duration::from_millis((*moment).into()));
                    match turn % 2 {
                        0 => process.signal(Signal::KILL),
                        _ => process.signal_group(Signal::KILL),
                    }
                    let ended = process.end().by(Signal::KILL);
                    let things = things_of(ended.pid, None).len();
                    println!("killed at {moment} ms with {things} things");
                    *cut.lock().unwrap() += usize::from(things > 0);
                    // Before the next, lest the engine be busy with what was killed.
                    nothing_is_left(&ended);
                    // That nothing is there may mean that the engine is just making it: what
                    // counts is the end of the two seconds, whatever happens before.
                    scope.spawn(move || {
                        thread::sleep(GONE.saturating_sub(ended.at.elapsed()));
                        nothing_was_left(&ended);
                    });
                }
            });
        }
    });
    // The kills came while there was something, or they prove nothing.
    let cut = cut.into_inner().unwrap();
    assert!(cut >= 20, "only {cut} had made something");
}

#[test]
fn thirty_two_labs_in_one_process_and_more_in_others() {
    let _alone = alone();
    // Nodes in some: starts are what takes the engine longest.
    let mut processes: Vec<Process> = [("32", "4"), ("4", "4"), ("4", "4"), ("4", "4"), ("4", "4")]
        .map(|(count, nodes)| {
            Process::start_with("labs_at_once", |command| {
                command.env("COUNT", count).env("NODES", nodes);
            })
        })
        .into();
    for process in &mut processes {
        process.says("READY");
    }
    for process in &mut processes {
        process.go_on();
    }
    let mut subnets = BTreeSet::new();
    let mut labs = 0;
    for process in processes {
        let ended = process.end().with_code(0);
        nothing_was_left(&ended);
        let lines = ended.stdout.lines();
        for line in lines.filter_map(|line| line.split_once("SUBNET ")) {
            subnets.insert(line.1.to_owned());
            labs += 1;
        }
    }
    assert_eq!((labs, subnets.len()), (48, 48), "{subnets:?}");
}

/// What this process holds.
pub struct Holds {
    files: usize,
    threads: usize,
    memory_kib: usize,
}

impl Holds {
    pub fn now() -> Self {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Self {
            files: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            memory_kib: memory
                .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
                .unwrap(),
        }
    }

    fn read(text: &str) -> Self {
        let numbers: Vec<usize> = text.split(' ').map(|word| word.parse().unwrap()).collect();
        Self {
            files: numbers[0],
            threads: numbers[1],
            memory_kib: numbers[2],
        }
    }
}

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.files, self.threads, self.memory_kib)
    }
}

#[test]
fn two_hundred_cycles_leave_nothing_and_nothing_grows() {
    /// Connections to the engine that wait for the next call: as many as calls were under way at
    /// once, which is chance. One lost with each cycle would be 160.
    const FILES: usize = 16;
    /// What an allocator keeps is chance too; 160 cycles that lose 50 KiB each would be twice this.
    const MEMORY_KIB: usize = 4096;
    let _alone = alone();
    let mut process = Process::start_with("cycles", |command| {
        command.env("COUNT", "200");
    });
    let warm = Holds::read(&process.says("HOLDS0"));
    let nameless = nameless_images();
    let end = Holds::read(&process.says("HOLDS1"));
    println!("files, threads, KiB: {warm} when warm, {end} at the end");
    nothing_was_left(&process.end().with_code(0));
    assert!(end.files <= warm.files + FILES, "files: {warm}, {end}");
    assert_eq!(end.threads, warm.threads, "threads");
    assert!(
        end.memory_kib <= warm.memory_kib + MEMORY_KIB,
        "memory: {warm}, {end}"
    );
    assert_eq!(nameless_images(), nameless, "images that lost their name");
}
