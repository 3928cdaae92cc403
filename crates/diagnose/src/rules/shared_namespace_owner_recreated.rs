//! The container cannot be started again: the one whose network it shares was made anew.

use crate::case::Case;
use crate::evidence::{Mode, Status};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "shared-namespace-owner-recreated",
    title: "the container whose network it shares no longer exists",
    check: Check::State,
    explained_by: &[],
    docs: "\
## What it checks

A container that does not run shares the network of another one (`--network container:OWNER`, Compose
`network_mode: service:OWNER`), and no container has the id that it holds.

## Why it matters

The engine keeps the owner's id, not its name. When the owner is removed and made anew (an update, `docker
compose up`, `docker rm -f`), the id is gone for good: every start fails with `No such container`, also after
a restart of the machine.

## How to fix it

Make the container anew, too: with `--network container:NAME` of the owner of now, or in Compose with `docker
compose up -d --force-recreate SERVICE`. So that it does not happen again, update both together.

## When it is wrong

It does not matter for a container that nobody will start again.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !matches!(case.subject.status, Status::Created | Status::Exited) {
        return Verdict::NotApplicable;
    }
    let Mode::Container(word) = &case.detail.mode else {
        return Verdict::NotApplicable;
    };
    let exists = case.evidence.containers.iter().any(|container| {
        container.name == *word || (word.len() >= 12 && container.id.starts_with(word.as_str()))
    });
    if exists {
        return Verdict::Pass;
    }
    let name = case.name();
    let short: String = word.chars().take(12).collect();
    let mut fault = Fault::error(
        format!(
            "`{name}` cannot start: it shares the network of a container that no longer exists \
             (`{short}`)"
        ),
        vec![Subject::container(name)],
    )
    .proof(format!(
        "Engine API: the network mode of `{name}` is `container:{short}`, and there is no such container"
    ));
    let error = &case.detail.state.error;
    if !error.is_empty() {
        let words = crate::redact::text(error);
        fault = fault.proof(format!("the engine's last error: {words}"));
    }
    let anew = match case.subject.compose_service() {
        Some((project, service)) => format!(
            "Make it anew, so that it joins the owner of now: `docker compose up -d --force-recreate \
             {service}` in the project `{project}`"
        ),
        None => "Make it anew with `--network container:NAME` of the container whose network it is to \
                 share"
            .into(),
    };
    Verdict::Fail(vec![fault.fix(Fix::new(anew, Vec::new()))])
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::case::Case;
    use crate::evidence::{Mode, Status};
    use crate::rule::Verdict;
    use crate::rules::testing::{
        check_rule, container, fix_texts, id_of, not_applicable, passes, world,
    };

    #[test]
    fn an_owner_that_is_gone() {
        let app = container("app").mode(Mode::Container(id_of("vpn")));
        let evidence = world(app.status(Status::Exited));
        let short: String = id_of("vpn").chars().take(12).collect();
        let Verdict::Fail(faults) = (RULE.judge)(&Case::new(&evidence).unwrap()) else {
            panic!("no fault");
        };
        assert_eq!(
            faults[0].problem,
            format!(
                "`app` cannot start: it shares the network of a container that no longer exists (`{short}`)"
            )
        );
        assert!(fix_texts(&RULE, &evidence)[0].contains("--network container:NAME"));
    }

    #[test]
    fn an_owner_that_exists_and_other_modes_are_silent() {
        let app = || container("app").mode(Mode::Container(id_of("vpn")));
        let stopped = container("vpn").status(Status::Exited);
        let evidence = world(app().status(Status::Exited)).and(stopped);
        check_rule(&RULE, &evidence, passes());
        // One that runs has its own story.
        check_rule(&RULE, &world(app()), not_applicable());
        let alone = world(container("app").status(Status::Exited));
        check_rule(&RULE, &alone, not_applicable());
    }
}
