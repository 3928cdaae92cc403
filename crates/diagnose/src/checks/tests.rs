//! Small worlds for the tests of the lines, and ways to look at them.

mod one_line;
mod whole;

use std::net::SocketAddr;

use netcheck_probe::{
    Accepts, Answer, Connected, Delivered, DnsOutcome, DnsQuery, Errno, HostsEntry, Lookup,
    Process, Protocol, Question, RecordType, Snapshot, Source, Then,
};

use super::*;
use crate::evidence::{Health, Mode, Status};
use crate::report::{Severity, Subject};
use crate::request::Outbound;
use crate::rules::testing::{
    NOW, binding, container, id_of, ip, network, snapshot, socket, tcp, udp, world,
};

/// The lines without details, as a table.
fn show(evidence: &Evidence) -> String {
    show_with(evidence, &[], &[])
}

fn show_with(
    evidence: &Evidence,
    found: &[(&'static Rule, Finding)],
    undecided: &[(&'static Rule, String)],
) -> String {
    let case = Case::new(evidence).unwrap();
    lines(&case, found, undecided)
        .iter()
        .map(|line| {
            format!(
                "{} {:?} [{}] {}\n",
                line.check.label(),
                line.status,
                line.from,
                line.saw
            )
        })
        .collect()
}

/// One line with its details.
fn one(evidence: &Evidence, check: Check) -> String {
    let case = Case::new(evidence).unwrap();
    let line = lines(&case, &[], &[])
        .into_iter()
        .find(|line| line.check == check)
        .unwrap();
    let mut text = format!("{:?} [{}] {}\n", line.status, line.from, line.saw);
    for detail in line.details {
        text.push_str("  ");
        text.push_str(&detail);
        text.push('\n');
    }
    text
}

fn lookup(name: &str, addresses: &[&str]) -> (Question, Answer) {
    let addresses: Vec<_> = addresses.iter().map(|a| ip(a)).collect();
    let outcome = if addresses.is_empty() {
        DnsOutcome::NxDomain
    } else {
        DnsOutcome::Addresses(addresses.clone())
    };
    (
        Question::Lookup { name: name.into() },
        Answer::Lookup(Lookup {
            source: if addresses.is_empty() {
                Source::Nobody
            } else {
                Source::Dns
            },
            addresses,
            queries: vec![DnsQuery {
                name: name.into(),
                record: RecordType::A,
                server: "127.0.0.11:53".parse().unwrap(),
                outcome,
                took_ms: 1,
            }],
            took_ms: 1,
        }),
    )
}

fn query(server: &str, outcome: DnsOutcome) -> (Question, Answer) {
    let server = SocketAddr::new(ip(server), 53);
    (
        Question::Query {
            name: crate::plan::UPSTREAM_TEST.into(),
            record: RecordType::A,
            server,
        },
        Answer::Query(DnsQuery {
            name: crate::plan::UPSTREAM_TEST.into(),
            record: RecordType::A,
            server,
            outcome,
            took_ms: 3,
        }),
    )
}

fn connect(to: &str, then: Result<Then, Errno>) -> (Question, Answer) {
    let answer = match then {
        Ok(then) => Connected::Open {
            from: "127.0.0.1:40000".parse().unwrap(),
            took_ms: 1,
            then,
        },
        Err(errno) => Connected::Failed { errno, took_ms: 2 },
    };
    (
        Question::Connect {
            to: to.parse().unwrap(),
            listen_ms: 30,
        },
        Answer::Connect(answer),
    )
}

fn datagram(to: &str, delivered: Delivered) -> (Question, Answer) {
    (
        Question::Datagram {
            to: to.parse().unwrap(),
            wait_ms: 200,
        },
        Answer::Datagram(delivered),
    )
}

fn ping(to: &str, delivered: Delivered) -> (Question, Answer) {
    (
        Question::Ping {
            to: ip(to),
            wait_ms: 1000,
        },
        Answer::Ping(delivered),
    )
}

fn peer(name: &str) -> Viewpoint {
    Viewpoint::Container(id_of(name))
}

impl Evidence {
    fn has(self, (question, answer): (Question, Answer)) -> Self {
        self.answered(question, answer)
    }

    fn has_from(self, from: Viewpoint, (question, answer): (Question, Answer)) -> Self {
        self.answered_from(from, question, answer)
    }
}
