//! The networks it is on, with address, gateway and aliases; or its mode in words.
//! From the Engine API alone.

use super::{API, Seen, comma, count, parts, short};
use crate::case::Case;
use crate::evidence::{Container, Endpoint, Fact, Mode};
use crate::report::CheckStatus;

const ASKED: &str = "which networks is it on, with which addresses";

pub(super) fn look(case: &Case<'_>) -> Seen {
    let ok = |saw: String| Seen::new(CheckStatus::Ok, ASKED, API, saw);
    match &case.detail.mode {
        Mode::Networks if case.subject.endpoints.is_empty() => {
            Seen::new(CheckStatus::Skipped, ASKED, API, "it is on no network")
        }
        Mode::Networks => {
            let endpoints = &case.subject.endpoints;
            let lines: Vec<String> = endpoints.iter().map(|one| line(case, one)).collect();
            ok(parts(&lines)).details(endpoints.iter().map(|one| detail(case, one)).collect())
        }
        Mode::Host => ok("host mode: it shares the network of the engine's host".into()),
        Mode::None => ok("none mode: a network of its own with nothing but loopback".into()),
        Mode::Container(of) => match owner(case, of) {
            Some(owner) => {
                let stopped = if owner.is_running() {
                    ""
                } else {
                    ", which is not running"
                };
                ok(format!(
                    "container mode: it shares the network of {}{stopped}",
                    owner.name
                ))
                .details(
                    owner
                        .endpoints
                        .iter()
                        .map(|one| format!("{} on {}", owner.name, detail(case, one)))
                        .collect(),
                )
            }
            None => ok(format!(
                "container mode: it shares the network of {}, which is gone",
                short(of)
            )),
        },
        Mode::User(word) => ok(format!("user-mode networking ({word})")),
    }
}

/// The container whose namespace it shares: by id, by a part of it, or by name.
pub(super) fn owner<'a>(case: &Case<'a>, of: &str) -> Option<&'a Container> {
    let all = &case.evidence.containers;
    all.iter()
        .find(|container| container.id == of || container.name == of)
        .or_else(|| {
            all.iter()
                .find(|container| of.len() >= 12 && container.id.starts_with(of))
        })
}

/// `my_network: 172.18.0.2 (bridge), alias db`.
fn line(case: &Case<'_>, endpoint: &Endpoint) -> String {
    let address = if endpoint.addresses.is_empty() {
        "no address".to_owned()
    } else {
        comma(&endpoint.addresses)
    };
    let kind = kind(case, endpoint)
        .map(|kind| format!(" ({kind})"))
        .unwrap_or_default();
    let aliases = match &endpoint.aliases[..] {
        [] => String::new(),
        [one] => format!(", alias {one}"),
        many => format!(", aliases {}", comma(many)),
    };
    format!("{}: {address}{kind}{aliases}", endpoint.network_name)
}

fn kind(case: &Case<'_>, endpoint: &Endpoint) -> Option<String> {
    match case.evidence.network(&endpoint.network_id) {
        Some(network) if network.is_default_bridge() => Some("the default bridge".into()),
        Some(network) if network.internal => Some(format!("{}, internal", network.driver)),
        Some(network) => Some(network.driver.clone()),
        None if matches!(case.evidence.networks, Fact::Known(_)) => Some("gone".into()),
        None => None,
    }
}

fn detail(case: &Case<'_>, endpoint: &Endpoint) -> String {
    let mut facts = Vec::new();
    if let Some(kind) = kind(case, endpoint) {
        facts.push(kind);
    }
    if endpoint.addresses.is_empty() {
        facts.push("no address".into());
    } else {
        facts.push(format!("address {}", comma(&endpoint.addresses)));
    }
    if !endpoint.static_addresses.is_empty() {
        facts.push(format!("asked for {}", comma(&endpoint.static_addresses)));
    }
    let network = case.evidence.network(&endpoint.network_id);
    if let Some(network) = network
        && !network.ipam.is_empty()
    {
        let subnets = comma(network.ipam.iter().map(|ipam| ipam.subnet));
        facts.push(format!("subnet {subnets}"));
    }
    if endpoint.gateways.is_empty() {
        facts.push("no gateway".into());
    } else {
        facts.push(format!("gateway {}", comma(&endpoint.gateways)));
    }
    if !endpoint.dns_names.is_empty() {
        facts.push(format!("names {}", comma(&endpoint.dns_names)));
    }
    let others = case
        .evidence
        .containers
        .iter()
        .filter(|other| other.id != case.subject.id)
        .filter(|other| other.endpoint(&endpoint.network_id).is_some())
        .count();
    facts.push(count(others as u64, "other container"));
    format!("{}: {}", endpoint.network_name, comma(facts))
}
