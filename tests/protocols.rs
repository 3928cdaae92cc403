//! Protocols, families and the order of starts on a real engine: TCP where UDP is served, IPv6 where IPv4 is,
//! a client that was started before its server. Each is named by both ways of looking, and healed as printed.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod private;
mod world;

use std::collections::HashMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use netcheck_diagnose::report::{CheckStatus, Outcome, Report, StepKind};
use netcheck_testkit::bollard::models::HealthStatusEnum;
use netcheck_testkit::{NetworkBuilder, tcp, udp};
use private::{inside, inside_with, sh};
use world::{Fault, World, every_second, free_port, roots, show};

/// One pair, looked at in one way. It is not about time, and the machine may have much to do.
#[track_caller]
fn ask(world: &World, way: &str, from: &str, target: &str) -> Report {
    world.pair(&["--probe", way, "--timeout", "10s"], from, target)
}

/// Exactly this is named, by both ways of looking; recorded as this case where that is asked for.
#[track_caller]
fn named(world: &World, from: &str, target: &str, code: &str, case: Option<&str>) -> Report {
    let mut found = Vec::new();
    for way in ["helper", "netns"] {
        let report = ask(world, way, from, target);
        assert_eq!(roots(&report), [code], "{way}: {}", show(&report));
        found.push(report);
    }
    if let Some(case) = case {
        world.record(code, case);
    }
    found.swap_remove(1)
}

#[track_caller]
fn works(world: &World, from: &str, target: &str) -> Report {
    let mut last = None;
    for way in ["helper", "netns"] {
        let report = ask(world, way, from, target);
        assert_eq!(report.outcome, Outcome::Healthy, "{way}: {}", show(&report));
        last = Some(report);
    }
    last.unwrap()
}

/// Pastes the first fix that has commands, and sees that it works.
#[track_caller]
fn healed(world: &World, report: &Report, from: &str, target: &str) {
    let fixes = &report.findings[0].fixes;
    let fix = fixes.iter().find(|fix| !fix.commands.is_empty());
    let fix = fix.unwrap_or_else(|| panic!("no fix to run: {}", show(report)));
    world.paste(&fix.commands);
    works(world, from, target);
}

/// What a step of the path saw.
#[track_caller]
fn saw(report: &Report, kind: StepKind) -> (CheckStatus, &str) {
    let step = report.path.iter().find(|step| step.step == kind);
    let step = step.unwrap_or_else(|| panic!("no such step: {}", show(report)));
    (step.status, &step.saw)
}

const EVERYWHERE: [u8; 4] = [0; 4];

// TCP and UDP.

#[test]
fn tcp_asked_of_a_udp_service_and_the_reverse() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let dns = world.run("dns", |n| n.on(&net).udp(5353).tcp(80));
    let code = "transport-mismatch";
    let report = named(
        &world,
        &app,
        &format!("{dns}:5353"),
        code,
        Some("tcp-of-udp"),
    );
    // What it says to use works.
    let right = format!("{dns}:5353/udp");
    let fix = &report.findings[0].fixes[0].text;
    assert!(fix.contains(&format!("`{right}`")), "{fix}");
    works(&world, &app, &right);
    let report = named(
        &world,
        &app,
        &format!("{dns}:80/udp"),
        code,
        Some("udp-of-tcp"),
    );
    let (status, words) = saw(&report, StepKind::Connect);
    assert_eq!(status, CheckStatus::Problem);
    assert!(words.contains("connection refused"), "{words}");
    works(&world, &app, &format!("{dns}:80"));
    // By its address it is the same.
    let by_address = format!("{}:5353", world.address("dns"));
    named(&world, &app, &by_address, code, None);
    named(&world, "host", &by_address, code, None);
    named(&world, &app, &format!("{dns}:81"), "wrong-port", None);
    // With nothing but a UDP socket of a number that clients get too.
    let vpn = world.run("vpn", |n| n.on(&net).udp(51820));
    named(&world, &app, &format!("{vpn}:51820"), code, None);
}

