//! Every fault of the catalogue that a check of one container can name: made on the real engine,
//! named as the one root cause, mended by running what was printed, and gone at the next look.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use world::{Fault, World, free_port, in_turn};

// The container's own state.

#[test]
fn container_not_running() {
    Fault::new("container-not-running", "stopped").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let db = world.run("mysql-db", &["--network", &net], &["tcp=0.0.0.0:3306"]);
        world.docker(&["stop", "-t", "5", &db]);
        db
    });
}

#[test]
fn container_not_running_but_needed_by_another() {
    Fault::new("container-not-running", "needed-by-another").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let db = world.run("mysql-db", &["--network", &net], &["tcp=0.0.0.0:3306"]);
        let url = format!("DB_URL=mysql://{db}:3306/some");
        let app = world.run("app", &["--network", &net, "-e", &url], &["idle"]);
        world.docker(&["stop", "-t", "5", &db]);
        app
    });
}

#[test]
fn container_never_started() {
    Fault::new("container-never-started", "created").is_named_and_healed(|world| {
        let name = world.name("db");
        let said = world.make(
            "create",
            &world.images.plain,
            &name,
            &[],
            &["tcp=0.0.0.0:3306"],
        );
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        name
    });
}

#[test]
fn restart_loop() {
    let mend = |world: &World| {
        let file = world.folder().join("ready");
        std::fs::write(&file, "").unwrap();
        let target = format!("{}:/ready", world.name("app"));
        world.docker(&["cp", file.to_str().unwrap(), &target]);
    };
    Fault::new("restart-loop", "crashes")
        .after(&mend)
        .is_named_and_healed(|world| {
            let app = world.run(
                "app",
                &["--restart", "always"],
                &["needs=/ready", "tcp=0.0.0.0:80"],
            );
            // Docker doubles the pause from 100 ms on: after this it pauses for seconds.
            while world
                .docker(&["inspect", "-f", "{{.RestartCount}}", &app])
                .parse::<u32>()
                .unwrap()
                < 5
            {
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
            app
        });
}

#[test]
fn container_paused() {
    Fault::new("container-paused", "paused").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let web = world.run(
            "web",
            &["--network", &net, "--expose", "80"],
            &["tcp=0.0.0.0:80"],
        );
        world.docker(&["pause", &web]);
        web
    });
}

#[test]
fn container_starting() {
    Fault::new("container-starting", "health-check-pending").is_named_and_healed(|world| {
        let image = &world.images.health;
        let app = world.run_image(
            image,
            "app",
            &["--expose", "80", "--health-start-period", "60s"],
            &["after=8s", "tcp=0.0.0.0:80"],
        );
        let file = world.folder().join("healthy");
        std::fs::write(&file, "").unwrap();
        // Healthy only after the port is open: the file comes with the second of two copies.
        let target = format!("{app}:/healthy");
        let file = file.to_str().unwrap().to_owned();
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_secs(9));
            let _ = std::process::Command::new("docker")
                .args(["cp", &file, &target])
                .output();
        });
        app
    });
}

#[test]
fn container_unhealthy() {
    Fault::new("container-unhealthy", "check-fails")
        .after(&|world| {
            // What the health check wants is the user's to mend.
            let file = world.folder().join("healthy");
            std::fs::write(&file, "").unwrap();
            world.docker(&[
                "cp",
                file.to_str().unwrap(),
                &format!("{}:/healthy", world.name("app")),
            ]);
        })
        .is_named_and_healed(|world| {
            let app = world.run_image(&world.images.health, "app", &[], &["tcp=0.0.0.0:80"]);
            let health = || world.docker(&["inspect", "-f", "{{.State.Health.Status}}", &app]);
            while health() != "unhealthy" {
                std::thread::sleep(std::time::Duration::from_millis(300));
            }
            app
        });
}

// Networks and modes.

#[test]
fn container_on_no_network() {
    Fault::new("container-on-no-network", "disconnected").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let web = world.run("web", &["--network", &net], &["tcp=0.0.0.0:80"]);
        world.docker(&["network", "disconnect", &net, &web]);
        web
    });
}

