//! The unit of judgement: one fault, one file, one pure function over the evidence.
//!
//! A rule does no I/O, reads no clock, and never takes "unknown" for "no".

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::report::{Finding, Fix, Severity, Subject};

/// A fault that can be recognised.
pub struct Rule {
    /// Names the fault; also its file, the argument of `explain` and the scenario folder. It is
    /// never renamed after a release.
    pub code: &'static str,
    /// In a few words, without the names of a case, starting in lower case.
    pub title: &'static str,
    /// The line of the report it belongs to.
    pub check: Check,
    /// Codes whose presence on the same container makes this one a mere consequence.
    pub explained_by: &'static [&'static str],
    /// Markdown with the sections `## What it checks`, `## Why it matters`, `## How to fix it` and
    /// `## When it is wrong`.
    pub docs: &'static str,
    /// The judgement.
    pub judge: fn(&Case<'_>) -> Verdict,
}

/// The lines of a report, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Running, health, restarts.
    State,
    /// Endpoints and modes.
    Networks,
    /// Can others find it, and it others.
    Name,
    /// Default route and gateway.
    Gateway,
    /// What listens, and where.
    Listening,
    /// Published ports.
    Published,
    /// host.docker.internal.
    Host,
    /// The way out.
    Outbound,
    /// What its own configuration points to.
    Config,
}

impl Check {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::State,
        Self::Networks,
        Self::Name,
        Self::Gateway,
        Self::Listening,
        Self::Published,
        Self::Host,
        Self::Outbound,
        Self::Config,
    ];

    /// As it stands at the beginning of its line.
    pub fn label(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Networks => "networks",
            Self::Name => "name",
            Self::Gateway => "gateway",
            Self::Listening => "listening",
            Self::Published => "published",
            Self::Host => "host",
            Self::Outbound => "outbound",
            Self::Config => "config",
        }
    }
}

/// What a rule says of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The fault is not there.
    Pass,
    /// The question does not arise.
    NotApplicable,
    /// It arises, and the evidence does not decide it: what is missing and why.
    Unknown(String),
    /// The fault is there, once or more often.
    Fail(Vec<Fault>),
}

impl Verdict {
    /// Fail if there is any fault, pass otherwise.
    pub fn from_faults(faults: Vec<Fault>) -> Self {
        if faults.is_empty() {
            Self::Pass
        } else {
            Self::Fail(faults)
        }
    }
}

/// One occurrence of a rule's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// See [`Finding::severity`].
    pub severity: Severity,
    /// See [`Finding::problem`].
    pub problem: String,
    /// See [`Finding::subjects`].
    pub subjects: Vec<Subject>,
    /// See [`Finding::evidence`].
    pub evidence: Vec<String>,
    /// See [`Finding::fixes`].
    pub fixes: Vec<Fix>,
}

impl Fault {
    /// Something that does not work now.
    pub fn error(problem: impl Into<String>, subjects: Vec<Subject>) -> Self {
        Self {
            severity: Severity::Error,
            problem: problem.into(),
            subjects,
            evidence: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// Something that works by luck.
    pub fn warning(problem: impl Into<String>, subjects: Vec<Subject>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(problem, subjects)
        }
    }

    /// With one more fact that proves it.
    #[must_use]
    pub fn proof(mut self, fact: impl Into<String>) -> Self {
        self.evidence.push(fact.into());
        self
    }

    /// With these facts.
    #[must_use]
    pub fn proofs(mut self, facts: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(facts);
        self
    }

    /// With one more way out.
    #[must_use]
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    /// With these ways out.
    #[must_use]
    pub fn fixes(mut self, fixes: impl IntoIterator<Item = Fix>) -> Self {
        self.fixes.extend(fixes);
        self
    }

    pub(crate) fn into_finding(self, rule: &Rule) -> Finding {
        Finding {
            code: rule.code.into(),
            severity: self.severity,
            title: rule.title.into(),
            problem: self.problem,
            subjects: self.subjects,
            evidence: self.evidence,
            fixes: self.fixes,
            explains: Vec::new(),
        }
    }
}