/// ICMP is proof; silence with a listener is delivered as far as can be seen; silence without one is none.
#[test]
fn udp_is_judged_by_what_can_be_seen() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let log = world.run("log", |n| n.on(&net).word("sink=0.0.0.0:514").udp(53));
    let report = works(&world, &app, &format!("{log}:514/udp"));
    let (_, words) = saw(&report, StepKind::Connect);
    assert!(
        words.ends_with("sent, and no reply: delivered, as far as can be seen"),
        "{words}"
    );
    let report = works(&world, &app, &format!("{log}:53/udp"));
    let (_, words) = saw(&report, StepKind::Connect);
    assert!(words.contains("a reply after"), "{words}");
    let report = named(&world, &app, &format!("{log}:515/udp"), "wrong-port", None);
    let (status, words) = saw(&report, StepKind::Connect);
    assert_eq!(status, CheckStatus::Problem);
    assert!(words.contains("connection refused"), "{words}");
    let (_, words) = saw(&report, StepKind::Listener);
    assert!(words.contains("nothing listens on 515/udp"), "{words}");
    // It listens for itself alone: what comes from outside is refused.
    let shy = world.run("shy", |n| n.on(&net).udp(([127, 0, 0, 1], 53)));
    let target = format!("{shy}:53/udp");
    let report = named(&world, &app, &target, "listens-on-loopback-only", None);
    healed(&world, &report, &app, &target);
}

/// Where ICMP is kept back, nothing tells a datagram that was taken from one that was not, but what listens.
#[test]
fn udp_in_silence() {
    inside("udp_in_silence", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net));
        let log = world.run("log", |n| n.on(&net).word("sink=0.0.0.0:514").udp(53));
        let pid = world.docker(&["inspect", "-f", "{{.State.Pid}}", &log]);
        sh(&format!(
            "nsenter -t {pid} -n iptables-nft -A OUTPUT -p icmp -j DROP"
        ));
        let report = named(&world, &app, &format!("{log}:515/udp"), "wrong-port", None);
        let (status, words) = saw(&report, StepKind::Connect);
        assert_eq!(status, CheckStatus::Problem);
        assert!(words.ends_with("sent, and no reply"), "{words}");
        works(&world, &app, &format!("{log}:514/udp"));
        // What is nobody's container cannot be looked into: silence decides nothing.
        sh("iptables-nft -A OUTPUT -o br-+ -p icmp -j DROP");
        let report = ask(&world, "netns", &app, "10.221.0.1:515/udp");
        sh("iptables-nft -D OUTPUT -o br-+ -p icmp -j DROP");
        assert_eq!(report.outcome, Outcome::Undecided, "{}", show(&report));
    });
}

// IPv4 and IPv6.

#[test]
fn a_name_with_both_families_and_a_service_with_one() {
    let world = World::new();
    let net = world.network_with("net", NetworkBuilder::ipv6);
    let app = world.run("app", |n| n.on(&net));
    let web = world.run("web", |n| n.on(&net).tcp((EVERYWHERE, 80)));
    let target = format!("{web}:80");
    let code = "ipv6-name-ipv4-service";
    let report = named(&world, &app, &target, code, Some("name"));
    let (status, words) = saw(&report, StepKind::Connect);
    assert_eq!(status, CheckStatus::Ok);
    assert!(
        words.contains("]:80: connection refused") && words.contains(":80: connected"),
        "{words}"
    );
    let addresses = world.get("web").addresses(&net).wait().unwrap();
    let six = addresses.iter().find(|address| address.is_ipv6()).unwrap();
    let four = addresses.iter().find(|address| address.is_ipv4()).unwrap();
    // By an address alone there is no other family to fall back to.
    let by_six = format!("[{six}]:80");
    named(&world, &app, &by_six, code, Some("address"));
    works(&world, &app, &format!("{four}:80"));
    healed(&world, &report, &app, &target);
    // A service for both, and a network with one, are silent.
    let both = world.run("both", |n| n.on(&net).tcp(80));
    works(&world, &app, &format!("{both}:80"));
    let plain = world.network("plain");
    let one = world.run("one", |n| n.on(&plain));
    let two = world.run("two", |n| n.on(&plain).tcp((EVERYWHERE, 80)));
    works(&world, &one, &format!("{two}:80"));
}

#[test]
fn a_name_with_both_families_and_a_service_with_the_other_one() {
    let world = World::new();
    let net = world.network_with("net", NetworkBuilder::ipv6);
    let app = world.run("app", |n| n.on(&net));
    let web = world.run("web", |n| n.on(&net).word("v6only=[::]:80"));
    let target = format!("{web}:80");
    let report = named(&world, &app, &target, "listens-on-ipv6-only", None);
    let (_, words) = saw(&report, StepKind::Connect);
    assert!(
        words.contains("]:80: connected") && words.contains(":80: connection refused"),
        "{words}"
    );
    // Who asks by IPv6 alone gets what was asked for.
    let addresses = world.get("web").addresses(&net).wait().unwrap();
    let six = addresses.iter().find(|address| address.is_ipv6()).unwrap();
    works(&world, &app, &format!("[{six}]:80"));
}

