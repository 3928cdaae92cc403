//! An overlay network that needs a swarm, or that takes only tasks of services.

use crate::case::Case;
use crate::evidence::{Fact, Network, Service, SwarmRole};
use crate::recreate::Recreate;
use crate::refusal::Told;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use crate::start_error::StartError;

/// See the module.
pub static RULE: Rule = Rule {
    code: "overlay-not-attachable",
    title: "overlay networks need a swarm, and to be attachable for containers",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's words: `Could not attach to network NAME: … not manually attachable`, from `docker run` and `docker
network connect`, or as the last error of a container that did not start; and `This node is not a swarm
manager`, from `docker network create --driver overlay`. Give them to `docker netcheck explain`, or ask about the
container. Which services are on the network is asked of the engine.

## Why it matters

Overlay networks belong to a swarm, and only a manager makes them. Without `--attachable` they are for the tasks
of services alone: a container that belongs to none, one of Compose too, may not join.

## How to fix it

Make the network with `--attachable`; that cannot be changed later, so services that are on the old one get the
new one as well. On a single machine a bridge network does the same without a swarm.

## When it is wrong

`This node is not a swarm manager` is said of every command about services and nodes, too. If no overlay network
was to be made, this finding says nothing beyond the engine's own words.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.subject.is_running() {
        return Verdict::NotApplicable;
    }
    match Told::of(case) {
        Some(told) if matches!(told.cause, StartError::NotAttachable(_)) => {
            Verdict::Fail(vec![fault(&told)])
        }
        _ => Verdict::Pass,
    }
}

/// What the words stand for.
pub(crate) fn fault(told: &Told<'_>) -> Fault {
    match &told.cause {
        StartError::NotAttachable(network) => not_attachable(told, network),
        _ => no_manager(told),
    }
}

fn not_attachable(told: &Told<'_>, name: &str) -> Fault {
    let problem = match told.refused {
        Some(container) => format!(
            "`{}` could not start: the overlay network `{name}` takes only tasks of services",
            container.name
        ),
        None => format!("the overlay network `{name}` takes only tasks of services"),
    };
    let mut subjects = told.subjects();
    subjects.push(Subject::network(name));
    let mut fault = Fault::error(problem, subjects).proof(told.proof());
    let networks = told.evidence.networks.known().into_iter().flatten();
    let network = networks
        .into_iter()
        .find(|network| network.name == name && network.driver == "overlay");
    let Some(network) = network else {
        return fault.fix(Fix::new(
            format!("Make it with `--attachable`, on a manager of the swarm: `docker network create --driver overlay --attachable {name}`"),
            Vec::new(),
        ));
    };
    let services = match &told.evidence.services {
        Fact::Known(services) => Some(on(services, network)),
        _ => None,
    };
    if network.attachable {
        fault = fault.proof(format!("Engine API: `{name}` is attachable now"));
        let again = told.start().into_iter().collect();
        return fault.fix(Fix::new("Try again", again));
    }
    fault = fault.proof(match &services {
        Some(services) if services.is_empty() => {
            format!("Engine API: `{name}` is not attachable, and no service is on it")
        }
        Some(services) => format!(
            "Engine API: `{name}` is not attachable, and is used by the services {}",
            services
                .iter()
                .map(|service| format!("`{}`", service.name))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        None => format!("Engine API: `{name}` is not attachable"),
    });
    match services {
        Some(services) => fault.fix(beside(told, network, &services)),
        None => fault.fix(Fix::new(
            format!(
                "On a manager of the swarm, make a network like `{name}` with `--attachable`, and put the services on \
                 it, too (`docker service update --network-add`)"
            ),
            Vec::new(),
        )),
    }
}

/// A second network, for the services and for containers. The old one cannot be made again under its name at
/// once: a swarm takes its time to remove one.
fn beside(told: &Told<'_>, network: &Network, services: &[&Service]) -> Fix {
    let base = if network.name == "ingress" {
        "app".to_owned()
    } else {
        format!("{}-attachable", network.name)
    };
    let new = told.evidence.free_network_name(&base);
    let mut commands = vec![create(network, &new)];
    // Tasks that publish ports are on the ingress network by that, and are meant for the others.
    if network.name != "ingress" {
        commands.extend(services.iter().map(|service| {
            shell::command([
                "docker",
                "service",
                "update",
                "--detach",
                "--network-add",
                &new,
                &service.name,
            ])
        }));
    }
    let who = if network.name == "ingress" || services.is_empty() {
        ""
    } else {
        "for the services, too (their tasks are started anew), "
    };
    let text = format!("Make a network that containers may join, {who}and");
    let Some(container) = told.refused else {
        return Fix::new(format!("{text} use `--network {new}` for the container"), commands);
    };
    let name = &container.name;
    let text = format!("{text} put `{name}` on it");
    let made_on_it = container
        .detail()
        .filter(|detail| [&network.name, &network.id].contains(&&detail.network_mode));
    let Some(detail) = made_on_it else {
        commands.extend([
            shell::command(["docker", "network", "disconnect", "--force", &network.name, name]),
            shell::command(["docker", "network", "connect", &new, name]),
            shell::command(["docker", "start", name]),
        ]);
        return Fix::new(text, commands);
    };
    // It is tied to the network that it was made with: Docker 28 does not start it without that, wherever it is.
    Recreate::of(container, detail, &told.evidence.containers)
        .move_to(&network.name, &new)
        .fix(&text, &format!("use the external network `{new}` instead of `{}`", network.name))
        .after(&commands)
}

/// A network like this one that containers may join.
fn create(network: &Network, name: &str) -> String {
    let mut words = vec!["docker", "network", "create", "--driver", "overlay", "--attachable"];
    if network.internal {
        words.push("--internal");
    }
    if network.options.contains_key("encrypted") {
        words.extend(["--opt", "encrypted"]);
    }
    words.push(name);
    shell::command(words)
}

fn on<'a>(services: &'a [Service], network: &Network) -> Vec<&'a Service> {
    let on = |service: &&Service| service.networks.contains(&network.id);
    services.iter().filter(on).collect()
}

fn no_manager(told: &Told<'_>) -> Fault {
    let role = told.evidence.engine.known().and_then(|engine| engine.swarm);
    let name = told.network_to_make(&told.typed());
    let overlay = shell::command([
        "docker",
        "network",
        "create",
        "--driver",
        "overlay",
        "--attachable",
        &name,
    ]);
    let bridge = Fix::new(
        "If all containers run on this machine, a bridge network does, without a swarm",
        vec![shell::command(["docker", "network", "create", &name])],
    );
    let problem = match role {
        Some(SwarmRole::Worker) => {
            "the engine is a worker of its swarm: overlay networks are made on a manager"
        }
        _ => "the engine manages no swarm, and an overlay network needs one",
    };
    let mut fault = Fault::error(problem, told.subjects()).proof(told.proof());
    let said = match role {
        Some(SwarmRole::Outside) => Some("Engine API: it is part of no swarm"),
        Some(SwarmRole::Worker) => Some("Engine API: it is part of a swarm, as a worker"),
        Some(SwarmRole::Manager) => Some("Engine API: it manages a swarm now"),
        None => None,
    };
    fault = fault.proofs(said.map(str::to_owned));
    match role {
        Some(SwarmRole::Worker) => fault
            .fix(Fix::new(
                format!("On a manager of the swarm: `{overlay}`"),
                Vec::new(),
            ))
            .fix(bridge),
        Some(SwarmRole::Manager) => fault.fix(Fix::new("Try again", vec![overlay])),
        _ => fault
            .fix(Fix::new(
                "Make this engine the manager of a swarm (with several addresses it asks for `--advertise-addr`), and \
                 the network so that containers may join it",
                vec![shell::command(["docker", "swarm", "init"]), overlay],
            ))
            .fix(bridge),
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Evidence, Fact, Service, Status, SwarmRole};
    use crate::report::Finding;
    use crate::rules::testing::{
        check_rule, commands, container, fails, id_of, network, not_applicable, passes, world,
    };

    const ERROR: &str = "Could not attach to network back: rpc error: code = PermissionDenied desc = network back \
                         not manually attachable";

    fn refused(error: &str, services: &[&str]) -> Evidence {
        let mut web = container("web")
            .status(Status::Created)
            .alone()
            .on("back", "10.0.1.7");
        web.detail_mut().state.error = error.into();
        web.detail_mut().network_mode = "back".into();
        let mut evidence = world(web);
        let mut back = network("back", "10.0.1.0/24");
        back.driver = "overlay".into();
        if let Fact::Known(networks) = &mut evidence.networks {
            networks.push(back);
        }
        let service = |name: &&str| Service {
            id: id_of(name),
            name: (*name).to_owned(),
            aliases: Vec::new(),
            networks: vec![id_of("back")],
            virtual_addresses: Vec::new(),
            replicas: Some(1),
            published: false,
            constraints: Vec::new(),
            tasks: Vec::new(),
        };
        evidence.services = Fact::Known(services.iter().map(service).collect());
        evidence
    }

    fn said(words: &str, role: Option<SwarmRole>) -> Finding {
        let mut evidence = refused("", &[]);
        evidence.request.said = Some(words.into());
        evidence.request.container.clear();
        if let Fact::Known(engine) = &mut evidence.engine {
            engine.swarm = role;
        }
        crate::diagnose(&evidence).unwrap().findings.remove(0)
    }

    #[test]
    fn a_network_without_services_gets_one_beside_it() {
        let evidence = refused(ERROR, &[]);
        check_rule(
            &RULE,
            &evidence,
            fails("`web` could not start: the overlay network `back` takes only tasks of services"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create --driver overlay --attachable back-attachable",
                "docker stop web",
                "docker rename web web-old",
                "docker run -d --name web --network back-attachable app:1",
            ]
        );
    }

    /// It starts without the network that it was connected to later.
    #[test]
    fn a_network_that_came_later_is_left() {
        let mut evidence = refused(ERROR, &[]);
        evidence.containers[0].detail_mut().network_mode = "bridge".into();
        assert_eq!(
            commands(&RULE, &evidence)[1..],
            [
                "docker network disconnect --force back web",
                "docker network connect back-attachable web",
                "docker start web",
            ]
        );
    }

    #[test]
    fn services_keep_their_network_and_get_another() {
        assert_eq!(
            commands(&RULE, &refused(ERROR, &["api"])),
            [
                "docker network create --driver overlay --attachable back-attachable",
                "docker service update --detach --network-add back-attachable api",
                "docker stop web",
                "docker rename web web-old",
                "docker run -d --name web --network back-attachable app:1",
            ]
        );
    }

    #[test]
    fn who_manages_no_swarm_makes_no_overlay() {
        let words = "Error response from daemon: This node is not a swarm manager. Use \"docker swarm init\" or";
        let outside = said(words, Some(SwarmRole::Outside));
        assert_eq!(
            outside.fixes[0].commands,
            [
                "docker swarm init",
                "docker network create --driver overlay --attachable app",
            ]
        );
        assert_eq!(outside.fixes[1].commands, ["docker network create app"]);
        let worker = said(words, Some(SwarmRole::Worker));
        assert!(worker.problem.contains("worker"));
        assert!(worker.fixes[0].commands.is_empty());
        // Without the container only the network is left.
        let run = said(ERROR, Some(SwarmRole::Manager));
        assert_eq!(run.fixes[0].commands.len(), 1);
    }

    #[test]
    fn other_errors_and_running_containers_are_silent() {
        check_rule(&RULE, &refused("network back not found", &[]), passes());
        check_rule(&RULE, &refused("", &[]), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
