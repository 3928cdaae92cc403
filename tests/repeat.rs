//! `docker netcheck --count N` and `--for TIME` on the real engine: what works always is told with its
//! times, what works sometimes is found, and each cause is told from the others.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod call;
mod world;

use std::net::IpAddr;

use call::{Ended, netcheck, run};
use netcheck_diagnose::report::{CheckStatus, Outcome, Pairs, Report, StepKind};
use netcheck_testkit::{Builder, Link, Node};
use world::{World, roots, show};

/// The reports of a run with `--format json`.
#[track_caller]
fn ask(words: &[&str]) -> (Vec<Report>, Ended) {
    let mut all = vec!["--format", "json"];
    all.extend(words);
    let ended = run(&mut netcheck(&all));
    let pairs: Pairs = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("no report: {error}\n{ended:#?}"));
    (pairs.pairs, ended)
}

/// The one report of a run.
#[track_caller]
fn one(words: &[&str]) -> Report {
    let (mut reports, ended) = ask(words);
    assert_eq!(reports.len(), 1, "{ended:#?}");
    reports.swap_remove(0)
}

/// The same, and recorded as the scenario of its finding where that is wanted.
#[track_caller]
fn recorded(world: &World, words: &[&str], code: &str, case: &str) -> Report {
    let evidence = world.folder().join("evidence.json");
    let mut all = vec!["--save-evidence", evidence.to_str().unwrap()];
    all.extend(words);
    let report = one(&all);
    world.record(code, case);
    report
}

fn saw(report: &Report) -> (CheckStatus, &str) {
    let step = report.path.last().unwrap();
    assert_eq!(step.step, StepKind::Repeated);
    (step.status, &step.saw)
}

fn replica(number: &'static str) -> impl Fn(Builder<Node>) -> Builder<Node> {
    move |node| {
        node.label("com.docker.compose.project", "shop")
            .label("com.docker.compose.service", "web")
            .label("com.docker.compose.container-number", number)
    }
}

#[test]
fn what_always_works_is_told_with_its_times() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(80).udp(53));
    for way in ["netns", "helper"] {
        for port in ["80", "53/udp"] {
            let target = format!("{db}:{port}");
            let report = one(&["--probe", way, "--count", "12", &app, &target]);
            assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
            assert_eq!(saw(&report).0, CheckStatus::Ok, "{}", show(&report));
            let numbers = report.repeated.unwrap();
            let counts = (numbers.wanted, numbers.attempts, numbers.resolved);
            assert_eq!(counts, (12, 12, 12), "{numbers:?}");
            assert_eq!(numbers.connected, 12);
            assert_eq!(numbers.ended_early, None);
            let (resolve, connect) = (numbers.resolve.unwrap(), numbers.connect.unwrap());
            for times in [resolve, connect] {
                assert!(times.median_us > 0, "{times:?}");
                assert!(times.median_us <= times.p95_us && times.p95_us <= times.p99_us);
                assert!(times.p99_us <= times.max_us && times.max_us < 1_000_000);
            }
            let address = &numbers.addresses[0];
            assert_eq!((address.tried, address.connected), (12, 12));
        }
    }
}

#[test]
fn several_targets_and_the_host_for_a_while() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(80).tcp(81));
    for from in [&app, "host"] {
        let (reports, ended) = ask(&["--for", "1500ms", from, &db]);
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert_eq!(reports.len(), 2);
        for report in reports {
            let numbers = report.repeated.unwrap();
            assert_eq!((numbers.attempts, numbers.connected), (15, 15));
        }
    }
}

#[test]
fn what_never_works_keeps_its_cause() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(80));
    let report = one(&["--count", "5", &app, &format!("{db}:81")]);
    assert_eq!(roots(&report), ["wrong-port"], "{}", show(&report));
    let (status, words) = saw(&report);
    assert_eq!(status, CheckStatus::Problem);
    assert!(words.contains("5 × connection refused"), "{words}");
}

#[test]
fn a_stopped_client_tries_nothing_and_says_why() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(80));
    world.docker(&["stop", &app]);
    let report = one(&["--count", "5", &app, &format!("{db}:80")]);
    assert_eq!(roots(&report), ["container-not-running"]);
    let numbers = report.repeated.unwrap();
    assert_eq!(numbers.attempts, 0);
    assert_eq!(
        numbers.ended_early.as_deref(),
        Some(format!("`{app}` does not run").as_str())
    );
}

#[test]
fn connects_sometimes_a_server_that_turns_every_second_client_away() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).word("some=0.0.0.0:80"));
    let target = format!("{db}:80");
    for way in ["netns", "helper"] {
        let words = ["--probe", way, "--count", "10", &app, &target];
        let report = recorded(&world, &words, "connects-sometimes", "every-second");
        assert_eq!(roots(&report), ["connects-sometimes"], "{}", show(&report));
        let numbers = report.repeated.as_ref().unwrap();
        assert_eq!(numbers.failures[0].what, "connected, and closed at once");
        assert!(numbers.connected > 0 && numbers.connected < 10);
        world.paste(&report.findings[0].fixes[0].commands);
    }
}

