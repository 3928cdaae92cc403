//! `docker netcheck FROM TARGET...` on the real engine: every form of a target against a container
//! that serves it, each fault of a pair with its fix pasted, and what is said to words that are none.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between test programs")]

mod call;
mod world;

use call::{Ended, netcheck, run};
use netcheck_diagnose::report::{CheckStatus, Outcome, Pairs, Report, StepKind};
use netcheck_diagnose::request::Cause;
use netcheck_testkit::{Builder, NetworkBuilder, Node, tcp, udp};
use world::{World, in_turn, roots, show};

/// What may never be seen again.
const SECRET: &str = "hunter2";

/// The run with `--format json`: what was said, and the exit code checked against it.
#[track_caller]
fn ask(words: &[&str]) -> (Pairs, Ended) {
    let mut all = vec!["--format", "json"];
    all.extend(words);
    let ended = run(&mut netcheck(&all));
    let pairs: Pairs = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("no report: {error}\n{ended:#?}"));
    let expected = match pairs.outcome {
        _ if pairs.refused.iter().any(|one| one.cause == Cause::Words) => 125,
        _ if !pairs.refused.is_empty() => 1,
        Outcome::Healthy => 0,
        Outcome::Problems => 2,
        Outcome::Undecided => 3,
    };
    assert_eq!(ended.code, Some(expected), "{ended:#?}");
    (pairs, ended)
}

/// Every pair works, and nothing else is said; the places that were tried.
#[track_caller]
fn works(words: &[&str]) -> Vec<String> {
    let (pairs, ended) = ask(words);
    for report in &pairs.pairs {
        assert_eq!(report.outcome, Outcome::Healthy, "{}", show(report));
    }
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    places(&pairs)
}

fn places(pairs: &Pairs) -> Vec<String> {
    pairs.pairs.iter().map(place).collect()
}

/// The place a report is about, as its path ends.
fn place(report: &Report) -> String {
    let connect = |step: &&netcheck_diagnose::report::Step| step.step == StepKind::Connect;
    let step = report.path.iter().find(connect).unwrap();
    step.place.clone().unwrap()
}

/// One pair with this one root cause, by both ways of looking from inside.
#[track_caller]
fn is_named(from: &str, target: &str, code: &str) -> Report {
    let mut found = Vec::new();
    for way in ["netns", "helper"] {
        let (pairs, _) = ask(&["--probe", way, from, target]);
        let [report] = &pairs.pairs[..] else {
            panic!("{pairs:#?}");
        };
        assert_eq!(roots(report), [code], "{way}: {}", show(report));
        found.push(report.clone());
    }
    found.swap_remove(0)
}

/// Pastes each fix that has commands, one after another, and sees the pair work after the first.
#[track_caller]
fn is_healed(world: &World, report: &Report, from: &str, target: &str) {
    let fix = report.findings[0]
        .fixes
        .iter()
        .find(|fix| !fix.commands.is_empty())
        .unwrap_or_else(|| panic!("no fix to run: {}", show(report)));
    world.paste(&fix.commands);
    works(&[from, target]);
}

/// `app` and a `mysql-db` that serves its port.
fn shop(world: &World) -> (String, String) {
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("mysql-db", |n| n.on(&net).expose(tcp(3306)).banner(3306));
    (app, db)
}

fn of_service<'a>(service: &'a str, number: &'a str) -> impl Fn(Builder<Node>) -> Builder<Node> {
    move |node| {
        node.label("com.docker.compose.project", "shop")
            .label("com.docker.compose.service", service)
            .label("com.docker.compose.container-number", number)
    }
}

#[test]
fn a_service_on_its_address_on_another_network() {
    let world = World::new();
    let (first, second) = (world.network("first"), world.network("second"));
    let address = first.numbered(20);
    let web = world.run("web", |n| {
        n.on(first.host(20)).on(&second).tcp((address, 80))
    });
    let near = world.run("near", |n| n.on(&first));
    let app = world.run("app", |n| n.on(&second));
    let target = format!("{web}:80");
    works(&[&near, &target]);
    let report = is_named(&app, &target, "listens-on-one-address");
    world.paste(&report.findings[0].fixes[0].commands);
    works(&[&app, &target]);
    works(&[&near, &target]);
}

