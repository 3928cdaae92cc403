//! Names and name servers on a real engine: servers that fail in each of their ways, search domains, names
//! of another network. What would disturb the machine happens in an engine with a LAN of its own.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod private;
mod world;

use std::net::Ipv4Addr;

use netcheck_diagnose::report::{Outcome, Report, Severity};
use netcheck_testkit::{Builder, Node};
use private::names::{Says, asked, say};
use private::{NEIGHBOUR, configure, inside_resolving, on_podman, own_chain, sh, sh_on_lan};
use world::{Fault, World, roots, show};

/// Another server on the LAN.
const OTHER: &str = "10.221.0.10";

/// What the LAN takes for a server on the internet.
const PUBLIC: &str = "8.8.8.8";

/// The ways of looking from inside.
const WAYS: [&str; 2] = ["helper", "netns"];

/// The host asks the server of the LAN, and so does the engine.
const LAN_RESOLV_CONF: &str = "nameserver 10.221.0.9\n";

// On the machine's engine.

#[test]
fn dns_server_is_loopback() {
    Fault::new("dns-server-is-loopback", "user-network").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("app", |n| n.on(&net).dns(&[[127, 0, 0, 53].into()]))
    });
}

#[test]
fn dns_server_is_loopback_on_the_default_bridge() {
    Fault::new("dns-server-is-loopback", "default-bridge")
        .is_named_and_healed(|world| world.run("app", |n| n.dns(&[[127, 0, 0, 53].into()])));
}

#[test]
fn dns_server_unreachable_on_the_default_bridge() {
    Fault::new("dns-server-unreachable", "default-bridge").is_named_and_healed(|world| {
        // An address of the host where nobody serves names.
        let server = world.network("net").gateway().unwrap();
        world.run("app", |n| n.dns(&[server]))
    });
}

#[test]
fn name_known_on_another_network_only() {
    Fault::new("name-known-on-another-network-only", "alias").is_named_and_healed(|world| {
        let (near, far) = (world.network("near"), world.network("far"));
        world.run("mysql-db", |n| {
            n.on(near.alias("sql")).on(far.alias("store")).tcp(3306)
        });
        world.run("app", |n| n.on(&near).env("DB_HOST", "store"))
    });
}

#[test]
fn a_name_known_on_another_network_only_in_a_pair() {
    let world = World::new();
    let (near, far) = (world.network("near"), world.network("far"));
    world.run("mysql-db", |n| n.on(&near).on(far.alias("store")).tcp(3306));
    let app = world.run("app", |n| n.on(&near));
    for way in WAYS {
        let report = world.pair(&["--probe", way], &app, "store:3306");
        assert_eq!(
            roots(&report),
            ["name-known-on-another-network-only"],
            "{way}: {}",
            show(&report)
        );
    }
    let report = world.pair(&[], &app, "store:3306");
    world.paste(&report.findings[0].fixes[0].commands);
    let healed = world.pair(&[], &app, "store:3306");
    assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
}

#[test]
fn a_name_known_on_both_networks() {
    let world = World::new();
    let (near, far) = (world.network("near"), world.network("far"));
    world.run("mysql-db", |n| {
        n.on(near.alias("store")).on(far.alias("store")).tcp(3306)
    });
    let app = world.run("app", |n| n.on(&near).env("DB_HOST", "store"));
    let report = world.report(&app, &[]);
    assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
}

// In an engine of its own.

/// Names exactly this by both ways of looking, and records it.
#[track_caller]
fn named(world: &World, subject: &str, code: &str, case: &str) -> Report {
    let evidence = world.folder().join("evidence.json");
    let mut last = None;
    for way in WAYS {
        let words = [
            "--probe",
            way,
            "--save-evidence",
            evidence.to_str().unwrap(),
        ];
        let report = world.report(subject, &words);
        assert_eq!(roots(&report), [code], "{way}: {}", show(&report));
        last = Some(report);
    }
    world.record(code, case);
    last.unwrap()
}

