//! Who took packets that were lost: what may have taken them, held against the counters. One that
//! cannot be told from another is never named alone.

use crate::filter::Filter;
use crate::rises::Rise;
use crate::walk::{Packet, Suspect, suspects};

/// Packets that were lost at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Wave<'a> {
    /// How many came to the filter and did not leave it.
    pub lost: u64,
    /// What the counters did meanwhile.
    pub rises: &'a [Rise],
}

/// What is known of who took them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Culprit<'a> {
    /// This one: its counter rose with the packets, or nothing else can have taken them.
    Found {
        /// The rule or policy.
        suspect: Suspect<'a>,
        /// By how much its counter rose, over all waves; none if it has none.
        counted: Option<u64>,
    },
    /// One of these, none of which has a counter that tells.
    OneOf(Vec<Suspect<'a>>),
    /// Nothing in the filter.
    Nobody,
}

/// Who took the packet, which may have met the filter in several ways (several hooks, before and
/// after a translation).
pub fn culprit<'a>(filter: &'a Filter, packets: &[Packet], waves: &[Wave<'_>]) -> Culprit<'a> {
    let mut left: Vec<Suspect<'a>> = Vec::new();
    for suspect in packets.iter().flat_map(|packet| suspects(filter, packet)) {
        let known = left
            .iter()
            .any(|one| std::ptr::eq(one.chain, suspect.chain) && one.handle() == suspect.handle());
        if known {
            continue;
        }
        if !suspect.counts() {
            left.push(suspect);
            continue;
        }
        let rose: Vec<(u64, u64)> = waves
            .iter()
            .map(|wave| (wave.lost, rise_of(&suspect, wave.rises)))
            .collect();
        // It would have counted each of them.
        if rose.iter().any(|(lost, rise)| rise < lost) {
            continue;
        }
        // Where not all that it asks is understood, it must have counted nothing else, and that
        // with different numbers of packets.
        let exact = rose.iter().all(|(lost, rise)| lost == rise);
        let different = rose.windows(2).any(|two| two[0].0 != two[1].0);
        if suspect.fits || (exact && different) {
            let counted = Some(rose.iter().map(|(_, rise)| rise).sum());
            return Culprit::Found { suspect, counted };
        }
        left.push(suspect);
    }
    match left.as_slice() {
        [] => Culprit::Nobody,
        [one] if one.certain => Culprit::Found {
            suspect: one.clone(),
            counted: None,
        },
        _ => Culprit::OneOf(left),
    }
}

fn rise_of(suspect: &Suspect<'_>, rises: &[Rise]) -> u64 {
    let chain = suspect.chain;
    rises
        .iter()
        .find(|rise| {
            rise.backend == chain.backend
                && rise.family == chain.family
                && rise.table == chain.table
                && rise.chain == chain.name
                && rise.handle == suspect.handle()
        })
        .map_or(0, |rise| rise.packets)
}
