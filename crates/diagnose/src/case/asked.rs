//! The far end of a pair: who asks for which of its ports, and what came of that.
//!
//! It reads what was seen and judges nothing.

use std::net::SocketAddr;

use netcheck_probe::{Connected, Delivered, Protocol, Then};

use super::Case;
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

impl Asked<'_> {
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
