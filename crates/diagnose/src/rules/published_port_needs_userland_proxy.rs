//! A container asks for a port that a container of another network publishes, on an engine without docker-proxy.

use std::net::SocketAddr;

use netcheck_probe::Protocol;

use crate::case::{Case, Reached};
use crate::evidence::{Container, Viewpoint};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-port-needs-userland-proxy",
    title: "a published port is closed to containers of other networks",
    check: Check::Published,
    explained_by: &[],
    docs: "\
## What it checks

You asked whether a container reaches a port of the engine's host that a container of another network publishes.
Nothing comes back, while the host itself gets through by the same address. And the engine runs without docker-proxy
(`userland-proxy: false`): it lets 127.0.0.0/8 be routed to that network's bridge (`route_localnet`), which it does
only then.

## Why it matters

Without docker-proxy the packet is rewritten to the other container's address before it is filtered, and then it is
one from network to network, which Docker drops. The same address works from other machines, from the host, and
from containers of the publisher's own network, so everything looks right.

## How to fix it

Put both on one network and use the container's name and its own port: `docker network connect NETWORK NAME`. Or let
the engine run docker-proxy again: `\"userland-proxy\": true` in daemon.json, and a restart of the engine.

## When it is wrong

If something else set `route_localnet` on the bridge, docker-proxy runs all the same, and the firewall of the host
drops the connection. `--deep` tells the rule that does.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let refused = case.refused_published();
    let Some((to, publisher)) = refused.first().copied() else {
        return Verdict::NotApplicable;
    };
    let host = match case.host_visit() {
        Ok(host) => host,
        Err(why) => {
            return Verdict::Unknown(format!("how the engine's host forwards {to}: {why}"));
        }
    };
    let Some(snapshot) = case.host_snapshot() else {
        return Verdict::Unknown(format!("how the engine's host forwards {to}"));
    };
    // Who answers on the host's side, where that is known: then there is no doubt.
    let sockets = snapshot.sockets.iter().flatten();
    let proxied = sockets
        .filter(|one| one.protocol == Protocol::Tcp && one.local.port() == to.port())
        .filter_map(|one| one.owner.as_ref())
        .any(|owner| owner.name.starts_with("docker-proxy"));
    let Some(bridge) = routed_bridge(case, publisher).filter(|_| !proxied) else {
        return Verdict::Pass;
    };
    if let Some(why) = host.connect(to).why_unknown() {
        return Verdict::Unknown(format!("whether the engine's host itself gets {to}: {why}"));
    }
    if case.reached_from(&Viewpoint::Host, to, Protocol::Tcp) != Reached::Through {
        return Verdict::Pass;
    }
    Verdict::Fail(vec![fault(case, to, publisher, &bridge)])
}

/// A bridge of the publisher to which the loopback may be routed.
fn routed_bridge(case: &Case<'_>, publisher: &Container) -> Option<String> {
    let sysctls = &case.host_snapshot()?.sysctls;
    publisher
        .endpoints
        .iter()
        .filter_map(|endpoint| case.evidence.network(&endpoint.network_id))
        .filter(|network| network.driver == "bridge")
        .filter_map(|network| case.bridge_name(network))
        .find(|bridge| {
            sysctls
                .get(&format!("net.ipv4.conf.{bridge}.route_localnet"))
                .is_some_and(|value| value == "1")
        })
}

