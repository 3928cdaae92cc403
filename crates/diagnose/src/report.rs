//! What a run comes to: the outcome, the checks line by line, the findings with proof and fix.
//!
//! Plain data for the renderers and for `--format json`, whose shape it is: a field is never
//! removed or renamed without a new [`SCHEMA_VERSION`].

use serde::{Deserialize, Serialize};

use crate::recreate::Again;
use crate::request::Refused;
use crate::rule::Check;

/// The version of the JSON report.
pub const SCHEMA_VERSION: u32 = 1;

/// The answer to one `docker netcheck CONTAINER`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Version of this layout: 1. Fields may be added within a version, never removed or renamed.
    pub schema_version: u32,
    /// The verdict.
    pub outcome: Outcome,
    /// The verdict in one sentence.
    pub summary: String,
    /// What was diagnosed.
    pub subject: Subject,
    /// The engine it runs on, e.g. `Docker 20.10.24`; absent if that could not be found out.
    pub engine: Option<String>,
    /// For a pair the way from the one end to the other, step by step; empty for one container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Step>,
    /// For a pair that was tried again and again: how often it worked, and how long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<Repeated>,
    /// What was asked, from where, and what was seen; in a fixed order.
    pub checks: Vec<CheckLine>,
    /// Root causes, the gravest first; what follows from one is folded into it.
    pub findings: Vec<Finding>,
    /// What matters and could not be decided.
    pub undecided: Vec<Undecided>,
    /// How the run went: durations of the visits.
    pub visits: Vec<VisitNote>,
}

/// The answer to one `docker netcheck FROM TARGET...`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pairs {
    /// Version of this layout, that of [`Report`].
    pub schema_version: u32,
    /// The worst of the pairs; a target that was refused is undecided.
    pub outcome: Outcome,
    /// One report for each place and port, in the order the targets were named.
    pub pairs: Vec<Report>,
    /// Targets that could not be tried.
    pub refused: Vec<Refused>,
    /// What was left out, one sentence each.
    pub notes: Vec<String>,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No problem found.
    Healthy,
    /// At least one problem found.
    Problems,
    /// Nothing failed, but something that matters could not be decided.
    Undecided,
}

/// Something a report talks about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// Container, network, port, …
    pub kind: SubjectKind,
    /// Its name; for a port `8080/tcp`.
    pub name: String,
}

impl Subject {
    /// A container by its name.
    pub fn container(name: &str) -> Self {
        Self {
            kind: SubjectKind::Container,
            name: name.into(),
        }
    }

    /// A network by its name.
    pub fn network(name: &str) -> Self {
        Self {
            kind: SubjectKind::Network,
            name: name.into(),
        }
    }

    /// A container's port.
    pub fn port(port: impl ToString) -> Self {
        Self {
            kind: SubjectKind::Port,
            name: port.to_string(),
        }
    }

    /// An environment variable or another place in a configuration.
    pub fn setting(place: impl ToString) -> Self {
        Self {
            kind: SubjectKind::Setting,
            name: place.to_string(),
        }
    }

    /// An address or a name.
    pub fn address(address: impl ToString) -> Self {
        Self {
            kind: SubjectKind::Address,
            name: address.to_string(),
        }
    }
}

/// Kinds of subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A container's port.
    Port,
    /// An environment variable or a word of the command line.
    Setting,
    /// An address or a DNS name.
    Address,
    /// The engine or its host.
    Engine,
}

/// One step of the way from one container to a port of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// Which step.
    pub step: StepKind,
    /// How it went. The first problem is where the way ends.
    pub status: CheckStatus,
    /// What stands for the step in a drawing of the way: `app`, `my_network`, `mysql-db:3306`.
    pub place: Option<String>,
    /// What was seen, in one line.
    pub saw: String,
}

/// The steps, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// The container that connects runs.
    From,
    /// The container that is meant runs.
    Target,
    /// Both are on a common network.
    Network,
    /// The name leads to the container that is meant.
    Name,
    /// The connection opens, or the datagram arrives.
    Connect,
    /// Somebody listens there and takes connections.
    Listener,
    /// Tried again and again.
    Repeated,
}

