//! Engines, names and connections that are not as they should be: the exact exit code, a sentence
//! that says what failed, for whom, why and what to do, nothing on stdout, and all of it in time.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod call;
mod proxy;
mod world;

#[path = "bad_engines/answers.rs"]
mod answers;
#[path = "bad_engines/hostile.rs"]
mod hostile;
#[path = "bad_engines/saved.rs"]
mod saved;
#[path = "bad_engines/time.rs"]
mod time;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use call::{command, engine_api, netcheck, netcheck_at, run};
use proxy::{Act, Proxy, raw};
use tempfile::TempDir;
use world::{BINARY, World};

// Names.

#[test]
fn no_such_container_and_what_is_close_to_it() {
    let world = World::new();
    let name = world.create("mysql-db", |n| n);
    let typed = world.name("mysqldb");
    run(&mut netcheck(&[&typed])).refused(&[
        &format!("no such container: `{typed}`"),
        &format!("`{name}`"),
        "Did you mean",
    ]);
    run(&mut netcheck(&["zzzz-qqqq-nothing-is-like-this"])).refused(&[
        "no such container: `zzzz-qqqq-nothing-is-like-this`",
        "`docker ps -a` lists all containers.",
    ]);
}

#[test]
fn the_beginning_of_an_id_must_belong_to_one_container() {
    let world = World::new();
    let mut ids: Vec<String> = Vec::new();
    // Among 17 ids two begin with the same of 16 digits.
    let (one, other) = loop {
        let short = format!("c{}", ids.len());
        world.create(&short, |n| n);
        let id = world.get(&short).id().to_owned();
        let same = ids.iter().find(|known| known[..1] == id[..1]).cloned();
        if let Some(same) = same {
            break (same, id);
        }
        ids.push(id);
        assert!(ids.len() < 17);
    };
    let digit = &one[..1];
    run(&mut netcheck(&[digit])).refused(&[
        &format!("`{digit}` is the beginning of"),
        &one[..12],
        &other[..12],
        "Give more of the id",
    ]);
    // Enough of it is one, in capitals too.
    for prefix in [&one[..12], &one, &one[..12].to_uppercase()] {
        let found = run(&mut netcheck(&["-q", "--probe", "none", prefix]));
        assert_eq!(found.code, Some(2), "{found:#?}");
        assert!(found.stdout.contains("c"), "{found:#?}");
    }
    // A name that is written like the beginning of an id means the container of that name.
    let namesake = world.create("namesake", |n| n.real_name(&one[..12]));
    let found = run(&mut netcheck(&["-q", &namesake]));
    assert_eq!(found.code, Some(2), "{found:#?}");
    assert!(found.stdout.contains(&format!("{namesake}:")), "{found:#?}");
}

#[test]
fn names_that_nobody_has() {
    for empty in ["", "  ", "\t\n"] {
        run(&mut netcheck(&[empty])).refused(&["no container: the name is empty", "docker ps -a"]);
    }
    for name in ["../../etc", "a/b", "db?all=1", "db%2f..", "ünïcode", "*"] {
        run(&mut netcheck(&[name])).refused(&[&format!("no such container: `{name}`")]);
    }
    run(&mut netcheck(&["\u{1b}[31mdb\u{7}\u{202e}"]))
        .refused(&["no such container: `\\u{1b}[31mdb\\u{7}\\u{202e}`"]);
    let long = "x".repeat(10_000);
    let said = run(&mut netcheck(&[&long]));
    said.refused(&["no such container: `xxx"]);
    run(&mut netcheck(&["--", "-x"])).refused(&["no such container: `-x`"]);
    run(&mut netcheck(&["--"])).was_misused(&["CONTAINER"]);
    run(&mut netcheck(&["-x"])).was_misused(&["-x"]);
}

#[test]
fn a_name_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = std::ffi::OsStr::from_bytes(b"db\xff\x1b");
    run(netcheck(&[]).arg(bytes)).was_misused(&["invalid UTF-8"]);
}

// Connections.

#[test]
fn nobody_is_at_the_socket() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("docker.sock");
    let host = format!("unix://{}", path.display());
    let to = format!("cannot connect to the Docker Engine at {host}: ");
    let next = "Check that the engine runs";
    run(&mut netcheck_at(&host, &["db"])).refused(&[&to, "the socket does not exist", next]);
    drop(UnixListener::bind(&path).unwrap());
    run(&mut netcheck_at(&host, &["db"])).refused(&[&to, "nobody listens on the socket", next]);
}

#[test]
fn the_socket_is_not_for_this_user() {
    let folder = TempDir::new().unwrap();
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(folder.path(), 0o755);
    let program = folder.path().join("docker-netcheck");
    std::fs::copy(BINARY, &program).unwrap();
    allow(&program, 0o755);
    let socket = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    allow(&socket, 0o600);
    let host = format!("unix://{}", socket.display());
    let mut call = command(&program);
    call.arg("db").env("DOCKER_HOST", &host);
    call.uid(65534).gid(65534).current_dir("/");
    run(&mut call).refused(&[
        &format!("cannot connect to the Docker Engine at {host}: permission denied"),
        "member of the group that owns the socket",
    ]);
}