#[test]
fn no_shared_network() {
    Fault::new("no-shared-network", "two-networks").is_named_and_healed(|world| {
        let (back, front) = (world.network("back", &[]), world.network("front", &[]));
        let db = world.run("mysql-db", &["--network", &back], &["tcp=0.0.0.0:3306"]);
        let url = format!("DB_URL=mysql://{db}:3306/some");
        world.run("app", &["--network", &front, "-e", &url], &["idle"])
    });
}

#[test]
fn network_mode_none() {
    Fault::new("network-mode-none", "listens-for-nobody")
        .is_named_and_healed(|world| world.run("web", &["--network", "none"], &["tcp=0.0.0.0:80"]));
}

#[test]
fn network_mode_host() {
    Fault::new("network-mode-host", "names-a-container").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let port = free_port();
        let publish = format!("{port}:5432");
        let db = world.run(
            "db",
            &["--network", &net, "-p", &publish],
            &["tcp=0.0.0.0:5432"],
        );
        let url = format!("DATABASE_URL=postgres://app:secret@{db}:5432/app");
        world.run("app", &["--network", "host", "-e", &url], &["idle"])
    });
}

#[test]
fn shared_namespace_dead() {
    Fault::new("shared-namespace-dead", "owner-restarted").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let vpn = world.run("vpn", &["--network", &net], &["tcp=0.0.0.0:80"]);
        let mode = format!("container:{vpn}");
        let app = world.run("app", &["--network", &mode], &["idle"]);
        world.docker(&["restart", "-t", "5", &vpn]);
        app
    });
}

// Names.

#[test]
fn default_bridge_has_no_dns() {
    let _turn = in_turn();
    Fault::new("default-bridge-has-no-dns", "name-in-a-url").is_named_and_healed(|world| {
        let db = world.run("mysql-db", &[], &["tcp=0.0.0.0:3306"]);
        let url = format!("DB_URL=mysql://{db}:3306/some");
        world.run("app", &["-e", &url], &["idle"])
    });
}

#[test]
fn alias_shared_by_several_containers() {
    Fault::new("alias-shared-by-several-containers", "two-stacks").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let flags = ["--network", &net, "--network-alias", "api"];
        world.run("one", &flags, &["tcp=0.0.0.0:80"]);
        world.run("two", &flags, &["idle"])
    });
}

#[test]
fn hosts_file_overrides_dns() {
    Fault::new("hosts-file-overrides-dns", "add-host").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let db = world.run("db", &["--network", &net], &["tcp=0.0.0.0:5432"]);
        let line = format!("{db}:127.0.0.9");
        world.run("app", &["--network", &net, "--add-host", &line], &["idle"])
    });
}

// Gateway.

#[test]
fn default_route_through_other_network() {
    let _turn = in_turn();
    Fault::new("default-route-through-other-network", "no-masquerade").is_named_and_healed(
        |world| {
            let good = world.network("zzz", &[]);
            let bad = world.network(
                "aaa",
                &["-o", "com.docker.network.bridge.enable_ip_masquerade=false"],
            );
            let app = world.run("app", &["--network", &good], &["idle"]);
            world.docker(&["network", "connect", &bad, &app]);
            app
        },
    );
}

// Listening.

#[test]
fn nothing_listens() {
    Fault::new("nothing-listens", "exposed").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        world.run(
            "web",
            &["--network", &net, "--expose", "80"],
            &["second-start=/started", "tcp=0.0.0.0:80"],
        )
    });
}

#[test]
fn listens_on_loopback_only() {
    Fault::new("listens-on-loopback-only", "published").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let publish = format!("{}:80", free_port());
        world.run(
            "web",
            &["--network", &net, "-p", &publish],
            &["tcp=127.0.0.1:80"],
        )
    });
}

