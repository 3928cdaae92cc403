//! Where packets of ours were lost, and who took them: what was seen on the host's interfaces and
//! what the counters of the packet filters did, put together.
//!
//! It names nobody whom the counters do not name, and judges nothing.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netcheck_probe::firewall::{Culprit, Filter, Packet, Rise, Suspect, Wave, culprit};
use netcheck_probe::{Came, Connected, Delivered, Packet as Kind, Protocol, Sight, Watched};

use super::Case;
use crate::evidence::{self, Container, Deep, Fact, Trial, Viewpoint};

/// NF_INET_* of linux/netfilter.h.
const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;

/// The state of a connection's first packet, and of what answers it.
const NEW: u32 = 8;
const ESTABLISHED: u32 = 2;

/// Where packets got lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before they came to the engine's host.
    Sender,
    /// On the engine's host, on their way through.
    Through,
    /// On the engine's host, which they were for.
    Host,
    /// On the engine's host, as answers on their way back.
    Replies,
    /// Behind the engine's host: in the target's namespace, or further away.
    Behind,
    /// It was not seen where.
    Unseen,
}

/// What is known of who took them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken<'a> {
    /// A rule or a policy.
    By {
        /// Which.
        suspect: Box<Suspect<'a>>,
        /// By how much its counter rose.
        counted: Option<u64>,
        /// Whose filter it is.
        at: &'a Viewpoint,
    },
    /// One of several, or none that was seen; in words that follow "who took them: ".
    Unknown(String),
}

/// One trial with what became of its packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced<'a> {
    /// What was tried.
    pub trial: &'a Trial,
    /// Where the packets got lost.
    pub place: Place,
    /// How many tries there were, and how many of them came through.
    pub tries: (usize, usize),
    /// The last that was seen of a first packet on its way out: by which interface, from where, to where.
    pub left: Option<(&'a str, SocketAddr, SocketAddr)>,
    /// What was seen, in lines that prove it.
    pub seen: Vec<String>,
    /// Who took them.
    pub taken: Taken<'a>,
}

/// The sights of one trial, sorted.
struct Sights<'a> {
    /// First packets where they came in to the host; those of the host itself where they go out.
    entered: Vec<&'a Sight>,
    /// First packets on their last way out.
    left: Option<&'a Sight>,
    /// An answer that came in.
    answered: Option<&'a Sight>,
    /// An answer that went out to who asked.
    returned: Option<&'a Sight>,
}

