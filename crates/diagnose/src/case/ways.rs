//! Ways over the engine's host: what the subject tried, and which way the host sends it.
//!
//! It reads what was seen and judges nothing.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use netcheck_probe::{Connected, Fitted, Interface, Route, RouteKind};

use super::{Bridged, Case};
use crate::evidence::{Endpoint, Fact, Network, Status};
use crate::start_error::StartError;

/// Which way a main routing table sends packets to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    /// By this route.
    By(&'a Route),
    /// By none: this route refuses them or swallows them.
    Refused(&'a Route),
    /// There is no route.
    Nowhere,
}

/// A connection of the subject to a place that its configuration or its user names.
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// What came of it.
    pub connected: &'a Connected,
}

/// An address of a LAN that a macvlan network gave a container.
#[derive(Debug, Clone, Copy)]
pub struct Lent<'a> {
    /// The network.
    pub network: &'a Network,
    /// The container's place on it.
    pub endpoint: &'a Endpoint,
    /// The address.
    pub address: IpAddr,
    /// The link of the host by which the network is on the LAN.
    pub parent: &'a str,
}

/// The parent link of a macvlan network in the mode that Docker gives it unless told otherwise.
pub fn macvlan_parent(network: &Network) -> Option<&str> {
    let mode = network.options.get("macvlan_mode");
    let parent = network.options.get("parent")?;
    (network.driver == "macvlan" && mode.is_none_or(|mode| mode == "bridge")).then_some(parent)
}

/// The way of packets in a table: the most specific route, and of several the one with the lowest metric.
pub fn way(routes: &[Route], to: IpAddr) -> Way<'_> {
    let best = routes
        .iter()
        .filter(|route| net(route).is_some_and(|net| net.contains(&to)))
        .min_by_key(|route| (Reverse(route.destination.1), route.metric));
    match best {
        None => Way::Nowhere,
        Some(route) if route.kind == RouteKind::Unicast => Way::By(route),
        Some(route) => Way::Refused(route),
    }
}

/// The destination of a route.
pub fn net(route: &Route) -> Option<IpNet> {
    IpNet::new(route.destination.0, route.destination.1).ok()
}

/// A route as `ip route` takes it.
pub fn route_words(route: &Route) -> Vec<String> {
    let kind = match route.kind {
        RouteKind::Unicast => None,
        RouteKind::Blackhole => Some("blackhole"),
        RouteKind::Unreachable => Some("unreachable"),
        RouteKind::Prohibit => Some("prohibit"),
    };
    let mut words: Vec<String> = kind.map(str::to_owned).into_iter().collect();
    words.push(match route.destination {
        (_, 0) => "default".into(),
        (address, length) => format!("{address}/{length}"),
    });
    if let Some(gateway) = route.gateway {
        words.extend(["via".to_owned(), gateway.to_string()]);
    }
    // The kernel has those that refuse on a link that means nothing.
    if let Some(link) = route.interface.as_ref().filter(|_| kind.is_none()) {
        words.extend(["dev".to_owned(), link.clone()]);
    }
    words
}

