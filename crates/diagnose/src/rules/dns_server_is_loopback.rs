//! The container's DNS server is an address of its own loopback, where nobody is.

use crate::case::{Case, Heard, Servers, list};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

use super::dns_server_unreachable::mend;

/// See the module.
pub static RULE: Rule = Rule {
    code: "dns-server-is-loopback",
    title: "its DNS server is its own loopback",
    check: Check::Outbound,
    explained_by: &[
        "container-on-no-network",
        "network-mode-none",
        "shared-namespace-dead",
    ],
    docs: "\
## What it checks

All DNS servers chosen with `--dns`, or written into the container's /etc/resolv.conf, are loopback
addresses such as 127.0.0.53, and a query to them from inside the container is refused.

## Why it matters

A chosen server is asked from the container's own namespace, and there 127.0.0.53 is the container
itself, not the resolver of the host (systemd-resolved, dnsmasq). Container names still work, all
others fail. `docker run` warns: `Localhost DNS (127.0.0.53) may fail in containers`.

## How to fix it

Make the container again without `--dns`: the engine finds the host's servers by itself. Set in
`/etc/docker/daemon.json`: take it out there and restart the engine. Or have the host's resolver listen
on an address that containers reach (`DNSStubListenerExtra=172.17.0.1` of systemd-resolved), and choose
that.

## When it is wrong

A resolver inside the container that is not up yet.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    match case.servers() {
        Servers::OwnLoopback(heard) => Verdict::Fail(vec![fault(case, &heard)]),
        Servers::NotApplicable => Verdict::NotApplicable,
        // What is not known is said by `dns-server-unreachable`, once.
        Servers::Unknown(_) | Servers::Fine | Servers::Failing(_) | Servers::Silent(_) => {
            Verdict::Pass
        }
    }
}

fn fault(case: &Case<'_>, heard: &Heard) -> Fault {
    let name = case.name();
    let servers = heard.servers();
    let chosen = case.chosen_servers();
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(servers.iter().map(Subject::address));
    let what = if chosen.is_empty() {
        "has the DNS server"
    } else {
        "was given the DNS server"
    };
    let fault = Fault::error(
        format!(
            "`{name}` {what} {}, and a loopback address means the container itself",
            list(&servers)
        ),
        subjects,
    )
    .proofs(heard.proofs(case));
    if chosen.is_empty() {
        return fault.fix(Fix::new(
            format!(
                "Take {} out of \"dns\" in /etc/docker/daemon.json, or write an address there that \
                 containers reach, restart the engine and then the container",
                list(&servers)
            ),
            Vec::new(),
        ));
    }
    fault.fix(mend(case, &chosen))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{DnsOutcome, Errno};

    use super::RULE;
    use crate::rules::testing::servers::{asked, with_dns};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, ip, passes, snapshot, world,
    };
    use crate::rules::{dns_server_unreachable, upstream_dns_fails};

    const REFUSED: DnsOutcome = DnsOutcome::Undelivered(Errno::Refused);

    #[test]
    fn a_chosen_loopback_server() {
        let evidence = asked(
            world(with_dns("127.0.0.53")).sees(snapshot()),
            "127.0.0.53",
            REFUSED,
        );
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` was given the DNS server 127.0.0.53, and a loopback address means the container \
                 itself",
            ),
        );
        check_rule(&dns_server_unreachable::RULE, &evidence, passes());
        check_rule(&upstream_dns_fails::RULE, &evidence, passes());
        let lines = commands(&RULE, &evidence);
        assert!(!lines.is_empty() && lines.iter().all(|line| !line.contains("--dns")));
    }

    #[test]
    fn one_that_the_engine_was_given() {
        let mut seen = snapshot();
        seen.resolv_conf.as_mut().unwrap().nameservers = vec![ip("127.0.0.53")];
        let app = container("app").alone().on("bridge", "172.17.0.2");
        let evidence = asked(world(app).sees(seen), "127.0.0.53", REFUSED);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` has the DNS server 127.0.0.53, and a loopback address means the container itself",
            ),
        );
        assert!(fix_texts(&RULE, &evidence)[0].contains("daemon.json"));
    }

    #[test]
    fn somebody_there_or_another_server_is_another_story() {
        let evidence = world(with_dns("127.0.0.53")).sees(snapshot());
        let silent = asked(evidence.clone(), "127.0.0.53", DnsOutcome::TimedOut);
        check_rule(&RULE, &silent, passes());
        let answers = asked(evidence, "127.0.0.53", DnsOutcome::NxDomain);
        check_rule(&RULE, &answers, passes());
        let mut two = with_dns("127.0.0.53");
        two.detail_mut().dns.push("10.0.0.3".into());
        let two = asked(world(two).sees(snapshot()), "127.0.0.53", REFUSED);
        let dead = asked(two.clone(), "10.0.0.3", DnsOutcome::TimedOut);
        check_rule(&RULE, &dead, passes());
        let alive = asked(two, "10.0.0.3", DnsOutcome::NxDomain);
        check_rule(&RULE, &alive, passes());
    }
}
