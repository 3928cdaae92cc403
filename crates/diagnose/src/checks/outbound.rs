//! The way out: name servers, route, the host's forwarding, and what `--outbound` asked for.
//! It says plainly what was not asked, because it would have sent a packet to the internet.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Connected, DnsOutcome, RecordType, RouteKind, Snapshot};

use super::{Seen, comma, gateway::internal_networks, parts};
use crate::case::{Case, outcome_words};
use crate::evidence::{Fact, Mode, Visit};
use crate::plan::{self, UPSTREAM_TEST};
use crate::report::CheckStatus;
use crate::request::Outbound;

const ASKED: &str = "is there a way out: name servers, route, the host's forwarding";

/// The line while it grows: an open question outweighs everything, an answer outweighs none.
struct Line {
    saw: Vec<String>,
    details: Vec<String>,
    status: CheckStatus,
}

impl Line {
    fn good(&mut self, words: String) {
        self.saw.push(words);
    }

    fn open(&mut self, words: String) {
        self.saw.push(words);
        self.status = CheckStatus::Undecided;
    }

    /// Left out on purpose: neither good nor bad.
    fn unasked(&mut self, words: String) {
        self.saw.push(words);
        if self.status == CheckStatus::Ok {
            self.status = CheckStatus::Skipped;
        }
    }
}

pub(super) fn look(case: &Case<'_>) -> Seen {
    let skipped = |saw: &str| Seen::new(CheckStatus::Skipped, ASKED, case.name(), saw);
    if case.detail.mode == Mode::None {
        return skipped("none mode: no way out, on purpose");
    }
    let networks = case.networks();
    let internal = internal_networks(case);
    if !networks.is_empty() && internal.len() == networks.len() {
        return skipped("internal on purpose: no way out");
    }
    if case.uses_networks() && case.subject.endpoints.is_empty() {
        return skipped("it is on no network");
    }
    let visit = match case.visit() {
        Ok(visit) => visit,
        Err(why) => return Seen::unknown(ASKED, case.name(), why),
    };
    let snapshot = match case.snapshot() {
        Ok(snapshot) => snapshot,
        Err(why) => return Seen::unknown(ASKED, case.name(), why),
    };
    let mut line = Line {
        saw: Vec::new(),
        details: Vec::new(),
        status: CheckStatus::Ok,
    };
    // What the user asked for comes first: it is why there is a line at all.
    if let Some(outbound) = &case.evidence.request.outbound {
        asked_for(&mut line, visit, outbound);
    }
    resolvers(&mut line, case, visit, snapshot);
    route(&mut line, snapshot);
    if case.detail.mode != Mode::Host {
        forwarding(&mut line, case);
    }
    Seen::new(line.status, ASKED, case.name(), parts(&line.saw)).details(line.details)
}

fn asked_for(line: &mut Line, visit: &Visit, outbound: &Outbound) {
    let Outbound { host, port } = outbound;
    let lookup = visit.lookup(host);
    let addresses: Vec<IpAddr> = match (outbound.address(), &lookup) {
        (Some(address), _) => vec![address],
        (None, Fact::Known(lookup)) => lookup.addresses.clone(),
        (None, other) => {
            let why = other.why_unknown().unwrap_or_default();
            return line.open(format!("{host}: not known: {why}"));
        }
    };
    if addresses.is_empty() {
        return line.open(format!("{host} does not resolve"));
    }
    let mut opened = None;
    let mut fates = Vec::new();
    for address in addresses {
        let to = SocketAddr::new(address, *port);
        match visit.connect(to) {
            Fact::Known(Connected::Open { took_ms, .. }) => {
                opened.get_or_insert((to, *took_ms));
                line.details.push(format!("{to}: opened in {took_ms} ms"));
            }
            Fact::Known(Connected::Failed { errno, took_ms }) => {
                fates.push(format!("{to} {}", errno.words()));
                let words = errno.words();
                line.details
                    .push(format!("{to}: {words} after {took_ms} ms"));
            }
            Fact::Failed(why) => fates.push(format!("{to} not known: {why}")),
            Fact::NotCollected => {}
        }
    }
    match opened {
        Some((to, took_ms)) => line.good(format!("{host} port {port} opens ({to}, {took_ms} ms)")),
        None if fates.is_empty() => line.open(format!("{host} port {port} was not tried")),
        None => line.open(format!("{host} port {port}: {}", comma(fates))),
    }
}