#[test]
fn addresses_that_cannot_be_used() {
    for (host, why) in [
        ("gopher://x:1", "unknown scheme"),
        ("tcp://localhost", "a port is missing"),
        ("tcp://localhost:70000", "ports go from 1 to 65535"),
        ("tcp://localhost:x", "the port is not a number"),
        ("unix://docker.sock", "begins with a slash"),
        ("nonsense", "a port is missing"),
        ("tcp://\u{1b}[31m:1", "malformed"),
    ] {
        run(&mut netcheck_at(host, &["db"])).refused(&[
            "cannot use the engine address `",
            why,
            "Use unix:///PATH, tcp://HOST:PORT or ssh://HOST in -H or DOCKER_HOST",
        ]);
    }
    let host = format!("tcp://127.0.0.1:{}", world::free_port());
    run(&mut netcheck_at(&host, &["db"])).refused(&[
        &format!("cannot connect to the Docker Engine at {host}: "),
        "refused",
        "Check that the engine runs",
    ]);
    run(&mut netcheck_at(
        "tcp://no-such-host.invalid:2375",
        &["--timeout", "2s", "db"],
    ))
    .refused(&["tcp://no-such-host.invalid:2375"]);
}

fn write(client: &mut UnixStream, text: &str) {
    client.write_all(text.as_bytes()).unwrap();
}

#[test]
fn what_answers_is_no_engine() {
    let check = |words: &[&str], answer: fn(&mut UnixStream)| {
        let folder = TempDir::new().unwrap();
        let host = raw(folder.path(), move |client| {
            let mut request = [0; 4096];
            // The first connection brings no request: it only tries the socket.
            if client.read(&mut request).unwrap_or(0) > 0 {
                answer(client);
            }
        });
        let said = run(&mut netcheck_at(&host, &["--timeout", "2s", "db"]));
        said.refused(words);
        said.refused(&[&host]);
    };
    // Closes at once.
    check(&["cannot connect to the Docker Engine at "], |_| {});
    // Garbage.
    check(&["cannot connect to the Docker Engine at "], |client| {
        write(client, "\u{1b}[31mSSH-2.0-OpenSSH_9.2\r\n");
    });
    // Another web server.
    check(
        &[
            "the Docker Engine failed while asking for its version: ",
            "status 404",
        ],
        |client| {
            write(
                client,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\nConnection: close\r\n\r\n<h1>\u{1b}[3m",
            );
        },
    );
    check(
        &["asking for its version: its answer is not the JSON it should be"],
        |client| {
            write(
                client,
                "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
            );
        },
    );
    // Never answers.
    check(
        &[
            "no answer from the Docker Engine within 2.0 s while asking for its version",
            "--timeout",
        ],
        |client| {
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest);
        },
    );
}

#[test]
fn an_engine_for_windows_containers() {
    let proxy = Proxy::new(|asked| match asked.path.as_str() {
        "/version" => Act::Change(Box::new(|body| {
            assert!(body.contains("\"Os\":\"linux\""), "{body}");
            body.replace("\"Os\":\"linux\"", "\"Os\":\"windows\"")
        })),
        _ => Act::Forward,
    });
    run(&mut netcheck_at(&proxy.host(), &["db"])).refused(&[
        "the Docker Engine runs windows containers",
        &proxy.host(),
        "Switch the engine to Linux containers.",
    ]);
    assert_eq!(proxy.log(), ["GET /version"]);
}

// The API's version.

#[test]
fn every_request_but_the_first_carries_the_version() {
    let world = World::new();
    let net = world.network("net");
    let web = world.run("web", |n| n.on(&net).tcp(80));
    let newest = format!("/v{}/", engine_api().0);
    for (pin, prefix) in [(None, newest.as_str()), (Some("1.40"), "/v1.40/")] {
        let proxy = Proxy::new(|_| Act::Forward);
        let mut call = netcheck_at(&proxy.host(), &["--probe", "helper", &web]);
        if let Some(pin) = pin {
            call.env("DOCKER_API_VERSION", pin);
        }
        let said = run(&mut call);
        assert_eq!(said.code, Some(0), "{said:#?}");
        let log = proxy.log();
        assert_eq!(log[0], "GET /version");
        assert!(log.len() > 8, "{log:#?}");
        for line in &log[1..] {
            let (_, target) = line.split_once(' ').unwrap();
            assert!(target.starts_with(prefix), "{line}");
            assert_eq!(target.matches("/v1.").count(), 1, "{line}");
        }
    }
}

#[test]
fn a_pinned_version_must_be_one_that_the_engine_knows() {
    let (most, least) = engine_api();
    let (most, least) = (
        format!("the engine knows at most {most}"),
        format!("the engine takes at least {least}"),
    );
    for (pin, why) in [
        ("1.99", most.as_str()),
        ("1.5", least.as_str()),
        ("latest", "it is not of the form 1.41"),
        ("1.41\u{1b}[3m", "it is not of the form 1.41"),
    ] {
        run(netcheck(&["db"]).env("DOCKER_API_VERSION", pin)).refused(
            &[
                "cannot use DOCKER_API_VERSION=1",
                why,
                "Unset DOCKER_API_VERSION",
            ]
            .map(|words| {
                if pin == "latest" {
                    words.trim_end_matches("=1")
                } else {
                    words
                }
            }),
        );
    }
}
