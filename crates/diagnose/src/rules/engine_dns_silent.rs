//! The engine's own DNS does not answer the container, so that no name is found at all.

use netcheck_probe::{Answer, DnsOutcome, DnsQuery};

use crate::case::{Case, EMBEDDED_DNS, outcome_words};
use crate::evidence::Mode;
use crate::plan;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

use super::shared_namespace_dead::owner;

/// See the module.
pub static RULE: Rule = Rule {
    code: "engine-dns-silent",
    title: "the engine's DNS does not answer",
    check: Check::Name,
    explained_by: &[
        "container-not-running",
        "container-on-no-network",
        "shared-namespace-dead",
        // podman's is asked over the bridge, and at an address of the host.
        "bridge-down",
        "host-firewall-blocks-containers",
        "host-route-steals-subnet",
        // Of many look-ups some were answered.
        "name-resolves-sometimes",
    ],
    docs: "\
## What it checks

From inside the container, names of containers on its networks, which the engine's DNS knows by itself,
were looked up there: at 127.0.0.11 with Docker, at the gateway of the network with podman. No query was
answered.

## Why it matters

No container and no place outside is found by its name, though all of them are there: `temporary failure
in name resolution`, `EAI_AGAIN`. With Docker, rules in the container's own network namespace lead
127.0.0.11 to the engine; a VPN client or a firewall script in the container (or in one that shares its
network) that clears the nat table (`iptables -t nat -F`), or closes everything but the tunnel, takes the
DNS away with it. With podman the DNS is a program on the host, and its firewall may keep containers
from it.

## How to fix it

Docker: restart the container, and the rules are there again; then keep the script from clearing what it
has not made, or let it accept port 53 of 127.0.0.11. podman: `podman network reload --all` starts a DNS
that is gone; a firewall on the host has to let the networks' interfaces in on port 53.

## When it is wrong

An engine so busy that it answered none of the queries within the time.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    // What could not be looked at is told by the line `name`.
    let Ok(visit) = case.visit() else {
        return Verdict::NotApplicable;
    };
    let lookups = visit
        .answers
        .iter()
        .filter_map(|answered| match &answered.answer {
            Ok(Answer::Lookup(lookup)) => Some(lookup),
            _ => None,
        });
    let to_engine = lookups
        .flat_map(|lookup| &lookup.queries)
        .filter(|query| case.is_engines_dns(query.server.ip()));
    let mut unanswered: Option<&DnsQuery> = None;
    for query in to_engine {
        match query.outcome {
            DnsOutcome::Undelivered(_) => {}
            // For another name it may wait for servers that are silent.
            DnsOutcome::TimedOut if !plan::is_answered_locally(case, &query.name) => continue,
            DnsOutcome::TimedOut => {}
            _ => return Verdict::Pass,
        }
        unanswered.get_or_insert(query);
    }
    match unanswered {
        Some(query) => Verdict::Fail(vec![fault(case, query)]),
        None => Verdict::NotApplicable,
    }
}

