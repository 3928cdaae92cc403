//! What a lab costs, beside plain testcontainers and docker commands, in the same run: one network
//! and two containers, up and down; and a matrix of ten by ten. Prints a table in Markdown.
//!
//! `cargo bench -p netcheck-testkit --bench lab --profile dev [-- RUNS]`: nearly all the time is the
//! engine's, so an optimised build of 300 crates would show nothing more.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netcheck_testkit::testcontainers::core::ContainerPort;
use netcheck_testkit::testcontainers::runners::AsyncRunner as _;
use netcheck_testkit::testcontainers::{GenericImage, ImageExt as _};
use netcheck_testkit::{Lab, Result, tcp};

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
#[tokio::main]
async fn main() -> Result<()> {
    let runs = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(10);
    let image = {
        // Also loads the image, which is done once per machine.
        let lab = Lab::start().await?;
        let node = lab.node("node").start().await?;
        let image = node.inspect().await?.config.and_then(|config| config.image);
        lab.end().await?;
        image.unwrap_or_default()
    };
    let (mut kit, mut plain, mut shell, mut matrix) = (vec![], vec![], vec![], vec![]);
    // One more than is counted: the first has cold caches.
    for run in 0..=runs {
        let times = (
            with_the_kit().await?,
            with_testcontainers(&image, run).await,
            with_commands(&image, run),
        );
        if run > 0 {
            kit.push(times.0);
            plain.push(times.1);
            shell.push(times.2);
        }
    }
    for _ in 0..runs.min(5) {
        matrix.push(ten_by_ten().await?);
    }
    let tc = median(&mut plain);
    println!(
        "| One network and two containers, up and down ({runs} runs) | least | median | of testcontainers |"
    );
    println!("|---|---|---|---|");
    for (name, times) in [
        ("netcheck-testkit, ready and removed", &mut kit),
        ("testcontainers 0.28, started and removed", &mut plain),
        ("docker commands, one after the other", &mut shell),
    ] {
        let middle = median(times);
        let part = middle.as_secs_f64() / tc.as_secs_f64();
        println!(
            "| {name} | {} ms | {} ms | {part:.2} |",
            times[0].as_millis(),
            middle.as_millis()
        );
    }
    println!();
    println!("| | least | median |");
    println!("|---|---|---|");
    let middle = median(&mut matrix);
    println!(
        "| `lab.matrix()` of ten containers and ten ports | {} ms | {} ms |",
        matrix[0].as_millis(),
        middle.as_millis()
    );
    Ok(())
}

/// Sorts, and returns the one in the middle.
fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn with_the_kit() -> Result<Duration> {
    let begun = Instant::now();
    let lab = Lab::start().await?;
    let net = lab.network("net").create().await?;
    let (one, other) = tokio::join!(
        lab.node("one").on(&net).tcp(80).start(),
        lab.node("other").on(&net).start(),
    );
    one.and(other)?;
    lab.end().await?;
    Ok(begun.elapsed())
}

async fn with_testcontainers(image: &str, run: usize) -> Duration {
    let begun = Instant::now();
    let (name, tag) = image.split_once(':').unwrap_or((image, "latest"));
    let network = format!("netcheck-bench-{}-{run}", std::process::id());
    let start = |word: &str| {
        GenericImage::new(name, tag)
            .with_exposed_port(ContainerPort::Tcp(80))
            .with_cmd([word.to_owned()])
            .with_network(&network)
            .start()
    };
    let (one, other) = tokio::join!(start("tcp=0.0.0.0:80"), start("idle"));
    let (one, other) = (one.expect("it starts"), other.expect("it starts"));
    let (one, other) = tokio::join!(one.rm(), other.rm());
    one.and(other).expect("they are removed");
    begun.elapsed()
}

fn with_commands(image: &str, run: usize) -> Duration {
    let begun = Instant::now();
    let network = format!("netcheck-bench-shell-{}-{run}", std::process::id());
    let (one, other) = (format!("{network}-one"), format!("{network}-other"));
    docker(&["network", "create", &network]);
    docker(&[
        "run",
        "-d",
        "--network",
        &network,
        "--name",
        &one,
        image,
        "tcp=0.0.0.0:80",
    ]);
    docker(&[
        "run",
        "-d",
        "--network",
        &network,
        "--name",
        &other,
        image,
        "idle",
    ]);
    docker(&["rm", "-f", &one, &other]);
    docker(&["network", "rm", &network]);
    begun.elapsed()
}

fn docker(words: &[&str]) {
    let status = Command::new("docker")
        .args(words)
        .stdout(Stdio::null())
        .status()
        .expect("docker is installed");
    assert!(status.success(), "docker {words:?}");
}

async fn ten_by_ten() -> Result<Duration> {
    let lab = Lab::start().await?;
    let net = lab.network("net").create().await?;
    let nodes = (0..10).map(|n| lab.node(format!("n{n}")).on(&net).tcp(80).start());
    for node in futures_util::future::join_all(nodes).await {
        node?;
    }
    let begun = Instant::now();
    let matrix = lab.matrix().await?;
    let took = begun.elapsed();
    assert!(matrix.get("n0", "n9", tcp(80)).is_some());
    lab.end().await?;
    Ok(took)
}
