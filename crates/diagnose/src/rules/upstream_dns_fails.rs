//! The name servers that the container's outside names finally go to fail.

use crate::case::{Case, Heard, Servers, list};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

use super::dns_server_unreachable::{BROKEN_WAYS, blamed, mend, podmans_servers, whose};

/// See the module.
pub static RULE: Rule = Rule {
    code: "upstream-dns-fails",
    title: "the name servers for names outside fail",
    check: Check::Outbound,
    explained_by: BROKEN_WAYS,
    docs: "\
## What it checks

One query for `netcheck.invalid` (a name of which resolvers say by themselves that it does not exist)
from inside the container, by the way its names take, and one from the engine's host to the host's own
servers. Either the servers answer with an error (SERVFAIL, REFUSED), or they are the host's own and the
host gets no answer from them either. Public servers are asked only if you allow the outside with
`--outbound`.

Servers that were chosen with `--dns` or for the engine and that stay silent, and servers that answer
the host but not the container, are `dns-server-unreachable`.

## Why it matters

Container names still work, because the embedded DNS knows them itself; every other name ends with
`temporary failure in name resolution` or `EAI_AGAIN`, at once or after 5 to 12 seconds.

## How to fix it

Mend the servers, or use others: in /etc/resolv.conf of the engine's host, or `\"dns\"` in
`/etc/docker/daemon.json`. Chosen with `--dns`: make the container again without it. Only the first
three servers are used, and the first that answers decides.

## When it is wrong

A server that refuses `netcheck.invalid` on purpose and answers other names.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    match case.servers() {
        Servers::Failing(heard) => Verdict::Fail(vec![fault(case, &heard)]),
        Servers::NotApplicable => Verdict::NotApplicable,
        // What is not known is said by `dns-server-unreachable`, once.
        Servers::Unknown(_) | Servers::Fine | Servers::OwnLoopback(_) | Servers::Silent(_) => {
            Verdict::Pass
        }
    }
}

