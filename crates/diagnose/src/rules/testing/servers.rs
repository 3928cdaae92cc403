//! What name servers were heard to answer.

use std::net::SocketAddr;

use netcheck_probe::{
    Answer, DnsOutcome, DnsQuery, Lookup, Question, RecordType, ResolvConf, Source,
};

use super::{container, ip, on_podman, snapshot, world};
use crate::evidence::{Container, Evidence, Viewpoint};
use crate::plan::UPSTREAM_TEST;

fn test(server: &str, outcome: DnsOutcome) -> (Question, Answer) {
    let server = SocketAddr::new(ip(server), 53);
    let question = Question::Query {
        name: UPSTREAM_TEST.into(),
        record: RecordType::A,
        server,
    };
    let answer = Answer::Query(DnsQuery {
        name: UPSTREAM_TEST.into(),
        record: RecordType::A,
        server,
        outcome,
        took_ms: 5000,
    });
    (question, answer)
}

/// The subject asked this server for the test name.
pub(crate) fn asked(evidence: Evidence, server: &str, outcome: DnsOutcome) -> Evidence {
    let (question, answer) = test(server, outcome);
    evidence.answered(question, answer)
}

/// The subject looked this name up there.
pub(crate) fn looked_up(
    evidence: Evidence,
    name: &str,
    server: &str,
    outcome: DnsOutcome,
) -> Evidence {
    let query = DnsQuery {
        name: name.into(),
        record: RecordType::A,
        server: SocketAddr::new(ip(server), 53),
        outcome,
        took_ms: 1,
    };
    let lookup = Lookup {
        source: Source::Dns,
        addresses: Vec::new(),
        queries: vec![query],
        took_ms: 1,
    };
    let name = format!("{name}.");
    evidence.answered(Question::Lookup { name }, Answer::Lookup(lookup))
}

/// The engine's host, which has this server and no other, asked it.
pub(crate) fn by_host(evidence: Evidence, server: &str, outcome: DnsOutcome) -> Evidence {
    let (question, answer) = test(server, outcome);
    host_has(evidence, &[server]).answered_from(Viewpoint::Host, question, answer)
}

/// The engine's host has these servers.
pub(crate) fn host_has(evidence: Evidence, servers: &[&str]) -> Evidence {
    let mut host = snapshot();
    host.resolv_conf = Ok(ResolvConf {
        nameservers: servers.iter().map(|server| ip(server)).collect(),
        ..ResolvConf::default()
    });
    evidence.answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host))
}

/// `app`, made with `--dns`.
pub(crate) fn with_dns(server: &str) -> Container {
    let mut app = container("app");
    app.detail_mut().dns.push(server.into());
    app
}

/// The same, on podman: it asks podman's DNS at the gateway.
pub(crate) fn through_podman(app: Container) -> Evidence {
    let mut seen = snapshot();
    seen.resolv_conf = Ok(ResolvConf {
        nameservers: vec![ip("172.18.0.1")],
        search: vec!["dns.podman".into()],
        ..ResolvConf::default()
    });
    on_podman(world(app).sees(seen))
}