#[test]
fn connects_sometimes_one_replica_of_two_is_dead() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    world.run("web-2", |n| replica("2")(n).on(net.alias("web")));
    world.run("web-1", |n| replica("1")(n).on(net.alias("web")).tcp(80));
    let dead = world.name("web-2");
    let report = one(&["--count", "20", &app, "web:80"]);
    let found = roots(&report);
    // The name means either of them; the one that nothing listens in is found by itself, too.
    assert!(
        found == ["connects-sometimes"] || found == ["nothing-listens"],
        "{}",
        show(&report)
    );
    let all = serde_json::to_string(&report).unwrap();
    assert!(all.contains("connects-sometimes"), "{}", show(&report));
    assert!(all.contains(&dead), "{}", show(&report));
    let in_turn = report.engine.unwrap().starts_with("Docker ");
    let numbers = report.repeated.unwrap();
    // Docker's DNS gives the addresses in turn, podman's always in one order.
    let tried = if in_turn { 2 } else { 1 };
    assert_eq!(numbers.addresses.len(), tried, "{numbers:?}");

    // Without the dead one it works each time.
    world.docker(&["rm", "--force", &dead]);
    let healed = one(&["--count", "10", &app, "web:80"]);
    assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
}

#[test]
fn accept_queue_overflows_where_a_program_is_slow() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).word("slow=0.0.0.0:80"));
    let target = format!("{db}:80");
    let words = ["--count", "20", &app, &target];
    let report = recorded(&world, &words, "accept-queue-overflows", "slow");
    assert_eq!(
        roots(&report),
        ["accept-queue-overflows"],
        "{}",
        show(&report)
    );
}

#[test]
fn packet_loss_on_the_way() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(80));
    let target = format!("{db}:80");
    // Two in five are lost: of thirty tries some lose their SYN and some do not, and a name server's
    // answer is not touched.
    let link = Link::new("app", "db").loss(0.4).seed(7);
    let fault = world.lab().fault(link).wait().unwrap();
    for way in ["netns", "helper"] {
        let words = ["--probe", way, "--count", "30", &app, &target];
        let report = recorded(&world, &words, "packet-loss", "two-in-five");
        assert_eq!(roots(&report), ["packet-loss"], "{}", show(&report));
    }
    fault.heal().wait().unwrap();
    let healed = one(&["--count", "30", &app, &target]);
    assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
}

#[test]
fn name_resolves_sometimes_where_a_server_fails_at_times() {
    let world = World::new();
    let net = world.network("net");
    let ns = world.run("ns", |n| n.on(&net).word("dns-some=0.0.0.0:53"));
    let server: IpAddr = world.address("ns").parse().unwrap();
    let app = world.run("app", |n| n.on(&net).dns(&[server]));
    let steady = world.run("steady", |n| n.on(&net).word("dns=0.0.0.0:53"));
    let other: IpAddr = world.address("steady").parse().unwrap();
    let calm = world.run("calm", |n| n.on(&net).dns(&[other]));
    let words = ["--for", "3s", &app, "db.example:80"];
    let report = recorded(&world, &words, "name-resolves-sometimes", "servfail");
    assert_eq!(
        report.findings[0].code,
        "name-resolves-sometimes",
        "{}",
        show(&report)
    );
    let numbers = report.repeated.as_ref().unwrap();
    assert!(numbers.resolved > 0 && numbers.resolved < numbers.attempts);
    let words = &numbers.failures;
    assert!(
        words.iter().any(|one| one.what.contains("SERVFAIL")),
        "{words:?}"
    );
    assert!(!report.findings[0].fixes[0].commands.is_empty());

    // A server that always answers.
    let report = one(&["--for", "3s", &calm, "db.example:80"]);
    let numbers = report.repeated.as_ref().unwrap();
    assert_eq!(numbers.resolved, numbers.attempts, "{}", show(&report));
    let all = serde_json::to_string(&report).unwrap();
    assert!(
        !all.contains("name-resolves-sometimes"),
        "{}",
        show(&report)
    );
    drop((ns, steady));
}

#[test]
fn words_that_are_none() {
    for words in [
        &["--count", "0", "app", "db:80"][..],
        &["--count", "1201", "app", "db:80"],
        &["--count", "x", "app", "db:80"],
        &["--for", "3m", "app", "db:80"],
        &["--for", "500ms", "app", "db:80"],
        &["--count", "5", "--for", "5s", "app", "db:80"],
        &["--count", "5", "app"],
        &["--for", "5s", "app"],
        &["--probe", "none", "--count", "5", "app", "db:80"],
    ] {
        let ended = run(&mut netcheck(words));
        assert_eq!(ended.code, Some(125), "{words:?}: {ended:#?}");
        assert_eq!(ended.stdout, "");
    }
}
