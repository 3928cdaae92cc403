//! What can be read in a namespace without sending anything. Data only.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The state of one network namespace. Each part that could not be read says why; that is never
/// the same as an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Inode of the namespace (`/proc/self/ns/net`): the same number is the same namespace.
    pub namespace: Result<u64, String>,
    /// Links with their addresses.
    pub interfaces: Result<Vec<Interface>, String>,
    /// The main and local-default tables, IPv4 and IPv6; broadcast and local entries left out.
    pub routes: Result<Vec<Route>, String>,
    /// ARP and NDP entries.
    pub neighbours: Result<Vec<Neighbour>, String>,
    /// Listening TCP and unconnected UDP sockets, IPv4 and IPv6.
    pub sockets: Result<Vec<Socket>, String>,
    /// /etc/resolv.conf as the container sees it.
    pub resolv_conf: Result<ResolvConf, String>,
    /// /etc/hosts as the container sees it.
    pub hosts: Result<Vec<HostsEntry>, String>,
    /// The ones that matter, by name (`net.ipv4.ip_forward`); one that this kernel lacks is absent, and so is
    /// `route_localnet` of an interface where it is not on.
    pub sysctls: BTreeMap<String, String>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `eth0`.
    pub name: String,
    /// Kernel index.
    pub index: u32,
    /// Administratively up.
    pub up: bool,
    /// Has a carrier, i.e. the other end is up too.
    pub carrier: bool,
    /// In bytes.
    pub mtu: u32,
    /// Link-layer address; none on `lo`.
    pub mac: Option<String>,
    /// With their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Network and prefix length; the default route has length 0.
    pub destination: (IpAddr, u8),
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Name of the outgoing link.
    pub interface: Option<String>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Lower wins.
    pub metric: u32,
    /// What happens to packets that match.
    pub kind: RouteKind,
}

/// rtnetlink(7) route types that forward or refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteKind {
    /// Sent on.
    Unicast,
    /// Dropped in silence.
    Blackhole,
    /// Refused with host-unreachable.
    Unreachable,
    /// Refused with admin-prohibited.
    Prohibit,
}

/// An ARP or NDP entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Who.
    pub address: IpAddr,
    /// On which link.
    pub interface: Option<String>,
    /// Link-layer address, when resolved.
    pub mac: Option<String>,
    /// Neighbour unreachability state.
    pub state: NeighbourState,
}

/// rtnetlink(7) NUD states, as far as they matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeighbourState {
    /// Confirmed lately, or set by hand.
    Reachable,
    /// Known, not confirmed lately.
    Stale,
    /// Being asked for.
    Incomplete,
    /// Nobody answered.
    Failed,
    /// Needs no resolution.
    NoArp,
}

/// TCP or UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// As Docker writes it after the slash of `80/tcp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A socket that waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// TCP (listening) or UDP (unconnected).
    pub protocol: Protocol,
    /// Where it is bound.
    pub local: SocketAddr,
    /// `IPV6_V6ONLY` of an IPv6 socket; none for IPv4, and when only /proc could be read.
    pub v6_only: Option<bool>,
    /// TCP: connections that wait to be accepted. UDP: bytes not yet read.
    pub waiting: u32,
    /// TCP: the backlog. UDP: 0.
    pub backlog: u32,
    /// Inode, by which /proc names the owner.
    pub inode: u64,
    /// Who holds it, where /proc shows that.
    pub owner: Option<Process>,
}

/// A process, as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// In the pid namespace of the observer.
    pub pid: u32,
    /// `comm`, at most 15 bytes.
    pub name: String,
    /// The letter of proc(5): R, S, D, T, Z.
    pub state: char,
}

/// resolv.conf(5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResolvConf {
    /// At most three are used by libc; all are listed.
    pub nameservers: Vec<IpAddr>,
    /// The last `search` or `domain` line.
    pub search: Vec<String>,
    /// `ndots:0` and others, as written.
    pub options: Vec<String>,
    /// The upstreams that engines from 26 on write into a comment (`# ExtServers: [host(10.0.0.2)]`).
    pub upstreams: Vec<String>,
    /// The engine wrote its own default servers in, as no server of the host's was left: it says so in a
    /// comment (from 26 on), or they stand after an empty line, which it writes nowhere else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub engine_defaults: bool,
}

impl ResolvConf {
    /// `ndots`, 1 when not set (resolv.conf(5)).
    pub fn ndots(&self) -> usize {
        self.options
            .iter()
            .rev()
            .find_map(|option| option.strip_prefix("ndots:")?.parse().ok())
            .unwrap_or(1)
    }
}

/// One line of hosts(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsEntry {
    /// The first word.
    pub address: IpAddr,
    /// The others.
    pub names: Vec<String>,
}
