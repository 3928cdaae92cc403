//! Runs the rules over the evidence and folds consequences under their causes.
//! It knows no single rule; what explains what is said by the rules themselves.

use crate::case::Case;
use crate::checks;
use crate::clean::clean;
use crate::evidence::{EngineKind, Evidence, How};
use crate::recreate;
use crate::report::{
    CheckLine, CheckStatus, Explained, Finding, Outcome, Report, SCHEMA_VERSION, Severity, Step,
    Subject, SubjectKind, Undecided, VisitNote,
};
use crate::rule::{Check, Rule, Verdict};
use crate::rules::RULES;

/// Judges the evidence.
///
/// # Errors
///
/// A sentence, when the evidence does not hold its own subject: nothing can be said then.
pub fn diagnose(evidence: &Evidence) -> Result<Report, String> {
    if let Some(said) = &evidence.request.said {
        return Ok(crate::refusal::diagnose(evidence, said));
    }
    if evidence.request.target.is_some() {
        return crate::pair::diagnose(evidence);
    }
    let case = Case::new(evidence).ok_or_else(|| {
        match evidence.container(&evidence.request.container) {
            None => "the evidence does not hold the container it is about".to_owned(),
            Some(container) => format!(
                "nothing can be said of `{}`: it {}",
                clean(&container.name),
                clean(container.detail.why_unknown().unwrap_or_default())
            ),
        }
    })?;
    let mut found = Vec::new();
    let mut undecided = Vec::new();
    // Nothing can be asked of the network of a container that does not run: its state is the story.
    let runs = case.subject.is_running();
    for rule in RULES
        .iter()
        .filter(|rule| runs || rule.check == Check::State)
    {
        match (rule.judge)(&case) {
            Verdict::Pass | Verdict::NotApplicable => {}
            Verdict::Unknown(needs) => undecided.push((*rule, needs)),
            Verdict::Fail(faults) => {
                found.extend(
                    faults
                        .into_iter()
                        .map(|fault| (*rule, fault.into_finding(rule))),
                );
            }
        }
    }
    undecided.retain(|(rule, _)| {
        !found
            .iter()
            .any(|(cause, _)| rule.explained_by.contains(&cause.code))
    });
    let lines = checks::lines(&case, &found, &undecided);
    let mut findings = fold(found);
    recreate::together(&mut findings);
    let undecided = open_questions(undecided, &lines, &findings);
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        outcome: outcome(&findings, &undecided),
        summary: summary(&case, &findings, &undecided),
        subject: Subject::container(case.name()),
        engine: engine_words(evidence),
        path: Vec::new(),
        repeated: None,
        checks: lines,
        findings,
        undecided,
        visits: visit_notes(evidence),
    };
    sanitize(&mut report);
    Ok(report)
}

/// `Docker 20.10.24`.
pub(crate) fn engine_words(evidence: &Evidence) -> Option<String> {
    evidence.engine.known().map(|engine| {
        let kind = match engine.kind {
            EngineKind::Docker => "Docker",
            EngineKind::Podman => "podman",
        };
        format!("{kind} {}", engine.version)
    })
}

