//! Questions alone, without collecting the engine: from many places at once, over conversations
//! that stay open, and never in a namespace that a container no longer has.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod world;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use netcheck_diagnose::evidence::{How, Viewpoint, Visit};
use netcheck_diagnose::plan::Plan;
use netcheck_diagnose::probe::{Connected, Errno, Question};
use netcheck_engine::{Deadline, ProbeMode, Run, Visits, look};
use world::{World, address, client, docker, id};

const PORT: u16 = 8080;

fn connect(to: &str) -> Question {
    Question::Connect {
        to: SocketAddr::new(to.parse().unwrap(), PORT),
        listen_ms: 1,
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(10))
}

#[track_caller]
fn opens(visit: &Visit, to: &str) -> bool {
    let to = SocketAddr::new(to.parse().unwrap(), PORT);
    match visit.connect(to).known() {
        Some(Connected::Open { .. }) => true,
        Some(Connected::Failed { .. }) => false,
        None => panic!("no answer about {to}: {visit:#?}"),
    }
}

#[tokio::test]
async fn ten_places_and_ten_connections_from_each_at_once() {
    let world = World::new();
    let network = world.network("net");
    let names: Vec<String> = (0..10)
        .map(|n| world.run(&format!("c{n}"), |n| n.on(&network).tcp(PORT)))
        .collect();
    let addresses: Vec<String> = names
        .iter()
        .map(|name| address(name, network.real_name()))
        .collect();
    let plan: Plan = names
        .iter()
        .map(|name| {
            let questions = addresses.iter().map(|to| connect(to)).collect();
            (Viewpoint::Container(id(name)), questions)
        })
        .collect();
    let client = client().await;
    let run = Run::new(None);
    let seen = look(&client, &run, ProbeMode::Netns, plan, soon()).await;
    assert_eq!(seen.len(), 10);
    for (viewpoint, visit) in &seen {
        let visit = visit
            .as_ref()
            .unwrap_or_else(|why| panic!("{viewpoint:?}: {why}"));
        assert!(addresses.iter().all(|to| opens(visit, to)), "{visit:#?}");
    }
    assert!(!run.made_helpers());
}

#[tokio::test]
async fn what_a_probe_may_take_is_told_apart_from_the_way_to_it() {
    let world = World::new();
    let network = world.network("net");
    let name = world.run("app", |n| n.on(&network));
    let own: Ipv4Addr = address(&name, network.real_name()).parse().unwrap();
    // Of the same subnet, and nobody's: its last octet is far from the first ones handed out.
    let [a, b, c, d] = own.octets();
    let nobody = Ipv4Addr::new(a, b, c, (d & 0xc0) | 60).to_string();
    let plan: Plan = [(Viewpoint::Container(id(&name)), vec![connect(&nobody)])].into();
    let client = client().await;
    let run = Run::new(None);
    // Far less than the three seconds after which the kernel gives a neighbour up, and far more.
    for (limit, expected) in [(500, Errno::TimedOut), (20_000, Errno::HostUnreachable)] {
        let deadline = Deadline::after(Duration::from_secs(60))
            .with_answers_within(Duration::from_millis(limit));
        let seen = look(&client, &run, ProbeMode::Netns, plan.clone(), deadline).await;
        let visit = seen[0].1.as_ref().unwrap();
        let to = SocketAddr::new(nobody.parse().unwrap(), PORT);
        let connected = visit.connect(to);
        assert!(
            matches!(connected.known(), Some(Connected::Failed { errno, .. }) if *errno == expected),
            "{limit}: {visit:#?}"
        );
    }
}

