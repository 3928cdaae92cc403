//! What the engine refuses to make, on a real engine: the words that it says are explained with what it has to
//! do with it, the printed commands are run, and what was refused is done.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod private;
mod world;

use std::io::Write as _;
use std::process::{Command, Stdio};

use netcheck_diagnose::report::{Finding, Outcome, Report};
use private::{inside, inside_with};
use world::{BINARY, Said, World, roots, show};

/// An engine with room for four networks.
const SMALL_POOL: &str = "--default-address-pool base=10.240.0.0/22,size=24";

/// A helper takes its time to join an overlay network: the swarm gives it an address.
const PATIENT: [&str; 2] = ["--timeout", "30s"];

/// Runs `docker`, which must refuse; what it says.
#[track_caller]
fn refused(world: &World, words: &[&str]) -> String {
    let said = world.docker_said(words);
    assert_ne!(said.code, Some(0), "docker {words:?}: {said:?}");
    said.stderr
}

/// The report on words, with the exit code checked against the outcome.
#[track_caller]
fn explained(world: &World, words: &str) -> Report {
    let evidence = world.folder().join("evidence.json");
    let mut command = vec!["explain", "--format", "json"];
    command.extend(["--save-evidence", evidence.to_str().unwrap(), words]);
    let said = world.netcheck(&command);
    let report: Report = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|error| panic!("no report: {error}\n{said:#?}"));
    let code = match report.outcome {
        Outcome::Healthy => 0,
        Outcome::Problems => 2,
        Outcome::Undecided => 3,
    };
    assert_eq!(said.code, Some(code), "{said:#?}");
    report
}

/// The one finding that the words come to, the same from standard input; recorded as this case.
#[track_caller]
fn named(world: &World, words: &str, code: &str, case: &str) -> Finding {
    let report = explained(world, words);
    assert_eq!(roots(&report), [code], "{}", show(&report));
    assert!(report.undecided.is_empty(), "{}", show(&report));
    world.record(code, case);
    let piped = piped(&["explain", "--format", "json", "-"], words);
    let same: Report = serde_json::from_str(&piped.stdout).unwrap();
    assert_eq!(same, report);
    report.findings.into_iter().next().unwrap()
}

