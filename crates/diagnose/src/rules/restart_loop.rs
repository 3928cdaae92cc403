//! The container ends again and again, and its restart policy starts it each time.

use crate::case::{Case, Referenced};
use crate::evidence::{Container, Status};
use crate::redact;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "restart-loop",
    title: "the container keeps restarting",
    check: Check::State,
    explained_by: &["cannot-bind-privileged-port"],
    docs: "\
## What it checks

The engine's word for the container is `restarting`; or it runs, was started again three times or
more by its restart policy, and the last time was less than a minute ago. Containers that its
environment or command line names are checked for `restarting` too.

## Why it matters

Between two starts there is no address, no name and no open port, and the engine waits longer each
time (up to a minute). Others see a name that comes and goes, `connection refused` and `no route to
host` in turn. The network is not the cause: the process ends.

## How to fix it

Read the last lines before it ended (`docker logs --tail 50 NAME`), mend what they say, and start it
afresh with `docker restart NAME`, which also ends the waiting. `docker update --restart no NAME`
gives you time to look at it.

## When it is wrong

A worker that is meant to end after each job and to be started again by `--restart always` looks the
same.
",
    judge,
};

/// Restarts from which on it is no accident any more.
const MANY: u32 = 3;

/// The engine calls a start a success after 10 s (`restartmanager`), and waits at most 60 s; in
/// seconds.
const LATELY: i64 = 60;

fn judge(case: &Case<'_>) -> Verdict {
    let mut faults = Vec::new();
    let state = &case.detail.state;
    let young = state.started_at.is_some_and(|at| case.age(at) < LATELY);
    let name = case.name();
    let looping = case.subject.status == Status::Running && state.restarts >= MANY && young;
    if case.subject.status == Status::Restarting || looping {
        let problem = format!(
            "`{name}` keeps restarting: {} restarts, the last time it ended with exit code {}",
            state.restarts, state.exit_code
        );
        let fault = Fault::error(problem, vec![Subject::container(name)]);
        faults.push(finish(fault, case.subject));
    }
    faults.extend(
        case.referenced_in(&[Status::Restarting])
            .iter()
            .map(|referenced| of_referenced(case, referenced)),
    );
    Verdict::from_faults(faults)
}

fn of_referenced(case: &Case<'_>, referenced: &Referenced<'_>) -> Fault {
    let fault = Fault::error(
        format!(
            "`{}` is told to use `{}`{}, which keeps restarting",
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
    let mut fault = fault;
    let status = container.status.as_str();
    match container.detail() {
        None => fault = fault.proof(format!("Engine API: status of `{name}` is {status}")),
        Some(detail) => {
            fault = fault.proof(format!(
                "Engine API: status of `{name}` is {status}, {} restarts, exit code {}",
                detail.state.restarts, detail.state.exit_code
            ));
            if !detail.state.error.is_empty() {
                fault = fault.proof(format!(
                    "the engine's last error: {}",
                    redact::text(&detail.state.error)
                ));
            }
        }
    }
    fault
        .fix(Fix::new(
            "See why it ends, mend what the log says, then start it afresh",
            vec![
                shell::command(["docker", "logs", "--tail", "50", name]),
                shell::command(["docker", "restart", name]),
            ],
        ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::Status;
    use crate::rules::testing::{check_rule, commands, container, fails, passes, world};

    #[test]
    fn a_restarting_container_fails() {
        let mut web = container("web").status(Status::Restarting);
        web.detail_mut().state.restarts = 5;
        web.detail_mut().state.exit_code = 7;
        let evidence = world(web);
        check_rule(
            &RULE,
            &evidence,
            fails("`web` keeps restarting: 5 restarts, the last time it ended with exit code 7"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker logs --tail 50 web", "docker restart web"]
        );
    }

    #[test]
    fn a_moment_of_running_between_two_ends_fails_too() {
        let mut web = container("web").started(5);
        web.detail_mut().state.restarts = 3;
        check_rule(
            &RULE,
            &world(web),
            fails("`web` keeps restarting: 3 restarts, the last time it ended with exit code 0"),
        );
    }

    #[test]
    fn restarts_of_long_ago_and_a_first_start_are_silent() {
        let mut old = container("web").started(61);
        old.detail_mut().state.restarts = 30;
        check_rule(&RULE, &world(old), passes());
        let mut young = container("web").started(1);
        young.detail_mut().state.restarts = 2;
        check_rule(&RULE, &world(young), passes());
    }

    #[test]
    fn a_restarting_container_that_the_subject_uses_is_named() {
        let app = container("app").env(&["DB_URL=mysql://mysql-db:3306/some"]);
        let db = container("mysql-db").status(Status::Restarting);
        check_rule(
            &RULE,
            &world(app).and(db),
            fails("`app` is told to use `mysql-db` (DB_URL), which keeps restarting"),
        );
    }
}