impl<'a> Case<'a> {
    /// The connections to places that the configuration, or who asks, names; those that were tried.
    pub fn tried(&self) -> Vec<Tried<'a>> {
        let Ok(visit) = self.visit() else {
            return Vec::new();
        };
        let named = self.detail.references.iter();
        let named = named.map(|reference| (reference.host.as_str(), reference.ports()));
        let asked = self.evidence.request.outbound.iter();
        let asked = asked.map(|outbound| (outbound.host.as_str(), vec![outbound.port]));
        let mut tried: Vec<Tried<'a>> = Vec::new();
        for (host, ports) in named.chain(asked) {
            let addresses = match host.parse::<IpAddr>() {
                Ok(address) => vec![address],
                Err(_) => self.resolution(host).unwrap_or_default(),
            };
            for address in addresses {
                for port in &ports {
                    let to = SocketAddr::new(address, *port);
                    if let Fact::Known(connected) = visit.connect(to)
                        && tried.iter().all(|one| one.to != to)
                    {
                        tried.push(Tried { to, connected });
                    }
                }
            }
        }
        tried
    }

    /// Those of them that lead further than the engine's host and its networks.
    pub fn tried_outside(&self) -> Vec<Tried<'a>> {
        let mut tried = self.tried();
        tried.retain(|one| self.is_further(one.to.ip()));
        tried
    }

    /// The address is none of the host's, and in no subnet of a network of the engine.
    pub(crate) fn is_further(&self, address: IpAddr) -> bool {
        self.evidence.networks.known().is_some()
            && !address.is_loopback()
            && !address.is_unspecified()
            && !self.is_host_address(address)
            && self.network_of(address).is_none()
    }

    /// The bridge by which the subject sends there: its own route leads to an address of that network,
    /// or into it.
    pub fn leaves_by(&self, to: IpAddr) -> Option<Bridged<'a>> {
        let snapshot = self.snapshot().ok()?;
        let Way::By(route) = way(snapshot.routes.as_ref().ok()?, to) else {
            return None;
        };
        let next = route.gateway.unwrap_or(to);
        self.bridged()
            .into_iter()
            .find(|one| one.network.contains(next) || one.endpoint.gateways.contains(&next))
    }

    /// Which way the engine's host sends packets there; none if that was not seen.
    pub fn host_way(&self, to: IpAddr) -> Option<Way<'a>> {
        Some(way(self.host_snapshot()?.routes.as_ref().ok()?, to))
    }

    /// A link of the engine's host.
    pub fn host_link(&self, name: &str) -> Option<&'a Interface> {
        let links = self.host_snapshot()?.interfaces.as_ref().ok()?;
        links.iter().find(|link| link.name == name)
    }

    /// Whether a link of the host is the bridge of a network of the engine.
    pub fn is_bridge(&self, link: &str) -> bool {
        let networks = self.evidence.networks.known().into_iter().flatten();
        let mut bridges = networks.filter_map(|network| self.bridge_name(network));
        bridges.any(|bridge| bridge == link)
    }

    /// The largest packet that the subject sends there, in bytes: the MTU of the link that it takes.
    pub fn largest_packet(&self, to: IpAddr) -> Option<u32> {
        let snapshot = self.snapshot().ok()?;
        let Way::By(route) = way(snapshot.routes.as_ref().ok()?, to) else {
            return None;
        };
        let links = snapshot.interfaces.as_ref().ok()?;
        let link = links
            .iter()
            .find(|link| Some(&link.name) == route.interface.as_ref())?;
        Some(link.mtu)
    }

    /// The link of the host by which packets of the subject go there, if it takes only smaller ones than
    /// the subject sends.
    pub fn narrow_link(&self, to: IpAddr) -> Option<(&'a Interface, u32)> {
        self.leaves_by(to)?;
        let Way::By(route) = self.host_way(to)? else {
            return None;
        };
        let link = self.host_link(route.interface.as_ref()?)?;
        let largest = self.largest_packet(to)?;
        let narrow = self.is_further(to) && !self.is_bridge(&link.name);
        (narrow && link.mtu > 0 && link.mtu < largest).then_some((link, largest))
    }

    /// What became of the largest packet that the subject sends there.
    pub fn fitted(&self, to: SocketAddr) -> Fact<&'a Fitted> {
        match self.visit() {
            Ok(visit) => visit.fits(to),
            Err(why) => Fact::Failed(why.to_owned()),
        }
    }

    /// The addresses that macvlan networks gave the subject, where the engine's host sends what is for them
    /// out by the parent link itself.
    pub fn macvlan_addresses(&self) -> Vec<Lent<'a>> {
        if !self.subject.is_running() {
            return Vec::new();
        }
        let lent = self
            .networks()
            .into_iter()
            .filter_map(|(network, endpoint)| {
                let parent = macvlan_parent(network)?;
                let is_by_parent = |address: &&IpAddr| {
                    matches!(
                        self.host_way(**address),
                        Some(Way::By(route)) if route.interface.as_deref() == Some(parent)
                            && route.gateway.is_none()
                    )
                };
                Some(Lent {
                    network,
                    endpoint,
                    address: *endpoint.addresses.iter().find(is_by_parent)?,
                    parent,
                })
            });
        lent.collect()
    }

    /// The parent link for whose sake the engine did not start the subject.
    pub fn missing_parent(&self) -> Option<String> {
        if !matches!(self.subject.status, Status::Created | Status::Exited) {
            return None;
        }
        match StartError::read(&self.detail.state.error)? {
            StartError::ParentMissing(parent) => Some(parent),
            _ => None,
        }
    }
}
