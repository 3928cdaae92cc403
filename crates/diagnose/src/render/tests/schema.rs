//! The JSON Schemas of the reports in docs/ are those of the reports' types.

use crate::report::{Pairs, Report};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");

#[test]
fn the_schema_in_docs_is_up_to_date() {
    check("report.schema.json", &schemars::schema_for!(Report));
    check("pairs.schema.json", &schemars::schema_for!(Pairs));
}

#[track_caller]
fn check(name: &str, schema: &schemars::Schema) {
    let file = format!("{FOLDER}{name}");
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var_os("NETCHECK_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&file, &text).unwrap();
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        known == text,
        "docs/{name} is not what the types say; NETCHECK_BLESS=1 writes it"
    );
}