#[test]
fn listens_on_loopback_only_exposed() {
    Fault::new("listens-on-loopback-only", "exposed").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        world.run(
            "web",
            &["--network", &net, "--expose", "80"],
            &["tcp=127.0.0.1:80"],
        )
    });
}

#[test]
fn listens_on_ipv6_only() {
    Fault::new("listens-on-ipv6-only", "bindv6only").is_named_and_healed(|world| {
        let subnet = format!("fd00:{}:{}::/64", &world.tag[..4], &world.tag[4..8]);
        let net = world.network("net", &["--ipv6", "--subnet", &subnet]);
        world.run(
            "web",
            &[
                "--network",
                &net,
                "--expose",
                "80",
                "--sysctl",
                "net.ipv6.bindv6only=1",
            ],
            &["tcp=[::]:80"],
        )
    });
}

#[test]
fn process_does_not_accept() {
    Fault::new("process-does-not-accept", "stopped-process").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let web = world.run(
            "web",
            &["--network", &net, "--expose", "80"],
            &["tcp=0.0.0.0:80"],
        );
        world.docker(&["kill", "-s", "STOP", &web]);
        web
    });
}

// Published ports.

#[test]
fn published_port_nobody_listens() {
    Fault::new("published-port-nobody-listens", "nothing-at-all").is_named_and_healed(|world| {
        let publish = format!("{}:80", free_port());
        world.run(
            "web",
            &["-p", &publish],
            &["second-start=/started", "tcp=0.0.0.0:80"],
        )
    });
}

#[test]
fn published_to_wrong_container_port() {
    Fault::new("published-to-wrong-container-port", "one-other").is_named_and_healed(|world| {
        let publish = format!("{}:8080", free_port());
        world.run("web", &["-p", &publish], &["tcp=0.0.0.0:80"])
    });
}

#[test]
fn published_transport_mismatch() {
    Fault::new("published-transport-mismatch", "udp-service").is_named_and_healed(|world| {
        let publish = format!("{}:5353", free_port());
        world.run("dns", &["-p", &publish], &["udp=0.0.0.0:5353"])
    });
}

#[test]
fn published_on_host_loopback_only() {
    Fault::new("published-on-host-loopback-only", "through-the-host").is_named_and_healed(
        |world| {
            let net = world.network("net", &[]);
            let port = free_port();
            let publish = format!("127.0.0.1:{port}:80");
            world.run(
                "web",
                &["--network", &net, "-p", &publish],
                &["http=0.0.0.0:80"],
            );
            let url = format!("API_URL=http://host.docker.internal:{port}/");
            let host = "host.docker.internal:host-gateway";
            world.run(
                "app",
                &["--network", &net, "-e", &url, "--add-host", host],
                &["idle"],
            )
        },
    );
}

#[test]
fn exposed_not_published() {
    Fault::new("exposed-not-published", "through-the-host").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let port = free_port();
        let serve = format!("http=0.0.0.0:{port}");
        world.run(
            "web",
            &["--network", &net, "--expose", &port.to_string()],
            &[&serve],
        );
        let url = format!("API_URL=http://host.docker.internal:{port}/");
        let host = "host.docker.internal:host-gateway";
        world.run(
            "app",
            &["--network", &net, "-e", &url, "--add-host", host],
            &["idle"],
        )
    });
}

#[test]
fn publish_ignored_on_an_internal_network() {
    Fault::new("publish-ignored-by-network-mode", "internal").is_named_and_healed(|world| {
        let net = world.network("net", &["--internal"]);
        let publish = format!("{}:80", free_port());
        world.run(
            "web",
            &["--network", &net, "-p", &publish],
            &["tcp=0.0.0.0:80"],
        )
    });
}

#[test]
fn publish_ignored_in_host_mode() {
    Fault::new("publish-ignored-by-network-mode", "host").is_named_and_healed(|world| {
        let publish = format!("{}:80", free_port());
        let serve = format!("tcp=0.0.0.0:{}", free_port());
        world.run("web", &["--network", "host", "-p", &publish], &[&serve])
    });
}

