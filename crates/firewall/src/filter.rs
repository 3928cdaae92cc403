//! The packet filter as data. It holds what the kernel said, and marks what was not understood.

use serde::{Deserialize, Serialize};

/// All chains of a namespace, with their rules and counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// [`crate::VERSION`] of who wrote it.
    pub version: u32,
    /// In the kernel's order.
    pub chains: Vec<Chain>,
    /// There was more than is read at most, or something could not be decoded as a chain or rule:
    /// what is not here may still exist.
    pub incomplete: bool,
}

/// Which part of the kernel holds a chain. All of them see every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// nf_tables: nft, and iptables where it is iptables-nft.
    #[default]
    Nft,
    /// ip_tables and ip6_tables: iptables-legacy.
    Legacy,
}

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Who holds it.
    #[serde(default)]
    pub backend: Backend,
    /// NFPROTO_*: 1 inet, 2 ip, 3 arp, 5 netdev, 7 bridge, 10 ip6.
    pub family: u8,
    /// The table's name.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// Where the kernel enters it; none for a chain that is only jumped to.
    pub hook: Option<Hook>,
    /// In the order they are tried.
    pub rules: Vec<Rule>,
}

/// Where the kernel enters a base chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// NF_INET_*: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub number: u32,
    /// Lower ones come first.
    pub priority: i32,
    /// A packet that no rule decides on is dropped.
    pub drops: bool,
    /// Packets that met the policy. The kernel counts only for chains made with counters, as
    /// iptables-nft does.
    pub packets: Option<u64>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The kernel's number of the rule, which stays as long as the rule does. Rules of ip_tables have
    /// none: it is their place in the chain, from 1, as `--line-numbers` shows it.
    pub handle: u64,
    /// What it asks and does, in order.
    pub parts: Vec<Part>,
}

/// One thing that a rule asks or does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The field, after the mask, equals the value (or does not).
    Compare {
        /// What is compared.
        field: Field,
        /// Applied to the field first; empty for none.
        mask: Vec<u8>,
        /// As on the wire; an interface's name without a zero at its end is a prefix.
        value: Vec<u8>,
        /// Asks for equality, else for the opposite.
        equal: bool,
    },
    /// A port in a range, ends included (or outside it).
    Port {
        /// IPPROTO_*.
        protocol: u8,
        /// The lowest destination port.
        from: u16,
        /// The highest destination port.
        to: u16,
        /// Asks for "inside", else for "outside".
        inside: bool,
    },
    /// The destination port that the connection began with, before any translation, is in a range.
    OriginalPort {
        /// The lowest.
        from: u16,
        /// The highest.
        to: u16,
        /// Asks for "inside", else for "outside".
        inside: bool,
    },
    /// The connection's state is in this set: 1 invalid, 2 established, 4 related, 8 new.
    State {
        /// The set.
        set: u32,
        /// Asks for "in the set", else for "not in it".
        inside: bool,
    },
    /// What somebody wrote beside the rule.
    Comment(String),
    /// Packets that came this far in the rule.
    Counter(u64),
    /// What happens to the packet.
    Verdict(Verdict),
    /// A part that is not understood, by the kernel's name for it.
    Unreadable(String),
}

/// What a rule compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The name of the interface the packet came in by.
    InterfaceIn,
    /// The name of the interface it leaves by.
    InterfaceOut,
    /// NFPROTO_* of the packet.
    Family,
    /// IPPROTO_* of the packet.
    Protocol,
    /// Bytes of the network header, from this offset.
    Network(u32),
    /// Bytes of the transport header, from this offset.
    Transport(u32),
    /// The connection's state, a 32-bit set in the machine's byte order.
    State,
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Leaves this base chain unharmed; later ones may still drop it.
    Accept,
    /// Is gone.
    Drop,
    /// Is gone, and its sender is told.
    Reject,
    /// Back to the chain that jumped here.
    Return,
    /// On in that chain, and back.
    Jump(String),
    /// On in that chain, not back.
    Goto(String),
}
