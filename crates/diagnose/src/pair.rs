//! Judges a pair: can one container connect to a port of another, and if not, why?
//!
//! The rules are those of a single container, run for both ends over evidence that holds what was
//! asked as if it were the only configuration. It adds the path, and what bears on a pair is
//! told by the line of the report that a rule belongs to.

mod path;

use crate::case::Case;
use crate::clean::clean;
use crate::evidence::{Container, ENGINE_HOST, Evidence, Fact, Viewpoint};
use crate::judge::{engine_words, fold, sanitize, visit_notes};
use crate::reference::Reference;
use crate::report::{
    CheckStatus, Explained, Finding, Outcome, Pairs, Report, SCHEMA_VERSION, Severity, Subject,
    SubjectKind, Undecided,
};
use crate::request::Target;
use crate::rule::{Check, Rule, Verdict};
use crate::rules::{RULES, by_code};
use path::Path;

/// Judges the evidence of a pair.
pub(crate) fn diagnose(evidence: &Evidence) -> Result<Report, String> {
    let Some(target) = &evidence.request.target else {
        return Err("the evidence is about no pair".into());
    };
    let focused = focused(evidence, target);
    let from = Case::new(&focused).ok_or("nothing can be said of the container that connects")?;
    let far = Case::target(&focused);
    let path = Path::of(&from, far.as_ref(), target);
    let mut found = Vec::new();
    let mut open = Vec::new();
    judge(&from, End::From, &path, &mut found, &mut open);
    if let Some(far) = &far {
        judge(far, End::Far, &path, &mut found, &mut open);
    }
    let mut findings = absorb(fold(found));
    for finding in &mut findings {
        // A question is no setting.
        finding
            .subjects
            .retain(|subject| subject.kind != SubjectKind::Setting);
    }
    let undecided = undecided(&path, &findings, open);
    let outcome = match (&findings[..], &undecided[..]) {
        ([], []) => Outcome::Healthy,
        ([], _) => Outcome::Undecided,
        _ => Outcome::Problems,
    };
    let who = if from.subject.is_engine_host() {
        "the engine's host".to_owned()
    } else {
        format!("`{}`", from.name())
    };
    let ends = format!("{who} to `{target}`");
    let summary = match (&findings[..], path.status()) {
        ([], CheckStatus::Ok) => format!("{ends}: works"),
        ([], CheckStatus::Problem) => format!("{ends}: does not work, and it is not known why"),
        ([], _) => format!("{ends}: could not be decided"),
        ([first, ..], CheckStatus::Ok) => format!("{ends}: works, but {}", first.title),
        ([first, ..], _) => format!("{ends}: {}", first.title),
    };
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        outcome,
        summary,
        subject: Subject::container(from.name()),
        engine: engine_words(evidence),
        path: path.steps,
        checks: Vec::new(),
        findings,
        undecided,
        visits: visit_notes(evidence),
    };
    sanitize(&mut report);
    Ok(report)
}

/// The evidence as if what was asked were all that any configuration says: what else is written in
/// the two has no bearing on the pair.
pub(crate) fn focused(evidence: &Evidence, target: &Target) -> Evidence {
    let mut focused = evidence.clone();
    for container in &mut focused.containers {
        if let Fact::Known(detail) = &mut container.detail {
            detail.references.clear();
            if container.id == evidence.request.container {
                detail.references.push(Reference::asked(target));
            }
        }
    }
    focused
}

/// Judges every pair of a run, in the order the targets were named.
///
/// # Errors
///
/// A sentence, when the evidence does not hold the container that connects.
pub fn diagnose_pairs(evidence: &Evidence) -> Result<Pairs, String> {
    let request = &evidence.request;
    let pairs = request
        .targets()
        .map(|target| diagnose(&evidence.of_pair(target)))
        .collect::<Result<Vec<_>, _>>()?;
    let any = |outcome| pairs.iter().any(|report| report.outcome == outcome);
    let outcome = if any(Outcome::Problems) {
        Outcome::Problems
    } else if any(Outcome::Undecided) || !request.refused.is_empty() {
        Outcome::Undecided
    } else {
        Outcome::Healthy
    };
    let mut pairs = Pairs {
        schema_version: SCHEMA_VERSION,
        outcome,
        pairs,
        refused: request.refused.clone(),
        notes: request.notes.clone(),
    };
    let refused = pairs.refused.iter_mut();
    let texts = refused.flat_map(|one| [&mut one.target, &mut one.why]);
    for text in texts.chain(&mut pairs.notes) {
        *text = clean(text);
    }
    Ok(pairs)
}