fn fault(case: &Case<'_>, heard: &Heard) -> Fault {
    let name = case.name();
    let mut servers = blamed(case, heard);
    let problem = if servers.is_empty() {
        format!("the servers behind {} of `{name}` fail", case.engines_dns_words())
    } else {
        format!("{} fail: {}", whose(case), list(&servers))
    };
    if servers.is_empty() && !heard.host_is_fine() {
        servers.extend(heard.by_host.iter().map(|(server, _)| *server));
    }
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(servers.iter().map(Subject::address));
    let fault = Fault::error(problem, subjects).proofs(heard.proofs(case));
    let chosen = case.chosen_servers();
    // The host's own are fine: the engine asks others.
    if chosen.is_empty() && heard.host_is_fine() {
        if case.is_podman() {
            return fault.fix(podmans_servers());
        }
        return fault.fix(Fix::new(
            "Make the engine use DNS servers that answer, e.g. those of its host: take the ones that fail \
             out of \"dns\" in /etc/docker/daemon.json, restart the engine and then the container",
            Vec::new(),
        ));
    }
    fault.fix(mend(case, &chosen))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::DnsOutcome;

    use super::RULE;
    use crate::evidence::{Evidence, Mode};
    use crate::rules::dns_server_unreachable;
    use crate::rules::testing::servers::{asked, by_host, looked_up, through_podman, with_dns};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes, snapshot,
        unknown, world,
    };

    const BEHIND: &str = "the servers behind the embedded DNS of `app` fail";

    #[test]
    fn an_error_that_the_embedded_dns_hands_on() {
        let healthy = world(container("app")).sees(snapshot());
        for outcome in [DnsOutcome::ServFail, DnsOutcome::Refused] {
            let evidence = asked(healthy.clone(), "127.0.0.11", outcome);
            check_rule(&RULE, &evidence, fails(BEHIND));
            check_rule(&dns_server_unreachable::RULE, &evidence, passes());
            assert!(commands(&RULE, &evidence).is_empty());
            assert!(fix_texts(&RULE, &evidence)[0].contains("daemon.json"));
            // The host asks others than the engine does.
            let others = by_host(evidence, "10.0.0.2", DnsOutcome::NxDomain);
            check_rule(&RULE, &others, fails(BEHIND));
            assert!(fix_texts(&RULE, &others)[0].contains("those of its host"));
        }
    }

    #[test]
    fn the_hosts_own_server_is_dead() {
        let healthy = world(container("app")).sees(snapshot());
        let silent = asked(healthy, "127.0.0.11", DnsOutcome::TimedOut);
        let dead = by_host(silent.clone(), "10.0.0.2", DnsOutcome::TimedOut);
        check_rule(&RULE, &dead, fails(BEHIND));
        assert!(fix_texts(&RULE, &dead)[0].contains("instead of 10.0.0.2"));
        // It answers the host: the way to it is another rule's.
        let alive = by_host(silent, "10.0.0.2", DnsOutcome::NxDomain);
        check_rule(&RULE, &alive, passes());
    }

    /// Docker 26 and later: SERVFAIL for silence, and the servers in a comment.
    #[test]
    fn an_engine_that_answers_for_silent_servers() {
        let mut seen = snapshot();
        seen.resolv_conf.as_mut().unwrap().upstreams = vec!["host(10.0.0.2)".into()];
        let evidence = asked(
            world(container("app")).sees(seen),
            "127.0.0.11",
            DnsOutcome::ServFail,
        );
        let dead = by_host(evidence.clone(), "10.0.0.2", DnsOutcome::TimedOut);
        check_rule(&RULE, &dead, fails(BEHIND));
        check_rule(&dns_server_unreachable::RULE, &dead, passes());
        let alive = by_host(evidence, "10.0.0.2", DnsOutcome::NxDomain);
        check_rule(&RULE, &alive, passes());
    }

    #[test]
    fn chosen_servers_that_refuse() {
        let evidence = asked(
            world(with_dns("10.0.0.3")).sees(snapshot()),
            "10.0.0.3",
            DnsOutcome::Refused,
        );
        check_rule(
            &RULE,
            &evidence,
            fails("the DNS servers chosen for `app` fail: 10.0.0.3"),
        );
        check_rule(&dns_server_unreachable::RULE, &evidence, passes());
        let lines = commands(&RULE, &evidence);
        assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains("--dns")));
    }

    /// podman's DNS asks from the host, whatever the container could reach.
    #[test]
    fn behind_podmans_dns() {
        let silent = |app| {
            let known = DnsOutcome::Addresses(vec![ip("172.18.0.9")]);
            let alive = looked_up(through_podman(app), "app", "172.18.0.1", known);
            asked(alive, "172.18.0.1", DnsOutcome::TimedOut)
        };
        let dead = by_host(silent(container("app")), "10.0.0.2", DnsOutcome::TimedOut);
        let behind = "the servers behind podman's DNS of `app` fail";
        check_rule(&RULE, &dead, fails(behind));
        check_rule(&dns_server_unreachable::RULE, &dead, passes());
        let text = &fix_texts(&RULE, &dead)[0];
        assert!(text.contains("instead of 10.0.0.2") && text.contains("containers.conf"), "{text}");
        // They answer the host, which it asks from.
        let alive = by_host(silent(container("app")), "10.0.0.2", DnsOutcome::NxDomain);
        check_rule(&RULE, &alive, passes());
        let text = &fix_texts(&dns_server_unreachable::RULE, &alive)[0];
        assert!(text.contains("network_dns_servers"), "{text}");
        // It knows no container either, or was asked for none: nothing is known of them.
        let whole = |evidence: Evidence| by_host(evidence, "10.0.0.2", DnsOutcome::TimedOut);
        for own in [None, Some(DnsOutcome::TimedOut)] {
            let mut evidence = through_podman(container("app"));
            if let Some(outcome) = own {
                evidence = looked_up(evidence, "app", "172.18.0.1", outcome);
            }
            let evidence = whole(asked(evidence, "172.18.0.1", DnsOutcome::TimedOut));
            check_rule(&RULE, &evidence, passes());
            check_rule(&dns_server_unreachable::RULE, &evidence, unknown("the DNS servers of `app`"));
        }
        let chosen = silent(with_dns("10.0.0.3"));
        check_rule(&RULE, &chosen, passes());
        check_rule(
            &dns_server_unreachable::RULE,
            &chosen,
            fails("the DNS servers chosen for `app` do not answer: 10.0.0.3"),
        );
        let fine = asked(through_podman(with_dns("10.0.0.3")), "172.18.0.1", DnsOutcome::NxDomain);
        check_rule(&RULE, &fine, passes());
        check_rule(&dns_server_unreachable::RULE, &fine, passes());
    }

    #[test]
    fn in_host_mode_they_are_the_hosts() {
        let mut seen = snapshot();
        seen.resolv_conf.as_mut().unwrap().nameservers = vec![ip("127.0.0.53")];
        let app = container("app").alone().mode(Mode::Host);
        let evidence = world(app).sees(seen);
        let dead = asked(evidence.clone(), "127.0.0.53", DnsOutcome::TimedOut);
        check_rule(
            &RULE,
            &dead,
            fails("the DNS servers of `app` fail: 127.0.0.53"),
        );
        check_rule(&dns_server_unreachable::RULE, &dead, passes());
        let alive = asked(evidence, "127.0.0.53", DnsOutcome::NxDomain);
        check_rule(&RULE, &alive, passes());
    }

    #[test]
    fn one_that_answers_is_enough() {
        let mut seen = snapshot();
        seen.resolv_conf.as_mut().unwrap().nameservers = vec![ip("10.0.0.2"), ip("10.0.0.3")];
        let app = container("app").alone().on("bridge", "172.17.0.2");
        let one = asked(world(app).sees(seen), "10.0.0.2", DnsOutcome::ServFail);
        check_rule(
            &RULE,
            &one,
            fails("the DNS servers of `app` fail: 10.0.0.2"),
        );
        check_rule(
            &RULE,
            &asked(one, "10.0.0.3", DnsOutcome::NxDomain),
            passes(),
        );
    }

    #[test]
    fn silent_where_nothing_was_asked() {
        check_rule(&RULE, &world(container("app")), passes());
        let alone = world(container("app").alone()).sees(snapshot());
        check_rule(&RULE, &alone, not_applicable());
    }
}
