//! What is not made: faults in the host's namespace, without the rights, or of nobody. Everything
//! is as it was then.

use std::process::Command;
use std::time::Duration;

use netcheck_testkit::{
    Disconnect, Dns, DnsOutcome, Error, Fault, Lab, Link, Partition, Pause, Refuse, RefuseWith,
    Result, tcp, udp,
};
use serde_json::json;

use crate::proxy::Proxy;
use crate::world::{helpers, helpers_go, server};

fn reason(made: Result<Fault>) -> String {
    match made {
        Err(Error::Invalid { why }) => why,
        other => panic!("{other:?}"),
    }
}

/// The tables of all netcheck-fault programs in the host's namespace. (Docker's own rules change
/// with every container of anybody.)
fn tables_on_the_host() -> Vec<String> {
    let listed = Command::new("nft")
        .args(["list", "tables"])
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let text = String::from_utf8(listed.stdout).unwrap();
    let ours = text.lines().filter(|line| line.contains("netcheck"));
    ours.map(str::to_owned).collect()
}

#[tokio::test]
async fn never_in_the_hosts_namespace() -> Result<()> {
    // Sees every container that is created.
    let engine = Proxy::new(|_| {});
    let lab = Lab::builder().engine(engine.host()).start().await?;
    let back = lab.network("back").create().await?;
    server(&lab, "db", &back).await?;
    let host = lab.node("host").on_host_network().start().await?;
    let guest = lab.node("guest").in_network_of(&host).start().await?;
    lab.node("guest-of-guest")
        .in_network_of(&guest)
        .start()
        .await?;

    for name in ["host", "guest", "guest-of-guest"] {
        let faults = [
            lab.fault(Partition::between([name], ["db"])),
            lab.fault(Partition::one_way("db", name)),
            lab.fault(Refuse::new(name, "db")),
            lab.fault(Link::new(name, "db").loss(1.0)),
            lab.fault(Link::new("db", name).loss(1.0)),
            lab.fault(Dns::new(name, "db", DnsOutcome::Nxdomain)),
            lab.fault(Disconnect::new(name, "back")),
        ];
        for fault in faults {
            let why = reason(fault.await);
            assert!(why.contains(&format!("`{name}`")), "{why}");
        }
        let why = reason(lab.fault(Refuse::new(name, "db")).await);
        assert!(why.contains("uses the host's network"), "{why}");
    }
    let images = engine.images();
    assert!(
        !images.iter().any(|image| image.contains("fault")),
        "{images:?}"
    );
    assert_eq!(tables_on_the_host(), [""; 0]);
    assert_eq!(lab.report().await?.faults, [""; 0]);
    lab.end().await
}

