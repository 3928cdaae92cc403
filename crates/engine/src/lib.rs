//! Asks the Docker Engine, looks from inside network namespaces, and returns evidence.
//!
//! Everything that touches the engine or a namespace is here; judging is not. It must not change a
//! container, network, firewall or resolver of the user's: it reads, and it starts helper
//! containers of its own, labelled, without privileges, gone afterwards. Every call has a deadline.

mod client;
mod collect;
mod convert;
mod deadline;
mod deep;
mod dial;
mod endpoint;
mod error;
mod gather;
mod helper;
mod here;
mod image;
mod names;
mod namespace;
mod netns;
mod pairs;
mod probes;
mod reaper;
mod refused;
mod repeat;
mod session;
mod states;
mod visits;

pub use client::{Client, DEFAULT_HOST};
pub use deadline::Deadline;
pub use endpoint::Endpoint;
pub use error::{Error, Result};
pub use gather::{Options, ProbeMode, Progress, gather};
pub use helper::{LABEL_RUN, Run};
pub use image::{Cleaned, LABEL_ROLE, ProgramImage, cleanup};
pub use names::{Named, containers, failed_to_start};
pub use pairs::{PairOptions, PairsOptions, gather_pair, gather_pairs};
pub use probes::{embedded_architectures, probe_for};
pub use reaper::{Reaper, reap};
pub use refused::{gather_refused, refused_without_engine};
pub use repeat::{LONGEST as LONGEST_REPEAT, MOST_TRIES, Repeat};
pub use states::{inspect_container, list_containers};
pub use visits::{Visits, look};

/// The client library, so that whoever uses [`Client::docker`] speaks of the same types.
pub use bollard;
