//! Two failures at once, on the real engine: both are root causes where one does not follow from
//! the other, and the cause alone where it does. It must never be satisfied with "at least one".
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod call;
mod world;

use std::net::TcpListener;

use call::{netcheck, run};
use netcheck_diagnose::report::{Outcome, Pairs, Report};
use netcheck_testkit::tcp;
use world::{World, free_port, roots, show};

fn ask(from: &str, target: &str) -> Report {
    let ended = run(&mut netcheck(&["--format", "json", from, target]));
    let pairs: Pairs = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("no report: {error}\n{ended:#?}"));
    let [report] = <[Report; 1]>::try_from(pairs.pairs).unwrap();
    report
}

/// Exactly these root causes; sorted.
#[track_caller]
fn finds(from: &str, target: &str, codes: &[&str]) -> Report {
    let report = ask(from, target);
    assert_eq!(roots(&report), codes, "{}", show(&report));
    report
}

#[track_caller]
fn works(from: &str, target: &str) {
    let report = ask(from, target);
    assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
}

#[test]
fn stopped_and_a_wrong_port() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(3306));
    world.docker(&["stop", "-t", "0", &db]);
    // What it would listen on cannot be known before it runs.
    let target = format!("{db}:3307");
    finds(&app, &target, &["container-not-running"]);
    world.docker(&["start", &db]);
    finds(&app, &target, &["wrong-port"]);
}

#[test]
fn paused_and_a_wrong_port() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(3306));
    world.docker(&["pause", &db]);
    let target = format!("{db}:3307");
    // The sockets of a paused container can be seen, and neither fault follows from the other.
    finds(&app, &target, &["container-paused", "wrong-port"]);
    world.docker(&["unpause", &db]);
    finds(&app, &target, &["wrong-port"]);
}

#[test]
fn a_loopback_listener_and_a_port_that_is_not_published() {
    let world = World::new();
    let net = world.network("net");
    let port = free_port();
    let web = world.run("web", |n| {
        n.on(&net).expose(tcp(port)).tcp(([127, 0, 0, 1], port))
    });
    let app = world.run("app", |n| {
        n.on(&net)
            .host_access()
            .env("API_URL", format!("http://host.docker.internal:{port}/"))
    });
    // To the container itself only the listener matters.
    finds(
        &app,
        &format!("{web}:{port}"),
        &["listens-on-loopback-only"],
    );
    // By the host, that it is not published comes first.
    let report = world.report(&app, &[]);
    assert_eq!(
        roots(&report),
        ["exposed-not-published"],
        "{}",
        show(&report)
    );
}

#[test]
fn disjoint_networks_and_an_address_that_was_written_down() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let app = world.run("app", |n| n.on(&one));
    let db = world.run("db", |n| n.on(&two).tcp(3306));
    let by_address = format!("{}:3306", world.address("db"));
    // The address is right as long as it lasts: that there is no way to it is the cause.
    finds(&app, &by_address, &["no-shared-network"]);
    world.docker(&["network", "connect", &world.lab().real_name("one"), &db]);
    works(&app, &format!("{db}:3306"));
}

#[test]
fn disjoint_networks_and_a_wrong_port() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let app = world.run("app", |n| n.on(&one));
    let db = world.run("db", |n| n.on(&two).tcp(3306));
    let target = format!("{db}:3307");
    finds(&app, &target, &["no-shared-network", "wrong-port"]);
    world.docker(&["network", "connect", &world.lab().real_name("one"), &db]);
    finds(&app, &target, &["wrong-port"]);
}

#[test]
fn disjoint_networks_and_a_loopback_listener() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let app = world.run("app", |n| n.on(&one));
    let db = world.run("db", |n| n.on(&two).tcp(([127, 0, 0, 1], 3306)));
    let target = format!("{db}:3306");
    finds(
        &app,
        &target,
        &["listens-on-loopback-only", "no-shared-network"],
    );
    world.docker(&["network", "connect", &world.lab().real_name("one"), &db]);
    finds(&app, &target, &["listens-on-loopback-only"]);
}

#[test]
fn disjoint_networks_and_stopped() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let app = world.run("app", |n| n.on(&one));
    let db = world.run("db", |n| n.on(&two).tcp(3306));
    world.docker(&["stop", "-t", "0", &db]);
    let target = format!("{db}:3306");
    finds(
        &app,
        &target,
        &["container-not-running", "no-shared-network"],
    );
    world.docker(&["start", &db]);
    finds(&app, &target, &["no-shared-network"]);
}

#[test]
fn a_hosts_line_and_an_alias_of_two() {
    let world = World::new();
    let net = world.network("net");
    let thief = world.run("thief", |n| n.on(&net).tcp(80));
    world.run("one", |n| n.on(net.alias("store")).tcp(3306));
    world.run("two", |n| n.on(net.alias("store")).tcp(3306));
    let address = world.address("thief");
    let app = world.run("app", |n| n.on(&net).add_host("store", &address));
    let plain = world.run("plain", |n| n.on(&net));
    assert!(!thief.is_empty());
    finds(
        &app,
        "store:3306",
        &[
            "alias-shared-by-several-containers",
            "hosts-file-overrides-dns",
        ],
    );
    finds(
        &plain,
        "store:3306",
        &["alias-shared-by-several-containers"],
    );
}

#[test]
fn a_hosts_line_and_a_wrong_port() {
    let world = World::new();
    let net = world.network("net");
    world.run("thief", |n| n.on(&net).tcp(80));
    let db = world.run("db", |n| n.on(&net).tcp(3306));
    let address = world.address("thief");
    let app = world.run("app", |n| n.on(&net).add_host(&db, &address));
    let target = format!("{db}:3307");
    // The way leads elsewhere: what listens at the right place is told below it.
    let report = finds(&app, &target, &["hosts-file-overrides-dns"]);
    let below = &report.findings[0].explains;
    assert!(
        below.iter().any(|one| one.code == "wrong-port"),
        "{below:#?}"
    );
}