#[tokio::test]
async fn a_helper_without_a_reaper_answers_too_and_ends_with_the_conversation() {
    let world = World::new();
    let network = world.network("net");
    let a = world.run("a", |n| n.on(&network).tcp(8080));
    let to = address(&a, network.real_name());
    let client = client().await;
    let run = Run::new(None);
    let plan: Plan = [
        (Viewpoint::Container(id(&a)), vec![connect(&to)]),
        (
            Viewpoint::Network(network.id().to_owned()),
            vec![connect(&to)],
        ),
    ]
    .into();
    let seen = look(&client, &run, ProbeMode::Helper, plan, soon()).await;
    for (viewpoint, visit) in &seen {
        let visit = visit
            .as_ref()
            .unwrap_or_else(|why| panic!("{viewpoint:?}: {why}"));
        assert_eq!(visit.how, How::Helper);
        assert!(opens(visit, &to));
    }
    // The conversations are over; the engine removes the helpers by itself.
    let filter = format!("label=io.netcheck.run={}", run.id());
    let gone = Instant::now();
    while !docker(&["ps", "-aq", "--filter", &filter]).is_empty() {
        assert!(gone.elapsed() < Duration::from_secs(5), "helpers stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_container_that_was_started_anew_is_not_looked_at_in_its_old_namespace() {
    let world = World::new();
    let (one, two) = (world.network("one"), world.network("two"));
    let server = world.run("server", |n| n.on(&two).tcp(8080));
    let a = world.run("a", |n| n.on(&one));
    let to = address(&server, two.real_name());
    let client = client().await;
    let run = Run::new(None);
    for mode in [ProbeMode::Netns, ProbeMode::Helper] {
        let mut visits = Visits::new(&client, mode);
        let from = Viewpoint::Container(id(&a));
        let plan: Plan = BTreeMap::from([(from.clone(), vec![Question::Snapshot])]);
        let first = visits.look(&run, plan.clone(), soon()).await;
        let again = visits.look(&run, plan.clone(), soon()).await;
        let inode = |seen: &[(Viewpoint, Result<Visit, String>)]| {
            let snapshot = seen[0].1.as_ref().unwrap().snapshot();
            snapshot.known().unwrap().namespace.clone().unwrap()
        };
        assert_eq!(inode(&first), inode(&again));
        docker(&["network", "connect", two.real_name(), &a]);
        docker(&["restart", "-t", "0", &a]);
        let mut plan = plan;
        plan.insert(from, vec![connect(&to)]);
        let seen = visits.look(&run, plan, soon()).await;
        assert!(opens(seen[0].1.as_ref().unwrap(), &to), "{mode:?}");
        docker(&["network", "disconnect", two.real_name(), &a]);
    }
}

#[tokio::test]
async fn what_cannot_be_looked_from_is_a_reason_and_the_rest_is_answered() {
    let world = World::new();
    let network = world.network("net");
    let a = world.run("a", |n| n.on(&network));
    let stopped = world.run("stopped", |n| n.on(&network).exit(0));
    docker(&["wait", &stopped]);
    let to = address(&a, network.real_name());
    let client = client().await;
    let run = Run::new(None);
    let (alive, dead) = (id(&a), id(&stopped));
    let absent = "0".repeat(64);
    let plan: Plan = [&alive, &dead, &absent]
        .map(|id| (Viewpoint::Container(id.clone()), vec![connect(&to)]))
        .into();
    let seen: BTreeMap<_, _> = look(&client, &run, ProbeMode::Auto, plan, soon())
        .await
        .into_iter()
        .collect();
    let of = |id: &str| &seen[&Viewpoint::Container(id.to_owned())];
    let visit = of(&alive).as_ref().unwrap();
    let answer = visit.connect(SocketAddr::new(to.parse().unwrap(), PORT));
    assert!(
        matches!(
            answer.known(),
            Some(Connected::Failed {
                errno: Errno::Refused,
                ..
            })
        ),
        "{visit:#?}"
    );
    let why = of(&dead).as_ref().unwrap_err();
    assert!(why.contains("is not running (exited)"), "{why}");
    let why = of(&absent).as_ref().unwrap_err();
    // As Docker and as podman write it.
    assert!(why.to_lowercase().contains("no such container"), "{why}");
}

#[tokio::test]
async fn the_host_is_looked_at_without_a_helper_where_a_container_proves_that_it_is_here() {
    let world = World::new();
    let network = world.network("net");
    let a = world.run("a", |n| n.on(&network).tcp(8080));
    let to = address(&a, network.real_name());
    let client = client().await;
    let run = Run::new(None);
    let plan: Plan = [(Viewpoint::Host, vec![connect(&to)])].into();
    let seen = look(&client, &run, ProbeMode::Netns, plan, soon()).await;
    assert!(opens(seen[0].1.as_ref().unwrap(), &to));
}