#[track_caller]
fn healthy(world: &World, subject: &str) {
    let report = world.report(subject, &[]);
    assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
}

#[test]
fn upstream_dns_fails() {
    inside_resolving(LAN_RESOLV_CONF, "upstream_dns_fails", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net));
        let plain = world.run("plain", |n| n);
        let host_mode = world.run("host-mode", Builder::on_host_network);
        for subject in [&app, &plain, &host_mode] {
            healthy(&world, subject);
        }
        for (what, case) in [
            (Says::Failed, "servfail"),
            (Says::Refused, "refused"),
            (Says::Nothing, "silent"),
            (Says::Gone, "closed"),
        ] {
            say(NEIGHBOUR, what);
            let report = named(&world, &app, "upstream-dns-fails", case);
            // The fix is an edit of what the host is told, or of the servers themselves.
            assert!(report.findings[0].fixes[0].commands.is_empty());
            if what == Says::Nothing {
                named(&world, &plain, "upstream-dns-fails", "default-bridge");
                named(&world, &host_mode, "upstream-dns-fails", "host-mode");
            }
            say(NEIGHBOUR, Says::NoSuchName);
            healthy(&world, &app);
        }
    });
}

#[test]
fn a_name_outside_where_servers_fail() {
    inside_resolving(LAN_RESOLV_CONF, "a_name_outside_where_servers_fail", || {
        let world = World::new();
        let net = world.network("net");
        let app = world.run("app", |n| n.on(&net));
        let target = "db.corp.example:5432";
        for what in [Says::Failed, Says::Nothing] {
            say(NEIGHBOUR, what);
            let report = world.pair(&[], &app, target);
            assert_eq!(
                roots(&report),
                ["upstream-dns-fails"],
                "{what:?}: {}",
                show(&report)
            );
        }
        // They answer, and there is no such name.
        say(NEIGHBOUR, Says::NoSuchName);
        let report = world.pair(&[], &app, target);
        assert_eq!(roots(&report), ["name-unknown"], "{}", show(&report));
    });
}

#[test]
fn a_chosen_server_that_refuses() {
    inside_resolving(LAN_RESOLV_CONF, "a_chosen_server_that_refuses", || {
        sh_on_lan(&format!("ip addr add {OTHER}/24 dev eth0"));
        say(OTHER, Says::Refused);
        let world = World::new();
        let net = world.network("net");
        let server: Ipv4Addr = OTHER.parse().unwrap();
        let app = world.run("app", |n| n.on(&net).dns(&[server.into()]));
        let report = named(&world, &app, "upstream-dns-fails", "chosen-server");
        world.paste(&report.findings[0].fixes[0].commands);
        healthy(&world, &app);
    });
}

/// The servers are fine, and the way from the container to them is not: not their fault.
#[test]
fn servers_that_only_the_host_reaches() {
    inside_resolving(
        LAN_RESOLV_CONF,
        "servers_that_only_the_host_reaches",
        || {
            let world = World::new();
            let net = world.network("net");
            let app = world.run("app", |n| n.on(&net));
            sh(&own_chain(
                "iptables-nft -I DOCKER-USER -p udp --dport 53 -j DROP",
            ));
            let code = "dns-server-unreachable";
            if on_podman() {
                // It asks all servers from the host.
                let server: Ipv4Addr = NEIGHBOUR.parse().unwrap();
                let chosen = world.run("chosen", |n| n.on(&net).dns(&[server.into()]));
                healthy(&world, &app);
                healthy(&world, &chosen);
            } else if asks_from_the_host(&world, "app") {
                healthy(&world, &app);
                // Such an engine has this fault only where the server was chosen for the container.
                let server: Ipv4Addr = NEIGHBOUR.parse().unwrap();
                let chosen = world.run("chosen", |n| n.on(&net).dns(&[server.into()]));
                let report = named(&world, &chosen, code, "chosen-server-behind-a-drop");
                world.paste(&report.findings[0].fixes[0].commands);
                healthy(&world, &chosen);
            } else {
                let report = named(&world, &app, code, "only-the-host-reaches-them");
                let problem = &report.findings[0].problem;
                assert!(problem.contains("answer the host"), "{}", show(&report));
            }
            sh(&own_chain("iptables-nft -D DOCKER-USER 1"));
            healthy(&world, &app);
        },
    );
}

