//! The kernel completes the handshake, and the program never takes the connection.

use std::collections::BTreeMap;

use netcheck_probe::{Accepts, Answer, Errno, Protocol, Question};

use crate::case::{Case, Listener};
use crate::evidence::Mode;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "process-does-not-accept",
    title: "a program holds its port open and takes no connection",
    check: Check::Listening,
    explained_by: &["container-paused"],
    docs: "\
## What it checks

A connection to each listener from inside the container, and whether the program takes it out of the
kernel's accept queue within a second. Also a queue that is not empty while the program that owns the
socket is stopped (state `T`), and a queue that is full, so that even a connection from inside is turned
away.

## Why it matters

The kernel completes the TCP handshake on its own, so every port check says `open`, and then nothing
ever comes: clients report read timeouts, proxies `upstream timed out`. When the queue is full, new
connections time out as well. The program is deadlocked, stopped by a signal, swapped to death, or all
its workers are busy.

## How to fix it

First keep what it can tell: `docker top NAME` and a stack dump (`jstack`, `py-spy dump`,
`kill -QUIT` for Go and Java). Then `docker restart NAME`. A process in state `T` continues with
`SIGCONT`.

## When it is wrong

A server that handles one connection at a time and was busy for the whole second looks the same. Run
it again: if the queue is empty then, the server is slow, not stuck.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.detail.mode == Mode::Host {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let services = match case.services() {
        Ok(services) => services,
        Err(why) if case.promises_or_is_named() => {
            return Verdict::Unknown(format!("the listening sockets of `{name}`: {why}"));
        }
        Err(_) => return Verdict::NotApplicable,
    };
    let mut by_port: BTreeMap<u16, Vec<&Listener>> = BTreeMap::new();
    for service in services.iter().filter(|s| s.port.protocol == Protocol::Tcp) {
        by_port
            .entry(service.port.number)
            .or_default()
            .push(service);
    }
    if by_port.is_empty() {
        return Verdict::NotApplicable;
    }
    let mut faults = Vec::new();
    let mut answered = false;
    let mut why = "was not looked at";
    for (number, on_port) in &by_port {
        let answers = answers(case, *number);
        answered |= answers.iter().any(Result::is_ok);
        if let Some(Err(reason)) = answers.iter().find(|answer| answer.is_err()) {
            why = reason;
        }
        let waiting = answers.iter().find_map(|answer| match answer {
            Ok(Accepts::Waiting { queued, waited_ms }) => Some((*queued, *waited_ms)),
            _ => None,
        });
        let stopped = on_port.iter().any(|listener| {
            listener.waiting > 0 && listener.owner.as_ref().is_some_and(|p| p.state == 'T')
        });
        // Its own kernel turns its own connection away, which only a full queue makes it do.
        let turned_away = answers.iter().any(|answer| {
            matches!(answer, Ok(Accepts::Failed { errno: Errno::TimedOut }))
        }) && on_port.iter().any(|listener| listener.is_full);
        if waiting.is_some() || stopped || turned_away {
            faults.push(fault(case, *number, on_port, waiting));
        }
    }
    if faults.is_empty() && !answered {
        return Verdict::Unknown(format!("whether `{name}` takes connections: {why}"));
    }
    Verdict::from_faults(faults)
}

/// What came of the tries on this port, at whichever of its addresses.
fn answers<'a>(case: &Case<'a>, number: u16) -> Vec<Result<&'a Accepts, &'a str>> {
    let Ok(visit) = case.visit() else {
        return Vec::new();
    };
    visit
        .answers
        .iter()
        .filter(|answered| {
            matches!(&answered.question, Question::Accepts { to, .. } if to.port() == number)
        })
        .filter_map(|answered| match &answered.answer {
            Ok(Answer::Accepts(accepts)) => Some(Ok(accepts)),
            Ok(_) => None,
            Err(reason) => Some(Err(reason.as_str())),
        })
        .collect()
}

