//! The container shares the network of another one that is no longer there.

use crate::case::Case;
use crate::evidence::{Container, Mode, Viewpoint};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "shared-namespace-dead",
    title: "the container kept the network of an earlier run of its owner",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

The container shares another container's network (`--network container:OWNER`, Compose
`network_mode: service:OWNER`), and that network is dead: it has only `lo`, while the owner was
started later, is stopped, or is gone. The two namespaces' numbers are compared where both were seen.

## Why it matters

A container makes a new network namespace each time it starts. Whoever shared the old one stays in it,
and it is empty: `network is unreachable`, no name resolves, and ports that the owner publishes lead
to the new namespace, where this container does not listen.

## How to fix it

Restart the container that shares: `docker restart NAME`. If the owner is stopped, start it first. If
the owner was made anew, the old id no longer exists, and the container must be made anew too
(Compose: `docker compose up -d --force-recreate SERVICE`). So that it does not happen again, let
Compose restart it with its owner: `depends_on: {OWNER: {condition: service_started, restart: true}}`.

## When it is wrong

Without a look from inside, only the times of the two starts are compared.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Mode::Container(word) = &case.detail.mode else {
        return Verdict::NotApplicable;
    };
    let owner = owner(case, word);
    let running = owner.filter(|owner| owner.is_running());
    let later = running.and_then(|owner| {
        let theirs = owner.detail()?.state.started_at?;
        Some(theirs > case.detail.state.started_at?)
    });
    let interfaces = case
        .snapshot()
        .and_then(|snapshot| snapshot.interfaces.as_ref().map_err(Clone::clone));
    let reason = match interfaces {
        Ok(interfaces) => {
            if interfaces.iter().any(|interface| interface.name != "lo") {
                return Verdict::Pass;
            }
            None
        }
        Err(reason) => Some(reason),
    };
    let name = case.name();
    let open = |reason: &str| {
        Verdict::Unknown(format!(
            "whether the network that `{name}` shares is alive: {reason}"
        ))
    };
    match (running, reason) {
        (None, Some(reason)) => open(&reason),
        (None, None) => Verdict::Fail(vec![without_owner(case, word, owner)]),
        (Some(owner), Some(reason)) => match later {
            Some(true) => Verdict::Fail(vec![started_later(case, owner, &[])]),
            Some(false) => Verdict::Pass,
            None => open(&reason),
        },
        (Some(owner), None) => match (differ(case, owner), later) {
            (Some(false), _) => Verdict::Pass,
            (Some(true), _) => Verdict::Fail(vec![started_later(
                case,
                owner,
                &[ONLY_LO, "the two network namespaces have different numbers"],
            )]),
            (None, Some(true)) => Verdict::Fail(vec![started_later(case, owner, &[ONLY_LO])]),
            // The owner's interface would be here if this were its namespace.
            (None, _) if has_address(owner) => Verdict::Fail(vec![started_later(
                case,
                owner,
                &[
                    ONLY_LO,
                    "the owner has an address, according to the Engine API",
                ],
            )]),
            (None, Some(false)) => Verdict::Pass,
            (None, None) => open("when its owner was started is not known"),
        },
    }
}

const ONLY_LO: &str = "it has no link but `lo`";

/// Whose namespace it is, by the word of its network mode.
pub(super) fn owner<'a>(case: &Case<'a>, word: &str) -> Option<&'a Container> {
    case.evidence.containers.iter().find(|container| {
        container.name == word || (word.len() >= 12 && container.id.starts_with(word))
    })
}

fn has_address(owner: &Container) -> bool {
    owner
        .endpoints
        .iter()
        .any(|endpoint| !endpoint.addresses.is_empty())
}

/// Whether the namespaces are two, where both were seen.
fn differ(case: &Case<'_>, owner: &Container) -> Option<bool> {
    let theirs = case
        .evidence
        .visit(&Viewpoint::Container(owner.id.clone()))?
        .snapshot()
        .known()?
        .namespace
        .clone()
        .ok()?;
    let ours = case.snapshot().ok()?.namespace.clone().ok()?;
    Some(ours != theirs)
}

fn started_later(case: &Case<'_>, owner: &Container, seen: &[&str]) -> Fault {
    let name = case.name();
    let mut fault = Fault::error(
        format!(
            "`{name}` shares the network of `{}`, which was started again since: it is left with the \
             old, empty one",
            owner.name
        ),
        vec![Subject::container(name), Subject::container(&owner.name)],
    )
    .proof(format!(
        "Engine API: the network mode of `{name}` is `container:` of `{}`",
        owner.name
    ));
    let started = |container: &Container| container.detail()?.state.started_at;
    if let (Some(ours), Some(theirs)) = (started(case.subject), started(owner)) {
        fault = fault.proof(format!(
            "Engine API: `{name}` was started {} ago, `{}` {} ago",
            crate::render::age(case.age(ours)),
            owner.name,
            crate::render::age(case.age(theirs))
        ));
    }
    for fact in seen {
        fault = fault.proof(format!("seen from `{name}`: {fact}"));
    }
    fault.fix(Fix::new(
        "Restart it, so that it joins the owner's network of now",
        vec![shell::command(["docker", "restart", name])],
    ))
}

