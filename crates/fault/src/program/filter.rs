//! The drop fault: rules at the input hook, and nothing else. What the program itself answers in a
//! peer's name (the refuse fault) must pass it.

use netcheck_fault::{Applied, Counters, Drop, MAX_ADDRESSES, Protocol};

use super::lease::{MARK_MASK, MARK_PREFIX, Number};
use super::nft::{Chain, Expression, Family, Filter, Hook, Rule};
use super::trouble::{Result, Trouble};

/// Before the usual filters (NF_IP_PRI_FILTER is 0), which may accept and answer.
const PRIORITY: i32 = -10;

/// A drop fault that is in force.
#[derive(Debug)]
pub(crate) struct Dropping {
    filter: Filter,
    _number: Number,
}

impl Dropping {
    /// Makes it.
    pub(crate) fn make(fault: &Drop) -> Result<(Self, Applied)> {
        check_addresses(fault.from.len())?;
        let mut rules = vec![
            Rule::new()
                .mark(MARK_PREFIX, MARK_MASK)
                .then(Expression::Accept),
            Rule::neighbour_discovery(false),
        ];
        for address in &fault.from {
            let from = Rule::new().from(address.to_canonical());
            for rule in narrowed(&from, fault.protocol, fault.port) {
                rules.push(rule.then(Expression::Count).then(Expression::Discard));
            }
        }
        let number = Number::take()?;
        let chain = Chain {
            family: Family::Inet,
            hook: Hook::Input { priority: PRIORITY },
            rules,
        };
        let filter = Filter::make(&number.table(), &[chain])?;
        let applied = filter.applied();
        let dropping = Self {
            filter,
            _number: number,
        };
        Ok((dropping, applied))
    }

    /// What it has done.
    pub(crate) fn counters(&self) -> Result<Counters> {
        Ok(Counters {
            dropped: self.filter.packets()?,
            ..Counters::default()
        })
    }

    /// Undoes it.
    pub(crate) fn heal(mut self) -> Result<Counters> {
        let counters = self.counters();
        self.filter.remove()?;
        counters
    }
}

/// The rule for this protocol and port, or both protocols if only a port was given.
fn narrowed(rule: &Rule, protocol: Option<Protocol>, port: Option<u16>) -> Vec<Rule> {
    let protocols = match (protocol, port) {
        (None, None) => return vec![rule.clone()],
        (Some(protocol), _) => vec![protocol],
        (None, Some(_)) => vec![Protocol::Tcp, Protocol::Udp],
    };
    let with_port = |rule: Rule| match port {
        Some(port) => rule.port(port),
        None => rule,
    };
    protocols
        .into_iter()
        .map(|protocol| with_port(rule.clone().protocol(protocol)))
        .collect()
}

/// A fault for nobody is a mistake of the caller, and so is one for a whole network.
pub(crate) fn check_addresses(count: usize) -> Result<()> {
    match count {
        0 => Err(Trouble::request("the fault names no address")),
        1..=MAX_ADDRESSES => Ok(()),
        _ => Err(Trouble::request(format!(
            "the fault names {count} addresses, at most {MAX_ADDRESSES} are taken"
        ))),
    }
}
