//! Healthy set-ups stay silent: a false alarm is as bad as a miss. Each is looked at by both ways.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use std::net::Ipv6Addr;
use std::time::Duration;

use netcheck_diagnose::report::{CheckStatus, Outcome, Report};
use netcheck_diagnose::rule::Check;
use netcheck_testkit::bollard::models::HealthStatusEnum;
use netcheck_testkit::{Builder, NetworkBuilder, tcp, udp};
use world::{Image, World, checks, free_port, show};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let lab = format!("-{}", world.lab().id());
        let case = container.strip_suffix(&lab).unwrap();
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
    let web = world.run("on-default-bridge", |n| n.tcp(80));
    let report = is_healthy(&world, &web);
    assert!(
        saw(&report, Check::Name).contains("default bridge"),
        "{}",
        checks(&report)
    );
}

/// What a dashboard or a proxy reads may mean their own localhost, or a browser's.
#[test]
fn labels_that_others_read() {
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).tcp(80));
    let to_web = format!("http://user:sekret@{web}/");
    let app = world.run("app", |n| {
        n.on(&net)
            .label("dashboard.href", "http://localhost:3000/")
            .label("proxy.to", &to_web)
            .label("org.opencontainers.image.url", "https://example.com/")
    });
    let report = is_healthy(&world, &app);
    let config = saw(&report, Check::Config);
    assert_eq!(
        config,
        format!(
            "the label dashboard.href -> http://localhost:3000/: not judged: localhost is whoever reads the \
             label; the label proxy.to -> http://***@{web}/: not judged: a name of {web}, but who reads the \
             label is not known"
        )
    );
}

#[test]
fn a_database_and_its_application_on_a_user_defined_network() {
    let world = World::new();
    let net = world.network("net");
    let db = world.run_image(Image::Exposing, "mysql-db", |n| {
        n.on(net.alias("db")).banner(3306)
    });
    let url = format!("mysql://app:secret@{db}:3306/some");
    let app = world.run("app", |n| {
        n.on(&net).env("DB_URL", url).env("DB_HOST", "db")
    });
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
    let front = world.network("front");
    let back = world.network_with("back", NetworkBuilder::internal);
    let web = world.run("on-two-networks", |n| n.on(&front).http(80));
    back.join(&world.get("on-two-networks"), back.alias("api"));
    let report = is_healthy(&world, &web);
    assert!(
        saw(&report, Check::Networks).contains(back.real_name()),
        "{}",
        checks(&report)
    );
}

#[test]
fn a_server_in_host_mode() {
    let world = World::new();
    let port = free_port();
    let web = world.run("host-mode", |n| n.on_host_network().tcp(port));
    // The kit does not wait by itself for what others may serve in the same namespace.
    let opened = world.get("host-mode").wait_for(tcp(port), PATIENCE).wait();
    opened.unwrap();
    is_healthy(&world, &web);
}

#[test]
fn a_container_without_network_on_purpose() {
    let world = World::new();
    let job = world.run("none-on-purpose", Builder::on_no_network);
    is_healthy(&world, &job);
}

#[test]
fn published_ports_of_both_transports() {
    let world = World::new();
    let net = world.network("net");
    let (on_tcp, on_udp, local) = (free_port(), free_port(), free_port());
    let web = world.run("published", |n| {
        n.on(&net)
            .publish_as(tcp(80), on_tcp)
            .publish_as(udp(53), on_udp)
            .publish_at(tcp(81), ([127, 0, 0, 1], local))
            .tcp(80)
            .udp(53)
            .banner(81)
    });
    let report = is_healthy(&world, &web);
    let line = saw(&report, Check::Published);
    assert!(
        line.contains(&on_tcp.to_string()) && line.contains(&on_udp.to_string()),
        "{line}"
    );
}

#[test]
fn published_port_on_the_default_bridge_of_a_dual_stack_listener() {
    let world = World::new();
    let web = world.run("dual-stack-listener", |n| {
        n.publish_as(tcp(80), free_port())
            .http((Ipv6Addr::UNSPECIFIED, 80))
            .ready(tcp(80))
    });
    is_healthy(&world, &web);
}

