//! What to ask with more rights, once the ordinary look has shown what fails.
//!
//! It must try nothing again that was not tried before, and nothing that worked.

use std::net::SocketAddr;

use netcheck_probe::{Answer, Connected, Delivered, Errno, Protocol, Question};

use super::{DATAGRAM_WAIT_MS, Plan};
use crate::evidence::{Container, ENGINE_HOST, Evidence, Viewpoint};

/// How many tries there are at once, wave by wave: different numbers, so that a counter that rises by
/// just as many each time counts just these.
pub const WAVES: [u32; 2] = [2, 3];

/// The most connections that are tried again: each takes as long as all its waves.
const MOST_TRIALS: usize = 3;

/// When the first try of a wave begins, in milliseconds: whoever watches has to be there.
const BEGIN_MS: u32 = 150;

/// Between two tries, in milliseconds.
const EVERY_MS: u32 = 20;

/// How long packets are watched, in milliseconds: less than a second after the first SYN, which the
/// kernel sends again then (RFC 6298 2.1).
pub const WATCH_MS: u32 = 900;

/// The filters that are read: of the host and of the ends that run.
pub fn filters(evidence: &Evidence) -> Plan {
    let runs = |id: &&String| evidence.container(id).is_some_and(Container::is_running);
    let targets = evidence
        .request
        .targets()
        .filter_map(|t| t.container.as_ref());
    let ends = std::iter::once(&evidence.request.container).chain(targets);
    ends.filter(|id| *id != ENGINE_HOST)
        .filter(runs)
        .map(|id| Viewpoint::of(id))
        .chain([Viewpoint::Host])
        .map(|viewpoint| (viewpoint, vec![Question::Firewall]))
        .collect()
}

/// The connections that failed: who connects, and where to.
pub fn trials(evidence: &Evidence) -> Vec<(Viewpoint, SocketAddr, Protocol)> {
    let from = Viewpoint::of(&evidence.request.container);
    let mut all = Vec::new();
    let Some(visit) = evidence.visit(&from) else {
        return all;
    };
    // Datagrams without an answer are tried again only where somebody asked about them.
    let asked = |to: &SocketAddr| {
        let mut targets = evidence.request.targets();
        targets.any(|t| t.protocol == Protocol::Udp && t.port == to.port())
    };
    for answered in &visit.answers {
        let one = match (&answered.question, &answered.answer) {
            (
                Question::Connect { to, .. },
                Ok(Answer::Connect(Connected::Failed { errno, .. })),
            ) if may_be_filtered(*errno) => (*to, Protocol::Tcp),
            (
                Question::Datagram { to, .. },
                Ok(Answer::Datagram(Delivered::Silent | Delivered::Failed { .. })),
            ) if asked(to) => (*to, Protocol::Udp),
            _ => continue,
        };
        let one = (from.clone(), one.0, one.1);
        if !one.1.ip().is_loopback() && !all.contains(&one) {
            all.push(one);
        }
    }
    all.truncate(MOST_TRIALS);
    all
}

fn may_be_filtered(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::Refused
            | Errno::TimedOut
            | Errno::HostUnreachable
            | Errno::NetworkUnreachable
            | Errno::NotPermitted
    )
}

/// The tries of one wave.
pub fn wave(to: SocketAddr, protocol: Protocol, tries: u32) -> Vec<Question> {
    let ask = |number| Question::Attempt {
        host: to.ip().to_string(),
        port: to.port(),
        protocol,
        after_ms: BEGIN_MS + number * EVERY_MS,
        listen_ms: match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => DATAGRAM_WAIT_MS,
        },
    };
    (0..tries).map(ask).collect()
}