impl<'a> Case<'a> {
    /// The trials that the subject failed, with what became of them.
    pub fn traced(&self) -> Vec<Traced<'a>> {
        let Some(deep) = &self.evidence.deep else {
            return Vec::new();
        };
        let from = Viewpoint::of(&self.subject.id);
        let own = deep.trials.iter().filter(|trial| trial.from == from);
        own.filter_map(|trial| self.trace(deep, trial)).collect()
    }

    fn trace(&self, deep: &'a Deep, trial: &'a Trial) -> Option<Traced<'a>> {
        let attempts: Vec<bool> = trial
            .waves
            .iter()
            .filter_map(|wave| wave.attempts.known())
            .flatten()
            .filter_map(|attempt| attempt.tried.as_ref())
            .map(|tried| is_through(&tried.came))
            .collect();
        let through = attempts.iter().filter(|through| **through).count();
        if attempts.is_empty() || through == attempts.len() {
            return None;
        }
        let from_host = trial.from == Viewpoint::Host;
        let all: Vec<&Sight> = trial
            .waves
            .iter()
            .filter_map(|wave| wave.watched.known())
            .flat_map(|watched| &watched.sights)
            .collect();
        let sights = sorted(&all, from_host);
        let watched = trial
            .waves
            .iter()
            .all(|wave| wave.watched.known().is_some());
        let place = if !watched {
            Place::Unseen
        } else if sights.entered.is_empty() {
            Place::Sender
        } else if sights.answered.is_some() && sights.returned.is_none() && !from_host {
            Place::Replies
        } else if sights.left.is_some() {
            Place::Behind
        } else if from_host {
            Place::Sender
        } else if self.is_of_host(trial.to.ip()) && self.behind_host_port(trial).is_none() {
            Place::Host
        } else {
            Place::Through
        };
        let seen = self.words(trial, &sights, watched);
        let taken = self.taken(deep, trial, place, &sights);
        Some(Traced {
            trial,
            place,
            tries: (attempts.len(), through),
            left: sights
                .left
                .map(|sight| (sight.interface.as_str(), sight.from, sight.to)),
            seen,
            taken,
        })
    }

    /// Who took them, asked of the filters where they were lost.
    fn taken(
        &self,
        deep: &'a Deep,
        trial: &'a Trial,
        place: Place,
        sights: &Sights<'_>,
    ) -> Taken<'a> {
        let places = self.packets(deep, trial, place, sights);
        let mut why = Vec::new();
        for (at, packets) in places {
            if packets.is_empty() {
                continue;
            }
            let whose = self.whose(at);
            let filter = match deep.filter(at) {
                Fact::Known(filter) => filter,
                other => {
                    let reason = other.why_unknown().unwrap_or_default().to_owned();
                    why.push(format!("the packet filter {whose}: {reason}"));
                    continue;
                }
            };
            let mut waves = Vec::new();
            for wave in &trial.waves {
                let rises: &[Rise] = match wave.rises.iter().find(|(of, _)| of == at) {
                    Some((_, Fact::Known(rises))) => rises,
                    _ => continue,
                };
                waves.push(Wave {
                    lost: lost(wave, trial, place),
                    rises,
                });
            }
            if waves.is_empty() {
                why.push(format!(
                    "the counters of the packet filter {whose} were not read"
                ));
                continue;
            }
            match culprit(filter, &packets, &waves) {
                Culprit::Found { suspect, counted } => {
                    // Where nobody watched, only a counter is a proof.
                    if place == Place::Unseen && counted.is_none() {
                        why.push(format!("{} {whose} may be it", suspect.place()));
                        continue;
                    }
                    return Taken::By {
                        suspect: Box::new(suspect),
                        counted,
                        at,
                    };
                }
                Culprit::OneOf(some) => {
                    let places: Vec<String> = some.iter().map(Suspect::place).collect();
                    why.push(format!(
                        "{whose} it may be {}, which cannot be told by a counter",
                        places.join(" or ")
                    ));
                }
                Culprit::Nobody if filter.incomplete => {
                    why.push(format!(
                        "the packet filter {whose} could not be read as a whole"
                    ));
                }
                Culprit::Nobody => why.push(format!("no rule {whose}")),
            }
        }
        if why.is_empty() {
            why.push("nobody was asked there".into());
        }
        Taken::Unknown(why.join("; "))
    }

    /// What a filter got to see of a packet there, by whose filter it is.
    fn packets(
        &self,
        deep: &'a Deep,
        trial: &'a Trial,
        place: Place,
        sights: &Sights<'_>,
    ) -> Vec<(&'a Viewpoint, Vec<Packet>)> {
        let host = deep.filters.iter().find(|(at, _)| *at == Viewpoint::Host);
        let host = host.map(|(at, _)| at);
        let far = self.far(trial).map(|other| Viewpoint::of(&other.id));
        let far = deep.filters.iter().find(|(at, _)| Some(at) == far.as_ref());
        let far = far.map(|(at, _)| at);
        let protocol = match trial.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        };
        let source = sights
            .entered
            .first()
            .map(|sight| sight.from)
            .or_else(|| self.source(trial));
        let Some(source) = source else {
            return Vec::new();
        };
        let interface_in = self.bridge_of(source.ip());
        let packet = |hook, to: SocketAddr| Packet {
            hook,
            interface_in: interface_in.clone(),
            interface_out: self.bridge_of(to.ip()),
            from: source.ip(),
            from_port: source.port(),
            to: to.ip(),
            protocol,
            port: to.port(),
            original_port: trial.to.port(),
            state: NEW,
            bridge_ports: None,
        };
        // Translated for a published port, or as it is.
        let inner = self.behind_host_port(trial).unwrap_or(trial.to);
        let through = || {
            let early = Packet {
                interface_out: None,
                ..packet(PREROUTING, trial.to)
            };
            vec![early, packet(FORWARD, inner), packet(POSTROUTING, inner)]
        };
        let for_host = || {
            let input = Packet {
                interface_out: None,
                ..packet(INPUT, trial.to)
            };
            let early = Packet {
                hook: PREROUTING,
                ..input.clone()
            };
            vec![early, input]
        };
        let sent = || {
            let out = |hook, to| Packet {
                interface_in: None,
                interface_out: None,
                ..packet(hook, to)
            };
            vec![out(OUTPUT, inner), out(POSTROUTING, inner)]
        };
        let received = || {
            let left = sights.left.map(|sight| (sight.from, sight.to));
            let (from, to) = left.unwrap_or((source, inner));
            let early = Packet {
                interface_in: None,
                interface_out: None,
                from: from.ip(),
                from_port: from.port(),
                ..packet(PREROUTING, to)
            };
            let input = Packet {
                hook: INPUT,
                ..early.clone()
            };
            vec![early, input]
        };
        match place {
            Place::Sender => vec![(&trial.from, sent())],
            Place::Through if self.is_of_host(trial.to.ip()) => {
                let both = [through(), for_host()].concat();
                host.map(|at| (at, both)).into_iter().collect()
            }
            Place::Through => host.map(|at| (at, through())).into_iter().collect(),
            Place::Host => host.map(|at| (at, for_host())).into_iter().collect(),
            Place::Behind => far.map(|at| (at, received())).into_iter().collect(),
            Place::Replies => {
                let answer = sights.answered.map(|sight| (sight.from, sight.to));
                let (from, _) = answer.unwrap_or((inner, source));
                let reply = |hook| Packet {
                    hook,
                    interface_in: self.bridge_of(from.ip()),
                    interface_out: interface_in.clone(),
                    from: from.ip(),
                    from_port: from.port(),
                    to: source.ip(),
                    protocol,
                    port: source.port(),
                    original_port: trial.to.port(),
                    state: ESTABLISHED,
                    bridge_ports: None,
                };
                let packets = vec![reply(PREROUTING), reply(FORWARD), reply(POSTROUTING)];
                host.map(|at| (at, packets)).into_iter().collect()
            }
            Place::Unseen => {
                let on_host = if trial.from == Viewpoint::Host {
                    sent()
                } else if self.is_of_host(trial.to.ip()) {
                    [through(), for_host()].concat()
                } else {
                    through()
                };
                let mut all: Vec<_> = host.map(|at| (at, on_host)).into_iter().collect();
                if trial.from != Viewpoint::Host {
                    all.push((&trial.from, sent()));
                }
                all.extend(far.map(|at| (at, received())));
                all
            }
        }
    }

    /// Lines that say where the packets were seen.
    fn words(&self, trial: &Trial, sights: &Sights<'_>, watched: bool) -> Vec<String> {
        if !watched {
            return Vec::new();
        }
        let mut lines = Vec::new();
        let who = if trial.from == Viewpoint::Host {
            "the engine's host".to_owned()
        } else {
            format!("`{}`", self.name())
        };
        let Some(first) = sights.entered.first() else {
            lines.push(format!(
                "seen on the engine's host: no packet of {who} to {} came out of its namespace",
                trial.to
            ));
            return lines;
        };
        let way = if first.outgoing {
            "left by"
        } else {
            "came in by"
        };
        let mut line = format!(
            "seen on the engine's host: {} {way} {}",
            plural(sights.entered.len()),
            first.interface
        );
        match sights.left.filter(|left| left.interface != first.interface) {
            Some(left) => line.push_str(&format!(
                ", and went out by {} to {}",
                left.interface, left.to
            )),
            None if first.outgoing => {}
            None => line.push_str(", and went out by no other interface"),
        }
        lines.push(line);
        if let Some(answer) = sights.answered {
            let back = match sights.returned {
                Some(back) => format!(", and went back by {}", back.interface),
                None if first.outgoing => String::new(),
                None => ", and did not go back".into(),
            };
            lines.push(format!(
                "{} came in by {}{back}",
                kind_words(answer.packet),
                answer.interface
            ));
        } else if let Some(back) = sights.returned {
            lines.push(format!(
                "the host itself answered: {} went back by {}",
                kind_words(back.packet),
                back.interface
            ));
        } else {
            lines.push("no answer was seen".into());
        }
        lines
    }

    /// The packet filter of the engine's host, where `--deep` read it.
    pub fn host_filter(&self) -> Fact<&'a Filter> {
        match &self.evidence.deep {
            Some(deep) => deep.filter(&Viewpoint::Host),
            None => Fact::NotCollected,
        }
    }

    /// The interface of the host's default route.
    pub(crate) fn uplink(&self) -> Option<String> {
        let routes = self.host_snapshot()?.routes.as_ref().ok()?;
        let default = routes
            .iter()
            .find(|route| route.destination.1 == 0 && route.gateway.is_some());
        default?.interface.clone()
    }

    /// Whose filter it is, in words that follow a rule's name.
    pub fn whose(&self, at: &Viewpoint) -> String {
        match at {
            Viewpoint::Host => "on the engine's host".into(),
            Viewpoint::Container(id) => match self.evidence.container(id) {
                Some(container) => format!("inside `{}`", container.name),
                None => "inside the container".into(),
            },
            Viewpoint::Network(_) => "in a helper".into(),
        }
    }

    /// The container that the trial is for.
    fn far(&self, trial: &Trial) -> Option<&'a Container> {
        let inner = self.behind_host_port(trial).unwrap_or(trial.to);
        self.owner_of(inner.ip())
            .filter(|other| other.id != self.subject.id)
    }

    /// The subject's address that a packet to there most likely has.
    fn source(&self, trial: &Trial) -> Option<SocketAddr> {
        let network = self.network_holding(trial.to.ip()).map(|one| &one.id);
        let mut endpoints: Vec<_> = self.subject.endpoints.iter().collect();
        endpoints.sort_by_key(|one| Some(&one.network_id) != network);
        endpoints
            .into_iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .find(|address| address.is_ipv4() == trial.to.is_ipv4())
            .map(|address| SocketAddr::new(*address, 0))
    }

    /// The subnet from which the subject sends there, most likely.
    pub(crate) fn source_network(&self, trial: &Trial) -> Option<ipnet::IpNet> {
        let source = self.source(trial)?.ip();
        let network = self.network_holding(source)?;
        let mut subnets = network.ipam.iter().map(|ipam| ipam.subnet);
        subnets.find(|subnet| subnet.contains(&source))
    }

    /// The network whose subnet holds the address.
    pub(crate) fn network_holding(&self, address: IpAddr) -> Option<&'a evidence::Network> {
        let networks = self.evidence.networks.known()?;
        networks.iter().find(|network| {
            network.driver == "bridge"
                && network
                    .ipam
                    .iter()
                    .any(|ipam| ipam.subnet.contains(&address))
        })
    }

    /// The bridge of the network that holds the address; else the interface of the host's default route.
    fn bridge_of(&self, address: IpAddr) -> Option<String> {
        if let Some(network) = self.network_holding(address) {
            return self.bridge_name(network);
        }
        let routes = self.host_snapshot()?.routes.as_ref().ok()?;
        routes
            .iter()
            .find(|route| {
                route.destination.1 == 0
                    && route
                        .gateway
                        .is_some_and(|by| by.is_ipv4() == address.is_ipv4())
            })
            .and_then(|route| route.interface.clone())
    }

    /// Whether the engine's host has this address itself.
    fn is_of_host(&self, address: IpAddr) -> bool {
        let links = self.host_snapshot().map(|snapshot| &snapshot.interfaces);
        let links = links.and_then(|links| links.as_ref().ok());
        links
            .into_iter()
            .flatten()
            .any(|link| link.addresses.iter().any(|(own, _)| *own == address))
    }

    /// Where a published port of the host leads to.
    fn behind_host_port(&self, trial: &Trial) -> Option<SocketAddr> {
        if !self.is_of_host(trial.to.ip()) {
            return None;
        }
        self.evidence.containers.iter().find_map(|container| {
            let binding = container.published.iter().find(|binding| {
                binding.host_port == Some(trial.to.port())
                    && binding.container.protocol == trial.protocol
                    && binding
                        .host_address
                        .is_none_or(|ip| ip.is_unspecified() || ip == trial.to.ip())
            })?;
            let endpoint = container.endpoints.first()?;
            let address = endpoint
                .addresses
                .iter()
                .find(|address| address.is_ipv4() == trial.to.is_ipv4())?;
            Some(SocketAddr::new(*address, binding.container.number))
        })
    }
}

