//! Two containers that are not replicas answer to the same name on one network.

use std::net::SocketAddr;

use netcheck_probe::Source;

use crate::case::{Case, Reached, connect_flags, endpoint_names};
use crate::evidence::{Container, Endpoint, Network, Viewpoint};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "alias-shared-by-several-containers",
    title: "several containers answer to the same name",
    check: Check::Name,
    explained_by: &[],
    docs: "\
## What it checks

On one network, the container and another running one carry the same DNS name (alias, service name
or container name), and they are not replicas of one Compose service.

## Why it matters

The embedded DNS answers with all addresses in random order. Every second request goes to the wrong
container: it fails, or it reaches the data of another project. Typical: two Compose projects with a
service `db` on one shared network.

## How to fix it

Take the name from one of the two: `docker network disconnect NETWORK NAME`, then `docker network
connect --alias ANOTHER-NAME NETWORK NAME`. In Compose, keep `db` on a private network and give it a
name of its own on the shared one: `networks: {shared: {aliases: [shop-db]}}`.

## When it is wrong

Containers started by hand with the same `--network-alias` may be meant to share the load.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let faults = case
        .networks()
        .into_iter()
        .filter(|(network, _)| network.has_dns())
        .filter_map(|(network, endpoint)| on_network(case, network, endpoint))
        .collect();
    Verdict::from_faults(faults)
}

fn on_network(case: &Case<'_>, network: &Network, endpoint: &Endpoint) -> Option<Fault> {
    let own = endpoint_names(case.subject, endpoint);
    let mut names: Vec<&str> = Vec::new();
    let mut others: Vec<(&Container, &Endpoint)> = Vec::new();
    for other in &case.evidence.containers {
        if other.id == case.subject.id || !other.is_running() || are_replicas(case.subject, other) {
            continue;
        }
        let Some(theirs) = other.endpoint(&network.id) else {
            continue;
        };
        let their_names = endpoint_names(other, theirs);
        let common: Vec<&str> = own
            .iter()
            .copied()
            .filter(|name| is_in(name, &their_names) && is_asked(case, name))
            .filter(|name| dns_agrees(case, network, name, theirs))
            .collect();
        if common.is_empty() {
            continue;
        }
        for name in common {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        others.push((other, theirs));
    }
    let first = names.first()?;
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let who: Vec<String> = std::iter::once(case.subject)
        .chain(others.iter().map(|(other, _)| *other))
        .map(|container| format!("`{}`", container.name))
        .collect();
    let mut subjects = vec![Subject::container(case.name())];
    subjects.extend(
        others
            .iter()
            .map(|(other, _)| Subject::container(&other.name)),
    );
    subjects.push(Subject::network(&network.name));
    let mut fault = Fault::error(
        format!(
            "{} on `{}` means several containers: {}",
            quoted.join(" and "),
            network.name,
            who.join(", ")
        ),
        subjects,
    )
    .proof(format!(
        "Engine API: {} carry {} on `{}`",
        who.join(" and "),
        quoted.join(" and "),
        network.name
    ));
    if let Ok((visit, from)) = case.peer_visit(&network.id)
        && let Some(lookup) = visit.lookup(first).known()
        && lookup.source == Source::Dns
    {
        fault = fault.proof(format!(
            "seen from `{from}`: `{first}` is {}",
            crate::case::list(&lookup.addresses)
        ));
    }
    Some(fault.fix(take_away(
        case,
        network,
        (case.subject, endpoint),
        &others,
        &names,
    )))
}

/// Where somebody asks for a place, its other names are another question.
fn is_asked(case: &Case<'_>, name: &str) -> bool {
    let target = case.evidence.request.target.as_ref();
    target.is_none_or(|target| target.host.trim_end_matches('.').eq_ignore_ascii_case(name))
}

fn are_replicas(one: &Container, other: &Container) -> bool {
    one.compose_service().is_some() && one.compose_service() == other.compose_service()
}

/// False only where DNS was asked and did not give the other's address.
fn dns_agrees(case: &Case<'_>, network: &Network, name: &str, theirs: &Endpoint) -> bool {
    let Ok((visit, _)) = case.peer_visit(&network.id) else {
        return true;
    };
    match visit.lookup(name).known() {
        Some(lookup) if lookup.source == Source::Dns => theirs
            .addresses
            .iter()
            .any(|address| lookup.addresses.contains(address)),
        _ => true,
    }
}

type Joined<'a> = (&'a Container, &'a Endpoint);

fn take_away(
    case: &Case<'_>,
    network: &Network,
    subject: Joined<'_>,
    others: &[Joined<'_>],
    names: &[&str],
) -> Fix {
    // Only a chosen alias can be taken away; a container's own name stays with it.
    let can = |(_, endpoint): &Joined<'_>| endpoint.aliases.iter().any(|alias| is_in(alias, names));
    let others_can = others.iter().all(can);
    let from_subject = match (can(&subject), others_can) {
        (false, false) => {
            return Fix::new(
                format!(
                    "Give one of them another name on `{}`: the common one is its container name or \
                     its --hostname, which are fixed when it is made",
                    network.name
                ),
                Vec::new(),
            );
        }
        (true, false) => true,
        (false, true) => false,
        (true, true) => match (serves(case, &subject), others.iter().any(|one| serves(case, one))) {
            (true, false) => false,
            (false, true) => true,
            _ => subject_is_the_guest(case, network, others),
        },
    };
    let losers: Vec<Joined<'_>> = if from_subject {
        vec![subject]
    } else {
        others.to_vec()
    };
    let mut commands = Vec::new();
    let mut new_names = Vec::new();
    for (container, endpoint) in losers {
        let new = new_alias(case, network, container, names);
        commands.push(shell::command([
            "docker",
            "network",
            "disconnect",
            &network.name,
            &container.name,
        ]));
        let mut words: Vec<String> = ["docker", "network", "connect"].map(String::from).into();
        words.extend(connect_flags(endpoint, names));
        if let Some(priority) = endpoint.gateway_priority.filter(|priority| *priority != 0) {
            words.extend(["--gw-priority".to_owned(), priority.to_string()]);
        }
        words.extend(["--alias".to_owned(), new.clone()]);
        words.extend([network.name.clone(), container.name.clone()]);
        commands.push(shell::command(words));
        let compose = match container.compose_service() {
            Some((project, service)) => format!(
                " (for good: `aliases: [{new}]` at service `{service}` in the Compose file of \
                 `{project}`, and `{service}` on a network of its own)"
            ),
            None => String::new(),
        };
        new_names.push(format!(
            "`{}` gets the name `{new}`{compose}",
            container.name
        ));
    }
    Fix::new(
        format!(
            "Leave the name to one of them: on `{}`, {}",
            network.name,
            new_names.join(", ")
        ),
        commands,
    )
}

/// Whoever asks for a port comes through to this one.
fn serves(case: &Case<'_>, (_, endpoint): &Joined<'_>) -> bool {
    case.asked.is_some_and(|asked| {
        let from = Viewpoint::of(&asked.from.id);
        let mut places = endpoint
            .addresses
            .iter()
            .map(|address| SocketAddr::new(*address, asked.port.number));
        places.any(|to| case.reached_from(&from, to, asked.port.protocol) == Reached::Through)
    })
}

fn is_in(alias: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(alias))
}

