//! Reports as JUnit XML, as CI servers read it: a suite for each report; a finding is a failed test case, an
//! open question a skipped one, and what was looked at and is fine a passed one.

use std::io;

use netcheck_diagnose::report::{CheckStatus, Report};
use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::story;

/// Writes the reports.
///
/// # Errors
///
/// Those of the writer.
pub(crate) fn write(reports: &[&Report], out: &mut dyn io::Write) -> io::Result<()> {
    let mut document = Document::new("docker netcheck");
    document.add_test_suites(reports.iter().map(|report| suite(report)));
    document.serialize(&mut *out).map_err(io::Error::other)?;
    writeln!(out)
}

fn suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new(report.summary.as_str());
    let class = report.subject.name.as_str();
    let mut add = |name: &str, status: TestCaseStatus| {
        let mut case = TestCase::new(name, status);
        case.set_classname(class);
        suite.add_test_case(case);
    };
    let steps = report
        .path
        .iter()
        .map(|step| (step.step.label(), step.status, &step.saw));
    let lines = report
        .checks
        .iter()
        .map(|line| (line.check.label(), line.status, &line.saw));
    for (name, status, saw) in steps.chain(lines) {
        match status {
            CheckStatus::Ok => add(name, TestCaseStatus::success()),
            CheckStatus::Skipped => {
                let mut skipped = TestCaseStatus::skipped();
                skipped.set_message(saw.as_str());
                add(name, skipped);
            }
            // Told by what follows.
            CheckStatus::Problem | CheckStatus::Undecided => {}
        }
    }
    for finding in &report.findings {
        let mut failed = TestCaseStatus::non_success(NonSuccessKind::Failure);
        failed
            .set_type(finding.code.as_str())
            .set_message(finding.problem.as_str())
            .set_description(story(finding));
        add(&finding.code, failed);
    }
    for open in &report.undecided {
        let mut skipped = TestCaseStatus::skipped();
        skipped.set_message(format!("could not be decided: {}", open.needs));
        add(&open.code, skipped);
    }
    suite
}
