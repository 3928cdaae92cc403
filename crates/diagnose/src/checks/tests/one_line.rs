//! One line at a time, where there is more to tell.

use super::*;

#[test]
fn names_that_lead_elsewhere_are_told() {
    let evidence = world(container("app").alias("web"))
        .has_from(
            Viewpoint::Network(id_of("my_network")),
            lookup("web", &["172.18.0.77"]),
        )
        .has_from(
            Viewpoint::Network(id_of("my_network")),
            lookup("app", &["172.18.0.9"]),
        )
        .has_from(
            Viewpoint::Network(id_of("my_network")),
            lookup(&id_of("app")[..12], &[]),
        );
    insta::assert_snapshot!(one(&evidence, Check::Name), @r"
    Undecided [a helper on my_network] a helper on my_network finds it as app; 617070000000 does not resolve, web leads to 172.18.0.77
      a helper on my_network: 617070000000 does not resolve
      a helper on my_network: app leads to 172.18.0.9
      a helper on my_network: web leads to 172.18.0.77
    ");
}

#[test]
fn listeners_say_who_can_reach_them() {
    let mut only6 = socket(Protocol::Tcp, "[::]:81");
    only6.v6_only = Some(true);
    let mut sockets = vec![
        socket(Protocol::Tcp, "127.0.0.1:3306"),
        only6,
        socket(Protocol::Tcp, "172.18.0.9:82"),
        socket(Protocol::Udp, "0.0.0.0:45000"),
    ];
    let accepts = (
        Question::Accepts {
            to: "172.18.0.9:82".parse().unwrap(),
            patience_ms: 1000,
        },
        Answer::Accepts(Accepts::Waiting {
            queued: 3,
            waited_ms: 1000,
        }),
    );
    let evidence = world(container("app"))
        .listens(sockets.clone())
        .has(accepts);
    insta::assert_snapshot!(one(&evidence, Check::Listening), @r"
    Ok [app] [::]:81/tcp: IPv6 only; 172.18.0.9:82/tcp: on this address only, takes no connections; 127.0.0.1:3306/tcp: only from inside
      [::]:81/tcp, IPv6 only
      172.18.0.9:82/tcp, on this address only, 3 connections not accepted within 1000 ms
      127.0.0.1:3306/tcp, only from inside
      0.0.0.0:45000/udp, most likely a client's socket, as its port is an ephemeral one
    ");

    sockets.extend((8000..8020).map(|port| socket(Protocol::Tcp, &format!("0.0.0.0:{port}"))));
    let many = one(&world(container("app")).listens(sockets), Check::Listening);
    assert!(many.contains("and 15 more (-v lists them)"), "{many}");
    assert!(many.contains("  0.0.0.0:8019/tcp\n"), "{many}");
}

#[test]
fn a_published_port_is_reached_only_if_somebody_listens_inside() {
    let world_with = |then: Result<Then, Errno>, sockets: Vec<netcheck_probe::Socket>| {
        let evidence = world(container("app").publishes(binding("0.0.0.0", 8080, tcp(80))))
            .listens(sockets)
            .has_from(Viewpoint::Host, connect("127.0.0.1:8080", then));
        one(&evidence, Check::Published)
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    let outside = || vec![socket(Protocol::Tcp, "0.0.0.0:80")];
    let loopback = || vec![socket(Protocol::Tcp, "127.0.0.1:80")];
    let all = [
        world_with(Ok(Then::Spoke("hi".into())), outside()),
        world_with(Ok(Then::Silent), vec![]),
        world_with(Ok(Then::Closed), vec![]),
        world_with(Ok(Then::Reset), loopback()),
        world_with(Ok(Then::Reset), outside()),
        world_with(Err(Errno::Refused), outside()),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    Ok [the engine's host] 0.0.0.0:8080 -> 80/tcp: reached
    Undecided [the engine's host] 0.0.0.0:8080 -> 80/tcp: accepted on the host, nobody listens inside
    Undecided [the engine's host] 0.0.0.0:8080 -> 80/tcp: accepted by docker-proxy, then closed: nobody inside
    Undecided [the engine's host] 0.0.0.0:8080 -> 80/tcp: accepted by docker-proxy, then closed: inside it listens on loopback only
    Undecided [the engine's host] 0.0.0.0:8080 -> 80/tcp: accepted, then closed at once
    Undecided [the engine's host] 0.0.0.0:8080 -> 80/tcp: connection refused
    ");
}

#[test]
fn the_host_by_its_name() {
    let mut seen = snapshot();
    seen.hosts = Ok(vec![HostsEntry {
        address: ip("172.17.0.1"),
        names: vec!["host.docker.internal".into()],
    }]);
    let evidence = world(container("app"))
        .sees(seen)
        .has(ping("172.17.0.1", Delivered::Silent));
    insta::assert_snapshot!(one(&evidence, Check::Host), @r"Undecided [app] host.docker.internal -> 172.17.0.1, which does not answer ping");

    let mut desktop = world(container("app"))
        .sees(snapshot())
        .has(lookup("host.docker.internal", &["192.168.65.254"]))
        .has(ping(
            "192.168.65.254",
            Delivered::Neighbour {
                mac: "02:42:00:00:00:01".into(),
            },
        ));
    if let Fact::Known(engine) = &mut desktop.engine {
        engine.operating_system = "Docker Desktop".into();
    }
    insta::assert_snapshot!(one(&desktop, Check::Host), @r"Ok [app] host.docker.internal -> 192.168.65.254, which is there, without an answer to ping");
}

#[test]
fn the_way_out_with_and_without_leave_to_ask() {
    let public = Snapshot {
        resolv_conf: Ok(netcheck_probe::ResolvConf {
            nameservers: vec![ip("127.0.0.11")],
            upstreams: vec!["host(8.8.8.8)".into(), "1.1.1.1".into()],
            ..Default::default()
        }),
        ..snapshot()
    };
    let evidence = world(container("app"))
        .sees(public.clone())
        .has(lookup("app", &["172.18.0.9"]));
    insta::assert_snapshot!(one(&evidence, Check::Outbound), @r"
    Skipped [app] DNS 127.0.0.11 is up; not asked: 8.8.8.8, 1.1.1.1 are on the internet; --outbound HOST asks; route out by 172.18.0.1
      127.0.0.11: the engine's DNS, asks 8.8.8.8, 1.1.1.1
      the host forwards, says the engine; the sysctl was not read
    ");

    let mut evidence = world(container("app"))
        .sees(public)
        .has(query("127.0.0.11", DnsOutcome::ServFail))
        .has(query("8.8.8.8", DnsOutcome::TimedOut))
        .has(lookup("example.com", &["192.0.2.7", "192.0.2.8"]))
        .has(connect("192.0.2.7:443", Err(Errno::TimedOut)))
        .has(connect("192.0.2.8:443", Err(Errno::NetworkUnreachable)));
    evidence.request.outbound = Some(Outbound {
        host: "example.com".into(),
        port: 443,
    });
    insta::assert_snapshot!(one(&evidence, Check::Outbound), @r"
    Undecided [app] example.com port 443: 192.0.2.7:443 timed out, 192.0.2.8:443 network is unreachable; DNS 127.0.0.11 answers that it failed (SERVFAIL); route out by 172.18.0.1
      192.0.2.7:443: timed out after 2 ms
      192.0.2.8:443: network is unreachable after 2 ms
      127.0.0.11: the engine's DNS, asks 8.8.8.8, 1.1.1.1
      8.8.8.8, asked directly, does not answer
      the host forwards, says the engine; the sysctl was not read
    ");
}

#[test]
fn a_label_is_told_and_not_judged() {
    let labels = [
        ("dashboard.href", "http://localhost:3000/"),
        ("proxy.to", "http://web:80"),
        ("other", "http://nobody/"),
    ];
    let with = |labels: &[(&'static str, &'static str)]| {
        let mut app = container("app");
        app.detail_mut().unjudged = crate::reference::find_unjudged(labels.iter().copied());
        world(app)
            .and(container("web").on("my_network", "172.18.0.7"))
            .sees(snapshot())
    };
    let judged = |evidence| {
        let report = crate::diagnose(evidence).unwrap();
        (report.outcome, report.findings, report.undecided)
    };
    let mut evidence = with(&labels);
    assert_eq!(judged(&evidence), judged(&with(&[])));
    insta::assert_snapshot!(one(&evidence, Check::Config), @r"
    Skipped [app] the label dashboard.href -> http://localhost:3000/: not judged: localhost is whoever reads the label; the label proxy.to -> http://web:80: not judged: a name of web, but who reads the label is not known; the label other -> http://nobody/: not judged: no container here has that name, and who reads the label is not known
      the label dashboard.href -> http://localhost:3000/: not judged: localhost is whoever reads the label
      the label proxy.to -> http://web:80: not judged: a name of web, but who reads the label is not known
      the label other -> http://nobody/: not judged: no container here has that name, and who reads the label is not known
    ");
    // One that was not inspected may have it as an alias.
    evidence.containers[1].detail = Fact::NotCollected;
    let shown = one(&evidence, Check::Config);
    assert!(
        shown
            .trim_end()
            .ends_with("http://nobody/: not judged: who reads the label is not known"),
        "{shown}"
    );
}

#[test]
fn the_configuration_says_what_is_wrong_first() {
    let rule = &crate::rules::container_not_running::RULE;
    let mut finding =
        crate::rule::Fault::error("no", vec![Subject::setting("DB_URL")]).into_finding(rule);
    finding.severity = Severity::Error;
    let evidence = world(container("app").env(&[
        "CACHE_URL=redis://:hunter2@cache:6379",
        "DB_URL=mysql://172.17.0.2:3306/some",
        "API_URL=https://api.example.com/v1",
    ]))
    .and(container("cache").on("my_network", "172.18.0.7"))
    .sees(snapshot())
    .has(lookup("cache", &["172.18.0.7"]))
    .has(connect("172.18.0.7:6379", Ok(Then::Silent)));
    let shown = show_with(&evidence, &[(rule, finding)], &[(rule, "x".into())]);
    // A problem outweighs an open question of the same line.
    assert!(shown.starts_with("state Problem "), "{shown}");
    insta::assert_snapshot!(shown.lines().last().unwrap(), @r"config Problem [app] DB_URL -> mysql://172.17.0.2:3306/some: wrong (container-not-running); CACHE_URL -> redis://***@cache:6379: leads to cache, a connection opens; API_URL -> https://api.example.com/***: not asked: a name of the outside");
}

#[test]
fn a_place_that_does_not_connect_comes_with_the_question_that_says_why() {
    let env = ["CACHE_URL=redis://cache:6380", "API_URL=http://cache:6379/"];
    let evidence = world(container("app").env(&env))
        .and(container("cache").on("my_network", "172.18.0.7"))
        .sees(snapshot())
        .has(lookup("cache", &["172.18.0.7"]))
        .has(connect("172.18.0.7:6379", Ok(Then::Silent)))
        .has(connect("172.18.0.7:6380", Err(Errno::Refused)));
    let shown = one(&evidence, Check::Config);
    let line = shown.lines().next().unwrap();
    assert!(
        line.contains("redis://cache:6380: leads to cache, connection refused; `docker netcheck app cache:6380` says why"),
        "{line}"
    );
    assert_eq!(line.matches("says why").count(), 1, "{line}");
}

#[test]
fn viewpoints_have_names() {
    let evidence = world(container("app"));
    let name = |viewpoint: &Viewpoint| viewpoint_name(&evidence, viewpoint);
    assert_eq!(name(&peer("app")), "app");
    assert_eq!(
        name(&Viewpoint::Network(id_of("other"))),
        "a helper on other"
    );
    assert_eq!(name(&Viewpoint::Host), "the engine's host");
    assert_eq!(
        name(&Viewpoint::Container("0123456789abcdef".into())),
        "the container 0123456789ab"
    );
}
