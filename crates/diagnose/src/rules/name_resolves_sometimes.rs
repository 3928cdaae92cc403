//! The name is found at some moments and not at others.

use std::net::IpAddr;

use crate::case::Case;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

use super::dns_server_unreachable::mend;

/// See the module.
pub static RULE: Rule = Rule {
    code: "name-resolves-sometimes",
    title: "the name is found only sometimes",
    check: Check::Name,
    explained_by: &["alias-shared-by-several-containers", "restart-loop"],
    docs: "\
## What it checks

With `--count` or `--for`: of many lookups of the same name, some gave an address, and others nothing.

## Why it matters

Programs report `temporary failure in name resolution` or `getaddrinfo EAI_AGAIN` now and then, and a
retry hides it. A name server that drops queries or fails some of them is the usual cause for names
outside. A container's own name is known only while it runs.

## How to fix it

For a name outside: use name servers that answer every time (`--dns`, or `dns` in the engine's
daemon.json), and fewer queries: a cache in the program, or a name with a final dot where search domains
multiply them. For a container's name: see why the container comes and goes (`docker logs NAME`,
`docker inspect -f '{{.RestartCount}}' NAME`).

## When it is wrong

A container that was started or renamed while the tries went on is found from then on.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(tries) = case.repetition() else {
        return Verdict::NotApplicable;
    };
    let unresolved = tries.unresolved().len();
    let total = tries.total();
    if unresolved == 0 || unresolved == total {
        return Verdict::Pass;
    }
    let (name, host) = (case.name(), &tries.target.host);
    let words: Vec<String> = tries
        .unresolved_words()
        .iter()
        .map(|(words, times)| format!("{times} × {words}"))
        .collect();
    let fault = Fault::error(
        format!("`{name}` finds the name `{host}` only sometimes"),
        vec![Subject::container(name), Subject::address(host)],
    )
    .proof(format!(
        "seen from `{name}`: of {total} lookups of `{host}`, {unresolved} came to nothing: {}",
        words.join(", ")
    ));
    let meant = tries.target.container.as_ref();
    let fix = match meant.and_then(|id| case.evidence.container(id)) {
        Some(container) => Fix::new(
            format!("See why `{}` comes and goes", container.name),
            vec![shell::command([
                "docker",
                "logs",
                "--timestamps",
                "--tail",
                "50",
                &container.name,
            ])],
        ),
        None => {
            let chosen: Vec<IpAddr> = case
                .detail
                .dns
                .iter()
                .filter_map(|server| server.parse().ok())
                .collect();
            mend(case, &chosen)
        }
    };
    Verdict::Fail(vec![fault.fix(fix)])
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::case::Case;
    use crate::evidence::Evidence;
    use crate::rule::Verdict;
    use crate::rules::testing::tries::{NO_NAME, OK, tried};

    fn judged(evidence: &Evidence) -> Verdict {
        (RULE.judge)(&Case::new(evidence).unwrap())
    }

    #[test]
    fn some_lookups_that_come_to_nothing() {
        let Verdict::Fail(faults) = judged(&tried(&[OK, NO_NAME, OK, NO_NAME])) else {
            panic!("no fault");
        };
        assert_eq!(faults[0].problem, "`app` finds the name `db` only sometimes");
        assert_eq!(
            faults[0].evidence,
            ["seen from `app`: of 4 lookups of `db`, 2 came to nothing: 2 × no answer from 127.0.0.11"]
        );
        assert_eq!(
            faults[0].fixes[0].commands,
            ["docker logs --timestamps --tail 50 db"]
        );
    }

    #[test]
    fn a_name_outside_needs_other_servers() {
        let mut evidence = tried(&[OK, NO_NAME]);
        evidence.containers.truncate(1);
        let target = evidence.request.target.as_mut().unwrap();
        target.container = None;
        let Verdict::Fail(faults) = judged(&evidence) else {
            panic!("no fault");
        };
        assert!(faults[0].fixes[0].text.contains("DNS servers that answer"));
    }

    #[test]
    fn always_and_never_are_another_story() {
        for all in [OK, NO_NAME] {
            assert_eq!(judged(&tried(&[all; 3])), Verdict::Pass, "{all:?}");
        }
    }
}