#[test]
fn a_network_that_lets_nobody_talk() {
    let world = World::new();
    let option = "com.docker.network.bridge.enable_icc";
    let net = world.network_with("net", |n| n.driver_option(option, "false"));
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| n.on(&net).tcp(3306));
    // By whatever name the container has there.
    let target = format!("{db}:3306");
    let report = is_named(&app, &target, "inter-container-communication-off");
    is_healed(&world, &report, &app, &target);
}

// Every form.

#[test]
fn every_form_of_a_target_leads_to_the_same_place() {
    let world = World::new();
    let (app, db) = shop(&world);
    let named = format!("{db}:3306");
    let address = world.address("mysql-db");
    let id = world.get("mysql-db").id().to_owned();
    for target in [
        db.clone(),
        named.clone(),
        format!("{named}/tcp"),
        format!("mysql://user:{SECRET}@{db}:3306/some"),
        format!("mysql://user:{SECRET}@{db}/some?x={SECRET}"),
        format!("jdbc:mysql://{db}/some?user=u&password={SECRET}"),
        format!("user:{SECRET}@tcp({db}:3306)/some"),
        format!("host={db} port=3306 password={SECRET}"),
        id.clone(),
        id[..20].to_owned(),
    ] {
        let ended = run(&mut netcheck(&["--format", "json", &app, &target]));
        assert_eq!(ended.code, Some(0), "{target}: {ended:#?}");
        let pairs: Pairs = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(places(&pairs), [named.as_str()], "{target}");
        assert!(!ended.stdout.contains(SECRET), "{ended:#?}");
        assert_eq!(ended.stderr, "");
    }
    // Docker's DNS knows the short id, so that it is a name as good as any.
    assert_eq!(works(&[&app, &id[..12]]), [format!("{}:3306", &id[..12])]);
    let by_address = format!("{address}:3306");
    assert_eq!(works(&[&app, &by_address]), [by_address.as_str()]);
    // A container is meant by its address too, and its ports are known.
    assert_eq!(works(&[&app, &address]), [by_address.as_str()]);
}

#[test]
fn default_ports_of_schemes_lists_and_udp() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let ports = [
        80, 443, 5432, 6379, 5672, 27017, 4222, 9092, 9093, 1883, 1433,
    ];
    let many = world.run("many", |n| {
        ports.into_iter().fold(n.on(&net), Builder::tcp).udp(53)
    });
    for (url, port) in [
        ("http://MANY/path", "80"),
        ("https://MANY", "443"),
        ("postgresql+psycopg://u:hunter2@MANY/x", "5432"),
        ("jdbc:postgresql://MANY/x", "5432"),
        ("redis://:hunter2@MANY/0", "6379"),
        ("amqp://u:hunter2@MANY/", "5672"),
        ("mongodb://u:hunter2@MANY/x", "27017"),
        ("nats://MANY", "4222"),
        ("mqtt://MANY", "1883"),
        ("jdbc:sqlserver://MANY;password=hunter2@", "1433"),
        ("MANY:53/udp", "53/udp"),
        ("dns://MANY", "53/udp"),
    ] {
        let target = url.replace("MANY", &many);
        let expected = format!("{many}:{port}");
        assert_eq!(works(&[&app, &target]), [expected.as_str()], "{url}");
    }
    for list in ["MANY:9092,MANY:9093", "kafka://MANY,MANY:9093"] {
        let target = list.replace("MANY", &many);
        let expected = [format!("{many}:9092"), format!("{many}:9093")];
        assert_eq!(works(&[&app, &target]), expected, "{list}");
    }
}

#[test]
fn an_ipv6_address() {
    let world = World::new();
    let net = world.network_with("net", NetworkBuilder::ipv6);
    let app = world.run("app", |n| n.on(&net));
    world.run("mysql-db", |n| n.on(&net).banner(([0u16; 8], 3306)));
    let addresses = world.get("mysql-db").addresses(&net).wait().unwrap();
    let address = addresses.iter().find(|address| address.is_ipv6()).unwrap();
    let place = format!("[{address}]:3306");
    assert_eq!(works(&[&app, &place]), [place.as_str()]);
    let url = format!("mysql://u:{SECRET}@[{address}]/some");
    assert_eq!(works(&[&app, &url]), [place.as_str()]);
    assert_eq!(works(&[&app, &address.to_string()]), [place.as_str()]);
}

