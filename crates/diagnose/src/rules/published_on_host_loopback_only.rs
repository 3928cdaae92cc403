//! A port is published on the host's loopback, and a container tries to reach it through the host.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Connected, Protocol};

use crate::case::Case;
use crate::evidence::{Binding, Container};
use crate::recreate::publish_word;
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "published-on-host-loopback-only",
    title: "a port published on the host's loopback is used from a container",
    check: Check::Published,
    explained_by: &[],
    docs: "\
## What it checks

A port is published on the host's loopback (`-p 127.0.0.1:8080:80`), and the configuration of a
container points to that port of the host: by `host.docker.internal`, by the gateway of a Docker
network, or by one of the host's addresses.

## Why it matters

Publishing on `127.0.0.1` is good practice: only programs on the host reach the port. A container is
not on the host: its packets arrive at the bridge's address, where the port is not open, and it gets
`connection refused`, although the same port works from the host's shell.

## How to fix it

Let the container use the other's name and container port on a network that both are on; no published
port is needed between containers. Otherwise publish on all addresses (`-p 8080:80`), which the local
network can reach too, or on the bridge's address alone (`-p 172.17.0.1:8080:80`).

## When it is wrong

Without such a reference nothing is reported, and Docker Desktop is left out: its
`host.docker.internal` reaches the loopback of the user's machine. If a proxy on the host listens on
the other addresses and forwards the port, and the host could not be looked at, the way may be open
after all.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let mut faults = Vec::new();
    let references = case.references_to_host();
    let mut any = false;
    for publisher in case.evidence.containers.iter().filter(|c| c.is_running()) {
        let is_subject = publisher.id == case.subject.id;
        let mut seen = Vec::new();
        for binding in publisher.published.iter().filter(|b| on_loopback(b)) {
            any |= is_subject;
            for (holder, reference) in &references {
                let concerns = is_subject || holder.id == case.subject.id;
                let hits = binding
                    .host_port
                    .is_some_and(|port| reference.certain_port() == Some(port));
                let key = (
                    binding.container,
                    &holder.id,
                    &reference.place,
                    &reference.written,
                );
                if !concerns || !hits || seen.contains(&key) || is_open(case, holder, reference) {
                    continue;
                }
                seen.push(key);
                faults.push(fault(case, publisher, binding, holder, reference));
            }
        }
    }
    if faults.is_empty() && !any {
        return Verdict::NotApplicable;
    }
    Verdict::from_faults(faults)
}

fn on_loopback(binding: &Binding) -> bool {
    binding.container.protocol == Protocol::Tcp
        && binding
            .host_address
            .is_some_and(|address| address.is_loopback())
}

/// Something else makes the host's port reachable, or a connection was seen to open.
fn is_open(case: &Case<'_>, holder: &Container, reference: &Reference) -> bool {
    let Some(port) = reference.certain_port() else {
        return true;
    };
    let published_elsewhere = case.evidence.containers.iter().any(|container| {
        container.published.iter().any(|other| {
            other.host_port == Some(port)
                && other.container.protocol == Protocol::Tcp
                && !on_loopback(other)
        })
    });
    let host_process = case
        .host_listens(port)
        .is_some_and(|addresses| addresses.iter().any(|address| !address.is_loopback()));
    let seen = holder.id == case.subject.id
        && matches!(connection(case, reference), Some(Connected::Open { .. }));
    published_elsewhere || host_process || seen
}

/// What the subject's connection to the place of the reference came to.
fn connection<'a>(case: &Case<'a>, reference: &Reference) -> Option<&'a Connected> {
    let visit = case.visit().ok()?;
    let address = match reference.host.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => crate::plan::host_address(case)?,
    };
    let to = SocketAddr::new(address, reference.certain_port()?);
    visit.connect(to).known().copied()
}

