//! Published ports: how far a connection from the engine's host got, and what is only exposed.

use std::net::SocketAddr;

use netcheck_probe::{Connected, Delivered, Protocol, Then};

use super::{Seen, comma, parts};
use crate::case::{Case, Listener};
use crate::evidence::{Binding, Fact, Here, Mode, Port};
use crate::plan;
use crate::recreate::publish_word;
use crate::report::CheckStatus;
use crate::report::Finding;
use crate::rule::Rule;

const ASKED: &str = "do its published ports lead to it";
const FROM: &str = "the engine's host";

pub(super) fn look(case: &Case<'_>, found: &[(&'static Rule, Finding)]) -> Seen {
    let published = &case.subject.published;
    if published.is_empty() {
        return nothing(case);
    }
    // The engine lists `0.0.0.0:8080` and `[::]:8080` apart; what fared alike is one thing to read.
    let mut groups: Vec<(Port, String, Vec<String>)> = Vec::new();
    let mut worst = CheckStatus::Ok;
    for binding in published {
        let (mut words, mut reached) = fate(case, binding);
        if let Some(here) = &case.evidence.here
            && let Some((from_here, arrives)) = from_here(here, binding)
            // What does not work on the host itself is not worth a second story.
            && reached == CheckStatus::Ok
        {
            words.push_str(&from_here);
            reached = arrives;
        }
        worst = match (worst, reached) {
            (CheckStatus::Problem, _) | (_, CheckStatus::Problem) => CheckStatus::Problem,
            (CheckStatus::Ok, other) => other,
            (worst, _) => worst,
        };
        let host = host_side(binding);
        match groups
            .iter_mut()
            .find(|(port, fate, _)| *port == binding.container && *fate == words)
        {
            Some((_, _, hosts)) => hosts.push(host),
            None => groups.push((binding.container, words, vec![host])),
        }
    }
    let lines: Vec<String> = groups
        .into_iter()
        .map(|(port, words, hosts)| format!("{} -> {port}: {words}", comma(hosts)))
        .collect();
    // That it is not reached is a fact; that it is a problem is for the rules to say.
    let status = match worst {
        CheckStatus::Problem if found.is_empty() => CheckStatus::Undecided,
        other => other,
    };
    let mut details = lines.clone();
    details.extend(from_outside(case));
    Seen::new(status, ASKED, FROM, parts(&lines)).details(details)
}

fn nothing(case: &Case<'_>) -> Seen {
    let skipped = |saw: String| Seen::new(CheckStatus::Skipped, ASKED, FROM, saw);
    let detail = case.detail;
    let wanted = comma(detail.wanted.iter().map(publish_word));
    match &detail.mode {
        Mode::Host => skipped(if wanted.is_empty() {
            "host mode: it listens on the host itself".into()
        } else {
            format!("host mode: it listens on the host itself, and -p {wanted} is ignored")
        }),
        Mode::None if !wanted.is_empty() => skipped(format!("none mode: -p {wanted} is ignored")),
        Mode::Container(_) => {
            skipped("container mode: ports are published by the container it shares with".into())
        }
        _ if !wanted.is_empty() => Seen::new(
            CheckStatus::Undecided,
            ASKED,
            FROM,
            format!("asked for and not in force: {wanted}"),
        ),
        _ => match &detail.exposed[..] {
            [] => skipped("nothing published".into()),
            [one] => skipped(format!(
                "{one} is exposed, not published: reachable on its networks, not from the host"
            )),
            many => skipped(format!(
                "{} are exposed, not published: reachable on its networks, not from the host",
                comma(many)
            )),
        },
    }
}

