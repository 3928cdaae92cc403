//! The engine's host itself has no way to the place that the container is to reach.

use std::net::IpAddr;

use netcheck_probe::{Connected, Errno, Route, RouteKind};

use crate::case::{Case, Tried, Way, route_words};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-has-no-route",
    title: "the engine's host has no route to that place",
    check: Check::Outbound,
    explained_by: &["network-is-internal", "ip-forwarding-off"],
    docs: "\
## What it checks

An IPv4 address outside that you asked about (`--outbound`, or the target of a pair) could not be connected to, the
container's own route leads to the engine's host, and the host has no route to that address, or one of the kinds
`unreachable`, `prohibit` or `blackhole`. The host's kernel is asked, too (nothing is sent): it goes by all its tables
and rules. Containers are told `network is unreachable` or `no route to host`, or nothing: a kernel limits how often it
says so.

## Why it matters

What a container sends outside goes the way that the host's own packets go. A host that has no default route, or
whose VPN is down and has left a route that refuses, keeps its containers where it is.

## How to fix it

Bring the host's link or VPN up again, or give it a route. A route that refuses is taken away with `ip route del`.

## When it is wrong

Policy rules (`ip rule`) that let packets of containers take a way that the host's own do not take.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let tried = case.tried_outside();
    if !case.is_joined() || tried.is_empty() {
        return Verdict::NotApplicable;
    }
    if tried.iter().any(opened) {
        return Verdict::Pass;
    }
    if case.host_snapshot().is_none() {
        return match case.host_visit() {
            Err(why) if tried.iter().any(|one| errno(one).is_some_and(is_told)) => {
                Verdict::Unknown(format!("whether the engine's host has a route: {why}"))
            }
            _ => Verdict::NotApplicable,
        };
    }
    let faults = tried
        .iter()
        .filter(|one| one.to.is_ipv4())
        .filter_map(|one| Some(fault(case, one, barred(case, one)?)));
    Verdict::from_faults(faults.take(1).collect())
}

pub(super) fn opened(one: &Tried<'_>) -> bool {
    matches!(one.connected, Connected::Open { .. })
}

fn errno(one: &Tried<'_>) -> Option<Errno> {
    match one.connected {
        Connected::Failed { errno, .. } => Some(*errno),
        Connected::Open { .. } => None,
    }
}

/// An answer of a router.
fn is_told(errno: Errno) -> bool {
    matches!(errno, Errno::NetworkUnreachable)
}

/// The way of the host, where it is none and the error is just what that gives.
pub(super) fn barred<'a>(case: &Case<'a>, one: &Tried<'_>) -> Option<Option<&'a Route>> {
    // It got as far as the host.
    case.leaves_by(one.to.ip())?;
    let way = case.host_way(one.to.ip())?;
    // What the container is told, and what a program of the host is told.
    let (told, own) = match way {
        Way::By(_) => return None,
        Way::Nowhere => (Errno::NetworkUnreachable, Errno::NetworkUnreachable),
        Way::Refused(route) => match route.kind {
            RouteKind::Unicast => return None,
            RouteKind::Unreachable => (Errno::HostUnreachable, Errno::HostUnreachable),
            RouteKind::Prohibit => (Errno::HostUnreachable, Errno::NotPermitted),
            RouteKind::Blackhole => (Errno::TimedOut, Errno::Invalid),
        },
    };
    let came = errno(one)?;
    let asked = case.host_visit().ok()?.barred(one.to.ip());
    let is_sure = match asked.known() {
        // Silence, too: how often it is told is limited.
        Some(barred) => *barred == Some(own) && (came == told || came == Errno::TimedOut),
        None => came == told,
    };
    is_sure.then_some(match way {
        Way::Refused(route) => Some(route),
        Way::By(_) | Way::Nowhere => None,
    })
}

