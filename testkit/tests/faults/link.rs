//! Bad links. Lower bounds are strict; that the rest is as before is shown by comparison, as what
//! is fast depends on the machine.

use std::collections::HashSet;
use std::time::Duration;

use netcheck_testkit::Attempt::{Connected, TimedOut};
use netcheck_testkit::{Container, Lab, Link, Result, tcp, udp};

use crate::world::{Talker, attempt, both, helpers_go, server, until};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[tokio::test]
async fn delay_is_in_each_round_trip_of_one_pair() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").ipv6().create().await?;
    let db = server(&lab, "db", &back).await?;
    let [v4, v6] = both(&db, &back).await?;
    let (app, datagrams, other) = tokio::try_join!(
        Talker::tcp(&lab, "app", &back, (v6, 80)),
        Talker::udp(&lab, "datagrams", &back, v4),
        Talker::tcp(&lab, "other", &back, (v4, 80)),
    )?;

    let (one, two) = tokio::try_join!(
        lab.fault(Link::new("app", "db").delay(ms(150))),
        lab.fault(Link::new("db", "datagrams").delay(ms(100)).both_ways())
    )?;
    assert_eq!(one.to_string(), "link app -> db, delay 150 ms");
    assert_eq!(two.to_string(), "link db <-> datagrams, delay 100 ms");
    let (a, b, c) = tokio::try_join!(app.next(5), datagrams.next(5), other.next(5))?;
    assert!(a.iter().all(|took| *took >= ms(150)), "{a:?}");
    assert!(b.iter().all(|took| *took >= ms(200)), "{b:?}");
    assert!(c.iter().any(|took| *took < ms(100)), "{c:?}");
    assert_eq!(attempt(&lab, "app", "db", tcp(81)).await?, Connected);
    let counters = one.counters().await?;
    assert!(
        counters.passed >= 5 && counters.dropped == 0,
        "{counters:?}"
    );
    one.heal().await?;
    two.heal().await?;

    until("no delay", || async {
        let (a, b) = tokio::try_join!(app.next(2), datagrams.next(2)).unwrap();
        (a.iter().min() < Some(&ms(100)) && b.iter().min() < Some(&ms(100))).then_some(())
    })
    .await;
    app.stood_still(ms(150)).await?;
    helpers_go(&lab).await;
    lab.end().await
}

#[tokio::test]
async fn jitter_spreads_round_trips() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let db = server(&lab, "db", &back).await?;
    let app = Talker::tcp(&lab, "app", &back, (db.address(&back).await?, 80)).await?;
    let link = Link::new("app", "db").delay(ms(80)).jitter(ms(60)).seed(3);
    let _link = lab.fault(link).await?;
    let took = app.next(20).await?;
    let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(*least >= ms(20) && *most - *least >= ms(40), "{took:?}");
    lab.end().await
}

#[tokio::test]
async fn loss_and_duplication() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let db = server(&lab, "db", &back).await?;
    let address = db.address(&back).await?;
    let (datagrams, stream, twice, _other) = tokio::try_join!(
        Talker::udp(&lab, "datagrams", &back, address),
        Talker::tcp(&lab, "stream", &back, (address, 80)),
        Talker::udp(&lab, "twice", &back, address),
        server(&lab, "other", &back)
    )?;
    let (half, some, double, all) = tokio::try_join!(
        lab.fault(Link::new("datagrams", "db").loss(0.5).seed(7)),
        lab.fault(Link::new("stream", "db").loss(0.2).seed(7)),
        lab.fault(Link::new("twice", "db").duplicate(1.0)),
        lab.fault(Link::new("other", "db").loss(1.0))
    )?;
    assert_eq!(half.to_string(), "link datagrams -> db, loss 50 %");

    // Every datagram of these is a packet, and nothing else is sent there.
    let counters = until("enough packets", || async {
        let counters = half.counters().await.unwrap();
        (counters.passed + counters.dropped >= 60).then_some(counters)
    })
    .await;
    assert!((15..=45).contains(&counters.dropped), "{counters:?}");
    half.heal().await?;
    datagrams.goes_on().await?;
    let numbers: HashSet<u64> = datagrams.rounds().await?.iter().map(|it| it.0).collect();
    let sent = numbers.iter().max().unwrap();
    let missing = sent - numbers.len() as u64;
    assert!(
        missing >= counters.dropped,
        "{missing} of {sent}: {counters:?}"
    );

    until("a segment was lost", || async {
        (some.counters().await.unwrap().dropped > 0).then_some(())
    })
    .await;
    stream.goes_on().await?;
    some.heal().await?;
    // Of the stream nothing is missing, whatever it took.
    stream.stood_still(Duration::ZERO).await?;

    let before = twice.last().await?;
    twice.next(6).await?;
    let sample = before + 21;
    let counters = double.counters().await?;
    assert!(counters.duplicated >= 3, "{counters:?}");
    let rounds = twice.rounds().await?;
    let copies = rounds.iter().filter(|(number, _)| *number == sample);
    assert_eq!(copies.count(), 2, "{rounds:?}");

    assert_eq!(attempt(&lab, "other", "db", udp(53)).await?, TimedOut);
    assert_eq!(attempt(&lab, "db", "other", udp(53)).await?, TimedOut);
    drop((double, all));
    assert_eq!(attempt(&lab, "other", "db", udp(53)).await?, Connected);
    lab.end().await
}

#[tokio::test]
async fn rate_is_in_the_time_of_a_transfer() -> Result<()> {
    const BYTES: u64 = 600_000;
    const RATE: u64 = 400_000;
    async fn transfer(from: &Container, to: std::net::IpAddr) -> Result<Duration> {
        let word = format!("transfer={BYTES}@{to}:80");
        let said = from.exec(["/netcheck-node".into(), word]).await?;
        assert_eq!(said.code, 0, "{said:?}");
        Ok(Duration::from_micros(said.stdout.trim().parse().unwrap()))
    }
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let (db, app, other) = tokio::try_join!(
        server(&lab, "db", &back),
        server(&lab, "app", &back),
        server(&lab, "other", &back)
    )?;
    let address = db.address(&back).await?;
    for (from, to) in [("app", "db"), ("db", "app")] {
        let link = lab
            .fault(Link::new(from, to).bytes_per_second(RATE))
            .await?;
        let (slow, usual) = tokio::try_join!(transfer(&app, address), transfer(&other, address))?;
        let least = Duration::from_secs(1).mul_f64(BYTES as f64 / RATE as f64);
        assert!(slow >= least, "{slow:?}");
        assert!(usual < slow, "{usual:?}");
        link.heal().await?;
    }
    lab.end().await
}
