//! Who reaches whom, asked of real containers; and what a failing assertion says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netcheck_testkit::{Attempt, Error, Lab, Refusal, Result, tcp, udp, wait};

/// The message of the panic that this assertion ends in.
#[track_caller]
fn panics(must: netcheck_testkit::Must) -> String {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| must.wait()));
    let panic = caught.expect_err("the assertion held");
    panic.downcast_ref::<String>().expect("a message").clone()
}

/// `mysql-db` and `app` on one network, `stranger` on another.
async fn world(lab: &Lab) -> Result<()> {
    let back = lab.network("back").create().await?;
    let away = lab.network("away").create().await?;
    let (db, app, stranger) = tokio::join!(
        lab.node("mysql-db")
            .on(back.alias("db.internal"))
            .banner(3306)
            .udp(53)
            .tcp(([127, 0, 0, 1], 9000))
            .start(),
        lab.node("app").on(&back).start(),
        lab.node("stranger").on(&away).start(),
    );
    db.and(app).and(stranger)?;
    Ok(())
}

#[tokio::test]
async fn what_connects_and_what_does_not() -> Result<()> {
    let lab = Lab::start().await?;
    world(&lab).await?;
    let app = lab.from("app");
    let stranger = lab.from(&lab.get("stranger")?);
    app.to("mysql-db", tcp(3306)).must_connect().await;
    app.to("db.internal", tcp(3306)).must_connect().await;
    app.to("mysql-db", udp(53)).must_connect().await;
    app.to_url("mysql://root:secret@mysql-db/some")?
        .must_connect()
        .await;
    app.to("mysql-db", tcp(1))
        .must_not_connect(Refusal::Refused)
        .await;
    app.to("mysql-db", udp(1))
        .must_not_connect(Refusal::Refused)
        .await;
    app.to("mysql-db", tcp(9000))
        .must_not_connect(Refusal::Refused)
        .await;
    app.to("nobody", tcp(1))
        .must_not_connect(Refusal::NoName)
        .await;
    stranger
        .to("mysql-db", tcp(3306))
        .must_not_connect(Refusal::NoName)
        .await;
    let address = lab
        .get("mysql-db")?
        .address(&lab.get_network("back")?)
        .await?;
    app.to_address(SocketAddr::new(address, 3306))
        .must_connect()
        .await;
    let far = stranger.to_address(SocketAddr::new(address, 3306));
    assert_ne!(
        far.patience(Duration::from_secs(1)).attempt().await?,
        Attempt::Connected
    );
    // A free address of the network: nobody answers ARP.
    let nobody = SocketAddr::new(lab.get_network("back")?.host(60)?, 80);
    app.to_address(nobody)
        .must_not_connect(Refusal::Unreachable)
        .await;
    app.name("mysql-db").must_be("mysql-db").await;
    app.name("db.internal").must_be("mysql-db").await;
    app.name("mysql-db").must_resolve().await;
    stranger.name("mysql-db").must_not_resolve().await;
    assert_eq!(app.resolves("mysql-db").await?, [address]);
    assert!(!app.to("mysql-db", tcp(1)).connects().await?);
    lab.end().await
}

#[test]
fn a_failing_assertion_says_why() -> Result<()> {
    let lab = Lab::start().wait()?;
    wait(world(&lab))?;
    let app = lab.from("app");
    let line = line!() + 1;
    let said = panics(app.to("mysql-db", tcp(3307)).must_connect());
    assert!(said.contains(&format!("assertions.rs:{line}")), "{said}");
    assert!(
        said.contains("app -> mysql-db:3307/tcp must connect: refused"),
        "{said}"
    );
    assert!(said.contains("error[wrong-port]"), "{said}");
    assert!(said.contains("app ── back ──"), "the path\n{said}");
    assert!(said.contains("proof"), "{said}");
    assert!(said.contains("fix"), "{said}");
    assert!(!said.contains(lab.id()), "names of the lab only\n{said}");
    let said = panics(app.to("mysql-db", tcp(9000)).must_connect());
    assert!(said.contains("error[listens-on-loopback-only]"), "{said}");
    let said = panics(
        lab.from("stranger")
            .to("mysql-db", tcp(3306))
            .must_connect(),
    );
    assert!(said.contains("error[no-shared-network]"), "{said}");
    assert!(
        said.contains("docker network connect back stranger"),
        "{said}"
    );
    let said = panics(app.to("mysql-db", tcp(3306)).must_not_connect(Refusal::Any));
    assert!(said.contains("must not connect: ok"), "{said}");
    let said = panics(
        app.to("mysql-db", tcp(1))
            .must_not_connect(Refusal::TimedOut),
    );
    assert!(
        said.contains("must not connect (TimedOut): refused"),
        "{said}"
    );
    let said = panics(app.name("mysql-db").must_be("app"));
    assert!(
        said.contains("the name mysql-db must be `app`: it is "),
        "{said}"
    );
    let said = panics(lab.from("nobody").to("mysql-db", tcp(1)).must_connect());
    assert!(
        said.contains("no container `nobody` in this lab; it has app, mysql-db, stranger"),
        "{said}"
    );
    lab.end().wait()
}

#[tokio::test]
async fn what_is_to_happen_may_take_its_time() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let late = lab
        .node("late")
        .on(&back)
        .delay(Duration::from_secs(1))
        .tcp(80)
        .start();
    let (late, app) = tokio::join!(late, lab.node("app").on(&back).start());
    late.and(app)?;
    let path = lab.from("app").to("late", tcp(80));
    path.clone().must_not_connect(Refusal::Refused).await;
    path.clone()
        .within(Duration::from_secs(10))
        .must_connect()
        .await;
    lab.eventually(Duration::from_secs(10), || path.connects())
        .await;
    let begun = Instant::now();
    let never = lab.eventually(Duration::from_millis(300), || async { Ok(false) });
    let caught = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(never)).await;
    let said = *caught
        .expect_err("it never becomes so")
        .downcast::<String>()
        .unwrap();
    assert!(
        said.contains("not within 0.3 s: the answer was still no"),
        "{said}"
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));
    lab.end().await
}

#[tokio::test]
async fn a_container_that_does_not_run_is_a_cause_and_no_riddle() -> Result<()> {
    let lab = Lab::start().await?;
    world(&lab).await?;
    lab.get("mysql-db")?.stop(Duration::ZERO).await?;
    let said = tokio::task::spawn_blocking({
        let must = lab.from("app").to("mysql-db", tcp(3306));
        move || panics(must.must_connect())
    })
    .await
    .unwrap();
    assert!(said.contains("error[container-not-running]"), "{said}");
    lab.get("app")?.stop(Duration::ZERO).await?;
    let attempt = lab.from("app").to("mysql-db", tcp(3306)).attempt().await;
    assert!(matches!(attempt, Err(Error::Invalid { .. })), "{attempt:?}");
    lab.end().await
}

#[tokio::test]
async fn urls_without_a_place_are_refused_without_their_secrets() -> Result<()> {
    let lab = Lab::start().await?;
    let app = lab.from("app");
    for url in [
        "mysql://root:secret@/some",
        "what://root:secret@db/",
        "mysql://db:70000",
    ] {
        let error = app.to_url(url).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    lab.end().await
}
