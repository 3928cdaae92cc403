//! The DNS servers that the container's outside names go to do not answer.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{DnsOutcome, RecordType};

use crate::case::{Case, EMBEDDED_DNS, list, outcome_words};
use crate::evidence::{Fact, Visit};
use crate::plan::{self, UPSTREAM_TEST};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "dns-server-unreachable",
    title: "its DNS servers do not answer",
    check: Check::Outbound,
    explained_by: &[
        "container-on-no-network",
        "network-mode-none",
        "shared-namespace-dead",
        // Its own servers are asked through the default route.
        "default-route-through-other-network",
    ],
    docs: "\
## What it checks

One query for `netcheck.invalid` (a name that resolvers answer by themselves) from inside the
container: to the servers chosen with `--dns`, to those of its resolv.conf, or through the embedded
DNS to the servers behind it. Any answer counts, a refusal too. Public servers are asked only if you
allow the outside with `--outbound`.

## Why it matters

Container names still work, because the embedded DNS knows them itself; every other name ends after 5
to 12 seconds with `temporary failure in name resolution` (older engines), or at once with SERVFAIL.

## How to fix it

Chosen with `--dns`: make the container again without it, or with a server that answers. A loopback
address there means the container's own loopback, where nobody answers. Not chosen: the servers are
the host's; mend those, or give the engine others in `/etc/docker/daemon.json` (`\"dns\": [\"…\"]`) and
restart it.

## When it is wrong

A server that answers only some clients, or a machine that is offline for the moment.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let networks = case.networks();
    if !case.is_joined()
        || networks.is_empty()
        || networks.iter().all(|(network, _)| network.internal)
    {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let open = |reason: &str| Verdict::Unknown(format!("the DNS servers of `{name}`: {reason}"));
    let visit = match case.visit() {
        Ok(visit) => visit,
        Err(reason) => return open(reason),
    };
    let conf = match case.snapshot() {
        Ok(snapshot) => &snapshot.resolv_conf,
        Err(reason) => return open(&reason),
    };
    let servers = match conf {
        Ok(conf) => &conf.nameservers,
        Err(reason) => return open(reason),
    };
    let chosen: Vec<IpAddr> = case
        .detail
        .dns
        .iter()
        .filter_map(|server| server.parse().ok())
        .collect();
    if !servers.contains(&EMBEDDED_DNS) {
        return match ask(visit, servers) {
            Asked::Nobody => Verdict::NotApplicable,
            Asked::Unknown(reason) => open(&reason),
            Asked::Answered => Verdict::Pass,
            Asked::Dead(facts) => Verdict::Fail(vec![dead(case, &chosen, &facts)]),
        };
    }
    match ask(visit, &chosen) {
        Asked::Answered => return Verdict::Pass,
        Asked::Dead(facts) => return Verdict::Fail(vec![dead(case, &chosen, &facts)]),
        Asked::Nobody | Asked::Unknown(_) => {}
    }
    match outcome(visit, EMBEDDED_DNS) {
        Fact::Known(DnsOutcome::TimedOut | DnsOutcome::ServFail) => {
            Verdict::Fail(vec![behind_embedded(case, visit, &chosen)])
        }
        // The embedded DNS itself is not there: nothing is known of the servers behind it.
        Fact::Known(DnsOutcome::Undelivered(errno)) => {
            open(&format!("the embedded DNS: {}", errno.words()))
        }
        Fact::Known(_) => Verdict::Pass,
        // Not asked, because the servers behind it are on the internet; or because nobody could say
        // which they are.
        Fact::NotCollected if plan::asks_the_internet(case).is_some() => Verdict::NotApplicable,
        Fact::NotCollected => match case.host_visit() {
            Err(why) => open(&format!("which they are, the engine's host would know: {why}")),
            Ok(_) => open("which they are could not be read on the engine's host"),
        },
        Fact::Failed(reason) => open(&reason),
    }
}

/// What came of the queries to several servers.
enum Asked {
    /// None was sent: the servers are public, or there are none.
    Nobody,
    /// The probe could not ask.
    Unknown(String),
    /// At least one answered.
    Answered,
    /// All that were asked stayed silent: the server, and how.
    Dead(Vec<(IpAddr, String)>),
}

fn outcome(visit: &Visit, server: IpAddr) -> Fact<DnsOutcome> {
    match visit.query(UPSTREAM_TEST, RecordType::A, SocketAddr::new(server, 53)) {
        Fact::Known(query) => Fact::Known(query.outcome.clone()),
        Fact::NotCollected => Fact::NotCollected,
        Fact::Failed(reason) => Fact::Failed(reason),
    }
}

