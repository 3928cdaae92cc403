//! The default route goes through a network that leads nowhere, while another one leads out.

use std::net::IpAddr;

use netcheck_probe::{Connected, Delivered, Route};

use crate::case::{Case, connect_flags};
use crate::evidence::{Endpoint, Network};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "default-route-through-other-network",
    title: "the default route goes through the wrong network",
    check: Check::Gateway,
    explained_by: &["shared-namespace-dead"],
    docs: "\
## What it checks

The container is on several networks, its default route goes through one that does not lead out (a
bridge without masquerading, or a macvlan, ipvlan or overlay whose gateway does not answer), and
another of its networks would.

## Why it matters

There is one default route. Engines before 28 take the first network in the byte order of the names,
and choose anew on every connect and disconnect: joining a second network can cut a container off
from the outside, without a change of anything else.

## How to fix it

From engine 28 on (API 1.48): connect the network that leads out with `--gw-priority 1` (Compose:
`gw_priority: 1`). Before: connect a network whose name sorts before all others, e.g. `0-egress`.

## When it is wrong

A network without masquerading leads out where other routers know its subnet.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let networks = case.networks();
    if !case.is_joined() || networks.len() < 2 {
        return Verdict::NotApplicable;
    }
    let good = networks.iter().find(|(network, _)| network.masquerades());
    let suspicious = networks
        .iter()
        .any(|(network, _)| !network.masquerades() && !network.internal);
    let Some(good) = good.filter(|_| suspicious) else {
        return Verdict::NotApplicable;
    };
    let name = case.name();
    let routes = case
        .snapshot()
        .and_then(|snapshot| snapshot.routes.as_ref().map_err(Clone::clone));
    let routes = match routes {
        Ok(routes) => routes,
        Err(reason) => return Verdict::Unknown(format!("the routes of `{name}`: {reason}")),
    };
    let Some((route, gateway)) = default_route(routes) else {
        return Verdict::Pass;
    };
    let through = networks
        .iter()
        .find(|(_, endpoint)| endpoint.gateways.contains(&gateway))
        .or_else(|| {
            networks
                .iter()
                .find(|(network, _)| network.contains(gateway))
        });
    let Some((network, _)) = through else {
        return Verdict::Pass;
    };
    if network.masquerades() || network.internal || went_out(case) {
        return Verdict::Pass;
    }
    let why = if network.driver == "bridge" {
        "it does not masquerade".to_owned()
    } else {
        let ping = match case.visit() {
            Ok(visit) => visit.ping(gateway),
            Err(reason) => {
                return Verdict::Unknown(format!("whether {gateway} answers `{name}`: {reason}"));
            }
        };
        match ping.known() {
            Some(Delivered::Silent) => format!("its gateway {gateway} does not answer"),
            Some(Delivered::Failed { errno }) => {
                format!("its gateway {gateway} does not answer ({})", errno.words())
            }
            Some(Delivered::Reply { .. } | Delivered::Neighbour { .. }) => return Verdict::Pass,
            None => {
                return Verdict::Unknown(format!(
                    "whether the gateway {gateway} answers `{name}`: it {}",
                    ping.why_unknown().unwrap_or_default()
                ));
            }
        }
    };
    let fault = Fault::error(
        format!(
            "the default route of `{name}` goes through `{}`, which does not lead out ({why}), not \
             through `{}`, which does",
            network.name, good.0.name
        ),
        vec![
            Subject::container(name),
            Subject::network(&network.name),
            Subject::network(&good.0.name),
        ],
    )
    .proof(format!(
        "seen from `{name}`: the default route is via {gateway} ({})",
        route.interface.as_deref().unwrap_or("no link named")
    ))
    .proof(format!(
        "Engine API: {gateway} belongs to `{}` (driver {}); `{}` is a bridge that masquerades",
        network.name, network.driver, good.0.name
    ));
    Verdict::Fail(vec![fault.fix(lead_out(case, &networks, good))])
}

fn default_route(routes: &[Route]) -> Option<(&Route, IpAddr)> {
    let route = routes
        .iter()
        .filter(|route| route.destination.1 == 0 && route.destination.0.is_ipv4())
        .min_by_key(|route| route.metric)?;
    Some((route, route.gateway?))
}

/// A connection to the outside that was allowed and opened: the route leads out after all.
fn went_out(case: &Case<'_>) -> bool {
    let Some(outbound) = &case.evidence.request.outbound else {
        return false;
    };
    let Ok(visit) = case.visit() else {
        return false;
    };
    let looked_up = visit
        .lookup(&outbound.host)
        .known()
        .map(|lookup| lookup.addresses.clone())
        .unwrap_or_default();
    outbound
        .address()
        .into_iter()
        .chain(looked_up)
        .any(|address| {
            matches!(
                visit.connect((address, outbound.port).into()).known(),
                Some(Connected::Open { .. })
            )
        })
}