/// Whether the engine asks the host's servers from the host, as Docker 28 does; it writes `host(ADDRESS)` then.
fn asks_from_the_host(world: &World, key: &str) -> bool {
    let file = world.inspect(key).resolv_conf_path.unwrap();
    let conf = std::fs::read_to_string(file).unwrap();
    conf.contains(&format!("host({NEIGHBOUR})"))
}

fn searching(node: Builder<Node>) -> Builder<Node> {
    node.host_config(|host| {
        host.dns_search = Some(vec!["corp.example".into()]);
        host.dns_options = Some(vec!["ndots:5".into()]);
    })
}

#[test]
fn search_domain_amplification() {
    inside_resolving(LAN_RESOLV_CONF, "search_domain_amplification", || {
        let code = "search-domain-amplification";
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80));
        let url = format!("http://{web}/");
        // Docker's own ndots:0: nobody else hears of the name. podman leaves it at 1.
        let calm = world.run("calm", |n| {
            n.on(&net).env("WEB_URL", &url).host_config(|host| {
                host.dns_search = Some(vec!["corp.example".into()]);
                host.dns_options = on_podman().then(|| vec!["ndots:0".into()]);
            })
        });
        healthy(&world, &calm);
        let leaked = format!("{web}.corp.example");
        assert!(!asked(NEIGHBOUR).iter().any(|name| name.starts_with(&web)));
        if on_podman() {
            let app = world.run("search-alone", |n| {
                n.on(&net)
                    .env("WEB_URL", &url)
                    .host_config(|host| host.dns_search = Some(vec!["corp.example".into()]))
            });
            let report = report_of(&world, &app);
            assert_eq!(roots(&report), [code], "{}", show(&report));
            world.paste(&report.findings[0].fixes[0].commands);
            healthy(&world, &app);
        }

        let app = world.run("app", |n| searching(n.on(&net).env("WEB_URL", &url)));
        let report = named(&world, &app, code, "leaks");
        assert_eq!(report.findings[0].severity, Severity::Warning);
        assert!(asked(NEIGHBOUR).contains(&leaked), "{:?}", asked(NEIGHBOUR));
        let works = world.pair(&[], &app, &format!("{web}:80"));
        assert_eq!(works.outcome, Outcome::Healthy, "{}", show(&works));

        // With a wildcard in that domain, the name leads elsewhere.
        say(NEIGHBOUR, Says::Always([10, 221, 0, 9].into()));
        let report = named(&world, &app, code, "foreign-host");
        assert_eq!(report.findings[0].severity, Severity::Error);
        let report = world.pair(&[], &app, &format!("{web}:80"));
        assert_eq!(roots(&report), [code], "{}", show(&report));

        // With dead servers container names are lost, too; it is them that has to be mended first.
        say(NEIGHBOUR, Says::Gone);
        let report = world.report(&app, &[]);
        assert_eq!(roots(&report), ["upstream-dns-fails"], "{}", show(&report));
        say(NEIGHBOUR, Says::NoSuchName);

        world.paste(&report_of(&world, &app).findings[0].fixes[0].commands);
        healthy(&world, &app);
    });
}

#[track_caller]
fn report_of(world: &World, subject: &str) -> Report {
    let report = world.report(subject, &[]);
    assert_eq!(report.findings.len(), 1, "{}", show(&report));
    report
}

