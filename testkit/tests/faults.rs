//! Each fault on the real engine, through nothing but the kit: what each side sees, what a third
//! container sees, what connections see that were open before, and that nothing is left of it.
//!
//! Time: a test waits for what is to happen, and no upper bound is asserted on anything that a
//! loaded machine could make slow.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

#[path = "faults/disconnect.rs"]
mod disconnect;
#[path = "faults/dns.rs"]
mod dns;
#[path = "faults/end.rs"]
mod end;
#[path = "faults/limits.rs"]
mod limits;
#[path = "faults/link.rs"]
mod link;
#[path = "faults/partition.rs"]
mod partition;
#[path = "faults/proxy.rs"]
mod proxy;
#[path = "faults/refuse.rs"]
mod refuse;
#[path = "faults/together.rs"]
mod together;
#[path = "faults/world.rs"]
mod world;