/// Runs the binary with this on its standard input.
fn piped(words: &[&str], input: &str) -> Said {
    let mut child = Command::new(BINARY)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

/// The tag of the image of a container that is there, for Docker's own command line.
fn image(world: &World) -> String {
    let config = world.inspect("any").config.unwrap();
    config.image.unwrap()
}

/// Labels what is made by Docker's own command line, so that it goes with the lab.
fn label(world: &World) -> String {
    format!("{}={}", netcheck_testkit::LABEL_LAB, world.lab().id())
}

#[test]
fn pools_that_are_used_up() {
    inside_with(SMALL_POOL, "pools_that_are_used_up", || {
        let world = World::new();
        let any = world.run("any", |n| n);
        let names: Vec<String> = (1..=4).map(|n| world.name(&format!("p{n}"))).collect();
        for name in &names {
            world.docker(&["network", "create", name]);
        }
        world.docker(&["network", "connect", &names[0], &any]);
        let new = world.name("new");
        let create = ["network", "create", &new as &str];
        let said = refused(&world, &create);
        let code = "address-pools-exhausted";
        let finding = named(&world, &said, code, "four-networks");
        let proof = &finding.evidence[1];
        assert!(
            proof.contains("enough for 4 networks, and 4 use them"),
            "{finding:#?}"
        );
        assert_eq!(finding.evidence.len(), 2, "{finding:#?}");
        // With a subnet of its own.
        world.paste(&finding.fixes[0].commands);
        world.docker(&["network", "rm", "app"]);
        // Three that nobody is on, and not the fourth.
        let remove = format!("docker network rm {}", names[1..].join(" "));
        assert_eq!(finding.fixes[1].commands, [remove]);
        refused(&world, &create);
        world.paste(&finding.fixes[1].commands);
        world.docker(&create);
        world.docker(&["network", "inspect", &names[0]]);
        // What Compose says leads to its file.
        let compose = format!("failed to create network shop_default: {said}");
        let edit = &explained(&world, &compose).findings[0].fixes[0];
        assert!(edit.text.contains("Compose file") && edit.commands.is_empty());
    });
}

#[test]
fn pools_without_room_for_the_network_of_an_overlay() {
    let test = "pools_without_room_for_the_network_of_an_overlay";
    inside_with(SMALL_POOL, test, || {
        for fix in 0..2 {
            let world = World::new();
            world.run("any", |n| n);
            let names: Vec<String> = (1..=4).map(|n| world.name(&format!("p{n}"))).collect();
            for name in &names {
                world.docker(&["network", "create", name]);
            }
            world.docker(&["swarm", "init"]);
            let overlay = world.name("overlay");
            let words = ["network", "create", "--driver", "overlay", "--attachable"];
            world.docker(&[&words[..], &[&overlay]].concat());
            let (web, label, image) = (world.name("web"), label(&world), image(&world));
            let mut run = vec!["run", "-d", "--name", &web, "--label", &label];
            run.extend(["--network", &overlay, &image, "tcp=0.0.0.0:80"]);
            let said = refused(&world, &run);
            let code = "address-pools-exhausted";
            let report = world.report(&web, &[]);
            assert_eq!(roots(&report), [code], "{}", show(&report));
            let explained = explained(&world, &said);
            assert_eq!(report.findings[0].fixes, explained.findings[0].fixes);
            world.paste(&report.findings[0].fixes[fix].commands);
            let healed = world.report(&web, &PATIENT);
            assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
            world.docker(&["rm", "--force", &web]);
            world.docker(&["swarm", "leave", "--force"]);
            world.docker(&["network", "rm", "docker_gwbridge"]);
            for name in &names {
                world.docker_said(&["network", "rm", name]);
            }
        }
    });
}

#[test]
fn a_subnet_that_another_network_has() {
    inside("a_subnet_that_another_network_has", || {
        let world = World::new();
        let (old, new) = (world.name("old"), world.name("new"));
        world.docker(&["network", "create", "--subnet", "10.213.0.0/24", &old]);
        let create = ["network", "create", "--subnet", "10.213.0.128/25", &new];
        let words = refused(&world, &create);
        let code = "subnet-overlaps-network";
        // Nobody knows which subnet was asked for.
        let bare = explained(&world, &words);
        assert_eq!(roots(&bare), [code], "{}", show(&bare));
        assert!(bare.findings[0].evidence[1].contains(&format!("`{old}` (10.213.0.0/24)")));
        // As it stands in the terminal.
        let words = format!("$ docker {}\n{words}", create.join(" "));
        let finding = named(&world, &words, code, "within");
        let problem = format!("`10.213.0.128/25` overlaps `{old}` (10.213.0.0/24)");
        assert_eq!(finding.problem, problem);
        assert_eq!(finding.fixes.len(), 3);
        for fix in &finding.fixes[..2] {
            world.paste(&fix.commands);
            world.docker(&["network", "rm", &new]);
        }
        refused(&world, &create);
        world.paste(&finding.fixes[2].commands);
        world.docker(&create);
        // With a container on it, it stays.
        let any = world.run("any", |n| n);
        world.docker(&["network", "connect", &new, &any]);
        let create = ["network", "create", "--subnet", "10.213.0.0/16", &old];
        let words = format!("docker {}\n{}", create.join(" "), refused(&world, &create));
        let report = explained(&world, &words);
        let finding = &report.findings[0];
        assert!(finding.evidence[1].contains(&any), "{finding:#?}");
        assert_eq!(finding.fixes.len(), 2, "{finding:#?}");
    });
}

#[test]
fn an_alias_on_the_default_bridge() {
    inside("an_alias_on_the_default_bridge", || {
        let world = World::new();
        world.run("any", |n| n);
        let (db, label, image) = (world.name("db"), label(&world), image(&world));
        let mut run = vec!["run", "-d", "--name", &db, "--label", &label];
        run.extend(["--network-alias", "db", &image, "tcp=0.0.0.0:80"]);
        let said = refused(&world, &run);
        let code = "alias-ignored-on-default-bridge";
        let finding = named(&world, &said, code, "run");
        assert_eq!(finding.fixes[0].commands, ["docker network create app"]);
        world.paste(&finding.fixes[0].commands);
        // As it says: the same again, on that network.
        world.docker_said(&["rm", "--force", &db]);
        run.splice(2..2, ["--network", "app"]);
        world.docker(&run);
        let report = world.report(&db, &[]);
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
        world.docker(&["rm", "--force", &db]);
        world.docker(&["network", "rm", "app"]);
    });
}

#[test]
fn an_overlay_without_a_swarm_or_for_services_alone() {
    let test = "an_overlay_without_a_swarm_or_for_services_alone";
    inside_with("", test, || {
        let world = World::new();
        world.run("any", |n| n);
        let code = "overlay-not-attachable";
        let overlay = world.name("overlay");
        let create = ["network", "create", "--driver", "overlay", &overlay as &str];
        let words = format!("docker {}\n{}", create.join(" "), refused(&world, &create));
        let finding = named(&world, &words, code, "no-swarm");
        assert_eq!(finding.fixes.len(), 2);
        // On one machine a bridge does.
        world.paste(&finding.fixes[1].commands);
        world.docker(&["network", "rm", &overlay]);
        world.paste(&finding.fixes[0].commands);
        let back = world.name("back");
        world.docker(&["network", "create", "--driver", "overlay", &back]);
        let (label, image) = (label(&world), image(&world));
        let run = |name: &str| {
            let mut run = vec!["run", "-d", "--name", name, "--label", &label];
            run.extend(["--network", &back, &image, "tcp=0.0.0.0:80"]);
            refused(&world, &run)
        };
        let healed = |name: &str, case: &str| {
            let said = run(name);
            let evidence = world.folder().join("evidence.json");
            let words = ["--save-evidence", evidence.to_str().unwrap()];
            for way in ["netns", "helper"] {
                let report = world.report(name, &[&words[..], &["--probe", way]].concat());
                assert_eq!(roots(&report), [code], "{way}: {}", show(&report));
            }
            world.record(code, case);
            let report = explained(&world, &said);
            assert_eq!(roots(&report), [code], "{}", show(&report));
            world.paste(&report.findings[0].fixes[0].commands);
            let healed = world.report(name, &PATIENT);
            assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
            // Two that failed by the same words cannot be told apart by them.
            world.docker(&["rm", "--force", name, &format!("{name}-old")]);
        };
        healed(&world.name("web"), "unused");
        let service = world.name("service");
        let mut words = vec!["service", "create", "--detach", "--no-resolve-image"];
        words.extend([
            "--name",
            &service,
            "--network",
            &back,
            &image,
            "tcp=0.0.0.0:80",
        ]);
        world.docker(&words);
        healed(&world.name("job"), "of-a-service");
        world.docker(&["service", "rm", &service]);
        world.docker(&["swarm", "leave", "--force"]);
    });
}

#[test]
fn a_start_that_failed_is_explained_from_its_words_too() {
    let world = World::new();
    let port = world::free_port();
    let any = world.run("any", |n| {
        n.tcp(80).publish_as(netcheck_testkit::tcp(80), port)
    });
    let (web, label, image) = (world.name("web"), label(&world), image(&world));
    let publish = format!("{port}:80");
    let mut run = vec!["run", "-d", "--name", &web, "--label", &label];
    run.extend(["-p", &publish, &image, "tcp=0.0.0.0:80"]);
    let said = refused(&world, &run);
    let report = explained(&world, &said);
    assert_eq!(roots(&report), ["host-port-taken"], "{}", show(&report));
    let finding = &report.findings[0];
    let problem =
        format!("`{web}` could not start: port {port} of the host is published by `{any}`");
    assert_eq!(finding.problem, problem);
    assert_eq!(
        finding.fixes,
        world.report(&web, &["--probe", "none"]).findings[0].fixes
    );
    // The container is gone: its name in the words is left.
    world.docker(&["rm", &web]);
    let gone = explained(&world, &said);
    let ask = format!("docker netcheck {web}");
    assert_eq!(gone.findings[0].fixes[0].commands, [ask]);
}

#[test]
fn words_are_explained_without_an_engine_and_others_are_undecided() {
    let at = |words: &[&str]| -> Said {
        let mut command = Command::new(BINARY);
        command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        command.args(words).stdin(Stdio::null());
        command.output().unwrap().into()
    };
    let known = at(&[
        "explain",
        "Pool overlaps with other one on this address space",
    ]);
    assert_eq!(known.code, Some(2), "{known:#?}");
    assert!(
        known.stdout.contains("error[subnet-overlaps-network]"),
        "{known:#?}"
    );
    assert!(
        known.stdout.contains("what the engine has to do with it"),
        "{known:#?}"
    );
    let unknown = at(&["explain", "docker: invalid reference \u{1b}format"]);
    assert_eq!(unknown.code, Some(3), "{unknown:#?}");
    assert!(
        unknown.stdout.contains("no cause that this tool knows"),
        "{unknown:#?}"
    );
    // What went to standard error was not piped.
    let nothing = at(&["explain", "-"]);
    assert_eq!(nothing.code, Some(1), "{nothing:#?}");
    assert!(nothing.stderr.contains("2>&1"), "{nothing:#?}");
    // No secret comes out again.
    let secret = "docker run -e DB_PASSWORD=hunter2 x: network-scoped aliases are only supported for user-defined \
                  networks";
    let said = at(&["explain", secret]);
    assert_eq!(said.code, Some(2), "{said:#?}");
    assert!(!said.stdout.contains("hunter2"), "{said:#?}");
}
