//! Names that fail or lie: one name, seen from one container.

use std::net::IpAddr;

use netcheck_testkit::Attempt::{Connected, NameFailed, NameUnknown, Refused};
use netcheck_testkit::{Dns, DnsOutcome, Lab, Result, tcp};

use futures_util::future::try_join_all;

use crate::world::{attempt, helpers_go, server};

#[tokio::test]
async fn one_name_from_one_container() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    let (db, web, _other) = tokio::try_join!(
        server(&lab, "db", back.alias("db.internal")),
        // Only its port 80 answers.
        lab.node("web").on(&back).tcp(80).start(),
        server(&lab, "other", &back)
    )?;
    let (db, web) = (db.address(&back).await?, web.address(&back).await?);
    let cases = [
        ("nxdomain", DnsOutcome::Nxdomain, NameUnknown),
        ("servfail", DnsOutcome::Servfail, NameFailed),
        ("refused", DnsOutcome::Refused, NameFailed),
        ("no-answer", DnsOutcome::NoAnswer, NameFailed),
        ("empty", DnsOutcome::Empty, NameUnknown),
        ("elsewhere", DnsOutcome::Addresses(vec![web]), Refused),
    ];
    let check = |(app, outcome, expected)| {
        let lab = &lab;
        async move {
            lab.node(app).on(&lab.get_network("back")?).start().await?;
            let found: Vec<IpAddr> = match &outcome {
                DnsOutcome::Addresses(addresses) => addresses.clone(),
                _ => Vec::new(),
            };
            let fault = lab.fault(Dns::new(app, "db", outcome)).await?;
            // At 81 it is the wrong machine that refuses, where there is an address.
            assert_eq!(attempt(lab, app, "db", tcp(81)).await?, expected, "{app}");
            assert_eq!(lab.from(app).resolves("DB").await?, found, "{app}");
            let (alias, other) = tokio::try_join!(
                lab.from(app).resolves("db.internal"),
                lab.from("other").resolves("db")
            )?;
            assert_eq!((alias, other), (vec![db], vec![db]), "{app}");
            assert_eq!(attempt(lab, app, db, tcp(80)).await?, Connected, "{app}");
            let counters = fault.counters().await?;
            assert!(counters.answered > 0 && counters.forwarded > 0, "{app}");
            fault.heal().await?;
            assert_eq!(attempt(lab, app, "db", tcp(81)).await?, Connected, "{app}");
            Ok::<(), netcheck_testkit::Error>(())
        }
    };
    try_join_all(cases.map(check)).await?;
    helpers_go(&lab).await;
    lab.end().await
}

#[tokio::test]
async fn two_in_one_container_heal_in_any_order() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    tokio::try_join!(
        server(&lab, "app", &back),
        server(&lab, "db", &back),
        server(&lab, "web", &back)
    )?;
    for (first, second) in [("db", "web"), ("web", "db")] {
        let one = lab
            .fault(Dns::new("app", "db", DnsOutcome::Nxdomain))
            .await?;
        let two = lab
            .fault(Dns::new("app", "web", DnsOutcome::Servfail))
            .await?;
        assert_eq!(attempt(&lab, "app", "db", tcp(80)).await?, NameUnknown);
        assert_eq!(attempt(&lab, "app", "web", tcp(80)).await?, NameFailed);
        lab.from("app").name("app").must_resolve().await;
        let (early, late) = if first == "db" {
            (one, two)
        } else {
            (two, one)
        };
        early.heal().await?;
        lab.from("app").name(first).must_be(first).await;
        lab.from("app").name(second).must_not_resolve().await;
        late.heal().await?;
        lab.from("app").name(second).must_be(second).await;
    }
    lab.end().await
}

/// There the resolver is not the engine's own, but whatever the container was given.
#[tokio::test]
async fn on_the_default_bridge() -> Result<()> {
    let lab = Lab::start().await?;
    let server = lab.node("ns").on_default_bridge().word("dns=0.0.0.0:53");
    let server = server.start().await?;
    let address = server
        .inspect()
        .await?
        .network_settings
        .unwrap()
        .networks
        .unwrap()["bridge"]
        .ip_address
        .clone()
        .unwrap();
    let resolver: IpAddr = address.parse().unwrap();
    for name in ["app", "other"] {
        let app = lab.node(name).on_default_bridge().dns(&[resolver]);
        app.start().await?;
    }
    let known: Vec<IpAddr> = vec!["192.0.2.53".parse().unwrap()];
    let wrong: Vec<IpAddr> = vec!["192.0.2.99".parse().unwrap()];
    let lies = DnsOutcome::Addresses(wrong.clone());
    let fault = lab.fault(Dns::new("app", "db.test", lies)).await?;
    assert_eq!(lab.from("app").resolves("db.test").await?, wrong);
    assert_eq!(lab.from("app").resolves("web.test").await?, known);
    assert_eq!(lab.from("other").resolves("db.test").await?, known);
    fault.heal().await?;
    assert_eq!(lab.from("app").resolves("db.test").await?, known);
    lab.end().await
}
