//! The packet filter: tables, chains and rules as nf_tables messages
//! (include/uapi/linux/netfilter/nf_tables.h), committed all or nothing. Tables belong to the
//! socket that made them, so that the kernel removes them with the program.

mod expression;

use std::io;

use netcheck_fault::Applied;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

pub(crate) use expression::{Expression, Rule};

use super::netlink::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, Writer, attribute, attributes, dump,
    messages, open, verdict,
};
use super::trouble::{Result, Trouble};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFT_MSG_NEWTABLE: u16 = NFNL_SUBSYS_NFTABLES << 8;
const NFT_MSG_DELTABLE: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 2;
const NFT_MSG_NEWCHAIN: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 3;
const NFT_MSG_NEWRULE: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 6;
const NFT_MSG_GETRULE: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 7;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
/// Since Linux 5.12; older kernels answer EOPNOTSUPP to a flag that they do not know.
const NFT_TABLE_F_OWNER: u32 = 2;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;
const NFTA_HOOK_DEV: u16 = 3;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;

/// struct nfgenmsg: family, version, and in network byte order the subsystem of a batch.
const GENERIC_HEADER: usize = 4;

/// A family of tables (NFPROTO_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// Frames of one interface.
    Netdev = 5,
}

/// Where a chain is called.
#[derive(Debug, Clone)]
pub(crate) enum Hook {
    /// What this namespace receives.
    Input { priority: i32 },
    /// What this namespace sends, before conntrack has forgotten who it was for.
    Output { priority: i32 },
    /// The first packet of each flow that this namespace sends.
    OutputNat { priority: i32 },
    /// Each frame that leaves by an interface.
    Egress { interface: String },
}

/// The open filter; dropping it removes all tables, where the kernel knows ownership.
#[derive(Debug)]
pub(crate) struct Filter {
    socket: Socket,
    table: String,
    families: Vec<Family>,
    owned: bool,
}

/// One chain with its rules.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) family: Family,
    pub(crate) hook: Hook,
    pub(crate) rules: Vec<Rule>,
}

impl Filter {
    /// Makes a table of this name in each family that a chain needs, with these chains.
    pub(crate) fn make(table: &str, chains: &[Chain]) -> Result<Self> {
        let socket = open(NETLINK_NETFILTER)
            .map_err(|error| Trouble::unsupported("nf_tables", opening(&error)))?;
        let mut families = Vec::new();
        for chain in chains {
            if !families.contains(&chain.family) {
                families.push(chain.family);
            }
        }
        let mut filter = Self {
            socket,
            table: table.to_owned(),
            families,
            owned: true,
        };
        match filter.commit(&filter.batch(chains)) {
            Err(Refused::Step(Step::Table, error)) if is_unknown(&error) => {
                filter.owned = false;
                filter.commit(&filter.batch(chains)).map_err(trouble)?;
            }
            result => result.map_err(trouble)?,
        }
        Ok(filter)
    }

    /// What the kernel promises of the tables.
    pub(crate) fn applied(&self) -> Applied {
        Applied {
            healed_when_killed: self.owned,
        }
    }

    /// Removes the tables.
    pub(crate) fn remove(&mut self) -> Result<()> {
        let mut batch = Batch::begin();
        for family in std::mem::take(&mut self.families) {
            batch.add(
                Step::Removal,
                NFT_MSG_DELTABLE,
                0,
                family as u8,
                |message| message.text(NFTA_TABLE_NAME, &self.table),
            );
        }
        self.commit(&batch.end()).map_err(trouble)
    }

    /// Packets that all counting rules of the tables saw.
    pub(crate) fn packets(&self) -> Result<u64> {
        let mut sum = 0;
        for family in &self.families {
            let mut body = Writer::default();
            body.raw(&[*family as u8, 0, 0, 0]);
            body.text(NFTA_RULE_TABLE, &self.table);
            dump(&self.socket, NFT_MSG_GETRULE, body.bytes(), |rule| {
                let rule = rule.get(GENERIC_HEADER..).unwrap_or_default();
                // The kernels that do not filter the dump show other tables, too.
                let name = attribute(rule, NFTA_RULE_TABLE).unwrap_or_default();
                if name.strip_suffix(b"\0") == Some(self.table.as_bytes()) {
                    let list = attribute(rule, NFTA_RULE_EXPRESSIONS).unwrap_or_default();
                    sum += attributes(list)
                        .filter_map(|(_, element)| expression::counted(element))
                        .sum::<u64>();
                }
            })
            .map_err(|error| Trouble::failed("reading the counters of the filter", error))?;
        }
        Ok(sum)
    }

    fn batch(&self, chains: &[Chain]) -> Batch {
        let mut batch = Batch::begin();
        let flags = if self.owned { NFT_TABLE_F_OWNER } else { 0 };
        for family in &self.families {
            let create = NLM_F_CREATE;
            batch.add(
                Step::Table,
                NFT_MSG_NEWTABLE,
                create,
                *family as u8,
                |message| {
                    message.text(NFTA_TABLE_NAME, &self.table);
                    message.number(NFTA_TABLE_FLAGS, flags);
                },
            );
        }
        for (index, chain) in chains.iter().enumerate() {
            let name = format!("chain-{index}");
            let family = chain.family as u8;
            batch.add(
                Step::Chain(chain.hook.feature()),
                NFT_MSG_NEWCHAIN,
                NLM_F_CREATE,
                family,
                |message| {
                    message.text(NFTA_CHAIN_TABLE, &self.table);
                    message.text(NFTA_CHAIN_NAME, &name);
                    chain.hook.write(message);
                },
            );
            for rule in &chain.rules {
                batch.add(
                    Step::Rule(rule.feature()),
                    NFT_MSG_NEWRULE,
                    NLM_F_CREATE | NLM_F_APPEND,
                    family,
                    |message| {
                        message.text(NFTA_RULE_TABLE, &self.table);
                        message.text(NFTA_RULE_CHAIN, &name);
                        message.nested(NFTA_RULE_EXPRESSIONS, |list| rule.write(list));
                    },
                );
            }
        }
        batch.end()
    }