/// What the rules could not decide; and where no rule found anything, what a line could not see.
fn open_questions(
    undecided: Vec<(&'static Rule, String)>,
    lines: &[CheckLine],
    findings: &[Finding],
) -> Vec<Undecided> {
    let unseen = lines.iter().filter(|line| {
        findings.is_empty()
            && line.status == CheckStatus::Undecided
            && !undecided.iter().any(|(rule, _)| rule.check == line.check)
    });
    let unseen: Vec<Undecided> = unseen
        .map(|line| Undecided {
            code: line.check.label().into(),
            needs: line.saw.clone(),
        })
        .collect();
    let by_rules = undecided.into_iter().map(|(rule, needs)| Undecided {
        code: rule.code.into(),
        needs,
    });
    by_rules.chain(unseen).collect()
}

fn outcome(findings: &[Finding], undecided: &[Undecided]) -> Outcome {
    if !findings.is_empty() {
        Outcome::Problems
    } else if undecided.is_empty() {
        Outcome::Healthy
    } else {
        Outcome::Undecided
    }
}

fn summary(case: &Case<'_>, findings: &[Finding], undecided: &[Undecided]) -> String {
    let name = case.name();
    match (findings, undecided) {
        ([], []) => format!("`{name}`: no problem found"),
        ([], [_]) => format!("`{name}`: no problem found, but one question stays open"),
        ([], open) => format!(
            "`{name}`: no problem found, but {} questions stay open",
            open.len()
        ),
        ([only], _) => format!("`{name}`: {}", only.title),
        ([first, rest @ ..], _) => {
            let others = match rest.len() {
                1 => "1 more problem".to_owned(),
                n => format!("{n} more problems"),
            };
            format!("`{name}`: {}, and {others}", first.title)
        }
    }
}

/// Folds each finding under the root cause that explains it, transitively.
pub(crate) fn fold(found: Vec<(&'static Rule, Finding)>) -> Vec<Finding> {
    let cause_of = |index: usize| -> Option<usize> {
        let (rule, finding) = &found[index];
        rule.explained_by.iter().find_map(|code| {
            found
                .iter()
                .position(|(other, cause)| other.code == *code && concerns_the_same(finding, cause))
        })
    };
    let roots: Vec<usize> = (0..found.len())
        .map(|start| {
            let mut at = start;
            // A cycle of explanations would be a mistake in the rules (a test forbids it); it must
            // not hang here all the same.
            for _ in 0..found.len() {
                match cause_of(at) {
                    Some(cause) if cause != at => at = cause,
                    _ => break,
                }
            }
            at
        })
        .collect();
    let mut findings: Vec<Option<Finding>> = found.into_iter().map(|(_, f)| Some(f)).collect();
    for (index, root) in roots.iter().copied().enumerate() {
        if index == root {
            continue;
        }
        if let Some(consequence) = findings[index].take()
            && let Some(cause) = &mut findings[root]
        {
            cause.explains.push(Explained {
                code: consequence.code,
                problem: consequence.problem,
            });
        }
    }
    let mut findings: Vec<_> = findings.into_iter().flatten().collect();
    // Stable: within a severity the order of the rules, which is that of the report's lines.
    findings.sort_by_key(|finding| finding.severity == Severity::Warning);
    findings
}

/// Both name a common container, or one names none.
fn concerns_the_same(one: &Finding, other: &Finding) -> bool {
    let containers = |finding: &Finding| -> Vec<Subject> {
        finding
            .subjects
            .iter()
            .filter(|subject| subject.kind == SubjectKind::Container)
            .cloned()
            .collect()
    };
    let (ours, theirs) = (containers(one), containers(other));
    ours.is_empty() || theirs.is_empty() || ours.iter().any(|subject| theirs.contains(subject))
}

pub(crate) fn visit_notes(evidence: &Evidence) -> Vec<VisitNote> {
    evidence
        .visits
        .iter()
        .map(|visit| VisitNote {
            from: checks::viewpoint_name(evidence, &visit.from),
            how: match visit.how {
                How::Helper => "helper".into(),
                How::Netns => "netns".into(),
            },
            took_ms: visit.took_ms,
        })
        .collect()
}

/// No text of a report keeps a control character, whatever it came from.
pub(crate) fn sanitize(report: &mut Report) {
    let Report {
        schema_version: _,
        outcome: _,
        summary,
        subject,
        engine,
        path,
        repeated,
        checks,
        findings,
        undecided,
        visits,
    } = report;
    let mut texts: Vec<&mut String> = vec![summary, &mut subject.name];
    texts.extend(engine.as_mut());
    for Step { place, saw, .. } in path {
        texts.extend(place.as_mut());
        texts.push(saw);
    }
    if let Some(repeated) = repeated {
        let failures = repeated.failures.iter_mut().map(|one| &mut one.what);
        let addresses = repeated.addresses.iter_mut().map(|one| &mut one.address);
        texts.extend(failures.chain(addresses).chain(&mut repeated.ended_early));
    }
    for CheckLine {
        asked,
        from,
        saw,
        details,
        ..
    } in checks
    {
        texts.extend([asked, from, saw]);
        texts.extend(details);
    }
    for finding in findings {
        texts.push(&mut finding.problem);
        texts.extend(finding.subjects.iter_mut().map(|subject| &mut subject.name));
        texts.extend(&mut finding.evidence);
        for fix in &mut finding.fixes {
            texts.push(&mut fix.text);
            texts.extend(&mut fix.commands);
        }
        texts.extend(
            finding
                .explains
                .iter_mut()
                .map(|explained| &mut explained.problem),
        );
    }
    texts.extend(undecided.iter_mut().map(|open| &mut open.needs));
    texts.extend(visits.iter_mut().map(|visit| &mut visit.from));
    for text in texts {
        *text = clean(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Status;
    use crate::rules::testing::{binding, container, tcp, world};

    #[test]
    fn what_follows_from_a_cause_is_folded_under_it() {
        let web = container("web").exposes(tcp(80)).health("starting");
        let report = diagnose(&world(web).listens(Vec::new())).unwrap();
        let codes = |list: &[Finding]| list.iter().map(|f| f.code.clone()).collect::<Vec<_>>();
        assert_eq!(codes(&report.findings), ["container-starting"]);
        assert_eq!(report.findings[0].explains[0].code, "nothing-listens");
    }

    #[test]
    fn fixes_of_one_container_add_up() {
        let env = [
            "DB=mysql://localhost:3306/some",
            "API_URL=http://host.docker.internal:18093/",
        ];
        let app = container("app").env(&env);
        let api = container("api")
            .on("my_network", "172.18.0.4")
            .publishes(binding("0.0.0.0", 18093, tcp(80)));
        let db = container("mysql-db").exposes(tcp(3306));
        let report = diagnose(&world(app).listens(Vec::new()).and(api).and(db)).unwrap();
        let fix = |index: usize| &report.findings[index].fixes[0];
        assert_eq!(report.findings.len(), 2, "{report:#?}");
        let rename = |index: usize| fix(index).commands[1].as_str();
        assert_eq!(rename(0), "docker rename app app-old");
        assert_eq!(rename(1), "docker rename app app-old-2");
        let also = "create it again with that change and those of the fixes above (the old one stays as `app-old-2`";
        assert!(!fix(0).text.contains("above"), "{}", fix(0).text);
        assert!(fix(1).text.contains(also), "{}", fix(1).text);
        let new = ["DB=mysql://mysql-db:3306/some", "API_URL=http://api:80/"];
        let has =
            |index: usize, word: &str| fix(index).commands.iter().any(|line| line.contains(word));
        assert_eq!(new.map(|word| has(0, word)), [true, false], "{report:#?}");
        assert_eq!(new.map(|word| has(1, word)), [true, true], "{report:#?}");
    }

    #[test]
    fn no_control_character_gets_into_a_report() {
        let db = container("a\u{1b}[31mb").status(Status::Exited);
        let report = diagnose(&world(db)).unwrap();
        assert_eq!(report.subject.name, "a\\u{1b}[31mb");
        assert!(!report.findings[0].problem.contains('\u{1b}'));
    }
}
