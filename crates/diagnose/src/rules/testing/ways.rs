//! Worlds in which `web` is to reach a place over the engine's host.

use std::net::SocketAddr;

use netcheck_probe::{
    Answer, Connected, Errno, Interface, Question, Route, RouteKind, Snapshot, Then,
};

use super::{container, id_of, ip, network, snapshot, world};
use crate::evidence::{Evidence, Fact, Ipam, Viewpoint};
use crate::request::Outbound;

/// What differs from a host with an uplink `eth0`, without any route but those to its bridges.
pub(crate) struct On {
    /// Asked for.
    pub(crate) to: &'static str,
    /// How the connection failed; none where it opened.
    pub(crate) errno: Option<Errno>,
    /// Further routes of the host.
    pub(crate) routes: Vec<Route>,
    /// The container has a default route.
    pub(crate) own_default: bool,
    /// The host was looked at.
    pub(crate) host_seen: bool,
    /// The MTU of `eth0` of the host.
    pub(crate) mtu: u32,
}

impl Default for On {
    fn default() -> Self {
        Self {
            to: "203.0.113.9:443",
            errno: None,
            routes: Vec::new(),
            own_default: true,
            host_seen: true,
            mtu: 1500,
        }
    }
}

pub(crate) fn host_route(
    destination: &str,
    length: u8,
    link: Option<&str>,
    kind: RouteKind,
) -> Route {
    Route {
        destination: (ip(destination), length),
        gateway: None,
        interface: link.map(Into::into),
        source: None,
        metric: 0,
        kind,
    }
}

pub(crate) fn link(name: &str, mtu: u32) -> Interface {
    Interface {
        name: name.into(),
        index: 9,
        up: true,
        carrier: true,
        mtu,
        mac: None,
        addresses: Vec::new(),
    }
}

/// The bridge of `my_network`.
pub(crate) fn bridge() -> String {
    format!("br-{}", &id_of("my_network")[..12])
}

/// The host with its bridge of `my_network`, and these routes.
pub(crate) fn host(on: &On) -> Snapshot {
    let own = host_route("172.18.0.0", 16, Some(&bridge()), RouteKind::Unicast);
    Snapshot {
        interfaces: Ok(vec![link(&bridge(), 1500), link("eth0", on.mtu)]),
        routes: Ok([vec![own], on.routes.clone()].concat()),
        ..snapshot()
    }
}

/// `web` tried the place.
pub(crate) fn outside(on: &On) -> Evidence {
    let to: SocketAddr = on.to.parse().unwrap();
    let mut evidence = world(container("web"));
    evidence.request.outbound = Some(Outbound {
        host: to.ip().to_string(),
        port: to.port(),
    });
    if let Fact::Known(networks) = &mut evidence.networks {
        let six = network("my_network", "fd00:18::/64");
        networks[1]
            .ipam
            .extend(six.ipam.into_iter().map(|ipam| Ipam {
                gateway: Some(ip("fd00:18::1")),
                ..ipam
            }));
    }
    let mut own = snapshot();
    let six = Route {
        gateway: Some(ip("fd00:18::1")),
        ..host_route("::", 0, Some("eth0"), RouteKind::Unicast)
    };
    if let Ok(routes) = &mut own.routes {
        routes.push(six);
        routes.retain(|route| on.own_default || route.destination.1 > 0);
    }
    let connected = match on.errno {
        Some(errno) => Connected::Failed { errno, took_ms: 0 },
        None => Connected::Open {
            from: (ip("172.18.0.9"), 40000).into(),
            took_ms: 1,
            then: Then::Silent,
        },
    };
    let evidence = evidence.sees(own).answered(
        Question::Connect { to, listen_ms: 1 },
        Answer::Connect(connected),
    );
    if on.host_seen {
        evidence.answered_from(
            Viewpoint::Host,
            Question::Snapshot,
            Answer::Snapshot(host(on)),
        )
    } else {
        evidence
    }
}
