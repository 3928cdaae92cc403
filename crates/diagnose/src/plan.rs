//! Says what to ask, and where: first from what the Engine API knows, then from the first answers.
//!
//! Pure, like the rules: it opens nothing. It must not ask for a packet to the internet unless the
//! request allows it, and must keep the number of questions bounded however large the engine is.

pub mod deep;
mod here;
mod pair;
mod repeat;
mod servers;
mod ways;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netcheck_probe::{Connected, Protocol, Question, Then};

use crate::case::{Case, Reach};
use crate::evidence::{Container, Evidence, Mode, Viewpoint};
use crate::reference::Reference;

pub use here::here;
pub(crate) use here::place as place_from_here;
pub(crate) use pair::GREETING_MS;
pub use pair::{pair, pairs};
pub use repeat::{EVERY_MS, around, batch};
pub(crate) use servers::{asks_search_domains_first, first_search_domain};
use servers::{hosts_servers, searched_first, upstream_questions};
pub use servers::{is_private, upstreams};
use ways::{fits, held, owners, ways};

/// Questions by viewpoint, in a fixed order.
pub type Plan = BTreeMap<Viewpoint, Vec<Question>>;

/// How long to listen after a handshake on a published port, in milliseconds. docker-proxy closes
/// within 1 to 7 ms when it cannot reach the container. A close that comes later is missed as a
/// proof, and nothing else: what listens inside is known from inside.
pub const PROXY_LISTEN_MS: u32 = 10;

/// The same on a direct connection, where the handshake alone is what counts.
const DIRECT_LISTEN_MS: u32 = 1;

/// How long a process may take to accept, in milliseconds. A healthy one takes none; one that is
/// busy for a whole second does not serve its clients either.
const ACCEPT_PATIENCE_MS: u32 = 1000;

/// How long to wait for an echo, in milliseconds: a gateway on the same machine answers in one.
const PING_WAIT_MS: u32 = 1000;

/// How long to wait for a UDP reply or an ICMP error, in milliseconds.
const DATAGRAM_WAIT_MS: u32 = 200;

/// The most names, ports and candidates asked about in one run: beyond that it is no longer a look.
const MOST: usize = 32;

/// Answered by every resolver itself, without asking anybody (RFC 6761 6.4: `invalid`), so that it
/// shows whether the resolver answers and sends nothing further.
pub const UPSTREAM_TEST: &str = "netcheck.invalid";

/// The name Docker Desktop made known, and which Linux needs `--add-host` for.
pub const HOST_NAME: &str = "host.docker.internal";

/// Podman's name for the same.
pub const PODMAN_HOST_NAME: &str = "host.containers.internal";

/// What to ask once the Engine API has answered.
pub fn first(evidence: &Evidence) -> Plan {
    let mut plan = Plan::new();
    let Some(case) = Case::new(evidence) else {
        return plan;
    };
    if !case.subject.is_running() {
        if case.refused_host_port().is_some() || case.missing_parent().is_some() {
            plan.insert(Viewpoint::Host, vec![Question::Snapshot]);
        }
        // What it ended for want of, once that is there: does it serve now?
        for late in case.started_later().iter().take(MOST) {
            let questions = plan
                .entry(Viewpoint::Container(late.server.id.clone()))
                .or_default();
            questions.push(Question::Snapshot);
            questions.push(connect(late.address, late.port));
            unique(questions);
        }
        return plan;
    }
    plan.insert(
        Viewpoint::Container(case.subject.id.clone()),
        from_subject(&case),
    );
    plan.insert(Viewpoint::Host, from_host(&case));
    for (network, endpoint) in case.networks() {
        if !network.has_dns() {
            continue;
        }
        let mut names: Vec<&str> = endpoint.dns_names.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let questions = names.into_iter().take(MOST).map(lookup_here);
        let from = peer(evidence, case.subject, &network.id).map_or_else(
            || Viewpoint::Network(network.id.clone()),
            Viewpoint::Container,
        );
        plan.entry(from).or_default().extend(questions);
    }
    for questions in plan.values_mut() {
        unique(questions);
    }
    plan
}