    /// Sends a batch and reads until its last step is answered; only that one asks for an answer,
    /// since the answers to hundreds would not fit into the socket. Refusals come unasked. The
    /// kernel takes all or nothing.
    fn commit(&self, batch: &Batch) -> std::result::Result<(), Refused> {
        let failed = |error| Refused::Socket(error);
        self.socket.send(batch.bytes.bytes(), 0).map_err(failed)?;
        let mut part = Vec::with_capacity(64 * 1024);
        let mut refused = None;
        loop {
            part.clear();
            if self.socket.recv(&mut part, 0).map_err(failed)? == 0 {
                return Err(Refused::Socket(io::ErrorKind::UnexpectedEof.into()));
            }
            for message in messages(&part) {
                let Some((sequence, error)) = verdict(&message) else {
                    continue;
                };
                match (batch.steps.get((sequence as usize).wrapping_sub(1)), error) {
                    // Later steps fail because of an earlier one.
                    (Some(step), Some(error)) => {
                        refused.get_or_insert(Refused::Step(*step, error));
                    }
                    // Of the whole batch; then nothing else is said.
                    (None, Some(error)) => return Err(Refused::Socket(error)),
                    (_, None) => {}
                }
                if sequence as usize == batch.steps.len() {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }
}

impl Hook {
    /// What a kernel must have for it, by name.
    fn feature(&self) -> &'static str {
        match self {
            Self::Input { .. } | Self::Output { .. } => "nf_tables inet",
            Self::OutputNat { .. } => "nft_chain_nat",
            Self::Egress { .. } => "netfilter egress hook",
        }
    }

    fn write(&self, message: &mut Writer) {
        let (number, priority, kind) = match self {
            // enum nf_inet_hooks: LOCAL_IN, LOCAL_OUT; enum nf_dev_hooks: EGRESS.
            Self::Input { priority } => (1, *priority, "filter"),
            Self::Output { priority } => (3, *priority, "filter"),
            Self::OutputNat { priority } => (3, *priority, "nat"),
            Self::Egress { .. } => (1, 0, "filter"),
        };
        message.nested(NFTA_CHAIN_HOOK, |hook| {
            hook.number(NFTA_HOOK_HOOKNUM, number);
            hook.attribute(NFTA_HOOK_PRIORITY, &i32::to_be_bytes(priority));
            if let Self::Egress { interface } = self {
                hook.text(NFTA_HOOK_DEV, interface);
            }
        });
        message.text(NFTA_CHAIN_TYPE, kind);
    }
}

/// What a message of a batch is for, so that a refusal can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Table,
    Chain(&'static str),
    Rule(&'static str),
    Removal,
}

/// Why a batch was not taken.
#[derive(Debug)]
enum Refused {
    Step(Step, io::Error),
    Socket(io::Error),
}

/// Messages that are taken together.
#[derive(Debug)]
struct Batch {
    bytes: Writer,
    /// The step at index `i` has the sequence number `i + 1`.
    steps: Vec<Step>,
    /// Where the message of the last step begins.
    last: usize,
}

impl Batch {
    fn begin() -> Self {
        let mut batch = Self {
            bytes: Writer::default(),
            steps: Vec::new(),
            last: 0,
        };
        batch.frame(NFNL_MSG_BATCH_BEGIN);
        batch
    }

    fn add(
        &mut self,
        step: Step,
        kind: u16,
        flags: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
    ) {
        self.steps.push(step);
        let sequence = self.steps.len() as u32;
        self.last = self.bytes.bytes().len();
        let flags = NLM_F_REQUEST | flags;
        self.bytes.message(kind, flags, sequence, |message| {
            message.raw(&[family, 0, 0, 0]);
            body(message);
        });
    }

    fn end(mut self) -> Self {
        self.bytes.add_flags(self.last, NLM_F_ACK);
        self.frame(NFNL_MSG_BATCH_END);
        self
    }

    fn frame(&mut self, kind: u16) {
        self.bytes.message(kind, NLM_F_REQUEST, 0, |message| {
            message.raw(&[0, 0]);
            message.raw(&NFNL_SUBSYS_NFTABLES.to_be_bytes());
        });
    }
}

/// Whether the kernel does not know what it was asked for.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL))
}

fn opening(error: &io::Error) -> String {
    format!("opening a netfilter socket: {error}")
}

fn trouble(refused: Refused) -> Trouble {
    let (needs, doing, error) = match refused {
        Refused::Socket(error) => ("nf_tables", "talking to nf_tables", error),
        Refused::Step(Step::Table, error) => ("nf_tables", "making a table", error),
        Refused::Step(Step::Chain(feature), error) => (feature, "making a chain", error),
        Refused::Step(Step::Rule(feature), error) => (feature, "making a rule", error),
        Refused::Step(Step::Removal, error) => return Trouble::failed("removing a table", error),
    };
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            Trouble::unsupported("CAP_NET_ADMIN", format!("{doing}: {error}"))
        }
        // ENOENT: no such kind of chain or expression, and no module that has it.
        Some(
            libc::ENOENT
            | libc::EOPNOTSUPP
            | libc::EINVAL
            | libc::EAFNOSUPPORT
            | libc::EPROTONOSUPPORT,
        ) => Trouble::unsupported(needs, format!("{doing}: {error}")),
        _ => Trouble::failed(doing, error),
    }
}
