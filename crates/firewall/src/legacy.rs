//! From the bytes of an ip_tables or ip6_tables table to chains and rules. The layouts are those of
//! the kernel's include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h and
//! netfilter/x_tables.h on a 64-bit machine. What is not known for certain becomes
//! [`Part::Unreadable`].

use std::collections::BTreeMap;

use crate::attributes::until_zero;
use crate::decode::matched;
use crate::filter::{Backend, Chain, Field, Hook, Part, Rule, Verdict};

const IPV4: u8 = 2;

/// The names of the base chains, by their hooks.
const BASE: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// Entries of one table that are read at most.
const MOST: usize = 100_000;

/// Where things are in an entry, in bytes.
struct Layout {
    /// Length of an address.
    address: usize,
    /// The name of the interface it comes in by; the other three of 16 bytes follow.
    interfaces: usize,
    protocol: usize,
    flags: usize,
    inverted: usize,
    /// Two 16-bit offsets: of the target, and of the next entry.
    offsets: usize,
    counters: usize,
    matches: usize,
}

const V4: Layout = Layout {
    address: 4,
    interfaces: 16,
    protocol: 80,
    flags: 82,
    inverted: 83,
    offsets: 88,
    counters: 96,
    matches: 112,
};
const V6: Layout = Layout {
    address: 16,
    interfaces: 64,
    protocol: 128,
    flags: 131,
    inverted: 132,
    offsets: 140,
    counters: 152,
    matches: 168,
};

/// A 32-byte head of a match or target: its size, its name, its revision.
const HEAD: usize = 32;

/// One entry as it was read.
struct Entry {
    rule: Vec<Part>,
    packets: u64,
    kind: Kind,
}

enum Kind {
    /// The beginning of a chain of this name, or the end of the table.
    Head(String),
    Drop,
    Accept,
    Return,
    Jump {
        to: usize,
        goes: bool,
    },
    Other,
}

/// The chains of one table. `hooks` has, for each hook, where its chain begins and where its policy
/// stands, as offsets into `entries`. None if the bytes are no table.
pub fn table(
    family: u8,
    name: &str,
    hooks: [Option<(u32, u32)>; 5],
    entries: &[u8],
) -> Option<Vec<Chain>> {
    let layout = if family == IPV4 { V4 } else { V6 };
    let mut all: BTreeMap<usize, Entry> = BTreeMap::new();
    let mut at = 0;
    while at < entries.len() {
        if all.len() >= MOST {
            return None;
        }
        let (entry, length) = entry(entries.get(at..)?, &layout)?;
        all.insert(at, entry);
        at += length;
    }
    // A jump goes to the first rule of a chain; its head stands before that.
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    let mut starts: Vec<(usize, String, Option<usize>)> = Vec::new();
    for (hook, place) in hooks.into_iter().enumerate() {
        if let Some((first, policy)) = place {
            starts.push((
                first as usize,
                (*BASE.get(hook)?).to_owned(),
                Some(policy as usize),
            ));
        }
    }
    for (at, entry) in &all {
        let next = all.range(at + 1..).next();
        if let (Kind::Head(head), Some((next, _))) = (&entry.kind, next) {
            names.insert(*next, head.clone());
            starts.push((*next, head.clone(), None));
        }
    }
    let mut chains = Vec::new();
    for (first, chain_name, policy) in starts {
        let mut chain = Chain {
            backend: Backend::Legacy,
            family,
            table: name.to_owned(),
            hook: None,
            rules: Vec::new(),
            name: chain_name,
        };
        for (at, entry) in all.range(first..) {
            if Some(*at) == policy {
                let number = BASE.iter().position(|base| *base == chain.name)?;
                chain.hook = Some(Hook {
                    number: u32::try_from(number).ok()?,
                    priority: priority(name, number),
                    drops: matches!(entry.kind, Kind::Drop),
                    packets: Some(entry.packets),
                });
                break;
            }
            let next = all.range(at + 1..).next();
            let is_last = next.is_none_or(|(_, next)| matches!(next.kind, Kind::Head(_)));
            // What the end of every chain of one's own is.
            if policy.is_none() && is_last {
                break;
            }
            if matches!(entry.kind, Kind::Head(_)) {
                break;
            }
            chain.rules.push(rule(entry, chain.rules.len() + 1, &names));
        }
        if policy.is_some() && chain.hook.is_none() {
            return None;
        }
        chains.push(chain);
    }
    Some(chains)
}

/// NF_IP_PRI_* of linux/netfilter_ipv4.h.
fn priority(table: &str, hook: usize) -> i32 {
    match table {
        "raw" => -300,
        "mangle" => -150,
        // Source translation comes last.
        "nat" if hook == 1 || hook == 4 => 100,
        "nat" => -100,
        "security" => 50,
        _ => 0,
    }
}