fn from_subject(case: &Case<'_>) -> Vec<Question> {
    let mut questions = vec![Question::Snapshot];
    for (network, endpoint) in case.networks() {
        for gateway in &endpoint.gateways {
            questions.push(Question::Ping {
                to: *gateway,
                wait_ms: PING_WAIT_MS,
            });
        }
        if network.has_dns() {
            questions.push(lookup_here(&case.subject.name));
        }
    }
    let engine_provides_host_name = case
        .evidence
        .engine
        .known()
        .is_some_and(crate::evidence::Engine::is_desktop);
    if engine_provides_host_name {
        questions.push(Question::Lookup {
            name: HOST_NAME.into(),
        });
    }
    for reference in case.detail.references.iter().take(MOST) {
        match reference.host.parse::<IpAddr>() {
            Ok(address) if !address.is_unspecified() => {
                if let Some(port) = reference.certain_port()
                    && (address.is_loopback() || case.network_of(address).is_some())
                {
                    questions.push(connect(address, port));
                }
            }
            Ok(_) => {}
            Err(_) if is_answered_locally(case, &reference.host) => {
                questions.push(lookup_here(&reference.host));
            }
            // Asked in the second round, if the servers that get to see it are near.
            Err(_) => {}
        }
    }
    questions.extend(of_the_health_check(case));
    if let Some(outbound) = &case.evidence.request.outbound {
        match outbound.address() {
            Some(address) => questions.push(connect(address, outbound.port)),
            None => questions.push(Question::Lookup {
                name: outbound.host.clone(),
            }),
        }
    }
    questions
}

/// For a check that fails and goes to `localhost`: does each of its two addresses answer?
fn of_the_health_check(case: &Case<'_>) -> Vec<Question> {
    let fails = |health: &crate::evidence::Health| health.status == "unhealthy";
    match case.health_asks_localhost() {
        Some(port) if case.detail.state.health.as_ref().is_some_and(fails) => vec![
            connect(Ipv6Addr::LOCALHOST.into(), port),
            connect(Ipv4Addr::LOCALHOST.into(), port),
        ],
        _ => Vec::new(),
    }
}

/// A name that the embedded DNS knows itself. The final dot keeps search domains away, with which others
/// would hear of it.
fn lookup_here(name: &str) -> Question {
    Question::Lookup {
        name: format!("{}.", name.trim_end_matches('.')),
    }
}

/// A name that the embedded DNS knows itself: nobody else hears of the question.
pub(crate) fn is_answered_locally(case: &Case<'_>, name: &str) -> bool {
    let name = name.trim_end_matches('.');
    case.networks().iter().any(|(network, _)| {
        network.has_dns()
            && case.evidence.containers.iter().any(|other| {
                other.is_running()
                    && other.endpoint(&network.id).is_some_and(|endpoint| {
                        other.name.eq_ignore_ascii_case(name)
                            || endpoint
                                .dns_names
                                .iter()
                                .any(|known| known.eq_ignore_ascii_case(name))
                    })
            })
    })
}

/// A name with a dot that no container carries belongs to the outside, and is no question of ours.
pub(crate) fn belongs_outside(case: &Case<'_>, name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.contains('.')
        && !name.eq_ignore_ascii_case(HOST_NAME)
        && !name.eq_ignore_ascii_case(PODMAN_HOST_NAME)
        && case.named(name).is_empty()
}

/// Whether the servers that finally get to see a question are on the internet; none if it is not
/// known which they are.
pub fn asks_the_internet(case: &Case<'_>) -> Option<bool> {
    let servers = upstreams(case);
    if servers.is_empty() {
        // A host without a server of its own: some engines take public ones then.
        let host = case.host_visit().ok()?.snapshot().known().copied()?;
        return host.resolv_conf.is_ok().then_some(true);
    }
    Some(servers.iter().any(|server| !is_private(*server)))
}

fn from_host(case: &Case<'_>) -> Vec<Question> {
    let mut questions = vec![Question::Snapshot];
    for binding in case.subject.published.iter().take(MOST) {
        let (Some(address), Some(port)) = (binding.host_address, binding.host_port) else {
            continue;
        };
        questions.push(to_published(
            nearest(address),
            port,
            binding.container.protocol,
        ));
    }
    questions
}

