//! `#[netcheck_testkit::test]` on a real engine: that a test which passes leaves nothing, and how
//! one that fails is told. Those that fail run in processes of their own, as users run them; here
//! they are `#[ignore]`d, which is how the harness keeps them out of a usual run.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test ends where it cannot go on, and tells its parent on standard output"
)]

use std::error::Error;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use netcheck_testkit as kit;
use netcheck_testkit::{Lab, Result};

#[netcheck_testkit::test]
async fn a_lab_comes_with_the_test(lab: &Lab) -> Result<()> {
    let back = lab.network("back").create().await?;
    let db = lab.node("db").on(&back).tcp(5432).start().await?;
    let labels = db.inspect().await?.config.unwrap().labels.unwrap();
    assert_eq!(
        labels[netcheck_testkit::LABEL_TEST],
        "test_attribute::a_lab_comes_with_the_test"
    );
    tokio::time::sleep(Duration::ZERO).await;
    Ok(())
}

#[netcheck_testkit::test]
fn no_runtime_without_async(lab: &Lab) -> Result<(), Box<dyn Error>> {
    assert!(tokio::runtime::Handle::try_current().is_err());
    lab.network("back").create().wait()?;
    Ok(())
}

#[kit::test(
    flavor = "multi_thread",
    worker_threads = 2,
    timeout = "60s",
    crate = "kit"
)]
async fn worker_threads_and_another_name(_: &Lab) {
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_workers(), 2);
    let here = std::thread::current().id();
    let there = tokio::spawn(async { std::thread::current().id() }).await;
    assert_ne!(there.unwrap(), here);
}

#[netcheck_testkit::test]
#[should_panic(expected = "the body's own words")]
async fn a_panic_keeps_its_words(_: &Lab) {
    panic!("the body's own words");
}

#[netcheck_testkit::test(timeout = "1m")]
#[should_panic(expected = "the body's own words")]
fn a_panic_on_another_thread_keeps_its_words(_: &Lab) {
    panic!("the body's own words");
}

#[netcheck_testkit::test]
#[should_panic(expected = "no container `nobody` in this lab")]
async fn an_error_is_a_panic_too(lab: &Lab) -> Result<()> {
    lab.get("nobody")?;
    Ok(())
}

mod run_by_others {
    use super::*;

    #[netcheck_testkit::test(keep = "never")]
    #[ignore = "fails on purpose"]
    async fn returns_an_error(lab: &Lab) -> Result<()> {
        lab.node("db").on_default_bridge().tcp(5432).start().await?;
        lab.get("mysql-db")?;
        Ok(())
    }

    #[netcheck_testkit::test(timeout = "4s", keep = "never")]
    #[ignore = "fails on purpose"]
    async fn waits_for_ever(lab: &Lab) {
        lab.node("db")
            .on_default_bridge()
            .tcp(5432)
            .start()
            .await
            .unwrap();
        let _told = Told("the future was dropped");
        std::future::pending::<()>().await;
    }

    #[netcheck_testkit::test(timeout = "4s", keep = "never")]
    #[ignore = "fails on purpose"]
    fn blocks_for_ever(lab: &Lab) {
        lab.node("db")
            .on_default_bridge()
            .tcp(5432)
            .start()
            .wait()
            .unwrap();
        loop {
            std::thread::park();
        }
    }

    #[netcheck_testkit::test(keep = "on-failure")]
    #[ignore = "fails on purpose"]
    async fn is_kept(lab: &Lab) {
        lab.network("back").create().await.unwrap();
        println!("lab={}", lab.id());
        panic!("on purpose");
    }

    struct Told(&'static str);

    impl Drop for Told {
        fn drop(&mut self) {
            println!("{}", self.0);
        }
    }
}

/// Runs one of the tests above as `cargo test` does.
fn run(test: &str) -> (Output, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .arg(format!("run_by_others::{test}"))
        .output()
        .unwrap();
    let said = [&*output.stdout, &*output.stderr].concat();
    (output, String::from_utf8(said).unwrap())
}

/// What the engine has with the label of this test.
fn left(test: &str) -> String {
    let filter = format!("label=io.netcheck.testkit.test=test_attribute::run_by_others::{test}");
    let ask = |words: &[&str]| {
        let done = Command::new("docker").args(words).arg(&filter).output();
        let done = done.expect("the docker command");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    ask(&["ps", "-aq", "--filter"]) + &ask(&["network", "ls", "-q", "--filter"])
}

#[test]
fn an_error_is_told_with_what_there_was() {
    let (output, said) = run("returns_an_error");
    assert_eq!(output.status.code(), Some(101), "{said}");
    for part in [
        "`test_attribute::run_by_others::returns_an_error` returned an error: no container `mysql-db` in this lab; it has db",
        "what `test_attribute::run_by_others::returns_an_error` had when it failed",
        "db               running",
        "testkit/tests/test_attribute.rs:",
    ] {
        assert!(said.contains(part), "{part}\n---\n{said}");
    }
    assert_eq!(left("returns_an_error"), "");
}

#[test]
fn a_time_that_is_up_is_told_with_what_there_was() {
    for test in ["waits_for_ever", "blocks_for_ever"] {
        let begun = Instant::now();
        let (output, said) = run(test);
        assert_eq!(output.status.code(), Some(101), "{said}");
        for part in ["did not end within 4 s", "db               running"] {
            assert!(said.contains(part), "{part}\n---\n{said}");
        }
        // 4 s, the end of the lab, and what a loaded machine takes for both.
        assert!(begun.elapsed() < Duration::from_secs(20), "{said}");
        assert_eq!(left(test), "");
        let dropped = said.contains("the future was dropped");
        assert_eq!(dropped, test == "waits_for_ever", "{said}");
    }
}

#[test]
fn a_lab_is_kept_on_failure_and_removed_as_it_says() {
    let (output, said) = run("is_kept");
    assert_eq!(output.status.code(), Some(101), "{said}");
    let there = left("is_kept");
    let remove = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("remove:"))
        .unwrap_or_else(|| panic!("no command to remove it:\n{said}"));
    let removed = Command::new("sh").arg("-c").arg(remove).output().unwrap();
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(there.lines().count(), 1, "kept: {there}\n{said}");
    assert_eq!(left("is_kept"), "");
}
