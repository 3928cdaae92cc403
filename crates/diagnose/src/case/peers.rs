//! Other containers as the subject's configuration names them: by name, by address, by port.

use std::net::IpAddr;

use netcheck_probe::{Connected, Errno, Protocol};

use super::Case;
use crate::evidence::{Container, Network, Visit};
use crate::reference::Reference;

/// The container that a reference most likely means, and how that is known.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// Who.
    pub container: &'a Container,
    /// The name under which the subject can find it on a shared network with DNS, if there is one.
    pub name: Option<String>,
    /// The port it serves there.
    pub port: u16,
    /// The fact that makes it the one.
    pub because: String,
}

impl<'a> Case<'a> {
    /// The networks that both are on.
    pub fn shared_networks(&self, other: &Container) -> Vec<&'a Network> {
        self.networks()
            .into_iter()
            .filter(|(network, _)| other.endpoint(&network.id).is_some())
            .map(|(network, _)| network)
            .collect()
    }

    /// The running container that owns an address now.
    pub fn owner_of(&self, address: IpAddr) -> Option<&'a Container> {
        self.evidence
            .containers
            .iter()
            .find(|container| container.is_running() && container.has_address(address))
    }

    /// The network whose subnet holds an address.
    pub fn network_of(&self, address: IpAddr) -> Option<&'a Network> {
        self.evidence
            .networks
            .known()?
            .iter()
            .find(|network| network.contains(address))
    }

    /// Containers that carry this name: their own, an alias or a Compose service. Those on a shared
    /// network first, then running ones, then by name.
    pub fn named(&self, name: &str) -> Vec<&'a Container> {
        let name = name.trim_end_matches('.');
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        let mut found: Vec<_> = self
            .evidence
            .containers
            .iter()
            .filter(|container| {
                is(&container.name)
                    || container.endpoints.iter().any(|endpoint| {
                        endpoint.aliases.iter().any(|alias| is(alias))
                            || endpoint.dns_names.iter().any(|known| is(known))
                    })
                    || container.compose.get("service").is_some_and(|s| is(s))
            })
            .collect();
        found.sort_by_key(|container| {
            (
                self.shared_networks(container).is_empty(),
                !container.is_running(),
                &container.name,
            )
        });
        found
    }

    /// A name under which the subject can resolve the other on a shared network with DNS: the
    /// Compose service, a chosen alias, or the container's name.
    pub fn name_for(&self, other: &Container) -> Option<String> {
        let network = self
            .shared_networks(other)
            .into_iter()
            .find(|network| network.has_dns())?;
        let endpoint = other.endpoint(&network.id)?;
        if let Some(service) = other.compose.get("service")
            && endpoint.aliases.contains(service)
        {
            return Some(service.clone());
        }
        Some(other.name.clone())
    }

    /// Whether something accepted the subject's connection to this container's port, or it promises
    /// that port: published container side, or exposed.
    pub fn serves(&self, other: &Container, port: u16) -> bool {
        let promised = other.published.iter().any(|binding| {
            binding.container.number == port && binding.container.protocol == Protocol::Tcp
        }) || other.detail().is_some_and(|detail| {
            detail
                .exposed
                .iter()
                .any(|exposed| exposed.number == port && exposed.protocol == Protocol::Tcp)
        });
        promised || self.connects(other, port)
    }

    /// Whether the subject's connections to this container's port were refused, whatever is published: nothing
    /// listens there.
    pub fn is_refused(&self, other: &Container, port: u16) -> bool {
        let Ok(visit) = self.visit() else {
            return false;
        };
        let tried: Vec<&Connected> = other
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .filter_map(|address| visit.connect((*address, port).into()).known().copied())
            .collect();
        let refused = |came: &&Connected| {
            matches!(
                came,
                Connected::Failed {
                    errno: Errno::Refused,
                    ..
                }
            )
        };
        !tried.is_empty() && tried.iter().all(refused)
    }

    /// Whether a connection from the subject to this container's port was seen to open.
    pub fn connects(&self, other: &Container, port: u16) -> bool {
        let Ok(visit) = self.visit() else {
            return false;
        };
        other
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .any(|address| opened(visit, *address, port))
    }

    /// The other running containers that serve a port: those on a shared network, else all of the engine.
    pub fn serving(&self, port: u16) -> Vec<&'a Container> {
        let others = self.evidence.containers.iter();
        let all: Vec<_> = others
            .filter(|other| other.id != self.subject.id && other.is_running())
            .filter(|other| self.serves(other, port))
            .collect();
        let is_near = |other: &&Container| !self.shared_networks(other).is_empty();
        let near: Vec<_> = all.iter().copied().filter(is_near).collect();
        if near.is_empty() { all } else { near }
    }

    /// The one running container (not the subject) that a reference must mean by its port: the only
    /// one on a shared network that serves it, else the only one of the engine.
    pub fn expected_by_port(&self, reference: &Reference) -> Option<Expected<'a>> {
        for port in reference.ports() {
            let candidates = self.serving(port);
            let [one] = candidates[..] else { continue };
            return Some(Expected {
                container: one,
                name: self.name_for(one),
                port,
                because: format!("`{}` serves port {port}", one.name),
            });
        }
        None
    }
}

/// Whether a connection was seen to open from there.
pub(crate) fn opened(visit: &Visit, address: IpAddr, port: u16) -> bool {
    matches!(
        visit.connect((address, port).into()).known(),
        Some(Connected::Open { .. })
    )
}
