//! The engine's host has no IPv6 way to the place that the container is to reach.

use super::host_has_no_route::{barred, opened, seen};
use crate::case::{Case, route_words};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-has-no-ipv6-route",
    title: "the engine's host has no IPv6 route to that place",
    check: Check::Outbound,
    explained_by: &["network-is-internal"],
    docs: "\
## What it checks

All addresses of a place outside that you asked about (`--outbound`, or the target of a pair) are IPv6 ones, none
could be connected to, the container's own route leads to the engine's host, and the host has no IPv6 route there.

## Why it matters

A network with IPv6 gives its containers an address and a route of that family, whether or not the host is on the
IPv6 internet. Programs then take the IPv6 address of a server first, and wait a second for `network is unreachable`.

## How to fix it

Give the host IPv6: an address and a default route from its provider. Or use the IPv4 address of the place; the
container is kept from IPv6 by a network that was made without `--ipv6`.

## When it is wrong

Policy rules (`ip -6 rule`) that let packets of containers take a way that the host's own do not take.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let tried = case.tried_outside();
    if !case.is_joined() || !tried.iter().any(|one| one.to.is_ipv6()) {
        return Verdict::NotApplicable;
    }
    // With both families a program takes the other one.
    if tried.iter().any(|one| opened(one) || one.to.is_ipv4()) || case.host_snapshot().is_none() {
        return Verdict::Pass;
    }
    let name = case.name();
    let faults = tried.iter().filter_map(|one| {
        let route = barred(case, one)?;
        let what = match route {
            None => "has no IPv6 route there".to_owned(),
            Some(route) => format!(
                "bars the way there by its route `{}`",
                route_words(route).join(" ")
            ),
        };
        let fault = Fault::error(
            format!("`{name}` cannot reach {}: the engine's host {what}", one.to),
            vec![Subject::container(name), Subject::address(one.to.ip())],
        )
        .proof(seen(case, one))
        .proof(format!("seen from the engine's host: it {what}"));
        Some(fault.fix(match route {
            Some(route) => {
                let mut words: Vec<String> = ["ip", "-6", "route", "del"].map(Into::into).into();
                words.extend(route_words(route));
                Fix::new(
                    "Take that route away, on the engine's host (as root)",
                    vec![shell::command(&words)],
                )
            }
            None => Fix::new(
                "Give the engine's host an IPv6 route, `ip -6 route add default via ROUTER` (as root; nobody here \
                 knows the router), or use an IPv4 address of that place",
                Vec::new(),
            ),
        }))
    });
    Verdict::from_faults(faults.take(1).collect())
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Errno, RouteKind};

    use super::RULE;
    use crate::rules::testing::ways::{On, host_route, outside};
    use crate::rules::testing::{check_rule, container, fails, not_applicable, passes, world};

    fn on(errno: Option<Errno>) -> On {
        On {
            to: "[2001:db8::9]:443",
            errno,
            ..On::default()
        }
    }

    #[test]
    fn no_route_of_that_family() {
        check_rule(
            &RULE,
            &outside(&on(Some(Errno::NetworkUnreachable))),
            fails("`web` cannot reach [2001:db8::9]:443: the engine's host has no IPv6 route there"),
        );
    }

    #[test]
    fn a_route_a_connection_or_another_error() {
        let with_route = On {
            routes: vec![host_route("::", 0, Some("eth0"), RouteKind::Unicast)],
            ..on(Some(Errno::NetworkUnreachable))
        };
        check_rule(&RULE, &outside(&with_route), passes());
        check_rule(&RULE, &outside(&on(Some(Errno::TimedOut))), passes());
        check_rule(&RULE, &outside(&on(None)), passes());
        let four = On {
            to: "203.0.113.9:443",
            errno: Some(Errno::NetworkUnreachable),
            ..On::default()
        };
        check_rule(&RULE, &outside(&four), not_applicable());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
