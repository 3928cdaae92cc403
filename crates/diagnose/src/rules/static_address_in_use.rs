//! The container did not start, because the address it was given belongs to another.

use std::net::IpAddr;

use crate::case::Case;
use crate::evidence::{Container, Endpoint, Status};
use crate::recreate::reconnect;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use crate::start_error::StartError;

/// See the module.
pub static RULE: Rule = Rule {
    code: "static-address-in-use",
    title: "the address it was given belongs to another container",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's last error about a container that does not run is `Address already in use`, and the
container was given an address (`--ip`, `ipv4_address` of Compose). Who has it is looked up among the
other containers of that network.

## Why it matters

The engine hands out addresses from the same subnet to containers without a fixed one. After a restart
of the engine they may start first and take it. The container then does not start at all.

## How to fix it

Let it have any address, and use its name instead; or stop who has the address and start it. To keep
fixed addresses, reserve a range for the others when the network is made (`--ip-range`).

## When it is wrong

The error is of the last attempt; whoever had the address may have ended meanwhile. Then starting the
container is all that is needed.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !matches!(case.subject.status, Status::Created | Status::Exited) {
        return Verdict::NotApplicable;
    }
    if StartError::read(&case.detail.state.error) != Some(StartError::AddressInUse) {
        return Verdict::Pass;
    }
    let fixed: Vec<_> = case
        .subject
        .endpoints
        .iter()
        .filter(|endpoint| !endpoint.static_addresses.is_empty())
        .collect();
    let held = fixed.iter().find_map(|endpoint| {
        let (address, holder) = holder(case, endpoint)?;
        Some((*endpoint, address, holder))
    });
    match (held, fixed.as_slice()) {
        (Some((endpoint, address, holder)), _) => {
            Verdict::Fail(vec![fault(case, endpoint, address, Some(holder))])
        }
        (None, [only]) => Verdict::Fail(vec![fault(case, only, only.static_addresses[0], None)]),
        (None, _) => Verdict::Unknown(format!(
            "which address of `{}` was taken: nobody who runs has one of them",
            case.name()
        )),
    }
}

/// Who has one of the addresses that were given to this endpoint.
fn holder<'a>(case: &Case<'a>, endpoint: &Endpoint) -> Option<(IpAddr, &'a Container)> {
    endpoint.static_addresses.iter().find_map(|address| {
        let has = |other: &&Container| {
            let theirs = other.endpoint(&endpoint.network_id);
            other.id != case.subject.id
                && theirs.is_some_and(|theirs| theirs.addresses.contains(address))
        };
        let other = case.evidence.containers.iter().find(has)?;
        Some((*address, other))
    })
}

fn fault(
    case: &Case<'_>,
    endpoint: &Endpoint,
    address: IpAddr,
    holder: Option<&Container>,
) -> Fault {
    let (name, network) = (case.name(), &endpoint.network_name);
    let mut subjects = vec![Subject::container(name), Subject::network(network)];
    let who = match holder {
        Some(holder) => {
            subjects.push(Subject::container(&holder.name));
            format!("belongs to `{}`", holder.name)
        }
        None => "was taken".to_owned(),
    };
    let mut fault = Fault::error(
        format!("`{name}` could not start: its address {address} on `{network}` {who}"),
        subjects,
    )
    .proof(format!(
        "the engine's last error: {}",
        crate::redact::text(&case.detail.state.error)
    ));
    if let Some(holder) = holder {
        fault = fault.proof(format!(
            "Engine API: {address} belongs to `{}`",
            holder.name
        ));
    }
    let start = shell::command(["docker", "start", name]);
    fault = fault.fix(any_address(case, endpoint));
    match holder {
        Some(holder) => fault.fix(Fix::new(
            format!(
                "If it has to be {address}: stop `{}`, and start it",
                holder.name
            ),
            vec![shell::command(["docker", "stop", &holder.name]), start],
        )),
        None => fault,
    }
}

/// Connects it anew without an address of its own choice, and starts it; Compose would undo that.
pub(super) fn any_address(case: &Case<'_>, endpoint: &Endpoint) -> Fix {
    if let Some((project, service)) = case.subject.compose_service() {
        return Fix::new(
            format!(
                "In the Compose file of `{project}`, service `{service}`, give another `ipv4_address`, or \
                 none, then `docker compose up -d {service}`"
            ),
            Vec::new(),
        );
    }
    let [off, on] = reconnect(case.name(), endpoint, false);
    let start = shell::command(["docker", "start", case.name()]);
    Fix::new(
        format!(
            "Let it have any address of `{}`, and find it by name",
            endpoint.network_name
        ),
        vec![off, on, start],
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Status};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, unknown, world,
    };

    fn refused(error: &str) -> Container {
        let mut web = container("web").alias("www").status(Status::Created);
        web.detail_mut().state.error = error.into();
        for endpoint in &mut web.endpoints {
            endpoint.static_addresses = vec![ip("172.18.0.9")];
            endpoint.addresses.clear();
        }
        web
    }

    #[test]
    fn whoever_has_the_address_is_named() {
        let mut other = container("job");
        for endpoint in &mut other.endpoints {
            endpoint.addresses = vec![ip("172.18.0.9")];
        }
        let evidence = world(refused("Address already in use")).and(other);
        check_rule(
            &RULE,
            &evidence,
            fails("`web` could not start: its address 172.18.0.9 on `my_network` belongs to `job`"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network disconnect --force my_network web",
                "docker network connect --alias www my_network web",
                "docker start web",
                "docker stop job",
                "docker start web",
            ]
        );
    }

    #[test]
    fn who_has_it_may_be_unknown() {
        check_rule(
            &RULE,
            &world(refused("Address already in use")),
            fails("`web` could not start: its address 172.18.0.9 on `my_network` was taken"),
        );
        let mut free = refused("Address already in use");
        for endpoint in &mut free.endpoints {
            endpoint.static_addresses.clear();
        }
        check_rule(
            &RULE,
            &world(free),
            unknown("which address of `web` was taken"),
        );
    }

    #[test]
    fn other_errors_and_running_containers_are_silent() {
        let error = "listen tcp4 0.0.0.0:80: bind: address already in use";
        check_rule(&RULE, &world(refused(error)), passes());
        check_rule(&RULE, &world(refused("")), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
