//! The container ended because what it needs was started after it.

use netcheck_probe::Protocol;

use crate::case::{Case, Late, Reached};
use crate::evidence::{Port, Viewpoint};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "server-not-ready-yet",
    title: "it ended before what it needs was started",
    check: Check::State,
    explained_by: &["cannot-bind-privileged-port"],
    docs: "\
## What it checks

The container ended with an error. Another container that its configuration names, on a network with it, did
not run at any time while it ran: it was started after that, at most two minutes later where it was its first
start. Now it runs, listens on the port that is meant, and takes a connection.

## Why it matters

Compose and Docker start containers one after another, and wait for none to be ready. A client that starts first
gets `could not resolve host` or `connection refused`, and ends, if it does not try again. A minute later
everything looks right, and it stays down.

## How to fix it

Start it again: `docker start NAME`. So that it does not come back: a health check for the server and, in Compose,
`depends_on: {db: {condition: service_healthy}}`; or let the client try again, by itself or with
`--restart on-failure`.

## When it is wrong

It ended for another reason than its server, by chance before that was started. Then it ends again when it is
started, and is reported as not running.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let late = case.started_later();
    if late.is_empty() {
        return Verdict::NotApplicable;
    }
    let mut faults = Vec::new();
    let mut unseen = None;
    for late in &late {
        match serves(case, late) {
            Ok(true) => faults.push(fault(case, late)),
            Ok(false) => {}
            Err(why) => {
                unseen = Some(format!("whether `{}` serves now: {why}", late.server.name));
            }
        }
    }
    match unseen {
        Some(why) if faults.is_empty() => Verdict::Unknown(why),
        _ => Verdict::from_faults(faults),
    }
}

/// The server as if it were the subject.
fn seen_from<'a>(case: &Case<'a>, late: &Late<'a>) -> Option<Case<'a>> {
    Some(Case {
        subject: late.server,
        detail: late.server.detail()?,
        ..*case
    })
}

/// It listens for others on that port, and takes a connection.
fn serves<'a>(case: &Case<'a>, late: &Late<'a>) -> Result<bool, String> {
    let viewpoint = Viewpoint::Container(late.server.id.clone());
    let Some(server) = seen_from(case, late) else {
        return Err(case.evidence.why_not_visited(&viewpoint).to_owned());
    };
    let listens = server.listeners()?.iter().any(|listener| {
        listener.port.number == late.port
            && listener.port.protocol == Protocol::Tcp
            && listener.is_reachable()
    });
    let connect = server.visit()?.connect((late.address, late.port).into());
    if let Some(why) = connect.why_unknown() {
        return Err(why.to_owned());
    }
    let to = (late.address, late.port).into();
    Ok(listens && server.reached(to, Protocol::Tcp) == Reached::Through)
}

