//! Pairs judged from made-up evidence.

use netcheck_probe::{
    Answer, Connected, Delivered, Errno, Protocol, Question, RecordType, Snapshot, Then,
};

use super::*;
use crate::evidence::Status;
use crate::plan;
use crate::report::{Step, StepKind};
use crate::request::{Cause, Refused};
use crate::rules::testing::{container, id_of, ip, snapshot, socket, world};

const DB: &str = "172.18.0.3";

/// `app` asks for a port of `db`, which both look fine so far.
fn pair(port: u16, protocol: Protocol, listens: &[(Protocol, &str)]) -> Evidence {
    let mut evidence = world(container("app"))
        .and(container("db").on("my_network", DB))
        .sees(snapshot())
        .resolves("db", &[DB]);
    evidence.request.target = Some(Target {
        container: Some(id_of("db")),
        ..Target::new("db", port, protocol)
    });
    let seen = Snapshot {
        sockets: Ok(listens.iter().map(|(p, at)| socket(*p, at)).collect()),
        ..snapshot()
    };
    let db = Viewpoint::Container(id_of("db"));
    evidence.answered_from(db, Question::Snapshot, Answer::Snapshot(seen))
}

fn connects(evidence: Evidence, port: u16, connected: Connected) -> Evidence {
    let question = Question::Connect {
        to: (ip(DB), port).into(),
        listen_ms: 1,
    };
    evidence.answered(question, Answer::Connect(connected))
}

fn open() -> Connected {
    Connected::Open {
        from: (ip("172.18.0.9"), 40000).into(),
        took_ms: 1,
        then: Then::Silent,
    }
}

fn failed(errno: Errno) -> Connected {
    Connected::Failed { errno, took_ms: 9 }
}

fn status(report: &Report, kind: StepKind) -> CheckStatus {
    let is = |step: &&Step| step.step == kind;
    report.path.iter().find(is).unwrap().status
}

#[test]
fn a_connection_that_opens_is_healthy_whatever_else_is_configured() {
    let mut evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
    evidence.containers[0] = container("app").env(&["X_URL=http://localhost:1234"]);
    let report = diagnose(&connects(evidence, 80, open())).unwrap();
    assert_eq!(report.outcome, Outcome::Healthy, "{report:#?}");
    assert_eq!(report.summary, "`app` to `db:80`: works");
}

#[test]
fn what_was_not_seen_is_undecided_and_never_works() {
    let mut evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
    let report = diagnose(&evidence).unwrap();
    assert_eq!(report.outcome, Outcome::Undecided);
    assert_eq!(status(&report, StepKind::Connect), CheckStatus::Undecided);
    evidence.visits.clear();
    let report = diagnose(&evidence).unwrap();
    assert_eq!(report.outcome, Outcome::Undecided);
    assert!(!report.undecided.is_empty());
}

#[test]
fn both_ends_fine_and_no_connection_is_told_with_what_is_known() {
    let evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
    for errno in [Errno::TimedOut, Errno::Refused] {
        let report = diagnose(&connects(evidence.clone(), 80, failed(errno))).unwrap();
        assert_eq!(report.outcome, Outcome::Undecided);
        assert_eq!(report.undecided[0].code, "connect");
        assert!(report.undecided[0].needs.contains("both ends look fine"));
    }
}

#[test]
fn a_listener_on_an_address_to_which_nobody_comes_is_none_for_them() {
    for (at, expected) in [
        ("172.18.0.3:80", CheckStatus::Ok),
        ("172.19.0.3:80", CheckStatus::Problem),
    ] {
        let evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, at)]);
        let report = diagnose(&connects(evidence, 80, failed(Errno::Refused))).unwrap();
        assert_eq!(status(&report, StepKind::Listener), expected, "{at}");
    }
}

