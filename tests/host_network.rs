//! Links and routes of the engine's host that keep a container from the network, on the real engine. Only
//! what belongs to the test's own network is changed: its bridge, and a route for one of its addresses.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use std::cell::RefCell;
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use netcheck_diagnose::report::{Outcome, Pairs};
use world::{Fault, World, roots, show};

/// Runs `ip` as root, which must succeed.
#[track_caller]
fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {words:?} (as root?): {said}");
}

/// The link of a network of this world: whichever has the gateway's address, as podman chooses other names.
fn bridge(world: &World, short: &str) -> String {
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = world.docker(&["network", "inspect", "-f", gateway, &world.name(short)]);
    let mut ip = Command::new("ip");
    let done = ip
        .args(["-o", "addr", "show", "to", &gateway])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let link = said.split_whitespace().nth(1);
    link.unwrap_or_else(|| panic!("no link has {gateway}: {said}"))
        .to_owned()
}

/// A link with nobody behind it, until it is dropped.
struct Nowhere(String);

impl Nowhere {
    fn new(world: &World) -> Self {
        // Fifteen characters are the most (IFNAMSIZ, netdevice(7)).
        let name = format!("nc{}", &world.lab().id()[..8]);
        let peer = format!("{name}p");
        ip(&["link", "add", &name, "type", "veth", "peer", "name", &peer]);
        let link = Self(name);
        ip(&["link", "set", &link.0, "up"]);
        ip(&["link", "set", &peer, "up"]);
        link
    }
}

impl Drop for Nowhere {
    fn drop(&mut self) {
        // Its routes and its other end go with it.
        let _ = Command::new("ip").args(["link", "del", &self.0]).status();
    }
}

#[test]
fn bridge_down() {
    Fault::new("bridge-down", "switched-off").is_named_and_healed(|world| {
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80));
        ip(&["link", "set", &bridge(world, "net"), "down"]);
        web
    });
}

#[test]
fn a_pair_on_a_bridge_that_is_down() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let target = format!("{}:80", world.run("web", |n| n.on(&net).tcp(80)));
    ip(&["link", "set", &bridge(&world, "net"), "down"]);
    let (code, pairs) = pairs(&world, &app, &target);
    let report = &pairs.pairs[0];
    assert_eq!(code, Some(2), "{}", show(report));
    assert_eq!(roots(report), ["bridge-down"], "{}", show(report));
    world.paste(&report.findings[0].fixes[0].commands);
    works_again(&bridge(&world, "net"));
    let (code, healed) = self::pairs(&world, &app, &target);
    assert_eq!(code, Some(0), "{}", show(&healed.pairs[0]));
}

/// What was asked for while it was down fails three seconds after that (three ARP requests, a second
/// apart: `mcast_solicit` and `retrans_time_ms` of arp(7)), and so does whoever joins in meanwhile.
const UNANSWERED_ARP: Duration = Duration::from_secs(3);

/// Waits until a link that was switched on passes packets.
fn works_again(link: &str) {
    let started = Instant::now();
    let state = format!("/sys/class/net/{link}/operstate");
    while std::fs::read_to_string(&state).unwrap().trim() != "up" {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{link} stays down"
        );
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(UNANSWERED_ARP);
}

/// One pair.
fn pairs(world: &World, from: &str, target: &str) -> (Option<i32>, Pairs) {
    let said = world.netcheck(&["--format", "json", from, target]);
    (said.code, serde_json::from_str(&said.stdout).unwrap())
}

#[test]
fn host_route_steals_subnet() {
    let links = RefCell::new(Vec::new());
    Fault::new("host-route-steals-subnet", "one-address").is_named_and_healed(|world| {
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80));
        let link = Nowhere::new(world);
        let stolen = format!("{}/32", world.address("web"));
        ip(&["route", "add", &stolen, "dev", &link.0]);
        links.borrow_mut().push(link);
        web
    });
}

#[test]
fn host_service_on_loopback_only() {
    let world = World::new();
    let net = world.network("net");
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let place = format!("host.docker.internal:{port}");
    let url = format!("http://{place}/");
    let app = world.run("app", |n| n.on(&net).host_access().env("API_URL", url));
    let code = "host-service-on-loopback-only";
    let evidence = world.folder().join("evidence.json");
    let saved = ["--save-evidence", evidence.to_str().unwrap()];
    for more in [&["--probe", "helper"][..], &saved] {
        let report = world.report(&app, more);
        assert_eq!(roots(&report), [code], "{}", show(&report));
    }
    world.record(code, "url");
    let (_, pair) = pairs(&world, &app, &place);
    assert_eq!(roots(&pair.pairs[0]), [code], "{}", show(&pair.pairs[0]));

    // As it says: on all addresses.
    drop(service);
    let _service = TcpListener::bind(("0.0.0.0", port)).unwrap();
    let healed = world.report(&app, &[]);
    assert_eq!(healed.outcome, Outcome::Healthy, "{}", show(&healed));
    let (code, _) = pairs(&world, &app, &place);
    assert_eq!(code, Some(0));
}
