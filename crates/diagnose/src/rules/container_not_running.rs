//! The container has run and stopped.

use crate::case::Case;
use crate::evidence::Status;
use crate::redact;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-not-running",
    title: "the container is not running",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's word for the container is `exited`, `dead` or `removing`. Its exit code, whether the
kernel killed it for want of memory, and the engine's last error are part of the proof.

## Why it matters

A stopped container has no address and no name: others get `could not resolve host` by name, `no
route to host` after three seconds by its old address, and `connection refused` on its published
ports. Everything else about its network is a consequence.

## How to fix it

Read why it ended (`docker logs --tail 50 NAME`), then `docker start NAME`. Exit code 137 with
`OOMKilled` asks for more memory, 127 for a command that exists, 126 for one that may be run.

## When it is wrong

A one-shot job that has done its work (exit code 0) is not broken; nobody can reach it all the same.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let state = &case.detail.state;
    if !matches!(
        case.subject.status,
        Status::Exited | Status::Dead | Status::Removing
    ) {
        return Verdict::Pass;
    }
    let name = case.name();
    let ago = state
        .finished_at
        .map(|at| format!(" {} ago", crate::render::age(case.age(at))))
        .unwrap_or_default();
    let reason = if state.oom_killed {
        ", killed by the kernel for want of memory".to_owned()
    } else {
        meaning(state.exit_code).map_or_else(String::new, |meaning| format!(" ({meaning})"))
    };
    let mut fault = Fault::error(
        format!("`{name}` is not running: it ended{ago} with exit code {}{reason}", state.exit_code),
        vec![Subject::container(name)],
    )
    .proof(format!(
        "Engine API: status {}, exit code {}, OOM killed {}",
        case.subject.status.as_str(),
        state.exit_code,
        if state.oom_killed { "yes" } else { "no" }
    ));
    if !state.error.is_empty() {
        fault = fault.proof(format!("the engine's last error: {}", redact::text(&state.error)));
    }
    Verdict::Fail(vec![
        fault
            .fix(Fix::new(
                "See why it ended, then start it again",
                vec![
                    shell::command(["docker", "logs", "--tail", "50", name]),
                    shell::command(["docker", "start", name]),
                ],
            )),
    ])
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
    use crate::evidence::Status;
    use crate::rules::testing::{check_rule, container, fails, passes, world};

    #[test]
    fn a_stopped_container_is_named_with_its_exit_code() {
        let mut db = container("mysql-db").status(Status::Exited);
        db.detail_mut().state.exit_code = 137;
        check_rule(&super::RULE, &world(db), fails("`mysql-db` is not running: it ended with exit code 137 (killed)"));
    }

    #[test]
    fn a_running_container_passes() {
        check_rule(&super::RULE, &world(container("mysql-db")), passes());
    }
}
