//! The JSON Schema of the report in docs/ is the one of the report's types.

use crate::report::Report;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/report.schema.json");

#[test]
fn the_schema_in_docs_is_up_to_date() {
    let schema = schemars::schema_for!(Report);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("NETCHECK_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(FILE, &text).unwrap();
    }
    let file = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        file == text,
        "docs/report.schema.json is not what the types say; NETCHECK_BLESS=1 writes it"
    );
}
