//! What listens in its namespace, on which addresses, and who can reach that.

use netcheck_probe::{Accepts, Answer, Protocol, Question};

use super::{Seen, count, parts};
use crate::case::{Case, Listener, Reach};
use crate::evidence::{Mode, Port};
use crate::report::CheckStatus;

const ASKED: &str = "what listens, and on which addresses";

pub(super) fn look(case: &Case<'_>) -> Seen {
    if case.detail.mode == Mode::Host {
        return Seen::new(
            CheckStatus::Skipped,
            ASKED,
            case.name(),
            "host mode: the host's sockets are everybody's, so its own cannot be told",
        );
    }
    let (services, all) = match (case.services(), case.listeners()) {
        (Ok(services), Ok(all)) => (services, all),
        (Err(why), _) | (_, Err(why)) => return Seen::unknown(ASKED, case.name(), why),
    };
    let details = all
        .iter()
        .map(|listener| detail(case, listener, !services.contains(listener)))
        .collect();
    if services.is_empty() {
        return Seen::new(CheckStatus::Skipped, ASKED, case.name(), "nothing listens")
            .details(details);
    }
    let words: Vec<String> = services
        .iter()
        .map(|listener| line(case, listener))
        .collect();
    Seen::new(CheckStatus::Ok, ASKED, case.name(), parts(&words)).details(details)
}

/// `127.0.0.1:3306/tcp (mysqld): only from inside`.
fn line(case: &Case<'_>, listener: &Listener) -> String {
    let owner = listener
        .owner
        .as_ref()
        .map(|owner| format!(" ({})", owner.name))
        .unwrap_or_default();
    let mut words = format!("{}{owner}", place(listener));
    if let Some(reach) = reach(listener) {
        words.push_str(": ");
        words.push_str(reach);
    }
    if stuck(case, listener.port).is_some() {
        words.push_str(", takes no connections");
    }
    words
}

fn place(listener: &Listener) -> String {
    format!("{}/{}", listener.local, listener.port.protocol.as_str())
}

fn reach(listener: &Listener) -> Option<&'static str> {
    match listener.reach {
        Reach::Everybody => None,
        Reach::Ipv6Only => Some("IPv6 only"),
        Reach::Loopback => Some("only from inside"),
        Reach::OneAddress(_) => Some("on this address only"),
    }
}

fn detail(case: &Case<'_>, listener: &Listener, client: bool) -> String {
    let mut facts = vec![place(listener)];
    if let Some(owner) = &listener.owner {
        facts.push(format!("process {} ({})", owner.pid, owner.name));
    }
    facts.extend(reach(listener).map(str::to_owned));
    if client {
        facts.push("most likely a client's socket, as its port is an ephemeral one".into());
    }
    if let Some(stuck) = stuck(case, listener.port) {
        facts.push(stuck);
    } else if listener.waiting > 0 && listener.port.protocol == Protocol::Tcp {
        facts.push(format!("{} waiting", count(listener.waiting, "connection")));
    }
    facts.join(", ")
}

/// A connection of ours was not accepted in time. The address that was tried depends on how the
/// listener is bound, so the port alone is looked for.
fn stuck(case: &Case<'_>, port: Port) -> Option<String> {
    if port.protocol != Protocol::Tcp {
        return None;
    }
    case.visit().ok()?.answers.iter().find_map(|answered| {
        match (&answered.question, &answered.answer) {
            (
                Question::Accepts { to, .. },
                Ok(Answer::Accepts(Accepts::Waiting { queued, waited_ms })),
            ) if to.port() == port.number => Some(format!(
                "{} not accepted within {waited_ms} ms",
                count(*queued, "connection")
            )),
            _ => None,
        }
    })
}
