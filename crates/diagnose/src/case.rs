//! The evidence seen from its subject: the questions that several rules ask of it.
//!
//! It answers in facts (known, not collected, failed) and judges nothing.

mod asked;
mod bridge;
mod deep;
mod health;
mod listener;
mod names;
mod peers;
mod published;
mod rewrite;
mod servers;
mod services;
mod start_order;
mod tries;
mod ways;

use netcheck_probe::Snapshot;

pub use asked::{Asked, Reached, Try, connected_words, delivered_words, is_plain_http};
pub use bridge::Bridged;
pub use deep::{Place, Taken, Traced};
pub use listener::{EMBEDDED_DNS, Listener, Reach};
pub use names::{Referenced, connect_flags, endpoint_names, is_host_name, list, outcome_words};
pub use peers::Expected;
pub(crate) use peers::opened;
pub use published::{LOCAL_BY_DESIGN, Standing};
pub use rewrite::{Meeting, Rewrite, Target, command_holds};
pub use servers::{Heard, Servers};
pub use start_order::Late;
pub use tries::{Tries, Went, counted};
pub use ways::{Lent, Tried, Way, macvlan_parent, net, route_words, way};

use crate::evidence::{
    Container, Detail, Endpoint, EngineKind, Evidence, Fact, Mode, Network, Viewpoint, Visit,
};
use crate::recreate::Recreate;

/// One container's case.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Everything.
    pub evidence: &'a Evidence,
    /// The container asked about.
    pub subject: &'a Container,
    /// Its details. A case without them is never opened.
    pub detail: &'a Detail,
    /// Who asks for which of the subject's ports, where this is the far end of a pair.
    pub asked: Option<Asked<'a>>,
}

impl<'a> Case<'a> {
    /// Opens the case; none if the subject or its details are not in the evidence.
    pub fn new(evidence: &'a Evidence) -> Option<Self> {
        let subject = evidence.container(&evidence.request.container)?;
        Some(Self {
            evidence,
            subject,
            detail: subject.detail()?,
            asked: None,
        })
    }

    /// The subject's name.
    pub fn name(&self) -> &'a str {
        &self.subject.name
    }

    /// Seconds between an event and the collection.
    pub fn age(&self, at: i64) -> i64 {
        self.evidence.collected_at.saturating_sub(at).max(0)
    }

    /// What was seen from inside the subject, with the reason if nothing was.
    pub fn visit(&self) -> Result<&'a Visit, &'a str> {
        let viewpoint = Viewpoint::of(&self.subject.id);
        self.evidence
            .visit(&viewpoint)
            .ok_or_else(|| self.evidence.why_not_visited(&viewpoint))
    }

    /// The subject's namespace, or in words why it is not known.
    pub fn snapshot(&self) -> Result<&'a Snapshot, String> {
        match self.visit()?.snapshot() {
            Fact::Known(snapshot) => Ok(snapshot),
            other => Err(other.why_unknown().unwrap_or_default().to_owned()),
        }
    }

    /// What was seen from the engine's host.
    pub fn host_visit(&self) -> Result<&'a Visit, &'a str> {
        self.evidence
            .visit(&Viewpoint::Host)
            .ok_or_else(|| self.evidence.why_not_visited(&Viewpoint::Host))
    }

    /// What was seen from a peer on this network: another container, or a helper of ours.
    /// With a name for it.
    pub fn peer_visit(&self, network_id: &str) -> Result<(&'a Visit, String), &'a str> {
        let helper = Viewpoint::Network(network_id.to_owned());
        if let Some(visit) = self.evidence.visit(&helper) {
            return Ok((visit, "a helper".into()));
        }
        self.evidence
            .visits
            .iter()
            .find_map(|visit| match &visit.from {
                Viewpoint::Container(id) if *id != self.subject.id => {
                    let peer = self.evidence.container(id)?;
                    peer.endpoint(network_id)?;
                    Some((visit, peer.name.clone()))
                }
                _ => None,
            })
            .ok_or_else(|| self.evidence.why_not_visited(&helper))
    }

    /// The networks the subject is on, with its endpoints; those that still exist.
    pub fn networks(&self) -> Vec<(&'a Network, &'a Endpoint)> {
        self.subject
            .endpoints
            .iter()
            .filter_map(|endpoint| Some((self.evidence.network(&endpoint.network_id)?, endpoint)))
            .collect()
    }

    /// The subject has a namespace of its own that is joined to networks (or should be).
    pub fn uses_networks(&self) -> bool {
        self.detail.mode == Mode::Networks
    }

    /// False where that is not known.
    pub(crate) fn is_podman(&self) -> bool {
        let engine = self.evidence.engine.known();
        engine.is_some_and(|engine| engine.kind == EngineKind::Podman)
    }

    /// Fixes for the subject that change its creation.
    pub fn recreate(&self) -> Recreate {
        Recreate::of(self.subject, self.detail, &self.evidence.containers)
    }

    /// The same for another container, if its details are known.
    pub fn recreate_other(&self, container: &'a Container) -> Option<Recreate> {
        Some(Recreate::of(
            container,
            container.detail()?,
            &self.evidence.containers,
        ))
    }

    /// Ports the subject promises to serve: exposed or published; and the one it is asked for.
    pub fn promised_ports(&self) -> Vec<crate::evidence::Port> {
        let mut ports: Vec<_> = self
            .detail
            .exposed
            .iter()
            .copied()
            .chain(self.detail.wanted.iter().map(|binding| binding.container))
            .chain(
                self.subject
                    .published
                    .iter()
                    .map(|binding| binding.container),
            )
            .chain(self.asked.map(|asked| asked.port))
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}
