//! Made-up tries of `app` at `db:80`, one after another.

use std::net::SocketAddr;

use netcheck_probe::{
    Attempt, Came, Connected, DnsOutcome, DnsQuery, Errno, Protocol, RecordType, Resolved, Then,
    Tried,
};

use super::{container, id_of, ip, world};
use crate::evidence::{Evidence, Fact, Repetition};
use crate::request::Target;

/// How one try goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goes(Option<Result<(u32, bool), Errno>>);

/// Connected within a millisecond.
pub(crate) const OK: Goes = Goes(Some(Ok((300, false))));
/// Connected after the SYN was sent again.
pub(crate) const LATE: Goes = Goes(Some(Ok((1_016_000, false))));
/// Connected, and closed at once.
pub(crate) const CLOSED: Goes = Goes(Some(Ok((300, true))));
/// Refused.
pub(crate) const REFUSED: Goes = Goes(Some(Err(Errno::Refused)));
/// No answer to any SYN.
pub(crate) const UNANSWERED: Goes = Goes(Some(Err(Errno::TimedOut)));
/// The name server does not answer.
pub(crate) const NO_NAME: Goes = Goes(None);

/// All at the one address of `db`.
pub(crate) fn tried(all: &[Goes]) -> Evidence {
    let at: Vec<(&str, Goes)> = all.iter().map(|goes| ("172.18.0.3", *goes)).collect();
    tried_at(&at)
}

/// Each at the address that the name came to.
pub(crate) fn tried_at(all: &[(&str, Goes)]) -> Evidence {
    let mut evidence = world(container("app")).and(container("db").on("my_network", "172.18.0.3"));
    evidence.request.target = Some(Target {
        container: Some(id_of("db")),
        ..Target::new("db", 80, Protocol::Tcp)
    });
    evidence.repetitions.push(Repetition {
        host: "db".into(),
        port: 80,
        protocol: Protocol::Tcp,
        wanted: u32::try_from(all.len()).unwrap(),
        attempts: all.iter().map(|(at, goes)| attempt(at, *goes)).collect(),
        ended_early: None,
        overflows: Fact::Known(0),
    });
    evidence
}

fn attempt(at: &str, Goes(goes): Goes) -> Attempt {
    let Some(goes) = goes else {
        return Attempt {
            resolved: Resolved::Not(Some(DnsQuery {
                name: "db".into(),
                record: RecordType::A,
                server: "127.0.0.11:53".parse().unwrap(),
                outcome: DnsOutcome::TimedOut,
                took_ms: 2000,
            })),
            lookup_us: 2_000_000,
            tried: None,
        };
    };
    let (took_us, came) = match goes {
        Ok((took_us, closed)) => (
            took_us,
            Connected::Open {
                from: (ip("172.18.0.9"), 40000).into(),
                took_ms: took_us / 1000,
                then: if closed { Then::Closed } else { Then::Silent },
            },
        ),
        Err(errno) => (100, Connected::Failed { errno, took_ms: 0 }),
    };
    Attempt {
        resolved: Resolved::Addresses(vec![ip(at)]),
        lookup_us: 200,
        tried: Some(Tried {
            to: SocketAddr::new(ip(at), 80),
            took_us,
            came: Came::Tcp(came),
        }),
    }
}
