//! Partitions: silence, as wide as asked for and no wider.

use std::time::Instant;

use netcheck_testkit::Attempt::{Connected, TimedOut};
use netcheck_testkit::{Error, Lab, Partition, Result, tcp, udp};

use crate::world::{Talker, attempt, both, helpers, helpers_go, server};

#[tokio::test]
async fn nothing_passes_between_two_groups_and_everything_else_does() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").ipv6().create().await?;
    let (db, _other) = tokio::try_join!(server(&lab, "db", &back), server(&lab, "other", &back))?;
    let [v4, v6] = both(&db, &back).await?;
    let (one, two, three) = tokio::try_join!(
        Talker::tcp(&lab, "one", &back, (v4, 80)),
        Talker::tcp(&lab, "two", &back, (v6, 80)),
        Talker::tcp(&lab, "three", &back, (v4, 80)),
    )?;

    let cut = lab
        .fault(Partition::between(["one", "two"], ["db"]))
        .await?;
    assert_eq!(cut.to_string(), "partition one+two <|> db");
    let begun = Instant::now();
    assert_eq!(helpers(&lab).await.len(), 3);
    let (a, b, c, d, e, f) = tokio::try_join!(
        attempt(&lab, "one", v4, tcp(80)),
        attempt(&lab, "one", v6, tcp(81)),
        attempt(&lab, "one", v4, udp(53)),
        attempt(&lab, "two", v6, udp(53)),
        attempt(&lab, "db", "one", tcp(80)),
        attempt(&lab, "db", "two", udp(53)),
    )?;
    assert_eq!([a, b, c, d, e, f], [const { TimedOut }; 6]);
    let (a, b, c, d) = tokio::try_join!(
        attempt(&lab, "one", "two", tcp(80)),
        attempt(&lab, "one", "other", udp(53)),
        attempt(&lab, "other", "db", tcp(80)),
        attempt(&lab, "db", "other", tcp(80)),
    )?;
    assert_eq!([a, b, c, d], [const { Connected }; 4]);
    three.goes_on().await?;
    assert!(cut.counters().await?.dropped >= 6);
    let time = begun.elapsed();
    cut.heal().await?;

    for talker in [&one, &two] {
        talker.stood_still(time).await?;
    }
    lab.from("one").to("db", tcp(80)).must_connect().await;
    lab.from("db").to("two", udp(53)).must_connect().await;
    helpers_go(&lab).await;
    lab.end().await
}

#[tokio::test]
async fn one_way_only_what_goes_that_way_is_lost() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let db = server(&lab, "db", &back).await?;
    let (app, _other) = tokio::try_join!(
        Talker::tcp(&lab, "app", &back, (db.address(&back).await?, 80)),
        server(&lab, "other", &back)
    )?;

    let cut = lab.fault(Partition::one_way("app", "db")).await?;
    assert_eq!(cut.to_string(), "partition app |> db");
    let begun = Instant::now();
    assert_eq!(helpers(&lab).await.len(), 1);
    assert_eq!(attempt(&lab, "app", "db", tcp(80)).await?, TimedOut);
    let before = cut.counters().await?.dropped;
    assert_eq!(attempt(&lab, "db", "app", udp(53)).await?, TimedOut);
    // It did arrive: what was lost is the answer, at db.
    assert!(cut.counters().await?.dropped > before);
    assert_eq!(attempt(&lab, "other", "db", tcp(80)).await?, Connected);
    let time = begun.elapsed();
    cut.heal().await?;

    app.stood_still(time).await?;
    assert_eq!(attempt(&lab, "db", "app", udp(53)).await?, Connected);
    lab.end().await
}

