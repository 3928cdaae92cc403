//! `docs/rules.md`: every rule with what proves it, what mends it, and which tests hold it; made
//! from the rules, the recorded scenarios and the sources of the tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use netcheck_diagnose::evidence::Evidence;
use netcheck_diagnose::report::Finding;
use netcheck_diagnose::rule::Rule;
use netcheck_diagnose::rules::RULES;

use super::{collect, read, root};

const HEAD: &str = "\
# The findings

Written from the rules, their recorded scenarios and their tests by `NETCHECK_BLESS=1 cargo test --test docs`;
a test compares. Proof and fix are those of one recorded case, with the names of its world. `docker netcheck
explain CODE` prints what a rule checks, why it matters, how to fix it, and when it is wrong.

- **Real engine**: tests that make the failure, see the tool name exactly this cause, by entering the namespace
  and by a helper container, and, where commands are printed, run them and see the failure gone.
- **Silent**: tests of near misses, in which the rule must not speak.
- **Engines**: on which of the engines of [the matrix](compatibility.md) those tests passed. All of them pass on
  Docker 20.10. Tests that change firewalls, routes or the engine itself bring up an engine of their own, of the same
  version.

| code | finding | proof | fix | real engine | silent | engines |
|---|---|---|---|---|---|---|
";

#[test]
fn the_page_of_rules_is_up_to_date() {
    let mut page = String::from(HEAD);
    let engines = engines();
    let mut sources = String::new();
    for folder in ["tests", "crates/engine/tests"] {
        collect(&root().join(folder), &mut sources);
    }
    for rule in RULES {
        let shown = example(rule.code);
        let real = real_tests(&sources, rule);
        assert!(!real.is_empty(), "{}: no test makes it for real", rule.code);
        let silent = near_misses(rule);
        assert!(!silent.is_empty(), "{}: no test of a near miss", rule.code);
        let proof = shown.evidence.first().map_or("", String::as_str);
        let fix = shown.fixes.first().map_or("", |fix| fix.text.as_str());
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            rule.code,
            rule.title,
            cell(proof),
            cell(fix),
            names(&real),
            names(&silent),
            tried(&engines, &real),
        )
        .unwrap();
    }
    page.push('\n');
    page.push_str(&read("docs/out-of-reach.md"));
    let file = root().join("docs/rules.md");
    if std::env::var_os("NETCHECK_BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&file).unwrap_or_default() == page,
        "docs/rules.md is not up to date: NETCHECK_BLESS=1 cargo test --test docs"
    );
}

/// What ran on other engines, and whether it passed: name of the engine, and of each test with its result.
fn engines() -> Vec<(String, BTreeMap<String, bool>)> {
    let folder = root().join("docs/compatibility");
    let mut all: Vec<_> = fs::read_dir(&folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    all.sort();
    let results = |text: String| {
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let last = |name: &str| name.rsplit("::").next().unwrap().to_owned();
        lines
            .map(|(result, name)| (last(name), result == "ok"))
            .collect()
    };
    all.into_iter()
        .map(|file: PathBuf| {
            let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, results(fs::read_to_string(&file).unwrap()))
        })
        .collect()
}

/// On which of them all of these tests passed that ran there, and on which one did not.
fn tried(engines: &[(String, BTreeMap<String, bool>)], tests: &[String]) -> String {
    let words = engines.iter().filter_map(|(engine, results)| {
        let mut ran = tests.iter().filter_map(|test| results.get(test)).peekable();
        ran.peek()?;
        Some(if ran.all(|passed| *passed) {
            engine.clone()
        } else {
            format!("not {engine}")
        })
    });
    let all: Vec<String> = std::iter::once("docker20".to_owned())
        .chain(words)
        .collect();
    all.join(", ")
}

/// The finding in the first of its recorded cases.
fn example(code: &str) -> Finding {
    let folder = root().join("tests/scenarios").join(code);
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path().join("evidence.json"))
        .collect();
    cases.sort();
    let text = fs::read_to_string(&cases[0]).unwrap();
    let evidence: Evidence = serde_json::from_str(&text).unwrap();
    let report = netcheck_diagnose::diagnose(&evidence).unwrap();
    let found = report.findings.into_iter().find(|found| found.code == code);
    found.unwrap_or_else(|| panic!("{code}: not found in {}", cases[0].display()))
}

/// Tests of the real engine whose body has the code in quotes.
fn real_tests(sources: &str, rule: &Rule) -> Vec<String> {
    let code = format!("\"{}\"", rule.code);
    tests(sources, 0)
        .filter(|(_, body)| body.contains(&code))
        .map(|(name, _)| name)
        .collect()
}

/// Tests beside the rule whose body expects it to pass, or not to apply.
fn near_misses(rule: &Rule) -> Vec<String> {
    let file = format!(
        "crates/diagnose/src/rules/{}.rs",
        rule.code.replace('-', "_")
    );
    tests(&read(&file), 4)
        .filter(|(_, body)| {
            [
                "Pass",
                "NotApplicable",
                "passes()",
                "not_applicable()",
                "is_silent",
                "near_misses(",
            ]
            .iter()
            .any(|word| body.contains(word))
        })
        .map(|(name, _)| name)
        .collect()
}

/// Name and body of each test that is indented so far.
fn tests(source: &str, indent: usize) -> impl Iterator<Item = (String, String)> {
    let margin = " ".repeat(indent);
    let end = format!("\n{margin}}}\n");
    let begin = format!("\n{margin}#[");
    let mut found = Vec::new();
    for (at, _) in source.match_indices(&begin) {
        let rest = &source[at..];
        let attribute = rest[begin.len()..].split(']').next().unwrap_or_default();
        if !(attribute == "test" || attribute == "tokio::test") {
            continue;
        }
        let body = rest.split_once(&end).map_or(rest, |(body, _)| body);
        let name = body
            .split_once("fn ")
            .and_then(|(_, rest)| rest.split_once('('))
            .map(|(name, _)| name.to_owned());
        if let Some(name) = name {
            found.push((name, body.to_owned()));
        }
    }
    found.into_iter()
}

fn names(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
