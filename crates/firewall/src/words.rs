//! Rules in the words of iptables or nft, for people and for commands that are pasted. A rule that is
//! not understood as a whole is never written as if it were.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::filter::{Backend, Field, Part, Rule, Verdict};
use crate::walk::Suspect;

const IPV6: u8 = 10;

impl Suspect<'_> {
    /// Where it stands: `rule 1 of DOCKER-USER (iptables-nft)`, `rule 7 of chain c1 in inet fcblock`.
    pub fn place(&self) -> String {
        let chain = self.chain;
        let of = if self.is_iptables() {
            let table = if chain.table == "filter" {
                String::new()
            } else {
                format!(" in table {}", chain.table)
            };
            format!("{}{table} ({})", chain.name, self.program())
        } else {
            format!(
                "chain {} of nftables table {} {}",
                chain.name,
                family(chain.family),
                chain.table
            )
        };
        match self.rule {
            Some((number, _)) if self.is_iptables() => format!("rule {number} of {of}"),
            Some((_, rule)) => format!("the rule with handle {} in {of}", rule.handle),
            None => format!("the policy of {of}"),
        }
    }

    /// What the rule says, as far as it is understood; for a policy its verdict.
    pub fn words(&self) -> String {
        let Some((_, rule)) = self.rule else {
            return "DROP".into();
        };
        let (words, _) = if self.is_iptables() {
            iptables(rule, &self.verdict)
        } else {
            nft(rule, &self.verdict)
        };
        words.join(" ")
    }

    /// The words of a command that takes the rule away, or lets go what the policy drops. None for a
    /// policy of nftables, which only its owner knows how to change.
    pub fn removal(&self) -> Option<Vec<String>> {
        let chain = self.chain;
        let mut command: Vec<String> = Vec::new();
        let mut add = |word: &str| command.push(word.to_owned());
        if !self.is_iptables() {
            let (_, rule) = self.rule?;
            for word in ["nft", "delete", "rule", family(chain.family)] {
                add(word);
            }
            add(&chain.table);
            add(&chain.name);
            add("handle");
            add(&rule.handle.to_string());
            return Some(command);
        }
        add(self.program());
        if chain.table != "filter" {
            add("-t");
            add(&chain.table);
        }
        match self.rule {
            None => {
                add("-P");
                add(&chain.name);
                add("ACCEPT");
            }
            Some((number, rule)) => {
                add("-D");
                add(&chain.name);
                match iptables(rule, &self.verdict) {
                    (words, true) => words.iter().for_each(|word| add(word)),
                    // What can't be written is still there by its number.
                    (_, false) => add(&number.to_string()),
                }
            }
        }
        Some(command)
    }

    /// The table's family, in nft's word.
    pub fn family(&self) -> &'static str {
        family(self.chain.family)
    }

    /// The program that shows and changes the chain, by the name that works whichever is the default.
    pub fn program(&self) -> &'static str {
        match (self.chain.backend, self.chain.family == IPV6) {
            (Backend::Nft, false) => "iptables-nft",
            (Backend::Nft, true) => "ip6tables-nft",
            (Backend::Legacy, false) => "iptables-legacy",
            (Backend::Legacy, true) => "ip6tables-legacy",
        }
    }
}

fn family(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "unknown",
    }
}

