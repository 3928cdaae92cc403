//! Made-up connections of `app` to `db:3306` that open, and what follows.

use netcheck_probe::{Answer, Connected, Protocol, Question, Then};

use super::{container, id_of, ip, world};
use crate::case::Case;
use crate::evidence::Evidence;
use crate::request::{Talk, Target};
use crate::rule::{Rule, Verdict};

/// The address of `db`.
pub(crate) const DB: &str = "172.18.0.3";

/// It opened, and then that.
pub(crate) fn open(then: Then) -> Connected {
    Connected::Open {
        from: (ip("172.18.0.9"), 40000).into(),
        took_ms: 1,
        then,
    }
}

/// `app` asks for a place where the protocol talks so.
pub(crate) fn pair(talk: Option<Talk>, then: Then) -> Evidence {
    let mut evidence = world(container("app")).and(container("db").on("my_network", DB));
    evidence.request.target = Some(Target {
        container: Some(id_of("db")),
        talk,
        ..Target::new("db", 3306, Protocol::Tcp)
    });
    let question = Question::Connect {
        to: (ip(DB), 3306).into(),
        listen_ms: 500,
    };
    evidence.answered(question, Answer::Connect(open(then)))
}

/// What the rule says of the target.
pub(crate) fn judged(rule: &Rule, evidence: &Evidence) -> Verdict {
    (rule.judge)(&Case::target(evidence).unwrap())
}

/// The problem that the rule finds.
pub(crate) fn problem(rule: &Rule, evidence: &Evidence) -> String {
    match judged(rule, evidence) {
        Verdict::Fail(faults) => faults[0].problem.clone(),
        other => panic!("{other:?}"),
    }
}
