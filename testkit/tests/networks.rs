//! What networks and containers are told, asked of the engine and felt from inside.

#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use netcheck_testkit::bollard::models::ContainerInspectResponse;
use netcheck_testkit::bollard::query_parameters::InspectNetworkOptions;
use netcheck_testkit::{Attempt, Endpoint, Error, Lab, Refusal, Result, Subnet, tcp, udp};
use tokio::net::TcpListener;

/// A subnet that no other test of this machine takes, outside the kit's own range.
fn own_subnet() -> String {
    format!("10.214.{}.0/24", std::process::id() % 256)
}

#[netcheck_testkit::test]
async fn what_a_network_is_told_the_engine_has(lab: &Lab) -> Result<()> {
    let subnet = own_subnet();
    let gateway: Ipv4Addr = subnet.replace(".0/24", ".77").parse().unwrap();
    let net = lab
        .network("net")
        .subnet_of(&subnet)
        .gateway(gateway)
        .ipv6()
        .internal()
        .attachable()
        .driver("bridge")
        .mtu(1380)
        .label("team", "shop")
        .create()
        .await?;
    let seen = lab
        .docker()
        .inspect_network(net.id(), None::<InspectNetworkOptions>)
        .await
        .unwrap();
    assert_eq!(seen.name.as_deref(), Some(net.real_name()));
    assert_eq!(seen.driver.as_deref(), Some("bridge"));
    assert_eq!(
        (seen.internal, seen.attachable, seen.enable_ipv6),
        (Some(true), Some(true), Some(true))
    );
    let options = seen.options.unwrap_or_default();
    assert_eq!(options["com.docker.network.driver.mtu"], "1380");
    let labels = seen.labels.unwrap_or_default();
    assert_eq!(labels["team"], "shop");
    assert_eq!(labels[netcheck_testkit::LABEL_LAB], lab.id());
    let configs = seen.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let subnets: Vec<_> = configs.iter().filter_map(|c| c.subnet.clone()).collect();
    assert!(subnets.contains(&subnet), "{subnets:?}");
    assert!(subnets.iter().any(|net| net.contains(':')), "{subnets:?}");
    assert!(
        configs
            .iter()
            .any(|config| config.gateway == Some(gateway.to_string())),
        "{configs:?}"
    );
    // And from inside: its address is the one that was asked for, and there is no way out.
    // (Engines before 28 give it a route that leads nowhere.)
    let node = lab
        .node("node")
        .on(Endpoint::from(&net).host(10))
        .tcp(80)
        .start()
        .await?;
    assert_eq!(node.address(&net).await?, net.host(10)?);
    let outside: SocketAddr = "192.0.2.1:80".parse().unwrap();
    lab.from("node")
        .to_address(outside)
        .patience(Duration::from_secs(1))
        .must_not_connect(Refusal::Any)
        .await;
    Ok(())
}

#[netcheck_testkit::test]
async fn without_icc_neighbours_are_silent(lab: &Lab) -> Result<()> {
    let net = lab.network("net").icc(false).create().await?;
    lab.node("db").on(&net).tcp(5432).start().await?;
    lab.node("app").on(&net).start().await?;
    let path = lab.from("app").to("db", tcp(5432));
    path.patience(Duration::from_secs(1))
        .must_not_connect(Refusal::TimedOut)
        .await;
    Ok(())
}

#[netcheck_testkit::test]
async fn a_subnet_that_is_taken_is_refused_and_an_automatic_one_is_another(
    lab: &Lab,
) -> Result<()> {
    let first = lab.network("first").create().await?;
    let taken = first.subnets()[0];
    let error = lab.network("second").subnet(taken).create().await;
    assert!(
        matches!(
            error,
            Err(Error::Api {
                status: Some(403),
                ..
            })
        ),
        "{error:?}"
    );
    let mut seen = HashSet::from([taken]);
    for number in 0..8 {
        let net = lab
            .network(format!("n{number}"))
            .subnet(Subnet::auto(28))
            .create()
            .await?;
        assert_eq!(net.subnets()[0].prefix_len(), 28);
        assert!(seen.insert(net.subnets()[0]), "{:?} twice", net.subnets());
    }
    Ok(())
}

#[netcheck_testkit::test]
async fn networks_addresses_and_aliases_are_there_before_the_first_process(
    lab: &Lab,
) -> Result<()> {
    let front = lab.network("front").create().await?;
    let back = lab.network("back").ipv6().create().await?;
    let db = lab
        .node("mysql-db")
        .on(&front)
        .on(back.alias("db.internal").host(9))
        .tcp(3306)
        .create()
        .await?;
    let networks = db
        .inspect()
        .await?
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    assert_eq!(networks.len(), 2, "{networks:?}");
    let at = &networks[back.real_name()];
    let aliases = at.aliases.clone().unwrap_or_default();
    assert!(aliases.contains(&"db.internal".to_owned()), "{aliases:?}");
    assert!(aliases.contains(&"mysql-db".to_owned()), "{aliases:?}");
    let fixed = at
        .ipam_config
        .clone()
        .and_then(|config| config.ipv4_address);
    assert_eq!(fixed, Some(back.host(9)?.to_string()));
    db.start().await?;
    lab.node("app").on(&back).start().await?;
    db.wait_for(tcp(3306), Duration::from_secs(20)).await?;
    lab.from("app")
        .name("db.internal")
        .must_be("mysql-db")
        .await;
    lab.from("app")
        .to("mysql-db", tcp(3306))
        .must_connect()
        .await;
    Ok(())
}

