//! Services of a swarm, in our words. Data only.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The engine's id.
    pub id: String,
    /// Its name, which the DNS of its networks knows.
    pub name: String,
    /// Further names that the DNS of its networks knows, as a stack gives them.
    pub aliases: Vec<String>,
    /// Ids of the networks of its tasks.
    pub networks: Vec<String>,
    /// Its virtual addresses by the ids of networks; empty with `--endpoint-mode dnsrr`.
    pub virtual_addresses: Vec<(String, IpAddr)>,
    /// The tasks it wants; none where every node gets one, or they are jobs.
    pub replicas: Option<u64>,
    /// Publishes ports on every node of the swarm, which takes a virtual address.
    pub published: bool,
    /// What nodes have to be, to run a task: `node.labels.zone==a`.
    pub constraints: Vec<String>,
    /// All that the engine still knows of, also those that ended.
    pub tasks: Vec<Task>,
}

/// One task of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// `running`, `pending`, `rejected`, …
    pub state: String,
    /// The state that is wanted: `running`, `shutdown`, …
    pub wanted: String,
    /// Why it is not in that state, redacted; empty if nobody says.
    pub error: String,
    /// Full id of its container, which may be on another node.
    pub container: Option<String>,
}

impl Service {
    /// The tasks that run, and are to.
    pub fn running(&self) -> impl Iterator<Item = &Task> {
        self.tasks
            .iter()
            .filter(|task| task.state == "running" && task.wanted == "running")
    }
}
