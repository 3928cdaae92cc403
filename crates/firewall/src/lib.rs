//! What the packet filter of a network namespace is: nf_tables chains and rules (those of
//! iptables-nft too), as data, and what they do with one packet. It reads and never changes a rule,
//! never guesses what an expression means, and never panics, whatever the bytes.

mod attributes;
mod decode;
#[cfg(feature = "program")]
mod dump;
mod filter;
mod walk;

pub use decode::{chain, rule};
#[cfg(feature = "program")]
pub use dump::read;
pub use filter::{Chain, Field, Filter, Hook, Part, Rule, Verdict};
pub use walk::{Packet, Taken, took};

/// The version of [`Filter`]'s layout.
pub const VERSION: u32 = 1;