#[test]
fn healthcheck_localhost_is_ipv6() {
    let code = "healthcheck-localhost-is-ipv6";
    Fault::new(code, "ipv4-listener").is_named_and_healed(|world| {
        let net = world.network_with("net", NetworkBuilder::ipv6);
        let web = world.run("web", |n| {
            n.on(&net)
                .tcp((EVERYWHERE, 80))
                .image(|image| image.healthcheck = Some(every_second(2, "check=localhost:80")))
        });
        world.until_health("web", HealthStatusEnum::UNHEALTHY);
        web
    });
}

/// The check of a shell's words can be given anew. The node's image has no shell: it borrows that of this machine.
#[test]
fn healthcheck_localhost_is_ipv6_in_words_of_a_shell() {
    let code = "healthcheck-localhost-is-ipv6";
    let fault = Fault::new(code, "shell").with_fixes(2);
    fault.is_named_and_healed(|world| {
        let net = world.network_with("net", NetworkBuilder::ipv6);
        world.create("like", |n| n.on(&net));
        let like = world.inspect("like").config.unwrap();
        let (name, labels) = (world.name("web"), like.labels.unwrap());
        let labels = labels
            .iter()
            .map(|(name, value)| format!("--label={name}={value}"));
        let shell = shell()
            .into_iter()
            .map(|file| format!("--volume={file}:{file}:ro"));
        let words: Vec<String> = ["run", "-d", "--name", &name, "--network", net.real_name()]
            .map(str::to_owned)
            .into_iter()
            .chain(labels)
            .chain(shell)
            .chain([
                "--health-cmd=/netcheck-node check=localhost:80".into(),
                "--health-interval=1s".into(),
                "--health-retries=2".into(),
                like.image.unwrap(),
                "tcp=0.0.0.0:80".into(),
            ])
            .collect();
        world.docker(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let health = ["inspect", "--format={{.State.Health.Status}}", &name];
        let started = Instant::now();
        while world.docker(&health) != "unhealthy" {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "its check never failed"
            );
            thread::sleep(Duration::from_millis(100));
        }
        name
    });
}

/// `/bin/sh` and what it is linked with.
fn shell() -> Vec<String> {
    let linked = Command::new("ldd").arg("/bin/sh").output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let files = linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    ["/bin/sh"]
        .into_iter()
        .chain(files)
        .map(str::to_owned)
        .collect()
}

#[test]
fn health_checks_of_localhost_that_find_it() {
    let world = World::new();
    let check = || every_second(2, "check=localhost:80");
    let six = world.network_with("six", NetworkBuilder::ipv6);
    let both = world.run("both", |n| {
        n.on(&six)
            .tcp(80)
            .image(|image| image.healthcheck = Some(check()))
    });
    let four = world.network("four");
    // The engine decides whether there is `::1`.
    let plain = world.run("plain", |n| {
        n.on(&four)
            .tcp(([0u16; 8], 80))
            .image(|image| image.healthcheck = Some(check()))
    });
    for (short, name) in [("both", both), ("plain", plain)] {
        world.until_health(short, HealthStatusEnum::HEALTHY);
        let report = world.report(&name, &[]);
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
    }
}

// Published ports.

#[test]
fn published_on_ipv4_only() {
    let code = "published-on-ipv4-only";
    let world = World::new();
    for (address, case) in [([0, 0, 0, 0], "everywhere"), ([127, 0, 0, 1], "loopback")] {
        let port = free_port();
        let web = world.run(case, |n| n.tcp(80).publish_at(tcp(80), (address, port)));
        let target = format!("[::1]:{port}");
        let report = named(&world, "host", &target, code, Some(case));
        let subject = &report.findings[0].subjects[0];
        assert_eq!(subject.name, web);
        works(&world, "host", &format!("127.0.0.1:{port}"));
        healed(&world, &report, "host", &target);
        works(&world, "host", &format!("localhost:{port}"));
    }
    // Nobody publishes it: it is refused, and that is all.
    let target = format!("[::1]:{}", free_port());
    let report = ask(&world, "netns", "host", &target);
    assert_eq!(report.outcome, Outcome::Undecided, "{}", show(&report));
}

