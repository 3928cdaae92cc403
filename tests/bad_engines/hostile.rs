//! What comes from outside: none of its control characters reaches a terminal, and none of its
//! secrets a report or a file.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::call::{netcheck, no_control_characters, run};
use super::world::{World, free_port};

/// Every way to print a report, with the evidence saved beside the first.
#[track_caller]
fn in_every_form(world: &World, container: &str, check: &dyn Fn(&str)) {
    let file = world.folder().join("evidence.json");
    let file = file.to_str().unwrap();
    for mode in ["auto", "helper"] {
        for form in [
            &["--save-evidence", file][..],
            &["-v"],
            &["-q"],
            &["--format", "json"],
            &["--format", "markdown"],
        ] {
            let said = run(netcheck(&["--probe", mode, container]).args(form));
            assert!(matches!(said.code, Some(0 | 2 | 3)), "{said:#?}");
            assert!(!said.stdout.is_empty());
            check(&said.stdout);
            check(&said.stderr);
        }
        check(&std::fs::read_to_string(file).unwrap());
    }
}

/// A DNS server whose answers are hostile: an alias with control characters, and then refusals with
/// nothing but such characters in them.
struct HostileDns {
    asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl HostileDns {
    fn at(address: &str) -> Self {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let this = Self {
            asked: asked.clone(),
            over: over.clone(),
        };
        thread::spawn(move || {
            let mut query = [0; 512];
            while !over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut query) else {
                    continue;
                };
                let count = asked.fetch_add(1, Ordering::Relaxed);
                let mut answer = query[..length].to_vec();
                answer[2] = 0x81;
                answer[3] = 0x80;
                if count.is_multiple_of(2) {
                    // One answer: the name is an alias of `\e[31mevil`.
                    answer[7] = 1;
                    answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 11, 9]);
                    answer.extend(b"\x1b[31mevil\x00");
                } else {
                    answer[7] = 200;
                    answer.extend(b"\x1b[31m\x07\x9b31m".repeat(9));
                }
                let _ = socket.send_to(&answer, from);
            }
        });
        this
    }
}

impl Drop for HostileDns {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_control_character_of_foreign_origin_is_shown() {
    let world = World::new();
    let net = world.network("net", &[]);
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = world.docker(&["network", "inspect", "-f", gateway, &net]);
    let dns = HostileDns::at(&gateway);
    let evil = "\u{1b}[31mevil\u{7}\u{9b}3m\u{202e}";
    let publish = format!("{}:8080", free_port());
    let words = [
        ("-e", format!("API_URL=http://{evil}:80/{evil}")),
        ("-e", format!("{evil}=localhost:{evil}")),
        ("-e", format!("DB_HOST={evil}")),
        ("-e", format!("DB_URL=mysql://u:p@localhost:3306/{evil}")),
        ("--label", format!("{evil}={evil}")),
        ("--label", format!("com.docker.compose.service={evil}")),
        ("--label", format!("com.docker.compose.project={evil}")),
        ("--network-alias", evil.to_owned()),
        ("--add-host", format!("evil{evil}:10.9.8.7")),
        ("--hostname", "evil".to_owned()),
        ("--dns", gateway.clone()),
        ("--workdir", format!("/work{evil}")),
        ("-p", publish),
        ("--network", net.clone()),
    ];
    let flags: Vec<&str> = words
        .iter()
        .flat_map(|(flag, value)| [*flag, value.as_str()])
        .collect();
    let until = format!("until=/{evil}");
    let app = world.run("app", &flags, &["tcp=0.0.0.0:80", &until]);
    let peer = format!("peer{evil}");
    world.run(
        "peer",
        &["--network", &net, "--network-alias", &peer],
        &["idle"],
    );
    in_every_form(&world, &app, &no_control_characters);
    assert!(
        dns.asked.load(Ordering::Relaxed) > 0,
        "nobody asked the hostile server"
    );
    let shown = run(&mut netcheck(&["-v", &app])).stdout;
    assert!(
        shown.contains("\\u{1b}[31mevil"),
        "nothing hostile was shown: {shown}"
    );
}

#[test]
fn no_secret_is_shown_or_saved() {
    let world = World::new();
    let net = world.network("net", &[]);
    let secret = "hunter2";
    // The output of a health check, which a program may fill with anything.
    let made = world.name("made");
    let said = world.make("create", &world.images.plain, &made, &[], &["idle"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let image = Image(format!("netcheck-test:secret-{}", world.tag));
    let check = format!(
        r#"HEALTHCHECK --interval=1s --retries=1 CMD ["/netcheck-node", "password={secret}"]"#
    );
    world.docker(&["commit", "--change", &check, &made, &image.0]);
    let publish = format!("{}:8080", free_port());
    let flags = [
        "--network".to_owned(),
        net.clone(),
        "-p".to_owned(),
        publish,
        format!(
            "-eDB_URL=mysql://root:{secret}@{}:3306/some?token={secret}",
            world.name("db")
        ),
        format!("-eAPI_URL=https://{secret}@localhost:8443/{secret}?key={secret}#{secret}"),
        format!("-eAPI_TOKEN={secret}"),
        format!("-eDB_PASSWORD={secret}"),
        "-eDB_HOST=localhost".to_owned(),
        format!("-eOPTS=--verbose --password {secret}"),
        format!("--label=io.example.token={secret}"),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let path = format!("until=postgres://u:{secret}@db:5432/x?sslkey={secret}");
    let app = world.run_image(&image.0, "app", &flags, &["tcp=0.0.0.0:80", &path]);
    let health = || world.docker(&["inspect", "-f", "{{json .State.Health}}", &app]);
    while !health().contains("unhealthy") {
        thread::sleep(Duration::from_millis(200));
    }
    assert!(
        health().contains(secret),
        "the health check says nothing: {}",
        health()
    );
    let none = |text: &str| assert!(!text.contains(secret), "{text}");
    in_every_form(&world, &app, &none);
    // A fix that makes the container anew has to go round what it must not show.
    let report = run(&mut netcheck(&["--format", "json", &app])).report();
    assert!(
        report
            .findings
            .iter()
            .any(|found| found.code == "container-unhealthy"),
        "{report:#?}"
    );
    // The word after a flag, in a container that ended because of it.
    let key = format!("--api-key={secret}");
    let words = ["--password", secret, &key];
    let ended = world.run_image(&image.0, "ended", &flags[..2], &words);
    world.docker(&["wait", &ended]);
    in_every_form(&world, &ended, &none);
}

/// An image of this test.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        let docker = |words: &[&str]| Command::new("docker").args(words).output().unwrap();
        // Its containers go first: an image that is in use would only lose its name.
        let ancestor = format!("ancestor={}", self.0);
        let containers = docker(&["ps", "-aq", "--filter", &ancestor]).stdout;
        for id in String::from_utf8_lossy(&containers).split_whitespace() {
            docker(&["rm", "-f", id]);
        }
        docker(&["rmi", "-f", &self.0]);
    }
}