impl StepKind {
    /// As it stands at the beginning of its line.
    pub fn label(self) -> &'static str {
        match self {
            Self::From => "from",
            Self::Target => "target",
            Self::Network => "network",
            Self::Name => "name",
            Self::Connect => "connect",
            Self::Listener => "listener",
            Self::Repeated => "repeated",
        }
    }
}

/// How many tries of a target went through, and how long they took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Repeated {
    /// Tries that were to be made.
    pub wanted: u32,
    /// Tries that were made.
    pub attempts: usize,
    /// Those for which the name came to an address.
    pub resolved: usize,
    /// Those that connected and were not ended at once, or that a datagram answered.
    pub connected: usize,
    /// How long the lookups took that gave an address.
    pub resolve: Option<Latency>,
    /// How long the connections took that opened.
    pub connect: Option<Latency>,
    /// What the others came to, the most frequent first.
    pub failures: Vec<Times>,
    /// By the address that was tried.
    pub addresses: Vec<PerAddress>,
    /// Why there were fewer than wanted.
    pub ended_early: Option<String>,
}

/// Something that happened a number of times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Times {
    /// In a few words.
    pub what: String,
    /// How often.
    pub times: usize,
}

/// The tries at one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PerAddress {
    /// With its port.
    pub address: String,
    /// All of them.
    pub tried: usize,
    /// Those that connected, see [`Repeated::connected`].
    pub connected: usize,
}

/// Percentiles of a duration, in microseconds; each is a value that was seen (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Latency {
    /// Half took no longer.
    pub median_us: u32,
    /// 95 of a hundred took no longer.
    pub p95_us: u32,
    /// 99 of a hundred took no longer.
    pub p99_us: u32,
    /// None took longer.
    pub max_us: u32,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckLine {
    /// Which check.
    pub check: Check,
    /// How it went.
    pub status: CheckStatus,
    /// What was asked.
    pub asked: String,
    /// From where: `mysql-db`, `a peer on my_network (app)`, `the engine's host`, `the Engine API`.
    pub from: String,
    /// What was seen, in one line.
    pub saw: String,
    /// More of it, one fact a line; shown with `-v`.
    pub details: Vec<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// A finding belongs to it.
    Problem,
    /// Could not be decided.
    Undecided,
    /// Nothing to judge: it was not asked for, or does not apply.
    Skipped,
}

/// A problem with its proof and its fixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// The fault, in kebab-case; `docker netcheck explain CODE` says more.
    pub code: String,
    /// How grave.
    pub severity: Severity,
    /// The rule's title.
    pub title: String,
    /// The problem in one sentence, with the names of this case.
    pub problem: String,
    /// Whom it is about; the first is the main one.
    pub subjects: Vec<Subject>,
    /// The facts that prove it.
    pub evidence: Vec<String>,
    /// What to do, the best first.
    pub fixes: Vec<Fix>,
    /// What follows from it.
    pub explains: Vec<Explained>,
}

/// A consequence, folded under its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explained {
    /// Its code.
    pub code: String,
    /// Its problem sentence.
    pub problem: String,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Does not work now.
    Error,
    /// Works by luck, and will stop working.
    Warning,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fix {
    /// What to do, in a sentence.
    pub text: String,
    /// Ready to paste, in this order; empty where no command can know what to write.
    pub commands: Vec<String>,
    /// What makes a container again, until the fixes of a report are told apart; never in a report.
    #[serde(skip)]
    pub(crate) again: Option<Box<Again>>,
}

impl Fix {
    /// A fix of one or more commands.
    pub fn new(text: impl Into<String>, commands: Vec<String>) -> Self {
        Self {
            text: text.into(),
            commands,
            again: None,
        }
    }

    /// After these commands, where it has any itself: half of a way is no way.
    #[must_use]
    pub(crate) fn after(mut self, commands: &[String]) -> Self {
        if !self.commands.is_empty() {
            self.commands.splice(0..0, commands.iter().cloned());
            if let Some(again) = &mut self.again {
                again.after(commands);
            }
        }
        self
    }
}

/// A question that stays open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Undecided {
    /// The rule that could not decide, or the check whose line shows it; `explain` for words that are not known.
    pub code: String,
    /// What it would have needed, and why that is missing.
    pub needs: String,
}

/// One look from inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VisitNote {
    /// From where.
    pub from: String,
    /// `helper` or `netns`.
    pub how: String,
    /// In milliseconds.
    pub took_ms: u32,
}