fn lead_out(
    case: &Case<'_>,
    networks: &[(&Network, &Endpoint)],
    (good, endpoint): &(&Network, &Endpoint),
) -> Fix {
    let name = case.name();
    let knows_priorities = case
        .evidence
        .engine
        .known()
        .is_some_and(|engine| engine.api_at_least((1, 48)));
    if knows_priorities {
        let highest = networks
            .iter()
            .filter_map(|(_, endpoint)| endpoint.gateway_priority)
            .max()
            .unwrap_or(0);
        let mut words: Vec<String> = ["docker", "network", "connect", "--gw-priority"]
            .map(String::from)
            .into();
        words.push(highest.max(0).saturating_add(1).to_string());
        words.extend(connect_flags(endpoint, &[]));
        words.extend([good.name.clone(), name.to_owned()]);
        return Fix::new(
            format!("Let the default route go through `{}`", good.name),
            vec![
                shell::command(["docker", "network", "disconnect", &good.name, name]),
                shell::command(words),
            ],
        );
    }
    let network = first_in_order(case, networks);
    Fix::new(
        format!(
            "Connect a network that leads out and sorts first: this engine takes the first one in the \
             byte order of the names, and `{network}` comes before all others"
        ),
        vec![
            shell::command(["docker", "network", "create", &network]),
            shell::command(["docker", "network", "connect", &network, name]),
        ],
    )
}

/// A free name that sorts before those of the attached networks: `-` sorts before letters and
/// digits, so one more of them is always earlier.
fn first_in_order(case: &Case<'_>, networks: &[(&Network, &Endpoint)]) -> String {
    let is_first = |name: &String| {
        networks
            .iter()
            .all(|(network, _)| name.as_str() < network.name.as_str())
    };
    (1..64)
        .map(|dashes| format!("0{}egress", "-".repeat(dashes)))
        .find(|name| is_first(name) && case.free_network_name(name) == *name)
        .unwrap_or_else(|| "0-egress".into())
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Delivered, Question, Snapshot};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Fact};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, network, not_applicable, passes, snapshot,
        unknown, world,
    };

    fn app() -> Container {
        let mut app = container("app").on("a_lan", "172.20.0.9");
        app.endpoints[1].gateways.push(ip("172.20.0.1"));
        app.endpoints[0].gateways.push(ip("172.18.0.1"));
        app
    }

    fn via(gateway: &str) -> Snapshot {
        let mut seen = snapshot();
        seen.routes.as_mut().unwrap()[0].gateway = Some(ip(gateway));
        seen
    }

    fn no_masquerade() -> Evidence {
        let mut lan = network("a_lan", "172.20.0.0/16");
        lan.options.insert(
            "com.docker.network.bridge.enable_ip_masquerade".into(),
            "false".into(),
        );
        world(app()).with_network(lan)
    }

    fn macvlan(name: &str) -> crate::evidence::Network {
        let mut lan = network(name, "172.20.0.0/16");
        lan.driver = "macvlan".into();
        lan
    }

    fn ping(evidence: Evidence, answer: Delivered) -> Evidence {
        let question = Question::Ping {
            to: ip("172.20.0.1"),
            wait_ms: 1000,
        };
        evidence.answered(question, Answer::Ping(answer))
    }

    #[test]
    fn a_bridge_that_does_not_masquerade() {
        let evidence = no_masquerade().sees(via("172.20.0.1"));
        check_rule(
            &RULE,
            &evidence,
            fails(
                "the default route of `app` goes through `a_lan`, which does not lead out (it does not \
                 masquerade), not through `my_network`, which does",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create 0-egress",
                "docker network connect 0-egress app"
            ]
        );
    }

    #[test]
    fn newer_engines_have_priorities() {
        let mut evidence = no_masquerade().sees(via("172.20.0.1"));
        evidence.containers[0].endpoints[0]
            .aliases
            .push("shop".into());
        if let Fact::Known(engine) = &mut evidence.engine {
            engine.api_version = "1.48".into();
        }
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network disconnect my_network app",
                "docker network connect --gw-priority 1 --alias shop my_network app"
            ]
        );
    }

    #[test]
    fn a_macvlan_with_a_silent_gateway() {
        let evidence = world(app())
            .with_network(macvlan("a_lan"))
            .sees(via("172.20.0.1"));
        check_rule(&RULE, &evidence, unknown("the gateway 172.20.0.1 answers"));
        check_rule(
            &RULE,
            &ping(evidence.clone(), Delivered::Silent),
            fails(
                "the default route of `app` goes through `a_lan`, which does not lead out (its gateway \
                 172.20.0.1 does not answer), not through `my_network`, which does",
            ),
        );
        check_rule(
            &RULE,
            &ping(evidence, Delivered::Reply { took_ms: 1 }),
            passes(),
        );
    }

    #[test]
    fn a_name_that_sorts_before_a_zero_is_found() {
        let mut app = container("app").on("0-egress", "172.20.0.9");
        app.endpoints[1].gateways.push(ip("172.20.0.1"));
        let evidence = world(app)
            .with_network(macvlan("0-egress"))
            .sees(via("172.20.0.1"));
        assert_eq!(
            commands(&RULE, &ping(evidence, Delivered::Silent))[0],
            "docker network create 0--egress"
        );
    }

    #[test]
    fn the_good_route_one_network_and_an_internal_second_one_are_silent() {
        check_rule(&RULE, &no_masquerade().sees(via("172.18.0.1")), passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
        let mut inside = network("a_lan", "172.20.0.0/16");
        inside.internal = true;
        check_rule(
            &RULE,
            &world(app()).with_network(inside).sees(via("172.18.0.1")),
            not_applicable(),
        );
        check_rule(&RULE, &no_masquerade(), unknown("the routes of `app`"));
    }
}
