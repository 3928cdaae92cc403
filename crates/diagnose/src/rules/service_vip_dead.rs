//! The virtual address of a service does not answer, and its tasks do.

use std::net::SocketAddr;

use netcheck_probe::{Connected, Protocol};

use crate::case::{Case, connected_words};
use crate::evidence::{Fact, Service};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "service-vip-dead",
    title: "the service's virtual address does not answer, and its tasks do",
    check: Check::Networks,
    explained_by: &["service-without-tasks", "firewall-drops", "firewall-rejects"],
    docs: "\
## What it checks

You asked whether a container reaches a service of a swarm. Seen from that container, a connection to the
service's virtual address came to nothing, and connections to each of its running tasks, at their own addresses,
opened. That is judged where all running tasks are on this engine, and over TCP.

## Why it matters

A service has one address for all of its tasks, and the kernel of the node, by IPVS, spreads the connections. If
the kernel has no IPVS (small virtual machines, stripped kernels), or its table is stale, connections to that
address hang, while the tasks are fine.

## How to fix it

Load the module on each node: `modprobe ip_vs`, and start the tasks anew with `docker service update --force
NAME`. Where there is none, do without virtual addresses: `docker service update --endpoint-mode dnsrr NAME`; the
name then leads to the tasks themselves. Ports that are published on all nodes take a virtual address.

## When it is wrong

The tasks may have been about to start when the address was tried. Try again.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let target = case.evidence.request.target.as_ref();
    let Some((service, target)) = case
        .asked_service()
        .zip(target)
        .filter(|(_, target)| target.protocol == Protocol::Tcp && target.has_port())
    else {
        return Verdict::NotApplicable;
    };
    let virtual_addresses = case.virtual_addresses(service);
    // The address that the name comes to, or that was asked for.
    let meant = match target.host.parse() {
        Ok(address) => vec![address],
        Err(_) => case.resolution(&target.host).unwrap_or_default(),
    };
    let meant = meant.into_iter().find(|address| virtual_addresses.contains(address));
    let (Some(address), Ok(visit)) = (meant, case.visit()) else {
        return Verdict::NotApplicable;
    };
    let to = SocketAddr::new(address, target.port);
    let failed = match visit.connect(to) {
        Fact::Known(failed @ Connected::Failed { .. }) => failed,
        Fact::Known(Connected::Open { .. }) => return Verdict::Pass,
        // The path says that.
        Fact::NotCollected | Fact::Failed(_) => return Verdict::NotApplicable,
    };
    let (here, elsewhere) = case.tasks_here(service);
    if here.is_empty() && elsewhere == 0 {
        return Verdict::NotApplicable;
    }
    let unknown = |why: &str| {
        Verdict::Unknown(format!(
            "whether the tasks of the service `{}` answer at their own addresses: {why}",
            service.name
        ))
    };
    if elsewhere > 0 {
        return unknown("some are not on this engine");
    }
    let mut proofs = vec![format!("seen from `{}`: {to}: {}", case.name(), connected_words(failed))];
    for (task, to) in case.task_sockets(service, target.port) {
        match visit.connect(to) {
            Fact::Known(open @ Connected::Open { .. }) => proofs.push(format!(
                "seen from `{}`: {to}, which is `{}`: {}",
                case.name(),
                task.name,
                connected_words(open)
            )),
            // A task that does not answer is another story.
            Fact::Known(Connected::Failed { .. }) => return Verdict::Pass,
            Fact::NotCollected => return unknown("they were not tried"),
            Fact::Failed(why) => return unknown(&why),
        }
    }
    if proofs.len() == 1 {
        return unknown("they have none on this network");
    }
    Verdict::Fail(vec![fault(case, service, to).proofs(proofs).fixes(fixes(service))])
}

fn fault(case: &Case<'_>, service: &Service, to: SocketAddr) -> Fault {
    Fault::error(
        format!(
            "the virtual address of the service `{}`, {}, does not answer `{}`, and its tasks do",
            service.name,
            to.ip(),
            case.name()
        ),
        vec![Subject::container(case.name()), Subject::address(&service.name)],
    )
}

fn fixes(service: &Service) -> Vec<Fix> {
    let module = Fix::new(
        format!(
            "If the nodes' kernel has IPVS as a module, load it (`sudo modprobe ip_vs`) and start the tasks anew \
             (`docker service update --force {}`)",
            service.name
        ),
        Vec::new(),
    );
    if service.published {
        return vec![module];
    }
    let words = ["docker", "service", "update", "--endpoint-mode", "dnsrr", &service.name];
    vec![
        Fix::new(
            "Do without a virtual address: the name then leads to the tasks themselves",
            vec![shell::command(words)],
        ),
        module,
    ]
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Question, Then};

    use super::RULE;
    use crate::evidence::Evidence;
    use crate::rules::service_without_tasks::tests::{asks, task};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, unknown, world,
    };

    /// What came of connections to the virtual address, and to the one task.
    fn tried(address: &str, task_opens: Option<bool>) -> Evidence {
        let here = container("api.1").alone().on("back", "10.0.1.3");
        let mut evidence = asks(address, 1, vec![task("running", Some(&here), "")]).and(here);
        evidence = connected(evidence, "10.0.1.2:80", false);
        if let Some(opens) = task_opens {
            evidence = connected(evidence, "10.0.1.3:80", opens);
        }
        evidence
    }

    fn connected(evidence: Evidence, to: &str, opens: bool) -> Evidence {
        let to = to.parse().unwrap();
        let question = Question::Connect { to, listen_ms: 30 };
        let came = if opens {
            Connected::Open {
                from: "10.0.1.9:40000".parse().unwrap(),
                took_ms: 0,
                then: Then::Silent,
            }
        } else {
            Connected::Failed {
                errno: Errno::TimedOut,
                took_ms: 2000,
            }
        };
        evidence.answered(question, Answer::Connect(came))
    }

    const PROBLEM: &str = "the virtual address of the service `shop_api`, 10.0.1.2, does not answer `app`, and its \
                           tasks do";

    #[test]
    fn an_address_that_hangs_before_a_task_that_answers() {
        let evidence = tried("10.0.1.2", Some(true));
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker service update --endpoint-mode dnsrr shop_api"]
        );
        let by_name = tried("api", Some(true)).resolves("api", &["10.0.1.2"]);
        check_rule(&RULE, &by_name, fails(PROBLEM));
    }

    #[test]
    fn a_task_that_does_not_answer_is_another_story() {
        check_rule(&RULE, &tried("10.0.1.2", Some(false)), passes());
    }

    #[test]
    fn what_was_not_tried_is_unknown() {
        check_rule(&RULE, &tried("10.0.1.2", None), unknown("not tried"));
        let far = asks("10.0.1.2", 1, vec![task("running", None, "")]);
        let far = connected(far, "10.0.1.2:80", false);
        check_rule(&RULE, &far, unknown("not on this engine"));
    }

    #[test]
    fn names_that_lead_to_tasks_and_other_places_are_not_judged() {
        let direct = tried("api", Some(true)).resolves("api", &["10.0.1.3"]);
        check_rule(&RULE, &direct, not_applicable());
        check_rule(&RULE, &asks("10.0.1.2", 0, Vec::new()), not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }

    #[test]
    fn published_ports_take_the_address() {
        let mut evidence = tried("10.0.1.2", Some(true));
        if let crate::evidence::Fact::Known(services) = &mut evidence.services {
            services[0].published = true;
        }
        assert!(commands(&RULE, &evidence).is_empty());
    }
}
