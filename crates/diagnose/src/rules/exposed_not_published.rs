//! A container points to a port of the host that is only exposed, not published.

use netcheck_probe::Protocol;

use crate::case::Case;
use crate::evidence::{Binding, Container, Port};
use crate::recreate::publish_word;
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "exposed-not-published",
    title: "a port is exposed but not published, and somebody looks for it on the host",
    check: Check::Published,
    explained_by: &[],
    docs: "\
## What it checks

The configuration of a container (or `--outbound`) points to a port of the host, by
`host.docker.internal`, a gateway or one of the host's addresses; nobody publishes that port, no
process of the host listens on it, and exactly one running container exposes it.

## Why it matters

`EXPOSE` and `--expose` are notes. `docker ps` shows `8080/tcp` for them, but only `-p` puts a port on
the host (`0.0.0.0:8080->8080/tcp`). Until then the host refuses the connection.

## How to fix it

Between containers, no published port is needed: put both on one network and use the name and the
container port. For everybody else publish it: `-p 8080:8080`, in Compose `ports:`, not `expose:`.

## When it is wrong

An exposed port that nobody looks for on the host is healthy and never reported. If the reference
means a program that is still to be started on the host, and a container exposes the same port by
chance, start that program.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let exposes = !unpublished(case.subject).is_empty();
    let mut wanted: Vec<(&Container, Option<&Reference>, u16)> = case
        .references_to_host()
        .into_iter()
        .filter_map(|(holder, reference)| {
            Some((holder, Some(reference), reference.certain_port()?))
        })
        .collect();
    if let Some(outbound) = &case.evidence.request.outbound
        && (outbound
            .address()
            .is_some_and(|address| case.is_host_address(address))
            || outbound.host.eq_ignore_ascii_case(crate::plan::HOST_NAME))
    {
        wanted.push((case.subject, None, outbound.port));
    }
    let mut faults = Vec::new();
    let mut open = None;
    for (holder, reference, number) in wanted {
        let Some(exposer) = only_exposer(case, holder, number) else {
            continue;
        };
        if exposer.id != case.subject.id && holder.id != case.subject.id {
            continue;
        }
        match case.host_listens(number) {
            Some(addresses) if addresses.is_empty() => {
                faults.push(fault(case, exposer, holder, reference, number));
            }
            Some(_) => {}
            None => {
                let why = case.host_visit().err().unwrap_or("was not looked at");
                open = Some(format!(
                    "whether port {number} is open on the engine's host: {why}"
                ));
            }
        }
    }
    match (faults.is_empty(), open) {
        (true, Some(needs)) => Verdict::Unknown(needs),
        (true, None) if !exposes => Verdict::NotApplicable,
        _ => Verdict::from_faults(faults),
    }
}

/// TCP ports that are exposed and not published.
fn unpublished(container: &Container) -> Vec<u16> {
    let exposed = container.detail().map(|detail| &detail.exposed[..]);
    exposed
        .unwrap_or_default()
        .iter()
        .filter(|port| port.protocol == Protocol::Tcp)
        .filter(|port| !container.published.iter().any(|b| b.container == **port))
        .map(|port| port.number)
        .collect()
}