#[tokio::test]
async fn with_a_port_only_what_is_sent_there_is_lost() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").ipv6().create().await?;
    let db = server(&lab, "db", &back).await?;
    let [v4, v6] = both(&db, &back).await?;
    let (app, at_81) = tokio::try_join!(
        Talker::tcp(&lab, "app", &back, (v6, 80)),
        Talker::tcp(&lab, "at-81", &back, (v4, 81))
    )?;

    let cut = Partition::between(["app", "at-81"], ["db"]).port(tcp(80));
    let cut = lab.fault(cut).await?;
    assert_eq!(cut.to_string(), "partition app+at-81 <|> db at 80/tcp");
    let begun = Instant::now();
    let (a, b, c, d) = tokio::try_join!(
        attempt(&lab, "app", v4, tcp(80)),
        attempt(&lab, "app", v6, tcp(80)),
        attempt(&lab, "at-81", v4, tcp(80)),
        attempt(&lab, "db", "app", tcp(80)),
    )?;
    assert_eq!([a, b, c, d], [const { TimedOut }; 4]);
    let (a, b, c) = tokio::try_join!(
        attempt(&lab, "app", v4, tcp(81)),
        attempt(&lab, "app", v6, udp(53)),
        attempt(&lab, "db", "app", udp(53)),
    )?;
    assert_eq!([a, b, c], [const { Connected }; 3]);
    at_81.goes_on().await?;
    let time = begun.elapsed();
    cut.heal().await?;
    app.stood_still(time).await?;

    let cut = lab
        .fault(Partition::one_way("app", "db").port(udp(53)))
        .await?;
    assert_eq!(attempt(&lab, "app", v4, udp(53)).await?, TimedOut);
    assert_eq!(attempt(&lab, "app", v4, tcp(80)).await?, Connected);
    assert_eq!(attempt(&lab, "at-81", v4, udp(53)).await?, Connected);
    app.goes_on().await?;
    cut.heal().await?;
    assert_eq!(attempt(&lab, "app", v4, udp(53)).await?, Connected);
    lab.end().await
}

#[tokio::test]
async fn two_that_overlap_heal_in_any_order() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    tokio::try_join!(
        server(&lab, "app", &back),
        server(&lab, "db", &back),
        server(&lab, "other", &back)
    )?;
    for narrow_first in [true, false] {
        let (narrow, wide) = tokio::try_join!(
            lab.fault(Partition::between(["app"], ["db"])),
            lab.fault(Partition::between(["app"], ["db", "other"]))
        )?;
        assert_eq!(attempt(&lab, "app", "db", udp(53)).await?, TimedOut);
        assert_eq!(attempt(&lab, "app", "other", udp(53)).await?, TimedOut);
        let (first, second, other) = if narrow_first {
            (narrow, wide, TimedOut)
        } else {
            (wide, narrow, Connected)
        };
        first.heal().await?;
        assert_eq!(attempt(&lab, "app", "db", udp(53)).await?, TimedOut);
        assert_eq!(attempt(&lab, "app", "other", udp(53)).await?, other);
        second.heal().await?;
        assert_eq!(attempt(&lab, "app", "db", udp(53)).await?, Connected);
        assert_eq!(attempt(&lab, "app", "other", udp(53)).await?, Connected);
    }
    lab.end().await
}

#[tokio::test]
async fn every_network_that_the_two_share_is_cut() -> Result<()> {
    let lab = Lab::start().await?;
    let (front, back) =
        tokio::try_join!(lab.network("front").create(), lab.network("back").create())?;
    let db = lab.node("db").on(&front).on(&back).tcp(80).start().await?;
    tokio::try_join!(
        lab.node("app").on(&front).on(&back).start(),
        lab.node("other").on(&front).start()
    )?;
    let addresses = [db.address(&front).await?, db.address(&back).await?];

    let cut = lab.fault(Partition::between(["app"], ["db"])).await?;
    for address in addresses {
        assert_eq!(attempt(&lab, "app", address, tcp(80)).await?, TimedOut);
    }
    assert_eq!(attempt(&lab, "other", "db", tcp(80)).await?, Connected);
    drop(cut);
    for address in addresses {
        assert_eq!(attempt(&lab, "app", address, tcp(80)).await?, Connected);
    }
    lab.end().await
}

#[tokio::test]
async fn containers_in_one_namespace_are_in_the_same_fault() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let (app, _db) = tokio::try_join!(server(&lab, "app", &back), server(&lab, "db", &back))?;
    let sidecar = lab.node("sidecar").in_network_of(&app);
    sidecar.start().await?;

    let cut = lab.fault(Partition::between(["db"], ["sidecar"])).await?;
    assert_eq!(attempt(&lab, "app", "db", tcp(80)).await?, TimedOut);
    assert_eq!(attempt(&lab, "sidecar", "db", tcp(80)).await?, TimedOut);
    assert_eq!(
        attempt(&lab, "sidecar", "127.0.0.1", tcp(80)).await?,
        Connected
    );
    cut.heal().await?;
    assert_eq!(attempt(&lab, "sidecar", "db", tcp(80)).await?, Connected);

    let within = lab.fault(Partition::between(["app"], ["sidecar"])).await;
    let Err(Error::Invalid { why }) = within else {
        panic!("{within:?}");
    };
    assert!(why.contains("they are in one namespace"), "{why}");
    helpers_go(&lab).await;
    lab.end().await
}
