//! From the bytes of nf_tables to chains and rules. The numbers are those of the kernel's
//! include/uapi/linux/netfilter/nf_tables.h and xt_*.h. What is not known for certain becomes
//! [`Part::Unreadable`].

use crate::attributes::{all, get, long, number, text, until_zero};
use crate::filter::{Backend, Chain, Field, Hook, Part, Rule, Verdict};

/// nfgenmsg: family, version, two bytes of resource.
const GENERAL: usize = 4;

/// Parts of one rule that are read at most; the kernel allows 128.
const MOST_PARTS: usize = 128;

/// The chain in the body of an NFT_MSG_NEWCHAIN message; none if it names none.
pub fn chain(body: &[u8]) -> Option<Chain> {
    let family = *body.first()?;
    let body = body.get(GENERAL..)?;
    let hook = get(body, 4).and_then(|hook| {
        Some(Hook {
            number: number(hook, 1)?,
            priority: number(hook, 2)?.cast_signed(),
            drops: number(body, 5)? == 0,
            packets: get(body, 8).and_then(|counters| long(counters, 2)),
        })
    });
    if hook.is_none() && get(body, 4).is_some() {
        return None;
    }
    Some(Chain {
        backend: Backend::Nft,
        family,
        table: text(body, 1)?,
        name: text(body, 3)?,
        hook,
        rules: Vec::new(),
    })
}

/// The rule in the body of an NFT_MSG_NEWRULE message, with its family, table and chain.
pub fn rule(body: &[u8]) -> Option<(u8, String, String, Rule)> {
    let family = *body.first()?;
    let body = body.get(GENERAL..)?;
    let mut reader = Reader::default();
    for (_, element) in all(get(body, 4).unwrap_or_default()) {
        if reader.parts.len() >= MOST_PARTS {
            reader.unreadable("too many parts");
            break;
        }
        let name = text(element, 1)?;
        reader.expression(&name, get(element, 2).unwrap_or_default());
    }
    let found = Rule {
        handle: long(body, 3)?,
        parts: reader.parts,
    };
    Some((family, text(body, 1)?, text(body, 2)?, found))
}

/// Goes through the expressions and remembers what was loaded into a register.
#[derive(Default)]
struct Reader {
    parts: Vec<Part>,
    /// The last load: register, field, mask.
    loaded: Option<(u32, Field, Vec<u8>)>,
}

impl Reader {
    fn unreadable(&mut self, name: &str) {
        self.parts.push(Part::Unreadable(name.to_owned()));
    }

    fn expression(&mut self, name: &str, data: &[u8]) {
        let known = match name {
            "meta" | "payload" | "ct" => self.load(name, data),
            "bitwise" => self.mask(data),
            "cmp" => self.compare(data),
            "counter" => long(data, 2)
                .map(Part::Counter)
                .map(|part| self.parts.push(part)),
            "immediate" => verdict(data).map(|part| self.parts.extend(part)),
            "reject" => {
                self.parts.push(Part::Verdict(Verdict::Reject));
                Some(())
            }
            "match" => extension(data).map(|part| self.parts.push(part)),
            "target" => target(data).map(|part| self.parts.push(part)),
            _ => None,
        };
        if known.is_none() {
            // Whatever it did to the registers, nothing loaded before counts after it.
            self.loaded = None;
            let inner = match name {
                "match" | "target" => text(data, 1),
                _ => None,
            };
            self.unreadable(&inner.map_or(name.to_owned(), |inner| format!("{name} {inner}")));
        }
    }

    fn load(&mut self, name: &str, data: &[u8]) -> Option<()> {
        let register = number(data, 1)?;
        let field = match name {
            "meta" => match number(data, 2)? {
                6 => Field::InterfaceIn,
                7 => Field::InterfaceOut,
                15 => Field::Family,
                16 => Field::Protocol,
                _ => return None,
            },
            "ct" if number(data, 2)? == 0 => Field::State,
            "payload" => match number(data, 2)? {
                1 => Field::Network(number(data, 3)?),
                2 => Field::Transport(number(data, 3)?),
                _ => return None,
            },
            _ => return None,
        };
        self.loaded = Some((register, field, Vec::new()));
        Some(())
    }

