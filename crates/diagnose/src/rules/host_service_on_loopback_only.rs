//! The container is told to use a service of the engine's host that listens on the host's loopback only.

use std::net::IpAddr;

use netcheck_probe::Connected;

use crate::case::{Case, list};
use crate::evidence::Mode;
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-service-on-loopback-only",
    title: "a service of the host listens on the host's loopback only",
    check: Check::Host,
    explained_by: &["host-gateway-name-missing", "published-on-host-loopback-only"],
    docs: "\
## What it checks

The environment or the command line names the engine's host (`host.docker.internal`, the gateway of a network,
an address of the host) with a port, and on the host that port is open on loopback addresses (127.0.0.1, ::1)
alone. Ports that a container publishes have a rule of their own.

## Why it matters

Development servers and databases of a machine mostly listen on 127.0.0.1. From a container the host is another
machine, whose loopback cannot be reached: `connection refused`, though `curl localhost:PORT` works on the host.

## How to fix it

Let the service listen on all addresses, or on the address by which containers see the host (mostly 172.17.0.1,
that of `docker0`), and keep it from the outside by the host's firewall. Or run the container in host mode
(`--network host`), where the host's loopback is its own.

## When it is wrong

On Docker Desktop the host's loopback can be reached by `host.docker.internal`; it is not judged there.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let desktop = case
        .evidence
        .engine
        .known()
        .is_some_and(crate::evidence::Engine::is_desktop);
    if desktop || case.detail.mode == Mode::Host || case.subject.is_engine_host() {
        return Verdict::NotApplicable;
    }
    let mut faults: Vec<Fault> = Vec::new();
    let mut seen = Vec::new();
    for reference in &case.detail.references {
        let Some(port) = reference.certain_port() else {
            continue;
        };
        if reference.is_localhost()
            || seen.contains(&port)
            || !case.points_to_host(case.subject, reference)
            || is_published(case, port)
        {
            continue;
        }
        let listens = case.host_listens(port).unwrap_or_default();
        if listens.is_empty() || !listens.iter().all(|at| at.to_canonical().is_loopback()) {
            continue;
        }
        if opened(case, reference, port) {
            continue;
        }
        seen.push(port);
        faults.push(fault(case, reference, port, &listens));
    }
    Verdict::from_faults(faults)
}

fn is_published(case: &Case<'_>, port: u16) -> bool {
    case.evidence
        .containers
        .iter()
        .filter_map(|container| container.detail())
        .flat_map(|detail| &detail.wanted)
        .any(|binding| binding.host_port == Some(port))
}

/// Something else answers there, e.g. by a rule of the host's packet filter.
fn opened(case: &Case<'_>, reference: &Reference, port: u16) -> bool {
    case.addresses_of(&reference.host).into_iter().any(|address| {
        case.visit().is_ok_and(|visit| {
            let connected = visit.connect((address, port).into());
            matches!(connected.known(), Some(Connected::Open { .. }))
        })
    })
}

fn fault(case: &Case<'_>, reference: &Reference, port: u16, listens: &[IpAddr]) -> Fault {
    let name = case.name();
    let mut fault = Fault::error(
        format!(
            "`{name}` is told to use port {port} of the engine's host{}, where only the host's own \
             loopback has it",
            reference.place.aside()
        ),
        vec![
            Subject::container(name),
            Subject::address(&reference.host),
            Subject::setting(&reference.place),
        ],
    );
    if let Some(written) = reference.written_proof() {
        fault = fault.proof(written);
    }
    let by = match case.resolution(&reference.host) {
        Ok(addresses) if !addresses.is_empty() => format!(", e.g. on {}", addresses[0]),
        _ => String::new(),
    };
    fault
        .proof(format!(
            "seen from the engine's host: port {port} is open on {} only",
            list(listens)
        ))
        .fix(Fix::new(
            format!(
                "Let the service on the host listen where containers reach it{by}, or on all addresses \
                 (0.0.0.0)"
            ),
            Vec::new(),
        ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Protocol, Question, Snapshot};

    use super::RULE;
    use crate::evidence::{Evidence, Mode, Viewpoint};
    use crate::rules::testing::{
        binding, check_rule, container, fails, fix_texts, not_applicable, passes, snapshot, socket,
        tcp, world,
    };

    const URL: &str = "API_URL=http://host.docker.internal:4200/";

    fn listens(evidence: Evidence, at: &[&str]) -> Evidence {
        let sockets = at.iter().map(|at| socket(Protocol::Tcp, at)).collect();
        let host = Snapshot {
            sockets: Ok(sockets),
            ..snapshot()
        };
        evidence.answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host))
    }

    fn app() -> Evidence {
        world(container("app").env(&[URL])).resolves("host.docker.internal", &["172.17.0.1"])
    }

    #[test]
    fn a_listener_on_the_hosts_loopback() {
        for at in [&["127.0.0.1:4200"][..], &["127.0.0.1:4200", "[::1]:4200"]] {
            let evidence = listens(app(), at);
            check_rule(
                &RULE,
                &evidence,
                fails(
                    "`app` is told to use port 4200 of the engine's host (API_URL), where only the \
                     host's own loopback has it",
                ),
            );
            assert!(fix_texts(&RULE, &evidence)[0].contains("172.17.0.1"));
        }
    }

    #[test]
    fn other_listeners_and_none_are_silent() {
        for at in [
            &[][..],
            &["0.0.0.0:4200"],
            &["127.0.0.1:4200", "172.17.0.1:4200"],
            &["127.0.0.1:4201"],
        ] {
            check_rule(&RULE, &listens(app(), at), passes());
        }
        check_rule(&RULE, &app(), passes());
    }

    #[test]
    fn published_ports_and_host_mode_are_not_its_matter() {
        let mut web = container("web");
        web.detail_mut().wanted = vec![binding("127.0.0.1", 4200, tcp(80))];
        check_rule(
            &RULE,
            &listens(app().and(web), &["127.0.0.1:4200"]),
            passes(),
        );
        let host = world(container("app").env(&[URL]).mode(Mode::Host));
        check_rule(&RULE, &listens(host, &["127.0.0.1:4200"]), not_applicable());
    }
}
