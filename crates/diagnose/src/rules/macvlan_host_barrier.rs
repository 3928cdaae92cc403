//! The engine's host and a container on a macvlan network do not hear each other.

use std::net::IpAddr;

use netcheck_probe::{Connected, Errno};

use super::host_has_no_route::seen;
use crate::case::{Case, Lent, Tried, Way};
use crate::evidence::Mode;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "macvlan-host-barrier",
    title: "a macvlan network keeps its containers from the engine's host",
    check: Check::Networks,
    explained_by: &["no-shared-network"],
    docs: "\
## What it checks

A pair of which one end is a container on a macvlan network, and the other is the engine's host, or something that
comes to it over the host: the connection failed with `no route to host` or in silence, and the host sends packets to
the container's address by the very link that is the network's parent.

## Why it matters

The kernel hands frames of macvlan links to the wire, and not to the parent link's own stack: every other machine of
the LAN reaches the container, and the host alone does not. It is by design, and looks like a dead container.

## How to fix it

Give the host a macvlan link of its own on the same parent, and a route to the container by it. What is made with
`ip` is gone after a reboot: write it into the host's network configuration. Or publish the service on a bridge
network in addition.

## When it is wrong

A switch that sends frames back (hairpin, VEPA) lifts the barrier; then something else failed.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let tried = case.tried();
    let faults: Vec<Fault> = tried
        .iter()
        .filter(|one| {
            matches!(
                one.connected,
                Connected::Failed {
                    errno: Errno::HostUnreachable | Errno::TimedOut,
                    ..
                }
            )
        })
        .filter_map(|one| towards(case, one).or_else(|| back(case, one)))
        .take(1)
        .collect();
    if tried.is_empty() {
        return Verdict::NotApplicable;
    }
    Verdict::from_faults(faults)
}

/// From the host, or over it, to a container.
fn towards(case: &Case<'_>, one: &Tried<'_>) -> Option<Fault> {
    let owner = case.owner_of(one.to.ip())?;
    let other = Case {
        subject: owner,
        detail: owner.detail()?,
        ..*case
    };
    let mut lent = other.macvlan_addresses().into_iter();
    let lent = lent.find(|lent| lent.address == one.to.ip())?;
    // Between two of them there is no barrier.
    if case.subject.endpoint(&lent.network.id).is_some() {
        return None;
    }
    let over_host = case.detail.mode == Mode::Host || case.leaves_by(one.to.ip()).is_some();
    over_host.then(|| fault(case, one, &owner.name, &lent))
}

/// From a container to the host's own address on the parent link.
fn back(case: &Case<'_>, one: &Tried<'_>) -> Option<Fault> {
    let mut lent = case.macvlan_addresses().into_iter();
    let lent = lent.find(|lent| own_address(case, lent) == Some(one.to.ip()))?;
    Some(fault(case, one, case.name(), &lent))
}

/// The host's address on the parent link, next to the container's.
fn own_address(case: &Case<'_>, lent: &Lent<'_>) -> Option<IpAddr> {
    let link = case.host_link(lent.parent)?;
    let near = |address: &&(IpAddr, u8)| lent.network.contains(address.0);
    link.addresses.iter().find(near).map(|(address, _)| *address)
}

fn fault(case: &Case<'_>, one: &Tried<'_>, name: &str, lent: &Lent<'_>) -> Fault {
    let Lent {
        network,
        address,
        parent,
        ..
    } = lent;
    let mut fault = Fault::error(
        format!(
            "`{name}` is on `{}` by macvlan over {parent}: the engine's host and it do not hear each other",
            network.name
        ),
        vec![Subject::container(name), Subject::network(&network.name)],
    )
    .proof(seen(case, one))
    .proof(format!(
        "Engine API: `{}` is a macvlan network with the parent {parent}",
        network.name
    ));
    if let Some(Way::By(route)) = case.host_way(*address) {
        fault = fault.proof(format!(
            "seen from the engine's host: it sends what is for {address} out by {parent}, on its route {}/{}",
            route.destination.0, route.destination.1
        ));
    }
    let shim = free_link(case, "shim");
    let host_address = match (address, own_address(case, lent)) {
        (IpAddr::V4(_), Some(own)) => own,
        _ => return fault.fix(by_hand(parent)),
    };
    let words = |text: String| shell::command(text.split(' '));
    fault.fix(Fix::new(
        format!(
            "Give the host a macvlan link of its own on {parent}, and a route to `{name}` by it, on the engine's host \
             (as root; to be written into its network configuration, to last)"
        ),
        vec![
            words(format!(
                "ip link add {shim} link {parent} type macvlan mode bridge"
            )),
            words(format!("ip link set {shim} up")),
            words(format!(
                "ip route add {address}/32 dev {shim} src {host_address}"
            )),
        ],
    ))
}