#[test]
fn without_a_port_each_one_that_is_served() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("db", |n| {
        n.on(&net)
            .tcp(3306)
            .tcp(33060)
            .udp(53)
            .tcp(([127, 0, 0, 1], 9999))
    });
    let (pairs, ended) = ask(&[&app, &db]);
    let expected = ["3306", "33060", "53/udp"].map(|port| format!("{db}:{port}"));
    let mut tried = places(&pairs);
    tried.sort();
    assert_eq!(tried, expected);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stderr.contains("9999/tcp"), "{ended:#?}");
    assert_eq!(pairs.notes.len(), 1);
    // What is exposed and not served is no secret.
    let web = world.run("web", |n| {
        n.on(&net).expose(tcp(8080)).expose(udp(53)).tcp(80)
    });
    let (pairs, ended) = ask(&[&app, &web]);
    assert_eq!(pairs.pairs.len(), 3, "{pairs:#?}");
    assert_eq!(ended.code, Some(2));
}

#[test]
fn a_service_of_compose_at_either_end() {
    let world = World::new();
    let net = world.network("net");
    // A project of its own: other tests may have a `web` too.
    let project = world.name("shop");
    let replica = |service: &'static str, number: &'static str| {
        let project = project.clone();
        move |node: Builder<Node>| {
            of_service(service, number)(node).label("com.docker.compose.project", project)
        }
    };
    let in_project = |word: &str| format!("{project}/{word}");
    world.run("web-a", |n| replica("web", "1")(n.on(&net)));
    world.run("web-b", |n| replica("web", "2")(n.on(&net)));
    let db = world.run("db-a", |n| {
        let node = n.on(net.alias("store")).tcp(3306);
        replica("store", "1")(node)
    });
    let from = in_project("web-2");
    // The name that DNS knows there is the service's.
    assert_eq!(works(&[&from, &in_project("store")]), ["store:3306"]);
    assert_eq!(works(&[&from, &in_project("store:3306")]), ["store:3306"]);
    assert_eq!(works(&[&from, &in_project("store-1")]), ["store:3306"]);
    assert_eq!(works(&[&from, "store:3306"]), ["store:3306"]);
    let by_name = format!("{db}:3306");
    assert_eq!(works(&[&in_project("web-1"), &by_name]), [by_name.as_str()]);
    run(&mut netcheck(&[&in_project("web"), &by_name]))
        .refused(&["stands for 2 containers", "Name one of them"]);
    run(&mut netcheck(&[&in_project("wbe"), &by_name])).refused(&["no such container"]);
}

// Faults.

#[test]
fn a_wrong_port_and_a_stopped_target() {
    let world = World::new();
    let (app, db) = shop(&world);
    let report = is_named(
        &app,
        &format!("mysql://u:{SECRET}@{db}:3307/x"),
        "wrong-port",
    );
    let fix = &report.findings[0].fixes[0].text;
    assert!(fix.contains(&format!("`{db}:3306`")), "{fix}");
    world.docker(&["stop", "-t", "0", &db]);
    // With and without a port: its state is the story, and it is told once.
    is_named(&app, &db, "container-not-running");
    let target = format!("{db}:3306");
    let report = is_named(&app, &target, "container-not-running");
    is_healed(&world, &report, &app, &target);
    world.docker(&["pause", &db]);
    let report = is_named(&app, &db, "container-paused");
    is_healed(&world, &report, &app, &db);
}

#[test]
fn two_networks() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let app = world.run("app", |n| n.on(&one));
    let db = world.run("mysql-db", |n| n.on(&two).tcp(3306));
    let report = is_named(&app, &db, "no-shared-network");
    is_healed(&world, &report, &app, &db);
}

#[test]
fn a_listener_on_the_loopback_only() {
    let world = World::new();
    let _turn = in_turn();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net));
    let db = world.run("mysql-db", |n| n.on(&net).tcp(([127, 0, 0, 1], 3306)));
    let report = is_named(&app, &db, "listens-on-loopback-only");
    is_healed(&world, &report, &app, &db);
}

#[test]
fn an_address_that_was_written_down() {
    let world = World::new();
    let (app, db) = shop(&world);
    let url = format!("mysql://u:{SECRET}@{}:3306/some", world.address("mysql-db"));
    works(&[&app, &url]);
    // It comes back with another address; the old one is nobody's, and then somebody else's.
    world.docker(&["stop", "-t", "0", &db]);
    let report = is_named(&app, &url, "stale-container-address");
    assert!(!show(&report).contains(SECRET));
    let net = world.network("other");
    let thief = world.run("thief", |n| n.on(&net));
    let network = world.lab().real_name("net");
    world.docker(&["network", "connect", &network, &thief]);
    world.docker(&["start", &db]);
    let (pairs, _) = ask(&[&app, &url]);
    assert_eq!(pairs.outcome, Outcome::Problems, "{pairs:#?}");
    works(&[&app, &format!("mysql://u:{SECRET}@{db}:3306/some")]);
}

