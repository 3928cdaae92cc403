//! The container sends larger packets than the host's way out takes.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Fitted, Interface};

use super::host_has_no_route::opened;
use crate::case::{Case, Tried};
use crate::evidence::Network;
use crate::moved::{self, Change};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "bridge-mtu-exceeds-uplink",
    title: "its packets may be larger than the way out takes",
    check: Check::Outbound,
    explained_by: &["path-mtu-black-hole"],
    docs: "\
## What it checks

With `--outbound`, where the connection opened: whether the link by which the engine's host sends packets to that
place has a smaller MTU than the container's own link. It is a warning.

## Why it matters

A network of Docker's has an MTU of 1500 unless told otherwise; WireGuard has 1420, VXLAN and many clouds 1450 or
1460, PPPoE 1492. Each connection then begins with packets that are too large, and works only as long as every router
on the way says so and every firewall lets that through. Servers send what the container told them that it takes, and
where an error is lost on *their* way, downloads and TLS handshakes hang while small answers come.

## How to fix it

A network of the right size: `docker network create -o com.docker.network.driver.mtu=1400 NAME`, with the containers
moved to it; `{\"mtu\": 1400}` in daemon.json for the default bridge. Or let the host shorten what both sides agree
on: `iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu`.

## When it is wrong

The host already shortens the segment size (TCPMSS), or all that is ever sent is small.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    // Only where somebody asks about the way out: all else may never leave.
    if case.evidence.request.outbound.is_none() || !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let tried = case.tried_outside();
    let faults = tried.iter().filter(|one| opened(one)).filter_map(|one| {
        let (link, largest) = case.narrow_link(one.to.ip())?;
        let network = case.leaves_by(one.to.ip())?.network;
        let told = match case.fitted(one.to).known() {
            Some(Fitted::TooLarge { mtu }) => Some(format!(
                "seen from `{}`: a packet of {largest} bytes to {} is too large, it is told: {mtu} at most",
                case.name(),
                one.to
            )),
            _ => None,
        };
        let fault = Fault::warning(
            format!(
                "`{}` sends packets of up to {largest} bytes, and the way to {} takes {} at most",
                case.name(),
                one.to,
                link.mtu
            ),
            vec![
                Subject::container(case.name()),
                Subject::network(&network.name),
            ],
        )
        .proofs(sizes(case, one.to.ip(), link, largest))
        .proofs(told);
        Some(fault.fix(smaller(case, network, link.mtu)))
    });
    Verdict::from_faults(faults.take(1).collect())
}

/// The two MTUs.
pub(super) fn sizes(case: &Case<'_>, to: IpAddr, link: &Interface, largest: u32) -> Vec<String> {
    vec![
        format!(
            "seen from `{}`: its link to {to} has an MTU of {largest}",
            case.name()
        ),
        format!(
            "seen from the engine's host: packets there go out by {}, whose MTU is {}",
            link.name, link.mtu
        ),
    ]
}

/// A network whose packets fit.
pub(super) fn smaller(case: &Case<'_>, network: &Network, mtu: u32) -> Fix {
    let option = format!("com.docker.network.driver.mtu={mtu}");
    let compose = format!("driver_opts: {{com.docker.network.driver.mtu: {mtu}}}");
    let daemon = format!("{{\"mtu\": {mtu}}}");
    let change = Change {
        what: "whose packets fit",
        suffix: &format!("mtu-{mtu}"),
        options: &[option],
        compose: &compose,
        daemon: &daemon,
    };
    moved::all(case, network, &change)
}

/// What became of large packets to the places that opened.
pub(super) fn lost<'a>(case: &Case<'a>) -> Option<(SocketAddr, &'a Interface, u32)> {
    let tried = case.tried_outside();
    tried.iter().filter(|one: &&Tried<'_>| opened(one)).find_map(|one| {
        let (link, largest) = case.narrow_link(one.to.ip())?;
        let silent = case.fitted(one.to).known() == Some(&&Fitted::Silent);
        silent.then_some((one.to, link, largest))
    })
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Fitted, Question, RouteKind};

    use super::RULE;
    use crate::evidence::Evidence;
    use crate::rules::testing::ways::{On, host_route, outside};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, world,
    };

    fn seen(mtu: u32) -> Evidence {
        outside(&On {
            routes: vec![host_route("0.0.0.0", 0, Some("eth0"), RouteKind::Unicast)],
            mtu,
            ..On::default()
        })
        .answered(
            Question::Fits {
                to: "203.0.113.9:443".parse().unwrap(),
                bytes: 1500,
                wait_ms: 300,
            },
            Answer::Fits(Fitted::TooLarge { mtu }),
        )
    }

    #[test]
    fn a_smaller_uplink() {
        let evidence = seen(1420);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`web` sends packets of up to 1500 bytes, and the way to 203.0.113.9:443 takes 1420 at most",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence)[0],
            "docker network create -o com.docker.network.driver.mtu=1420 my_network-mtu-1420"
        );
    }

    #[test]
    fn links_that_are_as_large_and_questions_that_nobody_asked() {
        check_rule(&RULE, &seen(1500), passes());
        check_rule(&RULE, &seen(9000), passes());
        let mut unasked = seen(1420);
        unasked.request.outbound = None;
        check_rule(&RULE, &unasked, not_applicable());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