fn resolvers(line: &mut Line, case: &Case<'_>, visit: &Visit, snapshot: &Snapshot) {
    let conf = match &snapshot.resolv_conf {
        Ok(conf) => conf,
        Err(why) => return line.open(format!("name servers not known: {why}")),
    };
    let upstreams = plan::upstreams(case);
    for server in &conf.nameservers {
        let is_engines = case.is_engines_dns(*server);
        if is_engines {
            line.details.push(match &upstreams[..] {
                [] => format!("{server}: the engine's DNS; whom it asks is not known"),
                servers => format!("{server}: the engine's DNS, asks {}", comma(servers)),
            });
        }
        match asked(visit, *server) {
            Some((words, true)) => line.good(format!("DNS {server} {words}")),
            Some((words, false)) => line.open(format!("DNS {server} {words}")),
            // The engine's DNS also answers for its own names, which leave no machine.
            None if is_engines => match case.engines_dns_answers(visit) {
                Some(true) if upstreams.is_empty() => line.unasked(format!(
                    "DNS {server} is up, what is behind it was not asked"
                )),
                Some(true) => line.good(format!("DNS {server} is up")),
                Some(false) => line.open(format!("DNS {server} does not answer")),
                None => line.unasked(format!("DNS {server} was not asked")),
            },
            None => {}
        }
    }
    if conf.nameservers.is_empty() {
        line.open("no name server is set".into());
    }
    // Those behind the engine's DNS were asked from the container too, where that could be.
    for server in &upstreams {
        if let Some((words, _)) = asked(visit, *server)
            && !conf.nameservers.contains(server)
        {
            line.details
                .push(format!("{server}, asked directly, {words}"));
        }
    }
    for (server, outcome) in case.heard_by_host() {
        line.details.push(format!(
            "{server}, asked from the engine's host: {}",
            outcome_words(&outcome)
        ));
    }
    let public: Vec<&IpAddr> = upstreams
        .iter()
        .filter(|server| !plan::is_private(**server))
        .filter(|server| asked(visit, **server).is_none())
        .collect();
    if !public.is_empty() && case.evidence.request.outbound.is_none() {
        let is = if public.len() == 1 { "is" } else { "are" };
        line.unasked(format!(
            "not asked: {} {is} on the internet; --outbound HOST asks",
            comma(public)
        ));
    }
}

/// What one server made of the test name, and whether it answers; none if it was not asked.
fn asked(visit: &Visit, server: IpAddr) -> Option<(String, bool)> {
    let server = SocketAddr::new(server, 53);
    let query = match visit.query(UPSTREAM_TEST, RecordType::A, server) {
        Fact::Known(query) => query,
        Fact::NotCollected => return None,
        Fact::Failed(why) => return Some((format!("could not be asked: {why}"), false)),
    };
    Some(match &query.outcome {
        // The name does not exist, by agreement: saying so is the right answer.
        DnsOutcome::Addresses(_) | DnsOutcome::NoData | DnsOutcome::NxDomain => {
            (format!("answers ({} ms)", query.took_ms), true)
        }
        DnsOutcome::ServFail => ("answers that it failed (SERVFAIL)".into(), false),
        DnsOutcome::Refused => ("refuses to answer".into(), false),
        DnsOutcome::OtherCode(code) => (format!("answers with code {code}"), false),
        DnsOutcome::TimedOut => ("does not answer".into(), false),
        DnsOutcome::Undelivered(errno) => (errno.words().into(), false),
        DnsOutcome::Malformed(why) => (format!("answers what cannot be read: {why}"), false),
    })
}

fn route(line: &mut Line, snapshot: &Snapshot) {
    let routes = match &snapshot.routes {
        Ok(routes) => routes,
        Err(why) => return line.open(format!("routes not known: {why}")),
    };
    let default = routes
        .iter()
        .filter(|route| route.destination.1 == 0 && route.kind == RouteKind::Unicast)
        .min_by_key(|route| (route.destination.0.is_ipv6(), route.metric));
    match default {
        Some(route) => match route.gateway {
            Some(gateway) => line.good(format!("route out by {gateway}")),
            None => line.good("route out without a gateway".into()),
        },
        None => line.open("no route out".into()),
    }
}

/// The sysctl, where it could be read: the engine's own word may lie (28.5 says `true` after forwarding was switched off).
fn forwarding(line: &mut Line, case: &Case<'_>) {
    let sysctl = case
        .host_visit()
        .ok()
        .and_then(|visit| visit.snapshot().known().copied())
        .and_then(|snapshot| snapshot.sysctls.get("net.ipv4.ip_forward"));
    let engine = case
        .evidence
        .engine
        .known()
        .and_then(|engine| engine.ipv4_forwarding);
    match (sysctl.map(String::as_str), engine) {
        (Some("0"), _) => line.open("the host does not forward (net.ipv4.ip_forward = 0)".into()),
        (Some(_), _) => line.good("the host forwards".into()),
        (None, Some(false)) => line.open("the host does not forward, says the engine".into()),
        (None, Some(true)) => line
            .details
            .push("the host forwards, says the engine; the sysctl was not read".into()),
        (None, None) => line
            .details
            .push("whether the host forwards is not known".into()),
    }
}
