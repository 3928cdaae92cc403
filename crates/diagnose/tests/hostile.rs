//! Evidence files come from anywhere. Whatever one says, reading and judging it does not panic, the
//! report can be shown in every form, and no control character of its texts gets through.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::path::{Path, PathBuf};

use netcheck_diagnose::evidence::Evidence;
use netcheck_diagnose::render::text::{Style, write};
use netcheck_diagnose::render::{json, markdown};
use netcheck_diagnose::report::Report;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// The recorded evidence of every scenario.
fn recorded() -> Vec<Value> {
    let mut files = Vec::new();
    find(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios"),
        &mut files,
    );
    files.sort();
    files
        .iter()
        .map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.ends_with("evidence.json") {
            files.push(path);
        }
    }
}

/// One thing done to one place of a value.
#[derive(Debug, Clone)]
enum Change {
    Remove,
    Put(Value),
    /// Another place of the same value.
    Copy(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let text = prop_oneof![
        Just(String::new()),
        Just("\u{1b}[31mred\u{7}".to_owned()),
        Just("10.0.0.2".to_owned()),
        Just("mysql://a:b@\u{202e}db:99999/x".to_owned()),
        Just("'; rm -rf / #".to_owned()),
        Just("0".repeat(70_000)),
        ".{0,20}",
    ];
    prop_oneof![
        2 => Just(Change::Remove),
        1 => Just(Change::Put(Value::Null)),
        1 => any::<bool>().prop_map(|it| Change::Put(it.into())),
        1 => prop::sample::select(vec![0_i64, 1, -1, 65_535, 65_536, i64::MAX, i64::MIN])
            .prop_map(|it| Change::Put(it.into())),
        3 => text.prop_map(|it| Change::Put(it.into())),
        1 => Just(Change::Put(Value::Array(Vec::new()))),
        4 => any::<usize>().prop_map(Change::Copy),
    ]
}

/// The paths of all values within, as JSON pointers.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                into.push(at.clone());
                places(field, &at, into);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = format!("{at}/{index}");
                into.push(at.clone());
                places(item, &at, into);
            }
        }
        _ => {}
    }
}

fn apply(value: &mut Value, changes: &[(usize, Change)]) {
    for (which, change) in changes {
        let mut all = Vec::new();
        places(value, "", &mut all);
        let Some(at) = all.get(which % all.len().max(1)).cloned() else {
            return;
        };
        // Mostly what has a chance to be read.
        let same_kind =
            |a: &Value, b: &Value| std::mem::discriminant(a) == std::mem::discriminant(b);
        let old = value.pointer(&at).unwrap();
        match change {
            Change::Put(new) if !new.is_null() && !same_kind(old, new) => {}
            Change::Put(new) => *value.pointer_mut(&at).unwrap() = new.clone(),
            Change::Copy(from) => {
                let alike: Vec<_> = all
                    .iter()
                    .filter_map(|place| value.pointer(place))
                    .filter(|other| same_kind(other, old))
                    .collect();
                let from = alike[from % alike.len()].clone();
                *value.pointer_mut(&at).unwrap() = from;
            }
            Change::Remove => {
                let (parent, name) = at.rsplit_once('/').unwrap();
                let name = name.replace("~1", "/").replace("~0", "~");
                match value.pointer_mut(parent) {
                    Some(Value::Object(fields)) if fields.len() % 3 == 0 => {
                        _ = fields.remove(&name);
                    }
                    Some(Value::Array(items)) => _ = items.remove(name.parse().unwrap()),
                    _ => {}
                }
            }
        }
    }
}

fn show(report: &Report) -> String {
    let mut out = Vec::new();
    for (width, unicode) in [(80, true), (20, false)] {
        let style = Style {
            color: false,
            width,
            verbose: true,
            quiet: false,
            unicode,
        };
        write(report, &style, &mut out).unwrap();
    }
    json::write(report, &mut out).unwrap();
    markdown::write(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn changed_evidence_is_refused_or_judged_and_never_breaks_anything() {
    let recorded = recorded();
    assert!(recorded.len() > 40);
    let count = recorded.len();
    let strategy = (
        0..count,
        prop::collection::vec((any::<usize>(), change()), 1..8),
    );
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(ProptestConfig::default().cases.max(3000))
    };
    let judged = std::cell::Cell::new(0_u32);
    TestRunner::new(config)
        .run(&strategy, |(which, changes)| {
            let mut value = recorded[which].clone();
            apply(&mut value, &changes);
            let Ok(evidence) = serde_json::from_value::<Evidence>(value) else {
                return Ok(());
            };
            if let Ok(report) = netcheck_diagnose::diagnose(&evidence) {
                judged.set(judged.get() + 1);
                let shown = show(&report);
                prop_assert!(
                    !shown.contains(['\u{1b}', '\u{7}', '\u{202e}']),
                    "control characters got through"
                );
            }
            Ok(())
        })
        .unwrap();
    assert!(judged.get() > 300, "only {} were judged", judged.get());
}