#[test]
fn oneself() {
    let world = World::new();
    let net = world.network("net");
    let app = world.run("app", |n| n.on(&net).tcp(([127, 0, 0, 1], 9000)));
    assert_eq!(works(&[&app, "localhost:9000"]), ["localhost:9000"]);
    let (pairs, _) = ask(&[&app, &app]);
    let [report] = &pairs.pairs[..] else {
        panic!("{pairs:#?}");
    };
    let network = report
        .path
        .iter()
        .find(|step| step.step == StepKind::Network);
    let saw = &network.unwrap().saw;
    assert!(saw.contains("`localhost` means the same"), "{saw}");
    let report = is_named(&app, "localhost:9001", "localhost-means-the-container");
    assert_eq!(report.path[0].status, CheckStatus::Ok);
    let idle = world.run("idle", |n| n.on(&net));
    run(&mut netcheck(&[&idle, &idle])).only(125, &["it is the container that asks", "localhost"]);
}

#[test]
fn the_engines_host_by_its_name() {
    let world = World::new();
    let net = world.network("net");
    let port = world::free_port();
    let app = world.run("app", |n| n.on(&net));
    let target = format!("host.docker.internal:{port}");
    is_named(&app, &target, "host-gateway-name-missing");
    let with = world.run("with", |n| n.on(&net).host_access());
    let listener = std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    assert_eq!(works(&[&with, &target]), [target.as_str()]);
    drop(listener);
    let (pairs, _) = ask(&[&with, &target]);
    assert_ne!(pairs.outcome, Outcome::Healthy, "{pairs:#?}");
}

// Words.

#[test]
fn words_that_are_no_target_are_said_so_without_the_engine() {
    for (target, why) in [
        ("", "it is empty"),
        ("db:70000", "port 70000 is not between 1 and 65535"),
        ("db:0", "port 0"),
        ("mysql://", "the URL has no host"),
        ("mysql://u:hunter2@/x", "the URL has no host"),
        ("mysql://u:hunter2@:3306/x", "no host before the port"),
        ("a:9092,,b:9092", "member 2 of the list"),
        ("a:9092,b", "member 2 of the list: it has no port"),
        ("u:hunter2@db:3306", "write the whole URL"),
        ("unix:///run/db.sock", "no place on a network"),
        ("mongodb+srv://u:hunter2@x.example", "DNS"),
        ("foo://u:hunter2@db", "which port"),
        ("db:hunter2", "is no port number"),
    ] {
        // There is no engine at all.
        let mut command = netcheck(&["app", target]);
        let ended = run(command.env("DOCKER_HOST", "unix:///nonexistent"));
        ended.was_misused(&["cannot try the target", why]);
        assert!(!ended.stderr.contains(SECRET), "{ended:#?}");
    }
    let words = ["--outbound", "example.com", "app", "db"];
    run(&mut netcheck(&words)).was_misused(&["--outbound"]);
}

#[test]
fn a_bad_target_does_not_stop_the_others() {
    let world = World::new();
    let (app, db) = shop(&world);
    let slip = db.replace("mysql-db", "mysqldb");
    let bad = format!("mysql://u:{SECRET}@{db}:99999/");
    let (pairs, ended) = ask(&[&app, &bad, &db, &slip, &format!("{db}:3306"), "x.example"]);
    assert_eq!(places(&pairs), [format!("{db}:3306")]);
    assert_eq!(pairs.pairs[0].outcome, Outcome::Healthy);
    assert_eq!(ended.code, Some(125), "{ended:#?}");
    assert_eq!(pairs.refused.len(), 3, "{pairs:#?}");
    for said in [
        "port 99999",
        "no such container",
        "Did you mean",
        "x.example:443",
    ] {
        assert!(ended.stderr.contains(said), "no {said} in {ended:#?}");
    }
    assert!(!format!("{ended:?}").contains(SECRET), "{ended:#?}");
    // Unknown alone is what an unknown container always was.
    run(&mut netcheck(&[&app, &slip])).refused(&["no such container", "Did you mean"]);
    run(&mut netcheck(&[&slip, &db])).refused(&["no such container", &slip]);
    // As text: the report of the one, and a line for each other.
    let ended = run(&mut netcheck(&[&app, &bad, &db]));
    assert_eq!(ended.code, Some(125));
    let drawn = format!("{app} ── {} ──▶ {db}:3306", world.lab().real_name("net"));
    assert!(
        ended.stdout.contains(&drawn) || ended.stdout.contains("-->"),
        "{ended:#?}"
    );
}

