//! The service that is asked for has no running task.

use crate::case::{Case, connected_words};
use crate::evidence::{Service, Task};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// A proof names no more tasks.
const MOST: usize = 4;

/// See the module.
pub static RULE: Rule = Rule {
    code: "service-without-tasks",
    title: "the service has no running task",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

You asked whether a container reaches a service of a swarm, by its name, `tasks.NAME` or its virtual address, and
the engine, which manages the swarm, knows no task of it that runs. How many it wants and what became of the
last ones is told with it.

## Why it matters

With nothing behind it, a service's name may be gone from DNS, or it may stay, with its virtual address: then
connections hang until they time out.

## How to fix it

Scale it up, or mend what keeps its tasks from running: `docker service ps --no-trunc NAME` says it for each.

## When it is wrong

The tasks may be about to start: an image is still being pulled, or a task that failed is started again in a
moment. Then wait for it.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(service) = case.asked_service() else {
        return Verdict::NotApplicable;
    };
    if service.running().next().is_some() {
        return Verdict::Pass;
    }
    Verdict::Fail(vec![fault(case, service)])
}

fn fault(case: &Case<'_>, service: &Service) -> Fault {
    let (from, name) = (case.name(), &service.name);
    let wanted = match service.replicas {
        Some(0) => "it is scaled to 0".to_owned(),
        Some(wanted) => format!("it wants {wanted}, and 0 run"),
        None => "0 run".to_owned(),
    };
    let mut fault = Fault::error(
        format!("`{from}` asks for the service `{name}`, which has no running task: {wanted}"),
        vec![Subject::container(from), Subject::address(name)],
    )
    .proof(format!("Engine API: no task of the service `{name}` runs"));
    let waiting: Vec<&Task> = service
        .tasks
        .iter()
        .filter(|task| service.replicas != Some(0) && (task.wanted == "running" || !task.error.is_empty()))
        .collect();
    let mut told: Vec<String> = waiting.iter().map(|task| task_words(task)).collect();
    told.sort();
    told.dedup();
    fault = fault.proofs(
        told.into_iter()
            .take(MOST)
            .map(|words| format!("Engine API: a task of it is {words}")),
    );
    let port = case.evidence.request.target.as_ref().map(|target| target.port);
    if let (Ok(visit), Some(port)) = (case.visit(), port) {
        for address in case.virtual_addresses(service) {
            let to = (address, port).into();
            if let Some(connected) = visit.connect(to).known() {
                fault = fault.proof(format!("seen from `{from}`: {to}: {}", connected_words(connected)));
            }
        }
    }
    if service.replicas == Some(0) {
        return fault.fix(Fix::new(
            "Let it have a task",
            vec![shell::command(["docker", "service", "scale", &format!("{name}=1")])],
        ));
    }
    let nowhere = waiting
        .iter()
        .any(|task| task.error.contains("scheduling constraints not satisfied"));
    if nowhere && !service.constraints.is_empty() {
        let mut words: Vec<String> = ["docker", "service", "update"].map(String::from).into();
        for constraint in &service.constraints {
            words.extend(["--constraint-rm".into(), constraint.clone()]);
        }
        words.push(name.clone());
        return fault.fix(Fix::new(
            format!(
                "No node is what its tasks ask for ({}): give a node that (`docker node update --label-add`), or let \
                 them run anywhere",
                service.constraints.join(", ")
            ),
            vec![shell::command(&words)],
        ));
    }
    fault.fix(Fix::new(
        format!(
            "Mend what keeps its tasks from running (`docker service ps --no-trunc {name}`, `docker service logs \
             {name}`); they are started again by themselves"
        ),
        Vec::new(),
    ))
}

fn task_words(task: &Task) -> String {
    if task.error.is_empty() {
        task.state.clone()
    } else {
        format!("{}: {}", task.state, task.error)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use netcheck_probe::Protocol;

    use super::RULE;
    use crate::evidence::{Container, Evidence, Fact, Service, Task};
    use crate::request::Target;
    use crate::rules::testing::{
        check_rule, commands, container, fails, id_of, ip, network, not_applicable, passes, world,
    };

    /// A task in this state, of the container with this name.
    pub(crate) fn task(state: &str, container: Option<&Container>, error: &str) -> Task {
        Task {
            state: state.into(),
            wanted: "running".into(),
            error: error.into(),
            container: container.map(|one| one.id.clone()),
        }
    }

    /// `app` on the overlay `back` asks for this place, and `api` is a service there at 10.0.1.2.
    pub(crate) fn asks(host: &str, replicas: u64, tasks: Vec<Task>) -> Evidence {
        let app = container("app").alone().on("back", "10.0.1.9");
        let mut evidence = world(app);
        let mut back = network("back", "10.0.1.0/24");
        back.driver = "overlay".into();
        if let Fact::Known(networks) = &mut evidence.networks {
            networks.push(back);
        }
        evidence.services = Fact::Known(vec![Service {
            id: id_of("api"),
            name: "shop_api".into(),
            aliases: vec!["api".into()],
            networks: vec![id_of("back")],
            virtual_addresses: vec![(id_of("back"), ip("10.0.1.2"))],
            replicas: Some(replicas),
            published: false,
            constraints: vec!["node.labels.zone==a".into()],
            tasks,
        }]);
        evidence.request.target = Some(Target::new(host, 80, Protocol::Tcp));
        evidence
    }

    #[test]
    fn a_service_that_is_scaled_to_nothing() {
        for host in ["shop_api", "api", "tasks.shop_api", "10.0.1.2"] {
            let evidence = asks(host, 0, vec![task("shutdown", None, "")]);
            check_rule(
                &RULE,
                &evidence,
                fails("`app` asks for the service `shop_api`, which has no running task: it is scaled to 0"),
            );
            assert_eq!(commands(&RULE, &evidence), ["docker service scale shop_api=1"]);
        }
    }

    #[test]
    fn a_service_that_no_node_may_run() {
        let error = "no suitable node (scheduling constraints not satisfied on 1 node)";
        let evidence = asks("api", 2, vec![task("pending", None, error)]);
        check_rule(
            &RULE,
            &evidence,
            fails("`app` asks for the service `shop_api`, which has no running task: it wants 2, and 0 run"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker service update --constraint-rm node.labels.zone==a shop_api"]
        );
    }

    #[test]
    fn one_task_is_enough() {
        let evidence = asks("api", 2, vec![task("running", None, ""), task("pending", None, "x")]);
        check_rule(&RULE, &evidence, passes());
    }

    #[test]
    fn other_places_and_networks_are_not_judged() {
        check_rule(&RULE, &asks("db", 0, Vec::new()), not_applicable());
        check_rule(&RULE, &asks("10.0.1.3", 0, Vec::new()), not_applicable());
        let mut elsewhere = asks("api", 0, Vec::new());
        elsewhere.containers[0] = container("app");
        check_rule(&RULE, &elsewhere, not_applicable());
        let mut unknown = asks("api", 0, Vec::new());
        unknown.services = Fact::NotCollected;
        check_rule(&RULE, &unknown, not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
