//! What the processes do. Each of these is run by a test, by its name, in a process of its own.

use std::future::pending;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::exit;
use std::sync::OnceLock;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use netcheck_testkit::testcontainers::core::{IntoContainerPort as _, WaitFor};
use netcheck_testkit::testcontainers::runners::AsyncRunner as _;
use netcheck_testkit::testcontainers::{ContainerAsync, GenericImage, Image as _, ImageExt as _};
use netcheck_testkit::{Container, Error, Keep, Lab, Network, Result, Started, tcp};
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::process::VARIABLE;

/// Says so, and that it is one.
fn begin() {
    assert!(
        std::env::var_os(VARIABLE).is_some(),
        "this is run by the tests of this file"
    );
    println!("BEGUN");
}

/// A lab as tests have it: a network, a server and a client.
async fn world() -> Result<(Lab, Network, Container)> {
    begin();
    let lab = Lab::start().await?;
    let (back, db) = fill(&lab).await?;
    println!("READY {}", lab.id());
    Ok((lab, back, db))
}

async fn fill(lab: &Lab) -> Result<(Network, Container)> {
    let back = lab.network("back").create().await?;
    let db = lab.node("mysql-db").on(&back).banner(3306).start();
    let app = lab.node("app").on(&back).start();
    let (db, app) = tokio::join!(db, app);
    app?;
    Ok((back, db?))
}

/// The node's image as a testcontainers image of anybody's.
async fn anybodys(node: &Container) -> Result<GenericImage> {
    let image = node.inspect().await?.config.unwrap().image.unwrap();
    let (name, tag) = image.split_once(':').unwrap();
    Ok(GenericImage::new(name, tag))
}

fn until_told() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[tokio::test]
#[ignore = "a scenario"]
async fn ends() -> Result<()> {
    let (lab, ..) = world().await?;
    lab.end().await
}

#[tokio::test]
#[ignore = "a scenario"]
async fn is_dropped() -> Result<()> {
    let _all = world().await?;
    Ok(())
}

#[tokio::test]
#[ignore = "a scenario"]
async fn question_mark() -> Result<()> {
    let (lab, ..) = world().await?;
    lab.get("nobody")?;
    Ok(())
}

