//! Judges a pair: can one container connect to a port of another, and if not, why?
//!
//! The rules are those of a single container, run for both ends over evidence that holds what was
//! asked as if it were the only configuration. It adds the path, and what bears on a pair is
//! told by the line of the report that a rule belongs to.

mod path;
mod repeated;
#[cfg(test)]
mod tests;

use crate::case::{Case, Reached};
use crate::clean::clean;
use crate::evidence::{Container, ENGINE_HOST, Evidence, Fact, Trial, Viewpoint, Visit};
use crate::judge::{engine_words, fold, sanitize, visit_notes};
use crate::recreate;
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
    judge_pair(Focus::new(evidence).on(target), target)
}

/// Judges what a focus shows of a pair.
fn judge_pair(focused: &Evidence, target: &Target) -> Result<Report, String> {
    let from = Case::new(focused).ok_or("nothing can be said of the container that connects")?;
    let far = Case::target(focused);
    let path = Path::of(&from, far.as_ref(), target);
    let mut found = Vec::new();
    let mut open = Vec::new();
    judge(&from, End::From, &path, &mut found, &mut open);
    if let Some(far) = &far {
        judge(far, End::Far, &path, &mut found, &mut open);
    }
    let mut findings = absorb(fold(found));
    recreate::together(&mut findings);
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
        engine: engine_words(focused),
        path: path.steps,
        repeated: path.repeated,
        checks: Vec::new(),
        findings,
        undecided,
        visits: visit_notes(focused),
    };
    sanitize(&mut report);
    Ok(report)
}

/// The evidence as if one pair were all that was asked, and what was asked all that any
/// configuration says: what else is written in the two has no bearing on the pair. Made once for
/// all pairs of a run, as evidence may be large.
pub(crate) struct Focus<'a> {
    whole: &'a Evidence,
    seen: Evidence,
}

impl<'a> Focus<'a> {
    pub(crate) fn new(whole: &'a Evidence) -> Self {
        let mut seen = whole.clone();
        for container in &mut seen.containers {
            if let Fact::Known(detail) = &mut container.detail {
                detail.references.clear();
                detail.unjudged.clear();
            }
        }
        Self { whole, seen }
    }

    /// What there is to know about this pair.
    pub(crate) fn on(&mut self, target: &Target) -> &Evidence {
        let seen = &mut self.seen;
        seen.request.target = Some(target.clone());
        seen.request.more.clear();
        seen.visits = visits_of(self.whole, target);
        if let (Some(deep), Some(whole)) = (&mut seen.deep, &self.whole.deep) {
            let bears = |trial: &&Trial| {
                (trial.to.port(), trial.protocol) == (target.port, target.protocol)
            };
            deep.trials = whole.trials.iter().filter(bears).cloned().collect();
        }
        let from = &self.whole.request.container;
        let container = seen.containers.iter_mut().find(|one| one.id == *from);
        if let Some(Fact::Known(detail)) = container.map(|one| &mut one.detail) {
            detail.references = vec![Reference::asked(target)];
        }
        seen
    }
}

/// The looks that a run about this pair alone would have taken.
fn visits_of(evidence: &Evidence, target: &Target) -> Vec<Visit> {
    let ends = [Some(&evidence.request.container), target.container.as_ref()];
    let bears = |visit: &&Visit| match &visit.from {
        Viewpoint::Container(id) => ends.contains(&Some(id)),
        Viewpoint::Network(_) | Viewpoint::Host => true,
    };
    evidence.visits.iter().filter(bears).cloned().collect()
}

/// Judges every pair of a run, in the order the targets were named.
///
/// # Errors
///
/// A sentence, when the evidence does not hold the container that connects.
pub fn diagnose_pairs(evidence: &Evidence) -> Result<Pairs, String> {
    let request = &evidence.request;
    let mut focus = Focus::new(evidence);
    let pairs = request
        .targets()
        .map(|target| judge_pair(focus.on(target), target))
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
        one.visits = visits_of(self, target);
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
const LEADS_ELSEWHERE: [&str; 3] = [
    "hosts-file-overrides-dns",
    "search-domain-amplification",
    "alias-shared-by-several-containers",
];

/// Rules about what is said on a connection that opened. They are asked though it did.
const ABOUT_TALK: [&str; 3] = [
    "connection-closed-at-once",
    "server-says-nothing",
    "plain-http-on-tls",
];

/// Rules about what becomes of large packets. They are asked of who connects, though the connection opened.
const ABOUT_SIZE: [&str; 1] = ["path-mtu-black-hole"];

/// Rules about links of the engine's host that are asked of it as the one that connects, too.
const ABOUT_LINKS: [&str; 1] = ["macvlan-host-barrier"];

/// Rules about many tries. They are asked of who tries, whatever the single try came to.
const ABOUT_TRIES: [&str; 4] = [
    "name-resolves-sometimes",
    "packet-loss",
    "accept-queue-overflows",
    "connects-sometimes",
];

/// Rules about what became of packets. They are asked of who sends them, also of the engine's host.
const ABOUT_PACKETS: [&str; 5] = [
    "firewall-drops",
    "firewall-rejects",
    "docker-user-drops-replies",
    "forward-rules-missing",
    "host-firewall-blocks-containers",
];

/// Rules about a place of which one family works, or is refused. They are asked though the other one works.
const ABOUT_FAMILIES: [&str; 2] = ["ipv6-name-ipv4-service", "listens-on-ipv6-only"];

/// Rules about what is published at the engine's host. They are asked of who tries, also of the host itself.
const ABOUT_HOST: [&str; 2] = [
    "published-on-ipv4-only",
    "published-port-needs-userland-proxy",
];

type Found = Vec<(&'static Rule, Finding)>;

fn judge(case: &Case<'_>, end: End, path: &Path, found: &mut Found, open: &mut Vec<Undecided>) {
    let runs = case.subject.is_running();
    for rule in RULES {
        // What mends a container mends no host, and no network is missing to the one it is on.
        let on_host = case.evidence.request.container == ENGINE_HOST
            && !(end == End::Far && matches!(rule.check, Check::State | Check::Listening));
        let about_talk = ABOUT_TALK.contains(&rule.code) && end == End::Far;
        let about_tries = ABOUT_TRIES.contains(&rule.code);
        let about_packets = ABOUT_PACKETS.contains(&rule.code);
        let about_families = ABOUT_FAMILIES.contains(&rule.code)
            && end == End::Far
            && (rule.code != "listens-on-ipv6-only" || works_by_ipv6_alone(case));
        let about_host = ABOUT_HOST.contains(&rule.code) && end == End::From;
        let about_links = ABOUT_LINKS.contains(&rule.code);
        let bears = if about_tries || ABOUT_SIZE.contains(&rule.code) {
            end == End::From
        } else if about_families || about_host {
            true
        } else if about_packets {
            // Of a datagram nobody knew whether it came through.
            end == End::From && case.evidence.deep.is_some()
        } else {
            about_talk || bears(rule.check, end, path)
        };
        if (on_host && !about_tries && !about_packets && !about_host && !about_links)
            || !(bears && (runs || rule.check == Check::State))
        {
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
                    .filter(|fault| {
                        about_talk
                            || about_families
                            || about_host
                            || fault.severity == Severity::Error
                    })
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

/// The asked name has addresses of both families, and only the IPv6 ones take a connection.
fn works_by_ipv6_alone(far: &Case<'_>) -> bool {
    far.asked
        .is_some_and(|asked| asked.by_family() == (Some(Reached::Refused), Some(Reached::Through)))
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