fn fault(case: &Case<'_>, query: &DnsQuery) -> Fault {
    let (name, server) = (case.name(), query.server.ip());
    let fault = Fault::error(
        format!("`{name}` finds nobody by name: the engine's DNS at {server} does not answer it"),
        vec![Subject::container(name), Subject::address(server)],
    )
    .proof(format!(
        "seen from `{name}`: asking {server} port 53 for `{}`: {}",
        query.name,
        outcome_words(&query.outcome)
    ));
    let is_refused = matches!(query.outcome, DnsOutcome::Undelivered(_));
    fault.fix(if server == EMBEDDED_DNS {
        let owner = match &case.detail.mode {
            Mode::Container(word) => owner(case, word).map(|owner| owner.name.as_str()),
            _ => None,
        };
        // Who shares a namespace has to be started after its owner.
        let restarted: Vec<&str> = owner.into_iter().chain([name]).collect();
        Fix::new(
            format!(
                "Start {} again, so that the engine writes the rules anew that lead to its DNS; and keep what runs in \
                 there from clearing them (`iptables -t nat -F`) or from closing port 53",
                restarted
                    .iter()
                    .map(|one| format!("`{one}`"))
                    .collect::<Vec<_>>()
                    .join(", then ")
            ),
            vec![shell::command(["docker", "restart"].iter().chain(&restarted))],
        )
    } else if is_refused {
        Fix::new(
            "Have podman start its DNS again, on the engine's host (as root)",
            vec![shell::command(["podman", "network", "reload", "--all"])],
        )
    } else {
        Fix::new(
            format!(
                "Let packets of containers in on port 53 of {server}, where the firewall of the engine's host keeps \
                 them out: `docker netcheck --deep {name} {server}:53/udp` names the rule"
            ),
            Vec::new(),
        )
    })
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{DnsOutcome, Errno};

    use super::RULE;
    use crate::evidence::{Evidence, Mode};
    use crate::rules::testing::servers::{looked_up, through_podman};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, not_applicable, passes, snapshot, world,
    };

    fn on_docker() -> Evidence {
        world(container("app")).sees(snapshot())
    }

    const EMBEDDED: &str = "`app` finds nobody by name: the engine's DNS at 127.0.0.11 does not answer it";

    const REFUSED: DnsOutcome = DnsOutcome::Undelivered(Errno::Refused);

    #[test]
    fn rules_that_were_cleared_and_ports_that_were_closed() {
        for outcome in [REFUSED, DnsOutcome::TimedOut] {
            let evidence = looked_up(on_docker(), "app", "127.0.0.11", outcome);
            check_rule(&RULE, &evidence, fails(EMBEDDED));
            assert_eq!(commands(&RULE, &evidence), ["docker restart app"]);
        }
    }

    #[test]
    fn whose_namespace_it_is_has_to_start_first() {
        let vpn = container("vpn");
        let app = container("app").alone().mode(Mode::Container(vpn.id.clone()));
        let evidence = looked_up(world(app).and(vpn).sees(snapshot()), "db.example", "127.0.0.11", REFUSED);
        check_rule(&RULE, &evidence, fails(EMBEDDED));
        assert_eq!(commands(&RULE, &evidence), ["docker restart vpn app"]);
    }

    #[test]
    fn podmans_is_at_the_gateway() {
        let podman = || through_podman(container("app"));
        let gone = looked_up(podman(), "app", "172.18.0.1", REFUSED);
        let problem = "`app` finds nobody by name: the engine's DNS at 172.18.0.1 does not answer it";
        check_rule(&RULE, &gone, fails(problem));
        assert_eq!(commands(&RULE, &gone), ["podman network reload --all"]);
        let barred = looked_up(podman(), "app", "172.18.0.1", DnsOutcome::TimedOut);
        assert_eq!(commands(&RULE, &barred), [""; 0]);
        let names = "docker netcheck --deep app 172.18.0.1:53/udp";
        assert!(fix_texts(&RULE, &barred)[0].contains(names));
    }

    #[test]
    fn one_answer_is_enough_and_others_servers_are_not_the_engines() {
        let one = looked_up(on_docker(), "app", "127.0.0.11", DnsOutcome::TimedOut);
        let other = looked_up(one, "nobody", "127.0.0.11", DnsOutcome::NxDomain);
        check_rule(&RULE, &other, passes());
        // The servers behind it may be the silent ones.
        let outside = looked_up(on_docker(), "db.example", "127.0.0.11", DnsOutcome::TimedOut);
        check_rule(&RULE, &outside, not_applicable());
        let refused = looked_up(on_docker(), "db.example", "127.0.0.11", REFUSED);
        check_rule(&RULE, &refused, fails(EMBEDDED));
        let foreign = looked_up(on_docker(), "app", "10.0.0.2", DnsOutcome::TimedOut);
        check_rule(&RULE, &foreign, not_applicable());
        check_rule(&RULE, &on_docker(), not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