/// The words, and whether they are the whole rule.
fn iptables(rule: &Rule, verdict: &Verdict) -> (Vec<String>, bool) {
    let mut words: Vec<String> = Vec::new();
    let mut whole = true;
    // The port's words need the protocol's before them, which nf_tables has in any order.
    let mut parts: Vec<&Part> = rule.parts.iter().collect();
    parts.sort_by_key(|part| matches!(part, Part::Port { .. }) || is_transport(part));
    for part in parts {
        let not = |equal: bool| if equal { "" } else { "! " };
        let text = match part {
            Part::Counter(_) | Part::Verdict(_) => continue,
            Part::Comment(comment) => Some(format!("-m comment --comment {comment}")),
            Part::OriginalPort { from, to, inside } => Some(format!(
                "-m conntrack {}--ctorigdstport {} --ctdir ORIGINAL",
                not(*inside),
                range(*from, *to)
            )),
            Part::State { set, inside } => {
                states(*set).map(|set| format!("-m conntrack {}--ctstate {set}", not(*inside)))
            }
            Part::Port {
                protocol,
                from,
                to,
                inside,
            } => protocol_name(*protocol)
                .map(|name| format!("-m {name} {}--dport {}", not(*inside), range(*from, *to))),
            Part::Compare {
                field,
                mask,
                value,
                equal,
            } => match field {
                Field::InterfaceIn => Some(format!("{}-i {}", not(*equal), interface(value))),
                Field::InterfaceOut => Some(format!("{}-o {}", not(*equal), interface(value))),
                Field::Protocol => value
                    .first()
                    .and_then(|p| protocol_name(*p))
                    .map(|name| format!("{}-p {name}", not(*equal))),
                Field::Network(_) => network(*field, mask, value)
                    .map(|(flag, net)| format!("{}-{} {net}", not(*equal), flag)),
                Field::Transport(2) if value.len() == 2 && mask.is_empty() => {
                    let port = u16::from_be_bytes([value[0], value[1]]);
                    Some(format!("{}--dport {port}", not(*equal)))
                }
                _ => None,
            },
            Part::Unreadable(name) => {
                words.push(format!("({name})"));
                whole = false;
                continue;
            }
        };
        match (text, part) {
            // A comment is one word, whatever it holds.
            (Some(_), Part::Comment(comment)) => {
                words.extend(["-m", "comment", "--comment"].map(str::to_owned));
                words.push(comment.clone());
            }
            (Some(text), _) => words.extend(text.split(' ').map(str::to_owned)),
            (None, _) => {
                words.push("(…)".into());
                whole = false;
            }
        }
    }
    let verdict = match verdict {
        Verdict::Drop => "DROP",
        // With what it is rejected is not read, and a deletion must have it.
        Verdict::Reject => {
            whole = false;
            "REJECT"
        }
        _ => "",
    };
    // Deleting compares the matches in their order, which nf_tables does not keep.
    let matches = rule.parts.iter().filter(|part| {
        matches!(
            part,
            Part::Comment(_) | Part::State { .. } | Part::Port { .. } | Part::OriginalPort { .. }
        ) || is_transport(part)
    });
    whole &= matches.count() <= 1;
    words.extend(["-j".to_owned(), verdict.to_owned()]);
    (words, whole)
}

impl Rule {
    /// The destination ports that it asks for, with the protocol; none where it asks for no port, for
    /// several by a set, or for all but some.
    pub fn ports(&self) -> Option<(u8, u16, u16)> {
        let protocol = self.parts.iter().find_map(|part| match part {
            Part::Compare {
                field: Field::Protocol,
                value,
                equal: true,
                ..
            } => value.first().copied(),
            _ => None,
        });
        self.parts.iter().find_map(|part| match part {
            Part::Port {
                protocol,
                from,
                to,
                inside: true,
            } => Some((*protocol, *from, *to)),
            Part::Compare {
                field: Field::Transport(2),
                mask,
                value,
                equal: true,
            } if mask.is_empty() && value.len() == 2 => {
                let port = u16::from_be_bytes([value[0], value[1]]);
                Some((protocol?, port, port))
            }
            _ => None,
        })
    }

    /// What it does in the end.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.parts.iter().find_map(|part| match part {
            Part::Verdict(verdict) => Some(verdict),
            _ => None,
        })
    }

    /// What its last counter says.
    pub fn counter(&self) -> Option<u64> {
        self.parts.iter().rev().find_map(|part| match part {
            Part::Counter(packets) => Some(*packets),
            _ => None,
        })
    }
}

fn is_transport(part: &Part) -> bool {
    matches!(
        part,
        Part::Compare {
            field: Field::Transport(_),
            ..
        }
    )
}