/// The loopback address of the family for an unspecified one, which cannot be connected to.
pub fn nearest(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn to_published(address: IpAddr, port: u16, protocol: Protocol) -> Question {
    let to = SocketAddr::new(address, port);
    match protocol {
        Protocol::Tcp => Question::Connect {
            to,
            listen_ms: PROXY_LISTEN_MS,
        },
        Protocol::Udp => Question::Datagram {
            to,
            wait_ms: DATAGRAM_WAIT_MS,
        },
    }
}

fn connect(address: IpAddr, port: u16) -> Question {
    Question::Connect {
        to: SocketAddr::new(address, port),
        listen_ms: DIRECT_LISTEN_MS,
    }
}

/// Another running container on the network, to look from: with a namespace of its own, and the
/// same one in every run.
fn peer(evidence: &Evidence, subject: &Container, network_id: &str) -> Option<String> {
    evidence
        .containers
        .iter()
        .filter(|other| other.id != subject.id && other.is_running())
        .filter(|other| other.endpoint(network_id).is_some())
        .filter(|other| {
            other
                .detail()
                .is_none_or(|detail| detail.mode == Mode::Networks)
        })
        .min_by_key(|other| &other.name)
        .map(|other| other.id.clone())
}

/// What to ask once the first answers are in; only of viewpoints that were visited.
pub fn second(evidence: &Evidence) -> Plan {
    let mut plan = Plan::new();
    let Some(case) = Case::new(evidence) else {
        return plan;
    };
    if let Ok(visit) = case.visit() {
        plan.insert(visit.from.clone(), more_from_subject(&case));
    }
    if let Ok(visit) = case.host_visit() {
        plan.insert(visit.from.clone(), more_from_host(&case));
    }
    for questions in plan.values_mut() {
        unique(questions);
    }
    plan.retain(|_, questions| !questions.is_empty());
    plan
}

fn more_from_subject(case: &Case<'_>) -> Vec<Question> {
    let mut questions = Vec::new();
    let own_address = case
        .subject
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.addresses)
        .next()
        .copied();
    for service in case.services().unwrap_or_default().iter().take(MOST) {
        if service.port.protocol != Protocol::Tcp {
            continue;
        }
        let address = match service.reach {
            Reach::Everybody => own_address
                .filter(IpAddr::is_ipv4)
                .unwrap_or_else(|| nearest(service.local.ip())),
            Reach::Ipv6Only => IpAddr::V6(Ipv6Addr::LOCALHOST),
            Reach::Loopback | Reach::OneAddress(_) => service.local.ip(),
        };
        questions.push(Question::Accepts {
            to: SocketAddr::new(address, service.port.number),
            patience_ms: ACCEPT_PATIENCE_MS,
        });
    }
    questions.extend(upstream_questions(case));
    questions.extend(names_nobody_here_knows(case));
    questions.extend(searched_first(case));
    if let Some(address) = host_address(case) {
        questions.push(Question::Ping {
            to: address,
            wait_ms: PING_WAIT_MS,
        });
    }
    questions.extend(candidate_connects(case));
    questions.extend(connects_to_host(case));
    if let Some(outbound) = &case.evidence.request.outbound
        && let Ok(visit) = case.visit()
        && let Some(lookup) = visit.lookup(&outbound.host).known()
    {
        let addresses = lookup.addresses.iter().take(4);
        questions.extend(addresses.map(|address| connect(*address, outbound.port)));
    }
    if let Some(outbound) = &case.evidence.request.outbound {
        let literal = outbound.address().map(|address| vec![address]);
        let addresses = literal.or_else(|| case.resolution(&outbound.host).ok());
        let addresses = addresses.unwrap_or_default().into_iter().take(4);
        questions.extend(addresses.filter_map(|to| fits(case, (to, outbound.port).into())));
    }
    let tried = case.tried().into_iter();
    questions.extend(tried.filter_map(|one| held(case, one.to)));
    questions
}

/// Names of the configuration that only a name server further away could know.
fn names_nobody_here_knows(case: &Case<'_>) -> Vec<Question> {
    let may_ask =
        case.evidence.request.outbound.is_some() || asks_the_internet(case) == Some(false);
    if !may_ask {
        return Vec::new();
    }
    let in_hosts = |name: &str| {
        let hosts = case.snapshot().ok().and_then(|s| s.hosts.as_ref().ok());
        hosts.is_some_and(|hosts| {
            hosts
                .iter()
                .any(|line| line.names.iter().any(|n| n.eq_ignore_ascii_case(name)))
        })
    };
    case.detail
        .references
        .iter()
        .take(MOST)
        .map(|reference| reference.host.as_str())
        .filter(|name| name.parse::<IpAddr>().is_err())
        .filter(|name| {
            !is_answered_locally(case, name) && !belongs_outside(case, name) && !in_hosts(name)
        })
        .map(|name| Question::Lookup { name: name.into() })
        .collect()
}

/// What `host.docker.internal` means in the container: its /etc/hosts, else DNS.
pub fn host_address(case: &Case<'_>) -> Option<IpAddr> {
    let visit = case.visit().ok()?;
    let from_hosts = visit.snapshot().known().and_then(|snapshot| {
        let hosts = snapshot.hosts.as_ref().ok()?;
        hosts
            .iter()
            .find(|line| line.names.iter().any(|n| n.eq_ignore_ascii_case(HOST_NAME)))
            .map(|line| line.address)
    });
    from_hosts.or_else(|| visit.lookup(HOST_NAME).known()?.addresses.first().copied())
}