fn without_owner(case: &Case<'_>, word: &str, owner: Option<&Container>) -> Fault {
    let name = case.name();
    let proof = format!("seen from `{name}`: {ONLY_LO}");
    let Some(owner) = owner else {
        let short: String = word.chars().take(12).collect();
        let anew = match case.subject.compose_service() {
            Some((project, service)) => format!(
                "Make it anew, so that it joins the owner of now: `docker compose up -d \
                 --force-recreate {service}` in the project `{project}`"
            ),
            None => {
                "Make it anew with `--network container:NAME` of the container whose network it \
                     is to share; a restart cannot work, because the id it holds is gone"
                    .into()
            }
        };
        return Fault::error(
            format!(
                "`{name}` shares the network of a container that no longer exists (`{short}`): it is \
                 left with an empty one"
            ),
            vec![Subject::container(name)],
        )
        .proof(format!(
            "Engine API: the network mode of `{name}` is `container:{short}`, and there is no such \
             container"
        ))
        .proof(proof)
        .fix(Fix::new(anew, Vec::new()));
    };
    Fault::error(
        format!(
            "`{name}` shares the network of `{}`, which is not running: it is left with an empty one",
            owner.name
        ),
        vec![Subject::container(name), Subject::container(&owner.name)],
    )
    .proof(format!(
        "Engine API: status of `{}` is {}",
        owner.name,
        owner.status.as_str()
    ))
    .proof(proof)
    .fix(Fix::new(
        "Start the owner, then restart it, so that it joins the owner's new network",
        vec![
            shell::command(["docker", "start", &owner.name]),
            shell::command(["docker", "restart", name]),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Question};

    use super::RULE;
    use crate::evidence::{Container, Mode, Status, Viewpoint};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, id_of, not_applicable, only_lo, passes,
        snapshot, unknown, world,
    };

    fn app() -> Container {
        container("app")
            .alone()
            .mode(Mode::Container(id_of("vpn")))
            .started(600)
    }

    const STARTED_AGAIN: &str = "`app` shares the network of `vpn`, which was started again since: it \
                                 is left with the old, empty one";

    #[test]
    fn an_owner_that_was_started_later_leaves_it_behind() {
        let evidence = world(app())
            .and(container("vpn").started(60))
            .sees(only_lo());
        check_rule(&RULE, &evidence, fails(STARTED_AGAIN));
        assert_eq!(commands(&RULE, &evidence), ["docker restart app"]);
        let unseen = world(app()).and(container("vpn").started(60));
        check_rule(&RULE, &unseen, fails(STARTED_AGAIN));
    }

    #[test]
    fn two_namespaces_are_proof_within_the_same_second() {
        let mut theirs = snapshot();
        theirs.namespace = Ok(1);
        let evidence = world(app())
            .and(container("vpn").alone().started(600))
            .sees(only_lo())
            .answered_from(
                Viewpoint::Container(id_of("vpn")),
                Question::Snapshot,
                Answer::Snapshot(theirs),
            );
        check_rule(&RULE, &evidence, fails(STARTED_AGAIN));
    }

    #[test]
    fn a_stopped_owner_is_started_first() {
        let evidence = world(app())
            .and(container("vpn").status(Status::Exited))
            .sees(only_lo());
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` shares the network of `vpn`, which is not running: it is left with an empty one",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker start vpn", "docker restart app"]
        );
    }

    #[test]
    fn an_owner_that_is_gone_needs_a_new_creation() {
        let evidence = world(app()).sees(only_lo());
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` shares the network of a container that no longer exists (`76706e000000`): it is \
                 left with an empty one",
            ),
        );
        assert!(commands(&RULE, &evidence).is_empty());
        assert!(fix_texts(&RULE, &evidence)[0].contains("--network container:NAME"));
    }

    #[test]
    fn a_living_namespace_passes() {
        let evidence = world(app())
            .and(container("vpn").started(60))
            .sees(snapshot());
        check_rule(&RULE, &evidence, passes());
        let unseen = world(app()).and(container("vpn").started(900));
        check_rule(&RULE, &unseen, passes());
        // The owner itself is on no network: that is another fault, on another container.
        let alone = world(app())
            .and(container("vpn").alone().started(900))
            .sees(only_lo());
        check_rule(&RULE, &alone, passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }

    #[test]
    fn without_a_look_a_missing_owner_proves_nothing() {
        check_rule(&RULE, &world(app()), unknown("that `app` shares is alive"));
    }
}
