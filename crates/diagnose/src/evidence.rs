//! What is known about an engine, its networks, its containers and what was seen from inside them.
//!
//! One serialisable value: it can be saved on one machine and diagnosed on another. Data and plain
//! questions about the data; no judgement (that is what rules are for) and nothing secret: texts
//! from users' configurations are redacted before they get here, see [`crate::redact`].

mod container;
mod deep;
mod engine;
mod here;
mod repetition;
mod service;
mod visit;

use serde::{Deserialize, Serialize};

pub use container::{
    Binding, Container, Detail, ENGINE_HOST, Endpoint, Health, HostsLine, Mode, Mount, Port, State,
    Status,
};
pub use deep::{Deep, Trial, Wave};
pub use engine::{AddressPool, Engine, EngineKind, Ipam, Network, SwarmRole};
pub use here::Here;
pub use repetition::Repetition;
pub use service::{Service, Task};
pub use visit::{How, Viewpoint, Visit};

use crate::request::Request;

/// The layout of this value. A newer layout than ours is refused.
pub const SCHEMA_VERSION: u32 = 1;

/// Something we may or may not know. Unknown is never "no".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact<T> {
    /// Seen.
    Known(T),
    /// Nobody asked: this run did not need it, or was told not to look.
    #[default]
    NotCollected,
    /// We asked and could not find out; the reason, for a person.
    Failed(String),
}

impl<T> Fact<T> {
    /// The value, if known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotCollected | Self::Failed(_) => None,
        }
    }

    /// Nobody asked.
    pub fn is_not_collected(&self) -> bool {
        matches!(self, Self::NotCollected)
    }

    /// Why it is not known, in words that follow "could not be decided: ".
    pub fn why_unknown(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::NotCollected => Some("was not looked at"),
            Self::Failed(reason) => Some(reason),
        }
    }
}

impl<T> From<Result<T, String>> for Fact<T> {
    fn from(result: Result<T, String>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(reason) => Self::Failed(reason),
        }
    }
}

/// Everything one run found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The tool that collected it, e.g. `docker-netcheck 0.1.0`.
    pub collected_by: String,
    /// When, in seconds since 1970; ages are counted from here.
    pub collected_at: i64,
    /// What was asked for.
    pub request: Request,
    /// The engine.
    pub engine: Fact<Engine>,
    /// Every network of the engine.
    pub networks: Fact<Vec<Network>>,
    /// Every container of the engine, running or not; only some with [`Container::detail`].
    pub containers: Vec<Container>,
    /// The services of the swarm, where the engine manages one.
    #[serde(default, skip_serializing_if = "Fact::is_not_collected")]
    pub services: Fact<Vec<Service>>,
    /// What was seen from inside.
    pub visits: Vec<Visit>,
    /// Why there is no visit of a viewpoint that was wanted: the viewpoint and the reason.
    pub missed: Vec<(Viewpoint, String)>,
    /// What was tried from the user's own machine, where that is surely not the engine's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<Here>,
    /// Targets that were tried again and again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repetitions: Vec<Repetition>,
    /// What was seen with more rights, where somebody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep: Option<Deep>,
}

impl Evidence {
    /// The container with this full id.
    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    /// The network with this full id.
    pub fn network(&self, id: &str) -> Option<&Network> {
        self.networks
            .known()?
            .iter()
            .find(|network| network.id == id)
    }

    /// A name like this that no known network has.
    pub fn free_network_name(&self, base: &str) -> String {
        let taken = |name: &str| {
            self.networks
                .known()
                .is_some_and(|networks| networks.iter().any(|network| network.name == name))
        };
        std::iter::once(base.to_owned())
            .chain((2..10_000).map(|n| format!("{base}-{n}")))
            .find(|name| !taken(name))
            .unwrap_or_else(|| base.to_owned())
    }

    /// What was seen from there.
    pub fn visit(&self, viewpoint: &Viewpoint) -> Option<&Visit> {
        self.visits.iter().find(|visit| visit.from == *viewpoint)
    }

    /// Why nothing was seen from there.
    pub fn why_not_visited(&self, viewpoint: &Viewpoint) -> &str {
        self.missed
            .iter()
            .find(|(missed, _)| missed == viewpoint)
            .map_or("no look from inside was taken", |(_, reason)| reason)
    }
}