/// An engine that gives nobody NET_ADMIN, as one with an authorization plugin may.
#[tokio::test]
async fn what_the_engine_withholds_is_named() -> Result<()> {
    let engine = Proxy::new(|container| container["HostConfig"]["CapAdd"] = json!([]));
    let lab = Lab::builder().engine(engine.host()).start().await?;
    let back = lab.network("back").create().await?;
    tokio::try_join!(server(&lab, "app", &back), server(&lab, "db", &back))?;
    let capabilities = lab.capabilities().await?;
    let text = capabilities.to_string();
    for (name, can) in [
        ("partition", &capabilities.partition),
        ("refuse", &capabilities.refuse),
        ("dns", &capabilities.dns),
        ("link", &capabilities.link),
    ] {
        let why = can.as_ref().unwrap_err();
        assert!(
            why.contains("CAP_NET_ADMIN") || why.contains("CAP_NET_RAW"),
            "{why}"
        );
        assert!(text.contains(&format!("{name:<10} no: {why}\n")), "{text}");
    }
    assert_eq!(capabilities.reaper, Ok(()));
    for fault in [
        lab.fault(Partition::between(["app"], ["db"])),
        lab.fault(Refuse::new("app", "db")),
        lab.fault(Dns::new("app", "db", DnsOutcome::Nxdomain)),
        lab.fault(Link::new("app", "db").loss(0.5)),
    ] {
        match fault.await {
            Err(Error::Unsupported { needs, .. }) => {
                assert!(
                    needs == "CAP_NET_ADMIN" || needs == "CAP_NET_RAW",
                    "{needs}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    // They need no rights in a namespace.
    lab.fault(Pause::new("db")).await?.heal().await?;
    lab.fault(Disconnect::new("db", "back"))
        .await?
        .heal()
        .await?;
    lab.from("app").to("db", tcp(80)).must_connect().await;
    helpers_go(&lab).await;
    lab.end().await
}

#[tokio::test]
async fn this_engine_can_do_everything() -> Result<()> {
    let lab = Lab::start().await?;
    let text = lab.capabilities().await?.to_string();
    let all = ["partition", "refuse", "dns", "link", "reaper", "expose"];
    let yes: String = all.iter().map(|name| format!("{name:<10} yes\n")).collect();
    assert_eq!(text, yes);
    helpers_go(&lab).await;
    lab.end().await
}

#[tokio::test]
async fn what_makes_no_sense_says_why() -> Result<()> {
    let lab = Lab::start().await?;
    let back = lab.network("back").create().await?;
    tokio::try_join!(
        server(&lab, "app", &back),
        server(&lab, "db", &back),
        lab.node("alone").on_no_network().start(),
        lab.node("created").on(&back).create()
    )?;
    lab.node("ended").on(&back).start().await?.kill().await?;

    for (made, unknown) in [
        (
            lab.fault(Partition::between(["app"], ["bd"])).await,
            "container `bd`",
        ),
        (lab.fault(Refuse::new("ap", "db")).await, "container `ap`"),
        (lab.fault(Pause::new("ap")).await, "container `ap`"),
        (
            lab.fault(Disconnect::new("db", "front")).await,
            "network `front`",
        ),
    ] {
        let Err(error @ Error::Unknown { .. }) = made else {
            panic!("{made:?}");
        };
        assert!(error.to_string().contains(unknown), "{error}");
    }
    let nobody: [&str; 0] = [];
    for (made, expected) in [
        (
            lab.fault(Partition::between(nobody, ["db"])).await,
            "a partition of nobody",
        ),
        (
            lab.fault(Partition::between(["db"], nobody)).await,
            "a partition of nobody",
        ),
        (
            lab.fault(Partition::between(["app", "db"], ["db"])).await,
            "a partition of `db` from itself",
        ),
        (
            lab.fault(Link::new("db", "db").loss(1.0)).await,
            "in one namespace",
        ),
        (
            lab.fault(Refuse::new("ended", "db")).await,
            "`ended` does not run",
        ),
        (
            lab.fault(Refuse::new("created", "db")).await,
            "`created` does not run",
        ),
        (lab.fault(Pause::new("ended")).await, "`ended` does not run"),
        (
            lab.fault(Refuse::new("db", "ended")).await,
            "`ended` has no address",
        ),
        (
            lab.fault(Refuse::new("db", "alone")).await,
            "`alone` has no address",
        ),
        (
            lab.fault(Disconnect::new("alone", "back")).await,
            "is not on the network `back`",
        ),
        (
            lab.fault(Link::new("app", "db").loss(1.5)).await,
            "loss is 1.5",
        ),
        (
            lab.fault(Link::new("app", "db").loss(f64::NAN)).await,
            "no number",
        ),
        (
            lab.fault(Link::new("app", "db").bytes_per_second(0)).await,
            "is 0",
        ),
        (
            lab.fault(Link::new("app", "db").jitter(Duration::from_millis(5)))
                .await,
            "jitter_ms is 5",
        ),
        (
            lab.fault(Link::new("app", "db").delay(Duration::from_secs(61)))
                .await,
            "delay_ms is 61000",
        ),
        (
            lab.fault(
                Refuse::new("app", "db")
                    .port(udp(53))
                    .with(RefuseWith::TcpReset),
            )
            .await,
            "UDP cannot be refused",
        ),
        (
            lab.fault(Dns::new("app", "", DnsOutcome::Nxdomain)).await,
            "name",
        ),
        (
            lab.fault(Dns::new("app", "a".repeat(64), DnsOutcome::Nxdomain))
                .await,
            "aaa",
        ),
    ] {
        let why = reason(made);
        assert!(why.contains(expected), "{expected}: {why}");
        helpers_go(&lab).await;
    }
    assert_eq!(helpers(&lab).await, [""; 0]);
    assert_eq!(lab.report().await?.faults, [""; 0]);
    lab.from("app").to("db", tcp(80)).must_connect().await;
    lab.end().await
}
