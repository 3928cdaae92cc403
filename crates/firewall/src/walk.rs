//! What the filter does with one packet: which rules and policies can have taken it, in the order it
//! meets them. A part that is not understood never counts as "fits", and never as "does not".

use std::net::IpAddr;

use crate::filter::{Backend, Chain, Field, Filter, Part, Rule, Verdict};

/// A packet where the kernel hands it to the filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// NF_INET_*: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub hook: u32,
    /// The interface it came in by; none where that is not known.
    pub interface_in: Option<String>,
    /// The interface it leaves by.
    pub interface_out: Option<String>,
    /// Where it is from.
    pub from: IpAddr,
    /// Its source port.
    pub from_port: u16,
    /// Where it goes, as this hook sees it: after or before a translation.
    pub to: IpAddr,
    /// IPPROTO_*: 6 TCP, 17 UDP.
    pub protocol: u8,
    /// The destination port.
    pub port: u16,
    /// The destination port before any translation.
    pub original_port: u16,
    /// The connection's state as one bit: 2 established, 8 new.
    pub state: u32,
    /// It passes from port to port of one bridge: bridge tables see it too, and the interfaces that
    /// they see are those ports.
    pub bridge_ports: Option<(String, String)>,
}

/// NFPROTO_*, of tables and of packets.
const INET: u8 = 1;
const IPV4: u8 = 2;
const BRIDGE: u8 = 7;
const IPV6: u8 = 10;

/// Chains that jump to each other are followed so deep; the kernel allows 16.
const DEEPEST: usize = 16;

/// Rules that are looked at for one packet, so that chains that jump to each other many times end.
const MOST_STEPS: usize = 200_000;

/// Something that may have taken the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect<'a> {
    /// Its chain.
    pub chain: &'a Chain,
    /// NF_INET_*: where the packet was when it met it.
    pub hook: u32,
    /// Its rule, with its place in the chain from 1; none for the policy.
    pub rule: Option<(usize, &'a Rule)>,
    /// [`Verdict::Drop`] or [`Verdict::Reject`].
    pub verdict: Verdict,
    /// A packet that meets this base chain surely ends here: nothing before is in doubt.
    pub certain: bool,
    /// All that the rule itself asks is known to fit.
    pub fits: bool,
}

/// All that may take this packet at its hook. What comes after a rule that surely takes it is not in
/// the list.
pub fn suspects<'a>(filter: &'a Filter, packet: &Packet) -> Vec<Suspect<'a>> {
    let mut walk = Walk {
        filter,
        packet,
        found: Vec::new(),
        sure: true,
        steps: 0,
    };
    let mut base: Vec<(&Chain, i32)> = filter
        .chains
        .iter()
        .filter(|chain| sees(chain, packet))
        .filter_map(|chain| {
            let hook = chain.hook.as_ref()?;
            (hook.number == packet.hook).then_some((chain, hook.priority))
        })
        .collect();
    // Bridge tables are asked before the packet is handed up to the others.
    base.sort_by_key(|(chain, priority)| (chain.family != BRIDGE, *priority));
    for (chain, _) in base {
        walk.sure = true;
        match walk.chain(chain, 0) {
            End::Dropped if walk.sure => break,
            End::Dropped | End::Accepted => {}
            End::Through => {
                if chain.hook.as_ref().is_some_and(|hook| hook.drops) {
                    walk.found.push(Suspect {
                        chain,
                        hook: packet.hook,
                        rule: None,
                        verdict: Verdict::Drop,
                        certain: walk.sure,
                        fits: true,
                    });
                    if walk.sure {
                        break;
                    }
                }
            }
        }
    }
    walk.found
}

fn sees(chain: &Chain, packet: &Packet) -> bool {
    let family = if packet.to.is_ipv4() { IPV4 } else { IPV6 };
    packet.from.is_ipv4() == packet.to.is_ipv4()
        && (chain.family == family
            || chain.family == INET
            || (chain.family == BRIDGE && packet.bridge_ports.is_some()))
}

/// How a packet leaves a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Accepted,
    Dropped,
    /// By its end, or by a `return`.
    Through,
}

struct Walk<'a, 'b> {
    filter: &'a Filter,
    packet: &'b Packet,
    found: Vec<Suspect<'a>>,
    /// Whether the packet surely came this far in this base chain.
    sure: bool,
    steps: usize,
}

impl<'a> Walk<'a, '_> {
    fn chain(&mut self, chain: &'a Chain, depth: usize) -> End {
        for (index, rule) in chain.rules.iter().enumerate() {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                self.sure = false;
                return End::Through;
            }
            let asked = self.asks(chain, rule);
            if asked == Some(false) {
                continue;
            }
            let fits = asked == Some(true);
            let Some(verdict) = rule.verdict() else {
                // A map of verdicts, a queue: what is not read may decide.
                self.sure &= !rule.parts.iter().any(may_decide);
                continue;
            };
            let end = match verdict {
                Verdict::Drop | Verdict::Reject => {
                    self.found.push(Suspect {
                        chain,
                        hook: self.packet.hook,
                        rule: Some((index + 1, rule)),
                        verdict: verdict.clone(),
                        certain: self.sure && fits,
                        fits,
                    });
                    End::Dropped
                }
                Verdict::Accept => End::Accepted,
                Verdict::Return => End::Through,
                Verdict::Jump(name) | Verdict::Goto(name) => {
                    let before = self.sure;
                    self.sure &= fits;
                    let end = self.into(chain, name, depth);
                    if fits {
                        self.sure &= before;
                    }
                    if end == End::Through && fits && matches!(verdict, Verdict::Jump(_)) {
                        continue;
                    }
                    end
                }
            };
            if fits {
                return end;
            }
            self.sure = false;
        }
        End::Through
    }

    fn into(&mut self, from: &Chain, name: &str, depth: usize) -> End {
        let filter: &'a Filter = self.filter;
        let next = filter.chains.iter().find(|to| {
            (to.backend, to.family, to.table.as_str(), to.name.as_str())
                == (from.backend, from.family, from.table.as_str(), name)
        });
        match next {
            Some(next) if depth < DEEPEST => self.chain(next, depth + 1),
            _ => {
                self.sure = false;
                End::Through
            }
        }
    }

    /// Whether the packet gets past all parts of the rule; none if that can't be said.
    fn asks(&self, chain: &Chain, rule: &Rule) -> Option<bool> {
        let mut known = true;
        for part in &rule.parts {
            match fits(part, self.packet, chain.family == BRIDGE) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => known = false,
            }
        }
        known.then_some(true)
    }
}