    fn mask(&mut self, data: &[u8]) -> Option<()> {
        let (register, field, mask) = self.loaded.take()?;
        let plain = number(data, 6).unwrap_or(0) == 0;
        let xor = get(get(data, 5)?, 1)?;
        if !plain || !mask.is_empty() || number(data, 1)? != register || xor.iter().any(|b| *b != 0)
        {
            return None;
        }
        let mask = get(get(data, 4)?, 1)?.to_vec();
        self.loaded = Some((number(data, 2)?, field, mask));
        Some(())
    }

    fn compare(&mut self, data: &[u8]) -> Option<()> {
        let (register, field, mask) = self.loaded.clone()?;
        let value = get(get(data, 3)?, 1)?.to_vec();
        let equal = match number(data, 2)? {
            0 => true,
            1 => false,
            _ => return None,
        };
        if number(data, 1)? != register {
            return None;
        }
        let part = match (field, mask.first_chunk::<4>(), value.first_chunk::<4>()) {
            // "Has a bit of the set" is written as "masked by the set, not zero".
            (Field::State, Some(set), Some([0, 0, 0, 0])) => Part::State {
                set: u32::from_ne_bytes(*set),
                inside: !equal,
            },
            (Field::State, ..) => return None,
            _ => Part::Compare {
                field,
                mask,
                value,
                equal,
            },
        };
        self.parts.push(part);
        Some(())
    }
}

/// What an `immediate` decides; an empty answer for "go on".
fn verdict(data: &[u8]) -> Option<Option<Part>> {
    let verdict = get(get(data, 2)?, 2)?;
    let found = match number(verdict, 1)?.cast_signed() {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        -1 => return Some(None),
        -3 => Verdict::Jump(text(verdict, 2)?),
        -4 => Verdict::Goto(text(verdict, 2)?),
        -5 => Verdict::Return,
        _ => return None,
    };
    Some(Some(Part::Verdict(found)))
}

/// A match of xtables, as iptables-nft hands it on.
fn extension(data: &[u8]) -> Option<Part> {
    matched(&text(data, 1)?, number(data, 2)?, get(data, 3)?)
}

/// A match of xtables by its name, its revision and its own structure.
pub(crate) fn matched(name: &str, revision: u32, info: &[u8]) -> Option<Part> {
    let half = |at: usize| Some(u16::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    match (name, revision) {
        ("comment", _) => Some(Part::Comment(until_zero(info))),
        // struct xt_tcp: source ports, destination ports, option, flag mask, flags, inversions.
        ("tcp", 0) => {
            let inversions = *info.get(11)?;
            let only_port = info.get(8..10)? == [0, 0] && inversions & !2 == 0;
            (half(0)? == 0 && half(2)? == u16::MAX && only_port).then_some(())?;
            Some(Part::Port {
                protocol: 6,
                from: half(4)?,
                to: half(6)?,
                inside: inversions & 2 == 0,
            })
        }
        // struct xt_udp: source ports, destination ports, inversions.
        ("udp", 0) => {
            let inversions = *info.get(8)?;
            (half(0)? == 0 && half(2)? == u16::MAX && inversions & !2 == 0).then_some(())?;
            Some(Part::Port {
                protocol: 17,
                from: half(4)?,
                to: half(6)?,
                inside: inversions & 2 == 0,
            })
        }
        // struct xt_conntrack_mtinfo3: eight addresses, expiry, protocol, four ports, then what is
        // asked, what of it is inverted, and the set of states. Only a question for the state alone.
        ("conntrack", 3) if half(146)? == 1 => Some(Part::State {
            set: u32::from(half(150)?),
            inside: half(148)? & 1 == 0,
        }),
        // The port that a connection was for at first, of packets in its first direction: 512 asks for the
        // port, 4096 for the direction, whose inversion is the other direction.
        ("conntrack", 3) if matches!(half(146)?, 512 | 4608) && half(148)? & 4096 == 0 => {
            Some(Part::OriginalPort {
                from: half(140)?,
                to: half(156)?,
                inside: half(148)? & 512 == 0,
            })
        }
        _ => None,
    }
}

/// A target of xtables.
fn target(data: &[u8]) -> Option<Part> {
    (text(data, 1)? == "REJECT").then_some(Part::Verdict(Verdict::Reject))
}
