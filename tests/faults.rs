//! Every fault of the catalogue that a check of one container can name: made on the real engine,
//! named as the one root cause, mended by running what was printed, and gone at the next look.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use netcheck_testkit::bollard::models::{
    HealthConfig, HealthStatusEnum, RestartPolicy, RestartPolicyNameEnum,
};
use netcheck_testkit::{LABEL_LAB, NetworkBuilder, tcp};
use world::{Fault, Image, World, free_port, in_turn};

// The container's own state.

#[test]
fn container_not_running() {
    Fault::new("container-not-running", "stopped").is_named_and_healed(|world| {
        let net = world.network("net");
        let db = world.run("mysql-db", |n| n.on(&net).tcp(3306));
        world.docker(&["stop", "-t", "5", &db]);
        db
    });
}

#[test]
fn container_not_running_but_needed_by_another() {
    Fault::new("container-not-running", "needed-by-another").is_named_and_healed(|world| {
        let net = world.network("net");
        let db = world.run("mysql-db", |n| n.on(&net).tcp(3306));
        let url = format!("mysql://{db}:3306/some");
        let app = world.run("app", |n| n.on(&net).env("DB_URL", url));
        world.docker(&["stop", "-t", "5", &db]);
        app
    });
}

#[test]
fn container_never_started() {
    Fault::new("container-never-started", "created")
        .is_named_and_healed(|world| world.create("db", |n| n.tcp(3306)));
}

#[test]
fn host_port_taken() {
    Fault::new("host-port-taken", "by-a-container").is_named_and_healed(|world| {
        let port = free_port();
        world.run("shop", |n| n.tcp(80).publish_as(tcp(80), port));
        let web = world.create("web", |n| n.tcp(80).publish_as(tcp(80), port));
        assert_ne!(world.docker_said(&["start", &web]).code, Some(0));
        web
    });
}

#[test]
fn host_port_taken_by_a_process() {
    let held = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let make = |world: &World| {
        let web = world.create("web", |n| n.tcp(80).publish_as(tcp(80), port));
        assert_ne!(world.docker_said(&["start", &web]).code, Some(0));
        web
    };
    Fault::new("host-port-taken", "by-a-process").is_named_and_healed(make);
    drop(held);
}

/// Whoever had the port has ended since.
#[test]
fn host_port_taken_is_free_again() {
    Fault::new("host-port-taken", "free-again").is_named_and_healed(|world| {
        let held = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = held.local_addr().unwrap().port();
        let web = world.create("web", |n| n.tcp(80).publish_as(tcp(80), port));
        assert_ne!(world.docker_said(&["start", &web]).code, Some(0));
        web
    });
}

#[test]
fn stale_network_id() {
    Fault::new("stale-network-id", "made-again").is_named_and_healed(|world| {
        let net = world.network("net");
        let name = world.name("net");
        let db = world.run("mysql-db", |n| n.on(net.alias("store")).tcp(3306));
        world.docker(&["stop", "-t", "5", &db]);
        world.docker(&["network", "rm", &name]);
        let label = format!("{LABEL_LAB}={}", world.lab().id());
        world.docker(&["network", "create", "--label", &label, &name]);
        assert_ne!(world.docker_said(&["start", &db]).code, Some(0));
        db
    });
}

#[test]
fn stale_network_id_of_a_network_that_is_gone() {
    Fault::new("stale-network-id", "gone").is_named_and_healed(|world| {
        let net = world.network("net");
        let db = world.run("mysql-db", |n| n.on(&net).tcp(3306));
        world.docker(&["stop", "-t", "5", &db]);
        world.docker(&["network", "rm", &world.name("net")]);
        assert_ne!(world.docker_said(&["start", &db]).code, Some(0));
        db
    });
}