#[test]
fn an_ipv6_network() {
    let world = World::new();
    let net = world.network_with("net", NetworkBuilder::ipv6);
    let web = world.run("ipv6", |n| n.on(&net).expose(tcp(80)).tcp(80));
    world.run("peer", |n| n.on(&net));
    let report = is_healthy(&world, &web);
    let addresses = world.get("ipv6").addresses(&net).wait().unwrap();
    let ours = addresses.iter().find(|address| address.is_ipv6()).unwrap();
    assert!(
        saw(&report, Check::Networks).contains(&ours.to_string()),
        "{}",
        checks(&report)
    );
}

#[test]
fn an_internal_network_on_purpose() {
    let world = World::new();
    let net = world.network_with("net", NetworkBuilder::internal);
    let db = world.run_image(Image::Exposing, "internal", |n| n.on(&net).tcp(3306));
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
    let net = world.network("net");
    let web = world.run("locked-down", |n| {
        n.on(&net)
            .expose(tcp(8080))
            .tcp(8080)
            .configure(|body| body.user = Some("65534".into()))
            .host_config(|host| {
                host.readonly_rootfs = Some(true);
                host.cap_drop = Some(vec!["ALL".into()]);
                host.security_opt = Some(vec!["no-new-privileges".into()]);
            })
    });
    is_healthy(&world, &web);
}

#[test]
fn compose_replicas_share_their_alias() {
    let world = World::new();
    let project = ("com.docker.compose.project", "shop");
    let net = world.network_with("net", |n| n.label(project.0, project.1));
    let names = ["1", "2"].map(|number| {
        world.run(&format!("shop-api-{number}"), |n| {
            n.on(net.alias("api"))
                .label(project.0, project.1)
                .label("com.docker.compose.service", "api")
                .label("com.docker.compose.container-number", number)
                .tcp(80)
        })
    });
    is_healthy(&world, &names[0]);
}

#[test]
fn the_host_reached_by_its_name() {
    let world = World::new();
    let net = world.network("net");
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://host.docker.internal:{port}/");
    let app = world.run("uses-the-host", |n| {
        n.on(&net).host_access().env("API_URL", url)
    });
    let report = is_healthy(&world, &app);
    assert!(
        saw(&report, Check::Host).contains("172.17.0.1"),
        "{}",
        checks(&report)
    );
}

/// Who shares no network with it has no better way.
#[test]
fn another_container_reached_by_its_published_port() {
    let world = World::new();
    let (front, back) = (world.network("front"), world.network("back"));
    let port = free_port();
    world.run("api", |n| n.on(&back).publish_as(tcp(80), port).http(80));
    let url = format!("http://host.docker.internal:{port}/");
    let app = world.run("app", |n| n.on(&front).host_access().env("API_URL", url));
    is_healthy(&world, &app);
}

#[test]
fn a_healthy_container_with_a_health_check() {
    let world = World::new();
    let web = world.run_image(Image::Health, "health-checked", |n| {
        n.expose(tcp(80)).tcp(80).file("/healthy", "")
    });
    world.until_health("health-checked", HealthStatusEnum::HEALTHY);
    is_healthy(&world, &web);
}

#[test]
fn a_sidecar_in_another_containers_network() {
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).expose(tcp(80)).tcp(80));
    let sidecar = world.run("sidecar", |n| {
        n.in_network_of(&world.get("web"))
            .tcp(([127, 0, 0, 1], 9901))
    });
    is_healthy(&world, &sidecar);
    is_healthy(&world, &web);
}

#[test]
fn a_static_address_in_a_url_is_meant_to_last() {
    let world = World::new();
    let net = world.network("net");
    world.run("db", |n| n.on(net.host(50)).tcp(5432));
    let url = format!("postgres://{}:5432/some", net.numbered(50));
    let app = world.run("static-address", |n| n.on(&net).env("DB_URL", url));
    is_healthy(&world, &app);
}
