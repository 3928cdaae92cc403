//! The container goes to another one by the engine's host, though the two are on one network.
//!
//! It must not speak of a way that is closed: what closes it has a rule of its own.

use std::net::SocketAddr;

use netcheck_probe::{Connected, Protocol};

use crate::case::Case;
use crate::evidence::{Binding, Container, Engine, Fact, Mode};
use crate::recreate::publish_word;
use crate::reference::{Place, Reference};
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-reached-through-host",
    title: "another container is reached by way of the host, though its name would do",
    check: Check::Config,
    explained_by: &[],
    docs: "\
## What it checks

An environment variable or the command line names the engine's host (`host.docker.internal`, the gateway of a
network, an address of the host) with a port that another container publishes there, and the two containers are on
a network where that container's name is known.

## Why it matters

The way by the host works by luck. It ends when the port is published on `127.0.0.1` only (as it should be for a
database), when another host port is chosen, when the host's firewall or an engine without docker-proxy does not let
containers reach published ports, and on a Linux host whose containers lack `host.docker.internal`. The other
container sees the gateway's address instead of the client's. The way by name needs none of that.

## How to fix it

Write the other container's name and its container port, the number to the right of the colon in
`-p 8080:80`: `http://api:80/`. If nobody but containers uses the published port, it need not be published.

## When it is wrong

If the same address has to work in a browser too, e.g. the issuer of OpenID Connect, the host's name is meant: leave
it. Docker Desktop is left out: its `host.docker.internal` is made for the user's machine.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let desktop = case.evidence.engine.known().is_some_and(Engine::is_desktop);
    if desktop || case.detail.mode == Mode::Host || case.subject.is_engine_host() {
        return Verdict::NotApplicable;
    }
    let mut faults = Vec::new();
    let mut any = false;
    let mut open = None;
    for reference in &case.detail.references {
        let Some(port) = reference.certain_port() else {
            continue;
        };
        // Of what is asked, the way was chosen on purpose; and who reads a label is not known.
        let written = matches!(reference.place, Place::Env(_) | Place::Argument(_));
        if !written || !case.points_to_host(case.subject, reference) {
            continue;
        }
        any = true;
        let Some((other, binding)) = publisher(case, port) else {
            continue;
        };
        let seen = connections(case, reference, port);
        if seen.iter().any(|seen| matches!(seen, Connected::Failed { .. })) {
            continue;
        }
        if let Fact::Failed(reason) = &case.evidence.networks {
            open.get_or_insert(format!(
                "which networks `{}` shares with `{}`: {reason}",
                case.name(),
                other.name
            ));
        }
        faults.extend(fault(case, reference, other, binding, !seen.is_empty()));
    }
    if !any {
        return Verdict::NotApplicable;
    }
    match open {
        Some(missing) if faults.is_empty() => Verdict::Unknown(missing),
        _ => Verdict::from_faults(faults),
    }
}

/// The one other container that publishes this port where containers can reach it, on a network with the subject.
fn publisher<'a>(case: &Case<'a>, port: u16) -> Option<(&'a Container, &'a Binding)> {
    let publishes = |binding: &&Binding| {
        binding.host_port == Some(port)
            && binding.container.protocol == Protocol::Tcp
            && binding.host_address.is_none_or(|address| !address.is_loopback())
    };
    let mut found = case
        .evidence
        .containers
        .iter()
        .filter(|container| container.is_running())
        .filter_map(|container| Some((container, container.published.iter().find(publishes)?)));
    // Several of them publish it on an address each.
    let (other, binding) = found.next().filter(|_| found.next().is_none())?;
    (other.id != case.subject.id).then_some((other, binding))
}

/// What the subject's connections to the place of the reference came to, as far as they were tried.
fn connections<'a>(case: &Case<'a>, reference: &Reference, port: u16) -> Vec<&'a Connected> {
    let Ok(visit) = case.visit() else {
        return Vec::new();
    };
    case.addresses_of(&reference.host)
        .into_iter()
        .filter_map(|address| visit.connect(SocketAddr::new(address, port)).known().copied())
        .collect()
}

