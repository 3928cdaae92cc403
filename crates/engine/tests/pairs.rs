//! Pairs on the real engine: each fault between two containers is made, and the one true cause is
//! named by both ways of looking in; healthy pairs are silent.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use std::time::Duration;

use netcheck_diagnose::evidence::Evidence;
use netcheck_diagnose::probe::Protocol;
use netcheck_diagnose::render::text;
use netcheck_diagnose::report::{CheckStatus, Outcome, Report, StepKind};
use netcheck_diagnose::request::{Talk, Target};
use netcheck_engine::{Deadline, PairOptions, ProbeMode, Run, gather_pair};
use world::{World, address, client, docker, record};

/// By both ways: what works by one and not by the other is a fault of ours.
const WAYS: [ProbeMode; 2] = [ProbeMode::Netns, ProbeMode::Helper];

async fn evidence(from: &str, target: Target, probe: ProbeMode) -> Evidence {
    let client = client().await;
    let run = Run::new(None);
    let options = PairOptions {
        from: from.into(),
        target,
        probe,
    };
    let deadline = Deadline::after(Duration::from_secs(10));
    let evidence = gather_pair(&client, &options, &run, deadline, &|_| {})
        .await
        .unwrap();
    let left = run
        .clean_up(&client, Deadline::after(Duration::from_secs(5)))
        .await;
    left.unwrap();
    evidence
}

fn tcp(host: &str, port: u16) -> Target {
    Target::new(host, port, Protocol::Tcp)
}

fn udp(host: &str, port: u16) -> Target {
    Target::new(host, port, Protocol::Udp)
}

fn shown(report: &Report) -> String {
    let style = text::Style {
        color: false,
        width: 100,
        verbose: false,
        quiet: false,
        unicode: true,
    };
    let mut out = Vec::new();
    text::write(report, &style, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn roots(report: &Report) -> Vec<&str> {
    report
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}

/// The fault is the one root cause, and the path has a problem.
async fn is_named(from: &str, target: Target, code: &str) -> Report {
    let mut reports = Vec::new();
    for way in WAYS {
        let evidence = evidence(from, target.clone(), way).await;
        let report = netcheck_diagnose::diagnose(&evidence).unwrap();
        assert_eq!(roots(&report), [code], "{way:?}\n{}", shown(&report));
        assert_eq!(report.outcome, Outcome::Problems);
        let finding = &report.findings[0];
        assert!(
            !finding.evidence.is_empty() && !finding.fixes.is_empty(),
            "{finding:#?}"
        );
        reports.push(report);
    }
    reports.swap_remove(0)
}

/// Runs the commands of the first fix that has some, as a user would paste them, and sees the pair
/// work.
async fn is_healed(from: &str, target: Target, report: &Report) {
    let fixes = &report.findings[0].fixes;
    let fix = fixes.iter().find(|fix| !fix.commands.is_empty()).unwrap();
    let script = fix.commands.join("\n");
    let status = std::process::Command::new("bash")
        .args(["-e", "-c", &script])
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the printed fix failed:\n{script}");
    world::settle(&[from, &target.host]);
    is_silent(from, target).await;
}

async fn is_silent(from: &str, target: Target) {
    for way in WAYS {
        let evidence = evidence(from, target.clone(), way).await;
        let report = netcheck_diagnose::diagnose(&evidence).unwrap();
        assert_eq!(
            report.outcome,
            Outcome::Healthy,
            "{way:?}\n{}",
            shown(&report)
        );
    }
}

fn saw(report: &Report, kind: StepKind) -> (CheckStatus, &str) {
    let step = report.path.iter().find(|step| step.step == kind).unwrap();
    (step.status, &step.saw)
}

#[tokio::test]
async fn a_name_on_a_common_network_is_silent() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).tcp(3306));
    is_silent(&app, tcp(&db, 3306)).await;
    let seen = evidence(&app, tcp(&db, 3306), ProbeMode::Netns).await;
    record(&world, &seen, "healthy", "pair");
    let by_address = address(&db, network.real_name());
    is_silent(&app, tcp(&by_address, 3306)).await;
}

#[tokio::test]
async fn an_alias_a_banner_and_oneself_are_silent() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network).tcp(([127, 0, 0, 1], 9000)));
    world.run("db", |n| n.on(network.alias("store")).banner(3306));
    is_silent(&app, tcp("store", 3306)).await;
    is_silent(&app, tcp("localhost", 9000)).await;
}

#[tokio::test]
async fn udp_that_answers_or_listens_is_silent() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let dns = world.run("dns", |n| n.on(&network).udp(5353));
    is_silent(&app, udp(&dns, 5353)).await;
}