impl Evidence {
    /// The evidence of one of several pairs, as if it had been the only one.
    pub fn of_pair(&self, target: &Target) -> Self {
        let mut one = self.clone();
        one.request.target = Some(target.clone());
        one.request.more.clear();
        let from = Some(&self.request.container);
        let ends = [from, target.container.as_ref()];
        one.visits.retain(|visit| match &visit.from {
            Viewpoint::Container(id) => ends.contains(&Some(id)),
            Viewpoint::Network(_) | Viewpoint::Host => true,
        });
        one
    }

    /// The container that the target's host most likely means, seen from the one that connects:
    /// by id, by address, by name or alias (those on a common network first).
    pub fn meant_by_target(&self) -> Option<&Container> {
        let target = self.request.target.as_ref()?;
        let case = Case::new(self)?;
        let host = target.host.trim_end_matches('.');
        let meant = if let Some(exact) = self.container(host) {
            Some(exact)
        } else if Reference::asked(target).is_localhost() {
            Some(case.subject)
        } else {
            match host.parse() {
                Ok(address) => case.owner_of(address),
                Err(_) => case.named(host).into_iter().next(),
            }
        };
        meant.filter(|container| !container.is_engine_host())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    From,
    Far,
}

/// Rules about names by which a name leads to a wrong place, rather than nowhere.
const LEADS_ELSEWHERE: [&str; 2] = [
    "hosts-file-overrides-dns",
    "alias-shared-by-several-containers",
];

type Found = Vec<(&'static Rule, Finding)>;

fn judge(case: &Case<'_>, end: End, path: &Path, found: &mut Found, open: &mut Vec<Undecided>) {
    let runs = case.subject.is_running();
    for rule in RULES {
        // What mends a container mends no host, and no network is missing to the one it is on.
        let on_host = case.evidence.request.container == ENGINE_HOST
            && !(end == End::Far && matches!(rule.check, Check::State | Check::Listening));
        if on_host || !(bears(rule.check, end, path) && (runs || rule.check == Check::State)) {
            continue;
        }
        match (rule.judge)(case) {
            Verdict::Pass | Verdict::NotApplicable => {}
            Verdict::Unknown(needs) => open.push(Undecided {
                code: rule.code.into(),
                needs,
            }),
            Verdict::Fail(faults) => {
                let bearing = faults
                    .into_iter()
                    // What works by luck works; whether it can be reached is all that was asked.
                    .filter(|fault| fault.severity == Severity::Error)
                    .filter(|fault| end == End::From || is_about_the_port(case, &fault.subjects))
                    .map(|fault| (*rule, fault.into_finding(rule)));
                for one in bearing {
                    // Both ends may tell the same story (a stopped container that is named).
                    if !found
                        .iter()
                        .any(|(other, known)| is_same(other, known, rule, &one.1))
                    {
                        found.push(one);
                    }
                }
            }
        }
    }
}

/// Which lines of a report bear on a pair, at which end.
fn bears(check: Check, end: End, path: &Path) -> bool {
    let works = path.status() == CheckStatus::Ok;
    match (check, end) {
        // A name that means several works half of the time.
        (Check::Name, End::Far) => true,
        _ if works => false,
        (Check::State | Check::Networks, _) => true,
        (Check::Name | Check::Config, End::From) => true,
        (Check::Listening, End::Far) => true,
        // The way out and the host concern who is no container on a common network.
        (Check::Gateway | Check::Host | Check::Outbound, End::From) => path.leads_outside,
        (Check::Published | Check::Listening, End::From)
        | (
            Check::Gateway | Check::Host | Check::Outbound | Check::Published | Check::Config,
            End::Far,
        ) => false,
    }
}

/// A finding at the far end that names ports has to name the one that was asked for.
fn is_about_the_port(case: &Case<'_>, subjects: &[Subject]) -> bool {
    let Some(asked) = case.asked else {
        return true;
    };
    let mut ports = subjects
        .iter()
        .filter(|subject| subject.kind == SubjectKind::Port)
        .peekable();
    ports.peek().is_none() || ports.any(|port| *port == Subject::port(asked.port))
}

fn is_same(other: &Rule, known: &Finding, rule: &Rule, new: &Finding) -> bool {
    let containers = |finding: &Finding| -> Vec<Subject> {
        let kind = |subject: &&Subject| subject.kind == SubjectKind::Container;
        finding.subjects.iter().filter(kind).cloned().collect()
    };
    let (known, new) = (containers(known), containers(new));
    other.code == rule.code && new.iter().all(|subject| known.contains(subject))
}

/// A way that led to the wrong place says nothing about what listens at the right one: what was
/// found about listeners there goes under the cause.
fn absorb(findings: Vec<Finding>) -> Vec<Finding> {
    let check = |finding: &Finding| by_code(&finding.code).map(|rule| rule.check);
    let Some(code) = findings
        .iter()
        .find(|finding| {
            check(finding) == Some(Check::Config) || LEADS_ELSEWHERE.contains(&&*finding.code)
        })
        .map(|finding| finding.code.clone())
    else {
        return findings;
    };
    let (late, mut early): (Vec<_>, Vec<_>) = findings
        .into_iter()
        .partition(|finding| check(finding) == Some(Check::Listening));
    if let Some(cause) = early.iter_mut().find(|finding| finding.code == code) {
        for finding in late {
            cause.explains.push(Explained {
                code: finding.code,
                problem: finding.problem,
            });
            cause.explains.extend(finding.explains);
        }
    }
    early
}

/// Without a finding: what the path could not see, and why; or that it ends, and nobody knows why.
fn undecided(path: &Path, findings: &[Finding], open: Vec<Undecided>) -> Vec<Undecided> {
    if !findings.is_empty() || path.status() == CheckStatus::Ok {
        return Vec::new();
    }
    path.story().into_iter().chain(open).collect()
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{
        Answer, Connected, Delivered, Errno, Protocol, Question, RecordType, Snapshot, Then,
    };

    use super::*;
    use crate::evidence::Status;
    use crate::plan;
    use crate::report::{Step, StepKind};
    use crate::rules::testing::{container, id_of, ip, snapshot, socket, world};

    const DB: &str = "172.18.0.3";

    /// `app` asks for a port of `db`, which both look fine so far.
    fn pair(port: u16, protocol: Protocol, listens: &[(Protocol, &str)]) -> Evidence {
        let mut evidence = world(container("app"))
            .and(container("db").on("my_network", DB))
            .sees(snapshot())
            .resolves("db", &[DB]);
        evidence.request.target = Some(Target {
            container: Some(id_of("db")),
            ..Target::new("db", port, protocol)
        });
        let seen = Snapshot {
            sockets: Ok(listens.iter().map(|(p, at)| socket(*p, at)).collect()),
            ..snapshot()
        };
        let db = Viewpoint::Container(id_of("db"));
        evidence.answered_from(db, Question::Snapshot, Answer::Snapshot(seen))
    }

    fn connects(evidence: Evidence, port: u16, connected: Connected) -> Evidence {
        let question = Question::Connect {
            to: (ip(DB), port).into(),
            listen_ms: 1,
        };
        evidence.answered(question, Answer::Connect(connected))
    }

    fn open() -> Connected {
        Connected::Open {
            from: (ip("172.18.0.9"), 40000).into(),
            took_ms: 1,
            then: Then::Silent,
        }
    }

    fn failed(errno: Errno) -> Connected {
        Connected::Failed { errno, took_ms: 9 }
    }

    fn status(report: &Report, kind: StepKind) -> CheckStatus {
        let is = |step: &&Step| step.step == kind;
        report.path.iter().find(is).unwrap().status
    }

    #[test]
    fn a_connection_that_opens_is_healthy_whatever_else_is_configured() {
        let mut evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
        evidence.containers[0] = container("app").env(&["X_URL=http://localhost:1234"]);
        let report = diagnose(&connects(evidence, 80, open())).unwrap();
        assert_eq!(report.outcome, Outcome::Healthy, "{report:#?}");
        assert_eq!(report.summary, "`app` to `db:80`: works");
    }

    #[test]
    fn what_was_not_seen_is_undecided_and_never_works() {
        let mut evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
        let report = diagnose(&evidence).unwrap();
        assert_eq!(report.outcome, Outcome::Undecided);
        assert_eq!(status(&report, StepKind::Connect), CheckStatus::Undecided);
        evidence.visits.clear();
        let report = diagnose(&evidence).unwrap();
        assert_eq!(report.outcome, Outcome::Undecided);
        assert!(!report.undecided.is_empty());
    }

    #[test]
    fn both_ends_fine_and_no_connection_is_told_with_what_is_known() {
        let evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
        for errno in [Errno::TimedOut, Errno::Refused] {
            let report = diagnose(&connects(evidence.clone(), 80, failed(errno))).unwrap();
            assert_eq!(report.outcome, Outcome::Undecided);
            assert_eq!(report.undecided[0].code, "connect");
            assert!(report.undecided[0].needs.contains("both ends look fine"));
        }
    }

    #[test]
    fn silence_of_udp_is_delivery_only_where_something_listens() {
        let question = Question::Datagram {
            to: (ip(DB), 53).into(),
            wait_ms: 200,
        };
        let silent = || Answer::Datagram(Delivered::Silent);
        let heard = pair(53, Protocol::Udp, &[(Protocol::Udp, "0.0.0.0:53")]);
        let report = diagnose(&heard.answered(question.clone(), silent())).unwrap();
        assert_eq!(report.outcome, Outcome::Healthy, "{report:#?}");
        let unheard = pair(53, Protocol::Udp, &[]);
        let report = diagnose(&unheard.clone().answered(question.clone(), silent())).unwrap();
        assert_eq!(report.findings[0].code, "nothing-listens");
        let mut unseen = unheard.answered(question, silent());
        unseen
            .visits
            .retain(|visit| visit.from != Viewpoint::Container(id_of("db")));
        let report = diagnose(&unseen).unwrap();
        assert_eq!(report.outcome, Outcome::Undecided, "{report:#?}");
    }

    #[test]
    fn a_stopped_target_is_told_once() {
        let mut evidence = pair(80, Protocol::Tcp, &[]);
        evidence.containers[1].status = Status::Exited;
        let report = diagnose(&evidence).unwrap();
        let codes: Vec<_> = report.findings.iter().map(|f| f.code.as_str()).collect();
        assert_eq!(codes, ["container-not-running"]);
    }

    #[test]
    fn a_container_is_meant_by_name_alias_address_and_id() {
        let mut evidence = pair(80, Protocol::Tcp, &[]);
        evidence.containers[1] = container("db").on("my_network", DB).alias("store");
        for host in ["db", "DB.", "store", DB, &id_of("db")] {
            evidence.request.target = Some(Target::new(host, 80, Protocol::Tcp));
            let meant = evidence.meant_by_target().map(|meant| meant.name.as_str());
            assert_eq!(meant, Some("db"), "{host}");
        }
        for (host, name) in [("localhost", Some("app")), ("nobody", None)] {
            evidence.request.target = Some(Target::new(host, 80, Protocol::Tcp));
            let meant = evidence.meant_by_target().map(|meant| meant.name.as_str());
            assert_eq!(meant, name, "{host}");
        }
    }

    #[test]
    fn the_plan_ends_and_asks_nothing_of_the_internet() {
        let mut evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
        let plan = plan::pair(&evidence);
        let app = &plan[&Viewpoint::Container(id_of("app"))];
        assert!(
            app.iter().any(
                |question| matches!(question, Question::Connect { to, .. } if to.ip() == ip(DB))
            ),
            "{app:?}"
        );
        let db = &plan[&Viewpoint::Container(id_of("db"))];
        assert!(matches!(db[..], [Question::Accepts { .. }]), "{db:?}");
        // Answered, whatever the answer: not asked again.
        for (viewpoint, questions) in plan {
            for question in questions {
                let answer = match &question {
                    Question::Snapshot => Answer::Snapshot(snapshot()),
                    _ => Answer::Connect(failed(Errno::Refused)),
                };
                evidence = evidence.answered_from(viewpoint.clone(), question, answer);
            }
        }
        assert!(plan::pair(&evidence).is_empty());
        // The host's server is on the internet, and the name is no container's.
        let server = Snapshot {
            resolv_conf: Ok(netcheck_probe::ResolvConf {
                nameservers: vec![ip("8.8.8.8")],
                ..Default::default()
            }),
            ..snapshot()
        };
        let names = |host: &str| -> Vec<String> {
            let mut evidence = world(container("app")).sees(snapshot()).answered_from(
                Viewpoint::Host,
                Question::Snapshot,
                Answer::Snapshot(server.clone()),
            );
            evidence.request.target = Some(Target::new(host, 443, Protocol::Tcp));
            plan::pair(&evidence)
                .into_values()
                .flatten()
                .filter_map(|question| match question {
                    Question::Lookup { name } => Some(name),
                    Question::Query {
                        name,
                        record: RecordType::A | RecordType::Aaaa,
                        ..
                    } => Some(name),
                    _ => None,
                })
                .collect()
        };
        assert_eq!(names("mysqldb"), [""; 0]);
        assert_eq!(names("api.example.com"), ["api.example.com"]);
    }
}
