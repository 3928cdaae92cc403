//! The container has only just started and does not serve yet.

use crate::case::Case;
use crate::evidence::{Port, Status};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-starting",
    title: "the container is still starting",
    check: Check::State,
    explained_by: &["container-paused", "restart-loop"],
    docs: "\
## What it checks

The health check says `starting`, and none of the ports that the container promises has a listener,
or a published one has none. Without a health check nothing tells a slow start from a wrong command:
then the finding is that nothing listens, with the age of the container.

## Why it matters

Whoever connects before the server listens gets `connection refused`, though nothing is wrong with
the network. A database that fills its volume on the first start, a JVM or a migration takes seconds
to minutes; a client that does not try again ends with an error and stays ended.

## How to fix it

Wait until it serves, then look again. For good: give the server a health check and let the client
wait for it (Compose: `depends_on: {db: {condition: service_healthy}}`), or let the client retry.

## When it is wrong

A program that will never listen (a wrong command, a wait for somebody else) looks the same in its
first seconds. If this stays, read `docker logs NAME`.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.subject.status != Status::Running {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let state = &case.detail.state;
    let starting = state
        .health
        .as_ref()
        .is_some_and(|health| health.status == "starting");
    if !starting {
        return Verdict::Pass;
    }
    let services = match case.services() {
        Ok(services) => services,
        Err(reason) => {
            return Verdict::Unknown(format!(
                "what listens in `{name}`, which is starting: {reason}"
            ));
        }
    };
    let promised = case.promised_ports();
    let is_missing = |port: &Port| !services.iter().any(|service| service.port == *port);
    let missing: Vec<Port> = promised.iter().copied().filter(is_missing).collect();
    let published_is_missing = case
        .detail
        .wanted
        .iter()
        .chain(&case.subject.published)
        .any(|binding| is_missing(&binding.container));
    let waits = services.is_empty()
        || (!promised.is_empty() && (missing.len() == promised.len() || published_is_missing));
    if !waits {
        return Verdict::Pass;
    }
    let ports: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let nobody = if ports.is_empty() {
        "nothing listens in it yet".to_owned()
    } else {
        format!("nothing listens on {} yet", ports.join(", "))
    };
    let since = state
        .started_at
        .map(|at| format!(" (since {})", crate::render::age(case.age(at))))
        .unwrap_or_default();
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(missing.iter().map(Subject::port));
    let fault = Fault::error(
        format!("`{name}` is still starting{since}: {nobody}"),
        subjects,
    )
    .proof(format!(
        "Engine API: status running, health {}",
        state
            .health
            .as_ref()
            .map_or("not checked", |health| health.status.as_str())
    ))
    .proof(format!(
        "seen from `{name}`: {}",
        if services.is_empty() {
            "no listener".to_owned()
        } else {
            let open: Vec<String> = services
                .iter()
                .map(|service| format!("{}/{}", service.local, service.port.protocol.as_str()))
                .collect();
            format!("listeners only on {}", open.join(", "))
        }
    ));
    let status = shell::command(["docker", "inspect", "-f", "{{.State.Health.Status}}", name]);
    Verdict::Fail(vec![fault.fix(Fix::new(
        "Wait until its health check has come to a result",
        vec![format!(
            "until [ \"$({status})\" != starting ]; do sleep 1; done"
        )],
    ))])
}

#[cfg(test)]
mod tests {
    use netcheck_probe::Protocol;

    use super::RULE;
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, passes, socket, tcp,
        unknown, world,
    };

    #[test]
    fn a_server_whose_health_check_says_starting_and_that_does_not_listen() {
        let db = container("my db")
            .exposes(tcp(3306))
            .health("starting")
            .started(40);
        let evidence = world(db).listens(Vec::new());
        check_rule(
            &RULE,
            &evidence,
            fails("`my db` is still starting (since 40 s): nothing listens on 3306/tcp yet"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "until [ \"$(docker inspect -f '{{.State.Health.Status}}' 'my db')\" != starting ]; do \
              sleep 1; done"
            ]
        );
    }

    #[test]
    fn a_young_server_without_a_health_check_is_not_known_to_be_starting() {
        let db = container("db").exposes(tcp(3306)).started(3);
        check_rule(&RULE, &world(db).listens(Vec::new()), passes());
    }

    #[test]
    fn what_listens_already_passes() {
        let web = container("web")
            .exposes(tcp(80))
            .exposes(tcp(443))
            .health("starting")
            .started(2);
        let evidence = world(web).listens(vec![socket(Protocol::Tcp, "0.0.0.0:80")]);
        check_rule(&RULE, &evidence, passes());
    }

    #[test]
    fn a_published_port_that_waits_counts_alone() {
        let web = container("web")
            .exposes(tcp(80))
            .publishes(binding("0.0.0.0", 8443, tcp(443)))
            .health("starting")
            .started(2);
        let evidence = world(web).listens(vec![socket(Protocol::Tcp, "0.0.0.0:80")]);
        check_rule(
            &RULE,
            &evidence,
            fails("`web` is still starting (since 2 s): nothing listens on 443/tcp yet"),
        );
    }

    #[test]
    fn young_clients_and_old_servers_are_silent() {
        let client = world(container("app").started(1)).listens(Vec::new());
        check_rule(&RULE, &client, passes());
        let old = world(container("db").exposes(tcp(3306)).started(10)).listens(Vec::new());
        check_rule(&RULE, &old, passes());
        let healthy = container("app")
            .exposes(tcp(80))
            .health("healthy")
            .started(1);
        check_rule(&RULE, &world(healthy).listens(Vec::new()), passes());
    }

    #[test]
    fn without_a_look_from_inside_it_stays_open_only_with_a_health_check() {
        let db = container("db").exposes(tcp(3306)).started(1);
        check_rule(&RULE, &world(db.clone()), passes());
        check_rule(
            &RULE,
            &world(db.health("starting")),
            unknown("what listens in `db`"),
        );
    }
}