/// `0.0.0.0:8080`.
fn host_side(binding: &Binding) -> String {
    match (binding.host_address, binding.host_port) {
        (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
        (None, Some(port)) => port.to_string(),
        (Some(address), None) => address.to_string(),
        (None, None) => "no port".into(),
    }
}

/// How far a connection got, in words, and whether that is all the way (ok), not (problem), or not known.
fn fate(case: &Case<'_>, binding: &Binding) -> (String, CheckStatus) {
    let (Some(address), Some(port)) = (binding.host_address, binding.host_port) else {
        return ("not in force".into(), CheckStatus::Problem);
    };
    let (mut words, reached) = tried(
        case,
        SocketAddr::new(plan::nearest(address), port),
        binding.container,
    );
    if address.is_loopback() {
        words.push_str(", only on the engine's host");
    }
    (words, reached)
}

/// The same from the machine where the user sits, as the end of the sentence; none where that machine was
/// not asked for this port.
fn from_here(here: &Here, binding: &Binding) -> Option<(String, CheckStatus)> {
    let ok = |words: &str| Some((words.to_owned(), CheckStatus::Ok));
    let engine = match &here.engine {
        Fact::Known(engine) => *engine,
        Fact::NotCollected => return None,
        // Where the engine is reached is a name for ssh alone, it may have no address that is known here.
        Fact::Failed(why) => {
            return Some((
                format!("; from this machine not tried: {why}"),
                CheckStatus::Ok,
            ));
        }
    };
    if binding.container.protocol == Protocol::Udp {
        return None;
    }
    let Some(to) = plan::place_from_here(binding, engine) else {
        return match binding.host_address {
            Some(address) if address.is_loopback() => ok(" (not from this machine)"),
            _ => None,
        };
    };
    match here.connect(to)? {
        Connected::Open {
            then: Then::Silent | Then::Spoke(_),
            ..
        } => ok(", from this machine too"),
        Connected::Open { .. } => Some((
            format!("; from this machine {to} closes at once: something else answers there"),
            CheckStatus::Undecided,
        )),
        Connected::Failed { errno, .. } => Some((
            format!(
                "; from this machine {to}: {}: something between this machine and the engine's host (a \
                 firewall, a security group, a VPN) does not let it through",
                errno.words()
            ),
            CheckStatus::Undecided,
        )),
    }
}

/// Who waits for it inside.
enum Inside {
    Somebody,
    OnLoopback,
    Nobody,
    Unknown,
}

fn inside(case: &Case<'_>, port: Port) -> Inside {
    let Ok(listeners) = case.listeners() else {
        return Inside::Unknown;
    };
    let mut there = listeners.iter().filter(|one| one.port == port).peekable();
    if there.peek().is_none() {
        Inside::Nobody
    } else if there.any(Listener::is_reachable) {
        Inside::Somebody
    } else {
        Inside::OnLoopback
    }
}

fn tried(case: &Case<'_>, to: SocketAddr, port: Port) -> (String, CheckStatus) {
    let visit = match case.host_visit() {
        Ok(visit) => visit,
        Err(why) => return (format!("not tried: {why}"), CheckStatus::Undecided),
    };
    let inside = inside(case, port);
    match port.protocol {
        Protocol::Tcp => opened(&visit.connect(to), &inside),
        Protocol::Udp => delivered(&visit.datagram(to), &inside),
    }
}

/// docker-proxy completes the handshake before it dials the container: an open connection proves
/// nothing without a listener inside.
fn opened(connect: &Fact<&Connected>, inside: &Inside) -> (String, CheckStatus) {
    let connected = match connect {
        Fact::Known(connected) => *connected,
        Fact::NotCollected => return ("not tried".into(), CheckStatus::Undecided),
        Fact::Failed(why) => return (format!("not tried: {why}"), CheckStatus::Undecided),
    };
    let then = match connected {
        Connected::Failed { errno, .. } => return (errno.words().into(), CheckStatus::Problem),
        Connected::Open { then, .. } => then,
    };
    let stays = matches!(then, Then::Silent | Then::Spoke(_));
    match (stays, inside) {
        (true, Inside::Somebody) => ("reached".into(), CheckStatus::Ok),
        (true, Inside::Unknown) => (
            "accepted on the host; who listens inside is not known".into(),
            CheckStatus::Undecided,
        ),
        (true, Inside::Nobody) => (
            "accepted on the host, nobody listens inside".into(),
            CheckStatus::Problem,
        ),
        (true, Inside::OnLoopback) => (
            "accepted on the host, inside it listens on loopback only".into(),
            CheckStatus::Problem,
        ),
        (false, Inside::Nobody) => (
            "accepted by docker-proxy, then closed: nobody inside".into(),
            CheckStatus::Problem,
        ),
        (false, Inside::OnLoopback) => (
            "accepted by docker-proxy, then closed: inside it listens on loopback only".into(),
            CheckStatus::Problem,
        ),
        (false, Inside::Somebody | Inside::Unknown) => {
            ("accepted, then closed at once".into(), CheckStatus::Problem)
        }
    }
}

/// UDP has no handshake: silence is what both a delivered and a lost datagram look like.
fn delivered(datagram: &Fact<&Delivered>, inside: &Inside) -> (String, CheckStatus) {
    let delivered = match datagram {
        Fact::Known(delivered) => *delivered,
        Fact::NotCollected => return ("not tried".into(), CheckStatus::Undecided),
        Fact::Failed(why) => return (format!("not tried: {why}"), CheckStatus::Undecided),
    };
    match (delivered, inside) {
        (Delivered::Reply { .. }, _) => ("reached, it replied".into(), CheckStatus::Ok),
        (Delivered::Failed { errno }, _) => (errno.words().into(), CheckStatus::Problem),
        (_, Inside::Somebody) => ("delivered as far as can be seen".into(), CheckStatus::Ok),
        (_, Inside::OnLoopback) => (
            "inside it listens on loopback only".into(),
            CheckStatus::Problem,
        ),
        (_, Inside::Nobody) => ("nobody listens inside".into(), CheckStatus::Problem),
        (_, Inside::Unknown) => (
            "no reply, which says little of UDP; who listens inside is not known".into(),
            CheckStatus::Undecided,
        ),
    }
}

/// By the address that other machines use; it does not pass docker-proxy.
fn from_outside(case: &Case<'_>) -> Vec<String> {
    let Ok(visit) = case.host_visit() else {
        return Vec::new();
    };
    let snapshot = visit.snapshot();
    let Some(address) = snapshot
        .known()
        .and_then(|snapshot| plan::lan_address(snapshot))
    else {
        return Vec::new();
    };
    let mut lines: Vec<String> = case
        .subject
        .published
        .iter()
        .filter(|binding| {
            binding
                .host_address
                .is_some_and(|host| host.is_unspecified() && host.is_ipv4() == address.is_ipv4())
        })
        .filter_map(|binding| {
            let to = SocketAddr::new(address, binding.host_port?);
            let was_tried = match binding.container.protocol {
                Protocol::Tcp => visit.connect(to) != Fact::NotCollected,
                Protocol::Udp => visit.datagram(to) != Fact::NotCollected,
            };
            was_tried.then(|| {
                let (words, _) = tried(case, to, binding.container);
                format!(
                    "by the host's own address, {to} -> {}: {words}",
                    binding.container
                )
            })
        })
        .collect();
    lines.dedup();
    lines
}
