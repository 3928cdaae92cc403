//! The bridges of the subject's networks on the engine's host.
//!
//! It reads what was seen of the host and judges nothing.

use std::net::IpAddr;

use netcheck_probe::{Delivered, Interface, Route};

use super::Case;
use crate::evidence::{Endpoint, EngineKind, Fact, Network};

/// A network of the subject with its bridge.
#[derive(Debug, Clone, Copy)]
pub struct Bridged<'a> {
    /// The network.
    pub network: &'a Network,
    /// The subject's place on it.
    pub endpoint: &'a Endpoint,
    /// The link of the host.
    pub link: &'a Interface,
    /// All routes of the host; none if they could not be read.
    pub routes: Option<&'a [Route]>,
}

impl<'a> Case<'a> {
    /// Those whose link was seen. Rootless engines and machines of Docker Desktop have them elsewhere.
    pub fn bridged(&self) -> Vec<Bridged<'a>> {
        let Some(snapshot) = self.host_snapshot() else {
            return Vec::new();
        };
        let Ok(links) = &snapshot.interfaces else {
            return Vec::new();
        };
        self.networks()
            .into_iter()
            .filter(|(network, _)| network.driver == "bridge")
            .filter_map(|(network, endpoint)| {
                let name = self.bridge_name(network)?;
                Some(Bridged {
                    network,
                    endpoint,
                    link: links.iter().find(|link| link.name == name)?,
                    routes: snapshot.routes.as_deref().ok(),
                })
            })
            .collect()
    }

    /// The name of a network's bridge. Docker's is an option, or `br-` and twelve digits of the network's id.
    /// podman tells none to clients of Docker's API: there it is the link of the host with the gateway's address.
    pub(crate) fn bridge_name(&self, network: &Network) -> Option<String> {
        match self.evidence.engine.known()?.kind {
            EngineKind::Docker => {
                let option = network.options.get("com.docker.network.bridge.name");
                option
                    .cloned()
                    .or_else(|| Some(format!("br-{}", network.id.get(..12)?)))
            }
            EngineKind::Podman => {
                let links = self.host_snapshot()?.interfaces.as_ref().ok()?;
                let is_gateway = |address: IpAddr| {
                    let mut gateways = network.ipam.iter().filter_map(|ipam| ipam.gateway);
                    gateways.any(|gateway| gateway == address)
                };
                let bridge = links.iter().find(|link| {
                    link.addresses
                        .iter()
                        .any(|(address, _)| is_gateway(*address))
                })?;
                Some(bridge.name.clone())
            }
        }
    }

    /// Whether a gateway of the endpoint was asked and stayed silent.
    pub fn gateway_is_silent(&self, endpoint: &Endpoint) -> bool {
        let Ok(visit) = self.visit() else {
            return false;
        };
        endpoint.gateways.iter().any(|gateway| {
            matches!(
                visit.ping(*gateway),
                Fact::Known(Delivered::Silent | Delivered::Failed { .. })
            )
        })
    }
}