fn fault<'a>(
    case: &Case<'a>,
    reference: &'a Reference,
    other: &'a Container,
    binding: &Binding,
    open: bool,
) -> Option<Fault> {
    let (name, server) = (case.name(), &other.name);
    let known_as = case.name_between(case.subject, other)?;
    let inside = binding.container.number;
    let fix = case.fix_by_name(case.subject, reference, other, inside)?;
    let mut fault = Fault::warning(
        format!(
            "`{name}` goes to `{server}` by way of the engine's host{}; on the network they share it is \
             `{known_as}:{inside}`",
            reference.place.aside()
        ),
        vec![
            Subject::container(name),
            Subject::container(server),
            Subject::port(binding.container),
            Subject::setting(&reference.place),
        ],
    )
    .proofs(reference.written_proof())
    .proof(format!("Engine API: `{server}` publishes {}", publish_word(binding)));
    if open {
        fault = fault.proof(format!("seen from `{name}`: `{}`: connected, for now", reference.written));
    }
    if case.connects(other, inside) {
        fault = fault.proof(format!("seen from `{name}`: port {inside} of `{server}`: connected"));
    }
    Some(fault.fix(fix))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Question};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Fact};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, ip, not_applicable, passes, tcp, unknown,
        world,
    };

    const URL: &str = "API_URL=http://host.docker.internal:18093/";
    const PROBLEM: &str = "`app` goes to `api` by way of the engine's host (API_URL); on the network they \
                           share it is `api:80`";

    fn api(host: &str) -> Container {
        container("api")
            .on("my_network", "172.18.0.3")
            .publishes(binding(host, 18093, tcp(80)))
    }

    fn app(env: &[&str]) -> Evidence {
        world(container("app").env(env))
    }

    #[test]
    fn a_port_of_the_host_where_the_name_would_do() {
        let evidence = app(&[URL]).and(api("0.0.0.0"));
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let all = commands(&RULE, &evidence).join("\n");
        assert!(all.contains("-e API_URL=http://api:80/ "), "{all}");
        let gateway = app(&["API_URL=http://172.18.0.1:18093/"]).and(api("0.0.0.0"));
        check_rule(&RULE, &gateway, fails(PROBLEM));
        let service = app(&[URL]).and(api("0.0.0.0").alias("backend"));
        check_rule(&RULE, &service, fails(PROBLEM));
    }

    fn refused() -> Evidence {
        app(&[URL])
            .and(api("0.0.0.0"))
            .resolves("host.docker.internal", &["172.17.0.1"])
            .answered(
                Question::Connect {
                    to: (ip("172.17.0.1"), 18093).into(),
                    listen_ms: 30,
                },
                Answer::Connect(Connected::Failed {
                    errno: Errno::Refused,
                    took_ms: 1,
                }),
            )
    }

    #[test]
    fn what_is_closed_has_rules_of_its_own() {
        check_rule(&RULE, &app(&[URL]).and(api("127.0.0.1")), passes());
        check_rule(&RULE, &refused(), passes());
    }

    #[test]
    fn unlisted_networks_stay_open() {
        let mut evidence = app(&[URL]).and(api("0.0.0.0"));
        evidence.networks = Fact::Failed("the engine did not answer".into());
        check_rule(&RULE, &evidence, unknown("the engine did not answer"));
        // What is closed is for others to judge all the same.
        let mut refused = refused();
        refused.networks = Fact::Failed("the engine did not answer".into());
        check_rule(&RULE, &refused, passes());
    }

    #[test]
    fn who_has_no_better_name_is_left_alone() {
        check_rule(&RULE, &app(&[URL]), passes());
        let elsewhere = api("0.0.0.0").alone().on("other", "172.19.0.3");
        check_rule(&RULE, &app(&[URL]).and(elsewhere), passes());
        let another_port = &["API_URL=http://host.docker.internal:18094/"];
        check_rule(&RULE, &app(another_port).and(api("0.0.0.0")), passes());
        let by_name = &["API_URL=http://api/"];
        check_rule(&RULE, &app(by_name).and(api("0.0.0.0")), not_applicable());
        let own = container("app")
            .env(&[URL])
            .publishes(binding("0.0.0.0", 18093, tcp(80)));
        check_rule(&RULE, &world(own), passes());
        let browsers = &["PUBLIC_URL=http://host.docker.internal:18093/"];
        check_rule(&RULE, &app(browsers).and(api("0.0.0.0")), not_applicable());
    }
}
