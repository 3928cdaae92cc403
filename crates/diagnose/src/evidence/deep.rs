//! What was seen with more rights (`--deep`): packet filters, and where packets of ours were last
//! seen. Data only; it holds nothing that was said on a connection.

use std::net::SocketAddr;

use netcheck_probe::firewall::{Filter, Rise};
use netcheck_probe::{Attempt, Protocol, Watched};
use serde::{Deserialize, Serialize};

use super::{Fact, Viewpoint};

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deep {
    /// The filters before the first trial: of the engine's host, and of the ends.
    pub filters: Vec<(Viewpoint, Fact<Filter>)>,
    /// Connections that had failed, tried again while somebody watched.
    pub trials: Vec<Trial>,
}

/// One connection that is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Who connects.
    pub from: Viewpoint,
    /// Where to.
    pub to: SocketAddr,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Several tries at once, again and again with another number of them.
    pub waves: Vec<Wave>,
}

/// Several tries at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// How they went.
    pub attempts: Fact<Vec<Attempt>>,
    /// Their packets on the host's interfaces; not collected for UDP.
    pub watched: Fact<Watched>,
    /// What the counters of each filter did meanwhile.
    pub rises: Vec<(Viewpoint, Fact<Vec<Rise>>)>,
}

impl Deep {
    /// The filter seen from there.
    pub fn filter(&self, of: &Viewpoint) -> Fact<&Filter> {
        match self.filters.iter().find(|(viewpoint, _)| viewpoint == of) {
            Some((_, Fact::Known(filter))) => Fact::Known(filter),
            Some((_, Fact::Failed(why))) => Fact::Failed(why.clone()),
            _ => Fact::NotCollected,
        }
    }
}