fn fault(
    case: &Case<'_>,
    number: u16,
    on_port: &[&Listener],
    waiting: Option<(u32, u32)>,
) -> Fault {
    let name = case.name();
    let owner = on_port.iter().find_map(|listener| listener.owner.as_ref());
    let who = owner.map_or_else(
        || "the program".to_owned(),
        |process| format!("`{}`", process.name),
    );
    let mut fault = Fault::error(
        format!("{who} in `{name}` holds port {number} open and takes no connection from it"),
        vec![
            Subject::container(name),
            Subject::port(format!("{number}/tcp")),
        ],
    );
    if let Some((queued, waited_ms)) = waiting {
        fault = fault.proof(format!(
            "seen from `{name}`: a connection to port {number} opened and was still waiting to be \
             accepted after {waited_ms} ms ({queued} in the queue)"
        ));
    } else {
        let queued: u32 = on_port.iter().map(|listener| listener.waiting).sum();
        fault = fault.proof(format!(
            "seen from `{name}`: {queued} connections to port {number} wait to be accepted"
        ));
    }
    if let Some(process) = owner {
        fault = fault.proof(format!(
            "seen from `{name}`: the port is held by `{}`, process state {} ({})",
            process.name,
            process.state,
            state(process.state)
        ));
    }
    fault.fix(Fix::new(
        "Keep what it can tell (the processes here, and a stack dump if the program can make one), \
         then start it again",
        vec![
            shell::command(["docker", "top", name]),
            shell::command(["docker", "restart", name]),
        ],
    ))
}

/// The letters of proc(5).
fn state(letter: char) -> &'static str {
    match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "waiting for a disk",
        'T' => "stopped by a signal",
        't' => "stopped by a debugger",
        'Z' => "a zombie",
        'I' => "idle",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Accepts, Answer, Answered, Errno, Process, Protocol, Question, Socket};

    use super::RULE;
    use crate::evidence::{Evidence, Mode};
    use crate::rules::testing::{
        check_rule, container, fails, ip, not_applicable, passes, socket, tcp, unknown, world,
    };

    fn held(waiting: u32, state: char) -> Socket {
        Socket {
            waiting,
            owner: Some(Process {
                pid: 1,
                name: "httpd".into(),
                state,
            }),
            ..socket(Protocol::Tcp, "0.0.0.0:80")
        }
    }

    fn question() -> Question {
        Question::Accepts {
            to: (ip("172.18.0.9"), 80).into(),
            patience_ms: 1000,
        }
    }

    fn seen(socket: Socket, accepts: Accepts) -> Evidence {
        world(container("web"))
            .listens(vec![socket])
            .answered(question(), Answer::Accepts(accepts))
    }

    const PROBLEM: &str = "`httpd` in `web` holds port 80 open and takes no connection from it";

    #[test]
    fn a_connection_that_stays_in_the_queue() {
        let waiting = Accepts::Waiting {
            queued: 2,
            waited_ms: 1000,
        };
        check_rule(&RULE, &seen(held(1, 'S'), waiting.clone()), fails(PROBLEM));
        let nameless = socket(Protocol::Tcp, "0.0.0.0:80");
        check_rule(
            &RULE,
            &seen(nameless, waiting),
            fails("the program in `web` holds port 80 open and takes no connection from it"),
        );
    }

    #[test]
    fn a_stopped_process_with_a_queue() {
        let evidence = world(container("web")).listens(vec![held(1, 'T')]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
    }

    #[test]
    fn a_full_queue_that_has_no_room_for_our_connection() {
        let timed_out = Accepts::Failed {
            errno: Errno::TimedOut,
        };
        let full = held(129, 'S');
        check_rule(&RULE, &seen(full, timed_out.clone()), fails(PROBLEM));
        // With room left it is something else.
        check_rule(&RULE, &seen(held(128, 'S'), timed_out), passes());
    }

    #[test]
    fn a_connection_that_was_taken() {
        let accepted = Accepts::Accepted { took_ms: 0 };
        // Somebody else's connection may have been in the queue at the moment of the look.
        check_rule(&RULE, &seen(held(1, 'S'), accepted), passes());
    }

    #[test]
    fn without_a_try_it_stays_open() {
        let mut evidence = world(container("web")).listens(vec![held(0, 'S')]);
        check_rule(
            &RULE,
            &evidence,
            unknown("whether `web` takes connections: was not"),
        );
        evidence.visits[0].answers.push(Answered {
            question: question(),
            answer: Err("the deadline was over".into()),
        });
        check_rule(&RULE, &evidence, unknown("the deadline was over"));
        let blind = world(container("web").exposes(tcp(80)));
        check_rule(&RULE, &blind, unknown("the listening sockets of `web`"));
    }

    #[test]
    fn nothing_to_ask_where_nothing_listens() {
        check_rule(
            &RULE,
            &world(container("app")).listens(vec![]),
            not_applicable(),
        );
        check_rule(&RULE, &world(container("app")), not_applicable());
        let host = container("app").mode(Mode::Host);
        check_rule(&RULE, &world(host), not_applicable());
    }
}
