//! The faults, as a caller describes them. Addresses, not names: nothing here is ever resolved.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// What arrives from some addresses is dropped in silence.
    Drop(Drop),
    /// Connections to some addresses fail at once.
    Refuse(Refuse),
    /// One name does not resolve, or to something else.
    Dns(Dns),
    /// What leaves for some addresses is late, lost, or slow.
    Link(Link),
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Drops what arrives in this namespace: [`Fault::Drop`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    /// From these addresses.
    pub from: Vec<IpAddr>,
    /// Only this protocol. Without it everything but neighbour discovery (ICMPv6 133 to 137); ARP
    /// is no IP and never dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Only to this port of ours; with no protocol given, of TCP and UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// Refuses new connections out of this namespace: [`Fault::Refuse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// To these addresses.
    pub to: Vec<IpAddr>,
    /// Only this protocol; without it TCP and UDP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Only to this port of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The answer that the program gives in the name of the peer.
    pub with: RefuseWith,
}

/// How a connection is refused, and what the application sees: `connect` of TCP, and the call after
/// the first `send` of a connected UDP socket. As the kernel maps it (`icmp_err_convert` in
/// net/ipv4/icmp.c, `tab_unreach` in net/ipv6/icmp.c) and the tests of this crate observe it.
///
/// | | TCP, IPv4 | TCP, IPv6 | UDP, IPv4 | UDP, IPv6 |
/// |---|---|---|---|---|
/// | `tcp-reset` | ECONNREFUSED | ECONNREFUSED | – | – |
/// | `port-unreachable` | ECONNREFUSED | ECONNREFUSED | ECONNREFUSED | ECONNREFUSED |
/// | `host-unreachable` | EHOSTUNREACH | EHOSTUNREACH | nothing | nothing |
/// | `net-unreachable` | ENETUNREACH | ENETUNREACH | nothing | nothing |
/// | `admin-prohibited` | EHOSTUNREACH | EACCES | EHOSTUNREACH | EACCES |
///
/// "Nothing": the kernel takes the error for passing and keeps it from a UDP socket that did not
/// ask for it (`IP_RECVERR`); the packet is lost. UDP sockets that are not connected never see one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefuseWith {
    /// A TCP segment with RST, as from a host where nobody listens. UDP is then let alone.
    TcpReset,
    /// ICMP type 3 code 3, or ICMPv6 type 1 code 4.
    PortUnreachable,
    /// ICMP type 3 code 1, or ICMPv6 type 1 code 3.
    HostUnreachable,
    /// ICMP type 3 code 0, or ICMPv6 type 1 code 0.
    NetUnreachable,
    /// ICMP type 3 code 13, or ICMPv6 type 1 code 1.
    AdminProhibited,
}

/// Gives another answer for one name: [`Fault::Dns`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The name; case does not matter, and neither does a search domain of `/etc/resolv.conf` that
    /// the application appends.
    pub name: String,
    /// What is said of it, whatever the record type asked for.
    pub outcome: DnsOutcome,
    /// The resolvers whose questions are caught; empty for those of `/etc/resolv.conf`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<IpAddr>,
}

/// What a resolver says of a name (RFC 1035 4.1.1 for the response codes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsOutcome {
    /// There is no such name (RCODE 3).
    Nxdomain,
    /// The resolver failed (RCODE 2).
    Servfail,
    /// The resolver does not want to answer (RCODE 5).
    Refused,
    /// Silence.
    NoAnswer,
    /// The name exists and has no record of the type (RFC 2308, NODATA).
    Empty,
    /// These addresses, each for its own record type, with a time to live of zero; other types as
    /// `Empty`.
    Addresses(Vec<IpAddr>),
}

/// Emulates a bad link in one direction: [`Fault::Link`]. All addresses share the one link.
///
/// A packet passes loss, then duplication, then the queue before the rate limit, then the delay.
/// So the rate is that of the receiver's end, and lost packets take no room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// What leaves this namespace for these addresses.
    pub to: Vec<IpAddr>,
    /// Delay of each packet, in milliseconds; at most [`Link::LONGEST_DELAY_MS`].
    #[serde(default)]
    pub delay_ms: f64,
    /// Up to this much more or less, evenly spread, in milliseconds; at most `delay_ms`.
    #[serde(default)]
    pub jitter_ms: f64,
    /// Whether jitter may let a packet overtake another, as netem does. Without it a packet is at
    /// least as late as the one before: the order of one link is kept, and jitter adds up a little.
    #[serde(default)]
    pub reorder: bool,
    /// The part of packets that is lost, 0 to 1.
    #[serde(default)]
    pub loss: f64,
    /// The part of packets that is sent twice, 0 to 1.
    #[serde(default)]
    pub duplicate: f64,
    /// Bytes of frames a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_bytes_per_s: Option<u64>,
    /// Bytes that may wait for the rate limit; what does not fit is dropped, but a packet that finds
    /// the queue empty always fits. Without it what the rate lets through in one second, but at
    /// least 64 KiB (one offload frame).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    /// Of the random numbers. The same packets in the same order meet the same fate.
    #[serde(default)]
    pub seed: u64,
}

impl Link {
    /// One minute: longer than any time-out that a test would wait for.
    pub const LONGEST_DELAY_MS: f64 = 60_000.0;

    /// A link to these addresses that changes nothing.
    pub fn to(to: Vec<IpAddr>) -> Self {
        Self {
            to,
            delay_ms: 0.0,
            jitter_ms: 0.0,
            reorder: false,
            loss: 0.0,
            duplicate: 0.0,
            rate_bytes_per_s: None,
            queue_bytes: None,
            seed: 0,
        }
    }
}
