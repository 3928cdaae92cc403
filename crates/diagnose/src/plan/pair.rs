//! What to ask about a pair, round by round: whatever the answers so far make a question and was
//! not asked yet.
//!
//! It must end: each round asks only what is new, and what follows from an answer is bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netcheck_probe::{DnsOutcome, Protocol, Question};

use super::{
    ACCEPT_PATIENCE_MS, DATAGRAM_WAIT_MS, DIRECT_LISTEN_MS, MOST, PROXY_LISTEN_MS, Plan,
    asks_the_internet, belongs_outside, candidate_connects, fits, held, hosts_servers,
    is_answered_locally, lookup_here, owners, searched_first, unique, upstream_questions, ways,
};
use crate::case::{Case, Reach};
use crate::evidence::{Evidence, Fact, Viewpoint};
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
    let mut of_the_host = vec![Question::Snapshot];
    // What the host publishes, and does not give to the one that asks: does the host get it?
    of_the_host.extend(
        case.refused_published()
            .into_iter()
            .map(|(to, _)| Question::Connect {
                to,
                listen_ms: PROXY_LISTEN_MS,
            }),
    );
    of_the_host.extend(names_by_host(&case, target));
    let far = Case::target(focused);
    of_the_host.extend(owners(&case));
    of_the_host.extend(ways(&case));
    of_the_host.extend(far.iter().flat_map(owners));
    plan.insert(Viewpoint::Host, of_the_host);
    if case.subject.is_running() {
        let questions = from_subject(&case, target);
        plan.entry(Viewpoint::of(&case.subject.id))
            .or_default()
            .extend(questions);
    }
    if let Some(far) = far
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
    // The embedded DNS knows the services of the networks that it serves, too.
    let served = || case.asked_service()?.running().next();
    let known_here =
        literal.is_none() && (is_answered_locally(case, &target.host) || served().is_some());
    if known_here {
        questions.push(lookup_here(&target.host));
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
            && !known_here
            && (asks_the_internet(case) == Some(false)
                || belongs_outside(case, &target.host)
                || case.evidence.request.outbound.is_some())
        {
            questions.push(Question::Lookup {
                name: target.host.clone(),
            });
        }
    }
    if known_here {
        questions.extend(searched_first(case));
    }
    if fails_outside(case, target) {
        questions.extend(upstream_questions(case));
    }
    let mut addresses = case.addresses_of(&target.host);
    // Both families of the host's loopback: one may be published alone.
    if case.subject.is_engine_host() && addresses == [IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
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
        if target.protocol == Protocol::Tcp {
            questions.extend(fits(case, to));
            questions.extend(held(case, to));
        }
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
    questions.extend(task_connects(case, target));
    questions
}

/// The lookup of a name of outside came to nothing, and not because it does not exist: is it this name, or
/// every name?
fn fails_outside(case: &Case<'_>, target: &Target) -> bool {
    let looked_up = case.visit().map(|visit| visit.lookup(&target.host));
    let Ok(Fact::Known(lookup)) = looked_up else {
        return false;
    };
    belongs_outside(case, &target.host)
        && lookup.addresses.is_empty()
        && lookup
            .queries
            .iter()
            .any(|query| !matches!(query.outcome, DnsOutcome::NxDomain | DnsOutcome::NoData))
}

/// What the engine's host makes of a name that the other end does not find.
fn names_by_host(case: &Case<'_>, target: &Target) -> Vec<Question> {
    if fails_outside(case, target) {
        return hosts_servers(case);
    }
    let conf = case
        .snapshot()
        .ok()
        .and_then(|seen| seen.resolv_conf.as_ref().ok());
    let asks_others = conf.is_some_and(|conf| conf.engine_defaults);
    let not_found = case
        .resolution(&target.host)
        .is_ok_and(|found| found.is_empty());
    if asks_others && not_found && belongs_outside(case, &target.host) {
        return vec![Question::Lookup {
            name: target.host.clone(),
        }];
    }
    Vec::new()
}

/// Whether the tasks of a service answer, beside the address that stands for all of them.
fn task_connects(case: &Case<'_>, target: &Target) -> Vec<Question> {
    let service = case
        .asked_service()
        .filter(|_| target.has_port() && target.protocol == Protocol::Tcp);
    let sockets = service.map(|service| case.task_sockets(service, target.port));
    sockets
        .into_iter()
        .flatten()
        .take(MOST_ADDRESSES)
        .map(|(_, to)| Question::Connect {
            to,
            listen_ms: DIRECT_LISTEN_MS,
        })
        .collect()
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
