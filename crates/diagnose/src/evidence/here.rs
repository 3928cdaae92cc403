//! What was tried from the machine where the user sits. Data only.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::Connected;
use serde::{Deserialize, Serialize};

use super::Fact;

/// Published ports as this machine reaches them, where it is not the engine's host. Its view is not one of
/// the viewpoints: no probe stands there, only the program that the user started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// The engine's host, as it is reached from here; the reason if its name comes to no address.
    pub engine: Fact<IpAddr>,
    /// Each place that was tried, with what came of it.
    pub tries: Vec<(SocketAddr, Connected)>,
}

impl Here {
    /// What came of this place.
    pub fn connect(&self, to: SocketAddr) -> Option<&Connected> {
        let found = self.tries.iter().find(|(tried, _)| *tried == to);
        found.map(|(_, connected)| connected)
    }
}