fn fault(case: &Case<'_>, late: &Late<'_>) -> Fault {
    let (name, server) = (case.name(), &late.server.name);
    let state = &case.detail.state;
    let port = Port {
        number: late.port,
        protocol: Protocol::Tcp,
    };
    let later = crate::render::age(late.started - late.ended);
    let fault = Fault::error(
        format!(
            "`{name}` ended with exit code {} before `{server}` ran, which it is told to use{}; now \
             `{server}` serves",
            state.exit_code,
            late.reference.place.aside()
        ),
        vec![
            Subject::container(name),
            Subject::container(server),
            Subject::setting(&late.reference.place),
        ],
    )
    .proof(format!(
        "Engine API: `{name}` ended {} ago; `{server}` was started {later} after that, and did not run before \
         while `{name}` did",
        crate::render::age(case.age(late.ended))
    ))
    .proofs(late.reference.written_proof())
    .proof(format!(
        "seen from `{server}`: it listens on {port} now, and takes connections at {}",
        late.address
    ))
    .fix(Fix::new(
        format!("Start it again, now that `{server}` is there"),
        vec![shell::command(["docker", "start", name])],
    ));
    let wait = match (
        case.subject.compose_service(),
        late.server.compose_service(),
    ) {
        (Some((project, service)), Some((_, needed))) => format!(
            "in the Compose file of `{project}`, service `{service}`, `depends_on: {{{needed}: \
             {{condition: service_healthy}}}}`, with a `healthcheck` for `{needed}`"
        ),
        _ => format!(
            "start `{server}` first and wait until it serves, or let `{name}` try again \
             (`--restart on-failure`)"
        ),
    };
    fault.fix(Fix::new(
        format!("So that it does not come back: {wait}"),
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Connected, Errno, Protocol, Question, Snapshot, Then};

    use super::RULE;
    use crate::evidence::{Container, Evidence, Status, Viewpoint};
    use crate::rules::testing::{
        NOW, check_rule, commands, container, fails, fix_texts, id_of, ip, not_applicable, passes,
        snapshot, socket, unknown, world,
    };

    const PROBLEM: &str = "`app` ended with exit code 1 before `db` ran, which it is told to use \
                           (DB_URL); now `db` serves";

    /// Ran from 100 to 97 seconds ago.
    fn app() -> Container {
        let mut app = container("app")
            .env(&["DB_URL=mysql://db:3306/some"])
            .status(Status::Exited);
        let state = &mut app.detail_mut().state;
        state.exit_code = 1;
        state.started_at = Some(NOW - 100);
        state.finished_at = Some(NOW - 97);
        app
    }

    fn db(started_ago: i64, finished_ago: Option<i64>) -> Container {
        let mut db = container("db").on("my_network", "172.18.0.3").started(started_ago);
        db.detail_mut().state.finished_at = finished_ago.map(|ago| NOW - ago);
        db
    }

    fn seen(app: Container, db: Container, listens: &str) -> Evidence {
        let opens = listens.starts_with("0.0.0.0");
        let inside = Snapshot {
            sockets: Ok(vec![socket(Protocol::Tcp, listens)]),
            ..snapshot()
        };
        let from = Viewpoint::Container(id_of("db"));
        let connected = if opens {
            Connected::Open {
                from: (ip("172.18.0.3"), 40000).into(),
                took_ms: 0,
                then: Then::Silent,
            }
        } else {
            Connected::Failed {
                errno: Errno::Refused,
                took_ms: 0,
            }
        };
        world(app)
            .and(db)
            .answered_from(from.clone(), Question::Snapshot, Answer::Snapshot(inside))
            .answered_from(
                from,
                Question::Connect {
                    to: (ip("172.18.0.3"), 3306).into(),
                    listen_ms: 1,
                },
                Answer::Connect(connected),
            )
    }

    const SERVES: &str = "0.0.0.0:3306";

    #[test]
    fn its_server_came_later() {
        let evidence = seen(app(), db(90, None), SERVES);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(commands(&RULE, &evidence), ["docker start app"]);
        // Started again, after a run that was over before.
        check_rule(&RULE, &seen(app(), db(20, Some(5000)), SERVES), fails(PROBLEM));
        let of_compose = seen(
            app().of_service("shop", "app"),
            db(90, None).of_service("shop", "db"),
            SERVES,
        );
        let texts = fix_texts(&RULE, &of_compose);
        assert!(texts[1].contains("`depends_on: {db: {condition: service_healthy}}`"), "{texts:?}");
    }

    #[test]
    fn near_misses() {
        let none = |evidence: &Evidence| check_rule(&RULE, evidence, not_applicable());
        // The server was there, or may have been; it was made long after.
        none(&seen(app(), db(98, None), SERVES));
        none(&seen(app(), db(97, None), SERVES));
        none(&seen(app(), db(90, Some(100)), SERVES));
        none(&seen(app(), db(90, Some(98)), SERVES));
        let mut early = app();
        early.detail_mut().state.started_at = Some(NOW - 1000);
        early.detail_mut().state.finished_at = Some(NOW - 990);
        none(&seen(early, db(90, None), SERVES));
        // It ended for a reason of its own, or well, or by a signal.
        for code in [0, 127, 137, 143] {
            let mut other = app();
            other.detail_mut().state.exit_code = code;
            none(&seen(other, db(90, None), SERVES));
        }
        let mut error = app();
        error.detail_mut().state.error = "no such file".into();
        none(&seen(error, db(90, None), SERVES));
        // It still runs; it names nobody; the server is on another network.
        none(&seen(app().status(Status::Running), db(90, None), SERVES));
        none(&seen(app().env(&[]), db(90, None), SERVES));
        none(&seen(app(), db(90, None).alone().on("other", "172.19.0.3"), SERVES));
        // Not content yet.
        none(&seen(app(), db(90, None).health("starting"), SERVES));
        // It does not serve now either.
        let shut = seen(app(), db(90, None), "127.0.0.1:3306");
        check_rule(&RULE, &shut, passes());
    }

    #[test]
    fn without_a_look_it_stays_open() {
        check_rule(&RULE, &world(app()).and(db(90, None)), unknown("whether `db` serves now"));
    }
}
