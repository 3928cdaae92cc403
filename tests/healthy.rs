//! Healthy set-ups stay silent: a false alarm is as bad as a miss. Each is looked at by both ways.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use netcheck_diagnose::report::{CheckStatus, Outcome, Report};
use netcheck_diagnose::rule::Check;
use world::{World, checks, free_port, show};

/// No finding, nothing undecided, by netns and by helper; the report by netns.
#[track_caller]
fn is_healthy(world: &World, container: &str) -> Report {
    for probe in ["helper", "auto"] {
        let report = world.report(container, &["--probe", probe]);
        assert_eq!(
            report.outcome,
            Outcome::Healthy,
            "{probe}: {}",
            show(&report)
        );
        assert!(
            report
                .checks
                .iter()
                .all(|line| { matches!(line.status, CheckStatus::Ok | CheckStatus::Skipped) }),
            "{probe}: {}",
            checks(&report)
        );
    }
    if std::env::var_os("NETCHECK_RECORD").is_some() {
        let evidence = world.folder().join("evidence.json");
        world.report(container, &["--save-evidence", evidence.to_str().unwrap()]);
        let case = container.strip_suffix(&format!("-{}", world.tag)).unwrap();
        world::recording::write(world, &evidence, "healthy", case);
    }
    world.report(container, &[])
}

/// What the line of a check saw.
#[track_caller]
fn saw(report: &Report, check: Check) -> &str {
    let line = report.checks.iter().find(|line| line.check == check);
    &line.unwrap_or_else(|| panic!("no line for {check:?}")).saw
}

#[test]
fn a_server_on_the_default_bridge() {
    let world = World::new();
    let web = world.run("on-default-bridge", &[], &["tcp=0.0.0.0:80"]);
    let report = is_healthy(&world, &web);
    assert!(
        saw(&report, Check::Name).contains("default bridge"),
        "{}",
        checks(&report)
    );
}

#[test]
fn a_database_and_its_application_on_a_user_defined_network() {
    let world = World::new();
    let net = world.network("net", &[]);
    let flags = ["--network", &net, "--network-alias", "db"];
    let db = world.run_image(
        &world.images.exposing,
        "mysql-db",
        &flags,
        &["banner=0.0.0.0:3306"],
    );
    let url = format!("DB_URL=mysql://app:secret@{db}:3306/some");
    let app = world.run(
        "app",
        &["--network", &net, "-e", &url, "-e", "DB_HOST=db"],
        &["idle"],
    );
    let report = is_healthy(&world, &db);
    assert!(
        saw(&report, Check::Name).contains(&app),
        "{}",
        checks(&report)
    );
    assert!(
        saw(&report, Check::Listening).contains("3306"),
        "{}",
        checks(&report)
    );
    is_healthy(&world, &app);
}

#[test]
fn a_container_on_two_networks() {
    let world = World::new();
    let (front, back) = (
        world.network("front", &[]),
        world.network("back", &["--internal"]),
    );
    let web = world.run(
        "on-two-networks",
        &["--network", &front],
        &["http=0.0.0.0:80"],
    );
    world.docker(&["network", "connect", "--alias", "api", &back, &web]);
    let report = is_healthy(&world, &web);
    assert!(
        saw(&report, Check::Networks).contains(&back),
        "{}",
        checks(&report)
    );
}

#[test]
fn a_server_in_host_mode() {
    let world = World::new();
    let serve = format!("tcp=0.0.0.0:{}", free_port());
    let web = world.run("host-mode", &["--network", "host"], &[&serve]);
    is_healthy(&world, &web);
}

#[test]
fn a_container_without_network_on_purpose() {
    let world = World::new();
    let job = world.run("none-on-purpose", &["--network", "none"], &["idle"]);
    is_healthy(&world, &job);
}

#[test]
fn published_ports_of_both_transports() {
    let world = World::new();
    let net = world.network("net", &[]);
    let (tcp, udp, local) = (free_port(), free_port(), free_port());
    let publish = [
        format!("{tcp}:80"),
        format!("{udp}:53/udp"),
        format!("127.0.0.1:{local}:81"),
    ];
    let mut flags = vec!["--network", &net];
    for port in &publish {
        flags.extend(["-p", port]);
    }
    let web = world.run(
        "published",
        &flags,
        &["tcp=0.0.0.0:80", "udp=0.0.0.0:53", "banner=0.0.0.0:81"],
    );
    let report = is_healthy(&world, &web);
    let line = saw(&report, Check::Published);
    assert!(
        line.contains(&tcp.to_string()) && line.contains(&udp.to_string()),
        "{line}"
    );
}

#[test]
fn published_port_on_the_default_bridge_of_a_dual_stack_listener() {
    let world = World::new();
    let publish = format!("{}:80", free_port());
    let web = world.run("dual-stack-listener", &["-p", &publish], &["http=[::]:80"]);
    is_healthy(&world, &web);
}