/// For references to the engine's host: does it answer on that port, as this container sees it?
fn connects_to_host(case: &Case<'_>) -> Vec<Question> {
    let to_host = |reference: &&Reference| {
        !reference.is_localhost() && case.points_to_host(case.subject, reference)
    };
    let references = case.detail.references.iter().take(MOST).filter(to_host);
    references
        .filter_map(|reference| Some((reference, reference.certain_port()?)))
        .flat_map(|(reference, port)| {
            // One of each family is what a resolver gives for the host.
            let addresses = case.addresses_of(&reference.host).into_iter().take(2);
            addresses.map(move |to| connect(to, port))
        })
        .collect()
}

/// For references to `localhost` or to an address: which containers would answer on that port?
fn candidate_connects(case: &Case<'_>) -> Vec<Question> {
    let mut questions = Vec::new();
    for reference in &case.detail.references {
        let ports = reference.ports();
        let by_name: Vec<&Container> = case.named(&reference.host);
        let is_open_question = reference.is_localhost() || reference.host.parse::<IpAddr>().is_ok();
        let candidates: Vec<&Container> = if is_open_question {
            case.evidence
                .containers
                .iter()
                .filter(|other| other.id != case.subject.id && other.is_running())
                .filter(|other| !case.shared_networks(other).is_empty())
                .collect()
        } else {
            by_name
        };
        for other in candidates {
            let shared = case.shared_networks(other);
            let Some(address) = shared
                .iter()
                .find_map(|network| other.endpoint(&network.id)?.addresses.first().copied())
            else {
                continue;
            };
            let mapped = other.published.iter().filter_map(|binding| {
                let hit = ports.iter().any(|port| binding.host_port == Some(*port));
                (hit && binding.container.protocol == Protocol::Tcp)
                    .then_some(binding.container.number)
            });
            for port in ports.iter().copied().chain(mapped) {
                questions.push(connect(address, port));
            }
            if questions.len() > 4 * MOST {
                return questions;
            }
        }
    }
    questions
}

fn more_from_host(case: &Case<'_>) -> Vec<Question> {
    let mut questions = hosts_servers(case);
    questions.extend(published_by_lan(case));
    questions
}

fn published_by_lan(case: &Case<'_>) -> Vec<Question> {
    let Ok(visit) = case.host_visit() else {
        return Vec::new();
    };
    let mut questions = owners(case);
    questions.extend(ways(case));
    // Where a connection opened and nothing was said: whether anybody took it.
    for binding in case.subject.published.iter().take(MOST) {
        let (Some(address), Some(port)) = (binding.host_address, binding.host_port) else {
            continue;
        };
        let to = SocketAddr::new(nearest(address), port);
        if let Some(Connected::Open {
            then: Then::Silent, ..
        }) = visit.connect(to).known()
        {
            questions.push(Question::Accepts {
                to,
                patience_ms: ACCEPT_PATIENCE_MS,
            });
        }
    }
    let Some(address) = visit
        .snapshot()
        .known()
        .and_then(|snapshot| lan_address(snapshot))
    else {
        return questions;
    };
    let by_lan = case
        .subject
        .published
        .iter()
        .filter(|binding| {
            binding
                .host_address
                .is_some_and(|bound| bound.is_unspecified() && bound.is_ipv4() == address.is_ipv4())
        })
        .take(MOST)
        .filter_map(|binding| {
            Some(to_published(
                address,
                binding.host_port?,
                binding.container.protocol,
            ))
        });
    questions.extend(by_lan);
    questions
}

/// The host's address on the link of its default route: the way other machines use, which does not
/// pass docker-proxy.
pub fn lan_address(snapshot: &netcheck_probe::Snapshot) -> Option<IpAddr> {
    let routes = snapshot.routes.as_ref().ok()?;
    let interfaces = snapshot.interfaces.as_ref().ok()?;
    let default = routes
        .iter()
        .filter(|route| route.destination.1 == 0 && route.destination.0.is_ipv4())
        .min_by_key(|route| route.metric)?;
    let interface = interfaces
        .iter()
        .find(|interface| Some(&interface.name) == default.interface.as_ref())?;
    default.source.or_else(|| {
        interface
            .addresses
            .iter()
            .map(|(address, _)| *address)
            .find(IpAddr::is_ipv4)
    })
}

fn unique(questions: &mut Vec<Question>) {
    let mut seen = std::collections::HashSet::new();
    questions.retain(|question| seen.insert(question.clone()));
}

#[cfg(test)]
mod tests;
