//! The far end of a pair: who asks for which of its ports, and what came of that.
//!
//! It reads what was seen and judges nothing.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Connected, Delivered, Errno, Protocol, Then};

use super::{Case, Listener};
use crate::evidence::{Container, Evidence, Port, Viewpoint};
use crate::request::Target;

/// Somebody asks for a port of the subject.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    evidence: &'a Evidence,
    /// Who.
    pub from: &'a Container,
    /// The place as it was written.
    pub target: &'a Target,
    /// The port.
    pub port: Port,
}

impl<'a> Case<'a> {
    /// The case of the container that a pair's target means; none if it means none, or one whose
    /// details are not known.
    pub fn target(evidence: &'a Evidence) -> Option<Self> {
        let target = evidence.request.target.as_ref()?;
        let subject = evidence.container(target.container.as_ref()?)?;
        Some(Self {
            evidence,
            subject,
            detail: subject.detail()?,
            // Where no port was named nobody asks for one.
            asked: match evidence.container(&evidence.request.container) {
                Some(from) if target.has_port() => Some(Asked {
                    evidence,
                    from,
                    target,
                    port: target.port(),
                }),
                _ => None,
            },
        })
    }
}

/// What came of all tries at the addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// One came through.
    Through,
    /// Each was refused, by a machine that it came to.
    Refused,
    /// Anything else, also what is not known.
    Else,
}

impl Case<'_> {
    /// The listener on the asked number for the protocol that was not asked for, where none has it for
    /// the one that was; one that whoever asks can reach.
    pub fn asked_by_the_other_protocol<'l>(
        &self,
        listeners: &'l [Listener],
    ) -> Option<&'l Listener> {
        let asked = self.asked?;
        let is_itself = asked.from.id == self.subject.id;
        let mut on_number = listeners
            .iter()
            .filter(|listener| listener.port.number == asked.port.number);
        if on_number
            .clone()
            .any(|listener| listener.port == asked.port)
        {
            return None;
        }
        on_number.find(|listener| is_itself || listener.is_reachable())
    }

    /// What came of the tries at a place, IPv4 and IPv6; none for a family of which it has no address.
    pub fn by_family(&self, target: &Target) -> (Option<Reached>, Option<Reached>) {
        let addresses = self.addresses_of(&target.host);
        let of = |is_ipv4: bool| {
            let came: Vec<Reached> = addresses
                .iter()
                .filter(|address| address.is_ipv4() == is_ipv4)
                .map(|address| {
                    self.reached(SocketAddr::new(*address, target.port), target.protocol)
                })
                .collect();
            if came.is_empty() {
                None
            } else if came.contains(&Reached::Through) {
                Some(Reached::Through)
            } else if came.iter().all(|one| *one == Reached::Refused) {
                Some(Reached::Refused)
            } else {
                Some(Reached::Else)
            }
        };
        (of(true), of(false))
    }

    /// What came of the subject's try at an address.
    pub fn reached(&self, to: SocketAddr, protocol: Protocol) -> Reached {
        self.reached_from(&Viewpoint::of(&self.subject.id), to, protocol)
    }

    /// The same from somewhere else.
    pub fn reached_from(&self, from: &Viewpoint, to: SocketAddr, protocol: Protocol) -> Reached {
        let Some(visit) = self.evidence.visit(from) else {
            return Reached::Else;
        };
        match protocol {
            Protocol::Tcp => match visit.connect(to).known() {
                // docker-proxy closes at once where it cannot get through.
                Some(Connected::Open {
                    then: Then::Silent | Then::Spoke(_),
                    ..
                }) => Reached::Through,
                Some(Connected::Failed {
                    errno: Errno::Refused,
                    ..
                }) => Reached::Refused,
                _ => Reached::Else,
            },
            Protocol::Udp => match visit.datagram(to).known() {
                Some(Delivered::Reply { .. }) => Reached::Through,
                Some(Delivered::Failed {
                    errno: Errno::Refused,
                }) => Reached::Refused,
                _ => Reached::Else,
            },
        }
    }
}

impl<'a> Case<'a> {
    /// The addresses of the host, with the port that somebody publishes there, from which the subject got
    /// no answer at all, and the one running container that publishes it for that address. Empty unless
    /// each address of the asked place is such a one, and where the subject shares a network with that
    /// container.
    pub fn refused_published(&self) -> Vec<(SocketAddr, &'a Container)> {
        let Some(target) = &self.evidence.request.target else {
            return Vec::new();
        };
        if target.container.is_some()
            || target.protocol != Protocol::Tcp
            || !target.has_port()
            || !self.uses_networks()
        {
            return Vec::new();
        }
        let addresses = self.addresses_of(&target.host);
        let found: Vec<_> = addresses
            .iter()
            .filter_map(|address| {
                let to = SocketAddr::new(*address, target.port);
                let silent = self.visit().ok()?.connect(to);
                let silent = matches!(
                    silent.known(),
                    Some(Connected::Failed {
                        errno: Errno::TimedOut,
                        ..
                    })
                );
                let publisher = self.publisher_at(to)?;
                (silent && self.is_host_address(*address)).then_some((to, publisher))
            })
            .filter(|(_, publisher)| self.shared_networks(publisher).is_empty())
            .collect();
        if found.len() == addresses.len() {
            found
        } else {
            Vec::new()
        }
    }

