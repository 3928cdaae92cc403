//! The default route, and whether the gateway at its end is there.

use netcheck_probe::{Route, RouteKind};

use super::{Seen, comma, echo};
use crate::case::Case;
use crate::evidence::{Fact, Mode};
use crate::report::CheckStatus;

const ASKED: &str = "where does its default route go, and does the gateway answer";

pub(super) fn look(case: &Case<'_>) -> Seen {
    let skipped = |saw: String| Seen::new(CheckStatus::Skipped, ASKED, case.name(), saw);
    match &case.detail.mode {
        Mode::Host => return skipped("host mode: it uses the host's routes".into()),
        Mode::None => return skipped("none mode: no gateway, on purpose".into()),
        Mode::Networks | Mode::Container(_) | Mode::User(_) => {}
    }
    let routes = case
        .snapshot()
        .and_then(|snapshot| snapshot.routes.as_ref().map_err(Clone::clone));
    let routes = match routes {
        Ok(routes) => routes,
        Err(why) => return Seen::unknown(ASKED, case.name(), why),
    };
    // IPv4 first: it is what nearly every container uses; then what the kernel would take.
    let mut defaults: Vec<&Route> = routes
        .iter()
        .filter(|route| route.destination.1 == 0)
        .collect();
    defaults.sort_by_key(|route| (route.destination.0.is_ipv6(), route.metric));
    let internal: Vec<&str> = internal_networks(case);
    let Some(first) = defaults.first() else {
        let networks = case.networks();
        return if !networks.is_empty() && internal.len() == networks.len() {
            skipped(format!(
                "none, on purpose: {} is internal",
                comma(&internal)
            ))
        } else if networks.is_empty() && case.uses_networks() {
            skipped("no default route: it is on no network".into())
        } else {
            Seen::new(
                CheckStatus::Undecided,
                ASKED,
                case.name(),
                "there is no default route",
            )
        };
    };
    let (mut saw, status) = words(case, first);
    if !internal.is_empty() && internal.len() == case.networks().len() {
        saw.push_str("; internal on purpose, it leads no further");
    }
    let mut details: Vec<String> = defaults
        .iter()
        .map(|route| format!("default route {}", words(case, route).0))
        .collect();
    for (network, endpoint) in case.networks() {
        for gateway in &endpoint.gateways {
            if defaults.iter().all(|route| route.gateway != Some(*gateway)) {
                let (answer, _) = ping(case, *gateway);
                details.push(format!("gateway of {}: {gateway} {answer}", network.name));
            }
        }
    }
    Seen::new(status, ASKED, case.name(), saw).details(details)
}

/// Those of its networks that have no way out on purpose.
pub(super) fn internal_networks<'a>(case: &Case<'a>) -> Vec<&'a str> {
    case.networks()
        .into_iter()
        .filter(|(network, _)| network.internal)
        .map(|(network, _)| network.name.as_str())
        .collect()
}

/// `172.18.0.1 through eth0 (my_network) answers (ping, 1 ms)`; and what that is worth.
fn words(case: &Case<'_>, route: &Route) -> (String, CheckStatus) {
    let refused = match route.kind {
        RouteKind::Unicast => None,
        RouteKind::Blackhole => Some("a blackhole: everything is dropped"),
        RouteKind::Unreachable => Some("says unreachable to everything"),
        RouteKind::Prohibit => Some("prohibits everything"),
    };
    if let Some(refused) = refused {
        return (refused.into(), CheckStatus::Undecided);
    }
    let through = route
        .interface
        .as_ref()
        .map(|interface| format!(" through {interface}"))
        .unwrap_or_default();
    let Some(gateway) = route.gateway else {
        return (
            format!("straight out{through}, without a gateway"),
            CheckStatus::Ok,
        );
    };
    let network = case
        .network_of(gateway)
        .map(|network| format!(" ({})", network.name))
        .unwrap_or_default();
    let (answer, status) = ping(case, gateway);
    (format!("{gateway}{through}{network} {answer}"), status)
}

fn ping(case: &Case<'_>, gateway: std::net::IpAddr) -> (String, CheckStatus) {
    echo(
        &case
            .visit()
            .map_or(Fact::NotCollected, |visit| visit.ping(gateway)),
    )
}