#[tokio::test]
#[ignore = "a scenario"]
async fn panic_current() {
    let _all = world().await.unwrap();
    panic!("so it is");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a scenario"]
async fn panic_multi() {
    let _all = world().await.unwrap();
    panic!("so it is");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a scenario"]
async fn panic_in_a_spawned_task() {
    let task = tokio::spawn(async {
        let _all = world().await.unwrap();
        panic!("so it is");
    });
    task.await.unwrap();
}

#[test]
#[ignore = "a scenario"]
fn panic_in_a_plain_test() {
    begin();
    let lab = Lab::start().wait().unwrap();
    let back = lab.network("back").create().wait().unwrap();
    let db = lab.node("mysql-db").on(&back).banner(3306).start();
    let db = db.wait().unwrap();
    let image = netcheck_testkit::wait(anybodys(&db)).unwrap();
    let request = image.with_cmd(["http=0.0.0.0:80"]);
    let _web: Started<_> = lab
        .container("web", request)
        .on(&back)
        .ready(tcp(80))
        .start()
        .wait()
        .unwrap();
    println!("READY {}", lab.id());
    panic!("so it is");
}

/// A test that fails, with a container that complained and ended.
#[tokio::test]
#[ignore = "a scenario"]
async fn panic_with_a_story() {
    let (lab, back, _db) = world().await.unwrap();
    let node = lab.node("confused").on(&back).word("nonsense=1");
    let confused = node.create().await.unwrap();
    confused.start().await.unwrap();
    let state = async || confused.inspect().await.unwrap().state.unwrap().running;
    while state().await == Some(true) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("so it is");
}

#[tokio::test]
#[ignore = "a scenario"]
async fn timeout_around_the_body() {
    let body = async {
        let _all = world().await.unwrap();
        pending::<()>().await;
    };
    timeout(Duration::from_secs(4), body).await.unwrap_err();
}

/// The caller goes away in the middle, at many moments.
#[tokio::test]
#[ignore = "a scenario"]
async fn cancelled_during_start() -> Result<()> {
    begin();
    // The first lab may take longer; these are about the rest.
    Lab::start().await?.end().await?;
    for moment in [0, 1, 3] {
        let _ = timeout(Duration::from_millis(moment), Lab::start()).await;
    }
    let mut cut = 0;
    for moment in [0, 2, 10, 30, 60, 120, 250] {
        let lab = Lab::start().await?;
        let time = Duration::from_millis(moment);
        let network = timeout(time, lab.network("back").create()).await;
        cut += u32::from(network.is_err());
        let back = lab.network("front").create().await?;
        let node = lab.node("db").on(&back).tcp(5432).start();
        cut += u32::from(timeout(time, node).await.is_err());
        drop(lab);
    }
    assert!(cut >= 4, "only {cut} were cut");
    println!("READY");
    Ok(())
}

/// Of a start that failed nothing is left while the lab goes on.
#[tokio::test]
#[ignore = "a scenario"]
async fn starts_that_fail() -> Result<()> {
    begin();
    let lab = Lab::start().await?;
    let (back, db) = fill(&lab).await?;
    let label = format!("io.netcheck.testkit.lab={}", lab.id());
    let look = async || {
        let label = label.clone();
        let things = tokio::task::spawn_blocking(move || crate::engine::things(&label));
        things.await.unwrap()
    };
    let before = look().await;
    let nothing_new = async |what: &str| assert_eq!(look().await, before, "{what}");

    let short = Duration::from_millis(300);
    let silent = lab.node("silent").on(&back).ready(tcp(9));
    let late = silent.startup_timeout(short).start().await;
    assert!(matches!(late, Err(Error::NotReady { .. })), "{late:?}");
    nothing_new("startup timeout").await;

    let image = anybodys(&db).await?;
    let request = image
        .with_wait_for(WaitFor::message_on_stdout("never said"))
        .with_cmd(["idle"])
        .with_startup_timeout(short);
    let late = lab.container("late", request).on(&back).start().await;
    assert!(matches!(late, Err(Error::NotReady { .. })), "{late:?}");
    nothing_new("startup timeout of an image").await;

    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let at = taken.local_addr().unwrap();
    let node = lab.node("web").on(&back).http(80).publish_at(tcp(80), at);
    let refused = node.start().await;
    assert!(matches!(refused, Err(Error::Api { .. })), "{refused:?}");
    nothing_new("host port taken").await;

    let bad = Some(vec!["/no-such-program".to_owned()]);
    let node = lab.node("bad").on(&back);
    let refused = node.configure(move |body| body.entrypoint = bad).start();
    let refused = refused.await;
    assert!(matches!(refused, Err(Error::Api { .. })), "{refused:?}");
    nothing_new("bad entrypoint").await;

    let image = anybodys(&db).await?.with_entrypoint("/no-such-program");
    let refused = lab.container("worse", image).on(&back).start().await;
    assert!(
        matches!(refused, Err(Error::Testcontainers { .. })),
        "{refused:?}"
    );
    nothing_new("bad entrypoint of an image").await;

    let port = 80.tcp();
    let image = anybodys(&db).await?.with_mapped_port(at.port(), port);
    let refused = lab.container("taken", image).on(&back).start().await;
    assert!(
        matches!(refused, Err(Error::Testcontainers { .. })),
        "{refused:?}"
    );
    nothing_new("host port of an image taken").await;
    println!("READY");
    lab.end().await
}

#[test]
#[ignore = "a scenario"]
fn dropped_outside_a_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let all = runtime.block_on(world()).unwrap();
    drop(runtime);
    drop(all);
}

#[tokio::test]
#[ignore = "a scenario"]
async fn dropped_in_a_local_set() {
    let set = LocalSet::new();
    let body = async {
        let all = world().await.unwrap();
        let task = tokio::task::spawn_local(async move { drop(all) });
        task.await.unwrap();
    };
    set.run_until(body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a scenario"]
async fn dropped_on_a_worker() {
    let all = world().await.unwrap();
    tokio::spawn(async move { drop(all) }).await.unwrap();
}

#[tokio::test]
#[ignore = "a scenario"]
async fn is_static() {
    static LAB: OnceLock<(Lab, Network, Container)> = OnceLock::new();
    LAB.set(world().await.unwrap()).unwrap();
}

#[tokio::test]
#[ignore = "a scenario"]
async fn is_forgotten() {
    std::mem::forget(world().await.unwrap());
}

#[tokio::test]
#[ignore = "a scenario"]
async fn exits() {
    let _all = world().await.unwrap();
    exit(3);
}

#[tokio::test]
#[ignore = "a scenario"]
async fn aborts() {
    let _all = world().await.unwrap();
    std::process::abort();
}

/// Waits to be killed.
#[tokio::test]
#[ignore = "a scenario"]
async fn waits() -> Result<()> {
    let (lab, ..) = world().await?;
    // A volume of the test's own belongs to the lab by its labels.
    let volume = VolumeCreateRequest {
        name: Some(lab.real_name("data")),
        labels: Some(lab.labels("data")),
        ..Default::default()
    };
    lab.docker().create_volume(volume).await.unwrap();
    println!("HELD");
    pending().await
}

/// The same, beside plain containers of testcontainers on the lab's network, one of which never
/// came to run.
#[tokio::test]
#[ignore = "a scenario"]
async fn waits_with_guests() -> Result<()> {
    let (lab, back, db) = world().await?;
    let plain = anybodys(&db).await?.with_network(&back);
    let plain = plain.with_cmd(["idle"]);
    let guest: ContainerAsync<_> = plain.start().await.unwrap();
    let image = anybodys(&db).await?;
    let body = ContainerCreateBody {
        image: Some(format!("{}:{}", image.name(), image.tag())),
        labels: Some(
            [(
                "org.testcontainers.managed-by".into(),
                "testcontainers".into(),
            )]
            .into(),
        ),
        host_config: Some(HostConfig {
            network_mode: Some(back.real_name().into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let made = lab.docker().create_container(None, body).await.unwrap();
    println!("GUESTS {} {}", guest.id(), made.id);
    pending().await
}

/// The same after a lab that was kept.
#[tokio::test]
#[ignore = "a scenario"]
async fn keeps_one_and_waits() -> Result<()> {
    begin();
    let kept = Lab::builder().keep(Keep::Always).start().await?;
    kept.network("back").create().await?;
    println!("KEPT {}", kept.id());
    kept.end().await?;
    let (_lab, ..) = world().await?;
    pending().await
}

/// Ends when it is told to.
#[tokio::test]
#[ignore = "a scenario"]
async fn ends_when_told() -> Result<()> {
    let (lab, back, db) = world().await?;
    println!("SUBNET {}", back.subnets()[0]);
    tokio::task::spawn_blocking(until_told).await.unwrap();
    // What others did meanwhile is nothing to it.
    let said = db.exec(["/netcheck-node", "check=127.0.0.1:3306"]).await?;
    assert_eq!(said.code, 0, "{said:?}");
    lab.end().await
}

/// One after the other, for as long as it may.
#[tokio::test]
#[ignore = "a scenario"]
async fn lives() -> Result<()> {
    begin();
    loop {
        let lab = Lab::start().await?;
        fill(&lab).await?;
        lab.end().await?;
    }
}

/// Labs with the same names, as tests in threads of one process make them.
#[tokio::test]
#[ignore = "a scenario"]
async fn labs_at_once() -> Result<()> {
    begin();
    let count: usize = std::env::var("COUNT").unwrap().parse().unwrap();
    // Every so many of them have a node.
    let nodes: usize = std::env::var("NODES").unwrap().parse().unwrap();
    let labs = (0..count).map(|at| async move {
        let lab = Lab::start().await?;
        let back = lab.network("back").create().await?;
        if at % nodes == 0 {
            let node = lab.node("mysql-db").on(&back).banner(3306);
            node.start().await?;
        }
        println!("SUBNET {}", back.subnets()[0]);
        Ok::<_, Error>(lab)
    });
    let labs = futures_util::future::try_join_all(labs).await?;
    println!("READY {}", labs.len());
    tokio::task::spawn_blocking(until_told).await.unwrap();
    let ends = labs.into_iter().map(Lab::end);
    futures_util::future::try_join_all(ends).await?;
    Ok(())
}

/// Comes and goes, many times, eight at a time; tells what the process holds after some and at
/// the end.
#[tokio::test]
#[ignore = "a scenario"]
async fn cycles() -> Result<()> {
    begin();
    let count: usize = std::env::var("COUNT").unwrap().parse().unwrap();
    let warm = count / 5;
    for (part, range) in [(0..warm), (warm..count)].into_iter().enumerate() {
        let lanes = (0..8).map(|lane| {
            let mine = range.clone().filter(move |cycle| cycle % 8 == lane);
            async move {
                for cycle in mine {
                    let lab = Lab::start().await?;
                    // Networks and starts are what takes the engine longest.
                    let mut node = lab.node("mysql-db").banner(3306);
                    if cycle % 2 == 0 {
                        node = node.on(&lab.network("back").create().await?);
                    }
                    match cycle % 5 {
                        0 => node.start().await?,
                        _ => node.create().await?,
                    };
                    lab.end().await?;
                }
                Ok::<_, Error>(())
            }
        });
        futures_util::future::try_join_all(lanes).await?;
        let holds = crate::many::Holds::now();
        println!("HOLDS{part} {holds}");
    }
    println!("READY");
    Ok(())
}
