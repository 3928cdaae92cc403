//! The documents say what the code does: what can be compared is compared.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

#[path = "docs/rules.rs"]
mod rules;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use netcheck_diagnose::rules::RULES;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_readme_lists_every_finding() {
    let readme = read("README.md");
    let mut expected = String::from("| code | finding |\n|---|---|\n");
    for rule in RULES {
        writeln!(expected, "| `{}` | {} |", rule.code, rule.title).unwrap();
    }
    let between = readme
        .split_once("<!-- findings -->\n")
        .and_then(|(_, rest)| rest.split_once("<!-- /findings -->"))
        .map(|(table, _)| table.trim());
    assert_eq!(
        between,
        Some(expected.trim()),
        "put this table into README.md:\n{expected}"
    );
}

#[test]
fn architecture_names_only_tests_that_exist() {
    let architecture = read("ARCHITECTURE.md");
    let mut sources = String::new();
    for folder in ["tests", "crates", "cli-plugin/src", "testkit"] {
        collect(&root().join(folder), &mut sources);
    }
    let table = architecture.lines().filter(|line| line.starts_with('|'));
    let mut checked = 0;
    for name in table.flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let last = name.rsplit("::").next().unwrap();
        let is_test = last.len() > 12
            && last
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit());
        if is_test && last.contains('_') && name.contains("::") {
            assert!(
                sources.contains(&format!("fn {last}(")),
                "ARCHITECTURE.md names the test `{name}`, which is not there"
            );
            checked += 1;
        }
    }
    assert!(
        checked >= 8,
        "only {checked} tests are named in ARCHITECTURE.md's tables"
    );
}

#[test]
fn the_changelog_knows_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("CHANGELOG.md").contains(&format!("[{version}]")),
        "no heading [{version}]"
    );
}

fn collect(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_checklist_names_only_tests_that_exist() {
    let mut sources = String::new();
    for folder in ["tests", "cli-plugin/src", "crates/engine/src"] {
        collect(&root().join(folder), &mut sources);
    }
    let page = read("docs/plugin-checklist.md");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert!(rows.len() >= 25, "{}", rows.len());
    for row in rows {
        let tests = row.split('|').nth(2).unwrap();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "no such test: {name}"
            );
        }
    }
}