/// Never started, it knows its network by name alone.
#[test]
fn stale_network_id_before_the_first_start() {
    Fault::new("stale-network-id", "never-started").is_named_and_healed(|world| {
        let net = world.network("net");
        let db = world.create("mysql-db", |n| n.on(net.alias("store")).tcp(3306));
        world.docker(&["network", "rm", &world.name("net")]);
        assert_ne!(world.docker_said(&["start", &db]).code, Some(0));
        db
    });
}

#[test]
fn static_address_in_use() {
    Fault::new("static-address-in-use", "by-a-container").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("job", |n| n.on(&net));
        let taken: Ipv4Addr = world.address("job").parse().unwrap();
        let web = world.create("web", |n| n.on(net.alias("www").ip(taken)).tcp(80));
        assert_ne!(world.docker_said(&["start", &web]).code, Some(0));
        web
    });
}

#[test]
fn restart_loop() {
    Fault::new("restart-loop", "crashes")
        .after(&|world| world.touch("app", "/ready"))
        .is_named_and_healed(|world| {
            let always = RestartPolicy {
                name: Some(RestartPolicyNameEnum::ALWAYS),
                maximum_retry_count: None,
            };
            let app = world.run("app", |n| {
                n.word("needs=/ready")
                    .tcp(80)
                    .host_config(|host| host.restart_policy = Some(always))
            });
            // Docker doubles the pause from 100 ms on: after this it pauses for seconds.
            world.until("app", |now| now.restart_count >= Some(5));
            app
        });
}

#[test]
fn container_paused() {
    Fault::new("container-paused", "paused").is_named_and_healed(|world| {
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80).expose(tcp(80)));
        world.docker(&["pause", &web]);
        web
    });
}

#[test]
fn container_starting() {
    Fault::new("container-starting", "health-check-pending").is_named_and_healed(|world| {
        let begun = Instant::now();
        let app = world.run_image(Image::Health, "app", |n| {
            n.expose(tcp(80))
                .delay(Duration::from_secs(8))
                .tcp(80)
                .configure(|body| {
                    body.healthcheck = Some(HealthConfig {
                        start_period: Some(60_000_000_000),
                        ..HealthConfig::default()
                    });
                })
        });
        // Healthy only after the port is open.
        let container = world.get("app");
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(9).saturating_sub(begun.elapsed()));
            // The world may be gone by then.
            let _ = container.put_file("/healthy", "").wait();
        });
        app
    });
}

#[test]
fn container_unhealthy() {
    Fault::new("container-unhealthy", "check-fails")
        // What the health check wants is the user's to mend.
        .after(&|world| world.touch("app", "/healthy"))
        .is_named_and_healed(|world| {
            let app = world.run_image(Image::Health, "app", |n| n.tcp(80));
            world.until_health("app", HealthStatusEnum::UNHEALTHY);
            app
        });
}

// Networks and modes.

#[test]
fn container_on_no_network() {
    Fault::new("container-on-no-network", "disconnected").is_named_and_healed(|world| {
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).tcp(80));
        world.docker(&["network", "disconnect", net.real_name(), &web]);
        web
    });
}

#[test]
fn no_shared_network() {
    Fault::new("no-shared-network", "two-networks").is_named_and_healed(|world| {
        let (back, front) = (world.network("back"), world.network("front"));
        let db = world.run("mysql-db", |n| n.on(&back).tcp(3306));
        let url = format!("mysql://{db}:3306/some");
        world.run("app", |n| n.on(&front).env("DB_URL", url))
    });
}

#[test]
fn inter_container_communication_off() {
    let option = "com.docker.network.bridge.enable_icc";
    Fault::new("inter-container-communication-off", "a-network").is_named_and_healed(|world| {
        let net = world.network_with("net", |n| n.driver_option(option, "false"));
        let db = world.run("mysql-db", |n| n.on(net.alias("store")).tcp(3306));
        let url = format!("mysql://{db}:3306/some?replica=store");
        world.run("app", |n| n.on(&net).env("DB_URL", url))
    });
}

