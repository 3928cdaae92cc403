//! What to ask of name servers, and which ones those are.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Question, RecordType, ResolvConf};

use super::{MOST, UPSTREAM_TEST, asks_the_internet, is_answered_locally, lookup_here};
use crate::case::Case;

/// What podman's DNS takes containers' names with, and podman writes into /etc/resolv.conf where no other
/// search domain was chosen.
const PODMAN_DOMAIN: &str = "dns.podman";

/// Whether programs in the container ask for this name with a search domain before they ask for the name
/// itself (`ndots` of resolv.conf(5)).
pub(crate) fn asks_search_domains_first(case: &Case<'_>, name: &str) -> bool {
    let conf = case
        .snapshot()
        .ok()
        .and_then(|snapshot| snapshot.resolv_conf.as_ref().ok());
    conf.is_some_and(|conf| {
        let first = first_search_domain(conf);
        // podman answers for this one itself.
        let leads_outside =
            first.is_some_and(|domain| !(case.is_podman() && domain == PODMAN_DOMAIN));
        !name.ends_with('.') && leads_outside && name.matches('.').count() < conf.ndots()
    })
}

/// The domain that is tried first, without dots around it.
pub(crate) fn first_search_domain(conf: &ResolvConf) -> Option<&str> {
    let domains = conf.search.iter().map(|domain| domain.trim_matches('.'));
    domains.into_iter().find(|domain| !domain.is_empty())
}

/// Names that are known here and are asked for with search domains first: as a program asks for them, where
/// the servers that get to hear of it are near.
pub(super) fn searched_first(case: &Case<'_>) -> Vec<Question> {
    let may_ask =
        case.evidence.request.outbound.is_some() || asks_the_internet(case) == Some(false);
    let references = case.detail.references.iter().take(MOST);
    references
        .map(|reference| reference.host.as_str())
        .filter(|name| may_ask && name.parse::<IpAddr>().is_err())
        .filter(|name| is_answered_locally(case, name) && asks_search_domains_first(case, name))
        .map(|name| Question::Lookup { name: name.into() })
        .collect()
}

/// One query to each resolver of the container that is not a public one, and through the engine's
/// DNS only if the servers behind it are known not to be public.
pub(super) fn upstream_questions(case: &Case<'_>) -> Vec<Question> {
    let Ok(snapshot) = case.snapshot() else {
        return Vec::new();
    };
    let Ok(resolv_conf) = &snapshot.resolv_conf else {
        return Vec::new();
    };
    let mut questions = Vec::new();
    for server in resolv_conf.nameservers.iter().take(3) {
        if server.is_loopback() || case.is_engines_dns(*server) {
            let upstreams = upstreams(case);
            let all_private = !upstreams.is_empty() && upstreams.iter().all(|up| is_private(*up));
            if all_private || case.evidence.request.outbound.is_some() {
                questions.push(test_query(*server));
                // Silence is the servers' only where it answers for itself.
                if case.is_podman() {
                    questions.push(lookup_here(case.name()));
                }
            }
        } else if is_private(*server) || case.evidence.request.outbound.is_some() {
            questions.push(test_query(*server));
        }
    }
    // The servers behind Docker's DNS, asked from here as it does: that tells a dead server from a
    // dead DNS of the engine. Those that only the host can reach are not asked, and podman's DNS asks
    // all of them from there.
    let asks_from_here = !case.is_podman();
    if asks_from_here && case.networks().iter().any(|(network, _)| network.has_dns()) {
        let chosen = case
            .detail
            .dns
            .iter()
            .filter_map(|server| server.parse().ok());
        questions.extend(
            chosen
                .filter(|server| is_private(*server) || case.evidence.request.outbound.is_some())
                .take(3)
                .map(test_query),
        );
    }
    questions
}

/// Whether a server answers at all.
fn test_query(server: IpAddr) -> Question {
    Question::Query {
        name: UPSTREAM_TEST.into(),
        record: RecordType::A,
        server: SocketAddr::new(server, 53),
    }
}

/// The host's own servers, asked from the host where the container's names go to them: that tells a dead
/// server from a dead way to it.
pub(super) fn hosts_servers(case: &Case<'_>) -> Vec<Question> {
    let own = case
        .host_visit()
        .ok()
        .and_then(|visit| visit.snapshot().known().copied())
        .and_then(|snapshot| snapshot.resolv_conf.as_ref().ok());
    let Some(own) = own.filter(|_| case.is_joined() && case.detail.dns.is_empty()) else {
        return Vec::new();
    };
    own.nameservers
        .iter()
        .filter(|server| is_private(**server))
        .take(3)
        .map(|server| test_query(*server))
        .collect()
}

/// The servers the container's names finally go to: chosen with `--dns`, written by the engine into
/// the comment of resolv.conf, or else those of the host.
pub fn upstreams(case: &Case<'_>) -> Vec<IpAddr> {
    let parse = |list: &[String]| -> Vec<IpAddr> {
        list.iter()
            .filter_map(|server| {
                let bare = server.trim_start_matches("host(").trim_end_matches(')');
                bare.parse().ok()
            })
            .collect()
    };
    let chosen = parse(&case.detail.dns);
    if !chosen.is_empty() {
        return chosen;
    }
    let own = case
        .snapshot()
        .ok()
        .and_then(|snapshot| snapshot.resolv_conf.as_ref().ok());
    if let Some(own) = own {
        let written = parse(&own.upstreams);
        if !written.is_empty() {
            return written;
        }
        let direct: Vec<_> = own
            .nameservers
            .iter()
            .copied()
            .filter(|server| !case.is_engines_dns(*server))
            .collect();
        if !direct.is_empty() {
            return direct;
        }
    }
    case.host_visit()
        .ok()
        .and_then(|visit| visit.snapshot().known().copied())
        .and_then(|snapshot| snapshot.resolv_conf.as_ref().ok())
        .map(|conf| conf.nameservers.clone())
        .unwrap_or_default()
}

/// Not on the internet: loopback, link-local, private (RFC 1918, RFC 4193, RFC 6598) and
/// documentation ranges (RFC 5737, RFC 3849).
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            v6.is_loopback()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80
                || (first == 0x2001 && v6.segments()[1] == 0x0db8)
        }
    }
}
