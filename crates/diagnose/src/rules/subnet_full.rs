//! The container did not start, because its network has no address left.

use crate::case::{Case, connect_flags};
use crate::evidence::{Container, Endpoint, Network, Status};
use crate::recreate::reconnect;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use crate::start_error::StartError;

/// A network with more containers is not moved by a pasted list of commands.
const MOST_MOVED: usize = 32;

/// See the module.
pub static RULE: Rule = Rule {
    code: "subnet-full",
    title: "its network has no address left for it",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's last error about a container that does not run is `no available IPv4 addresses on this network's
address pools`. How many containers have an address there now, and how large the subnet is, is told with it.

## Why it matters

Each container takes an address of its network's subnet, and the gateway takes one, too: a /29 has room for
five containers, a /28 for thirteen. Scaling a service or a rolling update then fails for the last ones.

## How to fix it

Make a larger network and connect all of them to it; the old one can be removed later. Or stop a container
that is not needed: a stopped one holds no address.

## When it is wrong

The error is of the last attempt; somebody may have left the network meanwhile. Then starting the container
is all that is needed.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !matches!(case.subject.status, Status::Created | Status::Exited) {
        return Verdict::NotApplicable;
    }
    let cause = StartError::read(&case.detail.state.error);
    let mut endpoints = case.subject.endpoints.iter();
    let (said, endpoint) = match cause {
        Some(StartError::SubnetFull(name)) => {
            let endpoint = endpoints.find(|endpoint| endpoint.network_name == name);
            (name, endpoint)
        }
        Some(StartError::RangeFull(first)) => {
            let has = |endpoint: &&Endpoint| {
                known(case, endpoint).is_some_and(|network| network.contains(first))
            };
            (first.to_string(), endpoints.find(has))
        }
        _ => return Verdict::Pass,
    };
    match endpoint {
        Some(endpoint) => Verdict::Fail(vec![fault(case, endpoint)]),
        None => Verdict::Unknown(format!(
            "which network of `{}` is full: the engine names `{said}`, which is of none of its networks, as far \
             as they are known",
            case.name()
        )),
    }
}

fn fault(case: &Case<'_>, endpoint: &Endpoint) -> Fault {
    let (name, network) = (case.name(), &endpoint.network_name);
    let others: Vec<&Container> = case
        .evidence
        .containers
        .iter()
        .filter(|other| other.id != case.subject.id && holds(other, endpoint))
        .collect();
    let mut fault = Fault::error(
        format!("`{name}` could not start: `{network}` had no address left"),
        vec![Subject::container(name), Subject::network(network)],
    )
    .proof(format!(
        "the engine's last error: {}",
        crate::redact::text(&case.detail.state.error)
    ));
    let known = known(case, endpoint);
    if let Some(subnet) = known.and_then(|known| known.ipam.first()) {
        fault = fault.proof(format!(
            "Engine API: `{network}` is {}, and {} running containers have an address there",
            subnet.subnet,
            others.len()
        ));
    }
    if others.len() <= MOST_MOVED {
        fault = fault.fix(move_all(case, endpoint, &others));
    }
    fault.fix(Fix::new(
        format!(
            "Free an address: stop or disconnect a container of `{network}` that is not needed, then \
             `docker start {name}`"
        ),
        Vec::new(),
    ))
}

fn known<'a>(case: &Case<'a>, endpoint: &Endpoint) -> Option<&'a Network> {
    let networks = case.evidence.networks.known()?;
    networks.iter().find(|one| one.name == endpoint.network_name)
}

fn holds(other: &Container, endpoint: &Endpoint) -> bool {
    other.is_running()
        && other.endpoints.iter().any(|theirs| {
            theirs.network_name == endpoint.network_name && !theirs.addresses.is_empty()
        })
}

/// All to a network with room. The others keep the old one, so that nothing breaks meanwhile.
fn move_all(case: &Case<'_>, endpoint: &Endpoint, others: &[&Container]) -> Fix {
    let new = case.free_network_name(&format!("{}-larger", endpoint.network_name));
    let mut commands = vec![shell::command(["docker", "network", "create", &new])];
    let connect = |container: &Container, endpoint: &Endpoint| {
        let mut endpoint = endpoint.clone();
        // An address of the old network's.
        endpoint.static_addresses.clear();
        let mut words: Vec<String> = ["docker", "network", "connect"].map(String::from).into();
        words.extend(connect_flags(&endpoint, &[]));
        words.extend([new.clone(), container.name.clone()]);
        shell::command(&words)
    };
    for other in others {
        let theirs = other
            .endpoints
            .iter()
            .find(|theirs| theirs.network_name == endpoint.network_name);
        commands.extend(theirs.map(|theirs| connect(other, theirs)));
    }
    let [off, _] = reconnect(case.name(), endpoint, false);
    commands.extend([
        off,
        connect(case.subject, endpoint),
        shell::command(["docker", "start", case.name()]),
    ]);
    Fix::new(
        format!("Make a larger network, `{new}`, and put it and the others on it"),
        commands,
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Status};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, unknown, world,
    };

    const ERROR: &str = "no available IPv4 addresses on this network's address pools: my_network (0a1b)";

    fn refused(error: &str) -> Container {
        let mut web = container("web").alias("www").status(Status::Created);
        web.detail_mut().state.error = error.into();
        for endpoint in &mut web.endpoints {
            endpoint.addresses.clear();
        }
        web
    }

    #[test]
    fn the_others_come_along() {
        let job = container("job").on("my_network", "172.18.0.3").alias("batch");
        let evidence = world(refused(ERROR)).and(job);
        check_rule(
            &RULE,
            &evidence,
            fails("`web` could not start: `my_network` had no address left"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create my_network-larger",
                "docker network connect --alias batch my_network-larger job",
                "docker network disconnect --force my_network web",
                "docker network connect --alias www my_network-larger web",
                "docker start web",
            ]
        );
    }

    #[test]
    fn podman_names_addresses() {
        let problem = "`web` could not start: `my_network` had no address left";
        let error = "IPAM error: failed to find free IP in range: 172.18.0.1 - 172.18.0.6";
        check_rule(&RULE, &world(refused(error)), fails(problem));
        let elsewhere = error.replace("172.18", "10.9");
        check_rule(&RULE, &world(refused(&elsewhere)), unknown("the engine names `10.9.0.1`"));
    }

    #[test]
    fn a_network_that_it_is_not_on_decides_nothing() {
        let error = ERROR.replace("my_network", "another");
        check_rule(
            &RULE,
            &world(refused(&error)),
            unknown("the engine names `another`"),
        );
    }

    #[test]
    fn other_errors_and_running_containers_are_silent() {
        check_rule(&RULE, &world(refused("Address already in use")), passes());
        check_rule(&RULE, &world(refused("")), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
