//! The engine's host sends packets for the container somewhere else, because of a more specific route.

use std::net::IpAddr;

use ipnet::IpNet;
use netcheck_probe::{Route, RouteKind};

use crate::case::{Bridged, Case};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-route-steals-subnet",
    title: "a route of the host leads away from the container",
    check: Check::Gateway,
    explained_by: &["bridge-down", "subnet-overlaps-host-route"],
    docs: "\
## What it checks

The routes of the engine's host: whether the most specific one for the container's address is narrower than the
network's own subnet and leads over another link than the network's bridge.

## Why it matters

Containers of one network reach each other, but the host's own packets to them, published ports and every
answer from outside leave by the other link. Typical: a VPN that was switched on and brings routes for
172.16.0.0/12 in pieces, or a second network of the same range.

## How to fix it

Take the route away, or let the VPN leave that range out. To be rid of it for good, move Docker: another
`--subnet` for the network, or `default-address-pools` in the engine's daemon.json.

## When it is wrong

Routes of other tables and policy rules (`ip rule`) are not looked at: they may lead back to the bridge.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() || case.host_snapshot().is_none() {
        return Verdict::NotApplicable;
    }
    let mut faults = Vec::new();
    for one in case.bridged() {
        let stolen = one
            .endpoint
            .addresses
            .iter()
            .find_map(|address| Some((*address, thief(&one, *address)?)));
        if let Some((address, route)) = stolen {
            faults.push(fault(case, &one, address, route));
        }
    }
    Verdict::from_faults(faults)
}

/// The route that wins over the bridge's own for this address.
fn thief<'a>(one: &Bridged<'a>, address: IpAddr) -> Option<&'a Route> {
    let subnet = one
        .network
        .ipam
        .iter()
        .find(|ipam| ipam.subnet.contains(&address))?
        .subnet;
    let best = one
        .routes?
        .iter()
        .filter(|route| net(route).is_some_and(|net| net.contains(&address)))
        .min_by_key(|route| (std::cmp::Reverse(route.destination.1), route.metric))?;
    let narrower = best.destination.1 > subnet.prefix_len();
    let elsewhere = best.interface.as_ref() != Some(&one.link.name);
    (narrower && elsewhere).then_some(best)
}

fn net(route: &Route) -> Option<IpNet> {
    IpNet::new(route.destination.0, route.destination.1).ok()
}

fn fault(case: &Case<'_>, one: &Bridged<'_>, address: IpAddr, route: &Route) -> Fault {
    let (name, network) = (case.name(), &one.network.name);
    let destination = format!("{}/{}", route.destination.0, route.destination.1);
    let mut words = vec![destination.clone()];
    if let Some(gateway) = route.gateway {
        words.extend(["via".to_owned(), gateway.to_string()]);
    }
    if let Some(link) = &route.interface {
        words.extend(["dev".to_owned(), link.clone()]);
    }
    let written = words.join(" ");
    let kind = match route.kind {
        RouteKind::Unicast => "",
        RouteKind::Blackhole => "blackhole ",
        RouteKind::Unreachable => "unreachable ",
        RouteKind::Prohibit => "prohibit ",
    };
    let mut command = vec!["ip", "route", "del"];
    command.extend((!kind.is_empty()).then(|| kind.trim()));
    command.extend(words.iter().map(String::as_str));
    Fault::error(
        format!(
            "the engine's host sends packets for `{name}` ({address}) away from `{network}`, by its route \
             {kind}{destination}"
        ),
        vec![
            Subject::container(name),
            Subject::network(network),
            Subject::address(&destination),
        ],
    )
    .proof(format!(
        "seen from the engine's host: the route `{kind}{written}` is narrower than the network's own, over {}",
        one.link.name
    ))
    .fix(Fix::new(
        "Take the route away, on the engine's host (as root); a VPN that brings it has to leave that range \
         out",
        vec![shell::command(command)],
    ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Interface, Question, Route, RouteKind, Snapshot};

    use super::RULE;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::rules::testing::{
        check_rule, commands, container, fails, id_of, ip, not_applicable, passes, snapshot, world,
    };

    fn route(destination: &str, prefix: u8, link: &str) -> Route {
        Route {
            destination: (ip(destination), prefix),
            gateway: None,
            interface: Some(link.into()),
            source: None,
            metric: 0,
            kind: RouteKind::Unicast,
        }
    }

    fn seen(more: Vec<Route>) -> Evidence {
        let bridge = format!("br-{}", &id_of("my_network")[..12]);
        let link = Interface {
            name: bridge.clone(),
            index: 9,
            up: true,
            carrier: true,
            mtu: 1500,
            mac: None,
            addresses: Vec::new(),
        };
        let own = route("172.18.0.0", 16, &bridge);
        let host = Snapshot {
            interfaces: Ok(vec![link]),
            routes: Ok([vec![own], more].concat()),
            ..snapshot()
        };
        world(container("web").on("my_network", "172.18.0.9")).answered_from(
            Viewpoint::Host,
            Question::Snapshot,
            Answer::Snapshot(host),
        )
    }

    #[test]
    fn a_narrower_route_over_another_link() {
        let evidence = seen(vec![route("172.18.0.0", 25, "tun0")]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "the engine's host sends packets for `web` (172.18.0.9) away from `my_network`, by its \
                 route 172.18.0.0/25",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["ip route del 172.18.0.0/25 dev tun0"]
        );
    }

    #[test]
    fn wider_routes_and_those_for_others_are_silent() {
        let wide = vec![
            route("0.0.0.0", 0, "eth0"),
            route("172.16.0.0", 12, "tun0"),
            route("172.18.128.0", 25, "tun0"),
        ];
        check_rule(&RULE, &seen(wide), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