impl Traced<'_> {
    /// All that was seen, and the counter, as proofs.
    pub fn proofs(&self) -> Vec<String> {
        let (tries, through) = self.tries;
        let mut all = vec![format!(
            "{} of {tries} more tries at {} failed",
            tries - through,
            self.trial.to
        )];
        all.extend(self.seen.clone());
        all
    }

    /// For a path of which nobody knows why it ends.
    pub fn story(&self) -> String {
        let taken = match &self.taken {
            Taken::By { suspect, .. } => suspect.place(),
            Taken::Unknown(why) => format!("who took them: {why}"),
        };
        let seen: Vec<&str> = self.seen.iter().map(String::as_str).collect();
        format!("{}; {taken}", seen.join("; "))
    }
}

fn plural(packets: usize) -> String {
    if packets == 1 {
        "1 first packet (SYN)".into()
    } else {
        format!("{packets} first packets (SYN)")
    }
}

fn kind_words(kind: Kind) -> String {
    match kind {
        Kind::Syn => "a SYN".into(),
        Kind::SynAck => "the answer (SYN-ACK)".into(),
        Kind::Reset => "a refusal (RST)".into(),
        Kind::Error(kind, code) => format!("an ICMP error (type {kind}, code {code})"),
    }
}

fn is_through(came: &Came) -> bool {
    match came {
        Came::Tcp(Connected::Open { .. }) | Came::Udp(Delivered::Reply { .. }) => true,
        Came::Tcp(Connected::Failed { .. }) | Came::Udp(_) => false,
    }
}

