//! A container uses another's name with the port it has on the host.

use std::net::SocketAddr;

use netcheck_probe::{Connected, Protocol};

use crate::case::{Case, Rewrite, Target};
use crate::evidence::{Binding, Container, Fact};
use crate::recreate::publish_word;
use crate::reference::Reference;
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-port-used-between-containers",
    title: "the host's port is used between containers",
    check: Check::Config,
    explained_by: &["default-bridge-has-no-dns", "no-shared-network"],
    docs: "\
## What it checks

An environment variable or the command line names another container with a port that this container
publishes on the host (`-p 8080:80`, `http://api:8080`), and that it does not serve itself.

## Why it matters

The published port exists on the host only. On a network, a container's name leads straight to it, and
there only the ports of its own programs are open. `localhost:8080` works on the host, `api:8080` is
`connection refused` in a container.

## How to fix it

Write the container port, the number to the right of the colon in `-p 8080:80`: `http://api:80`. It
does not have to be published for that.

## When it is wrong

If the program also listens on the number of the host's port without exposing it; a connection that
was seen to open rules that out.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let mut faults = Vec::new();
    let mut open = None;
    let mut asked = false;
    for reference in &case.detail.references {
        let Some(port) = reference.port.filter(|_| !reference.is_localhost()) else {
            continue;
        };
        let named: Vec<&Container> = case
            .named(&reference.host)
            .into_iter()
            .filter(|other| other.id != case.subject.id && other.is_running())
            .filter(|other| !case.shared_networks(other).is_empty())
            .collect();
        asked |= !named.is_empty();
        // One of several that carry the name may serve it.
        if named.iter().any(|other| case.serves(other, port)) {
            continue;
        }
        let found = named.iter().find_map(|other| {
            let binding = other.published.iter().find(|binding| {
                binding.host_port == Some(port)
                    && binding.container.number != port
                    && binding.container.protocol == Protocol::Tcp
                    // Published to a port on which nothing listens, it is no place to send anybody.
                    && !case.is_refused(other, binding.container.number)
            })?;
            Some((*other, binding))
        });
        let Some((other, binding)) = found else {
            continue;
        };
        let seen = connection(case, other, port);
        // Without its details it may expose the port, and a connection was not tried.
        if seen.known().is_none()
            && let Some(why) = other.detail.why_unknown()
        {
            open = Some(format!(
                "whether `{}` serves port {port}: it {why}",
                other.name
            ));
            continue;
        }
        faults.push(fault(case, reference, other, binding, port, seen.known()));
    }
    match (faults.is_empty(), open) {
        (true, Some(needs)) => Verdict::Unknown(needs),
        (true, None) if !asked => Verdict::NotApplicable,
        _ => Verdict::from_faults(faults),
    }
}

fn connection(case: &Case<'_>, other: &Container, port: u16) -> Fact<Connected> {
    let Ok(visit) = case.visit() else {
        return Fact::NotCollected;
    };
    other
        .endpoints
        .iter()
        .flat_map(|endpoint| &endpoint.addresses)
        .find_map(|address| {
            visit
                .connect(SocketAddr::new(*address, port))
                .known()
                .copied()
        })
        .map_or(Fact::NotCollected, |connected| {
            Fact::Known(connected.clone())
        })
}

