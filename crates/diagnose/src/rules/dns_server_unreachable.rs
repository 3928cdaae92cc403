//! The DNS servers that the container's outside names go to do not answer.

use std::net::IpAddr;

use crate::case::{Case, Heard, Servers, list};
use crate::plan;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// What keeps packets from any server.
pub(super) const BROKEN_WAYS: &[&str] = &[
    "container-on-no-network",
    "network-mode-none",
    "shared-namespace-dead",
    // Its own servers are asked through the default route.
    "default-route-through-other-network",
    "bridge-down",
    "engine-dns-silent",
    "host-route-steals-subnet",
    "ip-forwarding-off",
    "engine-iptables-off",
    "masquerade-missing",
    "forward-rules-missing",
    "docker-user-drops-replies",
    "host-has-no-route",
    "macvlan-address-collision",
    "nat-rules-missing",
];

/// See the module.
pub static RULE: Rule = Rule {
    code: "dns-server-unreachable",
    title: "its DNS servers do not answer",
    check: Check::Outbound,
    explained_by: BROKEN_WAYS,
    docs: "\
## What it checks

One query for `netcheck.invalid` (a name that resolvers answer by themselves) from inside the
container: to the servers chosen with `--dns`, to those of its resolv.conf, or through the embedded
DNS to the servers behind it. Nothing came back, and nothing shows that the servers are dead: the
engine's host asks its own, too. Public servers are asked only if you allow the outside with
`--outbound`.

A server that answers with an error, or that fails the engine's host just the same, is
`upstream-dns-fails`; a loopback address is `dns-server-is-loopback`. Only one of the three is named.

## Why it matters

Container names still work, because the embedded DNS knows them itself; every other name ends after 5
to 12 seconds with `temporary failure in name resolution` (older engines), or at once with SERVFAIL.

## How to fix it

Chosen with `--dns`: make the container again without it, or with a server that answers. Not chosen:
they are written into `/etc/docker/daemon.json` (`\"dns\": [\"…\"]`), or they answer the host and not
the container: `docker netcheck --deep NAME SERVER:53/udp` looks where the packets get lost.

## When it is wrong

A server that answers only some clients, or a machine that is offline for the moment.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    match case.servers() {
        Servers::NotApplicable => Verdict::NotApplicable,
        Servers::Unknown(reason) => {
            Verdict::Unknown(format!("the DNS servers of `{}`: {reason}", case.name()))
        }
        // The errors and the loopback are rules of their own.
        Servers::Fine | Servers::Failing(_) | Servers::OwnLoopback(_) => Verdict::Pass,
        Servers::Silent(heard) => Verdict::Fail(vec![fault(case, &heard)]),
    }
}

fn fault(case: &Case<'_>, heard: &Heard) -> Fault {
    let name = case.name();
    let servers = blamed(case, heard);
    let chosen = case.chosen_servers();
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(servers.iter().map(Subject::address));
    let problem = if servers.is_empty() {
        let beside = if heard.host_is_fine() {
            ", though those of the engine's host answer the host"
        } else {
            ""
        };
        let through = case.engines_dns_words();
        format!("the servers behind {through} of `{name}` do not answer{beside}")
    } else {
        format!("{} do not answer: {}", whose(case), list(&servers))
    };
    let fault = Fault::error(problem, subjects).proofs(heard.proofs(case));
    if servers.is_empty() && heard.host_is_fine() {
        if case.is_podman() {
            return fault.fix(podmans_servers());
        }
        return fault.fix(Fix::new(
            format!(
                "Let packets from `{name}` come to port 53 of those servers: `docker netcheck --deep {name} \
                 SERVER:53/udp` looks where they get lost; or, where \"dns\" in /etc/docker/daemon.json \
                 gives the engine others than its host has, take them out, restart the engine and then \
                 the container"
            ),
            Vec::new(),
        ));
    }
    fault.fix(mend(case, &chosen))
}

/// Those that were asked from the container; else those chosen, whom only the engine's DNS asks.
pub(super) fn blamed(case: &Case<'_>, heard: &Heard) -> Vec<IpAddr> {
    let servers = heard.servers();
    if servers.is_empty() {
        case.chosen_servers()
    } else {
        servers
    }
}

/// `the DNS servers chosen for`, with the container.
pub(super) fn whose(case: &Case<'_>) -> String {
    let name = case.name();
    if case.chosen_servers().is_empty() {
        format!("the DNS servers of `{name}`")
    } else {
        format!("the DNS servers chosen for `{name}`")
    }
}

