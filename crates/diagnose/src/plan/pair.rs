//! What to ask about a pair, round by round: whatever the answers so far make a question and was
//! not asked yet.
//!
//! It must end: each round asks only what is new, and what follows from an answer is bounded.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Protocol, Question};

use super::{
    ACCEPT_PATIENCE_MS, DATAGRAM_WAIT_MS, DIRECT_LISTEN_MS, MOST, PROXY_LISTEN_MS, Plan,
    asks_the_internet, belongs_outside, candidate_connects, is_answered_locally, unique,
};
use crate::case::{Case, Reach};
use crate::evidence::{Evidence, Viewpoint};
use crate::pair::Focus;
use crate::request::{Talk, Target};

/// The most addresses of a name that are connected to: a program tries them in order, too.
const MOST_ADDRESSES: usize = 8;

/// How long is waited for the first words of a server that speaks first, or for the answer to a TLS
/// hello. Servers on the same machine need a few milliseconds.
pub(crate) const GREETING_MS: u32 = 500;

/// What is still to ask about all pairs of a run, each question once; empty when nothing is left.
pub fn pairs(evidence: &Evidence) -> Plan {
    let mut plan = Plan::new();
    let mut focus = Focus::new(evidence);
    for target in evidence.request.targets() {
        for (viewpoint, questions) in still(focus.on(target), target) {
            let all = plan.entry(viewpoint).or_default();
            all.extend(questions);
            unique(all);
        }
    }
    plan
}

/// The same for the first target alone, or the only one.
pub fn pair(evidence: &Evidence) -> Plan {
    match &evidence.request.target {
        Some(target) => still(Focus::new(evidence).on(target), target),
        None => Plan::new(),
    }
}

/// What is still to ask about what a focus shows.
fn still(focused: &Evidence, target: &Target) -> Plan {
    let mut plan = Plan::new();
    let Some(case) = Case::new(focused) else {
        return plan;
    };
    plan.insert(Viewpoint::Host, vec![Question::Snapshot]);
    if case.subject.is_running() {
        let questions = from_subject(&case, target);
        plan.insert(Viewpoint::of(&case.subject.id), questions);
    }
    if let Some(far) = Case::target(focused)
        && far.subject.is_running()
    {
        let questions = plan
            .entry(Viewpoint::Container(far.subject.id.clone()))
            .or_default();
        questions.push(Question::Snapshot);
        questions.extend(accepts(&far, target));
    }
    for (viewpoint, questions) in &mut plan {
        let asked = focused.visit(viewpoint).map(|visit| &visit.answers);
        questions.retain(|question| {
            !asked
                .into_iter()
                .flatten()
                .any(|answered| answered.question == *question)
        });
        unique(questions);
    }
    plan.retain(|viewpoint, questions| {
        !questions.is_empty() && !focused.missed.iter().any(|(missed, _)| missed == viewpoint)
    });
    plan
}

fn from_subject(case: &Case<'_>, target: &Target) -> Vec<Question> {
    let mut questions = vec![Question::Snapshot];
    let literal = target.host.parse::<IpAddr>().ok();
    let lookup = || Question::Lookup {
        name: target.host.clone(),
    };
    if literal.is_none() && is_answered_locally(case, &target.host) {
        questions.push(lookup());
    }
    let Ok(snapshot) = case.snapshot() else {
        return questions;
    };
    if literal.is_none() {
        let in_hosts = snapshot.hosts.iter().flatten().any(|line| {
            let bare = target.host.trim_end_matches('.');
            line.names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(bare))
        });
        // To name a place outside is to allow its lookup, as with `--outbound`; a container's name
        // is nothing that servers on the internet need to hear of.
        if !in_hosts
            && (asks_the_internet(case) == Some(false)
                || belongs_outside(case, &target.host)
                || case.evidence.request.outbound.is_some())
        {
            questions.push(lookup());
        }
    }
    let mut addresses = match literal {
        Some(address) => vec![super::nearest(address)],
        None => case.resolution(&target.host).unwrap_or_default(),
    };
    // By its own addresses too: that tells a wrong name from a dead way.
    if let Some(far) = Case::target(case.evidence) {
        let shared = case.shared_networks(far.subject);
        let own = shared
            .iter()
            .filter_map(|network| far.subject.endpoint(&network.id));
        addresses.extend(own.flat_map(|endpoint| endpoint.addresses.iter().copied()));
    }
    let mut seen = Vec::new();
    for address in addresses {
        if !target.has_port() || seen.contains(&address) || seen.len() == MOST_ADDRESSES {
            continue;
        }
        seen.push(address);
        let to = SocketAddr::new(address, target.port);
        let direct = case.owner_of(address).is_some();
        if target.talk == Some(Talk::Tls) && target.protocol == Protocol::Tcp {
            questions.push(Question::Hello {
                to,
                wait_ms: GREETING_MS,
            });
        }
        questions.push(match target.protocol {
            Protocol::Tcp => Question::Connect {
                to,
                listen_ms: if target.expects_greeting() {
                    GREETING_MS
                } else if direct {
                    DIRECT_LISTEN_MS
                } else {
                    PROXY_LISTEN_MS
                },
            },
            Protocol::Udp => Question::Datagram {
                to,
                wait_ms: DATAGRAM_WAIT_MS,
            },
        });
    }
    questions.extend(candidate_connects(case));
    questions
}

/// Whether the listeners of the asked port take connections.
fn accepts(far: &Case<'_>, target: &Target) -> Vec<Question> {
    let own_address = far
        .subject
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.addresses)
        .find(|address| address.is_ipv4());
    far.listeners()
        .unwrap_or_default()
        .iter()
        .filter(|listener| target.protocol == Protocol::Tcp && listener.port == target.port())
        .take(MOST)
        .map(|listener| {
            let address = match (listener.reach, own_address) {
                (Reach::Everybody, Some(own)) => *own,
                _ => super::nearest(listener.local.ip()),
            };
            Question::Accepts {
                to: SocketAddr::new(address, target.port),
                patience_ms: ACCEPT_PATIENCE_MS,
            }
        })
        .collect()
}
