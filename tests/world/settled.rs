//! Waiting until what a pasted fix started does what it is told to: `docker run -d` returns before the program
//! listens, and a look in between rightly says that nothing does.
//!
//! It must never judge: a program that does not get that far is for the test to see.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// A program that starts beside a build needs a second; one that never listens costs its test this much.
const PATIENCE: Duration = Duration::from_secs(5);

/// The words of `netcheck-node` after which a port is open, and whether it is one of UDP.
const SERVICES: [(&str, bool); 12] = [
    ("tcp", false),
    ("http", false),
    ("banner", false),
    ("hang", false),
    ("close", false),
    ("some", false),
    ("slow", false),
    ("v6only", false),
    ("dns", true),
    ("dns-some", true),
    ("udp", true),
    ("sink", true),
];

/// Waits for the ports in the command lines of these containers; `docker` runs the docker CLI and gives what it
/// wrote, nothing if it failed.
pub fn settle(containers: &[String], docker: impl Fn(&[&str]) -> String) {
    let end = Instant::now() + PATIENCE;
    for container in containers {
        let format = "{{.State.Pid}} {{join .Config.Cmd \" \"}}";
        let said = docker(&["inspect", "--type", "container", "-f", format, container]);
        let mut words = said.split_whitespace();
        let Some(pid) = words.next().filter(|pid| *pid != "0") else {
            continue;
        };
        let wanted: Vec<(u16, bool)> = words.filter_map(port).collect();
        while Instant::now() < end && !wanted.iter().all(|one| is_open(pid, *one)) {
            // Who ended meanwhile will open nothing.
            if fs::metadata(format!("/proc/{pid}")).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn port(word: &str) -> Option<(u16, bool)> {
    let (name, at) = word.split_once('=')?;
    let (_, is_udp) = SERVICES.iter().find(|(known, _)| *known == name)?;
    Some((at.rsplit_once(':')?.1.parse().ok()?, *is_udp))
}

/// By the tables of proc_pid_net(5): 0A is TCP_LISTEN, and the port is in hexadecimal.
fn is_open(pid: &str, (port, is_udp): (u16, bool)) -> bool {
    let tables = if is_udp {
        ["udp", "udp6"]
    } else {
        ["tcp", "tcp6"]
    };
    let suffix = format!(":{port:04X}");
    tables.iter().any(|table| {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().is_some_and(|local| local.ends_with(&suffix));
            local && (is_udp || fields.nth(1) == Some("0A"))
        })
    })
}
