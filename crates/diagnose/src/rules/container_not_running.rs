//! The container has run and stopped.

use crate::case::{Case, Referenced};
use crate::evidence::{Container, State, Status};
use crate::redact;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-not-running",
    title: "the container is not running",
    check: Check::State,
    explained_by: &[
        "host-port-taken",
        "stale-network-id",
        "static-address-in-use",
        "static-address-outside-subnet",
        "subnet-full",
        "shared-namespace-owner-recreated",
        "docker-chains-missing",
        "server-not-ready-yet",
        "cannot-bind-privileged-port",
        "parent-interface-missing",
        "address-pools-exhausted",
        "overlay-not-attachable",
    ],
    docs: "\
## What it checks

The engine's word for the container is `exited`, `dead` or `removing`. Its exit code, whether the
kernel killed it for want of memory, and the engine's last error are part of the proof.

The same is checked for every container that its environment or command line names, when no other
container of that name runs.

## Why it matters

A stopped container has no address and no name: others get `could not resolve host` by name, `no
route to host` after three seconds by its old address, and `connection refused` on its published
ports. Everything else about its network is a consequence.

## How to fix it

Read why it ended (`docker logs --tail 50 NAME`), then `docker start NAME`. Exit code 137 with
`OOMKilled` asks for more memory, 127 for a command that exists, 126 for one that may be run.

## When it is wrong

A one-shot job that has done its work (exit code 0) is not broken; nobody can reach it all the same.
A name in the configuration that is never used needs no container.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let mut faults = Vec::new();
    if ENDED.contains(&case.subject.status) {
        faults.push(of_subject(case));
    }
    faults.extend(
        case.referenced_in(ENDED)
            .iter()
            .map(|referenced| of_referenced(case, referenced)),
    );
    Verdict::from_faults(faults)
}

const ENDED: &[Status] = &[Status::Exited, Status::Dead, Status::Removing];

fn of_subject(case: &Case<'_>) -> Fault {
    let state = &case.detail.state;
    let name = case.name();
    let problem = format!("`{name}` is not running: {}", how_it_ended(case, state));
    with_proof(
        Fault::error(problem, vec![Subject::container(name)]),
        case.subject,
    )
    .fix(start(name))
}

fn of_referenced(case: &Case<'_>, referenced: &Referenced<'_>) -> Fault {
    let other = &referenced.container.name;
    let ended = match referenced.container.detail() {
        Some(detail) => how_it_ended(case, &detail.state),
        None => format!("its status is `{}`", referenced.container.status.as_str()),
    };
    let fault = Fault::error(
        format!(
            "`{}` is told to use `{}`{}, which is not running: {ended}",
            case.name(),
            referenced.reference.host,
            referenced.aside()
        ),
        vec![
            Subject::container(case.name()),
            Subject::container(other),
            Subject::setting(&referenced.reference.place),
        ],
    );
    with_proof(fault, referenced.container).fix(start(other))
}

fn how_it_ended(case: &Case<'_>, state: &State) -> String {
    let ago = state
        .finished_at
        .map(|at| format!(" {} ago", crate::render::age(case.age(at))))
        .unwrap_or_default();
    let reason = if state.oom_killed {
        ", killed by the kernel for want of memory".to_owned()
    } else {
        meaning(state.exit_code).map_or_else(String::new, |meaning| format!(" ({meaning})"))
    };
    format!("it ended{ago} with exit code {}{reason}", state.exit_code)
}

fn with_proof(fault: Fault, container: &Container) -> Fault {
    let status = container.status.as_str();
    let Some(detail) = container.detail() else {
        return fault.proof(format!(
            "Engine API: status of `{}` is {status}",
            container.name
        ));
    };
    let state = &detail.state;
    let fault = fault.proof(format!(
        "Engine API: status of `{}` is {status}, exit code {}, OOM killed {}",
        container.name,
        state.exit_code,
        if state.oom_killed { "yes" } else { "no" }
    ));
    if state.error.is_empty() {
        return fault;
    }
    fault.proof(format!(
        "the engine's last error: {}",
        redact::text(&state.error)
    ))
}

fn start(name: &str) -> Fix {
    Fix::new(
        "See why it ended, then start it again",
        vec![
            shell::command(["docker", "logs", "--tail", "50", name]),
            shell::command(["docker", "start", name]),
        ],
    )
}

/// What an exit code of a container stands for (docker-run(1), signal(7)).
fn meaning(code: i64) -> Option<&'static str> {
    match code {
        126 => Some("its command cannot be run"),
        127 => Some("its command was not found"),
        137 => Some("killed"),
        139 => Some("crashed: segmentation fault"),
        143 => Some("asked to end"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::{Fact, Status};
    use crate::rules::testing::{check_rule, commands, container, fails, passes, world};

    #[test]
    fn a_stopped_container_is_named_with_its_exit_code() {
        let mut db = container("mysql-db").status(Status::Exited);
        db.detail_mut().state.exit_code = 137;
        check_rule(
            &super::RULE,
            &world(db),
            fails("`mysql-db` is not running: it ended with exit code 137 (killed)"),
        );
    }

    #[test]
    fn a_running_container_passes() {
        check_rule(&super::RULE, &world(container("mysql-db")), passes());
    }

    #[test]
    fn a_stopped_container_that_the_subject_uses_is_named() {
        let app = container("app").env(&["DB_HOST=mysql-db", "DB_URL=mysql://mysql-db:3306/some"]);
        let db = container("mysql-db").status(Status::Exited);
        let evidence = world(app).and(db);
        check_rule(
            &super::RULE,
            &evidence,
            fails(
                "`app` is told to use `mysql-db` (DB_HOST, DB_URL), which is not running: it ended \
                 with exit code 0",
            ),
        );
        assert_eq!(
            commands(&super::RULE, &evidence),
            ["docker logs --tail 50 mysql-db", "docker start mysql-db"]
        );
    }

    #[test]
    fn its_details_need_not_be_known() {
        let app = container("app").env(&["DB_URL=mysql://mysql-db:3306/some"]);
        let mut db = container("mysql-db").status(Status::Exited);
        db.detail = Fact::NotCollected;
        check_rule(
            &super::RULE,
            &world(app).and(db),
            fails(
                "`app` is told to use `mysql-db` (DB_URL), which is not running: its status is \
                 `exited`",
            ),
        );
    }

    #[test]
    fn a_stopped_namesake_of_a_running_one_is_silent() {
        let app = container("app").env(&["DB_URL=mysql://db/some"]);
        let old = container("db-old").alias("db").status(Status::Exited);
        let new = container("db-new").alias("db");
        check_rule(&super::RULE, &world(app).and(old).and(new), passes());
    }

    #[test]
    fn a_name_that_dns_knows_outside_is_silent() {
        let app = container("app").env(&["DB_URL=mysql://db/some"]);
        let db = container("db").status(Status::Exited);
        let evidence = world(app).and(db).resolves("db", &["10.1.2.3"]);
        check_rule(&super::RULE, &evidence, passes());
    }

    #[test]
    fn a_service_of_another_project_is_silent() {
        let app = container("app")
            .env(&["DB_URL=mysql://db/some"])
            .of_service("a", "app");
        let db = container("b-db-1")
            .alone()
            .on("other", "172.19.0.2")
            .of_service("b", "db")
            .status(Status::Exited);
        check_rule(&super::RULE, &world(app).and(db), passes());
    }
}