/// Whether the subject came second: from another project than the network's, or started later.
fn subject_is_the_guest(case: &Case<'_>, network: &Network, others: &[Joined<'_>]) -> bool {
    let project = |container: &Container| container.compose.get("project").cloned();
    let home = network.compose.get("project").cloned();
    if home.is_some() {
        let ours = project(case.subject) == home;
        let theirs = others.iter().any(|(other, _)| project(other) == home);
        if ours != theirs {
            return theirs;
        }
    }
    let started = |container: &Container| container.detail()?.state.started_at;
    let theirs = others.iter().filter_map(|(other, _)| started(other)).max();
    match (started(case.subject), theirs) {
        (Some(ours), Some(theirs)) => ours >= theirs,
        _ => true,
    }
}

/// A name that nobody on the network has: `shop-db` for `db` of the project `shop`.
fn new_alias(case: &Case<'_>, network: &Network, container: &Container, names: &[&str]) -> String {
    let name = names
        .iter()
        .find(|name| !name.eq_ignore_ascii_case(&container.name))
        .copied()
        .unwrap_or("app");
    let prefix = container.compose.get("project").unwrap_or(&container.name);
    let taken: Vec<&str> = case
        .evidence
        .containers
        .iter()
        .filter_map(|other| Some((other, other.endpoint(&network.id)?)))
        .flat_map(|(other, endpoint)| endpoint_names(other, endpoint))
        .collect();
    let base = format!("{prefix}-{name}");
    std::iter::once(base.clone())
        .chain((2..1000).map(|n| format!("{base}-{n}")))
        .find(|new| !is_in(new, &taken))
        .unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Protocol, Question, Then};

    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Fact, Status, Viewpoint};
    use crate::request::Target;
    use crate::rule::Verdict;
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, id_of, ip, not_applicable, passes, world,
    };

    fn two() -> crate::evidence::Evidence {
        let one = container("api-1").alias("api").alias("v1").started(10);
        let other = container("api-2")
            .on("my_network", "172.18.0.3")
            .alias("api")
            .started(100);
        world(one).and(other)
    }

    #[test]
    fn two_containers_with_one_alias() {
        check_rule(
            &RULE,
            &two(),
            fails("`api` on `my_network` means several containers: `api-1`, `api-2`"),
        );
        assert_eq!(
            commands(&RULE, &two()),
            [
                "docker network disconnect my_network api-1",
                "docker network connect --alias v1 --alias api-1-api my_network api-1"
            ]
        );
    }

    /// `app` asks for port 80 of this name, and comes through to the first container alone.
    fn asked(host: &str) -> crate::evidence::Evidence {
        let app = container("app").on("my_network", "172.18.0.4");
        let mut evidence = world(app);
        evidence.containers.extend(two().containers);
        evidence.request.target = Some(Target {
            container: Some(id_of("api-1")),
            ..Target::new(host, 80, Protocol::Tcp)
        });
        let open = Connected::Open {
            from: (ip("172.18.0.4"), 40000).into(),
            took_ms: 0,
            then: Then::Silent,
        };
        let refused = Connected::Failed {
            errno: Errno::Refused,
            took_ms: 0,
        };
        for (address, came) in [("172.18.0.9", open), ("172.18.0.3", refused)] {
            let to = (ip(address), 80).into();
            evidence = evidence.answered(Question::Connect { to, listen_ms: 30 }, Answer::Connect(came));
        }
        evidence
    }

    #[test]
    fn only_the_name_that_is_asked_for_counts_and_who_serves_keeps_it() {
        let judged = |host: &str| {
            let evidence = asked(host);
            match (RULE.judge)(&Case::target(&evidence).unwrap()) {
                Verdict::Fail(faults) => faults[0].fixes[0].commands.clone(),
                _ => Vec::new(),
            }
        };
        // Else the one that started later, `api-1`, would lose it.
        assert_eq!(judged("api")[0], "docker network disconnect my_network api-2");
        assert_eq!(judged("api-1"), [""; 0]);
    }

    #[test]
    fn the_guest_of_another_project_gives_way() {
        let home = container("a-db-1").alias("db").of_service("a", "db");
        let mut guest = container("b-db-1")
            .on("my_network", "172.18.0.3")
            .alias("db")
            .of_service("b", "db")
            .started(9000);
        guest.endpoints[0].static_addresses.push(ip("172.18.0.3"));
        let mut evidence = world(home).and(guest);
        if let Fact::Known(networks) = &mut evidence.networks {
            networks[1].compose.insert("project".into(), "a".into());
        }
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network disconnect my_network b-db-1",
                "docker network connect --ip 172.18.0.3 --alias b-db my_network b-db-1"
            ]
        );
    }

    #[test]
    fn a_container_name_cannot_be_taken_away() {
        let db = container("db");
        let other = container("other")
            .on("my_network", "172.18.0.3")
            .alias("db");
        let evidence = world(db).and(other.clone());
        assert_eq!(
            commands(&RULE, &evidence)[1],
            "docker network connect --alias other-db my_network other"
        );
        let mut named = container("x").on("my_network", "172.18.0.3");
        named.endpoints[0].dns_names.push("db".into());
        let texts = fix_texts(&RULE, &world(container("db")).and(named));
        assert!(texts[0].contains("--hostname"), "{texts:?}");
    }

    #[test]
    fn replicas_stopped_ones_and_other_networks_are_silent() {
        let one = container("a-web-1").alias("web").of_service("a", "web");
        let two = container("a-web-2").alias("web").of_service("a", "web");
        check_rule(&RULE, &world(one).and(two), passes());
        let stopped = container("old").alias("api").status(Status::Exited);
        check_rule(
            &RULE,
            &world(container("api-1").alias("api")).and(stopped),
            passes(),
        );
        let apart = container("x")
            .alone()
            .on("other", "172.19.0.2")
            .alias("api");
        check_rule(
            &RULE,
            &world(container("api-1").alias("api")).and(apart),
            passes(),
        );
        let alone = container("x").mode(crate::evidence::Mode::Host);
        check_rule(&RULE, &world(alone), not_applicable());
    }

    #[test]
    fn dns_has_the_last_word() {
        let peer = Viewpoint::Container(id_of("api-2"));
        let one = two().resolves_from(peer.clone(), "api", &["172.18.0.9"]);
        check_rule(&RULE, &one, passes());
        let both = two().resolves_from(peer, "api", &["172.18.0.9", "172.18.0.3"]);
        check_rule(
            &RULE,
            &both,
            fails("`api` on `my_network` means several containers: `api-1`, `api-2`"),
        );
    }
}