#[test]
fn a_server_that_hangs_and_a_greeting_that_is_due() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).word("hang=0.0.0.0:3306"));
    // The silence follows from the hang.
    let report = finds(
        &app,
        &format!("mysql://{db}/x"),
        &["process-does-not-accept"],
    );
    let below = &report.findings[0].explains;
    assert!(
        below.iter().any(|one| one.code == "server-says-nothing"),
        "{below:#?}"
    );
}

#[test]
fn a_server_that_closes_and_an_alias_of_two() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    for name in ["one", "two"] {
        world.run(name, |n| {
            n.on(net.alias("store")).word("close=0.0.0.0:3306")
        });
    }
    // Which of the two is meant is not known, so what one of them does is told below.
    let report = finds(
        &app,
        "mysql://store/x",
        &["alias-shared-by-several-containers"],
    );
    let below = &report.findings[0].explains;
    assert!(
        below
            .iter()
            .any(|one| one.code == "connection-closed-at-once"),
        "{below:#?}"
    );
    let two = world.get("two").real_name().to_owned();
    world.docker(&["stop", "-t", "0", &two]);
    finds(&app, "mysql://store/x", &["connection-closed-at-once"]);
}

#[test]
fn no_dns_on_the_default_bridge_and_a_loopback_listener() {
    let world = World::new();
    let app = world.run("app", |n| n);
    let db = world.run("db", |n| n.tcp(([127, 0, 0, 1], 3306)));
    finds(
        &app,
        &format!("{db}:3306"),
        &["default-bridge-has-no-dns", "listens-on-loopback-only"],
    );
}

#[test]
fn a_network_without_talk_and_a_wrong_port() {
    let world = World::new();
    let option = ("com.docker.network.bridge.enable_icc", "false");
    let net = world.network_with("net", |n| n.driver_option(option.0, option.1));
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(3306));
    // What listens inside is seen there, whatever the network lets through.
    finds(
        &app,
        &format!("{db}:3307"),
        &["inter-container-communication-off", "wrong-port"],
    );
    finds(
        &app,
        &format!("{db}:3306"),
        &["inter-container-communication-off"],
    );
}

/// The name stays with the one that serves the port, and names that only one has are not concerned.
#[test]
fn a_shared_alias_and_a_port_that_one_of_them_serves() {
    let world = World::new();
    let net = world.network("net");
    let one = world.run("one", |n| n.on(net.alias("store")).tcp(80));
    let two = world.run("two", |n| n.on(net.alias("store")).tcp(8080));
    let app = world.run("app", |n| n.on(&net));
    works(&app, &format!("{one}:80"));
    finds(&app, &format!("{two}:80"), &["wrong-port"]);
    let target = "store:80";
    let code = "alias-shared-by-several-containers";
    let report = finds(&app, target, &[code]);
    world.paste(&report.findings[0].fixes[0].commands);
    works(&app, target);
}

/// Each fix makes the container again: the last has what the first has, alone and after it.
#[test]
fn two_settings_of_one_container() {
    for pasted in [&[0, 1][..], &[1]] {
        let world = World::new();
        let net = world.network("net");
        world.run("db", |n| n.on(&net).tcp(5432));
        world.run("cache", |n| n.on(&net).tcp(6379));
        let app = world.run("app", |n| {
            n.on(&net)
                .env("DATABASE_URL", "postgres://u:secret@localhost:5432/app")
                .env("CACHE_URL", "redis://localhost:6379/0")
        });
        let report = world.report(&app, &[]);
        assert_eq!(roots(&report), ["localhost-means-the-container"]);
        assert_eq!(report.findings.len(), 2, "{}", show(&report));
        for index in pasted {
            world.paste(&report.findings[*index].fixes[0].commands);
        }
        let healed = world.report(&app, &[]);
        assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
    }
}

/// The second fix has the edit of the first, too, which has been made then: `:2000` is in `:20000`.
#[test]
fn an_edit_that_was_made_is_not_made_again() {
    let world = World::new();
    let net = world.network("net");
    let is_free = |port: &u16| TcpListener::bind(("0.0.0.0", *port)).is_ok();
    let port = (2000..6000).find(is_free).unwrap();
    let inside = port * 10;
    let web = world.run("web", |n| {
        n.on(&net).publish_as(tcp(inside), port).tcp(inside)
    });
    world.run("cache", |n| n.on(&net).tcp(6379));
    let app = world.run("app", |n| {
        n.on(&net)
            .env("API_URL", format!("http://{web}:{port}/v1/"))
            .env("CACHE_URL", "redis://localhost:6379/0")
    });
    let report = world.report(&app, &[]);
    let codes = [
        "host-port-used-between-containers",
        "localhost-means-the-container",
    ];
    assert_eq!(roots(&report), codes, "{}", show(&report));
    for finding in &report.findings {
        world.paste(&finding.fixes[0].commands);
    }
    let healed = world.report(&app, &[]);
    assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
}

#[test]
fn paused_and_a_loopback_listener() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(([127, 0, 0, 1], 3306)));
    let target = format!("{db}:3306");
    world.docker(&["pause", &db]);
    finds(
        &app,
        &target,
        &["container-paused", "listens-on-loopback-only"],
    );
    world.docker(&["unpause", &db]);
    finds(&app, &target, &["listens-on-loopback-only"]);
}