#[test]
fn a_machine_that_refuses_is_no_firewall_between() {
    let place = Target::new("10.9.9.9", 80, Protocol::Tcp);
    let mut evidence = world(container("app")).sees(snapshot());
    evidence.request.target = Some(place);
    let question = Question::Connect {
        to: (ip("10.9.9.9"), 80).into(),
        listen_ms: 30,
    };
    for (errno, words) in [
        (Errno::Refused, "nothing listens there on that port"),
        (Errno::TimedOut, "something between them stops it"),
    ] {
        let answer = Answer::Connect(failed(errno));
        let report = diagnose(&evidence.clone().answered(question.clone(), answer)).unwrap();
        let needs = &report.undecided[0].needs;
        assert!(needs.contains(words), "{needs}");
    }
}

#[test]
fn silence_of_udp_is_delivery_only_where_something_listens() {
    let question = Question::Datagram {
        to: (ip(DB), 53).into(),
        wait_ms: 200,
    };
    let silent = || Answer::Datagram(Delivered::Silent);
    let heard = pair(53, Protocol::Udp, &[(Protocol::Udp, "0.0.0.0:53")]);
    let report = diagnose(&heard.answered(question.clone(), silent())).unwrap();
    assert_eq!(report.outcome, Outcome::Healthy, "{report:#?}");
    let unheard = pair(53, Protocol::Udp, &[]);
    let report = diagnose(&unheard.clone().answered(question.clone(), silent())).unwrap();
    assert_eq!(report.findings[0].code, "nothing-listens");
    let mut unseen = unheard.answered(question, silent());
    unseen
        .visits
        .retain(|visit| visit.from != Viewpoint::Container(id_of("db")));
    let report = diagnose(&unseen).unwrap();
    assert_eq!(report.outcome, Outcome::Undecided, "{report:#?}");
}

#[test]
fn a_stopped_target_is_told_once() {
    let mut evidence = pair(80, Protocol::Tcp, &[]);
    evidence.containers[1].status = Status::Exited;
    let report = diagnose(&evidence).unwrap();
    let codes: Vec<_> = report.findings.iter().map(|f| f.code.as_str()).collect();
    assert_eq!(codes, ["container-not-running"]);
}

#[test]
fn several_pairs_are_judged_each_by_itself() {
    let mut evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
    let other = Target {
        port: 81,
        ..evidence.request.target.clone().unwrap()
    };
    evidence.request.more.push(other);
    let evidence = connects(evidence, 80, open());
    let mut evidence = connects(evidence, 81, failed(Errno::Refused));
    let pairs = diagnose_pairs(&evidence).unwrap();
    let outcomes: Vec<_> = pairs.pairs.iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Healthy, Outcome::Problems]);
    assert_eq!(pairs.outcome, Outcome::Problems);
    let alone = diagnose(&evidence.of_pair(evidence.request.target.as_ref().unwrap()));
    assert_eq!(alone.as_ref(), Ok(&pairs.pairs[0]));
    // What could not be tried is never fine.
    evidence.request.more.clear();
    assert_eq!(diagnose_pairs(&evidence).unwrap().outcome, Outcome::Healthy);
    evidence.request.refused.push(Refused {
        target: "x\u{1b}".into(),
        why: "y".into(),
        cause: Cause::Words,
    });
    let pairs = diagnose_pairs(&evidence).unwrap();
    assert_eq!(pairs.outcome, Outcome::Undecided);
    assert_eq!(pairs.refused[0].target, "x\\u{1b}");
}

#[test]
fn without_a_port_only_a_state_is_told_and_nothing_works() {
    let mut evidence = pair(0, Protocol::Tcp, &[]);
    let plan = plan::pair(&evidence);
    let mut asks = plan.into_values().flatten();
    assert!(!asks.any(|question| matches!(question, Question::Connect { .. })));
    let report = diagnose(&evidence).unwrap();
    assert_eq!(report.outcome, Outcome::Undecided, "{report:#?}");
    evidence.containers[1].status = Status::Exited;
    let report = diagnose(&evidence).unwrap();
    assert_eq!(report.findings[0].code, "container-not-running");
    assert!(report.summary.starts_with("`app` to `db`: "), "{report:#?}");
}