fn rule(entry: &Entry, number: usize, names: &BTreeMap<usize, String>) -> Rule {
    let mut parts = entry.rule.clone();
    // It counts what all matches let through.
    let place = parts
        .iter()
        .position(|part| matches!(part, Part::Verdict(_)))
        .unwrap_or(parts.len());
    parts.insert(place, Part::Counter(entry.packets));
    match &entry.kind {
        Kind::Drop => parts.push(Part::Verdict(Verdict::Drop)),
        Kind::Accept => parts.push(Part::Verdict(Verdict::Accept)),
        Kind::Return => parts.push(Part::Verdict(Verdict::Return)),
        Kind::Jump { to, goes } => match names.get(to) {
            Some(name) if *goes => parts.push(Part::Verdict(Verdict::Goto(name.clone()))),
            Some(name) => parts.push(Part::Verdict(Verdict::Jump(name.clone()))),
            // A jump to the next entry is a rule without a target.
            None => {}
        },
        Kind::Head(_) | Kind::Other => {}
    }
    Rule {
        handle: number as u64,
        parts,
    }
}

/// The first entry in these bytes, with its length.
fn entry(bytes: &[u8], layout: &Layout) -> Option<(Entry, usize)> {
    let half = |at: usize| {
        Some(usize::from(u16::from_ne_bytes(
            *bytes.get(at..)?.first_chunk()?,
        )))
    };
    let (target, next) = (half(layout.offsets)?, half(layout.offsets + 2)?);
    if target < layout.matches || next < target + HEAD || bytes.len() < next {
        return None;
    }
    let packets = u64::from_ne_bytes(*bytes.get(layout.counters..)?.first_chunk()?);
    let inverted = *bytes.get(layout.inverted)?;
    let flags = *bytes.get(layout.flags)?;
    let mut rule = Vec::new();
    let mut compare = |field, mask: &[u8], value: &[u8], bit: u8| {
        if mask.iter().any(|byte| *byte != 0) {
            let whole = mask.iter().all(|byte| *byte == 0xff);
            rule.push(Part::Compare {
                field,
                mask: if whole { Vec::new() } else { mask.to_vec() },
                value: value.to_vec(),
                equal: inverted & bit == 0,
            });
        }
    };
    let size = layout.address;
    let place = if size == 4 { [12, 16] } else { [8, 24] };
    // IPT_INV_*: 1 in, 2 out, 8 source, 16 destination, 64 protocol.
    for (index, bit) in [(0, 8), (1, 16)] {
        compare(
            Field::Network(place[index]),
            bytes.get((2 + index) * size..(3 + index) * size)?,
            bytes.get(index * size..(1 + index) * size)?,
            bit,
        );
    }
    for (index, field, bit) in [(0, Field::InterfaceIn, 1), (1, Field::InterfaceOut, 2)] {
        let of =
            |at: usize| bytes.get(layout.interfaces + 16 * at..layout.interfaces + 16 * (at + 1));
        let (name, mask) = (of(index)?, of(index + 2)?);
        // The mask covers the name and its zero, or the beginning of a name.
        let length = mask.iter().take_while(|byte| **byte == 0xff).count();
        compare(field, &mask[..length], &name[..length], bit);
    }
    let protocol = half(layout.protocol)?;
    if let Ok(protocol @ 1..) = u8::try_from(protocol) {
        compare(Field::Protocol, &[0xff], &[protocol], 64);
    }
    if flags & 1 != 0 || inverted & (4 | 32) != 0 {
        rule.push(Part::Unreadable("match fragment or tos".into()));
    }
    let mut at = layout.matches;
    while at < target {
        let (name, revision, info, length) = extension(bytes.get(at..target)?)?;
        rule.push(
            matched(&name, revision, info)
                .unwrap_or_else(|| Part::Unreadable(format!("match {name}"))),
        );
        at += length;
    }
    let (name, _, info, _) = extension(bytes.get(target..next)?)?;
    let kind = match name.as_str() {
        "" => {
            let verdict = i32::from_ne_bytes(*info.first_chunk()?);
            match verdict {
                -1 => Kind::Drop,
                -2 => Kind::Accept,
                -5 => Kind::Return,
                to => match usize::try_from(to) {
                    Ok(to) => Kind::Jump {
                        to,
                        goes: flags & 2 != 0,
                    },
                    Err(_) => {
                        rule.push(Part::Unreadable(format!("verdict {to}")));
                        Kind::Other
                    }
                },
            }
        }
        "ERROR" => Kind::Head(until_zero(info)),
        "REJECT" => {
            rule.push(Part::Verdict(Verdict::Reject));
            Kind::Other
        }
        other => {
            rule.push(Part::Unreadable(format!("target {other}")));
            Kind::Other
        }
    };
    let entry = Entry {
        rule,
        packets,
        kind,
    };
    Some((entry, next))
}

/// Name, revision, own bytes and whole length of a match or target.
fn extension(bytes: &[u8]) -> Option<(String, u32, &[u8], usize)> {
    let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    if length < HEAD {
        return None;
    }
    let name = until_zero(bytes.get(2..31)?);
    Some((
        name,
        (*bytes.get(31)?).into(),
        bytes.get(HEAD..length)?,
        length,
    ))
}
