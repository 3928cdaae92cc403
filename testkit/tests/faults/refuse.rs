//! Refusals: an error at once, and of the kind asked for.

use futures_util::future::try_join_all;
use netcheck_testkit::Attempt::{Connected, NotPermitted, Refused, TimedOut, Unreachable};
use netcheck_testkit::{Lab, Refuse, RefuseWith, Result, tcp, udp};

use crate::world::{Talker, attempt, both, helpers_go, server};

/// errno(3) on Linux.
const ECONNREFUSED: i32 = 111;
const EHOSTUNREACH: i32 = 113;
const ENETUNREACH: i32 = 101;
const EACCES: i32 = 13;

#[tokio::test]
async fn each_refusal_gives_its_errno() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").ipv6().create().await?;
    let db = server(&lab, "db", &back).await?;
    let [v4, v6] = both(&db, &back).await?;
    // With: TCP over IPv4 and IPv6, UDP over IPv4 and IPv6. Silence: the kernel keeps the error
    // from the socket, see `RefuseWith`.
    let cases = [
        (
            RefuseWith::TcpReset,
            [ECONNREFUSED, ECONNREFUSED],
            [Connected, Connected],
        ),
        (
            RefuseWith::PortUnreachable,
            [ECONNREFUSED, ECONNREFUSED],
            [Refused, Refused],
        ),
        (
            RefuseWith::HostUnreachable,
            [EHOSTUNREACH, EHOSTUNREACH],
            [TimedOut, TimedOut],
        ),
        (
            RefuseWith::NetUnreachable,
            [ENETUNREACH, ENETUNREACH],
            [TimedOut, TimedOut],
        ),
        (
            RefuseWith::AdminProhibited,
            [EHOSTUNREACH, EACCES],
            [Unreachable, NotPermitted],
        ),
    ];
    let check = |(with, errnos, datagrams)| {
        let (lab, back) = (&lab, &back);
        async move {
            let name = format!("{with:?}");
            let app = lab.node(&*name).on(back).start().await?;
            let refuse = lab.fault(Refuse::new(&*name, "db").with(with)).await?;
            for (address, errno) in [v4, v6].into_iter().zip(errnos) {
                let at = std::net::SocketAddr::new(address, 80);
                let said = app
                    .exec(["/netcheck-node".into(), format!("check={at}")])
                    .await?;
                let expected = format!("(os error {errno})");
                assert!(said.stderr.contains(&expected), "{name} {at}: {said:?}");
            }
            for (address, expected) in [v4, v6].into_iter().zip(datagrams) {
                let came = attempt(lab, &name, address, udp(53)).await?;
                assert_eq!(came, expected, "{name} {address}");
            }
            assert!(refuse.counters().await?.refused >= 2, "{name}");
            refuse.heal().await?;
            for address in [v4, v6] {
                assert_eq!(attempt(lab, &name, address, tcp(80)).await?, Connected);
                assert_eq!(attempt(lab, &name, address, udp(53)).await?, Connected);
            }
            Ok::<(), netcheck_testkit::Error>(())
        }
    };
    try_join_all(cases.map(check)).await?;
    helpers_go(&lab).await;
    lab.end().await
}

#[tokio::test]
async fn only_new_connections_of_that_container_to_that_port() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let db = server(&lab, "db", &back).await?;
    let (app, _other) = tokio::try_join!(
        Talker::tcp(&lab, "app", &back, (db.address(&back).await?, 80)),
        server(&lab, "other", &back)
    )?;

    let refuse = lab.fault(Refuse::new("app", "db").port(tcp(80))).await?;
    assert_eq!(
        refuse.to_string(),
        "refuse app -> db at 80/tcp (PortUnreachable)"
    );
    let (a, b) = tokio::try_join!(
        attempt(&lab, "app", "db", tcp(80)),
        attempt(&lab, "app", "db", tcp(80))
    )?;
    assert_eq!([a, b], [Refused, Refused]);
    let (a, b, c, d) = tokio::try_join!(
        attempt(&lab, "app", "db", tcp(81)),
        attempt(&lab, "app", "db", udp(53)),
        attempt(&lab, "other", "db", tcp(80)),
        attempt(&lab, "db", "app", tcp(80)),
    )?;
    assert_eq!([a, b, c, d], [const { Connected }; 4]);
    app.goes_on().await?;
    let all = lab
        .fault(Refuse::new("app", "db").with(RefuseWith::TcpReset))
        .await?;
    assert_eq!(attempt(&lab, "app", "db", tcp(81)).await?, Refused);
    app.goes_on().await?;
    refuse.heal().await?;
    assert_eq!(attempt(&lab, "app", "db", tcp(80)).await?, Refused);
    all.heal().await?;
    assert_eq!(attempt(&lab, "app", "db", tcp(80)).await?, Connected);
    lab.end().await
}