#[test]
fn from_the_engines_host_only_causes_at_the_target_are_told() {
    let mut evidence = pair(80, Protocol::Tcp, &[]);
    evidence.containers.push(Container::engine_host());
    evidence.request.container = ENGINE_HOST.into();
    if let Some(target) = &mut evidence.request.target {
        target.host = DB.into();
    }
    let question = Question::Connect {
        to: (ip(DB), 80).into(),
        listen_ms: 1,
    };
    assert!(plan::pair(&evidence)[&Viewpoint::Host].contains(&Question::Snapshot));
    let answer = Answer::Connect(failed(Errno::Refused));
    let evidence = evidence.answered_from(Viewpoint::Host, question, answer);
    let report = diagnose(&evidence).unwrap();
    let codes: Vec<_> = report.findings.iter().map(|f| f.code.as_str()).collect();
    assert_eq!(codes, ["nothing-listens"]);
    assert_eq!(status(&report, StepKind::Network), CheckStatus::Ok);
    assert!(report.summary.starts_with("the engine's host to"));
}

#[test]
fn a_container_is_meant_by_name_alias_address_and_id() {
    let mut evidence = pair(80, Protocol::Tcp, &[]);
    evidence.containers[1] = container("db").on("my_network", DB).alias("store");
    for host in ["db", "DB.", "store", DB, &id_of("db")] {
        evidence.request.target = Some(Target::new(host, 80, Protocol::Tcp));
        let meant = evidence.meant_by_target().map(|meant| meant.name.as_str());
        assert_eq!(meant, Some("db"), "{host}");
    }
    for (host, name) in [("localhost", Some("app")), ("nobody", None)] {
        evidence.request.target = Some(Target::new(host, 80, Protocol::Tcp));
        let meant = evidence.meant_by_target().map(|meant| meant.name.as_str());
        assert_eq!(meant, name, "{host}");
    }
}

#[test]
fn the_plan_ends_and_asks_nothing_of_the_internet() {
    let mut evidence = pair(80, Protocol::Tcp, &[(Protocol::Tcp, "0.0.0.0:80")]);
    let plan = plan::pair(&evidence);
    let app = &plan[&Viewpoint::Container(id_of("app"))];
    assert!(
        app.iter()
            .any(|question| matches!(question, Question::Connect { to, .. } if to.ip() == ip(DB))),
        "{app:?}"
    );
    let db = &plan[&Viewpoint::Container(id_of("db"))];
    assert!(matches!(db[..], [Question::Accepts { .. }]), "{db:?}");
    // Answered, whatever the answer: not asked again.
    for (viewpoint, questions) in plan {
        for question in questions {
            let answer = match &question {
                Question::Snapshot => Answer::Snapshot(snapshot()),
                _ => Answer::Connect(failed(Errno::Refused)),
            };
            evidence = evidence.answered_from(viewpoint.clone(), question, answer);
        }
    }
    assert!(plan::pair(&evidence).is_empty());
    // The host's server is on the internet, and the name is no container's.
    let server = Snapshot {
        resolv_conf: Ok(netcheck_probe::ResolvConf {
            nameservers: vec![ip("8.8.8.8")],
            ..Default::default()
        }),
        ..snapshot()
    };
    let names = |host: &str| -> Vec<String> {
        let mut evidence = world(container("app")).sees(snapshot()).answered_from(
            Viewpoint::Host,
            Question::Snapshot,
            Answer::Snapshot(server.clone()),
        );
        evidence.request.target = Some(Target::new(host, 443, Protocol::Tcp));
        plan::pair(&evidence)
            .into_values()
            .flatten()
            .filter_map(|question| match question {
                Question::Lookup { name } => Some(name),
                Question::Query {
                    name,
                    record: RecordType::A | RecordType::Aaaa,
                    ..
                } => Some(name),
                _ => None,
            })
            .collect()
    };
    assert_eq!(names("mysqldb"), [""; 0]);
    assert_eq!(names("api.example.com"), ["api.example.com"]);
}