    /// The one running container that publishes a TCP port at this address of the host.
    fn publisher_at(&self, to: SocketAddr) -> Option<&'a Container> {
        let mut all = self.evidence.containers.iter().filter(|container| {
            container.is_running()
                && container.published.iter().any(|binding| {
                    let at = binding.host_address;
                    binding.host_port == Some(to.port())
                        && binding.container.protocol == Protocol::Tcp
                        && at.is_some_and(|at| at == to.ip() || at.is_unspecified())
                })
        });
        all.next().filter(|_| all.next().is_none())
    }
}

impl Asked<'_> {
    /// What came of the tries at the asked place, IPv4 and IPv6.
    pub fn by_family(&self) -> (Option<Reached>, Option<Reached>) {
        Case::new(self.evidence).map_or((None, None), |from| from.by_family(self.target))
    }

    /// The addresses of the asked place.
    pub fn addresses(&self) -> Vec<IpAddr> {
        Case::new(self.evidence).map_or_else(Vec::new, |from| from.addresses_of(&self.target.host))
    }

    /// What came of each try from the one who asks to this port, as proofs.
    pub fn connections(&self) -> Vec<String> {
        let from = Viewpoint::of(&self.from.id);
        let Some(visit) = self.evidence.visit(&from) else {
            return Vec::new();
        };
        let target = self.target.container.as_ref();
        target
            .and_then(|id| self.evidence.container(id))
            .into_iter()
            .flat_map(|container| &container.endpoints)
            .flat_map(|endpoint| &endpoint.addresses)
            .map(|address| SocketAddr::new(*address, self.port.number))
            .filter_map(|to| {
                let came = match self.port.protocol {
                    Protocol::Tcp => connected_words(visit.connect(to).known().copied()?),
                    Protocol::Udp => delivered_words(visit.datagram(to).known().copied()?),
                };
                Some(format!("seen from `{}`: {to}: {came}", self.from.name))
            })
            .collect()
    }
}

/// A try at one of the target's own addresses.
#[derive(Debug, Clone, Copy)]
pub struct Try<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// What came of it; nothing was said on the connection.
    pub connected: &'a Connected,
    /// For how long it was listened to, in milliseconds.
    pub listened_ms: u32,
    /// What came of a second connection with a TLS hello, where there was one.
    pub hello: Option<&'a Connected>,
}

impl<'a> Asked<'a> {
    /// The tries over TCP at the target's own addresses, where no proxy stands between.
    pub fn tries(&self) -> Vec<Try<'a>> {
        let from = Viewpoint::of(&self.from.id);
        let (Some(visit), Protocol::Tcp) = (self.evidence.visit(&from), self.port.protocol) else {
            return Vec::new();
        };
        let target = self.target.container.as_ref();
        target
            .and_then(|id| self.evidence.container(id))
            .into_iter()
            .flat_map(|container| &container.endpoints)
            .flat_map(|endpoint| &endpoint.addresses)
            .filter_map(|address| {
                let to = SocketAddr::new(*address, self.port.number);
                Some(Try {
                    to,
                    connected: visit.connect(to).known().copied()?,
                    listened_ms: visit.listened_ms(to),
                    hello: visit.hello(to).known().copied(),
                })
            })
            .collect()
    }
}

/// Whether what was said after a TLS hello is plain HTTP (RFC 9112 4).
pub fn is_plain_http(answer: &Connected) -> bool {
    matches!(answer, Connected::Open { then: Then::Spoke(said), .. } if said.starts_with("HTTP/"))
}

/// A connection in a few words.
pub fn connected_words(connected: &Connected) -> String {
    match connected {
        Connected::Open { took_ms, .. } => format!("connected after {took_ms} ms"),
        Connected::Failed { errno, took_ms } => format!("{} after {took_ms} ms", errno.words()),
    }
}

/// A datagram's fate in a few words.
pub fn delivered_words(delivered: &Delivered) -> String {
    match delivered {
        Delivered::Reply { took_ms } => format!("a reply after {took_ms} ms"),
        Delivered::Neighbour { .. } | Delivered::Silent => "sent, and no reply".into(),
        Delivered::Failed { errno } => errno.words().into(),
    }
}