#[test]
fn network_mode_none() {
    Fault::new("network-mode-none", "listens-for-nobody")
        .is_named_and_healed(|world| world.run("web", |n| n.on_no_network().tcp(80)));
}

#[test]
fn network_mode_host() {
    Fault::new("network-mode-host", "names-a-container").is_named_and_healed(|world| {
        let net = world.network("net");
        let db = world.run("db", |n| {
            n.on(&net).tcp(5432).publish_as(tcp(5432), free_port())
        });
        let url = format!("postgres://app:secret@{db}:5432/app");
        world.run("app", |n| n.on_host_network().env("DATABASE_URL", url))
    });
}

#[test]
fn shared_namespace_dead() {
    Fault::new("shared-namespace-dead", "owner-restarted").is_named_and_healed(|world| {
        let net = world.network("net");
        let vpn = world.run("vpn", |n| n.on(&net).tcp(80));
        let app = world.run("app", |n| n.in_network_of(&world.get("vpn")));
        world.docker(&["restart", "-t", "5", &vpn]);
        app
    });
}

// Names.

#[test]
fn default_bridge_has_no_dns() {
    let _turn = in_turn();
    Fault::new("default-bridge-has-no-dns", "name-in-a-url").is_named_and_healed(|world| {
        let db = world.run("mysql-db", |n| n.tcp(3306));
        let url = format!("mysql://{db}:3306/some");
        world.run("app", |n| n.env("DB_URL", url))
    });
}

#[test]
fn alias_shared_by_several_containers() {
    Fault::new("alias-shared-by-several-containers", "two-stacks").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("one", |n| n.on(net.alias("api")).tcp(80));
        world.run("two", |n| n.on(net.alias("api")))
    });
}

#[test]
fn hosts_file_overrides_dns() {
    Fault::new("hosts-file-overrides-dns", "add-host").is_named_and_healed(|world| {
        let net = world.network("net");
        let db = world.run("db", |n| n.on(&net).tcp(5432));
        world.run("app", |n| n.on(&net).add_host(&db, "127.0.0.9"))
    });
}

// Gateway.

#[test]
fn default_route_through_other_network() {
    let _turn = in_turn();
    Fault::new("default-route-through-other-network", "no-masquerade").is_named_and_healed(
        |world| {
            let good = world.network("zzz");
            let masquerade = "com.docker.network.bridge.enable_ip_masquerade";
            let bad = world.network_with("aaa", |n| n.driver_option(masquerade, "false"));
            world.run("app", |n| n.on(&good).on(&bad))
        },
    );
}

// Listening.

#[test]
fn nothing_listens() {
    Fault::new("nothing-listens", "exposed").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("web", |n| {
            n.on(&net)
                .expose(tcp(80))
                .word("second-start=/started")
                .tcp(80)
        })
    });
}

#[test]
fn listens_on_loopback_only() {
    Fault::new("listens-on-loopback-only", "published").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("web", |n| {
            n.on(&net)
                .publish_as(tcp(80), free_port())
                .tcp(([127, 0, 0, 1], 80))
        })
    });
}

#[test]
fn listens_on_loopback_only_exposed() {
    Fault::new("listens-on-loopback-only", "exposed").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("web", |n| {
            n.on(&net).expose(tcp(80)).tcp(([127, 0, 0, 1], 80))
        })
    });
}

#[test]
fn listens_on_one_address() {
    Fault::new("listens-on-one-address", "second-network").is_named_and_healed(|world| {
        let (first, second) = (world.network("first"), world.network("second"));
        let address = first.numbered(20);
        let web = world.run("web", |n| {
            n.on(first.host(20)).on(&second).tcp((address, 80))
        });
        let url = format!("http://{web}/");
        world.run("near", |n| n.on(&first).env("WEB_URL", &url));
        world.run("app", |n| n.on(&second).env("WEB_URL", &url));
        web
    });
}

