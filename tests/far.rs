//! An engine on another machine: its published ports are tried from there and from the machine where the
//! user sits, and the two are told apart. The other machine is a network namespace of its own.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod private;
mod world;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::thread;

use netcheck_diagnose::report::{CheckStatus, Outcome, Report};
use netcheck_diagnose::rule::Check;
use netcheck_testkit::tcp;
use private::{from_lan, inside, own_chain, sh};
use world::{BINARY, World, show};

/// The engine's host on the LAN.
const HOST: &str = "10.221.0.1";

/// The engine at a port of its host, as an administrator would not do it, without TLS.
fn engine_on_the_lan() -> SocketAddr {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let at = listener.local_addr().unwrap();
    let socket = std::env::var("DOCKER_HOST").unwrap();
    let socket = socket.strip_prefix("unix://").unwrap().to_owned();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, engine) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
            let (from_client, to_engine) =
                (client.try_clone().unwrap(), engine.try_clone().unwrap());
            thread::spawn(move || {
                pass(from_client, to_engine, |engine: &UnixStream| {
                    engine.shutdown(Shutdown::Write)
                });
            });
            thread::spawn(move || {
                pass(engine, client, |client: &TcpStream| {
                    client.shutdown(Shutdown::Write)
                });
            });
        }
    });
    at
}

/// One direction, and its end. Whoever goes away first is no matter of the test's.
fn pass<To: io::Write>(mut from: impl io::Read, mut to: To, end: impl Fn(&To) -> io::Result<()>) {
    let _ = io::copy(&mut from, &mut to);
    let _ = end(&to);
}

/// What the user on the other machine is told.
#[track_caller]
fn ask(engine: SocketAddr, container: &str) -> Report {
    let output = from_lan(BINARY)
        .args(["--format", "json", container])
        .env("DOCKER_HOST", format!("tcp://{engine}"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("no report: {error}\n{out}\n{err}"))
}

/// The line about published ports.
fn published(report: &Report) -> (CheckStatus, &str) {
    let line = report
        .checks
        .iter()
        .find(|line| line.check == Check::Published);
    let line = line.unwrap_or_else(|| panic!("{}", show(report)));
    (line.status, &line.saw)
}

#[test]
fn published_ports_as_they_are_here_and_there() {
    inside("published_ports_as_they_are_here_and_there", || {
        let engine = engine_on_the_lan();
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| {
            n.on(&net).tcp(80).publish_at(tcp(80), ([0, 0, 0, 0], 0))
        });
        let port = world.docker(&["port", &web, "80/tcp"]);
        let (_, port) = port.rsplit_once(':').unwrap();
        let place = format!("{HOST}:{port}");

        let report = ask(engine, &web);
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
        let (status, saw) = published(&report);
        assert_eq!(status, CheckStatus::Ok, "{saw}");
        assert!(saw.contains("reached, from this machine too"), "{saw}");

        // Other machines are kept out; on the host itself nothing changes.
        sh(&own_chain(
            "iptables-nft -I DOCKER-USER -i lan0 -p tcp --dport 80 -j DROP",
        ));
        let report = ask(engine, &web);
        sh(&own_chain("iptables-nft -D DOCKER-USER 1"));
        assert_eq!(report.outcome, Outcome::Undecided, "{}", show(&report));
        let (status, saw) = published(&report);
        assert_eq!(status, CheckStatus::Undecided, "{saw}");
        let told = format!("reached; from this machine {place}: timed out: something between");
        assert!(saw.contains(&told), "{saw}");
        assert!(
            report.undecided[0].needs.contains(&told),
            "{}",
            show(&report)
        );

        // On the engine's host there is one machine only.
        let local = world.report(&web, &[]);
        assert_eq!(local.outcome, Outcome::Healthy, "{}", show(&local));
        assert!(
            !published(&local).1.contains("this machine"),
            "{}",
            show(&local)
        );
    });
}

#[test]
fn what_is_for_the_host_alone_is_not_tried_from_here() {
    inside("what_is_for_the_host_alone_is_not_tried_from_here", || {
        let engine = engine_on_the_lan();
        let world = World::new();
        let net = world.network("net");
        let web = world.run("web", |n| {
            n.on(&net).tcp(80).publish_at(tcp(80), ([127, 0, 0, 1], 0))
        });
        let report = ask(engine, &web);
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(&report));
        let (_, saw) = published(&report);
        assert!(
            saw.contains("only on the engine's host (not from this machine)"),
            "{saw}"
        );
    });
}
