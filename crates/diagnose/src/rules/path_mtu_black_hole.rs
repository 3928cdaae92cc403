//! Packets that are too large for the way out vanish, and the container is not told.

use super::bridge_mtu_exceeds_uplink::{lost, sizes, smaller};
use crate::case::Case;
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "path-mtu-black-hole",
    title: "large packets vanish on the way",
    check: Check::Outbound,
    explained_by: &[],
    docs: "\
## What it checks

Where a connection outside that you asked about opened, and the link by which the engine's host sends packets there has
a smaller MTU than the container's own: three UDP datagrams that fill the container's MTU and must not be split are
sent to the same address and port. The host has to turn them away, so none leaves it; if nothing comes back, the
error that it owes the container is lost.

## Why it matters

TCP finds the right size of its packets by that error (`fragmentation needed`, ICMP type 3 code 4; `packet too big`
of ICMPv6). Without it small requests work, and everything larger hangs: TLS handshakes, `git push`, uploads. A
firewall rule that drops all ICMP is the usual cause.

## How to fix it

A network whose packets fit: `docker network create -o com.docker.network.driver.mtu=1400 NAME`, with the containers
moved to it. Or stop dropping ICMP errors on the host.

## When it is wrong

A packet filter drops UDP to that port before it is found too large, while TCP passes.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() || case.tried_outside().is_empty() {
        return Verdict::NotApplicable;
    }
    let Some((to, link, largest)) = lost(case) else {
        return Verdict::Pass;
    };
    let Some(bridged) = case.leaves_by(to.ip()) else {
        return Verdict::Pass;
    };
    let name = case.name();
    let network = bridged.network;
    Verdict::Fail(vec![
        Fault::error(
            format!(
                "connections of `{name}` to {to} open, and packets of more than {} bytes vanish: nobody tells it \
                 that they are too large",
                link.mtu
            ),
            vec![Subject::container(name), Subject::network(&network.name)],
        )
        .proofs(sizes(case, to.ip(), link, largest))
        .proof(format!(
            "seen from `{name}`: datagrams of {largest} bytes to {to} that must not be split: no error came back"
        ))
        .fix(smaller(case, network, link.mtu)),
    ])
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Errno, Fitted, Question, RouteKind};

    use super::RULE;
    use crate::evidence::Evidence;
    use crate::rules::testing::ways::{On, host_route, outside};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, world,
    };

    fn seen(mtu: u32, errno: Option<Errno>, fitted: Fitted) -> Evidence {
        outside(&On {
            routes: vec![host_route("0.0.0.0", 0, Some("eth0"), RouteKind::Unicast)],
            mtu,
            errno,
            ..On::default()
        })
        .answered(
            Question::Fits {
                to: "203.0.113.9:443".parse().unwrap(),
                bytes: 1500,
                wait_ms: 300,
            },
            Answer::Fits(fitted),
        )
    }

    #[test]
    fn no_error_comes_back() {
        let evidence = seen(1300, None, Fitted::Silent);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "connections of `web` to 203.0.113.9:443 open, and packets of more than 1300 bytes vanish: \
                 nobody tells it that they are too large",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence)[0],
            "docker network create -o com.docker.network.driver.mtu=1300 my_network-mtu-1300"
        );
    }

    #[test]
    fn errors_that_come_and_links_that_are_large_enough() {
        check_rule(
            &RULE,
            &seen(1300, None, Fitted::TooLarge { mtu: 1300 }),
            passes(),
        );
        check_rule(&RULE, &seen(1300, None, Fitted::Delivered), passes());
        // A datagram that fits may be left without an answer.
        check_rule(&RULE, &seen(1500, None, Fitted::Silent), passes());
        let failed = seen(1300, Some(Errno::TimedOut), Fitted::Silent);
        check_rule(&RULE, &failed, passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
