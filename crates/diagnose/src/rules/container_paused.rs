//! The container's processes are frozen.

use crate::case::{Case, Referenced};
use crate::evidence::Status;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-paused",
    title: "the container is paused",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's word for the container is `paused`: the kernel's freezer has stopped its processes.
Containers that its environment or command line names are checked too.

## Why it matters

It looks alive: its name resolves, its address answers ping, and connections even open, because the
kernel completes the handshake by itself. Then nothing comes: clients hang until they time out. Once
the listener's queue is full, new connections time out as well. `docker exec` is refused.

## How to fix it

`docker unpause NAME`. Connections that were made meanwhile are served at once, unless their client
has given up.

## When it is wrong

`docker commit` and some backup tools pause a container for a moment on purpose; look again.
",
    judge,
};

const FROZEN: &[Status] = &[Status::Paused];

fn judge(case: &Case<'_>) -> Verdict {
    let mut faults = Vec::new();
    if FROZEN.contains(&case.subject.status) {
        let name = case.name();
        let fault = Fault::error(
            format!("`{name}` is paused: connections to it open, and nothing answers"),
            vec![Subject::container(name)],
        );
        faults.push(finish(fault, name));
    }
    faults.extend(
        case.referenced_in(FROZEN)
            .iter()
            .map(|referenced| of_referenced(case, referenced)),
    );
    Verdict::from_faults(faults)
}

fn of_referenced(case: &Case<'_>, referenced: &Referenced<'_>) -> Fault {
    let fault = Fault::error(
        format!(
            "`{}` is told to use `{}`{}, which is paused: connections to it open, and nothing \
             answers",
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
    finish(fault, &referenced.container.name)
}

fn finish(fault: Fault, name: &str) -> Fault {
    fault
        .proof(format!("Engine API: status of `{name}` is paused"))
        .fix(Fix::new(
            "Let it run on",
            vec![shell::command(["docker", "unpause", name])],
        ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::Status;
    use crate::rules::testing::{check_rule, commands, container, fails, passes, world};

    #[test]
    fn a_paused_container_is_to_be_unpaused() {
        let evidence = world(container("mysql-db").status(Status::Paused));
        check_rule(
            &RULE,
            &evidence,
            fails("`mysql-db` is paused: connections to it open, and nothing answers"),
        );
        assert_eq!(commands(&RULE, &evidence), ["docker unpause mysql-db"]);
    }

    #[test]
    fn a_paused_container_that_the_subject_uses_is_named() {
        let app = container("app").env(&["DB_URL=mysql://mysql-db:3306/some"]);
        let db = container("mysql-db")
            .on("my_network", "172.18.0.2")
            .status(Status::Paused);
        let evidence = world(app).and(db).resolves("mysql-db", &["172.18.0.2"]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` is told to use `mysql-db` (DB_URL), which is paused: connections to it open, \
                 and nothing answers",
            ),
        );
        assert_eq!(commands(&RULE, &evidence), ["docker unpause mysql-db"]);
    }

    #[test]
    fn a_paused_stranger_is_silent() {
        let other = container("other").status(Status::Paused);
        check_rule(&RULE, &world(container("app")).and(other), passes());
    }
}