fn sorted<'a>(all: &[&'a Sight], from_host: bool) -> Sights<'a> {
    let syn = |sight: &&&Sight| sight.packet == Kind::Syn;
    let first_way = all
        .iter()
        .find(syn)
        .map(|sight| (sight.interface.as_str(), sight.outgoing));
    let entered: Vec<&Sight> = all
        .iter()
        .filter(syn)
        .filter(|sight| Some((sight.interface.as_str(), sight.outgoing)) == first_way)
        .copied()
        .collect();
    let first = entered.first().map(|sight| sight.interface.as_str());
    // A bridge hands a packet on by the port to its container, after the bridge itself.
    let left = all
        .iter()
        .filter(syn)
        .rfind(|sight| sight.outgoing && (from_host || Some(sight.interface.as_str()) != first));
    let answers = || all.iter().filter(|sight| sight.packet != Kind::Syn);
    let errors_of_host = answers().find(|sight| sight.outgoing);
    Sights {
        entered: if from_host {
            entered.into_iter().filter(|sight| sight.outgoing).collect()
        } else {
            entered
        },
        left: left.copied(),
        answered: answers().find(|sight| !sight.outgoing).copied(),
        returned: errors_of_host.copied(),
    }
}

/// How many packets the filter of a place must have taken in one wave.
fn lost(wave: &evidence::Wave, trial: &Trial, place: Place) -> u64 {
    let tries = wave.attempts.known().map_or(0, |attempts| {
        attempts
            .iter()
            .filter_map(|attempt| attempt.tried.as_ref())
            .filter(|tried| !is_through(&tried.came))
            .count()
    });
    let Some(Watched { sights, .. }) = wave.watched.known() else {
        return tries as u64;
    };
    let sights: Vec<&Sight> = sights.iter().collect();
    let sorted = sorted(&sights, trial.from == Viewpoint::Host);
    let count = match place {
        Place::Sender | Place::Unseen => tries,
        Place::Through | Place::Host | Place::Behind => sorted.entered.len(),
        Place::Replies => {
            let flows: BTreeSet<u32> = sights
                .iter()
                .filter(|sight| sight.packet != Kind::Syn && !sight.outgoing)
                .map(|sight| sight.flow)
                .collect();
            flows.len()
        }
    };
    count as u64
}
