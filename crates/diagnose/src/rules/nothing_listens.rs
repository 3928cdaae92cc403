//! The container promises ports and holds no listening socket at all.

use crate::case::Case;
use crate::evidence::{Mode, Port};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "nothing-listens",
    title: "nothing listens in the container",
    check: Check::Listening,
    explained_by: &["container-starting", "shared-namespace-dead"],
    docs: "\
## What it checks

The image or `--expose` names ports, and the container's network namespace holds no listening TCP
socket and no UDP socket of a service. The sockets of Docker's embedded DNS on `127.0.0.11` do not
count: they are the engine's. A container that publishes ports is left to
`published-port-nobody-listens`.

## Why it matters

`docker ps` says `Up`, and every connection is refused at once. The usual reasons: the wrong command
was started, the program crashed under a supervisor that goes on, or it opens its port only when
something that it waits for is there.

## How to fix it

`docker logs --tail 50 NAME` shows what the program did instead. Mend its command or what it waits
for, then `docker restart NAME`. If it only takes long to start, give it a health check and let others
wait with `depends_on: {condition: service_healthy}`.

## When it is wrong

A worker that was made from the image of a server: the image's `EXPOSE` promises a port which this
command never opens. It is not reported if a container of the same image with the same ports runs
on a network with it and nobody names the worker, or if the worker's health check is content; otherwise nothing
is broken and nothing needs to be done.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let detail = case.detail;
    if detail.mode == Mode::Host
        || (detail.mode == Mode::None && !case.is_joined())
        || case.asked.is_none() && is_left_to_others(case)
    {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let (services, listeners) = match (case.services(), case.listeners()) {
        (Ok(services), Ok(listeners)) => (services, listeners),
        (Err(why), _) | (_, Err(why)) => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
    };
    // A promised UDP port may lie in the range of client sockets (WireGuard's 51820).
    let keeps_a_promise = listeners
        .iter()
        .any(|listener| case.promised_ports().contains(&listener.port));
    let content = detail
        .state
        .health
        .as_ref()
        .is_some_and(|health| health.status == "healthy");
    let serves = !services.is_empty()
        || keeps_a_promise
        || case.asked_by_the_other_protocol(&listeners).is_some();
    if serves || case.asked.is_none() && (content || is_worker_of_a_server_image(case)) {
        return Verdict::Pass;
    }
    let mut exposed = match case.asked {
        Some(asked) => vec![asked.port],
        None => detail.exposed.clone(),
    };
    exposed.sort_unstable();
    exposed.dedup();
    let ports = words(&exposed);
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(exposed.iter().map(Subject::port));
    let up = detail.state.started_at.map_or_else(String::new, |at| {
        format!(", started {} ago", crate::render::age(case.age(at)))
    });
    Verdict::Fail(vec![
        match case.asked {
            Some(asked) => Fault::error(
                format!(
                    "nothing listens in `{name}`, of which `{}` asks for {ports}",
                    asked.from.name
                ),
                subjects,
            )
            .proof(case.sockets_seen(&listeners))
            .proofs(asked.connections())
            .proof(format!("Engine API: `{name}` is running{up}")),
            None => Fault::error(
                format!("nothing listens in `{name}`, which is there to serve {ports}"),
                subjects,
            )
            .proof(case.sockets_seen(&listeners))
            .proof(format!("Engine API: `{name}` exposes {ports}{up}")),
        }
        .fix(Fix::new(
            "See what it did instead of listening; then mend that and start it again",
            vec![
                shell::command(["docker", "logs", "--tail", "50", name]),
                shell::command(["docker", "restart", name]),
            ],
        )),
    ])
}

/// It promises nothing, or publishes ports, which is for another rule.
fn is_left_to_others(case: &Case<'_>) -> bool {
    case.detail.exposed.is_empty()
        || !case.detail.wanted.is_empty()
        || !case.subject.published.is_empty()
}

fn words(ports: &[Port]) -> String {
    let words: Vec<_> = ports.iter().map(|port| format!("`{port}`")).collect();
    words.join(", ")
}

