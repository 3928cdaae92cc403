//! The containers are on a common network that lets none of its containers talk to another.

use netcheck_probe::{Connected, Errno};

use crate::case::{Case, connect_flags};
use crate::evidence::{Container, Network};
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "inter-container-communication-off",
    title: "their network forbids containers to talk to each other",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

The environment or the command line names a running container on a common network; each network that the
two have in common has `com.docker.network.bridge.enable_icc=false`, and a connection to the container's
address there timed out.

## Why it matters

With inter-container communication (ICC) off, the engine's firewall drops every packet from one container of
the bridge to another. Names still resolve, and from the host everything works, so it looks like a server
that hangs. The default bridge has the option when the engine was started with `--icc=false`.

## How to fix it

The option of a network cannot be changed. Make another network without it and move both there, or let the
client use a port that the server publishes on the host.

## When it is wrong

Somebody switched it off on purpose, so that containers are shut off from each other: then the client is
what has to change.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let mut faults: Vec<Fault> = Vec::new();
    let mut seen = Vec::new();
    let mut open = None;
    for reference in &case.detail.references {
        let Some(other) = meant(case, reference) else {
            continue;
        };
        let shared = case.shared_networks(other);
        if shared.is_empty() || shared.iter().any(|network| network.lets_talk()) {
            continue;
        }
        if seen.contains(&other.id.as_str()) {
            continue;
        }
        match dropped(case, reference, other, &shared) {
            Ok(Some(proof)) => {
                seen.push(&other.id);
                faults.push(fault(case, reference, other, &shared, proof));
            }
            Ok(None) => {}
            Err(why) => {
                open.get_or_insert(format!(
                    "whether `{}` can talk to `{}`: {why}",
                    case.name(),
                    other.name
                ));
            }
        }
    }
    match open {
        Some(needs) if faults.is_empty() => Verdict::Unknown(needs),
        _ => Verdict::from_faults(faults),
    }
}

/// The other container that a reference means.
fn meant<'a>(case: &Case<'a>, reference: &Reference) -> Option<&'a Container> {
    if reference.is_localhost() {
        return None;
    }
    let other = match reference.host.parse() {
        Ok(address) => case.owner_of(address),
        Err(_) => case.others_named(&reference.host).into_iter().next(),
    };
    other.filter(|other| other.is_running() && other.id != case.subject.id)
}

/// The connection that timed out, as proof; none if one opened or was answered in another way.
fn dropped(
    case: &Case<'_>,
    reference: &Reference,
    other: &Container,
    shared: &[&Network],
) -> Result<Option<String>, String> {
    let visit = case.visit()?;
    let addresses = shared
        .iter()
        .filter_map(|network| other.endpoint(&network.id))
        .flat_map(|endpoint| &endpoint.addresses);
    let mut proof = None;
    for address in addresses {
        for port in reference.ports() {
            let to = (*address, port).into();
            match visit.connect(to).known() {
                Some(Connected::Failed {
                    errno: Errno::TimedOut,
                    ..
                }) => {
                    proof.get_or_insert_with(|| {
                        format!(
                            "seen from `{}`: connecting to {to}: {}",
                            case.name(),
                            Errno::TimedOut.words()
                        )
                    });
                }
                Some(_) => return Ok(None),
                None => {}
            }
        }
    }
    Ok(proof)
}

fn fault(
    case: &Case<'_>,
    reference: &Reference,
    other: &Container,
    shared: &[&Network],
    proof: String,
) -> Fault {
    let name = case.name();
    let names: Vec<String> = shared
        .iter()
        .map(|network| format!("`{}`", network.name))
        .collect();
    let names = names.join(", ");
    let mut subjects = vec![
        Subject::container(name),
        Subject::container(&other.name),
        Subject::setting(&reference.place),
    ];
    subjects.extend(shared.iter().map(|network| Subject::network(&network.name)));
    let settings = shared.iter().map(|network| {
        format!(
            "Engine API: `{}` has the option com.docker.network.bridge.enable_icc=false",
            network.name
        )
    });
    Fault::error(
        format!(
            "`{name}` and `{}` are both on {names}, which forbids its containers to talk to each other",
            other.name
        ),
        subjects,
    )
    .proofs(settings)
    .proof(proof)
    .fix(move_both(case, other, shared))
}

/// To a network of their own, away from those that forbid it: a name must not lead back there.
fn move_both(case: &Case<'_>, other: &Container, shared: &[&Network]) -> Fix {
    let network = case.free_network_name("app-net");
    let mut commands = vec![shell::command(["docker", "network", "create", &network])];
    for container in [case.subject, other] {
        // A static address belongs to its network alone.
        let aliases = shared
            .iter()
            .filter_map(|old| container.endpoint(&old.id))
            .flat_map(|endpoint| {
                let mut endpoint = endpoint.clone();
                endpoint.static_addresses.clear();
                connect_flags(&endpoint, &[])
            });
        let mut words: Vec<String> = ["docker", "network", "connect"].map(String::from).into();
        words.extend(aliases);
        words.extend([network.clone(), container.name.clone()]);
        commands.push(shell::command(&words));
    }
    for container in [case.subject, other] {
        for old in shared {
            let words = ["docker", "network", "disconnect", &old.name, &container.name];
            commands.push(shell::command(words));
        }
    }
    Fix::new(
        format!("Move both to a network of their own, `{network}`, that lets them talk"),
        commands,
    )
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Question, Then};

    use super::RULE;
    use crate::evidence::{Evidence, Fact};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, world,
    };

    const DB: &str = "172.18.0.3";

    fn apart(icc: &str) -> Evidence {
        let app = container("app").env(&["DB_URL=mysql://db:3306/x"]);
        let mut evidence = world(app)
            .and(container("db").on("my_network", DB))
            .resolves("db", &[DB]);
        let Fact::Known(networks) = &mut evidence.networks else {
            panic!("no networks");
        };
        for network in networks {
            let option = "com.docker.network.bridge.enable_icc".to_owned();
            network.options.insert(option, icc.into());
        }
        evidence
    }

    fn tried(evidence: Evidence, connected: Connected) -> Evidence {
        let question = Question::Connect {
            to: (ip(DB), 3306).into(),
            listen_ms: 1,
        };
        evidence.answered(question, Answer::Connect(connected))
    }

    fn failed(errno: Errno) -> Connected {
        Connected::Failed { errno, took_ms: 9 }
    }

    #[test]
    fn a_connection_that_times_out_where_it_is_off() {
        let evidence = tried(apart("false"), failed(Errno::TimedOut));
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` and `db` are both on `my_network`, which forbids its containers to talk to each \
                 other",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create app-net",
                "docker network connect app-net app",
                "docker network connect app-net db",
                "docker network disconnect my_network app",
                "docker network disconnect my_network db",
            ]
        );
    }

    #[test]
    fn where_it_is_on_or_the_packets_arrive_it_passes() {
        let timed_out = failed(Errno::TimedOut);
        check_rule(&RULE, &tried(apart("true"), timed_out), passes());
        let refused = failed(Errno::Refused);
        check_rule(&RULE, &tried(apart("false"), refused), passes());
        let open = Connected::Open {
            from: (ip("172.18.0.9"), 40000).into(),
            took_ms: 1,
            then: Then::Silent,
        };
        check_rule(&RULE, &tried(apart("false"), open), passes());
        check_rule(&RULE, &apart("false"), passes());
    }

    #[test]
    fn a_container_without_networks_is_not_its_matter() {
        let host = world(container("app").mode(crate::evidence::Mode::Host));
        check_rule(&RULE, &host, not_applicable());
    }
}