fn fault(case: &Case<'_>, one: &Tried<'_>, route: Option<&Route>) -> Fault {
    let name = case.name();
    let words = route.map(|route| route_words(route).join(" "));
    let what = match &words {
        None => "has no route there".to_owned(),
        Some(words) => format!("bars the way there by its route `{words}`"),
    };
    let fault = Fault::error(
        format!("`{name}` cannot reach {}: the engine's host {what}", one.to),
        vec![Subject::container(name), Subject::address(one.to.ip())],
    )
    .proof(seen(case, one))
    .proof(format!("seen from the engine's host: it {what}"));
    match route {
        Some(route) => {
            let mut words: Vec<String> = ["ip", "route", "del"].map(Into::into).into();
            words.extend(route_words(route));
            fault.fix(Fix::new(
                "Take that route away, on the engine's host (as root); a VPN that left it there has to be brought \
                 up, or down, as a whole",
                vec![shell::command(&words)],
            ))
        }
        None => fault.fix(Fix::new(
            format!(
                "Bring up the link or the VPN that leads there, on the engine's host, or give it a route: `ip \
                 route add {} via ROUTER` (as root; nobody here knows the router)",
                way_of(one.to.ip())
            ),
            Vec::new(),
        )),
    }
}

pub(super) fn seen(case: &Case<'_>, one: &Tried<'_>) -> String {
    let came = crate::case::connected_words(one.connected);
    format!("seen from `{}`: {}: {came}", case.name(), one.to)
}

fn way_of(address: IpAddr) -> String {
    if crate::plan::is_private(address) {
        address.to_string()
    } else {
        "default".into()
    }
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Errno, Question, RouteKind};

    use super::RULE;
    use crate::evidence::Viewpoint;
    use crate::rules::testing::ways::{On, host_route, outside};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, unknown, world,
    };

    fn on(errno: Errno, kind: Option<RouteKind>) -> On {
        On {
            errno: Some(errno),
            routes: kind
                .map(|kind| host_route("203.0.113.0", 24, None, kind))
                .into_iter()
                .collect(),
            ..On::default()
        }
    }

    #[test]
    fn no_route_and_routes_that_refuse() {
        let none = "`web` cannot reach 203.0.113.9:443: the engine's host has no route there";
        let evidence = outside(&on(Errno::NetworkUnreachable, None));
        check_rule(&RULE, &evidence, fails(none));
        assert!(commands(&RULE, &evidence).is_empty());
        for (errno, kind, word) in [
            (Errno::HostUnreachable, RouteKind::Unreachable, "unreachable"),
            (Errno::HostUnreachable, RouteKind::Prohibit, "prohibit"),
            (Errno::TimedOut, RouteKind::Blackhole, "blackhole"),
        ] {
            let evidence = outside(&on(errno, Some(kind)));
            assert_eq!(
                commands(&RULE, &evidence),
                [format!("ip route del {word} 203.0.113.0/24")]
            );
        }
    }

    #[test]
    fn silence_where_the_kernel_says_that_there_is_none() {
        let asked = |barred| {
            outside(&on(Errno::TimedOut, None)).answered_from(
                Viewpoint::Host,
                Question::Way {
                    to: "203.0.113.9".parse().unwrap(),
                },
                Answer::Way { barred },
            )
        };
        let none = "`web` cannot reach 203.0.113.9:443: the engine's host has no route there";
        check_rule(&RULE, &asked(Some(Errno::NetworkUnreachable)), fails(none));
        // By another table.
        check_rule(&RULE, &asked(None), passes());
    }

    #[test]
    fn another_error_a_route_or_a_connection_is_another_story() {
        for other in [
            on(Errno::TimedOut, None),
            on(Errno::Refused, None),
            on(Errno::TimedOut, Some(RouteKind::Unreachable)),
            on(Errno::NetworkUnreachable, Some(RouteKind::Unicast)),
            On {
                errno: None,
                ..On::default()
            },
        ] {
            check_rule(&RULE, &outside(&other), passes());
        }
    }

    #[test]
    fn its_own_missing_route_is_not_the_hosts() {
        let own = On {
            own_default: false,
            ..on(Errno::NetworkUnreachable, None)
        };
        check_rule(&RULE, &outside(&own), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
        let unseen = On {
            host_seen: false,
            ..on(Errno::NetworkUnreachable, None)
        };
        check_rule(&RULE, &outside(&unseen), unknown("has a route"));
    }
}
