//! A place that the engine's host knows elsewhere lies in the subnet of a Docker network.

use std::net::IpAddr;

use netcheck_probe::{Connected, Errno, Route, RouteKind};

use super::host_has_no_route::seen;
use crate::case::{Case, Tried, Way, net, route_words};
use crate::evidence::Network;
use crate::moved::{self, Change};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "subnet-overlaps-host-route",
    title: "a Docker network covers the range in which that place is",
    check: Check::Gateway,
    explained_by: &["bridge-down"],
    docs: "\
## What it checks

An address that the container is to reach, and could not, lies in the subnet of a bridge network, no container has
it, and the engine's host has a route to it over a link that is no bridge: a LAN or a VPN. The route is as narrow as
the subnet, or that of a LAN that the host itself is on; wider ones cover networks of Docker's by chance.

## Why it matters

Packets of a container on that network never get to the LAN: they are looked for among the containers, and after
three seconds there is `no route to host`. Docker does not look at the host's routes where `--subnet` is given, and
a VPN that comes up later brings its routes too late for that.

## How to fix it

Give the network another range: make a new one (without `--subnet` the engine takes a range that no route of the
host has), put all containers on it, and remove the old one. For all networks to come, set `default-address-pools`
in the engine's daemon.json, and `bip` for the default bridge.

## When it is wrong

The address is meant to be a container's that is gone for good, and the host's route to the same range is a
coincidence.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let tried = case.tried();
    if !case.is_joined() || tried.is_empty() {
        return Verdict::NotApplicable;
    }
    let mut faults: Vec<Fault> = Vec::new();
    for one in &tried {
        if let Some((network, route)) = overlap(case, one) {
            let fault = fault(case, one, network, route);
            if faults.iter().all(|known| known.problem != fault.problem) {
                faults.push(fault);
            }
        }
    }
    Verdict::from_faults(faults)
}

/// The network that has the address to itself, and the route of the host to the same range.
fn overlap<'a>(case: &Case<'a>, one: &Tried<'_>) -> Option<(&'a Network, &'a Route)> {
    let address = one.to.ip();
    // Nobody there answered.
    if !matches!(
        one.connected,
        Connected::Failed {
            errno: Errno::HostUnreachable | Errno::TimedOut,
            ..
        }
    ) {
        return None;
    }
    let network = case.network_holding(address)?;
    let taken = case.evidence.containers.iter().any(|container| {
        container.endpoints.iter().any(|endpoint| {
            endpoint.addresses.contains(&address) || endpoint.static_addresses.contains(&address)
        })
    });
    if taken || case.is_host_address(address) {
        return None;
    }
    let bridge = case.bridge_name(network)?;
    let routes = case.host_snapshot()?.routes.as_ref().ok()?;
    let route = routes
        .iter()
        .filter(|route| route.kind == RouteKind::Unicast && route.destination.1 > 0)
        .filter(|route| net(route).is_some_and(|net| net.contains(&address)))
        .filter(|route| leads_away(case, route) && is_as_narrow(case, network, route))
        .max_by_key(|route| route.destination.1)?;
    // From another network the host decides, and its route may win.
    let is_inside = case.subject.endpoint(&network.id).is_some();
    let is_caught = matches!(
        case.host_way(address)?,
        Way::By(best) if best.interface.as_ref() == Some(&bridge)
    );
    (is_inside || is_caught).then_some((network, route))
}

/// A wide route (a VPN's 172.16.0.0/12) covers most networks of Docker's by chance; one that is as narrow as the
/// subnet, or the host's own LAN, is about just this range.
fn is_as_narrow(case: &Case<'_>, network: &Network, route: &Route) -> bool {
    let mut subnets = network.ipam.iter().map(|ipam| ipam.subnet);
    let own = || {
        let link = case.host_link(route.interface.as_ref()?)?;
        let mut addresses = link.addresses.iter();
        addresses.find(|(address, length)| {
            *length == route.destination.1 && net(route).is_some_and(|net| net.contains(address))
        })
    };
    subnets.any(|subnet| {
        subnet.contains(&route.destination.0) && route.destination.1 >= subnet.prefix_len()
    }) || own().is_some()
}

/// Over a link that is up and no bridge of the engine's.
fn leads_away(case: &Case<'_>, route: &Route) -> bool {
    route.interface.as_ref().is_some_and(|name| {
        !case.is_bridge(name)
            && !name.starts_with("docker")
            && !name.starts_with("br-")
            && case.host_link(name).is_some_and(|link| link.up)
    })
}

