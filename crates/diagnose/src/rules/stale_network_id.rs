//! The container remembers a network that was removed since, perhaps made again under its name.

use crate::case::Case;
use crate::evidence::{Endpoint, Network, Status};
use crate::recreate::reconnect;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use crate::start_error::StartError;

/// See the module.
pub static RULE: Rule = Rule {
    code: "stale-network-id",
    title: "the container belongs to a network that was removed",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

A container that does not run keeps the ids of its networks. The engine's last error says that it
looked for one in vain, or no network of the engine has that id any more. One that was never started
has no id yet: then it is the name that no network has.

## Why it matters

The engine finds networks by id, not by name: a network that was removed and made again under the same
name (`docker network rm`, `docker compose down` and `up` of another project file, `docker network
prune`) is another one. `docker start` ends with `network … not found`.

## How to fix it

Take the container off the network that is gone and connect it to the one of today, then start it. If
there is no network of that name, make it first. With Compose: `docker compose up -d
--force-recreate`.

## When it is wrong

Never, where the engine itself says that the network was not found.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let stopped = matches!(case.subject.status, Status::Created | Status::Exited);
    if !stopped || case.subject.endpoints.is_empty() {
        return Verdict::NotApplicable;
    }
    let error = &case.detail.state.error;
    let missed = match StartError::read(error) {
        Some(StartError::NetworkGone(network)) => Some(network),
        _ => None,
    };
    let Some(networks) = case.evidence.networks.known() else {
        let reason = case.evidence.networks.why_unknown().unwrap_or_default();
        return match missed {
            None => Verdict::Pass,
            Some(_) => Verdict::Unknown(format!("which networks there are: {reason}")),
        };
    };
    let gone = |endpoint: &&Endpoint| {
        let is_it = |known: &Network| {
            // Before the first start there is only the name, and the engine goes by that.
            if endpoint.network_id.is_empty() {
                known.name == endpoint.network_name
            } else {
                known.id == endpoint.network_id
            }
        };
        !networks.iter().any(is_it)
    };
    let faults = case.subject.endpoints.iter().filter(gone).map(|endpoint| {
        let exists = networks
            .iter()
            .any(|known| known.name == endpoint.network_name);
        fault(case, endpoint, exists, missed.is_some())
    });
    Verdict::from_faults(faults.collect())
}

fn fault(case: &Case<'_>, endpoint: &Endpoint, exists: bool, missed: bool) -> Fault {
    let (name, network) = (case.name(), &endpoint.network_name);
    let remembered = match endpoint.network_id.get(..12) {
        Some(short) => format!("`{name}` is on `{network}` with the id {short}, which no network has"),
        None => format!("`{name}` is to be on `{network}`, and no network has that name"),
    };
    let since = if exists {
        "and the one of that name is another"
    } else {
        "and there is none of that name"
    };
    let mut fault = Fault::error(
        format!("`{name}` belongs to a network `{network}` that was removed, {since}"),
        vec![Subject::container(name), Subject::network(network)],
    )
    .proof(format!("Engine API: {remembered}"));
    if missed {
        fault = fault.proof(format!(
            "the engine's last error: {}",
            crate::redact::text(&case.detail.state.error)
        ));
    }
    if let Some((project, service)) = case.subject.compose_service() {
        return fault.fix(Fix::new(
            format!(
                "Make the containers of `{project}` again on the networks of today: `docker compose up \
                 -d --force-recreate {service}` in its folder"
            ),
            Vec::new(),
        ));
    }
    let mut commands = Vec::new();
    if !exists {
        commands.push(shell::command(["docker", "network", "create", network]));
    }
    // A network made anew has no subnet of the user's, in which an address could be chosen.
    commands.extend(reconnect(name, endpoint, exists));
    commands.push(shell::command(["docker", "start", name]));
    let text = if exists {
        format!("Connect it to the `{network}` of today, and start it")
    } else {
        format!("Make `{network}` again, connect it there, and start it")
    };
    fault.fix(Fix::new(text, commands))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Fact, Status};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, unknown, world,
    };

    const ERROR: &str = "network 7c37d15e not found";

    fn stale() -> Container {
        let mut db = container("db").alias("store").status(Status::Exited);
        for endpoint in &mut db.endpoints {
            endpoint.network_id = "0badcafe0badcafe".into();
        }
        db.detail_mut().state.error = ERROR.into();
        db
    }

    #[test]
    fn a_network_that_was_made_again_is_another() {
        let evidence = world(stale());
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`db` belongs to a network `my_network` that was removed, and the one of that name is another",
            ),
        );
        let commands = commands(&RULE, &evidence);
        assert!(
            commands.contains(&"docker network connect --alias store my_network db".to_owned()),
            "{commands:?}"
        );
    }

    #[test]
    fn a_network_that_is_gone_is_made_first() {
        let mut evidence = world(stale());
        if let Fact::Known(networks) = &mut evidence.networks {
            networks.retain(|network| network.name != "my_network");
        }
        let commands = commands(&RULE, &evidence);
        assert_eq!(commands[0], "docker network create my_network");
    }

    fn never_started() -> Container {
        let mut db = stale().status(Status::Created);
        for endpoint in &mut db.endpoints {
            endpoint.network_id.clear();
        }
        db.detail_mut().state.error = "network my_network not found".into();
        db
    }

    #[test]
    fn before_the_first_start_the_name_counts() {
        let mut evidence = world(never_started());
        check_rule(&RULE, &evidence, passes());
        if let Fact::Known(networks) = &mut evidence.networks {
            networks.retain(|network| network.name != "my_network");
        }
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`db` belongs to a network `my_network` that was removed, and there is none of that name",
            ),
        );
        let commands = commands(&RULE, &evidence);
        assert_eq!(commands[0], "docker network create my_network");
    }

    #[test]
    fn networks_that_are_there_and_running_containers_are_silent() {
        let db = container("db");
        check_rule(&RULE, &world(db.clone()), not_applicable());
        check_rule(&RULE, &world(db.status(Status::Exited)), passes());
    }

    #[test]
    fn without_the_networks_it_stays_open() {
        let mut evidence = world(stale());
        evidence.networks = Fact::Failed("no answer".into());
        check_rule(&RULE, &evidence, unknown("which networks there are"));
    }
}
