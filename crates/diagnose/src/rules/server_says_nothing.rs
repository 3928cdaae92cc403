//! A connection opens, and a server that has to speak first says nothing.

use netcheck_probe::{Connected, Then};

use crate::case::{Case, connected_words};
use crate::evidence::Mode;
use crate::plan::GREETING_MS;
use crate::report::{Fix, Subject};
use crate::request::Talk;
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "server-says-nothing",
    title: "the server should speak first and says nothing",
    check: Check::Listening,
    explained_by: &["process-does-not-accept"],
    docs: "\
## What it checks

You gave a URL whose scheme means a protocol in which the server speaks first: MySQL and MariaDB, SSH,
SMTP, FTP. A connection to the container's own address opened, nothing was said on it, and nothing came
for half a second.

## Why it matters

The network is fine and somebody listens, but it is not that server, or one that cannot greet: the port is
another service's, the server waits for a name server to look up the client's address, all its workers are
busy, or it speaks TLS from the first byte. Clients hang until their own time-out: `Lost connection to
server at 'reading initial communication packet'`, `Timeout before banner`.

## How to fix it

See which program holds the port (`docker top NAME`) and what it logs. For MySQL `--skip-name-resolve`
ends the look-up of each client.

## When it is wrong

Mail servers may delay their greeting on purpose, by seconds, to catch spammers. Then it is no fault.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let Some(asked) = case.asked else {
        return Verdict::NotApplicable;
    };
    // A port number alone is no proof of who serves there; it is said in the path.
    if case.detail.mode == Mode::Host || asked.target.talk != Some(Talk::ServerFirst) {
        return Verdict::NotApplicable;
    }
    let heard: Vec<_> = asked
        .tries()
        .into_iter()
        .filter(|one| one.listened_ms >= GREETING_MS)
        .collect();
    let silent: Vec<_> = heard
        .iter()
        .filter(|one| {
            matches!(
                one.connected,
                Connected::Open {
                    then: Then::Silent,
                    ..
                }
            )
        })
        .collect();
    let spoke = heard.iter().any(|one| {
        matches!(
            one.connected,
            Connected::Open {
                then: Then::Spoke(_),
                ..
            }
        )
    });
    if heard.is_empty() {
        return Verdict::NotApplicable;
    }
    if silent.is_empty() || spoke {
        return Verdict::Pass;
    }
    let (name, port) = (case.name(), asked.port);
    let from = &asked.from.name;
    let fault = Fault::warning(
        format!("`{name}` takes the connection to port {port} and says nothing, where the server should speak first"),
        vec![
            Subject::container(name),
            Subject::container(from),
            Subject::port(port),
        ],
    )
    .proofs(silent.iter().map(|one| {
        format!(
            "seen from `{from}`: {}: {}, and nothing came within {} ms",
            one.to,
            connected_words(one.connected),
            one.listened_ms
        )
    }))
    .fix(Fix::new(
        format!("See which program of `{name}` holds the port, and what it logs"),
        vec![
            shell::command(["docker", "top", name]),
            shell::command(["docker", "logs", "--tail", "50", name]),
        ],
    ));
    Verdict::Fail(vec![fault])
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Question, Then};

    use super::RULE;
    use crate::request::Talk;
    use crate::rule::Verdict;
    use crate::rules::testing::ip;
    use crate::rules::testing::talks::{DB, judged, pair, problem};

    #[test]
    fn silence_where_a_greeting_is_due() {
        assert_eq!(
            problem(&RULE, &pair(Some(Talk::ServerFirst), Then::Silent)),
            "`db` takes the connection to port 3306/tcp and says nothing, where the server should speak first"
        );
    }

    #[test]
    fn a_greeting_and_a_close_are_silent() {
        for then in [Then::Spoke("J".into()), Then::Closed] {
            assert_eq!(judged(&RULE, &pair(Some(Talk::ServerFirst), then)), Verdict::Pass);
        }
    }

    #[test]
    fn a_port_alone_or_a_short_look_is_not_applicable() {
        assert_eq!(judged(&RULE, &pair(None, Then::Silent)), Verdict::NotApplicable);
        assert_eq!(judged(&RULE, &pair(Some(Talk::Tls), Then::Silent)), Verdict::NotApplicable);
        let mut evidence = pair(Some(Talk::ServerFirst), Then::Silent);
        evidence.visits[0].answers[0].question = Question::Connect {
            to: (ip(DB), 3306).into(),
            listen_ms: 1,
        };
        assert_eq!(judged(&RULE, &evidence), Verdict::NotApplicable);
    }
}
