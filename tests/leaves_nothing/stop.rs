//! Told to stop: by a signal, by a second one, by the docker CLI. The exit code says which, it is
//! quick, and nothing is left.

use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use super::proxy::Act;
use super::{GONE, Watched, alone};

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let done = Command::new("kill")
        .args(["-s", name, &pid])
        .status()
        .unwrap();
    assert!(done.success());
}

/// Waits for the end, which must come soon after `asked`; the exit code.
#[track_caller]
fn end(child: &mut Child, asked: Instant, within: Duration) -> Option<i32> {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if asked.elapsed() > within {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it did not end within {within:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
fn nothing_is_left(watched: &Watched, asked: Instant) {
    thread::sleep(GONE.saturating_sub(asked.elapsed()));
    let left = watched.helpers();
    assert!(left.is_empty(), "{left:#?}");
}

/// Nothing of the helpers' starts comes back, so that runs are in the middle of it.
fn stuck() -> Watched {
    Watched::new(|asked| match asked.path.ends_with("/start") {
        true => Act::Hang,
        false => Act::Forward,
    })
}

fn until_helpers_are_made(watched: &Watched) {
    let started = Instant::now();
    while watched.helpers().is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "no helper was made"
        );
    }
}

#[test]
fn signals_have_their_exit_codes_and_leave_nothing() {
    let _alone = alone();
    for (name, code) in [("TERM", 143), ("INT", 130)] {
        let watched = stuck();
        let mut child = watched.call(&["--timeout", "30s"]).spawn().unwrap();
        until_helpers_are_made(&watched);
        let asked = Instant::now();
        signal(&child, name);
        assert_eq!(end(&mut child, asked, GONE), Some(code), "{name}");
        nothing_is_left(&watched, asked);
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let _alone = alone();
    // The removal of the helpers hangs too.
    let watched =
        Watched::new(
            |asked| match asked.path.ends_with("/start") || asked.method == "DELETE" {
                true => Act::Hang,
                false => Act::Forward,
            },
        );
    let mut child = watched.call(&["--timeout", "30s"]).spawn().unwrap();
    until_helpers_are_made(&watched);
    signal(&child, "INT");
    let first = Instant::now();
    while !watched.proxy.saw("DELETE") {
        assert!(first.elapsed() < GONE, "it does not clean up");
    }
    assert!(
        child.try_wait().unwrap().is_none(),
        "it did not wait for the removal"
    );
    let second = Instant::now();
    signal(&child, "INT");
    assert_eq!(
        end(&mut child, second, Duration::from_millis(500)),
        Some(130)
    );
    // The reaper's requests hang as well; without the proxy its next look succeeds.
    let ours: Vec<String> = watched.helpers();
    for line in ours {
        watched
            .world
            .docker(&["rm", "-f", line.split(' ').next().unwrap()]);
    }
}

#[test]
fn a_hanging_engine_does_not_hold_it() {
    let _alone = alone();
    let watched = Watched::new(|asked| match asked.path.as_str() {
        "/version" => Act::Forward,
        _ => Act::Hang,
    });
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let before = watched.proxy.log().len();
        let mut child = watched.call(&["--timeout", "30s"]).spawn().unwrap();
        let started = Instant::now();
        while watched.proxy.log().len() < before + 3 {
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "it asks for nothing"
            );
        }
        let asked = Instant::now();
        signal(&child, name);
        assert_eq!(
            end(&mut child, asked, Duration::from_millis(500)),
            Some(code)
        );
    }
    assert_eq!(watched.made(), 0);
}

#[test]
fn the_docker_cli_lets_go() {
    let _alone = alone();
    let watched = stuck();
    let name = format!("docker_cli_test_{}", watched.world.lab().id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let mut child = watched
        .call(&["--timeout", "30s"])
        .env("DOCKER_CLI_PLUGIN_SOCKET", format!("@{name}"))
        .spawn()
        .unwrap();
    let (held, _) = listener.accept().unwrap();
    until_helpers_are_made(&watched);
    assert!(child.try_wait().unwrap().is_none());
    let asked = Instant::now();
    drop(held);
    assert_eq!(end(&mut child, asked, GONE), Some(130));
    nothing_is_left(&watched, asked);
}

#[test]
fn a_socket_that_is_gone_already_is_nothing() {
    let watched = Watched::new(|_| Act::Forward);
    let mut call = watched.call(&[]);
    call.env("DOCKER_CLI_PLUGIN_SOCKET", "@nobody_listens_here");
    assert_eq!(call.status().unwrap().code(), Some(0));
}

/// The real docker CLI, which is sent a signal while its output is no terminal: it sends none on
/// and closes its socket instead.
#[test]
fn through_the_docker_cli() {
    let _alone = alone();
    let watched = stuck();
    let config = watched.world.folder().join("config");
    std::fs::create_dir_all(config.join("cli-plugins")).unwrap();
    let plugin = config.join("cli-plugins/docker-netcheck");
    std::os::unix::fs::symlink(super::world::BINARY, plugin).unwrap();
    let mut docker = super::call::command("docker");
    let mut child = docker
        .env("DOCKER_CONFIG", &config)
        .env("DOCKER_HOST", watched.proxy.host())
        .args([
            "netcheck",
            "--timeout",
            "30s",
            "--probe",
            "helper",
            &watched.web,
        ])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until_helpers_are_made(&watched);
    let asked = Instant::now();
    signal(&child, "TERM");
    assert_eq!(end(&mut child, asked, GONE), Some(130));
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "");
    nothing_is_left(&watched, asked);
}