fn ask(visit: &Visit, servers: &[IpAddr]) -> Asked {
    let mut dead = Vec::new();
    let mut failed = None;
    for server in servers {
        match outcome(visit, *server) {
            Fact::Known(outcome @ (DnsOutcome::TimedOut | DnsOutcome::Undelivered(_))) => {
                dead.push((*server, outcome_words(&outcome)));
            }
            Fact::Known(_) => return Asked::Answered,
            Fact::NotCollected => {}
            Fact::Failed(reason) => failed = Some(reason),
        }
    }
    match (failed, dead.is_empty()) {
        (Some(reason), _) => Asked::Unknown(reason),
        (None, true) => Asked::Nobody,
        (None, false) => Asked::Dead(dead),
    }
}

fn dead(case: &Case<'_>, chosen: &[IpAddr], facts: &[(IpAddr, String)]) -> Fault {
    let name = case.name();
    let servers: Vec<IpAddr> = facts.iter().map(|(server, _)| *server).collect();
    let loopback = servers.iter().any(IpAddr::is_loopback);
    let why = if loopback {
        " (a loopback address means the container itself)"
    } else {
        ""
    };
    let whose = if chosen.is_empty() {
        "the DNS servers of"
    } else {
        "the DNS servers chosen for"
    };
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(servers.iter().map(Subject::address));
    let mut fault = Fault::error(
        format!("{whose} `{name}` do not answer: {}{why}", list(&servers)),
        subjects,
    );
    for (server, words) in facts {
        fault = fault.proof(format!(
            "seen from `{name}`: asking {server} port 53 for {UPSTREAM_TEST}: {words}"
        ));
    }
    fault.fix(mend(case, chosen))
}

fn behind_embedded(case: &Case<'_>, visit: &Visit, chosen: &[IpAddr]) -> Fault {
    let name = case.name();
    let words = match outcome(visit, EMBEDDED_DNS) {
        Fact::Known(outcome) => outcome_words(&outcome),
        Fact::NotCollected | Fact::Failed(_) => String::new(),
    };
    let upstreams = plan::upstreams(case);
    let mut fault = Fault::error(
        format!("the servers behind the embedded DNS of `{name}` do not answer"),
        vec![Subject::container(name)],
    )
    .proof(format!(
        "seen from `{name}`: asking the embedded DNS (127.0.0.11) for {UPSTREAM_TEST}: {words}"
    ));
    if !upstreams.is_empty() {
        fault = fault.proof(format!("the servers behind it: {}", list(&upstreams)));
    }
    fault.fix(mend(case, chosen))
}

fn mend(case: &Case<'_>, chosen: &[IpAddr]) -> Fix {
    if !chosen.is_empty() {
        return case.recreate().drop_dns().fix(
            "Use the engine's own servers instead of those chosen with --dns",
            "take `dns` out",
        );
    }
    let upstreams = plan::upstreams(case);
    let now = if upstreams.is_empty() {
        String::new()
    } else {
        format!(" instead of {}", list(&upstreams))
    };
    Fix::new(
        format!(
            "Make the engine use DNS servers that answer{now}: correct /etc/resolv.conf of its host, or \
             set \"dns\" in /etc/docker/daemon.json, restart the engine and then the container"
        ),
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, DnsOutcome, DnsQuery, Errno, Question, RecordType, Snapshot};

    use super::{RULE, UPSTREAM_TEST};
    use crate::evidence::{Container, Evidence, Fact};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes, snapshot,
        unknown, world,
    };

    fn asked(evidence: Evidence, server: &str, outcome: DnsOutcome) -> Evidence {
        let server = std::net::SocketAddr::new(ip(server), 53);
        evidence.answered(
            Question::Query {
                name: UPSTREAM_TEST.into(),
                record: RecordType::A,
                server,
            },
            Answer::Query(DnsQuery {
                name: UPSTREAM_TEST.into(),
                record: RecordType::A,
                server,
                outcome,
                took_ms: 5000,
            }),
        )
    }

    fn with_dns(server: &str) -> Container {
        let mut app = container("app");
        app.detail_mut().dns.push(server.into());
        app
    }

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
    fn a_chosen_loopback_server() {
        let evidence = asked(
            world(with_dns("127.0.0.53")).sees(snapshot()),
            "127.0.0.53",
            DnsOutcome::Undelivered(Errno::Refused),
        );
        check_rule(
            &RULE,
            &evidence,
            fails(
                "the DNS servers chosen for `app` do not answer: 127.0.0.53 (a loopback address means \
                 the container itself)",
            ),
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
    fn the_servers_behind_the_embedded_dns() {
        let healthy = world(container("app")).sees(snapshot());
        for outcome in [DnsOutcome::TimedOut, DnsOutcome::ServFail] {
            let evidence = asked(healthy.clone(), "127.0.0.11", outcome);
            check_rule(
                &RULE,
                &evidence,
                fails("the servers behind the embedded DNS of `app` do not answer"),
            );
            assert!(commands(&RULE, &evidence).is_empty());
            assert!(fix_texts(&RULE, &evidence)[0].contains("daemon.json"));
        }
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
