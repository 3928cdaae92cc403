//! The language that `netcheck-fault` and its callers speak: one network fault that is made inside
//! one network namespace, and healed.
//!
//! One JSON object a line on standard input is a [`Request`], one on standard output its
//! [`Response`]. The program (feature `program`) makes at most one fault at a time; whoever wants
//! two starts two programs. This library must stay free of sockets, files and clocks.
//!
//! # Means, and their limits
//!
//! Everything is made of packet filter tables that belong to the program's netlink socket
//! (`NFT_TABLE_F_OWNER`, Linux 5.12): the kernel removes them when the program ends, also by
//! SIGKILL. No address, route, neighbour or setting of the namespace is changed.
//!
//! - [`Fault::Drop`]: a filter at the input hook. Only what the namespace itself receives, not what
//!   it forwards. The sender sees silence; an established connection stalls and goes on when healed.
//! - [`Fault::Link`] and [`Fault::Refuse`] divert frames at the *egress* hook of each Ethernet
//!   interface (Linux 5.16, `CONFIG_NETFILTER_EGRESS`): their destination address is changed to
//!   nobody's, and their source address to a group address, which a bridge does not forward
//!   (`br_handle_frame`). The program reads them from a packet socket, packet(7), with the headers
//!   that keep segmentation and checksum offload, and sends them on later, or answers them. So it
//!   takes no `sch_netem`, no knowledge of the peer's hardware address, and no common segment: a
//!   peer behind a router is one as well.
//!   - Hosts without that hook answer `unsupported`; there is no second means.
//!   - Interfaces that come later (`docker network connect`) are not in the fault. Neither is what
//!     the namespace sends to itself.
//!   - Neighbour discovery and ARP always pass, so that peers do not lose each other.
//!   - Each frame makes a detour of some 20 to 100 microseconds, even with no delay asked for.
//! - [`Fault::Refuse`] concerns the first packet of a connection: TCP by its flags, UDP by
//!   conntrack. An established TCP connection, and a UDP socket that already got an answer, go on.
//! - [`Fault::Dns`] redirects port 53 of the resolvers in `/etc/resolv.conf` to the program, before
//!   Docker's own redirection of 127.0.0.11. NAT is decided at the first packet of a flow, so a
//!   program that keeps one UDP socket for all its questions is not in the fault until that socket
//!   rests longer than `nf_conntrack_udp_timeout` (30 s); and one that it began during the fault is
//!   refused after the healing, for as long. Resolvers that are not in that file
//!   are only caught if [`Dns::servers`] names them.
//! - A container that restarts has a new namespace, without the fault.

mod fault;

pub use fault::{Dns, DnsOutcome, Drop, Fault, Link, Protocol, Refuse, RefuseWith};

use serde::{Deserialize, Serialize};

/// The version of this protocol. A program answers only requests of its own version.
pub const VERSION: u32 = 1;

/// The longest line either side accepts, in bytes. A fault with 256 addresses has 12 KiB.
pub const MAX_LINE: usize = 64 * 1024;

/// The most addresses that one fault may name: each becomes rules, which the kernel checks in turn.
pub const MAX_ADDRESSES: usize = 256;

/// What an [`Answer::Error`] says was being done when it is the request that makes no sense.
pub const READING_REQUEST: &str = "reading the request";

/// What a caller wants, in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the caller.
    pub version: u32,
    /// What is to be done.
    pub order: Order,
}

impl Request {
    /// A request in this version of the protocol.
    pub fn new(order: Order) -> Self {
        Self {
            version: VERSION,
            order,
        }
    }
}

/// What a program can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Make this fault: [`Answer::Applied`], [`Answer::Unsupported`] or [`Answer::Error`]. Only
    /// with `Applied` has anything changed. An error while one is made already.
    Make(Fault),
    /// Say what the fault has done so far: [`Answer::Counters`].
    Counters,
    /// Undo the fault: [`Answer::Healed`]. Afterwards another one can be made. The end of input
    /// and SIGTERM do the same, without an answer.
    Heal,
    /// Say which faults can be made here: [`Answer::Capabilities`]. Each is made for a moment, for
    /// addresses that are nobody's (RFC 5737).
    Capabilities,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// [`VERSION`] of the program.
    pub version: u32,
    /// The answer to the request.
    pub answer: Answer,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The fault is in force: what is sent after this line meets it.
    Applied(Applied),
    /// This kernel, or the rights given, do not allow it. Nothing was changed.
    Unsupported(Unsupported),
    /// It did not work, or the request was not one.
    Error {
        /// What was being done, e.g. "reading /etc/resolv.conf".
        doing: String,
        /// Why it failed.
        why: String,
    },
    /// What the fault has done so far.
    Counters(Counters),
    /// The fault is undone; what it had done.
    Healed(Counters),
    /// What can be done here.
    Capabilities(Capabilities),
}

/// Of a fault that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Whether the kernel undoes it even if the program is killed (SIGKILL). Without that
    /// (before Linux 5.12) the table `netcheck-fault-N` would stay until the namespace ends.
    pub healed_when_killed: bool,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsupported {
    /// A kernel feature or capability by its name: `CAP_NET_ADMIN`, `nf_tables`.
    pub needs: String,
    /// How it showed.
    pub why: String,
}

/// Which faults can be made; of those that cannot, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// [`Fault::Drop`].
    pub drop: Result<Applied, Unsupported>,
    /// [`Fault::Refuse`].
    pub refuse: Result<Applied, Unsupported>,
    /// [`Fault::Dns`].
    pub dns: Result<Applied, Unsupported>,
    /// [`Fault::Link`].
    pub link: Result<Applied, Unsupported>,
}

/// What a fault has done. Packets as the namespace sends them: one may be a segmentation offload
/// frame of up to 64 KiB. What does not concern a fault stays zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Drop: packets dropped. Link: packets lost by chance.
    pub dropped: u64,
    /// Refuse: packets answered with an error or a reset.
    pub refused: u64,
    /// Dns: questions for the name, answered or ignored as asked for.
    pub answered: u64,
    /// Dns: other questions, handed on to their resolver.
    pub forwarded: u64,
    /// Link: packets sent on, duplicates included.
    pub passed: u64,
    /// Link: packets sent twice.
    pub duplicated: u64,
    /// Link: packets dropped because the queue before the rate limit was full.
    pub overflowed: u64,
    /// Packets or questions lost by the program itself: read too late, or not sendable. Zero
    /// unless the machine is overloaded.
    pub failed: u64,
}
