//! Recorded evidence diagnosed again, without an engine: the whole report of every scenario is
//! compared with the one beside it. `NETCHECK_RECORD=1` on the tests `faults` and `healthy` records
//! them anew; `INSTA_UPDATE=always` accepts the reports.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::path::{Path, PathBuf};

use netcheck_diagnose::evidence::Evidence;
use netcheck_diagnose::render::text::{self, Style};
use netcheck_diagnose::report::{Outcome, Report};
use netcheck_diagnose::rules::RULES;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios")
}

/// Code and name of each scenario, in order.
fn scenarios() -> Vec<(String, String)> {
    let names = |folder: &Path| -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    names(&folder())
        .into_iter()
        .flat_map(|code| {
            let cases = names(&folder().join(&code));
            cases.into_iter().map(move |case| (code.clone(), case))
        })
        .collect()
}

fn report(code: &str, case: &str) -> Report {
    let file = folder().join(code).join(case).join("evidence.json");
    let text = fs::read_to_string(&file).unwrap();
    let evidence: Evidence =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    netcheck_diagnose::diagnose(&evidence).unwrap()
}

#[test]
fn every_scenario_gives_the_report_beside_it() {
    let scenarios = scenarios();
    assert!(scenarios.len() > 40, "only {} scenarios", scenarios.len());
    for (code, case) in scenarios {
        let report = report(&code, &case);
        if code == "healthy" {
            assert_eq!(report.outcome, Outcome::Healthy, "{code}/{case}");
        } else {
            let roots: Vec<_> = report
                .findings
                .iter()
                .map(|finding| &finding.code)
                .collect();
            assert_eq!(roots, [&code], "{code}/{case}");
        }
        let style = Style {
            color: false,
            width: 80,
            verbose: true,
            quiet: false,
            unicode: true,
        };
        let mut shown = Vec::new();
        text::write(&report, &style, &mut shown).unwrap();
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder().join(&code).join(&case));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!("report", String::from_utf8(shown).unwrap()));
    }
}

#[test]
fn every_rule_has_a_scenario() {
    let recorded: Vec<String> = scenarios().into_iter().map(|(code, _)| code).collect();
    for rule in RULES {
        assert!(
            recorded.iter().any(|code| code == rule.code),
            "record a scenario for `{}`: NETCHECK_RECORD=1 cargo test -p docker-netcheck --test faults",
            rule.code
        );
    }
}

#[test]
fn the_same_evidence_gives_the_same_report() {
    for (code, case) in scenarios() {
        assert_eq!(report(&code, &case), report(&code, &case), "{code}/{case}");
    }
}