/// Its command is not the image's, somebody else of that image serves the same ports, and no
/// configuration names it: what it exposes is the image's promise, not its own.
fn is_worker_of_a_server_image(case: &Case<'_>) -> bool {
    let run = &case.detail.run;
    let own_command = !run.command.is_empty() || run.entrypoint.is_some();
    let sibling = || {
        case.evidence.containers.iter().any(|other| {
            other.id != case.subject.id
                && other.is_running()
                && other.image == case.subject.image
                // The same image elsewhere on the engine is somebody else's.
                && !case.shared_networks(other).is_empty()
                && other.detail().is_some_and(|detail| {
                    case.detail
                        .exposed
                        .iter()
                        .all(|port| detail.exposed.contains(port))
                })
        })
    };
    own_command && sibling() && case.named_by_others().is_empty()
}

#[cfg(test)]
mod tests {
    use netcheck_probe::Protocol;

    use super::RULE;
    use crate::evidence::Mode;
    use crate::rules::testing::{
        binding, check_rule, container, fails, not_applicable, passes, socket, tcp, udp, unknown,
        world,
    };

    const PROBLEM: &str = "nothing listens in `web`, which is there to serve `80/tcp`";

    #[test]
    fn an_exposed_port_without_any_listener() {
        let web = container("web").exposes(tcp(80));
        check_rule(&RULE, &world(web.clone()).listens(vec![]), fails(PROBLEM));
        // The embedded DNS is the engine's.
        let dns = vec![
            socket(Protocol::Tcp, "127.0.0.11:40000"),
            socket(Protocol::Udp, "127.0.0.11:40001"),
            socket(Protocol::Udp, "0.0.0.0:41000"),
        ];
        check_rule(&RULE, &world(web).listens(dns), fails(PROBLEM));
    }

    #[test]
    fn any_listener_is_enough() {
        let db = container("db").exposes(tcp(3306)).exposes(tcp(33060));
        let one = vec![socket(Protocol::Tcp, "[::]:3306")];
        check_rule(&RULE, &world(db).listens(one), passes());
        let vpn = container("vpn").exposes(udp(51820));
        let one = vec![socket(Protocol::Udp, "0.0.0.0:51820")];
        check_rule(&RULE, &world(vpn).listens(one), passes());
    }

    #[test]
    fn a_plain_client_is_not_asked() {
        check_rule(
            &RULE,
            &world(container("app")).listens(vec![]),
            not_applicable(),
        );
        let published =
            container("web")
                .exposes(tcp(80))
                .publishes(binding("0.0.0.0", 8080, tcp(80)));
        check_rule(&RULE, &world(published).listens(vec![]), not_applicable());
        let host = container("web").exposes(tcp(80)).mode(Mode::Host);
        check_rule(&RULE, &world(host), not_applicable());
    }

    #[test]
    fn without_a_look_inside_it_stays_open() {
        let web = container("web").exposes(tcp(80));
        check_rule(
            &RULE,
            &world(web),
            unknown("the listening sockets of `web`: no look"),
        );
    }

    #[test]
    fn a_worker_beside_the_server_of_its_image_is_no_server() {
        let worker = container("worker").exposes(tcp(80)).command(&["work"]);
        let server = container("web")
            .on("my_network", "172.18.0.3")
            .exposes(tcp(80));
        let both = world(worker.clone()).and(server.clone()).listens(vec![]);
        check_rule(&RULE, &both, passes());
        let elsewhere = server.clone().alone().on("other", "172.19.0.3");
        check_rule(
            &RULE,
            &world(worker.clone()).and(elsewhere).listens(vec![]),
            fails("nothing listens in `worker`, which is there to serve `80/tcp`"),
        );
        let client = server.env(&["API=http://worker:80"]);
        let named = world(worker).and(client).listens(vec![]);
        check_rule(
            &RULE,
            &named,
            fails("nothing listens in `worker`, which is there to serve `80/tcp`"),
        );
    }
}
