//! The target takes the connection, and ends it before a word was said.

use netcheck_probe::{Connected, Then};

use crate::case::{Case, connected_words};
use crate::evidence::Mode;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "connection-closed-at-once",
    title: "connections are taken and closed at once",
    check: Check::Listening,
    explained_by: &["process-does-not-accept", "connects-sometimes"],
    docs: "\
## What it checks

A connection to the port you asked for, at the container's own address, so that no proxy stands between.
It opened, and was closed or reset before anything was said by either side, at every address that was
tried.

## Why it matters

The network is fine: the handshake was completed. The program itself (or what stands in its place, such as
a wrapper or a sidecar) does not want this client: an allow list, a limit on connections, a handshake
with a backend that failed, a worker that crashes on each connection. Clients report `connection reset by
peer`, `unexpected EOF` or `server closed the connection unexpectedly`.

## How to fix it

`docker logs --tail 50 NAME` mostly says it in a line for each connection. Look for allow lists
(`bind`, `allow`, `hosts.allow`, `pg_hba`-like files) that do not hold the client's address, and for a
limit on connections.

## When it is wrong

A port that is made to be connected to and nothing else, such as some health checks, closes at once on
purpose.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(asked) = case.asked else {
        return Verdict::NotApplicable;
    };
    if case.detail.mode == Mode::Host {
        return Verdict::NotApplicable;
    }
    let ended = |connected: &Connected| {
        matches!(
            connected,
            Connected::Open {
                then: Then::Closed | Then::Reset,
                ..
            }
        )
    };
    let opened: Vec<_> = asked
        .tries()
        .into_iter()
        .filter(|one| matches!(one.connected, Connected::Open { .. }))
        .collect();
    if opened.is_empty() {
        return Verdict::NotApplicable;
    }
    if !opened.iter().all(|one| ended(one.connected)) {
        return Verdict::Pass;
    }
    let (name, port) = (case.name(), asked.port);
    let from = &asked.from.name;
    let fault = Fault::error(
        format!("`{name}` takes connections to port {port} and closes them at once"),
        vec![
            Subject::container(name),
            Subject::container(from),
            Subject::port(port),
        ],
    )
    .proofs(opened.iter().map(|one| {
        let how = match one.connected {
            Connected::Open {
                then: Then::Reset, ..
            } => "reset",
            _ => "closed",
        };
        format!(
            "seen from `{from}`: {}: {}, and {how} before anything was said",
            one.to,
            connected_words(one.connected)
        )
    }))
    .fix(Fix::new(
        format!("See why `{name}` does not want this client: allow lists, limits, crashes"),
        vec![shell::command(["docker", "logs", "--tail", "50", name])],
    ));
    Verdict::Fail(vec![fault])
}

#[cfg(test)]
mod tests {
    use netcheck_probe::Then;

    use super::RULE;
    use crate::case::Case;
    use crate::request::Talk;
    use crate::rule::Verdict;
    use crate::rules::testing::{container, world};
    use crate::rules::testing::talks::{judged, pair, problem};

    #[test]
    fn a_close_and_a_reset() {
        for then in [Then::Closed, Then::Reset] {
            assert_eq!(
                problem(&RULE, &pair(None, then)),
                "`db` takes connections to port 3306/tcp and closes them at once"
            );
        }
    }

    #[test]
    fn what_stays_open_or_speaks_passes() {
        for then in [Then::Silent, Then::Spoke("x".into())] {
            assert_eq!(judged(&RULE, &pair(Some(Talk::ServerFirst), then)), Verdict::Pass);
        }
    }

    #[test]
    fn without_a_try_it_is_not_applicable() {
        let mut evidence = pair(None, Then::Closed);
        evidence.visits.clear();
        assert_eq!(judged(&RULE, &evidence), Verdict::NotApplicable);
        let alone = world(container("db"));
        let case = Case::new(&alone).unwrap();
        assert_eq!((RULE.judge)(&case), Verdict::NotApplicable);
    }
}
