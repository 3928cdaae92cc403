//! The report as JSON, for programs. It adds nothing to the report and leaves nothing out.

use std::io;

use serde::Serialize;

use crate::clean::is_unsafe;
use crate::report::{Pairs, Report};

/// Writes the report, indented, with a newline at its end.
///
/// # Errors
///
/// Those of the writer.
pub fn write(report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    write_value(report, out)
}

/// Writes the reports of several pairs, with what was refused.
///
/// # Errors
///
/// Those of the writer.
pub fn write_pairs(pairs: &Pairs, out: &mut dyn io::Write) -> io::Result<()> {
    write_value(pairs, out)
}

fn write_value(value: &impl Serialize, out: &mut dyn io::Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    out.write_all(escape(&text).as_bytes())?;
    out.write_all(b"\n")
}

/// JSON may hold C1 and bidirectional controls as they are, and people look at JSON in terminals.
/// Outside of strings there are none, so that an escape is always right.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}
