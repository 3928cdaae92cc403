//! The promise of time: with `--timeout 2s` no run takes longer than two and a half seconds, and
//! what was not finished by then is undecided. It is never taken for a "no".

use std::process::Command;

use netcheck_diagnose::report::{Outcome, Report};
use netcheck_testkit::tcp;

use super::answers::{Pair, unknown};
use super::call::{Ended, PROMISE, netcheck, netcheck_at, run};
use super::proxy::{Act, Asked, Proxy};
use super::world::{World, roots, show};

const WORDS: [&str; 4] = ["--timeout", "2s", "--format", "json"];

#[track_caller]
fn in_time(said: &Ended) {
    assert!(said.took < PROMISE, "{said:#?}");
}

/// The run on `app` for an engine that does this.
#[track_caller]
fn at(pair: &Pair, mode: &str, rule: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Ended {
    let proxy = Proxy::new(rule);
    let mut words = WORDS.to_vec();
    words.extend(["--probe", mode, &pair.app]);
    let said = run(&mut netcheck_at(&proxy.host(), &words));
    in_time(&said);
    said
}

/// The run on this container of the real engine.
#[track_caller]
fn on(container: &str, mode: &str) -> Report {
    let mut words = WORDS.to_vec();
    words.extend(["--probe", mode, container]);
    let said = run(&mut netcheck(&words));
    in_time(&said);
    said.report()
}

#[test]
fn nothing_is_said_where_the_essential_hangs() {
    let pair = Pair::new();
    let id = pair.id(&pair.app);
    for (path, doing) in [
        ("/version", "asking for its version".to_owned()),
        ("/containers/json", "listing the containers".to_owned()),
        (
            &format!("/containers/{id}/json"),
            format!("inspecting `{}`", pair.app),
        ),
    ] {
        let hanging = path.to_owned();
        let said = at(&pair, "auto", move |asked| match asked.path == hanging {
            true => Act::Hang,
            false => Act::Forward,
        });
        said.refused(&[
            "no answer from the Docker Engine within",
            &doing,
            "--timeout",
        ]);
    }
}

#[test]
fn what_is_not_essential_does_not_use_up_the_time() {
    let pair = Pair::new();
    let neighbour = format!("/containers/{}/json", pair.id(&pair.db));
    for (path, missing) in [
        ("/info", None),
        ("/networks", Some("listing the networks")),
        (neighbour.as_str(), None),
    ] {
        for mode in ["helper", "netns"] {
            let hanging = path.to_owned();
            let said = at(&pair, mode, move |asked| match asked.path == hanging {
                true => Act::Hang,
                false => Act::Forward,
            });
            let report = said.report();
            // There was still time to look from inside.
            assert!(
                report.visits.iter().any(|visit| visit.from == pair.app),
                "{path} {mode}: {}",
                show(&report)
            );
            match missing {
                Some(words) => unknown(&report, &[words]),
                None => assert!(
                    report.findings.is_empty(),
                    "{path} {mode}: {}",
                    show(&report)
                ),
            }
        }
    }
}

#[test]
fn a_helper_that_does_not_come_up_in_time_has_seen_nothing() {
    let pair = Pair::new();
    type IsThis = fn(&Asked) -> bool;
    let steps: [(&str, IsThis); 4] = [
        ("create", |asked| asked.path == "/containers/create"),
        ("attach", |asked| asked.path.ends_with("/attach")),
        ("start", |asked| asked.path.ends_with("/start")),
        ("load", |asked| asked.path == "/images/load"),
    ];
    for (step, is_this) in steps {
        let said = at(&pair, "helper", move |asked| match is_this(asked) {
            true => Act::Hang,
            false if step == "load" && asked.path == "/containers/create" => {
                Act::error(404, "No such image: netcheck-probe:x")
            }
            false => Act::Forward,
        });
        let why = match step {
            "load" => "while loading the image netcheck-probe:",
            _ => "the helper container was not up in time",
        };
        unknown(&said.report(), &[why]);
    }
    // One of several hangs: what the others saw first is known.
    let own = format!("container:{}", pair.id(&pair.app));
    let said = at(&pair, "helper", move |asked| {
        match asked.attaches() && network_of(&asked.path) == own {
            true => Act::Hang,
            false => Act::Forward,
        }
    });
    let report = said.report();
    unknown(&report, &["the helper container was not up in time"]);
    assert_eq!(report.visits.len(), 2, "{}", show(&report));
}

/// The network mode of the helper that is attached to here.
fn network_of(path: &str) -> String {
    let id = path.split('/').nth(2).unwrap();
    let inspect = ["inspect", "-f", "{{.HostConfig.NetworkMode}}", id];
    let output = Command::new("docker").args(inspect).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_paused_container_answers_nobody() {
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).expose(tcp(80)).tcp(80));
    world.docker(&["pause", &web]);
    for mode in ["helper", "netns"] {
        let report = on(&web, mode);
        assert_eq!(roots(&report), ["container-paused"], "{}", show(&report));
    }
}

/// The number of an address on a network that no container gets before all the others.
const FREE: u32 = 50;

#[test]
fn an_address_nobody_has() {
    let world = World::new();
    let net = world.network("net");
    let url = format!("postgres://u:pw@{}:5432/app", net.numbered(FREE));
    let app = world.run("app", |n| n.on(&net).env("DB_URL", url).tcp(80));
    for mode in ["helper", "netns"] {
        let report = on(&app, mode);
        // The kernel gives up after three seconds: within two nobody knows whether somebody answers.
        assert!(
            roots(&report)
                .iter()
                .all(|code| *code == "stale-container-address"),
            "{}",
            show(&report)
        );
        assert_ne!(report.outcome, Outcome::Healthy, "{}", show(&report));
    }
}

#[test]
fn a_dns_server_nobody_has() {
    let world = World::new();
    let net = world.network("net");
    let server = net.numbered(FREE);
    let app = world.run("app", |n| n.on(&net).dns(&[server]).tcp(80));
    for mode in ["helper", "netns"] {
        let report = on(&app, mode);
        assert_eq!(
            roots(&report),
            ["dns-server-unreachable"],
            "{}",
            show(&report)
        );
    }
}