/// Docker's needs rules in the container's namespace, podman's is a program of the host's.
#[test]
fn engine_dns_silent() {
    inside_resolving(LAN_RESOLV_CONF, "engine_dns_silent", || {
        let code = "engine-dns-silent";
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80));
        let app = world.run("app", |n| n.on(&net));
        let target = format!("{web}:80");
        let inside = |command: &str| {
            let pid = world.inspect("app").state.unwrap().pid.unwrap();
            sh(&format!("nsenter -t {pid} -n iptables-nft {command}"));
        };
        let works = || {
            healthy(&world, &app);
            let report = world.pair(&[], &app, &target);
            assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
        };
        works();

        if on_podman() {
            sh("kill $(ss -Hlunp 'sport = :53' | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)");
        } else {
            inside("-t nat -F");
        }
        let report = named(&world, &app, code, "gone");
        let pair = world.pair(&[], &app, &target);
        assert_eq!(roots(&pair), [code], "{}", show(&pair));
        world.paste(&report.findings[0].fixes[0].commands);
        works();

        let drop = "-t raw -I PREROUTING -p udp --dport 53 -j DROP";
        if on_podman() {
            sh(&format!("iptables-nft {drop}"));
        } else {
            inside(&drop.replace("PREROUTING", "OUTPUT"));
        }
        named(&world, &app, code, "silent");
        let pair = world.pair(&[], &app, &target);
        assert_eq!(roots(&pair), [code], "{}", show(&pair));
        if on_podman() {
            sh("iptables-nft -t raw -F PREROUTING");
        } else {
            inside("-t raw -F OUTPUT");
        }
        works();
    });
}

/// What the LAN takes for the internet hears of nothing.
#[test]
fn no_container_name_goes_to_the_internet() {
    let conf = format!("nameserver {PUBLIC}\n");
    inside_resolving(&conf, "no_container_name_goes_to_the_internet", || {
        sh_on_lan(&format!("ip addr add {PUBLIC}/32 dev lo"));
        say(PUBLIC, Says::NoSuchName);
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80));
        let url = format!("http://{web}/");
        let app = world.run("app", |n| searching(n.on(&net).env("WEB_URL", url)));
        for way in WAYS {
            let report = world.report(&app, &["--probe", way]);
            assert_eq!(
                roots(&report),
                ["search-domain-amplification"],
                "{}",
                show(&report)
            );
            let report = world.pair(&["--probe", way], &app, &format!("{web}:80"));
            assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
        }
        assert_eq!(asked(PUBLIC), [""; 0]);
        // It would have heard: a place outside that is named may be looked up.
        world.pair(&[], &app, "db.corp.example:5432");
        assert!(asked(PUBLIC).contains(&"db.corp.example".to_owned()));
    });
}

#[test]
fn host_resolver_is_loopback() {
    inside_resolving(
        "nameserver 127.0.0.1\n",
        "host_resolver_is_loopback",
        || {
            let code = "host-resolver-is-loopback";
            sh_on_lan(&format!("ip addr add {PUBLIC}/32 dev lo"));
            say(PUBLIC, Says::NoSuchName);
            say("127.0.0.1", Says::NoSuchName);
            let world = World::new();
            let net = world.network("net");
            let app = world.run("app", |n| n);
            // The embedded DNS asks the host's resolver from the host.
            let other = world.run("other", |n| n.on(&net));
            healthy(&world, &other);
            let report = named(&world, &app, code, "default-bridge");
            assert_eq!(report.findings[0].severity, Severity::Warning);
            assert_eq!(asked(PUBLIC), [""; 0]);

            // A name that only the host's resolver knows.
            say("127.0.0.1", Says::Always([10, 221, 0, 9].into()));
            let report = world.pair(&[], &app, "db.corp.example:5432");
            assert_eq!(roots(&report), [code], "{}", show(&report));
            say("127.0.0.1", Says::NoSuchName);
            let report = world.pair(&[], &app, "db.corp.example:5432");
            assert_eq!(roots(&report), ["name-unknown"], "{}", show(&report));

            // What the fix says, by hand; then servers that were chosen on purpose.
            for servers in [r#"["10.221.0.9"]"#, r#"["8.8.8.8", "8.8.4.4"]"#] {
                configure(&format!(r#"{{"dns": {servers}}}"#));
                sh("systemctl restart docker");
                world.docker(&["start", &app]);
                healthy(&world, &app);
            }
        },
    );
}
