//! What listens in the subject's namespace, without what is the engine's own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netcheck_probe::{Process, Protocol, Socket};

use super::Case;
use crate::evidence::{Container, Mode, Port};

/// The embedded DNS of user-defined networks; its sockets belong to the engine, not to the
/// container (libnetwork `resolver.go`).
pub const EMBEDDED_DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// Who can reach a listener, by its address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every address of both families (`[::]` that also takes IPv4), or of IPv4 (`0.0.0.0`).
    Everybody,
    /// Every IPv6 address and no IPv4 one.
    Ipv6Only,
    /// Only programs in the same namespace.
    Loopback,
    /// One address of the container.
    OneAddress(IpAddr),
}

/// A listening socket of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Port and protocol.
    pub port: Port,
    /// Where it is bound.
    pub local: SocketAddr,
    /// Who can reach it.
    pub reach: Reach,
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// So many wait that there is room for no other.
    pub is_full: bool,
    /// Who holds it.
    pub owner: Option<Process>,
}

impl Listener {
    fn of(socket: &Socket) -> Self {
        // Java binds `::ffff:127.0.0.1` for 127.0.0.1.
        let ip = socket.local.ip().to_canonical();
        let reach = match ip {
            ip if ip.is_loopback() => Reach::Loopback,
            IpAddr::V4(ip) if ip.is_unspecified() => Reach::Everybody,
            // Without sock_diag it is not known; most sockets take both, and a connect tells.
            IpAddr::V6(ip) if ip.is_unspecified() => match socket.v6_only {
                Some(true) => Reach::Ipv6Only,
                Some(false) | None => Reach::Everybody,
            },
            ip => Reach::OneAddress(ip),
        };
        Self {
            port: Port {
                number: socket.local.port(),
                protocol: socket.protocol,
            },
            local: socket.local,
            reach,
            waiting: socket.waiting,
            // The kernel's own test (sk_acceptq_is_full). Without sock_diag the backlog is not known.
            is_full: socket.backlog > 0 && socket.waiting > socket.backlog,
            owner: socket.owner.clone(),
        }
    }

    /// An IPv4 client on a network can reach it.
    pub fn serves_ipv4(&self) -> bool {
        match self.reach {
            Reach::Everybody => true,
            Reach::OneAddress(ip) => ip.is_ipv4(),
            Reach::Ipv6Only | Reach::Loopback => false,
        }
    }

    /// Somebody outside the namespace can reach it.
    pub fn is_reachable(&self) -> bool {
        self.reach != Reach::Loopback
    }
}

impl Case<'_> {
    /// What listens in the subject's namespace, sorted by port, or why that is not known.
    ///
    /// In host mode only sockets that are known to be the container's own processes' would count;
    /// that cannot be told, so it is unknown there.
    pub fn listeners(&self) -> Result<Vec<Listener>, String> {
        if self.detail.mode == Mode::Host {
            return Err(
                "the container uses the host's network, whose sockets are everybody's".into(),
            );
        }
        let sockets = self.snapshot()?.sockets.as_ref().map_err(Clone::clone)?;
        let mut listeners: Vec<_> = sockets
            .iter()
            .filter(|socket| socket.local.ip() != EMBEDDED_DNS)
            .map(Listener::of)
            .collect();
        listeners.sort_by_key(|listener| (listener.port, listener.local));
        Ok(listeners)
    }

    /// The addresses of the subject to which another container comes by its name.
    pub fn addresses_towards(&self, other: &Container) -> Vec<IpAddr> {
        self.networks()
            .into_iter()
            .filter(|(network, _)| other.endpoint(&network.id).is_some())
            .flat_map(|(_, endpoint)| endpoint.addresses.iter().copied())
            .collect()
    }

    /// TCP listeners, and UDP sockets on ports below the ephemeral range: a UDP socket above it is
    /// most likely a client's (ip(7), `ip_local_port_range`).
    pub fn services(&self) -> Result<Vec<Listener>, String> {
        let floor = self
            .snapshot()?
            .sysctls
            .get("net.ipv4.ip_local_port_range")
            .and_then(|range| range.split_whitespace().next()?.parse().ok())
            .unwrap_or(32768);
        Ok(self
            .listeners()?
            .into_iter()
            .filter(|listener| {
                listener.port.protocol == Protocol::Tcp || listener.port.number < floor
            })
            .collect())
    }
}