fn nft(rule: &Rule, verdict: &Verdict) -> (Vec<String>, bool) {
    let mut words = Vec::new();
    let mut whole = true;
    for part in &rule.parts {
        let not = |equal: bool| if equal { "" } else { "!= " };
        let text = match part {
            Part::Counter(_) | Part::Verdict(_) => continue,
            Part::Comment(comment) => Some(format!("comment {comment:?}")),
            Part::OriginalPort { from, to, inside } => Some(format!(
                "-m conntrack {}--ctorigdstport {} --ctdir ORIGINAL",
                not(*inside),
                range(*from, *to)
            )),
            Part::State { set, inside } => {
                states(*set).map(|set| format!("ct state {}{}", not(*inside), set.to_lowercase()))
            }
            Part::Port {
                protocol,
                from,
                to,
                inside,
            } => protocol_name(*protocol)
                .map(|name| format!("{name} dport {}{}", not(*inside), range(*from, *to))),
            Part::Compare {
                field,
                mask,
                value,
                equal,
            } => match field {
                Field::InterfaceIn => Some(format!("iifname {}{}", not(*equal), interface(value))),
                Field::InterfaceOut => Some(format!("oifname {}{}", not(*equal), interface(value))),
                Field::Protocol => value
                    .first()
                    .and_then(|p| protocol_name(*p))
                    .map(|name| format!("meta l4proto {}{name}", not(*equal))),
                Field::Network(_) => network(*field, mask, value).map(|(flag, net)| {
                    let side = if flag == 's' { "saddr" } else { "daddr" };
                    let family = if net.contains(':') { "ip6" } else { "ip" };
                    format!("{family} {side} {}{net}", not(*equal))
                }),
                Field::Transport(2) if value.len() == 2 && mask.is_empty() => {
                    let port = u16::from_be_bytes([value[0], value[1]]);
                    Some(format!("dport {}{port}", not(*equal)))
                }
                // "Is IPv4" before an address: nft shows none either.
                Field::Family => continue,
                _ => None,
            },
            Part::Unreadable(name) => Some(format!("({name})")),
        };
        whole &= text.is_some() && !matches!(part, Part::Unreadable(_));
        words.push(text.unwrap_or_else(|| "(…)".into()));
    }
    words.push(
        match verdict {
            Verdict::Drop => "drop",
            Verdict::Reject => "reject",
            _ => "",
        }
        .to_owned(),
    );
    (words, whole)
}

fn states(set: u32) -> Option<String> {
    const NAMES: [(u32, &str); 4] = [
        (1, "INVALID"),
        (8, "NEW"),
        (4, "RELATED"),
        (2, "ESTABLISHED"),
    ];
    let known: u32 = NAMES.iter().map(|(bit, _)| bit).sum();
    let names: Vec<&str> = NAMES
        .iter()
        .filter(|(bit, _)| set & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    (set & !known == 0 && !names.is_empty()).then(|| names.join(","))
}

fn protocol_name(number: u8) -> Option<&'static str> {
    match number {
        6 => Some("tcp"),
        17 => Some("udp"),
        1 => Some("icmp"),
        58 => Some("icmpv6"),
        132 => Some("sctp"),
        _ => None,
    }
}

fn range(from: u16, to: u16) -> String {
    if from == to {
        from.to_string()
    } else {
        format!("{from}:{to}")
    }
}

/// A name that does not end with a zero is the beginning of many.
fn interface(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0);
    let name = String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned();
    if end.is_none() && value.len() < 16 {
        format!("{name}+")
    } else {
        name
    }
}

/// `s` or `d` and the network that is compared with. A comparison of fewer bytes than an address has
/// is that of a prefix.
fn network(field: Field, mask: &[u8], value: &[u8]) -> Option<(char, String)> {
    let Field::Network(at) = field else {
        return None;
    };
    let (flag, size) = match at {
        12 => ('s', 4),
        16 => ('d', 4),
        8 => ('s', 16),
        24 => ('d', 16),
        _ => return None,
    };
    if value.is_empty() || value.len() > size {
        return None;
    }
    let mut bytes = value.to_vec();
    bytes.resize(size, 0);
    let prefix = if mask.is_empty() {
        u32::try_from(value.len()).ok()? * 8
    } else {
        let ones: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
        let all: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        if ones != all {
            return None;
        }
        ones
    };
    let address = match size {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    let mut words = address.to_string();
    if prefix as usize != size * 8 {
        write!(words, "/{prefix}").ok()?;
    }
    Some((flag, words))
}
