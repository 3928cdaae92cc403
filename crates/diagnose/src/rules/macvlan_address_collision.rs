//! Another machine of the LAN has the address that a macvlan network gave the container.

use netcheck_probe::Delivered;

use crate::case::{Case, Lent};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "macvlan-address-collision",
    title: "its address on the LAN belongs to another machine too",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

The engine's host asks by ARP who has the address that a macvlan network gave the container. The container itself
cannot answer it (the host does not hear containers on its own link); whoever does, with a hardware address that is
not the container's, is another machine of the LAN.

## Why it matters

Docker hands out addresses of the subnet in order and asks nobody, neither the DHCP server nor the LAN. Two machines
with one address answer in turns: connections work for a while and break, for both.

## How to fix it

Connect the container with an address that is free (`--ip`). Make the network with `--ip-range` for a part of the
subnet that the DHCP server leaves alone, and `--aux-address` for single machines.

## When it is wrong

A router that answers for others (proxy ARP).
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let lent = case.macvlan_addresses();
    if lent.is_empty() {
        return Verdict::NotApplicable;
    }
    let faults = lent
        .iter()
        .filter_map(|lent| Some(fault(case, lent, &stranger(case, lent)?)));
    Verdict::from_faults(faults.collect())
}

/// The hardware address that answers, if it is nobody's here.
fn stranger(case: &Case<'_>, lent: &Lent<'_>) -> Option<String> {
    let visit = case.host_visit().ok()?;
    let Some(Delivered::Neighbour { mac }) = visit.owner(lent.address).known().copied() else {
        return None;
    };
    let own = lent.endpoint.mac.as_ref()?;
    let is = |other: &String| other.eq_ignore_ascii_case(mac);
    let endpoints = case.evidence.containers.iter().flat_map(|one| &one.endpoints);
    let mut of_containers = endpoints.filter_map(|endpoint| endpoint.mac.as_ref());
    let links = case.host_snapshot()?.interfaces.as_ref().ok()?;
    let mut of_host = links.iter().filter_map(|link| link.mac.as_ref());
    (!is(own) && !of_containers.any(is) && !of_host.any(is)).then(|| mac.clone())
}

fn fault(case: &Case<'_>, lent: &Lent<'_>, mac: &str) -> Fault {
    let name = case.name();
    let network = &lent.network.name;
    let own = lent.endpoint.mac.as_deref().unwrap_or_default();
    Fault::error(
        format!(
            "{} of `{name}` on `{network}` belongs to another machine of the LAN too",
            lent.address
        ),
        vec![
            Subject::container(name),
            Subject::network(network),
            Subject::address(lent.address),
        ],
    )
    .proof(format!(
        "seen from the engine's host: {mac} answers for {} on {}",
        lent.address, lent.parent
    ))
    .proof(format!("Engine API: that of `{name}` is {own}"))
    .fix(Fix::new(
        "Let it have another address of that network: the next one that Docker has not given yet (then see that it is \
         free on the LAN; `--ip-range` of the network keeps Docker to a range of its own)",
        swap(case, lent),
    ))
}

/// The address stays taken while the container gets the next one.
fn swap(case: &Case<'_>, lent: &Lent<'_>) -> Vec<String> {
    let name = case.name();
    let network = lent.network.name.as_str();
    let taken = |address: std::net::IpAddr| {
        let mut all = case.evidence.containers.iter();
        all.any(|other| other.has_address(address))
            || lent.network.ipam.iter().any(|ipam| ipam.gateway == Some(address))
            || case.is_host_address(address)
            || is_neighbour(case, address)
    };
    let free = lent.network.ipam.iter().find_map(|ipam| {
        let hosts = ipam.subnet.hosts().take(65_536);
        let mut above = hosts.filter(|address| *address > lent.address);
        above.find(|address| !taken(*address))
    });
    let Some(free) = free else {
        return Vec::new();
    };
    let mut connect: Vec<String> = ["docker", "network", "connect"].map(Into::into).into();
    for alias in &lent.endpoint.aliases {
        connect.extend(["--alias".to_owned(), alias.clone()]);
    }
    let flag = if free.is_ipv4() { "--ip" } else { "--ip6" };
    connect.extend([
        flag.to_owned(),
        free.to_string(),
        network.to_owned(),
        name.to_owned(),
    ]);
    vec![
        shell::command(["docker", "network", "disconnect", network, name]),
        shell::command(&connect),
    ]
}

/// Somebody the host knows.
fn is_neighbour(case: &Case<'_>, address: std::net::IpAddr) -> bool {
    let neighbours = case
        .host_snapshot()
        .and_then(|snapshot| snapshot.neighbours.as_ref().ok());
    let mut known = neighbours.into_iter().flatten();
    known.any(|one| one.address == address && one.mac.is_some())
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Delivered, Question, RouteKind, Snapshot};

    use super::RULE;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::rules::testing::ways::{host_route, link};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, network, not_applicable, passes, snapshot, world,
    };

    fn asked(delivered: Delivered) -> Evidence {
        let mut net = network("lan", "10.217.0.0/24");
        net.driver = "macvlan".into();
        net.options.insert("parent".into(), "lan0".into());
        let mut mv = container("mv").alone().on("lan", "10.217.0.2");
        mv.endpoints[0].mac = Some("02:42:0a:d9:00:02".into());
        let host = Snapshot {
            interfaces: Ok(vec![link("lan0", 1500)]),
            routes: Ok(vec![
                host_route("10.217.0.0", 24, Some("lan0"), RouteKind::Unicast),
            ]),
            ..snapshot()
        };
        world(mv)
            .with_network(net)
            .answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host))
            .answered_from(
                Viewpoint::Host,
                Question::Owner {
                    of: ip("10.217.0.2"),
                    wait_ms: 500,
                },
                Answer::Owner(delivered),
            )
    }

    fn of(mac: &str) -> Delivered {
        Delivered::Neighbour { mac: mac.into() }
    }

    #[test]
    fn a_stranger_answers() {
        let evidence = asked(of("86:b9:00:00:00:01"));
        check_rule(
            &RULE,
            &evidence,
            fails("10.217.0.2 of `mv` on `lan` belongs to another machine of the LAN too"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network disconnect lan mv",
                "docker network connect --ip 10.217.0.3 lan mv",
            ]
        );
    }

    #[test]
    fn nobody_or_itself_answers() {
        check_rule(&RULE, &asked(Delivered::Silent), passes());
        check_rule(&RULE, &asked(of("02:42:0A:d9:00:02")), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