#[test]
fn listens_on_ipv6_only() {
    Fault::new("listens-on-ipv6-only", "bindv6only").is_named_and_healed(|world| {
        let net = world.network_with("net", NetworkBuilder::ipv6);
        let v6only = ("net.ipv6.bindv6only".to_owned(), "1".to_owned());
        world.run("web", |n| {
            n.on(&net)
                .expose(tcp(80))
                .tcp(80)
                .host_config(|host| host.sysctls = Some([v6only].into()))
        })
    });
}

#[test]
fn process_does_not_accept() {
    Fault::new("process-does-not-accept", "stopped-process").is_named_and_healed(|world| {
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).expose(tcp(80)).tcp(80));
        world.docker(&["kill", "-s", "STOP", &web]);
        web
    });
}

// Published ports.

#[test]
fn published_port_nobody_listens() {
    Fault::new("published-port-nobody-listens", "nothing-at-all").is_named_and_healed(|world| {
        world.run("web", |n| {
            n.publish_as(tcp(80), free_port())
                .word("second-start=/started")
                .tcp(80)
        })
    });
}

#[test]
fn published_to_wrong_container_port() {
    Fault::new("published-to-wrong-container-port", "one-other").is_named_and_healed(|world| {
        world.run("web", |n| n.publish_as(tcp(8080), free_port()).tcp(80))
    });
}

#[test]
fn published_transport_mismatch() {
    Fault::new("published-transport-mismatch", "udp-service").is_named_and_healed(|world| {
        world.run("dns", |n| n.publish_as(tcp(5353), free_port()).udp(5353))
    });
}

#[test]
fn published_on_host_loopback_only() {
    Fault::new("published-on-host-loopback-only", "through-the-host").is_named_and_healed(
        |world| {
            let net = world.network("net");
            let port = free_port();
            world.run("web", |n| {
                n.on(&net)
                    .publish_at(tcp(80), ([127, 0, 0, 1], port))
                    .http(80)
            });
            let url = format!("http://host.docker.internal:{port}/");
            world.run("app", |n| n.on(&net).host_access().env("API_URL", url))
        },
    );
}

#[test]
fn exposed_not_published() {
    Fault::new("exposed-not-published", "through-the-host").is_named_and_healed(|world| {
        let net = world.network("net");
        let port = free_port();
        world.run("web", |n| n.on(&net).expose(tcp(port)).http(port));
        let url = format!("http://host.docker.internal:{port}/");
        world.run("app", |n| n.on(&net).host_access().env("API_URL", url))
    });
}

#[test]
fn publish_ignored_on_an_internal_network() {
    Fault::new("publish-ignored-by-network-mode", "internal").is_named_and_healed(|world| {
        let net = world.network_with("net", NetworkBuilder::internal);
        world.run("web", |n| {
            n.on(&net).publish_as(tcp(80), free_port()).tcp(80)
        })
    });
}

#[test]
fn publish_ignored_in_host_mode() {
    Fault::new("publish-ignored-by-network-mode", "host").is_named_and_healed(|world| {
        world.run("web", |n| {
            n.on_host_network()
                .publish_as(tcp(80), free_port())
                .tcp(free_port())
        })
    });
}

#[test]
fn publish_ignored_in_none_mode() {
    Fault::new("publish-ignored-by-network-mode", "none").is_named_and_healed(|world| {
        world.run("web", |n| {
            n.on_no_network().publish_as(tcp(80), free_port()).tcp(80)
        })
    });
}

// The host, and the way out.

#[test]
fn host_gateway_name_missing() {
    let service = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = service.local_addr().unwrap().port();
    Fault::new("host-gateway-name-missing", "url").is_named_and_healed(|world| {
        let net = world.network("net");
        let url = format!("http://host.docker.internal:{port}/");
        world.run("app", |n| n.on(&net).env("API_URL", url))
    });
}

#[test]
fn network_is_internal() {
    let _turn = in_turn();
    Fault::new("network-is-internal", "wants-out").is_named_and_healed(|world| {
        let net = world.network_with("net", NetworkBuilder::internal);
        world.run("app", |n| {
            n.on(&net).env("API_URL", "https://api.example.com/v1")
        })
    });
}