/// The one running container that exposes this port, if nobody has it on the host.
fn only_exposer<'a>(case: &Case<'a>, holder: &Container, number: u16) -> Option<&'a Container> {
    let containers = &case.evidence.containers;
    let on_host = |container: &Container| {
        let published = container
            .published
            .iter()
            .any(|b| b.host_port == Some(number) && b.container.protocol == Protocol::Tcp);
        // One that publishes the port elsewhere is meant, with another number.
        published
            || container
                .published
                .iter()
                .any(|b| b.container.number == number)
    };
    if containers.iter().any(on_host) {
        return None;
    }
    let mut exposers = containers
        .iter()
        .filter(|other| other.id != holder.id && other.is_running())
        .filter(|other| unpublished(other).contains(&number));
    match (exposers.next(), exposers.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn fault<'a>(
    case: &Case<'a>,
    exposer: &'a Container,
    holder: &'a Container,
    reference: Option<&Reference>,
    number: u16,
) -> Fault {
    let (server, client) = (&exposer.name, &holder.name);
    let place = reference.map_or_else(|| "--outbound".to_owned(), |r| r.place.to_string());
    let mut subjects = vec![Subject::container(case.name())];
    let others = [server, client]
        .into_iter()
        .filter(|name| *name != case.name());
    subjects.extend(others.map(|name| Subject::container(name)));
    subjects.push(Subject::port(format!("{number}/tcp")));
    subjects.push(Subject::setting(&place));
    let fault = Fault::error(
        format!(
            "`{client}` is told to reach port {number} of the host ({place}), but `{server}` only \
             exposes that port and does not publish it"
        ),
        subjects,
    )
    .proof(format!(
        "Engine API: `{server}` exposes {number}/tcp, and no container publishes host port {number}"
    ))
    .proof(format!(
        "seen from the engine's host: nothing listens on port {number}"
    ));
    let by_name = reference.and_then(|reference| {
        case.name_between(holder, exposer)?;
        case.fix_by_name(holder, reference, exposer, number)
    });
    match by_name {
        Some(fix) => fault.fix(fix),
        None => fault.fix(publish(case, exposer, number)),
    }
}

fn publish<'a>(case: &Case<'a>, exposer: &'a Container, number: u16) -> Fix {
    let binding = Binding {
        container: Port {
            number,
            protocol: Protocol::Tcp,
        },
        host_address: None,
        host_port: Some(number),
    };
    let word = publish_word(&binding);
    let text = format!("Publish the port of `{}`, `-p {word}`", exposer.name);
    match (case.recreate_other(exposer), exposer.detail()) {
        (Some(recreate), Some(detail)) => {
            let mut all = detail.wanted.clone();
            all.push(binding);
            recreate
                .publish(all)
                .fix(&text, &format!("add `{word}` under `ports`"))
        }
        _ => Fix::new(text, Vec::new()),
    }
}

#[cfg(test)]
mod tests {

    use super::RULE;
    use crate::evidence::Container;
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, not_applicable, passes,
        tcp, unknown, world,
    };

    fn api() -> Container {
        container("api").exposes(tcp(8080))
    }

    fn app() -> Container {
        container("app")
            .on("my_network", "172.18.0.3")
            .env(&["API_URL=http://host.docker.internal:8080/"])
    }

    const PROBLEM: &str = "`app` is told to reach port 8080 of the host (API_URL), but `api` only \
                           exposes that port and does not publish it";

    #[test]
    fn whoever_of_the_two_is_asked_about() {
        check_rule(
            &RULE,
            &world(api()).and(app()).host_listens(&[]),
            fails(PROBLEM),
        );
        let evidence = world(app()).and(api()).host_listens(&[]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert!(commands(&RULE, &evidence)[2].contains("-e API_URL=http://api:8080/ "));
    }

    #[test]
    fn without_a_common_network_it_is_published() {
        let app = app().alone().on("other", "172.19.0.3");
        let evidence = world(api()).and(app).host_listens(&[]);
        assert!(commands(&RULE, &evidence)[2].contains(" -p 8080:8080 "));
    }

    #[test]
    fn an_exposed_port_for_its_networks_is_healthy() {
        check_rule(&RULE, &world(api()), passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
        let second = api().on("my_network", "172.18.0.4");
        let two = world(app()).and(api()).and(Container {
            id: "0".repeat(64),
            name: "api2".into(),
            ..second
        });
        check_rule(&RULE, &two.host_listens(&[]), not_applicable());
    }

    #[test]
    fn somebody_else_has_the_port_on_the_host() {
        let process = world(api()).and(app()).host_listens(&["0.0.0.0:8080"]);
        check_rule(&RULE, &process, passes());
        let published = container("web").publishes(binding("0.0.0.0", 8080, tcp(80)));
        let evidence = world(api()).and(app()).and(published).host_listens(&[]);
        check_rule(&RULE, &evidence, passes());
    }

    #[test]
    fn without_a_look_at_the_host_it_stays_open() {
        check_rule(
            &RULE,
            &world(app()).and(api()),
            unknown("whether port 8080 is open on the engine's host: no look"),
        );
    }
}