fn fault(case: &Case<'_>, one: &Tried<'_>, network: &Network, route: &Route) -> Fault {
    let (name, address) = (case.name(), one.to.ip());
    let subnet = subnet(network, address);
    let written = route_words(route).join(" ");
    Fault::error(
        format!(
            "what `{name}` sends to {} stays on `{}`: the network's subnet {subnet} covers that address, which \
             the engine's host reaches elsewhere",
            one.to, network.name
        ),
        vec![
            Subject::container(name),
            Subject::network(&network.name),
            Subject::address(address),
        ],
    )
    .proof(seen(case, one))
    .proof(format!(
        "Engine API: `{}` is {subnet}, and no container has {address}",
        network.name
    ))
    .proof(format!(
        "seen from the engine's host: it has the route `{written}`"
    ))
    .fix(fix(case, network))
}

fn subnet(network: &Network, address: IpAddr) -> String {
    let mut all = network.ipam.iter().map(|ipam| ipam.subnet);
    let found = all.find(|subnet| subnet.contains(&address));
    found.map_or_else(String::new, |subnet| subnet.to_string())
}

fn fix(case: &Case<'_>, network: &Network) -> Fix {
    let change = Change {
        what: "in a range that no route of the host has",
        suffix: "moved",
        options: &[],
        compose: "ipam: {config: [{subnet: A FREE RANGE}]}",
        daemon: "{\"bip\": \"A FREE RANGE\"}",
    };
    moved::all(case, network, &change)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{
        Answer, Connected, Errno, Question, Route, RouteKind, Snapshot, Then,
    };

    use super::RULE;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::rules::testing::ways::{On, host, host_route, link};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, snapshot, world,
    };

    fn asked(address: &str, errno: Option<Errno>, routes: Vec<Route>) -> Evidence {
        let app = container("app")
            .alias("front")
            .env(&[&format!("LDAP=ldap://{address}:389")]);
        let connected = match errno {
            Some(errno) => Connected::Failed {
                errno,
                took_ms: 3050,
            },
            None => Connected::Open {
                from: (ip("172.18.0.9"), 40000).into(),
                took_ms: 1,
                then: Then::Silent,
            },
        };
        let seen = host(&On {
            routes,
            ..On::default()
        });
        let links = [seen.interfaces.unwrap(), vec![link("tun0", 1420)]].concat();
        let seen = Snapshot {
            interfaces: Ok(links),
            ..seen
        };
        world(app)
            .and(container("web").on("my_network", "172.18.0.4"))
            .sees(snapshot())
            .answered(
                Question::Connect {
                    to: (ip(address), 389).into(),
                    listen_ms: 1,
                },
                Answer::Connect(connected),
            )
            .answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(seen))
    }

    fn vpn() -> Vec<Route> {
        vec![host_route("172.18.5.0", 24, Some("tun0"), RouteKind::Unicast)]
    }

    #[test]
    fn a_place_behind_a_vpn() {
        let evidence = asked("172.18.5.50", Some(Errno::HostUnreachable), vpn());
        check_rule(
            &RULE,
            &evidence,
            fails(
                "what `app` sends to 172.18.5.50:389 stays on `my_network`: the network's subnet \
                 172.18.0.0/16 covers that address, which the engine's host reaches elsewhere",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create my_network-moved",
                "docker network connect --alias front my_network-moved app",
                "docker network disconnect my_network app",
                "docker network connect my_network-moved web",
                "docker network disconnect my_network web",
                "docker network rm my_network",
            ]
        );
    }

    #[test]
    fn containers_other_ranges_and_connections_are_silent() {
        let unreachable = Some(Errno::HostUnreachable);
        let elsewhere = vec![
            host_route("0.0.0.0", 0, Some("eth0"), RouteKind::Unicast),
            host_route("172.18.9.0", 24, Some("tun0"), RouteKind::Unicast),
            host_route("172.16.0.0", 12, Some("tun0"), RouteKind::Unicast),
            host_route("172.18.5.0", 24, Some("br-000000000000"), RouteKind::Unicast),
        ];
        for evidence in [
            asked("172.18.5.50", unreachable, elsewhere),
            asked("172.18.5.50", None, vpn()),
            asked("172.18.5.50", Some(Errno::Refused), vpn()),
            asked(
                "172.18.0.4",
                unreachable,
                vec![host_route("172.18.0.0", 24, Some("tun0"), RouteKind::Unicast)],
            ),
        ] {
            check_rule(&RULE, &evidence, passes());
        }
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