fn fault(case: &Case<'_>, to: SocketAddr, publisher: &Container, bridge: &str) -> Fault {
    let (name, other) = (case.name(), &publisher.name);
    let fault = Fault::error(
        format!(
            "`{name}` asks for {to}, which `{other}` of another network publishes, and the engine runs \
             without docker-proxy: what goes from network to network is dropped"
        ),
        vec![Subject::container(name), Subject::container(other)],
    )
    .proof(format!(
        "seen from `{name}`: {to}: no answer; from the engine's host: {to}: connected"
    ))
    .proof(format!(
        "seen from the engine's host: net.ipv4.conf.{bridge}.route_localnet = 1, as Docker sets it with \
         `userland-proxy: false`"
    ))
    .proof(format!(
        "Engine API: `{name}` and `{other}` have no network in common"
    ));
    let number = publisher
        .published
        .iter()
        .find(|binding| {
            binding.host_port == Some(to.port()) && binding.container.protocol == Protocol::Tcp
        })
        .map(|binding| binding.container.number);
    let by_name = case.detail.references.first().zip(number);
    let by_name = by_name.and_then(|(reference, number)| {
        case.fix_by_name(case.subject, reference, publisher, number)
    });
    fault.fixes(by_name).fix(Fix::new(
        "Let the engine run docker-proxy: `\"userland-proxy\": true` in its daemon.json, and \
         `systemctl restart docker`, which restarts the containers too",
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Interface, Protocol, Question, Snapshot, Then};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Viewpoint};
    use crate::reference::Reference;
    use crate::request::Target;
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, id_of, ip, not_applicable, passes,
        snapshot, tcp, unknown, world,
    };

    const LAN: &str = "10.221.0.1";

    struct Seen {
        app: Result<(), Errno>,
        host: Option<bool>,
        routed: bool,
    }

    const SEEN: Seen = Seen {
        app: Err(Errno::TimedOut),
        host: Some(true),
        routed: true,
    };

    fn web() -> Container {
        container("web")
            .alone()
            .on("other", "172.19.0.3")
            .publishes(binding("0.0.0.0", 18083, tcp(80)))
    }

    fn asked(seen: &Seen, web: Container) -> Evidence {
        let mut evidence = world(container("app")).and(web);
        let target = Target::new(LAN, 18083, Protocol::Tcp);
        evidence.containers[0].detail_mut().references = vec![Reference::asked(&target)];
        evidence.request.target = Some(target);
        let question = Question::Connect {
            to: (ip(LAN), 18083).into(),
            listen_ms: 10,
        };
        let answer = |came| {
            Answer::Connect(match came {
                Ok(()) => Connected::Open {
                    from: (ip(LAN), 40000).into(),
                    took_ms: 0,
                    then: Then::Silent,
                },
                Err(errno) => Connected::Failed { errno, took_ms: 0 },
            })
        };
        let mut host = snapshot();
        host.interfaces.as_mut().unwrap().push(Interface {
            name: "lan0".into(),
            index: 3,
            up: true,
            carrier: true,
            mtu: 1500,
            mac: None,
            addresses: vec![(ip(LAN), 24)],
        });
        if seen.routed {
            let bridge = format!("br-{}", &id_of("other")[..12]);
            host.sysctls.insert(
                format!("net.ipv4.conf.{bridge}.route_localnet"),
                "1".into(),
            );
        }
        let evidence = evidence
            .sees(Snapshot {
                sockets: Ok(Vec::new()),
                ..snapshot()
            })
            .answered(question.clone(), answer(seen.app))
            .answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host));
        let Some(open) = seen.host else {
            return evidence;
        };
        let came = if open { Ok(()) } else { Err(Errno::TimedOut) };
        evidence.answered_from(Viewpoint::Host, question, answer(came))
    }

    #[test]
    fn another_network_asks_for_it() {
        let evidence = asked(&SEEN, web());
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` asks for 10.221.0.1:18083, which `web` of another network publishes, and the \
                 engine runs without docker-proxy: what goes from network to network is dropped",
            ),
        );
        assert_eq!(commands(&RULE, &evidence), ["docker network connect my_network web"]);
    }

    #[test]
    fn near_misses() {
        let unrouted = Seen {
            routed: false,
            ..SEEN
        };
        check_rule(&RULE, &asked(&unrouted, web()), passes());
        let dead = Seen {
            host: Some(false),
            ..SEEN
        };
        check_rule(&RULE, &asked(&dead, web()), passes());
        // It is answered, or it is refused: nobody drops it.
        for app in [Ok(()), Err(Errno::Refused)] {
            let answered = Seen { app, ..SEEN };
            check_rule(&RULE, &asked(&answered, web()), not_applicable());
        }
        // The same network, nobody publishes it, only for the loopback.
        let near = web().on("my_network", "172.18.0.3");
        check_rule(&RULE, &asked(&SEEN, near), not_applicable());
        let mut none = web();
        none.published.clear();
        check_rule(&RULE, &asked(&SEEN, none), not_applicable());
        let mut local = web();
        local.published = vec![binding("127.0.0.1", 18083, tcp(80))];
        check_rule(&RULE, &asked(&SEEN, local), not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }

    #[test]
    fn what_the_host_did_not_try_stays_open() {
        let unseen = Seen { host: None, ..SEEN };
        check_rule(&RULE, &asked(&unseen, web()), unknown("whether the engine's host itself gets"));
    }
}