#[netcheck_testkit::test]
async fn connected_at_run_time_under_another_name(lab: &Lab) -> Result<()> {
    let back = lab.network("back").create().await?;
    let late = lab.network("late").create().await?;
    lab.node("app").on(&late).start().await?;
    let db = lab.node("mysql-db").on(&back).tcp(3306).start().await?;
    lab.from("app").name("mysql-db").must_not_resolve().await;
    late.connect_as(&db, late.alias("replica").host(20)).await?;
    assert_eq!(db.address(&late).await?, late.host(20)?);
    lab.from("app")
        .to("replica", tcp(3306))
        .must_connect()
        .await;
    late.disconnect(&db).await?;
    lab.from("app").name("replica").must_not_resolve().await;
    late.reconnect(&db).await?;
    assert_eq!(db.address(&late).await?, late.host(20)?);
    lab.from("app")
        .to("replica", tcp(3306))
        .must_connect()
        .await;
    Ok(())
}

#[netcheck_testkit::test]
async fn each_service_of_a_node_does_what_it_says(lab: &Lab) -> Result<()> {
    let net = lab.network("net").ipv6().create().await?;
    let server = lab
        .node("server")
        .on(&net)
        .http(80)
        .close(81)
        .v6only(82)
        .tcp((Ipv4Addr::LOCALHOST, 83))
        .udp(84)
        .banner(85)
        .publish(tcp(80))
        .publish(tcp(85))
        .start()
        .await?;
    lab.node("app").on(&net).start().await?;
    let v4 = server.address(&net).await?;
    let addresses = server.addresses(&net).await?;
    let v6 = *addresses.iter().find(|ip| ip.is_ipv6()).unwrap();
    let app = lab.from("app");
    app.to("server", tcp(80)).must_connect().await;
    app.to("server", tcp(81))
        .must_not_connect(Refusal::Closed)
        .await;
    let at = |ip: IpAddr, port| app.to_address(SocketAddr::new(ip, port));
    at(v6, 82).must_connect().await;
    at(v4, 82).must_not_connect(Refusal::Refused).await;
    app.to("server", tcp(83))
        .must_not_connect(Refusal::Refused)
        .await;
    app.to("server", udp(84)).must_connect().await;
    // What they say, through their published ports.
    let said = talk(server.endpoint(tcp(80)).await?, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(
        said.starts_with("HTTP/1.1 200") || said.starts_with("HTTP/1.0 200"),
        "{said}"
    );
    let said = talk(server.endpoint(tcp(85)).await?, b"").await;
    assert!(!said.is_empty(), "a banner");
    Ok(())
}

/// What a server says first, after this was said to it.
async fn talk(to: SocketAddr, say: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.write_all(say).await.unwrap();
    let mut said = [0; 256];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut said));
    let length = read.await.expect("it says something").unwrap();
    String::from_utf8_lossy(&said[..length]).into_owned()
}

#[netcheck_testkit::test]
async fn whoever_starts_after_another_finds_it_ready(lab: &Lab) -> Result<()> {
    let net = lab.network("net").create().await?;
    // Begun first, and done last: ready means that the port opens from the network.
    let app = lab.node("app").on(&net).after("mysql-db").start();
    let db = lab
        .node("mysql-db")
        .on(&net)
        .delay(Duration::from_millis(700))
        .word("tcp=0.0.0.0:3306")
        .ready(tcp(3306))
        .start();
    let (app, db) = tokio::join!(app, db);
    let (app, db) = (app?, db?);
    let attempt = lab.from(&app).to(&db, tcp(3306)).attempt().await?;
    assert_eq!(attempt, Attempt::Connected);
    let begun =
        |inspected: ContainerInspectResponse| inspected.state.and_then(|state| state.started_at);
    assert!(begun(db.inspect().await?) < begun(app.inspect().await?));
    Ok(())
}

#[netcheck_testkit::test]
async fn a_listener_of_the_test_is_reached_as_the_host(lab: &Lab) -> Result<()> {
    let net = lab.network("net").create().await?;
    lab.node("app").on(&net).host_access().start().await?;
    lab.node("other").on(&net).start().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(b"hello").await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    let host = |who| lab.from(who).to("host.docker.internal", tcp(at.port()));
    // On loopback it is out of reach, by whichever port.
    assert_ne!(host("app").attempt().await?, Attempt::Connected);
    let port = lab.expose(at).await?;
    lab.from("app")
        .to("host.docker.internal", tcp(port))
        .must_connect()
        .await;
    host("other").must_not_connect(Refusal::NoName).await;
    served.abort();
    Ok(())
}

#[netcheck_testkit::test]
async fn a_hundred_labs_may_have_the_name(lab: &Lab) -> Result<()> {
    let other = Lab::start().await?;
    for lab in [lab, &other] {
        let net = lab.network("net").create().await?;
        lab.node("mysql-db").on(&net).tcp(3306).start().await?;
        lab.node("app").on(&net).start().await?;
    }
    for lab in [lab, &other] {
        lab.from("app").name("mysql-db").must_be("mysql-db").await;
        assert_ne!(lab.get("mysql-db")?.real_name(), "mysql-db");
    }
    // Who is meant is said by the lab, also where the engine knows the name twice.
    let path = lab.from("app").to("mysql-db", tcp(3307)).diagnose().await?;
    assert_eq!(path.codes(), ["wrong-port"], "{path}");
    assert!(!path.to_string().contains(other.id()), "{path}");
    other.end().await
}