#[test]
fn dns_server_unreachable() {
    Fault::new("dns-server-unreachable", "chosen-server").is_named_and_healed(|world| {
        let net = world.network("net");
        // Nobody has this address; at the gateway may be the engine's own.
        let server = net.numbered(50);
        world.run("app", |n| n.on(&net).dns(&[server]))
    });
}

// What the configuration points to.

#[test]
fn localhost_means_the_container() {
    Fault::new("localhost-means-the-container", "database-url").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("db", |n| n.on(&net).tcp(5432));
        let url = "postgres://u:secret@localhost:5432/app";
        world.run("app", |n| n.on(&net).env("DATABASE_URL", url))
    });
}

#[test]
fn localhost_means_the_container_in_a_host_variable() {
    Fault::new("localhost-means-the-container", "host-variable").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("db", |n| n.on(&net).expose(tcp(5432)).tcp(5432));
        world.run("app", |n| {
            n.on(&net).env("DB_HOST", "localhost").env("PASSWORD", "x")
        })
    });
}

#[test]
fn stale_container_address_taken_by_another() {
    Fault::new("stale-container-address", "taken-by-another").is_named_and_healed(|world| {
        let net = world.network("net");
        let db = world.run("mysql-db", |n| n.on(&net).tcp(3306));
        let url = format!("mysql://{}:3306/some", world.address("mysql-db"));
        world.docker(&["stop", "-t", "5", &db]);
        world.run("thief", |n| n.on(&net));
        world.docker(&["start", &db]);
        world.run("app", |n| n.on(&net).env("DB_URL", url))
    });
}

/// A label is for others to read, e.g. a dashboard on the same network.
#[test]
fn stale_container_address_in_a_label() {
    Fault::new("stale-container-address", "in-a-label").is_named_and_healed(|world| {
        let net = world.network("net");
        world.run("web", |n| n.on(&net).http(80));
        let url = format!("http://{}:80/", world.address("web"));
        world.run("app", |n| n.on(&net).label("dashboard.url", url))
    });
}

#[test]
fn stale_container_address_on_the_default_bridge() {
    let _turn = in_turn();
    Fault::new("stale-container-address", "works-by-luck").is_named_and_healed(|world| {
        world.run("mysql-db", |n| n.tcp(3306));
        let url = format!("mysql://{}:3306/some", world.address("mysql-db"));
        world.run("app", |n| n.env("DB_URL", url))
    });
}

#[test]
fn host_port_used_between_containers() {
    Fault::new("host-port-used-between-containers", "url").is_named_and_healed(|world| {
        let net = world.network("net");
        let port = free_port();
        let web = world.run("web", |n| n.on(&net).publish_as(tcp(80), port).http(80));
        let url = format!("http://{web}:{port}/");
        world.run("app", |n| n.on(&net).env("API_URL", url))
    });
}

#[test]
fn container_reached_through_host() {
    Fault::new("container-reached-through-host", "by-the-hosts-name").is_named_and_healed(
        |world| {
            let net = world.network("net");
            let port = free_port();
            world.run("web", |n| n.on(&net).publish_as(tcp(80), port).http(80));
            let url = format!("http://host.docker.internal:{port}/");
            world.run("app", |n| n.on(&net).host_access().env("API_URL", url))
        },
    );
}

#[test]
fn proxy_without_exception() {
    Fault::new("proxy-without-exception", "one-name").is_named_and_healed(|world| {
        let net = world.network("net");
        let web = world.run("web", |n| n.on(&net).http(8080));
        let (url, other) = (format!("http://{web}:8080/"), "localhost,.internal");
        world.run("app", |n| {
            n.on(&net)
                .env("API_URL", url)
                .env("HTTP_PROXY", "http://user:hunter2@192.0.2.1:3128")
                .env("no_proxy", other)
        })
    });
}
