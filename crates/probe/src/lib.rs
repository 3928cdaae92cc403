//! The language that the probe and its callers speak: questions about one network namespace, and
//! the answers seen from inside it.
//!
//! One JSON object a line on standard input is a [`Request`], one on standard output its
//! [`Response`]; a session may ask several times, and ends with the end of input. This library
//! must stay free of sockets, files and clocks: the program (feature `program`) does the looking.

mod question;
mod sight;
mod snapshot;

/// The packet filter, as [`Answer::Firewall`] has it.
pub use netcheck_firewall as firewall;

pub use question::{
    Accepts, Answer, Answered, Attempt, Came, Connected, Delivered, DnsOutcome, DnsQuery, Errno,
    Fitted, Lookup, Question, RecordType, Resolved, Source, Then, Tried,
};
pub use sight::{Packet, Sight, Watched};
pub use snapshot::{
    HostsEntry, Interface, Neighbour, NeighbourState, Process, Protocol, ResolvConf, Route,
    RouteKind, Snapshot, Socket,
};

use serde::{Deserialize, Serialize};

/// The version of this protocol. A probe answers only requests of its own version.
pub const VERSION: u32 = 1;

/// The longest line either side accepts, in bytes. A snapshot of a namespace with 10,000
/// listening sockets and 1,000 interfaces stays below 4 MiB; more is not a namespace we can judge.
pub const MAX_LINE: usize = 8 * 1024 * 1024;

/// What a caller wants to know, in one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the caller.
    pub version: u32,
    /// After this many milliseconds the probe answers with what it has; what is unfinished is an
    /// error that says so.
    pub deadline_ms: u32,
    /// Asked all at once; the answers come in this order.
    pub questions: Vec<Question>,
}

impl Request {
    /// A request in this version of the protocol.
    pub fn new(deadline_ms: u32, questions: Vec<Question>) -> Self {
        Self {
            version: VERSION,
            deadline_ms,
            questions,
        }
    }
}

/// What the probe saw, in the order of the questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// [`VERSION`] of the probe.
    pub version: u32,
    /// One for each question, or none at all when `error` is set.
    pub answers: Vec<Answered>,
    /// Why the request as a whole could not be taken (another version, not JSON, too long).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
