//! Some connections are refused or ended at once, and others to the same place are not.

use std::net::SocketAddr;

use crate::case::{Case, Reached, Went, counted};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "connects-sometimes",
    title: "it connects only sometimes",
    check: Check::Listening,
    explained_by: &[
        "alias-shared-by-several-containers",
        "restart-loop",
        "nothing-listens",
        "wrong-port",
        "listens-on-loopback-only",
        "process-does-not-accept",
    ],
    docs: "\
## What it checks

With `--count` or `--for`: of many tries some went through, and others were refused, reset or closed at
once. Where the name has several addresses, whether it is one of them that fails; also where the name server
always gives that one first, and another one takes the connection.

## Why it matters

A single try finds the fault or does not, by luck, and a retry hides it. Behind a name with several
addresses one dead replica fails every n-th request for ever.

## How to fix it

Where one address fails: find out about that container alone (`docker netcheck FROM THAT:PORT`) and
mend or remove it. Where the same address fails now and then, the program there comes and goes, or
turns some clients away: its log at that time tells (`docker logs --timestamps --since 1m NAME`).

## When it is wrong

While a service is started or deployed, its port is closed for a moment.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(tries) = case.repetition() else {
        return Verdict::NotApplicable;
    };
    let failed = |went: &Went| matches!(went, Went::Failed(_));
    let through = tries.count(Went::is_through);
    let failures = tries.count(failed);
    let (name, target) = (case.name(), tries.target);
    let by_address = tries.by_address();
    // Each try is at the first address of the name, and some servers always give the same one first.
    let behind = case
        .addresses_of(&target.host)
        .into_iter()
        .map(|address| SocketAddr::new(address, target.port))
        .filter(|to| !by_address.iter().any(|(tried, _)| tried == to))
        .find(|to| case.reached(*to, target.protocol) == Reached::Through);
    if failures == 0 || (through == 0 && behind.is_none()) {
        return Verdict::Pass;
    }
    let dead: Vec<SocketAddr> = by_address
        .iter()
        .filter(|(_, went)| went.iter().all(|one| failed(one)))
        .map(|(to, _)| *to)
        .collect();
    let owner = |to: &SocketAddr| case.owner_of(to.ip()).map(|owner| owner.name.as_str());
    let whose = |to: &SocketAddr| {
        owner(to).map_or_else(|| to.to_string(), |owner| format!("{to} (`{owner}`)"))
    };
    let mut subjects = vec![Subject::container(name)];
    let problem = if dead.is_empty() {
        format!("`{target}` takes some connections from `{name}` and not others")
    } else {
        let dead: Vec<String> = dead.iter().map(&whose).collect();
        format!(
            "`{target}` means several addresses, and {} never works",
            dead.join(", ")
        )
    };
    let failing = by_address
        .iter()
        .filter(|(_, went)| went.iter().any(|one| failed(one)));
    let failing: Vec<&str> = failing.filter_map(|(to, _)| owner(to)).collect();
    subjects.extend(failing.iter().map(|owner| Subject::container(owner)));
    subjects.push(Subject::address(target));
    let mut fault = Fault::error(problem, subjects);
    for (to, went) in &by_address {
        let words = counted(went.iter().filter_map(|one| match one {
            Went::Failed(words) => Some(words.clone()),
            _ => None,
        }));
        let words: Vec<String> = words
            .iter()
            .map(|(words, times)| format!("{times} × {words}"))
            .collect();
        fault = fault.proof(format!(
            "seen from `{name}`: {} of {} tries at {} {}{}{}",
            went.iter().filter(|one| one.is_through()).count(),
            went.len(),
            whose(to),
            tries.through(),
            if words.is_empty() { "" } else { "; " },
            words.join(", ")
        ));
    }
    if let Some(to) = behind.filter(|_| through == 0) {
        fault = fault.proof(format!("seen from `{name}`: {}: connected", whose(&to)));
    }
    Verdict::Fail(vec![fault.fix(mend(case, &dead, &failing))])
}

fn mend(case: &Case<'_>, dead: &[SocketAddr], failing: &[&str]) -> Fix {
    match (dead.first(), failing.first()) {
        (Some(to), _) => Fix::new(
            "Ask about the one that fails alone, and mend it or take it off the network",
            vec![shell::command([
                "docker",
                "netcheck",
                case.name(),
                &to.to_string(),
            ])],
        ),
        (None, Some(owner)) => Fix::new(
            format!("See what `{owner}` did at those moments"),
            vec![shell::command([
                "docker",
                "logs",
                "--timestamps",
                "--since",
                "1m",
                owner,
            ])],
        ),
        (None, None) => Fix::new("See what the server did at those moments", Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Question, Then};

    use super::RULE;
    use crate::case::Case;
    use crate::evidence::Evidence;
    use crate::rule::{Fault, Verdict};
    use crate::rules::testing::talks::open;
    use crate::rules::testing::{container, ip};
    use crate::rules::testing::tries::{CLOSED, LATE, OK, REFUSED, tried, tried_at};

    fn judged(evidence: &Evidence) -> Verdict {
        (RULE.judge)(&Case::new(evidence).unwrap())
    }

    fn fault(evidence: &Evidence) -> Fault {
        match judged(evidence) {
            Verdict::Fail(mut faults) => faults.swap_remove(0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_address_that_comes_and_goes() {
        for fails in [REFUSED, CLOSED] {
            let fault = fault(&tried(&[OK, fails, OK]));
            assert_eq!(
                fault.problem,
                "`db:80` takes some connections from `app` and not others"
            );
            assert_eq!(
                fault.fixes[0].commands,
                ["docker logs --timestamps --since 1m db"]
            );
        }
    }

    #[test]
    fn one_of_two_addresses_that_never_works() {
        let tries = [
            ("172.18.0.3", OK),
            ("172.18.0.4", REFUSED),
            ("172.18.0.3", OK),
        ];
        let evidence = tried_at(&tries).and(container("db-2").on("my_network", "172.18.0.4"));
        let fault = fault(&evidence);
        assert_eq!(
            fault.problem,
            "`db:80` means several addresses, and 172.18.0.4:80 (`db-2`) never works"
        );
        assert_eq!(
            fault.fixes[0].commands,
            ["docker netcheck app 172.18.0.4:80"]
        );
        assert_eq!(fault.evidence.len(), 2);
    }

    #[test]
    fn the_first_of_two_addresses_never_works() {
        let evidence = tried_at(&[("172.18.0.4", REFUSED); 3])
            .and(container("db-2").on("my_network", "172.18.0.4"))
            .resolves("db", &["172.18.0.4", "172.18.0.3"]);
        assert_eq!(judged(&evidence), Verdict::Pass, "the other one was not tried");
        let question = Question::Connect {
            to: (ip("172.18.0.3"), 80).into(),
            listen_ms: 30,
        };
        let evidence = evidence.answered(question, Answer::Connect(open(Then::Silent)));
        let fault = fault(&evidence);
        assert_eq!(
            fault.problem,
            "`db:80` means several addresses, and 172.18.0.4:80 (`db-2`) never works"
        );
        assert_eq!(fault.evidence[1], "seen from `app`: 172.18.0.3:80 (`db`): connected");
    }

    #[test]
    fn all_or_none_is_another_story() {
        for all in [OK, REFUSED, LATE] {
            assert_eq!(judged(&tried(&[all; 4])), Verdict::Pass, "{all:?}");
        }
        assert_eq!(judged(&tried(&[OK, LATE])), Verdict::Pass);
    }
}