#[test]
fn published_udp_nobody_listens() {
    Fault::new("published-udp-nobody-listens", "nothing-at-all").is_named_and_healed(|world| {
        world.run("dns", |n| {
            n.publish_as(udp(5353), free_port())
                .word("second-start=/started")
                .word("udp=0.0.0.0:5353")
        })
    });
}

#[test]
fn published_port_needs_userland_proxy() {
    let test = "published_port_needs_userland_proxy";
    let code = "published-port-needs-userland-proxy";
    inside_with("--userland-proxy=false", test, || {
        let world = World::new();
        let (one, two) = (world.network("one"), world.network("two"));
        let port = free_port();
        let web = world.run("web", |n| n.on(&one).tcp(80).publish_as(tcp(80), port));
        let near = world.run("near", |n| n.on(&one));
        let app = world.run("app", |n| n.on(&two));
        let target = format!("10.221.0.1:{port}");
        let report = named(&world, &app, &target, code, Some("from-another-network"));
        // It is served to all others.
        works(&world, &near, &target);
        works(&world, "host", &target);
        let silent = ask(
            &world,
            "netns",
            &app,
            &format!("10.221.0.1:{}", free_port()),
        );
        assert_eq!(silent.outcome, Outcome::Undecided, "{}", show(&silent));
        // As it says: on one network, by name.
        let fix = &report.findings[0].fixes[0];
        assert!(fix.text.contains(&format!("`{web}:80`")), "{fix:?}");
        world.paste(&fix.commands);
        works(&world, &app, &format!("{web}:80"));
    });
}

// What a program may not have.

#[test]
fn cannot_bind_privileged_port() {
    const SYSCTL: &str = "net.ipv4.ip_unprivileged_port_start";
    let end = |world: &World, short: &str, start: &str, word: &str| {
        let sysctls = HashMap::from([(SYSCTL.to_owned(), start.to_owned())]);
        let name = world.create(short, |n| {
            n.word(word)
                .configure(|body| body.user = Some("1000".into()))
                .host_config(|host| host.sysctls = Some(sysctls))
        });
        world.docker(&["start", &name]);
        world.until(short, |now| {
            now.state.as_ref().and_then(|state| state.exit_code) == Some(1)
        });
        name
    };
    Fault::new("cannot-bind-privileged-port", "sysctl")
        .is_named_and_healed(|world| end(world, "web", "1024", "tcp=0.0.0.0:80"));
    // It ended for something else: an address that is not its own.
    let world = World::new();
    let web = end(&world, "web", "1024", "tcp=192.0.2.1:80");
    let report = world.report(&web, &[]);
    assert_eq!(
        roots(&report),
        ["container-not-running"],
        "{}",
        show(&report)
    );
}

// Who starts first.

#[test]
fn server_not_ready_yet() {
    Fault::new("server-not-ready-yet", "started-later").is_named_and_healed(|world| {
        let net = world.network("net");
        let address = net.numbered(50);
        let db = world.create("db", |n| n.on(net.host(50)).tcp(3306));
        let app = world.create("app", |n| {
            n.on(&net)
                .env("DB_URL", format!("mysql://{db}:3306/some"))
                .word(format!("keep-tcp={address}:3306"))
        });
        world.docker(&["start", &app]);
        world.until("app", |now| {
            let state = now.state.as_ref();
            state.and_then(|state| state.exit_code) == Some(1)
                && state.and_then(|state| state.running) == Some(false)
        });
        // Times are known in whole seconds: not within the one in which it ended.
        thread::sleep(Duration::from_secs(1));
        world.docker(&["start", &db]);
        app
    });
}

/// The server was there: whatever ended it, that was not the reason.
#[test]
fn a_client_that_ended_beside_its_server() {
    let world = World::new();
    let net = world.network("net");
    let db = world.run("db", |n| n.on(&net).tcp(3306));
    let url = format!("mysql://{db}:3306/some");
    let app = world.create("app", |n| n.on(&net).env("DB_URL", url).word("exit=1"));
    world.docker(&["start", &app]);
    world.until("app", |now| {
        now.state.as_ref().and_then(|state| state.exit_code) == Some(1)
    });
    let report = world.report(&app, &[]);
    assert_eq!(
        roots(&report),
        ["container-not-running"],
        "{}",
        show(&report)
    );
}
