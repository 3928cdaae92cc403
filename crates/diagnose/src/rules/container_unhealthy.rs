//! The container's own health check fails.

use crate::case::{Case, Reach};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::{redact, shell};

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-unhealthy",
    title: "the container's health check fails",
    check: Check::State,
    explained_by: &[
        "container-paused",
        "shared-namespace-dead",
        "process-does-not-accept",
        "healthcheck-localhost-is-ipv6",
    ],
    docs: "\
## What it checks

The engine's word for the container's health is `unhealthy`. The proof has the number of failures in
a row, the check's command and the last thing it printed. If the check goes to `localhost` while the
program listens on IPv4 only, that is said as well.

## Why it matters

The engine still sends traffic to an unhealthy container, but reverse proxies (Traefik), Swarm and
Compose's `condition: service_healthy` do not: it drops out of service although a direct connection
may work.

## How to fix it

Read what the check prints: `docker inspect -f '{{json .State.Health}}' NAME`. If the program hangs,
`docker restart NAME`. If the program serves and the check is wrong, correct the check: `localhost`
is `::1` for many small tools, so write `127.0.0.1`; a check with `curl` fails in an image without
`curl`.

## When it is wrong

The check may test something that does not matter to your clients. The word is the engine's and
changes only after the next check: up to an interval (30 seconds by default) after the mending.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.subject.is_running() {
        return Verdict::NotApplicable;
    }
    let Some(health) = &case.detail.state.health else {
        return Verdict::NotApplicable;
    };
    if health.status != "unhealthy" {
        return Verdict::Pass;
    }
    let name = case.name();
    let mut fault = Fault::error(
        format!(
            "`{name}` is unhealthy: its health check failed {} times in a row",
            health.failing_streak
        ),
        vec![Subject::container(name)],
    )
    .proof(format!(
        "Engine API: health unhealthy, failing streak {}",
        health.failing_streak
    ));
    if !case.detail.health_test.is_empty() {
        fault = fault.proof(format!(
            "the check: {}",
            redact::text(&case.detail.health_test.join(" "))
        ));
    }
    if !health.last_output.is_empty() {
        fault = fault.proof(format!(
            "it last said: {}",
            redact::text(health.last_output.trim())
        ));
    }
    let hint = goes_to_ipv6_localhost(case);
    if let Some(listeners) = &hint {
        fault = fault.proof(format!(
            "seen from `{name}`: it listens on {listeners} only, and `localhost` is `::1` first"
        ));
    }
    let health = ["docker", "inspect", "-f", "{{json .State.Health}}", name];
    let mut fault = fault.fix(Fix::new(
        "See what the check prints and mend that; if the program hangs, start it afresh",
        vec![
            shell::command(health),
            shell::command(["docker", "restart", name]),
        ],
    ));
    if hint.is_some() {
        fault = fault.fix(Fix::new(
            "If it says that `::1` or `localhost` refuses the connection, write 127.0.0.1 instead of \
             localhost in the check: the program listens on IPv4 only",
            Vec::new(),
        ));
    }
    Verdict::Fail(vec![fault])
}

/// The listeners' addresses, if the check goes to `localhost`, `lo` has `::1` and no listener takes
/// IPv6: small tools try `::1` and give up.
fn goes_to_ipv6_localhost(case: &Case<'_>) -> Option<String> {
    let test = &case.detail.health_test;
    if !test.iter().any(|word| word.contains("localhost")) {
        return None;
    }
    let has_ipv6_loopback = case
        .snapshot()
        .ok()?
        .interfaces
        .as_ref()
        .ok()?
        .iter()
        .flat_map(|interface| &interface.addresses)
        .any(|(address, _)| address.is_ipv6() && address.is_loopback());
    let services = case.services().ok()?;
    let takes_ipv6 = services
        .iter()
        .any(|service| service.local.is_ipv6() || service.reach == Reach::Ipv6Only);
    if !has_ipv6_loopback || services.is_empty() || takes_ipv6 {
        return None;
    }
    let local: Vec<String> = services
        .iter()
        .map(|service| service.local.to_string())
        .collect();
    Some(local.join(", "))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::Protocol;

    use super::RULE;
    use crate::evidence::Status;
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes, snapshot,
        socket, world,
    };

    #[test]
    fn an_unhealthy_container_fails() {
        let evidence = world(container("web").health("unhealthy"));
        check_rule(
            &RULE,
            &evidence,
            fails("`web` is unhealthy: its health check failed 4 times in a row"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker inspect -f '{{json .State.Health}}' web",
                "docker restart web"
            ]
        );
        assert_eq!(fix_texts(&RULE, &evidence).len(), 1);
    }

    #[test]
    fn a_check_of_localhost_before_an_ipv4_listener_gets_the_hint() {
        let mut seen = snapshot();
        seen.interfaces.as_mut().unwrap()[0]
            .addresses
            .push((ip("::1"), 128));
        seen.sockets = Ok(vec![socket(Protocol::Tcp, "0.0.0.0:80")]);
        let evidence = world(container("web").health("unhealthy")).sees(seen.clone());
        assert!(fix_texts(&RULE, &evidence)[1].contains("127.0.0.1 instead of"));
        seen.sockets = Ok(vec![socket(Protocol::Tcp, "[::]:80")]);
        let evidence = world(container("web").health("unhealthy")).sees(seen);
        assert_eq!(fix_texts(&RULE, &evidence).len(), 1);
    }

    #[test]
    fn healthy_starting_stopped_and_unchecked_containers_are_silent() {
        check_rule(&RULE, &world(container("web").health("healthy")), passes());
        check_rule(&RULE, &world(container("web").health("starting")), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
        let stopped = container("web").health("unhealthy").status(Status::Exited);
        check_rule(&RULE, &world(stopped), not_applicable());
    }
}
