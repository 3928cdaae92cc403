//! Diagnoses saved evidence with the library: `diagnose_evidence FILE`.
//!
//! `docker netcheck --save-evidence FILE CONTAINER` writes such a file. This program prints each
//! root cause with the commands that mend it, one a line, and ends with 1 if there is any.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use netcheck_diagnose::diagnose;
use netcheck_diagnose::evidence::Evidence;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let file = std::env::args()
        .nth(1)
        .ok_or("usage: diagnose_evidence FILE")?;
    let evidence: Evidence = serde_json::from_slice(&std::fs::read(file)?)?;
    let report = diagnose(&evidence)?;
    let mut out = std::io::stdout().lock();
    for finding in &report.findings {
        writeln!(out, "{}: {}", finding.code, finding.problem)?;
        for command in finding.fixes.iter().flat_map(|fix| &fix.commands) {
            writeln!(out, "  {command}")?;
        }
    }
    Ok(ExitCode::from(u8::from(!report.findings.is_empty())))
}
