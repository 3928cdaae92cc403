//! The examples that need no engine, run as a user would run them.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Cargo builds the examples before the tests, two folders above them.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples").join(name)
}

#[test]
fn evidence_is_diagnosed_with_the_library() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/scenarios/stale-container-address/taken-by-another/evidence.json");
    let output = Command::new(example("diagnose_evidence"))
        .arg(scenario)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("stale-container-address: `app` is told"),
        "{said}"
    );
    assert!(
        said.contains("-e DB_URL=mysql://mysql-db:3306/some"),
        "{said}"
    );
}