/// Whether an unread part may be a verdict of its own. Those of xtables that only mark, log or
/// translate go on to the next rule or accept.
fn may_decide(part: &Part) -> bool {
    match part {
        Part::Unreadable(name) => {
            !(name.starts_with("match ")
                || [
                    "target LOG",
                    "target NFLOG",
                    "target MARK",
                    "target CT",
                    "log",
                    "limit",
                    "ct",
                    "meta",
                ]
                .contains(&name.as_str()))
        }
        _ => false,
    }
}

impl Suspect<'_> {
    /// Whether its counter counts just what it takes: one that stands before a question also counts
    /// packets that the rule does not take.
    pub fn counts(&self) -> bool {
        match self.rule {
            None => self
                .chain
                .hook
                .as_ref()
                .is_some_and(|hook| hook.packets.is_some()),
            Some((_, rule)) => {
                let last = rule
                    .parts
                    .iter()
                    .rev()
                    .find(|part| !matches!(part, Part::Verdict(_) | Part::Comment(_)));
                matches!(last, Some(Part::Counter(_)))
            }
        }
    }

    /// Its handle as [`crate::Rise`] has it.
    pub fn handle(&self) -> Option<u64> {
        self.rule.map(|(_, rule)| rule.handle)
    }

    /// Whether this is one of Docker's or a person's rules of iptables, however they are held.
    pub fn is_iptables(&self) -> bool {
        let tables = ["filter", "nat", "mangle", "raw", "security"];
        self.chain.backend == Backend::Legacy
            || ([IPV4, IPV6].contains(&self.chain.family)
                && tables.contains(&self.chain.table.as_str()))
    }
}

/// Whether a packet gets past this part; none if that can't be said.
fn fits(part: &Part, packet: &Packet, of_bridge: bool) -> Option<bool> {
    match part {
        Part::Comment(_) | Part::Counter(_) | Part::Verdict(_) => Some(true),
        Part::Unreadable(name) => (name == "target LOG" || name == "log").then_some(true),
        // Only of packets in the connection's first direction.
        Part::OriginalPort { .. } if packet.state & 8 == 0 => None,
        Part::OriginalPort { from, to, inside } => {
            Some((*from..=*to).contains(&packet.original_port) == *inside)
        }
        Part::State { set, inside } => Some((set & packet.state != 0) == *inside),
        Part::Port {
            protocol,
            from,
            to,
            inside,
        } => Some(*protocol == packet.protocol && (*from..=*to).contains(&packet.port) == *inside),
        Part::Compare {
            field,
            mask,
            value,
            equal,
        } => {
            let mut has = bytes(*field, packet, of_bridge, value.len())?;
            if !mask.is_empty() {
                if mask.len() != has.len() {
                    return None;
                }
                has.iter_mut()
                    .zip(mask)
                    .for_each(|(byte, mask)| *byte &= mask);
            }
            Some((has == *value) == *equal)
        }
    }
}

/// The field of the packet, as long as what it is compared with.
fn bytes(field: Field, packet: &Packet, of_bridge: bool, length: usize) -> Option<Vec<u8>> {
    // What is not known is not "another".
    let name = |name: Option<&str>| {
        let mut bytes = name?.as_bytes().to_vec();
        bytes.resize(length.min(16), 0);
        Some(bytes)
    };
    let ports = packet.bridge_ports.as_ref().filter(|_| of_bridge);
    let (from, to) = (address(packet.from), address(packet.to));
    let header = |start: usize, all: &[u8], at: u32| {
        let at = (at as usize).checked_sub(start)?;
        Some(all.get(at..at.checked_add(length)?)?.to_vec())
    };
    let family = if packet.to.is_ipv4() { IPV4 } else { IPV6 };
    match field {
        Field::InterfaceIn => {
            name(ports.map_or(packet.interface_in.as_deref(), |(port, _)| Some(port)))
        }
        Field::InterfaceOut => {
            name(ports.map_or(packet.interface_out.as_deref(), |(_, port)| Some(port)))
        }
        Field::Family if of_bridge => None,
        Field::Family => Some(vec![family]),
        Field::Protocol => Some(vec![packet.protocol]),
        // The protocol in the header of IPv4.
        Field::Network(9) if family == IPV4 && length == 1 => Some(vec![packet.protocol]),
        // Source and destination stand side by side in both headers.
        Field::Network(at) => {
            let start = if packet.to.is_ipv4() { 12 } else { 8 };
            header(start, &[from, to].concat(), at)
        }
        Field::Transport(at) => {
            let ports = [packet.from_port.to_be_bytes(), packet.port.to_be_bytes()].concat();
            header(0, &ports, at)
        }
        Field::State => None,
    }
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
