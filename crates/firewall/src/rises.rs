//! What the counters of a filter did between two moments. A counter that fell was reset, and says
//! nothing.

use serde::{Deserialize, Serialize};

use crate::filter::{Backend, Chain, Filter, Rule};

/// A counter that is higher than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rise {
    /// Who holds the chain.
    pub backend: Backend,
    /// NFPROTO_* of the table.
    pub family: u8,
    /// The table's name.
    pub table: String,
    /// The chain's name.
    pub chain: String,
    /// The rule's [`Rule::handle`]; none for the chain's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<u64>,
    /// By how many packets.
    pub packets: u64,
}

/// The counters that rose. Rules and chains that are not in both are left out.
pub fn rises(before: &Filter, after: &Filter) -> Vec<Rise> {
    let mut all = Vec::new();
    for chain in &after.chains {
        let Some(old) = before.chains.iter().find(|old| is_same(old, chain)) else {
            continue;
        };
        let mut add = |handle, first: Option<u64>, last: Option<u64>| {
            let packets = last.zip(first).map_or(0, |(l, f)| l.saturating_sub(f));
            if packets > 0 {
                all.push(Rise {
                    backend: chain.backend,
                    family: chain.family,
                    table: chain.table.clone(),
                    chain: chain.name.clone(),
                    handle,
                    packets,
                });
            }
        };
        let policy = |chain: &Chain| chain.hook.as_ref().and_then(|hook| hook.packets);
        add(None, policy(old), policy(chain));
        for rule in &chain.rules {
            let was = old.rules.iter().find(|was| was.handle == rule.handle);
            add(
                Some(rule.handle),
                was.and_then(Rule::counter),
                rule.counter(),
            );
        }
    }
    all
}

pub(crate) fn is_same(one: &Chain, other: &Chain) -> bool {
    (one.backend, one.family, &one.table, &one.name)
        == (other.backend, other.family, &other.table, &other.name)
}
