//! A container is told to find a peer at `localhost`, which is itself.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Connected, Protocol};

use crate::case::{Case, Listener, Rewrite, Target};
use crate::evidence::{Container, Engine, Mode};
use crate::plan::HOST_NAME;
use crate::reference::{Place, Reference};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "localhost-means-the-container",
    title: "`localhost` in a container means the container itself",
    check: Check::Config,
    explained_by: &[],
    docs: "\
## What it checks

An environment variable or the command line names `localhost`, `127.0.0.1` or `::1` with a port as the
place of a peer, and nothing in the container's own namespace listens on that port.

## Why it matters

Each container has its own loopback. `DB_HOST=localhost` worked while program and database ran on one
machine; in a container it asks the container itself: `connect ECONNREFUSED 127.0.0.1:5432`, `Is the
server running on host \"localhost\"?`.

## How to fix it

Write the other container's name (`DB_HOST=db`) with its container port, on a network that both are
on. For a program on the engine's host write `host.docker.internal`, with `--add-host
host.docker.internal:host-gateway` on Linux; that program must not listen on 127.0.0.1 alone.

## When it is wrong

A URL that this container only hands out (to a browser, in an e-mail) may well say `localhost`. Names
that say so (`PUBLIC_URL`, `CORS_ORIGIN`, `BASE_URL`) are left out, and so is a port that this
container itself publishes; others cannot be told apart. A
server inside that starts later, or only when needed, is not there yet at the moment of the look.
",
    judge,
};

/// Who was meant.
enum Meant<'a> {
    Container(&'a Container, u16),
    Host(Vec<IpAddr>),
    /// Which of these is not known.
    OneOf(Vec<&'a Container>),
    Nobody,
}

fn judge(case: &Case<'_>) -> Verdict {
    if case.detail.mode == Mode::Host {
        return Verdict::NotApplicable;
    }
    let references: Vec<&Reference> = case
        .detail
        .references
        .iter()
        .filter(|reference| reference.is_localhost() && !reference.ports().is_empty())
        // Without a scheme it is an address to listen on.
        .filter(|r| r.scheme.is_some() || !matches!(r.host.as_str(), "0.0.0.0" | "::"))
        .collect();
    if references.is_empty() {
        return Verdict::NotApplicable;
    }
    let listeners = match case.listeners() {
        Ok(listeners) => listeners,
        Err(why) => {
            return Verdict::Unknown(format!("the listening sockets of `{}`: {why}", case.name()));
        }
    };
    let faults = references
        .into_iter()
        .filter(|reference| !is_served_here(case, reference, &listeners))
        .filter_map(|reference| fault(case, reference, &listeners))
        .collect();
    Verdict::from_faults(faults)
}

fn is_served_here(case: &Case<'_>, reference: &Reference, listeners: &[Listener]) -> bool {
    let loopback = |port| SocketAddr::new([127, 0, 0, 1].into(), port);
    reference.ports().iter().any(|port| {
        // Its own port as a browser on the host sees it: a link to itself, not a peer.
        let own_link = || {
            let published = &case.subject.published;
            reference.port.is_some() && published.iter().any(|b| b.host_port == Some(*port))
        };
        own_link()
            || listeners
                .iter()
                .any(|listener| listener.port.number == *port)
            || case.visit().is_ok_and(|visit| {
                let connected = visit.connect(loopback(*port));
                matches!(connected.known(), Some(Connected::Open { .. }))
            })
    })
}

fn meant<'a>(case: &Case<'a>, reference: &Reference) -> Meant<'a> {
    if let Some(expected) = case.expected_by_port(reference) {
        return Meant::Container(expected.container, expected.port);
    }
    // `localhost:8080` as it is typed on the host, where a container publishes 8080.
    if let Some(port) = reference.port {
        let mut publishers = case
            .evidence
            .containers
            .iter()
            .filter(|other| other.id != case.subject.id && other.is_running())
            .filter_map(|other| {
                let binding = other.published.iter().find(|binding| {
                    binding.host_port == Some(port)
                        && binding.container.protocol == Protocol::Tcp
                        && !case.is_refused(other, binding.container.number)
                })?;
                Some((other, binding.container.number))
            });
        if let (Some((other, number)), None) = (publishers.next(), publishers.next()) {
            return Meant::Container(other, number);
        }
    }
    let on_host = reference
        .certain_port()
        .and_then(|port| case.host_listens(port))
        .filter(|addresses| !addresses.is_empty());
    if let Some(addresses) = on_host {
        return Meant::Host(addresses);
    }
    let mut several = reference.ports().into_iter().map(|port| case.serving(port));
    let several = several.find(|others| others.len() > 1);
    several.map_or(Meant::Nobody, Meant::OneOf)
}

fn quoted(containers: &[&Container]) -> String {
    let names: Vec<String> = containers
        .iter()
        .map(|container| format!("`{}`", container.name))
        .collect();
    names.join(" and ")
}

fn fault(case: &Case<'_>, reference: &Reference, listeners: &[Listener]) -> Option<Fault> {
    let name = case.name();
    let meant = meant(case, reference);
    // A default of the image that nobody here could satisfy is likely one that nobody uses.
    if let (Meant::Nobody | Meant::OneOf(_), Place::Env(variable)) = (&meant, &reference.place)
        && !case.detail.run.env_names.contains(variable)
    {
        return None;
    }
    let ports = match (reference.port, &meant) {
        (None, Meant::Container(_, number)) => vec![*number],
        _ => reference.ports(),
    };
    let port: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let port = port.join(" or ");
    let (other, proof) = match &meant {
        Meant::Container(other, number) => (
            format!("; `{}` serves it", other.name),
            format!("Engine API: `{}` serves port {number}", other.name),
        ),
        Meant::Host(_) => (
            "; the engine's host does".to_owned(),
            format!("seen from the engine's host: a program listens on port {port}"),
        ),
        Meant::OneOf(others) => {
            let all = quoted(others);
            (
                format!("; {all} serve it"),
                format!("Engine API: {all} serve port {port}"),
            )
        }
        Meant::Nobody => (
            String::new(),
            "Engine API: no running container is known to serve that port".to_owned(),
        ),
    };
    let mut subjects = vec![Subject::container(name)];
    if let Meant::Container(other, _) = &meant {
        subjects.push(Subject::container(&other.name));
    }
    subjects.push(Subject::setting(&reference.place));
    let fault = Fault::error(
        format!(
            "`{name}` looks for a peer at `{}`{}, which is `{name}` itself, where nothing \
             listens on port {port}{other}",
            reference.host,
            reference.place.aside()
        ),
        subjects,
    )
    .proofs(reference.written_proof())
    .proof(case.sockets_seen(listeners))
    .proof(proof);
    let fix = match meant {
        Meant::Container(other, number) => case
            .fix_by_name(case.subject, reference, other, number)
            .unwrap_or_else(|| {
                Fix::new(
                    format!(
                        "Put `{name}` and `{}` on one network and write `{}:{number}` in {}",
                        other.name, other.name, reference.place
                    ),
                    Vec::new(),
                )
            }),
        Meant::Host(addresses) => to_host(case, reference, &addresses),
        Meant::OneOf(others) => Fix::new(
            format!(
                "Write the name of the one that is meant, {}, in place of `{}` in {}",
                others
                    .iter()
                    .map(|other| format!("`{}`", other.name))
                    .collect::<Vec<_>>()
                    .join(" or "),
                reference.host,
                reference.place
            ),
            Vec::new(),
        ),
        Meant::Nobody => Fix::new(
            format!(
                "Write the name of the container that is meant in place of `{}` in {}, and put both \
                 on one network; for a program on the engine's host write `{HOST_NAME}`",
                reference.host, reference.place
            ),
            Vec::new(),
        ),
    };
    Some(fault.fix(fix))
}

fn to_host(case: &Case<'_>, reference: &Reference, addresses: &[IpAddr]) -> Fix {
    let target = Target {
        host: HOST_NAME.into(),
        port: reference.certain_port().unwrap_or_default(),
    };
    let desktop = case.evidence.engine.known().is_some_and(Engine::is_desktop);
    let has_line = case
        .detail
        .extra_hosts
        .iter()
        .any(|line| line.name.eq_ignore_ascii_case(HOST_NAME));
    let needs_line = !desktop && !has_line;
    let but = if addresses.iter().all(IpAddr::is_loopback) {
        " (and let the program there listen on more than 127.0.0.1)"
    } else {
        ""
    };
    let with = if needs_line {
        format!(", with `--add-host {HOST_NAME}:host-gateway`")
    } else {
        String::new()
    };
    Rewrite::new(reference, &target).fix(
        case,
        case.subject,
        reference,
        &format!("Write the host's name instead{with}{but}"),
        |recreate| {
            if needs_line {
                recreate.add_host(HOST_NAME, "host-gateway")
            } else {
                recreate
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Protocol, Question};

    use super::RULE;
    use crate::evidence::{Container, Mode};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, fix_texts, ip, not_applicable, passes, socket,
        tcp, unknown, world,
    };

    fn app(env: &[&str]) -> Container {
        container("app").env(env)
    }

    fn db() -> Container {
        container("db")
            .on("my_network", "172.18.0.3")
            .exposes(tcp(5432))
    }

    const PROBLEM: &str = "`app` looks for a peer at `localhost` (DB_URL), which is `app` itself, \
                           where nothing listens on port 5432; `db` serves it";

    #[test]
    fn a_container_beside_it_serves_the_port() {
        let app = app(&["DB_URL=postgres://u:secret@localhost:5432/app"]);
        let evidence = world(app).and(db()).listens(vec![]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let all = commands(&RULE, &evidence);
        let edit = r"s#([^A-Za-z0-9_.-])localhost:5432($|[^A-Za-z0-9_.-])#\1db:5432\2#";
        assert!(all[0].contains(edit), "{all:?}");
        assert!(!all.join(" ").contains("secret"));
    }

    #[test]
    fn which_of_two_is_meant_only_the_user_knows() {
        let evidence = world(app(&["DB_URL=postgres://u:p@localhost/x"]))
            .and(db())
            .and(container("db2").on("my_network", "172.18.0.4").exposes(tcp(5432)))
            .listens(vec![]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` looks for a peer at `localhost` (DB_URL), which is `app` itself, where nothing \
                 listens on port 5432; `db` and `db2` serve it",
            ),
        );
        assert_eq!(commands(&RULE, &evidence), [""; 0]);
        let text = &fix_texts(&RULE, &evidence)[0];
        assert!(text.contains("`db` or `db2`, in place of `localhost` in DB_URL"), "{text}");
    }

    #[test]
    fn on_the_default_bridge_a_network_comes_first() {
        let app = app(&["DB_URL=postgres://localhost/app"])
            .alone()
            .on("bridge", "172.17.0.3");
        let db = db().alone().on("bridge", "172.17.0.2");
        let evidence = world(app).and(db).listens(vec![]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create app-net",
                "docker network connect app-net db",
                "docker stop app",
                "docker rename app app-old",
                "docker run -d --name app -e DB_URL=postgres://db/app app:1",
                "docker network connect app-net app",
            ]
        );
    }

    #[test]
    fn a_published_port_of_the_host_names_its_container() {
        let api = container("api")
            .on("my_network", "172.18.0.3")
            .publishes(binding("0.0.0.0", 8080, tcp(80)));
        let evidence = world(app(&["API_HOST=localhost", "API_PORT=8080"]))
            .and(api)
            .listens(vec![]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` looks for a peer at `localhost` (API_HOST), which is `app` itself, where \
                 nothing listens on port 8080; `api` serves it",
            ),
        );
        assert!(commands(&RULE, &evidence)[2].contains("-e API_HOST=api -e API_PORT=80 "));
        // Published to a port on which nothing listens: nobody is sent there.
        let to = (ip("172.18.0.3"), 80).into();
        let refused = Connected::Failed {
            errno: Errno::Refused,
            took_ms: 0,
        };
        let closed = evidence.answered(
            Question::Connect { to, listen_ms: 1 },
            Answer::Connect(refused),
        );
        check_rule(
            &RULE,
            &closed,
            fails(
                "`app` looks for a peer at `localhost` (API_HOST), which is `app` itself, where \
                 nothing listens on port 8080",
            ),
        );
    }

    #[test]
    fn a_program_of_the_host() {
        let evidence = world(app(&["DB_URL=postgres://localhost:5432/app"]))
            .listens(vec![])
            .host_listens(&["0.0.0.0:5432"]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` looks for a peer at `localhost` (DB_URL), which is `app` itself, where \
                 nothing listens on port 5432; the engine's host does",
            ),
        );
        let run = &commands(&RULE, &evidence)[2];
        assert!(
            run.contains("--add-host host.docker.internal:host-gateway"),
            "{run}"
        );
        assert!(
            run.contains("DB_URL=postgres://host.docker.internal:5432/app"),
            "{run}"
        );
    }

    #[test]
    fn nobody_at_all_is_a_fault_of_what_the_user_wrote() {
        let mut app = app(&["DB_URL=postgres://localhost/app"]);
        check_rule(
            &RULE,
            &world(app.clone()).listens(vec![]),
            fails(
                "`app` looks for a peer at `localhost` (DB_URL), which is `app` itself, where \
                 nothing listens on port 5432",
            ),
        );
        app.detail_mut().run.env_names.clear();
        check_rule(&RULE, &world(app).listens(vec![]), passes());
    }

    #[test]
    fn its_own_service_is_meant() {
        let own = vec![socket(Protocol::Tcp, "127.0.0.1:5432")];
        let app = app(&["DB_HOST=localhost"]);
        check_rule(&RULE, &world(app).and(db()).listens(own), passes());
        let link = container("app")
            .publishes(binding("0.0.0.0", 8080, tcp(80)))
            .env(&["WEB_URL=http://localhost:8080"]);
        let own = vec![socket(Protocol::Tcp, "0.0.0.0:80")];
        check_rule(&RULE, &world(link).listens(own), passes());
    }

    #[test]
    fn not_asked_and_not_known() {
        let url = &["DB_URL=postgres://localhost/app"];
        check_rule(
            &RULE,
            &world(app(url)),
            unknown("the listening sockets of `app`: no look"),
        );
        check_rule(&RULE, &world(app(url).mode(Mode::Host)), not_applicable());
        check_rule(&RULE, &world(app(&["X_HOST=localhost"])), not_applicable());
        check_rule(
            &RULE,
            &world(app(&["DB_URL=postgres://db/app"])),
            not_applicable(),
        );
    }
}