#[tokio::test]
async fn a_wrong_port_names_the_ones_that_are_open() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).tcp(8080));
    let report = is_named(&app, tcp(&db, 3306), "wrong-port").await;
    let seen = evidence(&app, tcp(&db, 3306), ProbeMode::Netns).await;
    record(&world, &seen, "wrong-port", "another-is-open");
    let text = &report.findings[0].fixes[0].text;
    assert_eq!(*text, format!("Use what is open there: `{db}:8080`"));
    assert_eq!(saw(&report, StepKind::Connect).0, CheckStatus::Problem);
    let drawn = format!("{app} ── {} ──✗ {db}:3306", network.real_name());
    assert!(shown(&report).contains(&drawn), "{}", shown(&report));
    // UDP where nobody listens is refused by ICMP.
    is_named(&app, udp(&db, 8081), "wrong-port").await;
    is_named(&app, udp(&db, 8080), "transport-mismatch").await;
}

fn talks(host: &str, port: u16, talk: Talk) -> Target {
    Target {
        talk: Some(talk),
        ..tcp(host, port)
    }
}

#[tokio::test]
async fn a_server_that_closes_at_once() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).word("close=0.0.0.0:3306"));
    let code = "connection-closed-at-once";
    let target = talks(&db, 3306, Talk::ServerFirst);
    let report = is_named(&app, target.clone(), code).await;
    let (status, words) = saw(&report, StepKind::Connect);
    assert_eq!(status, CheckStatus::Problem);
    assert!(words.ends_with("closed at once"), "{words}");
    let seen = evidence(&app, target, ProbeMode::Netns).await;
    record(&world, &seen, code, "before-a-greeting");
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).tcp(3306).banner(22));
    let code = "server-says-nothing";
    let target = talks(&db, 3306, Talk::ServerFirst);
    let report = is_named(&app, target.clone(), code).await;
    let (status, words) = saw(&report, StepKind::Connect);
    assert_eq!(status, CheckStatus::Ok);
    assert!(words.contains("nothing was said"), "{words}");
    let seen = evidence(&app, target, ProbeMode::Netns).await;
    record(&world, &seen, code, "mysql");
    // A port alone proves nothing of who serves there; one that greets is what is expected.
    is_silent(&app, tcp(&db, 3306)).await;
    is_silent(&app, talks(&db, 22, Talk::ServerFirst)).await;
}

#[tokio::test]
async fn plain_http_where_the_scheme_says_tls() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let web = world.run("web", |n| n.on(&network).http(8080).tcp(8443));
    let code = "plain-http-on-tls";
    let target = talks(&web, 8080, Talk::Tls);
    let report = is_named(&app, target.clone(), code).await;
    let (status, words) = saw(&report, StepKind::Connect);
    assert_eq!(status, CheckStatus::Problem);
    assert!(words.contains("answered with plain HTTP"), "{words}");
    let fix = &report.findings[0].fixes[0].text;
    assert!(fix.ends_with(&format!("http://{web}:8080")), "{fix}");
    let seen = evidence(&app, target, ProbeMode::Netns).await;
    record(&world, &seen, code, "https");
    is_silent(&app, tcp(&web, 8080)).await;
    // What sends the hello back speaks no HTTP at least.
    is_silent(&app, talks(&web, 8443, Talk::Tls)).await;
}

#[tokio::test]
async fn nothing_listens_at_all() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network));
    is_named(&app, tcp(&db, 3306), "nothing-listens").await;
    is_named(&app, udp(&db, 53), "nothing-listens").await;
}

#[tokio::test]
async fn a_listener_on_loopback_only() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    // The other port is fine and was not asked for; nor was the second one on the loopback.
    let db = world.run("db", |n| {
        n.on(&network)
            .tcp(([127, 0, 0, 1], 3306))
            .tcp(80)
            .tcp(([127, 0, 0, 1], 9999))
    });
    let report = is_named(&app, tcp(&db, 3306), "listens-on-loopback-only").await;
    is_healed(&app, tcp(&db, 3306), &report).await;
    is_silent(&app, tcp(&db, 80)).await;
}

#[tokio::test]
async fn a_listener_for_ipv6_only() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).v6only(3306));
    is_named(&app, tcp(&db, 3306), "listens-on-ipv6-only").await;
}

#[tokio::test]
async fn a_process_that_does_not_accept() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).hang(3306));
    let report = is_named(&app, tcp(&db, 3306), "process-does-not-accept").await;
    assert_eq!(saw(&report, StepKind::Listener).0, CheckStatus::Problem);
}

#[tokio::test]
async fn the_target_is_stopped_paused_or_not_there() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).tcp(3306));
    docker(&["stop", "-t", "0", &db]);
    let report = is_named(&app, tcp(&db, 3306), "container-not-running").await;
    is_healed(&app, tcp(&db, 3306), &report).await;
    docker(&["pause", &db]);
    let report = is_named(&app, tcp(&db, 3306), "container-paused").await;
    is_healed(&app, tcp(&db, 3306), &report).await;
    let slip = world.name("bd");
    is_named(&app, tcp(&slip, 3306), "name-unknown").await;
    let seen = evidence(&app, tcp(&slip, 3306), ProbeMode::Netns).await;
    record(&world, &seen, "name-unknown", "no-such-container");
}

