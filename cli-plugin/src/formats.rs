//! Formats for other programs: Go templates, JUnit, GitHub's annotations. They get reports and a writer,
//! decide nothing, and read no clock, environment or terminal. They are here and not in the core because
//! they rest on libraries that nothing else needs.

pub(crate) mod github;
pub(crate) mod junit;
pub(crate) mod template;

use netcheck_diagnose::report::Finding;

/// What a person needs of a finding, on lines of their own: problem, proof, fix.
fn story(finding: &Finding) -> String {
    let mut lines = vec![finding.problem.clone()];
    lines.extend(
        finding
            .evidence
            .iter()
            .map(|proof| format!("proof: {proof}")),
    );
    for fix in &finding.fixes {
        lines.push(format!("fix: {}", fix.text));
        lines.extend(fix.commands.iter().map(|command| format!("  {command}")));
    }
    for other in &finding.explains {
        lines.push(format!("explains: {} ({})", other.problem, other.code));
    }
    lines.join("\n")
}