#[test]
fn several_targets_share_one_time_and_the_worst_counts() {
    let world = World::new();
    let (app, db) = shop(&world);
    let places_of = |ports: &[u16]| -> Vec<String> {
        ports.iter().map(|port| format!("{db}:{port}")).collect()
    };
    let targets = places_of(&[3306, 3307, 3308, 3309, 3310, 3311]);
    let mut words = vec!["--probe", "helper", app.as_str()];
    words.extend(targets.iter().map(String::as_str));
    let (pairs, ended) = ask(&words);
    assert_eq!(places(&pairs), targets);
    assert_eq!(ended.code, Some(2));
    let outcomes: Vec<_> = pairs.pairs.iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes[0], Outcome::Healthy);
    assert!(outcomes[1..].iter().all(|one| *one == Outcome::Problems));
    // One conversation for each place to look from, not one for each pair.
    assert!(pairs.pairs[0].visits.len() <= 3, "{pairs:#?}");
    assert!(ended.took < call::PROMISE, "{ended:#?}");
    let quiet = run(&mut netcheck(&["-q", &app, &targets[0], &targets[1]]));
    // A verdict goes over two lines where names are long.
    let verdicts = quiet.stdout.lines().filter(|line| !line.starts_with(' '));
    assert_eq!(verdicts.count(), 2, "{quiet:#?}");
}

#[test]
fn what_was_seen_of_several_can_be_judged_again() {
    let world = World::new();
    let (app, db) = shop(&world);
    let file = world.folder().join("evidence.json");
    let file = file.to_str().unwrap();
    let url = format!("mysql://u:{SECRET}@{db}:3307/x");
    let (pairs, _) = ask(&["--save-evidence", file, &app, &db, &url, "db:70000"]);
    let saved = std::fs::read_to_string(file).unwrap();
    assert!(!saved.contains(SECRET));
    let (again, _) = ask(&["--evidence", file]);
    assert_eq!(again, pairs);
    assert_eq!(again.pairs.len(), 2);
    assert_eq!(again.refused.len(), 1);
    let markdown = run(&mut netcheck(&["--format", "markdown", "--evidence", file]));
    assert_eq!(markdown.stdout.matches("\n## ").count(), 1, "{markdown:#?}");
}

#[test]
fn without_a_look_inside_nothing_works() {
    let world = World::new();
    let (app, db) = shop(&world);
    let (pairs, ended) = ask(&["--probe", "none", &app, &db]);
    assert_eq!(places(&pairs), [format!("{db}:3306")]);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
}

// The engine's host.

#[test]
fn from_the_engines_host() {
    let world = World::new();
    let net = world.network("net");
    let port = world::free_port();
    let db = world.run("mysql-db", |n| {
        n.on(&net)
            .publish_as(tcp(3306), port)
            .tcp(3306)
            .tcp(([127, 0, 0, 1], 3307))
    });
    let address = world.address("mysql-db");
    let place = format!("{address}:3306");
    for way in ["netns", "helper"] {
        // Names of containers do not resolve there: it is tried by its address.
        assert_eq!(works(&["--probe", way, "host", &db]), [place.as_str()]);
        let published = format!("localhost:{port}");
        assert_eq!(
            works(&["--probe", way, "host", &published]),
            [published.as_str()]
        );
    }
    let (pairs, _) = ask(&["host", &db]);
    let step = |kind| pairs.pairs[0].path.iter().find(|step| step.step == kind);
    let network = step(StepKind::Network).unwrap();
    assert_eq!(
        network.place.as_deref(),
        Some(world.lab().real_name("net").as_str())
    );
    let loopback = format!("{db}:3307");
    let report = is_named("host", &loopback, "listens-on-loopback-only");
    assert!(
        report.summary.starts_with("the engine's host to"),
        "{}",
        report.summary
    );
    is_named("host", &format!("{db}:3308"), "wrong-port");
    world.docker(&["stop", "-t", "0", &db]);
    let report = is_named("host", &db, "container-not-running");
    is_healed(&world, &report, "host", &db);
    // It is no container that could be diagnosed alone.
    run(&mut netcheck(&["host"])).refused(&["no such container"]);
}