fn fault<'a>(
    case: &Case<'a>,
    publisher: &'a Container,
    binding: &Binding,
    holder: &'a Container,
    reference: &Reference,
) -> Fault {
    let (server, client) = (&publisher.name, &holder.name);
    let port = binding.container;
    let address = binding
        .host_address
        .map(|address| address.to_string())
        .unwrap_or_default();
    let host_port = binding.host_port.unwrap_or(port.number);
    let mut subjects = vec![Subject::container(case.name())];
    let others = [server, client]
        .into_iter()
        .filter(|name| *name != case.name());
    subjects.extend(others.map(|name| Subject::container(name)));
    subjects.push(Subject::port(port));
    subjects.push(Subject::setting(&reference.place));
    let mut fault = Fault::error(
        format!(
            "`{client}` is told to reach port {host_port} of the host ({}), where `{server}` \
             publishes its port {} on {address} only, which no container can reach",
            reference.place, port.number
        ),
        subjects,
    )
    .proof(format!(
        "Engine API: `{server}` publishes {}",
        publish_word(binding)
    ))
    .proof(format!(
        "Engine API: `{client}` has `{}` in {}",
        reference.shown, reference.place
    ));
    if holder.id == case.subject.id
        && let Some(Connected::Failed { errno, .. }) = connection(case, reference)
    {
        fault = fault.proof(format!(
            "seen from `{client}`: {}:{host_port}: {}",
            reference.host,
            errno.words()
        ));
    }
    let by_name = case
        .name_between(holder, publisher)
        .and_then(|_| case.fix_by_name(holder, reference, publisher, port.number));
    match by_name {
        Some(fix) => fault.fix(fix),
        None => fault.fix(publish_for_all(case, publisher, binding)),
    }
}

fn publish_for_all<'a>(case: &Case<'a>, publisher: &'a Container, binding: &Binding) -> Fix {
    let new = Binding {
        host_address: None,
        ..binding.clone()
    };
    let name = &publisher.name;
    let text = format!(
        "Publish the port of `{name}` on all addresses (the local network can reach it then), \
         `-p {}`",
        publish_word(&new)
    );
    let compose = format!(
        "under `ports` write `{}` in place of `{}`",
        publish_word(&new),
        publish_word(binding)
    );
    match case.recreate_other(publisher) {
        Some(recreate) => recreate.replace_binding(binding, new).fix(&text, &compose),
        None => Fix::new(text, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Protocol, Question};

    use super::RULE;
    use crate::evidence::{Container, Viewpoint};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, not_applicable, passes, snapshot, socket,
        tcp, world,
    };

    fn api() -> Container {
        container("api").publishes(binding("127.0.0.1", 8080, tcp(80)))
    }

    fn app(env: &str) -> Container {
        container("app").on("my_network", "172.18.0.3").env(&[env])
    }

    const PROBLEM: &str = "`app` is told to reach port 8080 of the host (API_URL), where `api` \
                           publishes its port 80 on 127.0.0.1 only, which no container can reach";

    #[test]
    fn whoever_of_the_two_is_asked_about() {
        let url = "API_URL=http://host.docker.internal:8080";
        check_rule(&RULE, &world(api()).and(app(url)), fails(PROBLEM));
        let evidence = world(app(url)).and(api());
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence)[2],
            "docker run -d --name app --network my_network -e API_URL=http://api:80 app:1"
        );
    }

    #[test]
    fn by_the_gateway_and_without_a_common_network() {
        let app = app("API_URL=http://172.19.0.1:8080")
            .alone()
            .on("other", "172.19.0.3");
        let evidence = world(api()).and(app);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence)[2],
            "docker run -d --name api --network my_network -p 8080:80 app:1"
        );
    }

    #[test]
    fn without_a_reference_it_is_good_practice() {
        check_rule(&RULE, &world(api()), passes());
        check_rule(
            &RULE,
            &world(api()).and(app("API_URL=http://api:80")),
            passes(),
        );
        let other_port = app("API_URL=http://host.docker.internal:9090");
        check_rule(&RULE, &world(api()).and(other_port), passes());
        let unrelated = world(container("db"))
            .and(api())
            .and(app("API_URL=http://host.docker.internal:8080"));
        check_rule(&RULE, &unrelated, not_applicable());
    }

    #[test]
    fn a_process_of_the_host_may_open_the_way() {
        let mut host = snapshot();
        host.sockets = Ok(vec![socket(Protocol::Tcp, "172.17.0.1:8080")]);
        let evidence = world(api())
            .and(app("API_URL=http://host.docker.internal:8080"))
            .answered_from(
                Viewpoint::Host,
                Question::Snapshot,
                netcheck_probe::Answer::Snapshot(host),
            );
        check_rule(&RULE, &evidence, passes());
    }
}
