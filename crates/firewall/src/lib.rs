//! What the packet filter of a network namespace is: nf_tables chains and rules (those of
//! iptables-nft too) and those of ip_tables, as data, and what they do with one packet. It reads and
//! never changes a rule, never guesses what a part means, and never panics, whatever the bytes.

mod attributes;
mod culprit;
mod decode;
#[cfg(feature = "program")]
mod dump;
mod filter;
mod legacy;
mod rises;
mod walk;
mod words;

pub use culprit::{Culprit, Wave, culprit};
pub use decode::{chain, rule};
#[cfg(feature = "program")]
pub use dump::read;
pub use filter::{Backend, Chain, Field, Filter, Hook, Part, Rule, Verdict};
pub use legacy::table;
pub use rises::{Rise, rises};
pub use walk::{Packet, Suspect, suspects};

/// The version of [`Filter`]'s layout.
pub const VERSION: u32 = 1;
