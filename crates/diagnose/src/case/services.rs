//! Services of a swarm, as the asked place means them.

use std::net::{IpAddr, SocketAddr};

use super::Case;
use crate::evidence::{Container, Service};

impl<'a> Case<'a> {
    /// The service that the place which was asked for means, seen from the subject: by its name, by
    /// `tasks.NAME`, or by a virtual address of it. It is on a network of the subject's. None where the engine
    /// manages no swarm, and where a container is meant.
    pub fn asked_service(&self) -> Option<&'a Service> {
        let target = self.evidence.request.target.as_ref()?;
        if target.container.is_some() || self.evidence.request.container != self.subject.id {
            return None;
        }
        let host = target.host.trim_end_matches('.');
        let name = host.strip_prefix("tasks.").unwrap_or(host);
        let address: Option<IpAddr> = host.parse().ok();
        self.evidence.services.known()?.iter().find(|service| {
            let meets = service
                .networks
                .iter()
                .any(|network| self.subject.endpoint(network).is_some());
            let is = |other: &String| other.eq_ignore_ascii_case(name);
            meets
                && match address {
                    Some(address) => self.virtual_addresses(service).contains(&address),
                    None => is(&service.name) || service.aliases.iter().any(is),
                }
        })
    }

    /// The addresses that stand for all tasks of a service, on the subject's networks.
    pub fn virtual_addresses(&self, service: &Service) -> Vec<IpAddr> {
        let shared = service
            .virtual_addresses
            .iter()
            .filter(|(network, _)| self.subject.endpoint(network).is_some());
        shared.map(|(_, address)| *address).collect()
    }

    /// The containers of the running tasks, those on this engine; and how many are elsewhere.
    pub fn tasks_here(&self, service: &Service) -> (Vec<&'a Container>, usize) {
        let here: Vec<&Container> = service
            .running()
            .filter_map(|task| self.evidence.container(task.container.as_ref()?))
            .filter(|container| container.is_running())
            .collect();
        let elsewhere = service.running().count() - here.len();
        (here, elsewhere)
    }

    /// Where the running tasks on this engine are reached themselves, on this port.
    pub fn task_sockets(&self, service: &Service, port: u16) -> Vec<(&'a Container, SocketAddr)> {
        let mut sockets = Vec::new();
        for container in self.tasks_here(service).0 {
            let shared = container
                .endpoints
                .iter()
                .filter(|endpoint| self.subject.endpoint(&endpoint.network_id).is_some());
            let addresses = shared.flat_map(|endpoint| &endpoint.addresses);
            sockets.extend(
                addresses
                    .filter(|address| address.is_ipv4())
                    .map(|address| (container, SocketAddr::new(*address, port))),
            );
        }
        sockets
    }
}
