//! All lines of a container: healthy, unseen, stopped, in every mode.

use super::*;

#[test]
fn a_healthy_container_from_state_to_outbound() {
    let mut db = container("mysql-db")
        .alias("db")
        .publishes(binding("0.0.0.0", 8080, tcp(80)))
        .publishes(binding("::", 8080, tcp(80)))
        .publishes(binding("127.0.0.1", 5353, udp(53)));
    db.detail_mut().state.health = Some(Health {
        status: "healthy".into(),
        failing_streak: 0,
        last_output: String::new(),
    });
    let mut web = socket(Protocol::Tcp, "0.0.0.0:80");
    web.owner = Some(Process {
        pid: 7,
        name: "nginx".into(),
        state: 'S',
    });
    let evidence = world(db)
        .and(container("app").on("my_network", "172.18.0.7"))
        .listens(vec![
            web,
            socket(Protocol::Udp, "0.0.0.0:53"),
            socket(Protocol::Tcp, "127.0.0.11:39999"),
        ])
        .has(ping("172.18.0.1", Delivered::Reply { took_ms: 1 }))
        .has(query("127.0.0.11", DnsOutcome::NxDomain))
        .has_from(peer("app"), lookup("db", &["172.18.0.9"]))
        .has_from(peer("app"), lookup("mysql-db", &["172.18.0.9"]))
        .has_from(
            peer("app"),
            lookup(&id_of("mysql-db")[..12], &["172.18.0.9"]),
        )
        .answered_from(
            Viewpoint::Host,
            Question::Snapshot,
            Answer::Snapshot(snapshot()),
        )
        .has_from(Viewpoint::Host, connect("127.0.0.1:8080", Ok(Then::Silent)))
        .has_from(Viewpoint::Host, connect("[::1]:8080", Ok(Then::Silent)))
        .has_from(
            Viewpoint::Host,
            datagram("127.0.0.1:5353", Delivered::Silent),
        )
        .has_from(
            Viewpoint::Host,
            connect("172.18.0.9:8080", Err(Errno::TimedOut)),
        );
    insta::assert_snapshot!(show(&evidence), @r"
    state Ok [the Engine API] running for 60 min, healthy
    networks Ok [the Engine API] my_network: 172.18.0.9 (bridge), alias db
    name Ok [a peer on my_network (app)] app on my_network finds it as db, mysql-db
    gateway Ok [mysql-db] 172.18.0.1 through eth0 (my_network) answers (ping, 1 ms)
    listening Ok [mysql-db] 0.0.0.0:53/udp; 0.0.0.0:80/tcp (nginx)
    published Ok [the engine's host] 0.0.0.0:8080, [::]:8080 -> 80/tcp: reached; 127.0.0.1:5353 -> 53/udp: delivered as far as can be seen, only on the engine's host
    host Skipped [mysql-db] host.docker.internal is not set up (Linux needs --add-host host.docker.internal:host-gateway)
    outbound Ok [mysql-db] DNS 127.0.0.11 answers (3 ms); route out by 172.18.0.1; the host forwards
    ");
    insta::assert_snapshot!(one(&evidence, Check::Networks), @r"
    Ok [the Engine API] my_network: 172.18.0.9 (bridge), alias db
      my_network: bridge, address 172.18.0.9, subnet 172.18.0.0/16, no gateway, names mysql-db, 6d7973716c2d, db, 1 other container
    ");
    insta::assert_snapshot!(one(&evidence, Check::Name), @r"
    Ok [a peer on my_network (app)] app on my_network finds it as db, mysql-db
      a peer on my_network (app): 6d7973716c2d leads to 172.18.0.9
      a peer on my_network (app): db leads to 172.18.0.9
      a peer on my_network (app): mysql-db leads to 172.18.0.9
    ");
    insta::assert_snapshot!(one(&evidence, Check::Published), @r"
    Ok [the engine's host] 0.0.0.0:8080, [::]:8080 -> 80/tcp: reached; 127.0.0.1:5353 -> 53/udp: delivered as far as can be seen, only on the engine's host
      0.0.0.0:8080, [::]:8080 -> 80/tcp: reached
      127.0.0.1:5353 -> 53/udp: delivered as far as can be seen, only on the engine's host
      by the host's own address, 172.18.0.9:8080 -> 80/tcp: timed out
    ");
}

#[test]
fn nothing_seen_from_inside_is_never_ok() {
    let mut evidence = world(container("app").publishes(binding("0.0.0.0", 80, tcp(80))));
    evidence
        .missed
        .push((Viewpoint::Host, "no helper image".into()));
    insta::assert_snapshot!(show(&evidence), @r"
    state Ok [the Engine API] running for 60 min
    networks Ok [the Engine API] my_network: 172.18.0.9 (bridge)
    name Undecided [a peer on my_network] not known on my_network: no look from inside was taken
    gateway Undecided [app] not known: no look from inside was taken
    listening Undecided [app] not known: no look from inside was taken
    published Undecided [the engine's host] 0.0.0.0:80 -> 80/tcp: not tried: no helper image
    host Undecided [app] not known: no look from inside was taken
    outbound Undecided [app] not known: no look from inside was taken
    ");
}

#[test]
fn a_container_that_does_not_run_has_a_state_and_networks_only() {
    let mut db = container("db").status(Status::Exited);
    let state = &mut db.detail_mut().state;
    state.exit_code = 137;
    state.oom_killed = true;
    state.finished_at = Some(NOW - 200);
    state.error = "cannot reach https://u:secret@h/x".into();
    db.endpoints[0].addresses.clear();
    insta::assert_snapshot!(show(&world(db)), @r"
    state Skipped [the Engine API] not running: it ended 3 min ago with exit code 137, killed for want of memory; the engine's last error: cannot reach https://***@h/***
    networks Ok [the Engine API] my_network: no address (bridge)
    ");

    let mut db = container("db").status(Status::Restarting);
    db.detail_mut().state.restarts = 4;
    db.detail_mut().state.exit_code = 1;
    insta::assert_snapshot!(show(&world(db)), @r"
    state Skipped [the Engine API] restarting: between two starts, it ended with exit code 1, restarted 4 times
    networks Ok [the Engine API] my_network: 172.18.0.9 (bridge)
    ");

    let mut db = container("db").status(Status::Created);
    db.detail_mut().state.error = "port is already allocated".into();
    insta::assert_snapshot!(show(&world(db)), @r"
    state Skipped [the Engine API] created, could not be started; the engine's last error: port is already allocated
    networks Ok [the Engine API] my_network: 172.18.0.9 (bridge)
    ");
    insta::assert_snapshot!(show(&world(container("db").status(Status::Dead))), @r"
    state Skipped [the Engine API] dead, the engine could not remove it: it ended with exit code 0
    networks Ok [the Engine API] my_network: 172.18.0.9 (bridge)
    ");
}

#[test]
fn modes_are_told_in_words() {
    let host = container("app")
        .alone()
        .mode(Mode::Host)
        .publishes(binding("0.0.0.0", 80, tcp(80)));
    let mut host = world(host).sees(snapshot());
    host.containers[0].published.clear();
    insta::assert_snapshot!(show(&host), @r"
    state Ok [the Engine API] running for 60 min
    networks Ok [the Engine API] host mode: it shares the network of the engine's host
    name Skipped [a peer on its networks] host mode: it has no name on any network
    gateway Skipped [app] host mode: it uses the host's routes
    listening Skipped [app] host mode: the host's sockets are everybody's, so its own cannot be told
    published Skipped [the engine's host] host mode: it listens on the host itself, and -p 0.0.0.0:80:80 is ignored
    host Skipped [app] host mode: localhost is the host
    outbound Skipped [app] DNS 127.0.0.11 was not asked; route out by 172.18.0.1
    ");

    let none = world(container("app").alone().mode(Mode::None)).sees(snapshot());
    insta::assert_snapshot!(show(&none), @r"
    state Ok [the Engine API] running for 60 min
    networks Ok [the Engine API] none mode: a network of its own with nothing but loopback
    name Skipped [a peer on its networks] none mode: it has no name, as nobody can reach it
    gateway Skipped [app] none mode: no gateway, on purpose
    listening Skipped [app] nothing listens
    published Skipped [the engine's host] nothing published
    host Skipped [app] none mode: no way to the host, on purpose
    outbound Skipped [app] none mode: no way out, on purpose
    ");

    let shared = world(container("app").alone().mode(Mode::Container(id_of("pod"))))
        .and(container("pod").status(Status::Exited))
        .sees(snapshot());
    insta::assert_snapshot!(show(&shared), @r"
    state Ok [the Engine API] running for 60 min
    networks Ok [the Engine API] container mode: it shares the network of pod, which is not running
    name Skipped [a peer on its networks] container mode: the names belong to the container it shares with
    gateway Skipped [app] 172.18.0.1 through eth0 (my_network) was not pinged
    listening Skipped [app] nothing listens
    published Skipped [the engine's host] container mode: ports are published by the container it shares with
    host Skipped [app] host.docker.internal is not set up (Linux needs --add-host host.docker.internal:host-gateway)
    outbound Skipped [app] DNS 127.0.0.11 was not asked; route out by 172.18.0.1
    ");
}

#[test]
fn the_default_bridge_gives_no_names_and_exposing_is_not_publishing() {
    let app = container("app")
        .alone()
        .on("bridge", "172.17.0.2")
        .exposes(tcp(80))
        .status(Status::Paused);
    insta::assert_snapshot!(show(&world(app).sees(snapshot())), @r"
    state Skipped [the Engine API] paused: its processes are frozen; started 60 min ago
    networks Ok [the Engine API] bridge: 172.17.0.2 (the default bridge)
    name Skipped [a peer on its networks] not by name: the default bridge has no DNS (a user-defined network gives names)
    gateway Skipped [app] 172.18.0.1 through eth0 (my_network) was not pinged
    listening Skipped [app] nothing listens
    published Skipped [the engine's host] 80/tcp is exposed, not published: reachable on its networks, not from the host
    host Skipped [app] host.docker.internal is not set up (Linux needs --add-host host.docker.internal:host-gateway)
    outbound Skipped [app] DNS 127.0.0.11 was not asked; route out by 172.18.0.1
    ");
}

#[test]
fn an_internal_network_has_no_way_out_on_purpose() {
    let mut inner = network("inner", "10.9.0.0/16");
    inner.internal = true;
    let mut seen = snapshot();
    seen.routes = Ok(Vec::new());
    let evidence = world(container("app").alone().on("inner", "10.9.0.2"))
        .with_network(inner)
        .sees(seen);
    insta::assert_snapshot!(show(&evidence), @r"
    state Ok [the Engine API] running for 60 min
    networks Ok [the Engine API] inner: 10.9.0.2 (bridge, internal)
    name Undecided [a peer on inner] not known on inner: no look from inside was taken
    gateway Skipped [app] none, on purpose: inner is internal
    listening Skipped [app] nothing listens
    published Skipped [the engine's host] nothing published
    host Skipped [app] host.docker.internal is not set up (Linux needs --add-host host.docker.internal:host-gateway)
    outbound Skipped [app] internal on purpose: no way out
    ");
}