fn by_hand(parent: &str) -> Fix {
    Fix::new(
        format!(
            "Give the host a macvlan link of its own on {parent} with an address of the LAN, and a route to the \
             container by it"
        ),
        Vec::new(),
    )
}

/// A name that no link of the host has.
fn free_link(case: &Case<'_>, base: &str) -> String {
    let numbered = (2..100).map(|number| format!("{base}{number}"));
    let mut names = std::iter::once(base.to_owned()).chain(numbered);
    names
        .find(|name| case.host_link(name).is_none())
        .unwrap_or_else(|| base.to_owned())
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{
        Answer, Connected, Errno, Question, RouteKind, Snapshot, Then,
    };

    use super::RULE;
    use crate::evidence::{ENGINE_HOST, Evidence, Viewpoint};
    use crate::rules::testing::ways::{host_route, link};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, network, not_applicable, passes, snapshot, world,
    };

    /// `mv` on a macvlan network over `lan0`, on which the host is 10.217.0.1.
    fn lan(errno: Option<Errno>, by: &str) -> Evidence {
        let mut net = network("lan", "10.217.0.0/24");
        net.driver = "macvlan".into();
        net.options.insert("parent".into(), "lan0".into());
        let mut lan0 = link("lan0", 1500);
        lan0.addresses = vec![(ip("10.217.0.1"), 24)];
        let host = Snapshot {
            interfaces: Ok(vec![lan0, link("shim", 1500)]),
            routes: Ok(vec![
                host_route("10.217.0.0", 24, Some(by), RouteKind::Unicast),
            ]),
            ..snapshot()
        };
        let connected = match errno {
            Some(errno) => Connected::Failed {
                errno,
                took_ms: 3050,
            },
            None => Connected::Open {
                from: (ip("10.217.0.1"), 40000).into(),
                took_ms: 1,
                then: Then::Silent,
            },
        };
        let mut evidence = world(container("mv").alone().on("lan", "10.217.0.128"))
            .with_network(net)
            .answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host))
            .answered_from(
                Viewpoint::Host,
                Question::Connect {
                    to: (ip("10.217.0.128"), 80).into(),
                    listen_ms: 1,
                },
                Answer::Connect(connected),
            );
        let mut asks = crate::evidence::Container::engine_host();
        asks.detail_mut().references =
            container("x").env(&["WEB=http://10.217.0.128:80"]).detail_mut().references.clone();
        evidence.containers.push(asks);
        evidence.request.container = ENGINE_HOST.into();
        evidence
    }

    #[test]
    fn the_host_and_a_container_on_its_lan() {
        let evidence = lan(Some(Errno::HostUnreachable), "lan0");
        check_rule(
            &RULE,
            &evidence,
            fails("`mv` is on `lan` by macvlan over lan0: the engine's host and it do not hear each other"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "ip link add shim2 link lan0 type macvlan mode bridge",
                "ip link set shim2 up",
                "ip route add 10.217.0.128/32 dev shim2 src 10.217.0.1",
            ]
        );
    }

    #[test]
    fn a_route_by_a_link_of_its_own_or_an_answer_is_silent() {
        check_rule(&RULE, &lan(Some(Errno::HostUnreachable), "shim"), passes());
        check_rule(&RULE, &lan(Some(Errno::Refused), "lan0"), passes());
        check_rule(&RULE, &lan(None, "lan0"), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