/// The way to servers that answer, away from those chosen or from the engine's.
pub(super) fn mend(case: &Case<'_>, chosen: &[IpAddr]) -> Fix {
    if !chosen.is_empty() {
        return case.recreate().drop_dns().fix(
            "Use the engine's own servers instead of those chosen with --dns",
            "take `dns` out",
        );
    }
    let upstreams = plan::upstreams(case);
    let set = if case.is_podman() {
        "set `dns_servers` in containers.conf and create the container again"
    } else {
        "set \"dns\" in /etc/docker/daemon.json, restart the engine and then the container"
    };
    let now = if upstreams.is_empty() {
        String::new()
    } else {
        format!(" instead of {}", list(&upstreams))
    };
    Fix::new(
        format!(
            "Make the engine use DNS servers that answer{now}: correct /etc/resolv.conf of its host, or {set}"
        ),
        Vec::new(),
    )
}

/// Where podman's DNS has servers from that are not those of its host (podman-network-create(1) `--dns`).
pub(super) fn podmans_servers() -> Fix {
    Fix::new(
        "Make podman's DNS ask servers that answer: it takes those of the network (`network_dns_servers` in \
         `podman network inspect`), else `dns_servers` in containers.conf, else those in /etc/resolv.conf of its host",
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{DnsOutcome, Errno, Snapshot};

    use super::RULE;
    use crate::evidence::Fact;
    use crate::rules::testing::servers::{asked, by_host, with_dns};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes, snapshot, unknown,
        world,
    };

    #[test]
    fn a_chosen_server_that_does_not_answer() {
        let evidence = asked(
            asked(
                world(with_dns("172.18.0.1")).sees(snapshot()),
                "172.18.0.1",
                DnsOutcome::Undelivered(Errno::Refused),
            ),
            "127.0.0.11",
            DnsOutcome::TimedOut,
        );
        check_rule(
            &RULE,
            &evidence,
            fails("the DNS servers chosen for `app` do not answer: 172.18.0.1"),
        );
        assert!(
            commands(&RULE, &evidence)
                .iter()
                .all(|line| !line.contains("--dns"))
        );
    }

    #[test]
    fn any_answer_shows_that_a_server_is_there() {
        for outcome in [
            DnsOutcome::Refused,
            DnsOutcome::ServFail,
            DnsOutcome::NxDomain,
        ] {
            let evidence = asked(
                world(with_dns("172.18.0.1")).sees(snapshot()),
                "172.18.0.1",
                outcome,
            );
            check_rule(&RULE, &evidence, passes());
        }
    }

    #[test]
    fn servers_that_answer_the_host_and_not_the_container() {
        let healthy = world(container("app")).sees(snapshot());
        let silent = asked(healthy.clone(), "127.0.0.11", DnsOutcome::TimedOut);
        check_rule(
            &RULE,
            &by_host(silent.clone(), "10.0.0.2", DnsOutcome::NxDomain),
            fails(
                "the servers behind the embedded DNS of `app` do not answer, though those of the engine's \
                 host answer the host",
            ),
        );
        // The host could not be asked.
        check_rule(
            &RULE,
            &silent,
            fails("the servers behind the embedded DNS of `app` do not answer"),
        );
        assert!(fix_texts(&RULE, &silent)[0].contains("daemon.json"));
        // The host's own server is dead: another rule's.
        check_rule(
            &RULE,
            &by_host(silent, "10.0.0.2", DnsOutcome::TimedOut),
            passes(),
        );
        let evidence = asked(healthy.clone(), "127.0.0.11", DnsOutcome::NxDomain);
        check_rule(&RULE, &evidence, passes());
        check_rule(&RULE, &healthy, unknown("which they are"));
        let mut public = snapshot();
        public.resolv_conf.as_mut().unwrap().upstreams = vec!["8.8.8.8".into()];
        let not_asked = world(container("app")).sees(public);
        check_rule(&RULE, &not_asked, not_applicable());
    }

    #[test]
    fn on_the_default_bridge_the_servers_are_asked_directly() {
        let mut seen: Snapshot = snapshot();
        seen.resolv_conf.as_mut().unwrap().nameservers = vec![ip("10.0.0.2"), ip("10.0.0.3")];
        let app = container("app").alone().on("bridge", "172.17.0.2");
        let evidence = asked(world(app).sees(seen), "10.0.0.2", DnsOutcome::TimedOut);
        check_rule(
            &RULE,
            &evidence,
            fails("the DNS servers of `app` do not answer: 10.0.0.2"),
        );
        // They are the host's, and the host gets no answer either.
        let dead = by_host(evidence.clone(), "10.0.0.2", DnsOutcome::TimedOut);
        check_rule(&RULE, &dead, passes());
        let one_answers = asked(evidence, "10.0.0.3", DnsOutcome::NxDomain);
        check_rule(&RULE, &one_answers, passes());
    }

    #[test]
    fn internal_networks_and_missing_looks() {
        let mut inside = asked(
            world(container("app")).sees(snapshot()),
            "127.0.0.11",
            DnsOutcome::ServFail,
        );
        if let Fact::Known(networks) = &mut inside.networks {
            networks[1].internal = true;
        }
        check_rule(&RULE, &inside, not_applicable());
        check_rule(
            &RULE,
            &world(container("app")),
            unknown("the DNS servers of `app`"),
        );
    }
}
