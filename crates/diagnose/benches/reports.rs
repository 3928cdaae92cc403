//! How long the pure core takes: evidence in, report out. Every recorded scenario, and a pair among
//! more and more containers. It asks no engine, and its numbers mean little on a busy machine.
//!
//! `cargo bench -p netcheck-diagnose --bench reports`
#![expect(clippy::unwrap_used, reason = "a benchmark ends where it cannot go on")]
#![expect(clippy::print_stdout, reason = "what it is for")]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use netcheck_diagnose::diagnose;
use netcheck_diagnose::evidence::{Container, Evidence};

/// Each is judged so often; the median counts.
const TIMES: usize = 51;

const SIZES: [usize; 5] = [125, 250, 500, 1000, 2000];

fn scenarios() -> Vec<(String, Evidence)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let within = |folder: &Path| -> Vec<PathBuf> {
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        found.sort();
        found
    };
    within(&root)
        .iter()
        .flat_map(|code| within(code))
        .map(|case| {
            let name = case.strip_prefix(&root).unwrap().display().to_string();
            let text = fs::read_to_string(case.join("evidence.json")).unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// The median.
fn judged(evidence: &Evidence) -> Duration {
    let mut times: Vec<Duration> = (0..TIMES)
        .map(|_| {
            let start = Instant::now();
            black_box(diagnose(black_box(evidence)).unwrap());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[TIMES / 2]
}

/// The same evidence among so many containers: strangers like the one that is asked about, with
/// names and addresses of their own.
fn among(evidence: &Evidence, size: usize) -> Evidence {
    let mut larger = evidence.clone();
    let pattern = evidence
        .container(&evidence.request.container)
        .unwrap()
        .clone();
    for number in larger.containers.len()..size {
        larger.containers.push(stranger(&pattern, number));
    }
    larger
}

fn stranger(pattern: &Container, number: usize) -> Container {
    let mut one = pattern.clone();
    one.id = format!("{number:064x}");
    one.name = format!("stranger-{number}");
    for endpoint in &mut one.endpoints {
        let number = u32::try_from(number).unwrap();
        endpoint.addresses = vec![std::net::Ipv4Addr::from(0x0a80_0000 + number).into()];
        endpoint.dns_names = vec![one.name.clone()];
    }
    one
}

fn main() {
    let scenarios = scenarios();
    let mut all: Vec<(Duration, &str)> = scenarios
        .iter()
        .map(|(name, evidence)| (judged(evidence), name.as_str()))
        .collect();
    all.sort_unstable();
    let (slowest, name) = all[all.len() - 1];
    println!("scenarios: {}", all.len());
    println!("median of them: {:?}", all[all.len() / 2].0);
    println!("slowest: {slowest:?} ({name})");
    for folder in ["wrong-port/", "no-shared-network/", "healthy/"] {
        let (name, evidence) = scenarios
            .iter()
            .find(|one| one.0.starts_with(folder))
            .unwrap();
        for size in SIZES {
            let took = judged(&among(evidence, size));
            let each = took / u32::try_from(size).unwrap();
            println!("{name} among {size} containers: {took:?}, {each:?} for each");
        }
    }
}
