//! The container was made and has never run.

use crate::case::{Case, Referenced};
use crate::evidence::{Container, Status};
use crate::redact;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-never-started",
    title: "the container was never started",
    check: Check::State,
    explained_by: &[
        "host-port-taken",
        "stale-network-id",
        "static-address-in-use",
        "static-address-outside-subnet",
        "subnet-full",
        "shared-namespace-owner-recreated",
        "docker-chains-missing",
        "parent-interface-missing",
        "address-pools-exhausted",
        "overlay-not-attachable",
    ],
    docs: "\
## What it checks

The engine's word for the container is `created`: it exists and no process of it has ever run. The
engine's last error, if there is one, says what came in between. Containers that its environment or
command line names are checked too.

## Why it matters

A container that does not run has no address and no name on any network, and its published ports are
not open. It is often what a failed `docker run` leaves behind: a taken host port, a missing network
or a command that does not exist make the start fail after the container was made.

## How to fix it

Mend what the error names (give the port free, make the network again, correct the command), then
`docker start NAME`. Without an error somebody only said `docker create`, or `docker compose create`:
start it.

## When it is wrong

A container that is kept for its volumes (`--volumes-from`) is never meant to run.
",
    judge,
};

const NEVER: &[Status] = &[Status::Created];

fn judge(case: &Case<'_>) -> Verdict {
    let mut faults = Vec::new();
    if NEVER.contains(&case.subject.status) {
        let name = case.name();
        let fault = Fault::error(
            format!("`{name}` was created, but it has never been started"),
            vec![Subject::container(name)],
        );
        faults.push(finish(fault, case.subject));
    }
    faults.extend(
        case.referenced_in(NEVER)
            .iter()
            .map(|referenced| of_referenced(case, referenced)),
    );
    Verdict::from_faults(faults)
}

fn of_referenced(case: &Case<'_>, referenced: &Referenced<'_>) -> Fault {
    let fault = Fault::error(
        format!(
            "`{}` is told to use `{}`{}, which has never been started",
            case.name(),
            referenced.reference.host,
            referenced.aside()
        ),
        vec![
            Subject::container(case.name()),
            Subject::container(&referenced.container.name),
            Subject::setting(&referenced.reference.place),
        ],
    );
    finish(fault, referenced.container)
}

fn finish(fault: Fault, container: &Container) -> Fault {
    let name = &container.name;
    let start = vec![shell::command(["docker", "start", name])];
    let Some(detail) = container.detail() else {
        return fault
            .proof(format!("Engine API: status of `{name}` is created"))
            .fix(Fix::new("Start it", start));
    };
    let fault = fault.proof(format!(
        "Engine API: status of `{name}` is created, exit code {}",
        detail.state.exit_code
    ));
    if detail.state.error.is_empty() {
        return fault.fix(Fix::new("Start it", start));
    }
    let error = redact::text(&detail.state.error);
    fault
        .proof(format!("the engine's last error: {error}"))
        .fix(Fix::new(
            format!("Mend what kept it from starting ({error}), then start it"),
            start,
        ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::Status;
    use crate::rules::testing::{check_rule, commands, container, fails, fix_texts, passes, world};

    #[test]
    fn a_created_container_is_to_be_started() {
        let evidence = world(container("mysql-db").status(Status::Created));
        check_rule(
            &RULE,
            &evidence,
            fails("`mysql-db` was created, but it has never been started"),
        );
        assert_eq!(commands(&RULE, &evidence), ["docker start mysql-db"]);
    }

    #[test]
    fn the_engines_error_comes_first_and_without_secrets() {
        let mut web = container("web").status(Status::Created);
        web.detail_mut().state.error = "port is already allocated token=abc".into();
        assert_eq!(
            fix_texts(&RULE, &world(web)),
            [
                "Mend what kept it from starting (port is already allocated token=***), then start \
                 it"
            ]
        );
    }

    #[test]
    fn a_created_container_that_the_subject_uses_is_named() {
        let app = container("app").env(&["REDIS_HOST=cache"]);
        let cache = container("cache").status(Status::Created);
        check_rule(
            &RULE,
            &world(app).and(cache),
            fails("`app` is told to use `cache` (REDIS_HOST), which has never been started"),
        );
    }

    #[test]
    fn stopped_and_running_containers_are_not_its_matter() {
        check_rule(&RULE, &world(container("app")), passes());
        let app = container("app").env(&["REDIS_HOST=cache"]);
        let cache = container("cache").status(Status::Exited);
        check_rule(&RULE, &world(app).and(cache), passes());
    }

    #[test]
    fn a_created_container_that_nobody_uses_is_silent() {
        let other = container("other-db").status(Status::Created);
        check_rule(&RULE, &world(container("app")).and(other), passes());
    }
}
