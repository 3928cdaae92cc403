//! Several faults at a time, and who tells of them.

use std::time::Duration;

use futures_util::FutureExt as _;
use netcheck_testkit::Attempt::{Connected, Refused, TimedOut, Unreachable};
use netcheck_testkit::{
    Dns, DnsOutcome, Error, Lab, Link, Partition, Pause, Refuse, RefuseWith, Result, tcp, udp,
};

use crate::world::{Talker, attempt, helpers_go, path, server};

const DELAY: Duration = Duration::from_millis(120);

#[tokio::test]
async fn on_one_link_each_does_its_own() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let db = server(&lab, "db", &back).await?;
    let app = Talker::tcp(&lab, "app", &back, (db.address(&back).await?, 80)).await?;

    // Before the link and after it: what is refused never gets there.
    let no_82 = Refuse::new("app", "db").port(tcp(82));
    let no_82 = lab.fault(no_82.with(RefuseWith::HostUnreachable)).await?;
    let slow = lab.fault(Link::new("app", "db").delay(DELAY)).await?;
    let slower = lab.fault(Link::new("db", "app").delay(DELAY)).await?;
    let again = lab.fault(Link::new("app", "db").loss(0.1)).await;
    let Err(Error::Invalid { why }) = again else {
        panic!("{again:?}");
    };
    assert!(why.contains("another link fault"), "{why}");
    let no_81 = lab.fault(Refuse::new("app", "db").port(tcp(81))).await?;
    let no_name = lab
        .fault(Dns::new("app", "db.test", DnsOutcome::Nxdomain))
        .await?;
    let no_udp = lab
        .fault(Partition::one_way("app", "db").port(udp(53)))
        .await?;
    assert_eq!(
        lab.report().await?.faults,
        [
            "refuse app -> db at 82/tcp (HostUnreachable)",
            "link app -> db, delay 120 ms",
            "link db -> app, delay 120 ms",
            "refuse app -> db at 81/tcp (PortUnreachable)",
            "dns app asks for db.test: NXDOMAIN",
            "partition app |> db at 53/udp",
        ]
    );
    let took = app.next(3).await?;
    assert!(took.iter().all(|took| *took >= 2 * DELAY), "{took:?}");
    let (a, b, c, d) = tokio::try_join!(
        attempt(&lab, "app", "db", tcp(80)),
        attempt(&lab, "app", "db", tcp(81)),
        attempt(&lab, "app", "db", tcp(82)),
        attempt(&lab, "app", "db", udp(53)),
    )?;
    assert_eq!([a, b, c, d], [Connected, Refused, Unreachable, TimedOut]);

    // In another order than they came.
    slow.heal().await?;
    let took = app.next(3).await?;
    assert!(took.iter().all(|took| *took >= DELAY), "{took:?}");
    let pause = lab.fault(Pause::new("app")).await?;
    no_udp.heal().await?;
    assert_eq!(attempt(&lab, "app", "db", udp(53)).await?, Connected);
    no_81.heal().await?;
    no_82.heal().await?;
    slower.heal().await?;
    assert_eq!(attempt(&lab, "app", "db", tcp(81)).await?, Connected);
    assert_eq!(
        lab.report().await?.faults,
        ["dns app asks for db.test: NXDOMAIN", "pause app"]
    );
    pause.heal().await?;
    no_name.heal().await?;
    app.stood_still(DELAY).await?;
    helpers_go(&lab).await;
    lab.end().await
}

#[tokio::test]
async fn a_failed_assertion_names_what_is_in_force() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    tokio::try_join!(server(&lab, "app", &back), server(&lab, "db", &back))?;
    let _cut = lab.fault(Partition::between(["app"], ["db"])).await?;
    let _lie = lab
        .fault(Dns::new("app", "web", DnsOutcome::Servfail))
        .await?;

    let asked = path(&lab, "app", "db", tcp(80)).must_connect();
    let message = std::panic::AssertUnwindSafe(asked)
        .catch_unwind()
        .await
        .unwrap_err();
    let message = message.downcast::<String>().unwrap();
    assert!(
        message.contains("app -> db:80/tcp must connect: timed out"),
        "{message}"
    );
    assert!(
        message.contains("fault in force: partition app <|> db\n"),
        "{message}"
    );

    let asked = lab.from("app").name("web").must_resolve();
    let message = std::panic::AssertUnwindSafe(asked)
        .catch_unwind()
        .await
        .unwrap_err();
    let message = message.downcast::<String>().unwrap();
    assert!(
        message.contains("fault in force: dns app asks for web: SERVFAIL\n"),
        "{message}"
    );
    lab.end().await
}
