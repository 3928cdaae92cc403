//! The container did not start, because Docker's chains are gone from the packet filter.

use crate::case::Case;
use crate::evidence::Status;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;
use crate::start_error::StartError;

/// See the module.
pub static RULE: Rule = Rule {
    code: "docker-chains-missing",
    title: "Docker's firewall chains are gone",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's last error about a container that does not run is of iptables: `No chain/target/match by that name`.

## Why it matters

The engine makes its chains (`DOCKER`, `DOCKER-USER`, …) once, when it starts, and adds rules for each container
later. Firewalls that write all rules anew, and scripts with `iptables -F` and `-X`, wipe the chains out, and
from then on no container with a published port starts, and no network can be made.

## How to fix it

Restart the engine, which makes its chains again, and then start the container. Then keep that firewall from
touching rules that are not its own (firewalld and ufw know how; start them before Docker).

## When it is wrong

The error is of the last attempt; the engine may have been restarted meanwhile. Then starting the container is all
that is needed.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !matches!(case.subject.status, Status::Created | Status::Exited) {
        return Verdict::NotApplicable;
    }
    if StartError::read(&case.detail.state.error) != Some(StartError::ChainMissing) {
        return Verdict::Pass;
    }
    let name = case.name();
    Verdict::Fail(vec![
        Fault::error(
            format!("`{name}` could not start: a firewall chain of Docker's is missing on the host"),
            vec![Subject::container(name)],
        )
        .proof(format!(
            "the engine's last error: {}",
            crate::redact::text(&case.detail.state.error)
        ))
        .fix(Fix::new(
            "Restart the engine, which makes its chains again, on its host (as root), and start the container",
            vec![
                shell::command(["systemctl", "restart", "docker"]),
                shell::command(["docker", "start", name]),
            ],
        )),
    ])
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::Status;
    use crate::rules::testing::{check_rule, container, fails, not_applicable, passes, world};

    #[test]
    fn the_engines_words() {
        let mut web = container("web").status(Status::Created);
        web.detail_mut().state.error = "driver failed: iptables failed: iptables --wait -t nat -A DOCKER: \
            iptables: No chain/target/match by that name."
            .into();
        let problem = "`web` could not start: a firewall chain of Docker's is missing on the host";
        check_rule(&RULE, &world(web.clone()), fails(problem));
        check_rule(&RULE, &world(web.status(Status::Running)), not_applicable());
    }

    #[test]
    fn another_error_is_another_cause() {
        let mut web = container("web").status(Status::Created);
        web.detail_mut().state.error = "Address already in use".into();
        check_rule(&RULE, &world(web), passes());
    }
}
