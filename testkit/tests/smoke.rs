//! The shortest path through the kit on a real engine.

use std::time::Duration;

use netcheck_testkit::bollard::query_parameters::ListContainersOptionsBuilder;
use netcheck_testkit::testcontainers::core::{IntoContainerPort as _, WaitFor};
use netcheck_testkit::testcontainers::{GenericImage, ImageExt as _};
use netcheck_testkit::{Error, Lab, Result, tcp, udp};

#[tokio::test]
async fn a_lab_with_two_nodes_comes_and_goes() -> Result<()> {
    let lab = Lab::start().await?;
    let id = lab.id().to_owned();
    let docker = lab.docker().clone();
    let back = lab.network("back").ipv6().create().await?;
    let front = lab.network("front").internal().create().await?;
    let db = lab
        .node("mysql-db")
        .on(back.alias("db.internal").host(10))
        .on(&front)
        .banner(3306)
        .udp(53)
        .publish(tcp(3306))
        .start()
        .await?;
    let app = lab.node("app").on(&back).after("mysql-db").start().await?;
    assert_eq!(db.address(&back).await?, back.host(10)?);
    let at = db.endpoint(tcp(3306)).await?;
    tokio::net::TcpStream::connect(at).await.expect("published");
    let said = app.exec(["/netcheck-node", "check=127.0.0.1:1"]).await?;
    assert_eq!(said.code, 1, "{said:?}");
    let before = db.addresses(&back).await?;
    back.disconnect(&db).await?;
    assert!(db.address(&back).await.is_err());
    back.reconnect(&db).await?;
    assert_eq!(db.addresses(&back).await?, before);
    db.wait_for(udp(53), Duration::from_secs(5)).await?;
    lab.end().await?;
    let filters = [(
        "label".to_owned(),
        vec![format!("io.netcheck.testkit.lab={id}")],
    )]
    .into();
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    assert!(
        docker
            .list_containers(Some(options))
            .await
            .unwrap()
            .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn an_image_of_testcontainers_is_adopted() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    // The node's image stands for anybody's.
    let helper = lab.node("helper").on(&back).start().await?;
    let image = helper.inspect().await?.config.unwrap().image.unwrap();
    let (name, tag) = image.split_once(':').unwrap();
    let request = GenericImage::new(name, tag)
        .with_exposed_port(80.tcp())
        .with_wait_for(WaitFor::millis(1))
        .with_cmd(["http=0.0.0.0:80"]);
    let web = lab
        .container("web", request)
        .on(&back)
        .ready(tcp(80))
        .start()
        .await?;
    let port = web.testcontainers().get_host_port_ipv4(80).await.unwrap();
    assert_eq!(web.endpoint(tcp(80)).await?.port(), port);
    assert_eq!(web.testcontainers().id(), web.id());
    lab.end().await
}

#[tokio::test]
async fn an_image_that_ends_before_it_is_ready_says_so_with_its_output() -> Result<()> {
    let lab = Lab::start().await?;
    let image = lab.node_image().await?;
    let (name, tag) = image.split_once(':').unwrap();
    // It fails at once: no such word.
    let request = GenericImage::new(name, tag)
        .with_wait_for(WaitFor::message_on_stdout("this is never said"))
        .with_cmd(["no-such-word"]);
    let error = lab.container("db", request).start().await.unwrap_err();
    let Error::NotReady {
        name,
        waited_for,
        logs,
        ..
    } = &error
    else {
        panic!("another error: {error:?}");
    };
    assert_eq!(name, "db");
    assert!(waited_for.contains("ended"), "{waited_for}");
    assert!(logs.contains("exited with code"), "{logs}");
    assert!(logs.contains("no-such-word"), "its output: {logs}");
    assert!(lab.get("db").is_err(), "it was removed");
    lab.end().await
}

#[tokio::test]
async fn a_panic_of_what_adjusts_a_request_is_the_tests() -> Result<()> {
    use futures_util::FutureExt as _;

    let lab = Lab::start().await?;
    let follower = lab.node("follower").after("db").start();
    let start = lab
        .node("db")
        .configure(|_| panic!("wrong on purpose"))
        .start();
    let caught = std::panic::AssertUnwindSafe(start).catch_unwind().await;
    let panic = caught.expect_err("it panics where it is awaited");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"wrong on purpose"));
    let error = follower.await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    // The kit goes on.
    lab.node("other").start().await?;
    lab.end().await
}

#[test]
fn no_runtime_is_needed() -> Result<()> {
    let lab = Lab::start().wait()?;
    let back = lab.network("back").create().wait()?;
    lab.node("db").on(&back).tcp(5432).start().wait()?;
    Ok(())
}

#[test]
fn the_label_of_images_is_the_one_that_cleanup_looks_for() {
    let cleanup = include_str!("../../crates/xtask/src/test.rs");
    assert!(cleanup.contains(&format!("\"{}\"", netcheck_testkit::LABEL_IMAGE)));
}
