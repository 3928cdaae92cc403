//! Many tries of one target, as they went. Data only, and nothing is counted here.

use netcheck_probe::{Attempt, Protocol};
use serde::{Deserialize, Serialize};

use super::Fact;
use crate::request::Target;

/// All tries of one target from the container that connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// The name or the address that was looked up each time.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// How many tries were to be made.
    pub wanted: u32,
    /// Those that were made, in the order in which they began.
    pub attempts: Vec<Attempt>,
    /// Why there are fewer than were wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// How many connections the target's kernel turned away during the tries, because the program
    /// left its accept queue full (`ListenOverflows`).
    pub overflows: Fact<u64>,
}

impl Repetition {
    /// Whether this target was tried.
    pub fn is_of(&self, target: &Target) -> bool {
        (self.host.as_str(), self.port, self.protocol)
            == (target.host.as_str(), target.port, target.protocol)
    }
}
