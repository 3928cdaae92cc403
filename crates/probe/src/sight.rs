//! Packets as they were seen on the interfaces of a namespace. Data only: headers, never contents.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What was seen in a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// In their order.
    pub sights: Vec<Sight>,
    /// Some packets were not seen: there were too many.
    pub incomplete: bool,
}

/// One packet on one interface. The same packet is seen on each interface that it passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Since the watch began, in microseconds.
    pub at_us: u32,
    /// The interface's name.
    pub interface: String,
    /// On its way out of that interface, else into it.
    pub outgoing: bool,
    /// As its header says here; an error is from whoever sends it.
    pub from: SocketAddr,
    /// As its header says here.
    pub to: SocketAddr,
    /// What it is.
    pub packet: Packet,
    /// The sequence number of the SYN that it is, or that it answers: no translation changes it.
    pub flow: u32,
}

/// What a packet of a connection that begins is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packet {
    /// The first one.
    Syn,
    /// The answer that opens it.
    SynAck,
    /// The answer that refuses it.
    Reset,
    /// An ICMP or ICMPv6 error about it, with its type and code.
    Error(u8, u8),
}
