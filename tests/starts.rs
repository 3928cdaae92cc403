//! Containers that the engine could not start, on the real engine: the cause that its last error names, and
//! the printed fix.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use netcheck_diagnose::report::{Outcome, Report};
use world::{Fault, World, roots, show};

/// A subnet with room for `hosts` beside the gateway, which nobody else has: the end of the kit's own for a
/// network that is removed again.
fn small(world: &World, short: &str) -> String {
    let net = world.network(short);
    let first = net.numbered(0).to_string();
    world.docker(&["network", "rm", &world.name(short)]);
    let name = world.name(&format!("{short}-small"));
    let label = format!("{}={}", netcheck_testkit::LABEL_LAB, world.lab().id());
    let subnet = format!("{first}/29");
    world.docker(&[
        "network", "create", "--label", &label, "--subnet", &subnet, &name,
    ]);
    name
}

/// The image of the world's nodes.
fn image(world: &World) -> String {
    let id = world.get("any").id().to_owned();
    world.docker(&["inspect", "-f", "{{.Image}}", &id])
}

/// Makes a container by Docker's own command line; whether it started.
fn start(world: &World, short: &str, more: &[&str]) -> bool {
    let (name, image) = (world.name(short), image(world));
    let label = format!("{}={}", netcheck_testkit::LABEL_LAB, world.lab().id());
    let mut words = vec!["run", "-d", "--name", &name, "--label", &label];
    words.extend(more);
    words.extend([&image as &str, "tcp=0.0.0.0:80"]);
    world.docker_said(&words).code == Some(0)
}

fn named(world: &World, subject: &str, code: &str) -> Report {
    let report = world.report(subject, &[]);
    assert_eq!(roots(&report), [code], "{}", show(&report));
    report
}

#[test]
fn subnet_full() {
    Fault::new("subnet-full", "a-29").is_named_and_healed(|world| {
        world.run("any", |n| n);
        let net = small(world, "net");
        let mut last = String::new();
        for number in 1.. {
            assert!(number < 9, "a /29 has room for eight");
            last = format!("web-{number}");
            if !start(world, &last, &["--network", &net]) {
                break;
            }
        }
        assert_eq!(last, "web-6", "five fit in beside the gateway");
        world.name(&last)
    });
}

#[test]
fn static_address_outside_subnet() {
    Fault::new("static-address-outside-subnet", "another-subnet").is_named_and_healed(|world| {
        world.run("any", |n| n);
        let net = small(world, "net");
        let more = [
            "--network",
            &net,
            "--ip",
            "10.99.0.3",
            "--network-alias",
            "www",
        ];
        assert!(!start(world, "web", &more));
        world.name("web")
    });
}

#[test]
fn shared_namespace_owner_recreated() {
    let world = World::new();
    let net = world.network("net");
    let vpn = world.run("vpn", |n| n.on(&net));
    let app = world.run("any", |n| n.in_network_of(&world.get("vpn")).tcp(80));
    world.docker(&["stop", "-t", "0", &app]);
    // A stopped one whose owner is there is stopped, and nothing more.
    named(&world, &app, "container-not-running");
    let evidence = world.folder().join("evidence.json");
    world.docker(&["rm", "--force", &vpn]);
    let more = ["--network", &world.name("net") as &str];
    let moved = world.name("vpn");
    assert!(start(&world, "vpn", &more), "{moved}");
    let code = "shared-namespace-owner-recreated";
    named(&world, &app, code);
    let words = ["--save-evidence", evidence.to_str().unwrap()];
    world.report(&app, &words);
    world.record(code, "removed");
    // As it says: made anew, with the owner of now.
    let image = image(&world);
    world.docker(&["rm", &app]);
    let owner = format!("container:{vpn}");
    let label = format!("{}={}", netcheck_testkit::LABEL_LAB, world.lab().id());
    world.docker(&[
        "run",
        "-d",
        "--name",
        &app,
        "--label",
        &label,
        "--network",
        &owner,
        &image,
        "tcp=0.0.0.0:81",
    ]);
    let healed = world.report(&app, &[]);
    assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
}
