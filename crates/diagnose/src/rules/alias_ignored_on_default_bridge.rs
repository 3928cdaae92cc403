//! A network alias was asked for on the default bridge, which has no names.

use crate::case::Case;
use crate::refusal::Told;
use crate::report::Fix;
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "alias-ignored-on-default-bridge",
    title: "the default bridge takes no network aliases",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

The words of the docker command line or of the engine, given to `docker netcheck explain`: `network-scoped aliases
are only supported for user-defined networks`, or `network-scoped alias is supported only for containers in
user defined networks`.

## Why it matters

A container without `--network` is put on the default bridge. There is no DNS for its containers: an alias
would be a name that nobody can look up, so it is refused, and no container is started.

## How to fix it

Make a network and run the containers that talk to each other on it: `docker network create app`, then the same
command with `--network app`.

## When it is wrong

The words leave no other meaning. If there is a network for these containers already, use that one.
",
    judge,
};

/// A container that was refused is not there.
fn judge(_: &Case<'_>) -> Verdict {
    Verdict::NotApplicable
}

/// What the words stand for.
pub(crate) fn fault(told: &Told<'_>) -> Fault {
    let network = told.evidence.free_network_name("app");
    Fault::error(
        "`--network-alias` was asked for on the default bridge, which has no names",
        told.subjects(),
    )
    .proof(told.proof())
    .fix(Fix::new(
        format!(
            "Make a network, and run the same command again with `--network {network}`, as well as those \
             containers that are to use the name"
        ),
        vec![shell::command(["docker", "network", "create", &network])],
    ))
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::testing::{check_rule, container, not_applicable, world};

    #[test]
    fn a_network_with_names_is_to_be_made() {
        for words in [
            "docker: network-scoped aliases are only supported for user-defined networks\n\nRun 'docker run --help'",
            "Error response from daemon: network-scoped alias is supported only for containers in user defined \
             networks.",
        ] {
            let mut evidence = world(container("web"));
            evidence.request.said = Some(words.into());
            let report = crate::diagnose(&evidence).unwrap();
            assert_eq!(report.findings[0].code, RULE.code);
            assert_eq!(
                report.findings[0].fixes[0].commands,
                ["docker network create app"]
            );
        }
    }

    #[test]
    fn no_container_is_asked() {
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