#[tokio::test]
async fn two_networks() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let app = world.run("app", |n| n.on(&one));
    let db = world.run("db", |n| n.on(&two).tcp(3306));
    let report = is_named(&app, tcp(&db, 3306), "no-shared-network").await;
    let by_address = address(&db, two.real_name());
    is_named(&app, tcp(&by_address, 3306), "no-shared-network").await;
    is_healed(&app, tcp(&db, 3306), &report).await;
}

#[tokio::test]
async fn an_alias_of_another_network() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let app = world.run("app", |n| n.on(&one));
    let db = world.run("db", |n| n.on(&one).tcp(3306));
    let store = world.name("store");
    docker(&[
        "network",
        "connect",
        "--alias",
        &store,
        two.real_name(),
        &db,
    ]);
    let code = "name-known-on-another-network-only";
    let report = is_named(&app, tcp(&store, 3306), code).await;
    let fix = &report.findings[0].fixes[0].commands[1];
    assert!(fix.contains(&format!("--alias {store} ")), "{fix}");
}

#[tokio::test]
async fn a_name_on_the_default_bridge() {
    let world = World::new();
    let app = world.run("app", |n| n);
    let db = world.run("db", |n| n.tcp(3306));
    is_named(&app, tcp(&db, 3306), "default-bridge-has-no-dns").await;
    let by_address = address(&db, "bridge");
    is_silent(&app, tcp(&by_address, 3306)).await;
}

#[tokio::test]
async fn the_hosts_port_between_containers() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let api = world.run("api", |n| {
        n.on(&network)
            .publish_at(netcheck_testkit::tcp(80), ([127, 0, 0, 1], 0))
            .tcp(80)
    });
    let published = docker(&["port", &api, "80/tcp"]);
    let port = published.rsplit_once(':').unwrap().1.parse().unwrap();
    let report = is_named(&app, tcp(&api, port), "host-port-used-between-containers").await;
    let fix = &report.findings[0].fixes[0].text;
    assert!(fix.contains(&format!("`{api}:80`")), "{fix}");
}

#[tokio::test]
async fn a_hosts_line_that_leads_to_somebody_else() {
    let world = World::new();
    let network = world.network("net");
    let thief = world.run("thief", |n| n.on(&network).tcp(80));
    let db = world.run("db", |n| n.on(&network).tcp(3306));
    let app = world.run("app", |n| {
        n.on(&network)
            .add_host(&db, &address(&thief, network.real_name()))
    });
    let report = is_named(&app, tcp(&db, 3306), "hosts-file-overrides-dns").await;
    let (status, words) = saw(&report, StepKind::Name);
    assert_eq!(status, CheckStatus::Problem);
    assert!(words.contains(&format!("that of `{thief}`")), "{words}");
}

#[tokio::test]
async fn an_address_that_is_nobodys() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).tcp(3306));
    let old = address(&db, network.real_name());
    docker(&["rm", "-f", &db]);
    is_named(&app, tcp(&old, 3306), "stale-container-address").await;
}

#[tokio::test]
async fn a_name_that_means_two() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    world.run("one", |n| n.on(network.alias("store")).tcp(3306));
    world.run("two", |n| n.on(network.alias("store")).tcp(3306));
    let code = "alias-shared-by-several-containers";
    is_named(&app, tcp("store", 3306), code).await;
    // That one of them does not serve the port is what makes it hurt, and not another problem.
    world.run("a-idler", |n| n.on(network.alias("store")));
    is_named(&app, tcp("store", 3306), code).await;
}

#[tokio::test]
async fn oneself_is_not_the_other() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let port = 40000 + u16::try_from(std::process::id() % 20000).unwrap();
    is_named(
        &app,
        tcp("localhost", port),
        "localhost-means-the-container",
    )
    .await;
}

#[tokio::test]
async fn what_something_in_between_drops_is_undecided_and_says_what_is_known() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).tcp(3306));
    // In the target's own namespace, which goes with it: packets to the port vanish.
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &db]);
    let words = [
        "-t", &pid, "-n", "iptables", "-A", "INPUT", "-p", "tcp", "--dport", "3306", "-s",
    ];
    let status = std::process::Command::new("nsenter")
        .args(words)
        .args([&address(&app, network.real_name()), "-j", "DROP"])
        .status()
        .unwrap();
    assert!(status.success());
    for way in WAYS {
        let evidence = evidence(&app, tcp(&db, 3306), way).await;
        let report = netcheck_diagnose::diagnose(&evidence).unwrap();
        assert_eq!(roots(&report), [""; 0], "{}", shown(&report));
        assert_eq!(report.outcome, Outcome::Undecided);
        let needs = &report.undecided[0].needs;
        assert!(needs.contains("both ends look fine"), "{}", shown(&report));
    }
}

#[tokio::test]
async fn without_a_look_inside_nothing_is_said_to_work() {
    let world = World::new();
    let network = world.network("net");
    let app = world.run("app", |n| n.on(&network));
    let db = world.run("db", |n| n.on(&network).tcp(3306));
    let evidence = evidence(&app, tcp(&db, 3306), ProbeMode::None).await;
    let report = netcheck_diagnose::diagnose(&evidence).unwrap();
    assert_eq!(report.outcome, Outcome::Undecided, "{}", shown(&report));
}