fn fault(
    case: &Case<'_>,
    reference: &Reference,
    other: &Container,
    binding: &Binding,
    port: u16,
    seen: Option<&Connected>,
) -> Fault {
    let name = case.name();
    let inside = binding.container.number;
    let place = reference.port_place.as_ref().map_or_else(
        || reference.place.aside(),
        |port_place| format!(" ({} and {port_place})", reference.place),
    );
    let mut fault = Fault::error(
        format!(
            "`{name}` is told to reach `{}:{port}`{place}, but {port} is the port of `{}` on the \
             host; between containers it is {inside}",
            reference.host, other.name
        ),
        vec![
            Subject::container(name),
            Subject::container(&other.name),
            Subject::port(binding.container),
            Subject::setting(&reference.place),
        ],
    )
    .proof(format!("Engine API: `{}` publishes {}", other.name, publish_word(binding)));
    if let Some(Connected::Failed { errno, .. }) = seen {
        fault = fault.proof(format!(
            "seen from `{name}`: port {port} of `{}`: {}",
            other.name,
            errno.words()
        ));
    }
    if case.connects(other, inside) {
        fault = fault.proof(format!(
            "seen from `{name}`: port {inside} of `{}`: connected",
            other.name
        ));
    }
    // The name that was written is kept: it may be an alias, and it is not what is wrong.
    let target = Target {
        host: reference.host.clone(),
        port: inside,
    };
    fault.fix(Rewrite::new(reference, &target).fix(
        case,
        case.subject,
        reference,
        "Write the port it has on the network",
        |recreate| recreate,
    ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Question, Then};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Fact};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, ip, not_applicable, passes, tcp, unknown,
        world,
    };

    fn api() -> Container {
        container("api")
            .on("my_network", "172.18.0.3")
            .publishes(binding("0.0.0.0", 18093, tcp(80)))
    }

    fn app(env: &[&str]) -> Container {
        container("app").env(env)
    }

    fn seen(evidence: Evidence, answer: Connected) -> Evidence {
        evidence.answered(
            Question::Connect {
                to: (ip("172.18.0.3"), 18093).into(),
                listen_ms: 30,
            },
            Answer::Connect(answer),
        )
    }

    const PROBLEM: &str = "`app` is told to reach `api:18093` (API_URL), but 18093 is the port of \
                           `api` on the host; between containers it is 80";

    #[test]
    fn the_hosts_port_with_the_containers_name() {
        let evidence = world(app(&["API_URL=http://api:18093/"])).and(api());
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert!(commands(&RULE, &evidence)[2].contains("-e API_URL=http://api:80/ "));
        let alias = world(app(&["API_URL=http://backend:18093/"])).and(api().alias("backend"));
        assert!(commands(&RULE, &alias)[2].contains("-e API_URL=http://backend:80/ "));
    }

    #[test]
    fn the_port_may_stand_in_another_variable() {
        let app = app(&["API_HOST=api", "API_PORT=18093"]);
        let evidence = world(app).and(api());
        let problem = PROBLEM.replace("(API_URL)", "(API_HOST and API_PORT)");
        check_rule(&RULE, &evidence, fails(Box::leak(problem.into_boxed_str())));
        let all = commands(&RULE, &evidence).join("\n");
        assert!(all.contains("-e API_HOST=api -e API_PORT=80 "), "{all}");
    }

    #[test]
    fn published_to_a_port_on_which_nothing_listens() {
        let closed = world(app(&["API_URL=http://api:18093/"])).and(api()).answered(
            Question::Connect {
                to: (ip("172.18.0.3"), 80).into(),
                listen_ms: 30,
            },
            Answer::Connect(Connected::Failed {
                errno: Errno::Refused,
                took_ms: 0,
            }),
        );
        check_rule(&RULE, &closed, passes());
    }

    #[test]
    fn a_port_that_it_serves_is_right() {
        let url = &["API_URL=http://api:18093/"];
        check_rule(
            &RULE,
            &world(app(url)).and(api().exposes(tcp(18093))),
            passes(),
        );
        check_rule(
            &RULE,
            &world(app(&["API_URL=http://api:80"])).and(api()),
            passes(),
        );
        check_rule(
            &RULE,
            &world(app(&["API_URL=http://api"])).and(api()),
            not_applicable(),
        );
        let open = Connected::Open {
            from: (ip("172.18.0.9"), 40000).into(),
            took_ms: 0,
            then: Then::Silent,
        };
        check_rule(&RULE, &seen(world(app(url)).and(api()), open), passes());
        let same = container("api")
            .on("my_network", "172.18.0.3")
            .publishes(binding("0.0.0.0", 18093, tcp(18093)));
        check_rule(&RULE, &world(app(url)).and(same), passes());
        let elsewhere = api().alone().on("other", "172.19.0.3");
        check_rule(&RULE, &world(app(url)).and(elsewhere), not_applicable());
    }

    #[test]
    fn without_details_a_connection_decides() {
        let mut api = api();
        api.detail = Fact::NotCollected;
        let evidence = world(app(&["API_URL=http://api:18093/"])).and(api);
        check_rule(
            &RULE,
            &evidence,
            unknown("whether `api` serves port 18093: it was not"),
        );
        let refused = Connected::Failed {
            errno: Errno::Refused,
            took_ms: 1,
        };
        check_rule(&RULE, &seen(evidence, refused), fails(PROBLEM));
    }
}
