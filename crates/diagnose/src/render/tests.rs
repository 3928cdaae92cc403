//! Reports for the tests of the renderers: a sick one, a healthy one, and one of the worst kind.

mod looks;
mod promises;
#[cfg(feature = "schema")]
mod schema;

use super::text::Style;
use super::{json, markdown, text};
use crate::report::{
    CheckLine, CheckStatus, Explained, Finding, Fix, Outcome, Report, SCHEMA_VERSION, Severity,
    Subject, Undecided, VisitNote,
};
use crate::rule::Check;

fn line(check: Check, status: CheckStatus, from: &str, saw: &str) -> CheckLine {
    CheckLine {
        check,
        status,
        asked: format!("about {}", check.label()),
        from: from.into(),
        saw: saw.into(),
        details: Vec::new(),
    }
}

fn open(code: &str, needs: &str) -> Undecided {
    Undecided {
        code: code.into(),
        needs: needs.into(),
    }
}

fn sick() -> Report {
    let mut state = line(
        Check::State,
        CheckStatus::Ok,
        "the Engine API",
        "running for 3 min, healthy",
    );
    state.details = vec!["image mysql:8".into()];
    Report {
        schema_version: SCHEMA_VERSION,
        outcome: Outcome::Problems,
        summary: "`mysql-db`: the service listens on 127.0.0.1 only".into(),
        subject: Subject::container("mysql-db"),
        engine: Some("Docker 20.10.24".into()),
        path: Vec::new(),
        repeated: None,
        checks: vec![
            state,
            line(
                Check::Networks,
                CheckStatus::Ok,
                "the Engine API",
                "my_network: 172.18.0.2 (bridge), alias db",
            ),
            line(
                Check::Listening,
                CheckStatus::Problem,
                "mysql-db",
                "127.0.0.1:3306/tcp (mysqld): only from inside",
            ),
            line(
                Check::Published,
                CheckStatus::Skipped,
                "the engine's host",
                "3306/tcp is exposed, not published: reachable on its networks, not from the host",
            ),
            line(
                Check::Outbound,
                CheckStatus::Undecided,
                "mysql-db",
                "DNS 127.0.0.11 does not answer",
            ),
        ],
        findings: vec![Finding {
            code: "listens-on-loopback-only".into(),
            severity: Severity::Error,
            title: "the service listens on 127.0.0.1 only".into(),
            problem: "`mysql-db` listens on port 3306 on 127.0.0.1 only, so that only programs of the same container reach it".into(),
            subjects: vec![Subject::container("mysql-db"), Subject::port("3306/tcp")],
            evidence: vec![
                "seen from `mysql-db`: tcp 127.0.0.1:3306, nothing on 0.0.0.0".into(),
                "from `app`: connection refused".into(),
            ],
            fixes: vec![
                Fix::new(
                    "Make it listen on all addresses: create it again with that change",
                    vec![
                        "docker stop mysql-db".into(),
                        "docker rename mysql-db mysql-db-old".into(),
                        "docker run -d --name mysql-db --network my_network --network-alias db -v mysql-data:/var/lib/mysql mysql:8 --bind-address=0.0.0.0".into(),
                    ],
                ),
                Fix::new("Set `bind-address = 0.0.0.0` in my.cnf", Vec::new()),
            ],
            explains: vec![Explained {
                code: "published-port-nobody-listens".into(),
                problem: "port 3306 of the host leads to nobody".into(),
            }],
        }],
        undecided: vec![
            open("dns-server-unreachable", "a look from inside: no helper image"),
            open("host-has-no-route", "the host's routes"),
            open("no-way-out", "a look from inside: no helper image"),
        ],
        visits: vec![VisitNote {
            from: "mysql-db".into(),
            how: "netns".into(),
            took_ms: 12,
        }],
    }
}

fn healthy() -> Report {
    Report {
        outcome: Outcome::Healthy,
        summary: "`mysql-db`: no problem found".into(),
        engine: None,
        path: Vec::new(),
        repeated: None,
        checks: Vec::new(),
        findings: Vec::new(),
        undecided: Vec::new(),
        visits: Vec::new(),
        ..sick()
    }
}

/// Foreign text of the worst kind in every place of a report.
fn hostile() -> Report {
    let evil = "a\x1b[31mb\u{202e}c\u{9b}2Jd\ne|f`g<img src=x>[h](http://i)\u{200b}";
    let mut report = sick();
    report.summary = evil.into();
    report.subject.name = evil.into();
    report.engine = Some(evil.into());
    for check in &mut report.checks {
        check.asked = evil.into();
        check.from = evil.into();
        check.saw = evil.into();
        check.details = vec![evil.into()];
    }
    for finding in &mut report.findings {
        finding.code = evil.into();
        finding.problem = evil.into();
        finding.evidence = vec![evil.into()];
        finding.fixes = vec![Fix::new(evil, vec![evil.into(), "a ```` b".into()])];
        finding.explains = vec![Explained {
            code: evil.into(),
            problem: evil.into(),
        }];
    }
    report.undecided = vec![open(evil, evil)];
    report.visits[0].from = evil.into();
    report.visits[0].how = evil.into();
    report
}

const PLAIN: Style = Style {
    color: false,
    width: 80,
    verbose: false,
    quiet: false,
    unicode: true,
};

fn text(report: &Report, style: Style) -> String {
    let mut out = Vec::new();
    text::write(report, &style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn markdown(report: &Report) -> String {
    let mut out = Vec::new();
    markdown::write(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(report: &Report) -> String {
    let mut out = Vec::new();
    json::write(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Without what only colours, as a terminal would show it.
fn without_color(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').unwrap().1);
    }
    plain
}