#[test]
fn an_ipv6_network() {
    let world = World::new();
    let subnet = format!("fd00:{}:{}::/64", &world.tag[..4], &world.tag[4..8]);
    let net = world.network("net", &["--ipv6", "--subnet", &subnet]);
    let web = world.run(
        "ipv6",
        &["--network", &net, "--expose", "80"],
        &["tcp=[::]:80"],
    );
    world.run("peer", &["--network", &net], &["idle"]);
    let report = is_healthy(&world, &web);
    assert!(
        saw(&report, Check::Networks).contains("fd00:"),
        "{}",
        checks(&report)
    );
}

#[test]
fn an_internal_network_on_purpose() {
    let world = World::new();
    let net = world.network("net", &["--internal"]);
    let db = world.run_image(
        &world.images.exposing,
        "internal",
        &["--network", &net],
        &["tcp=0.0.0.0:3306"],
    );
    let report = is_healthy(&world, &db);
    assert!(
        saw(&report, Check::Outbound).contains("internal"),
        "{}",
        checks(&report)
    );
}

#[test]
fn read_only_root_and_no_capabilities_in_an_image_without_a_shell() {
    let world = World::new();
    let net = world.network("net", &[]);
    let flags = [
        "--network",
        &net,
        "--read-only",
        "--cap-drop",
        "ALL",
        "--user",
        "65534",
        "--security-opt",
        "no-new-privileges",
        "--expose",
        "8080",
    ];
    let web = world.run("locked-down", &flags, &["tcp=0.0.0.0:8080"]);
    is_healthy(&world, &web);
}

#[test]
fn compose_replicas_share_their_alias() {
    let world = World::new();
    let net = world.network("net", &["--label", "com.docker.compose.project=shop"]);
    let mut names = Vec::new();
    for number in ["1", "2"] {
        let number_label = format!("com.docker.compose.container-number={number}");
        let flags = [
            "--network",
            &net,
            "--network-alias",
            "api",
            "--label",
            "com.docker.compose.project=shop",
            "--label",
            "com.docker.compose.service=api",
            "--label",
            &number_label,
        ];
        names.push(world.run(&format!("shop-api-{number}"), &flags, &["tcp=0.0.0.0:80"]));
    }
    is_healthy(&world, &names[0]);
}

#[test]
fn the_host_reached_by_its_name() {
    let world = World::new();
    let net = world.network("net", &[]);
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let url = format!(
        "API_URL=http://host.docker.internal:{}/",
        listener.local_addr().unwrap().port()
    );
    let host = "host.docker.internal:host-gateway";
    let app = world.run(
        "uses-the-host",
        &["--network", &net, "--add-host", host, "-e", &url],
        &["idle"],
    );
    let report = is_healthy(&world, &app);
    assert!(
        saw(&report, Check::Host).contains("172.17.0.1"),
        "{}",
        checks(&report)
    );
}

#[test]
fn a_healthy_container_with_a_health_check() {
    let world = World::new();
    let web = world.run_image(
        &world.images.health,
        "health-checked",
        &["--expose", "80"],
        &["tcp=0.0.0.0:80"],
    );
    let file = world.folder().join("healthy");
    std::fs::write(&file, "").unwrap();
    world.docker(&["cp", file.to_str().unwrap(), &format!("{web}:/healthy")]);
    while world.docker(&["inspect", "-f", "{{.State.Health.Status}}", &web]) != "healthy" {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    is_healthy(&world, &web);
}

#[test]
fn a_sidecar_in_another_containers_network() {
    let world = World::new();
    let net = world.network("net", &[]);
    let web = world.run(
        "web",
        &["--network", &net, "--expose", "80"],
        &["tcp=0.0.0.0:80"],
    );
    let mode = format!("container:{web}");
    let sidecar = world.run("sidecar", &["--network", &mode], &["tcp=127.0.0.1:9901"]);
    is_healthy(&world, &sidecar);
    is_healthy(&world, &web);
}

#[test]
fn a_static_address_in_a_url_is_meant_to_last() {
    let world = World::new();
    let subnet = format!(
        "10.{}.{}.0/24",
        100 + world.tag.as_bytes()[5] % 100,
        world.tag.as_bytes()[3]
    );
    let net = world.network("net", &["--subnet", &subnet]);
    let address = subnet.replace("0/24", "200");
    world.run(
        "db",
        &["--network", &net, "--ip", &address],
        &["tcp=0.0.0.0:5432"],
    );
    let url = format!("DB_URL=postgres://{address}:5432/some");
    let app = world.run(
        "static-address",
        &["--network", &net, "-e", &url],
        &["idle"],
    );
    is_healthy(&world, &app);
}
