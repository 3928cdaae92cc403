//! The probe's image: one version at a time, and `docker netcheck cleanup`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use netcheck_testkit::{Builder, Node};

use super::call::{netcheck_at, run};
use super::proxy::{Act, Proxy};
use super::world::World;
use super::{Watched, alone};

/// The tags of our images.
fn images(world: &World) -> Vec<String> {
    let list = world.docker(&[
        "images",
        "--filter",
        "label=io.netcheck.role=image",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ]);
    list.lines().map(str::to_owned).collect()
}

/// Imports an image with our label that is none of ours.
fn import(tag: &str) {
    let mut child = Command::new("docker")
        .args([
            "import",
            "--change",
            "LABEL io.netcheck.role=image",
            "-",
            tag,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(tag.len() as u64);
    archive
        .append_data(&mut header, "version", tag.as_bytes())
        .unwrap();
    let archive = archive.into_inner().unwrap();
    child.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_image_of_another_version_goes_when_a_newer_one_is_loaded() {
    let _alone = alone();
    let watched = Watched::new(|_| Act::Forward);
    let call = || assert_eq!(watched.call(&[]).status().unwrap().code(), Some(0));
    call();
    let current = watched.image();
    assert!(images(&watched.world).contains(&current));
    let old = "netcheck-probe:0.0.1-old";
    import(old);
    // While the current one is there nobody looks for others.
    call();
    assert!(images(&watched.world).contains(&old.to_owned()));
    watched.world.docker(&["rmi", "-f", &current]);
    call();
    assert!(watched.proxy.saw("/images/load"));
    let left = images(&watched.world);
    assert!(
        left.contains(&current) && !left.contains(&old.to_owned()),
        "{left:?}"
    );
}

/// `cleanup` removes the helpers of every run: here it is shown only those of this test, as others
/// may be at work on the same engine.
#[test]
fn cleanup_removes_what_is_ours() {
    let _alone = alone();
    let world = World::new();
    let label = format!("io.netcheck.test-cleanup={}", world.lab().id());
    let only = label.clone();
    let proxy = Proxy::new(move |asked| {
        if !asked.is("GET", "/containers/json") {
            return Act::Forward;
        }
        let all = "io.netcheck.role%3Dhelper%22";
        assert_eq!(asked.target.matches(all).count(), 1, "{}", asked.target);
        let with = format!("{all}%2C%22{}%22", only.replace('=', "%3D"));
        Act::Instead(asked.target.replace(all, &with))
    });
    let (key, value) = label.split_once('=').unwrap();
    let helper = |n: Builder<Node>| n.label("io.netcheck.role", "helper").label(key, value);
    let running = world.run("running", helper);
    let made = world.create("made", helper);
    let bystander = world.run("bystander", |n| n);
    let image = format!("netcheck-probe:test-{}", world.lab().id());
    // The second takes the tag from the first, which stays without one.
    import(&image);
    import(&image);
    let said = run(&mut netcheck_at(&proxy.host(), &["cleanup"]));
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (Some(0), ""),
        "{said:#?}"
    );
    let mut lines: Vec<&str> = said.stdout.lines().collect();
    lines.sort_unstable();
    for line in [
        format!("removed container {running}"),
        format!("removed container {made}"),
        format!("removed image {image}"),
    ] {
        assert!(lines.contains(&line.as_str()), "no {line} in {lines:#?}");
    }
    let left = world.docker(&[
        "ps",
        "-a",
        "--filter",
        &format!("name={}", world.lab().id()),
        "--format",
        "{{.Names}}",
    ]);
    assert_eq!(left, bystander);
    assert!(!images(&world).contains(&image));
    // Another program may have loaded its image meanwhile; there is none of ours.
    let again = run(&mut netcheck_at(&proxy.host(), &["cleanup"]));
    assert_eq!(again.code, Some(0), "{again:#?}");
    assert!(!again.stdout.contains("removed container"), "{again:#?}");
}

#[test]
fn cleanup_without_an_engine_says_so() {
    run(&mut netcheck_at(
        "unix:///nonexistent/docker.sock",
        &["cleanup"],
    ))
    .refused(&[
        "cannot connect to the Docker Engine at unix:///nonexistent/docker.sock",
        "the socket does not exist",
    ]);
}

#[test]
fn helpers_of_runs_long_over_are_removed() {
    let _alone = alone();
    let world = World::new();
    let app = world.run("app", |n| n);
    let left_behind = |short: &str, expires: &str| {
        world.create(short, |n| {
            n.label("io.netcheck.role", "helper")
                .label("io.netcheck.expires", expires)
        })
    };
    let over = left_behind("over", "1000000000");
    let waited_for = left_behind("waited-for", "99999999999");
    world.report(&app, &[]);
    let there = |name: &str| world.docker_said(&["inspect", name]).code == Some(0);
    assert!(!there(&over), "{over} is still there");
    assert!(there(&waited_for), "{waited_for} was not ours to remove");
}
