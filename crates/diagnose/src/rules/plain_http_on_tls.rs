//! The URL says TLS, and the server answers in plain HTTP.

use netcheck_probe::{Connected, Then};

use crate::case::{Case, is_plain_http};
use crate::evidence::Mode;
use crate::report::{Fix, Subject};
use crate::request::Talk;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "plain-http-on-tls",
    title: "TLS is spoken to a port that speaks plain HTTP",
    check: Check::Listening,
    explained_by: &["process-does-not-accept"],
    docs: "\
## What it checks

You gave a URL whose scheme means TLS (`https`, `wss` and others). A TLS hello was sent to the container's
own address, and what came back begins with `HTTP/`, which no TLS server says.

## Why it matters

Network and server are fine, but no TLS handshake will ever succeed. Clients report `wrong version
number`, `packet length too long`, `first record does not look like a TLS handshake`. Mostly TLS ends at
a proxy before the service, and the URL with `https` is the one for the world outside; or the port is
the plain one of two.

## How to fix it

Between containers, write `http` (or `ws`) and that port, or use the port on which the server speaks TLS.

## When it is wrong

Never, as far as is known: a TLS record cannot begin with these letters.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(asked) = case.asked else {
        return Verdict::NotApplicable;
    };
    if case.detail.mode == Mode::Host || asked.target.talk != Some(Talk::Tls) {
        return Verdict::NotApplicable;
    }
    let tries = asked.tries();
    let answered: Vec<_> = tries
        .iter()
        .filter_map(|one| Some((one.to, one.hello?)))
        .collect();
    if answered.is_empty() {
        return Verdict::NotApplicable;
    }
    let Some((to, Connected::Open { then: Then::Spoke(said), .. })) =
        answered.iter().find(|(_, answer)| is_plain_http(answer))
    else {
        return Verdict::Pass;
    };
    let (name, port) = (case.name(), asked.port);
    let from = &asked.from.name;
    let line = said.lines().next().unwrap_or_default();
    let fault = Fault::error(
        format!("port {port} of `{name}` speaks plain HTTP, and the URL says TLS"),
        vec![
            Subject::container(name),
            Subject::container(from),
            Subject::port(port),
        ],
    )
    .proof(format!(
        "seen from `{from}`: {to}: a TLS hello was answered with `{line}`"
    ))
    .fix(Fix::new(
        format!(
            "Write `http` in place of `https` (`ws` for `wss`): http://{}",
            crate::request::place(&asked.target.host, port.number)
        ),
        Vec::new(),
    ));
    Verdict::Fail(vec![fault])
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Question, Then};

    use super::RULE;
    use crate::evidence::Evidence;
    use crate::request::Talk;
    use crate::rule::Verdict;
    use crate::rules::testing::ip;
    use crate::rules::testing::talks::{DB, judged, open, pair, problem};

    fn hello(talk: Option<Talk>, then: Then) -> Evidence {
        let question = Question::Hello {
            to: (ip(DB), 3306).into(),
            wait_ms: 500,
        };
        pair(talk, Then::Silent).answered(question, Answer::Hello(open(then)))
    }

    #[test]
    fn an_answer_in_plain_http() {
        let said = Then::Spoke("HTTP/1.1 400 Bad Request\r\n".into());
        assert_eq!(
            problem(&RULE, &hello(Some(Talk::Tls), said)),
            "port 3306/tcp of `db` speaks plain HTTP, and the URL says TLS"
        );
    }

    #[test]
    fn tls_and_silence_pass() {
        for then in [
            Then::Spoke("\u{16}\u{3}\u{3}".into()),
            Then::Spoke("\u{15}\u{3}".into()),
            Then::Silent,
            Then::Closed,
        ] {
            assert_eq!(judged(&RULE, &hello(Some(Talk::Tls), then)), Verdict::Pass);
        }
    }

    #[test]
    fn without_a_hello_it_is_not_applicable() {
        assert_eq!(judged(&RULE, &pair(Some(Talk::Tls), Then::Silent)), Verdict::NotApplicable);
        let http = Then::Spoke("HTTP/1.1 200 OK".into());
        assert_eq!(judged(&RULE, &hello(None, http)), Verdict::NotApplicable);
    }
}
