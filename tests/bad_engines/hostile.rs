//! What comes from outside: none of its control characters reaches a terminal, and none of its
//! secrets a report or a file.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use netcheck_testkit::bollard::models::HealthStatusEnum;
use netcheck_testkit::tcp;

use super::call::{netcheck, no_control_characters, run};
use super::world::{World, every_second, free_port};

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
    fn at(address: IpAddr) -> Self {
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
    let net = world.network("net");
    let gateway = net.gateway().unwrap();
    let dns = HostileDns::at(gateway);
    let evil = "\u{1b}[31mevil\u{7}\u{9b}3m\u{202e}";
    let app = world.run("app", |n| {
        n.on(net.alias(evil))
            .env("API_URL", format!("http://{evil}:80/{evil}"))
            .env(evil, format!("localhost:{evil}"))
            .env("DB_HOST", evil)
            .env("DB_URL", format!("mysql://u:p@localhost:3306/{evil}"))
            .label(evil, evil)
            .label("com.docker.compose.service", evil)
            .label("com.docker.compose.project", evil)
            .add_host(&format!("evil{evil}"), "10.9.8.7")
            .dns(&[gateway])
            .configure(move |body| {
                body.hostname = Some("evil".into());
                body.working_dir = Some(format!("/work{evil}"));
            })
            .publish_as(tcp(8080), free_port())
            .tcp(80)
            .word(format!("until=/{evil}"))
    });
    world.run("peer", |n| n.on(net.alias(format!("peer{evil}"))));
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
    let net = world.network("net");
    let secret = "hunter2";
    // The output of a health check, which a program may fill with anything.
    let check = format!("password={secret}");
    let db = world.name("db");
    let app = world.run("app", |n| {
        n.image(|image| image.healthcheck = Some(every_second(1, &check)))
            .on(&net)
            .publish_as(tcp(8080), free_port())
            .env(
                "DB_URL",
                format!("mysql://root:{secret}@{db}:3306/some?token={secret}"),
            )
            .env(
                "API_URL",
                format!("https://{secret}@localhost:8443/{secret}?key={secret}#{secret}"),
            )
            .env("API_TOKEN", secret)
            .env("DB_PASSWORD", secret)
            .env("DB_HOST", "localhost")
            .env("OPTS", format!("--verbose --password {secret}"))
            .label("io.example.token", secret)
            .tcp(80)
            .word(format!(
                "until=postgres://u:{secret}@db:5432/x?sslkey={secret}"
            ))
    });
    world.until_health("app", HealthStatusEnum::UNHEALTHY);
    let health = || world.docker(&["inspect", "-f", "{{json .State.Health}}", &app]);
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
    let ended = world.run("ended", |n| {
        n.image(|image| image.healthcheck = Some(every_second(1, &check)))
            .on(&net)
            .word("--password")
            .word(secret)
            .word(format!("--api-key={secret}"))
    });
    world.docker(&["wait", &ended]);
    in_every_form(&world, &ended, &none);
}
