//! Containers that are taken off a network, or stand still.

use std::time::Instant;

use netcheck_testkit::Attempt::{Connected, NameUnknown, TimedOut, Unreachable};
use netcheck_testkit::{Disconnect, Error, Lab, Pause, Result, tcp, udp};

use crate::world::{SILENCE, Talker, attempt, path, server};

#[tokio::test]
async fn off_a_network_and_back_as_it_was() -> Result<()> {
    let lab = Lab::start().await?;
    let (front, back) = tokio::try_join!(
        lab.network("front").create(),
        lab.network("back").ipv6().create()
    )?;
    let db = lab
        .node("db")
        .on(back.alias("db.internal").host(10))
        .on(&front);
    let db = db.tcp(80).udp(53).start().await?;
    let address = db.address(&back).await?;
    let (app, _other, _third) = tokio::try_join!(
        Talker::tcp(&lab, "app", &back, (address, 80)),
        server(&lab, "other", &front),
        server(&lab, "third", &back)
    )?;
    let before = lab.report().await?.networks;

    let off = lab.fault(Disconnect::new("db", "back")).await?;
    assert_eq!(off.to_string(), "disconnect db from back");
    let begun = Instant::now();
    assert_eq!(
        attempt(&lab, "app", "db.internal", tcp(80)).await?,
        NameUnknown
    );
    assert_eq!(attempt(&lab, "db", "app", tcp(80)).await?, NameUnknown);
    // Nobody answers for the address any more. The kernel of whoever has to ask for its hardware
    // address knows that after three seconds; for whoever just talked there, it is silence.
    let usual = lab.from("third").to(address.to_string(), tcp(80));
    let (a, b) = tokio::try_join!(usual.attempt(), attempt(&lab, "app", address, tcp(80)))?;
    assert_eq!([a, b], [Unreachable, TimedOut]);
    assert_eq!(attempt(&lab, "other", "db", tcp(80)).await?, Connected);
    assert_eq!(attempt(&lab, "app", "third", tcp(80)).await?, Connected);
    let time = begun.elapsed();
    off.heal().await?;

    assert_eq!(db.address(&back).await?, address);
    assert_eq!(lab.report().await?.networks, before);
    lab.from("app")
        .to("db.internal", tcp(80))
        .must_connect()
        .await;
    app.stood_still(time).await?;
    lab.end().await
}

#[tokio::test]
async fn whoever_stands_still_connects_and_does_not_answer() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let db = server(&lab, "db", &back).await?;
    let app = Talker::tcp(&lab, "app", &back, (db.address(&back).await?, 80)).await?;

    let pause = lab.fault(Pause::new("db")).await?;
    assert_eq!(pause.to_string(), "pause db");
    let begun = Instant::now();
    // The kernel's work; whoever answers is the process.
    assert_eq!(attempt(&lab, "app", "db", tcp(80)).await?, Connected);
    assert_eq!(attempt(&lab, "app", "db", udp(53)).await?, TimedOut);
    let last = app.last().await?;
    let word = format!("transfer=1@{}:80", db.address(&back).await?);
    let waits = app.container.exec(["/netcheck-node".into(), word]);
    let early = tokio::time::timeout(SILENCE, waits).await;
    assert!(early.is_err(), "{early:?}");
    assert!(app.last().await? <= last + 1);

    let again = lab.fault(Pause::new("db")).await;
    assert!(matches!(again, Err(Error::Api { .. })), "{again:?}");
    assert_eq!(attempt(&lab, "app", "db", udp(53)).await?, TimedOut);
    let time = begun.elapsed();
    drop(pause);

    app.stood_still(time).await?;
    path(&lab, "app", "db", udp(53)).must_connect().await;
    lab.end().await
}
