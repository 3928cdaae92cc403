//! What the filter does with one packet, and the proof that it did: a rule that fits for certain and
//! whose counter rose. A part that is not understood never counts as "fits".

use std::net::IpAddr;

use crate::filter::{Field, Filter, Part, Rule, Verdict};

/// The first packet of a connection, as a forwarding hook sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The interface it comes in by.
    pub interface_in: String,
    /// The interface it leaves by.
    pub interface_out: String,
    /// Where it is from.
    pub from: IpAddr,
    /// Where it goes, after Docker's translation.
    pub to: IpAddr,
    /// IPPROTO_*: 6 TCP, 17 UDP.
    pub protocol: u8,
    /// The destination port.
    pub port: u16,
}

/// NFPROTO_*, of tables and of packets. What a bridge table filters is not told by addresses alone.
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// The rule that took packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// NFPROTO_* of the table.
    pub family: u8,
    /// The table's name.
    pub table: String,
    /// The chain's name.
    pub chain: String,
    /// The rule's handle.
    pub handle: u64,
    /// [`Verdict::Drop`] or [`Verdict::Reject`].
    pub verdict: Verdict,
    /// By how much its counter rose.
    pub packets: u64,
}

/// The rules that drop or reject this packet for certain, and counted more after it than before.
/// A counter that fell was reset, and proves nothing. Another sender's packets can raise the same
/// counter: the caller must see that the probe's own packets were lost, and how many were sent.
pub fn took(before: &Filter, after: &Filter, packet: &Packet) -> Vec<Taken> {
    let mut taken = Vec::new();
    let family = if packet.to.is_ipv4() { IPV4 } else { IPV6 };
    for chain in &after.chains {
        if packet.from.is_ipv4() != packet.to.is_ipv4() || ![INET, family].contains(&chain.family) {
            continue;
        }
        let same = |c: &&crate::Chain| {
            c.family == chain.family && c.table == chain.table && c.name == chain.name
        };
        let Some(old) = before.chains.iter().find(same) else {
            continue;
        };
        for rule in &chain.rules {
            let Some(verdict) = ends(rule) else { continue };
            let Some(was) = old.rules.iter().find(|was| was.handle == rule.handle) else {
                continue;
            };
            let (Some(first), Some(last)) = (counter(was), counter(rule)) else {
                continue;
            };
            let fits = rule
                .parts
                .iter()
                .all(|part| fits(part, packet) == Some(true));
            if fits && last > first {
                taken.push(Taken {
                    family: chain.family,
                    table: chain.table.clone(),
                    chain: chain.name.clone(),
                    handle: rule.handle,
                    verdict: verdict.clone(),
                    packets: last - first,
                });
            }
        }
    }
    taken
}

fn ends(rule: &Rule) -> Option<&Verdict> {
    rule.parts.iter().find_map(|part| match part {
        Part::Verdict(verdict @ (Verdict::Drop | Verdict::Reject)) => Some(verdict),
        _ => None,
    })
}

/// What the rule counted, if its counter stands behind all that the rule asks: one that stands
/// before a question also counts packets that the rule does not take.
fn counter(rule: &Rule) -> Option<u64> {
    rule.parts.iter().rev().find_map(|part| match part {
        Part::Verdict(_) | Part::Comment(_) => None,
        Part::Counter(packets) => Some(Some(*packets)),
        _ => Some(None),
    })?
}

/// Whether a packet gets past this part; none if that can't be said.
fn fits(part: &Part, packet: &Packet) -> Option<bool> {
    match part {
        Part::Comment(_) | Part::Counter(_) | Part::Verdict(_) => Some(true),
        Part::Unreadable(_) => None,
        // The first packet of a connection is new.
        Part::State { set, inside } => Some((set & 8 != 0) == *inside),
        Part::Port {
            protocol,
            from,
            to,
            inside,
        } => Some(*protocol == packet.protocol && (*from..=*to).contains(&packet.port) == *inside),
        Part::Compare {
            field,
            mask,
            value,
            equal,
        } => {
            let mut has = bytes(*field, packet, value.len())?;
            if !mask.is_empty() {
                if mask.len() != has.len() {
                    return None;
                }
                has.iter_mut()
                    .zip(mask)
                    .for_each(|(byte, mask)| *byte &= mask);
            }
            Some((has == *value) == *equal)
        }
    }
}

/// The field of the packet, as long as what it is compared with.
fn bytes(field: Field, packet: &Packet, length: usize) -> Option<Vec<u8>> {
    let name = |name: &str| {
        let mut bytes = name.as_bytes().to_vec();
        bytes.resize(length.min(16), 0);
        bytes
    };
    let (from, to) = (address(packet.from), address(packet.to));
    let header = |start: usize, all: &[u8], at: u32| {
        let at = (at as usize).checked_sub(start)?;
        Some(all.get(at..at.checked_add(length)?)?.to_vec())
    };
    match field {
        Field::InterfaceIn => Some(name(&packet.interface_in)),
        Field::InterfaceOut => Some(name(&packet.interface_out)),
        Field::Family => Some(vec![if packet.to.is_ipv4() { IPV4 } else { IPV6 }]),
        Field::Protocol => Some(vec![packet.protocol]),
        // Source and destination stand side by side in both headers.
        Field::Network(at) => {
            let start = if packet.to.is_ipv4() { 12 } else { 8 };
            header(start, &[from, to].concat(), at)
        }
        Field::Transport(at) => header(2, &packet.port.to_be_bytes(), at),
        Field::State => None,
    }
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
