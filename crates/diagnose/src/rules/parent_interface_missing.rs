//! The container did not start, because the link of the host that its network is made on is gone.

use crate::case::Case;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "parent-interface-missing",
    title: "the host's link that its network is made on is not there",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The engine's last error about a container that does not run says that it found no parent link for its macvlan or
ipvlan network. Whether the engine's host has a link of that name now is looked at, too.

## Why it matters

A macvlan or ipvlan network is bound to a link of the host by its name. After a change of the hardware, of the names
(`eth0` becomes `enp3s0`), or of a VLAN or bond that is not set up at boot, the network is still listed, and no
container on it starts.

## How to fix it

Bring the link back under that name, then start the container. Or make the network again with `-o parent=` and the
name that the link has now (`ip -br link`).

## When it is wrong

The error is of the last attempt. If the link is there again, starting the container is all that is needed.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(parent) = case.missing_parent() else {
        return if case.subject.is_running() {
            Verdict::NotApplicable
        } else {
            Verdict::Pass
        };
    };
    let name = case.name();
    let network = case
        .evidence
        .networks
        .known()
        .into_iter()
        .flatten()
        .find(|network| {
            let on = |endpoint: &crate::evidence::Endpoint| {
                endpoint.network_id == network.id || endpoint.network_name == network.name
            };
            network.options.get("parent") == Some(&parent) && case.subject.endpoints.iter().any(on)
        });
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(network.map(|network| Subject::network(&network.name)));
    let mut fault = Fault::error(
        format!("`{name}` could not start: its network needs the host's link {parent}, which is not there"),
        subjects,
    )
    .proof(format!(
        "the engine's last error: {}",
        crate::redact::text(&case.detail.state.error)
    ));
    let links = case
        .host_snapshot()
        .and_then(|snapshot| snapshot.interfaces.as_ref().ok());
    let is_back = links.is_some_and(|links| links.iter().any(|link| link.name == parent));
    if links.is_some() {
        let is = if is_back { "is one now" } else { "is none" };
        fault = fault.proof(format!(
            "seen from the engine's host: there {is} of that name"
        ));
    }
    let start = vec![shell::command(["docker", "start", name])];
    let text = if is_back {
        format!("{parent} is there again: start it")
    } else {
        format!(
            "Bring {parent} back on the engine's host{}, then start it; or make the network again with `-o parent=` \
             and a link that is there",
            vlan(&parent)
        )
    };
    Verdict::Fail(vec![fault.fix(Fix::new(text, start))])
}

/// How a VLAN link is made.
fn vlan(parent: &str) -> String {
    match parent.rsplit_once('.') {
        Some((link, number)) if number.parse::<u16>().is_ok() => {
            format!(" (`ip link add link {link} name {parent} type vlan id {number}`, and up)")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Question};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Status, Viewpoint};
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, not_applicable, passes, snapshot, world,
    };

    const ERROR: &str =
        "error occurred looking up the macvlan parent iface eth1.50 error: Link not found";

    fn refused(error: &str) -> Container {
        let mut web = container("web").status(Status::Exited);
        web.detail_mut().state.error = error.into();
        web
    }

    fn seen(error: &str) -> Evidence {
        world(refused(error)).answered_from(
            Viewpoint::Host,
            Question::Snapshot,
            Answer::Snapshot(snapshot()),
        )
    }

    #[test]
    fn the_engines_words() {
        check_rule(
            &RULE,
            &seen(ERROR),
            fails(
                "`web` could not start: its network needs the host's link eth1.50, which is not there",
            ),
        );
        assert_eq!(commands(&RULE, &seen(ERROR)), ["docker start web"]);
        assert!(fix_texts(&RULE, &seen(ERROR))[0].contains("type vlan id 50"));
        // `eth0` is there.
        let back = ERROR.replace("eth1.50", "eth0");
        assert!(fix_texts(&RULE, &seen(&back))[0].contains("there again"));
    }

    #[test]
    fn another_error_and_a_running_container_are_silent() {
        check_rule(&RULE, &seen("Address already in use"), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