#[test]
fn publish_ignored_in_none_mode() {
    Fault::new("publish-ignored-by-network-mode", "none").is_named_and_healed(|world| {
        let publish = format!("{}:80", free_port());
        world.run(
            "web",
            &["--network", "none", "-p", &publish],
            &["tcp=0.0.0.0:80"],
        )
    });
}

// The host, and the way out.

#[test]
fn host_gateway_name_missing() {
    Fault::new("host-gateway-name-missing", "url").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let url = format!("API_URL=http://host.docker.internal:{}/", free_port());
        world.run("app", &["--network", &net, "-e", &url], &["idle"])
    });
}

#[test]
fn network_is_internal() {
    let _turn = in_turn();
    Fault::new("network-is-internal", "wants-out").is_named_and_healed(|world| {
        let net = world.network("net", &["--internal"]);
        world.run(
            "app",
            &[
                "--network",
                &net,
                "-e",
                "API_URL=https://api.example.com/v1",
            ],
            &["idle"],
        )
    });
}

#[test]
fn dns_server_unreachable() {
    Fault::new("dns-server-unreachable", "chosen-server").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let gateway = "{{(index .IPAM.Config 0).Gateway}}";
        let server = world.docker(&["network", "inspect", "-f", gateway, &net]);
        world.run("app", &["--network", &net, "--dns", &server], &["idle"])
    });
}

#[test]
fn dns_server_unreachable_on_the_default_bridge() {
    Fault::new("dns-server-unreachable", "loopback-server")
        .is_named_and_healed(|world| world.run("app", &["--dns", "127.0.0.53"], &["idle"]));
}

// What the configuration points to.

#[test]
fn localhost_means_the_container() {
    Fault::new("localhost-means-the-container", "database-url").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        world.run("db", &["--network", &net], &["tcp=0.0.0.0:5432"]);
        let url = "DATABASE_URL=postgres://u:secret@localhost:5432/app";
        world.run("app", &["--network", &net, "-e", url], &["idle"])
    });
}

#[test]
fn localhost_means_the_container_in_a_host_variable() {
    Fault::new("localhost-means-the-container", "host-variable").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        world.run(
            "db",
            &["--network", &net, "--expose", "5432"],
            &["tcp=0.0.0.0:5432"],
        );
        world.run(
            "app",
            &[
                "--network",
                &net,
                "-e",
                "DB_HOST=localhost",
                "-e",
                "PASSWORD=x",
            ],
            &["idle"],
        )
    });
}

#[test]
fn stale_container_address_taken_by_another() {
    Fault::new("stale-container-address", "taken-by-another").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let db = world.run("mysql-db", &["--network", &net], &["tcp=0.0.0.0:3306"]);
        let url = format!("DB_URL=mysql://{}:3306/some", world.address(&db));
        world.docker(&["stop", "-t", "5", &db]);
        world.run("thief", &["--network", &net], &["idle"]);
        world.docker(&["start", &db]);
        world.run("app", &["--network", &net, "-e", &url], &["idle"])
    });
}

#[test]
fn stale_container_address_on_the_default_bridge() {
    let _turn = in_turn();
    Fault::new("stale-container-address", "works-by-luck").is_named_and_healed(|world| {
        let db = world.run("mysql-db", &[], &["tcp=0.0.0.0:3306"]);
        let url = format!("DB_URL=mysql://{}:3306/some", world.address(&db));
        world.run("app", &["-e", &url], &["idle"])
    });
}

#[test]
fn host_port_used_between_containers() {
    Fault::new("host-port-used-between-containers", "url").is_named_and_healed(|world| {
        let net = world.network("net", &[]);
        let port = free_port();
        let publish = format!("{port}:80");
        let web = world.run(
            "web",
            &["--network", &net, "-p", &publish],
            &["http=0.0.0.0:80"],
        );
        let url = format!("API_URL=http://{web}:{port}/");
        world.run("app", &["--network", &net, "-e", &url], &["idle"])
    });
}
