//! Compose projects on a real engine: that what the file says is what the engine has, in the order
//! the file asks for, and that a failure is told with its cause and leaves nothing.
#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::time::Duration;

use netcheck_testkit::bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use netcheck_testkit::{ComposeBuilder, Error, Lab, Result, tcp};
use tempfile::TempDir;

const SHOP: &str = r#"
name: shop
x-node: &node
  image: ${NODE}
services:
  web:
    <<: *node
    container_name: front
    command: http=0.0.0.0:${PORT:-80}
    ports: ["127.0.0.1:18080:80"]
    environment: {OVER: service, FROM_TEST: }
    env_file: web.env
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
    networks:
      front:
      back: {aliases: [shop.internal], priority: 2}
    volumes: ["./conf:/conf:ro", "data:/data"]
    hostname: shop
    extra_hosts: ["mail.example:10.0.0.25"]
  db:
    <<: *node
    command: [after=300ms, banner=0.0.0.0:3306]
    expose: [3306]
    networks: {back: {ipv4_address: "${DB_ADDRESS}"}}
    volumes: [{type: volume, source: data, target: /data}]
    healthcheck: {test: [CMD, /netcheck-node, "check=127.0.0.1:3306"], interval: 100ms, timeout: 1s, retries: 50}
  migrate:
    <<: *node
    command: check=${DB_ADDRESS}:3306
    depends_on: {db: {condition: service_healthy}}
    networks: [back]
  proxy:
    <<: *node
    command: tcp=0.0.0.0:8081
    network_mode: service:web
  alone: {<<: *node, command: idle, network_mode: none}
  debug: {<<: *node, command: idle, profiles: [debug]}
networks:
  front:
  back:
    internal: true
    ipam: {config: [{subnet: "${SUBNET}"}]}
volumes: {data: }
"#;

/// A folder with the file and what it names.
fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("compose.yaml"), text).unwrap();
    fs::write(folder.path().join(".env"), "SUBNET=10.77.31.0/24\n").unwrap();
    fs::write(
        folder.path().join("web.env"),
        "OVER=file\nFILE='from file'\n",
    )
    .unwrap();
    fs::create_dir(folder.path().join("conf")).unwrap();
    fs::write(folder.path().join("conf/web.conf"), "x").unwrap();
    folder
}

async fn begin(lab: &Lab, folder: &TempDir) -> Result<ComposeBuilder> {
    let file = folder.path().join("compose.yaml");
    Ok(lab
        .compose_file(file)
        .variable("NODE", lab.node_image().await?))
}

#[netcheck_testkit::test(timeout = "120s")]
async fn what_the_file_says_is_what_the_engine_has(lab: &Lab) -> Result<()> {
    let folder = folder(SHOP);
    let shop = begin(lab, &folder)
        .await?
        .variable("DB_ADDRESS", "10.77.31.20")
        .variable("FROM_TEST", "yes")
        .free_host_ports()
        .ready("web", tcp(80))
        .up()
        .await?;
    let names: Vec<_> = shop
        .services()
        .iter()
        .map(|s| s.name().to_owned())
        .collect();
    assert_eq!(
        names,
        ["alone", "db", "migrate", "proxy", "web"],
        "no profile"
    );

    let web = shop.service("web")?.inspect().await?;
    let config = web.config.unwrap();
    let labels = config.labels.unwrap();
    assert_eq!(labels["com.docker.compose.service"], "web");
    assert_eq!(labels["com.docker.compose.project"], shop.project());
    assert_eq!(shop.project(), format!("shop-{}", lab.id()));
    assert_eq!(config.hostname.as_deref(), Some("shop"));
    let env = config.env.unwrap();
    for pair in ["OVER=service", "FILE=from file", "FROM_TEST=yes"] {
        assert!(env.contains(&pair.to_owned()), "{pair}: {env:?}");
    }
    let host = web.host_config.unwrap();
    assert_eq!(host.extra_hosts.unwrap(), ["mail.example:10.0.0.25"]);
    let endpoints = web.network_settings.unwrap().networks.unwrap();
    assert_eq!(endpoints.len(), 2);
    let back = lab.get_network("back")?;
    let aliases = endpoints[back.real_name()].aliases.clone().unwrap();
    for alias in ["web", "front", "shop.internal"] {
        assert!(aliases.contains(&alias.to_owned()), "{alias}: {aliases:?}");
    }
    assert!(back.is_internal());
    assert_eq!(back.subnets()[0].to_string(), "10.77.31.0/24");
    let db = lab.get("db")?;
    assert_eq!(db.address(&back).await?.to_string(), "10.77.31.20");

    // From inside: the file is there, the volume is one, the proxy lives in the web's namespace.
    let web = shop.service("web")?;
    let looks = [
        "needs=/conf/web.conf",
        "check=127.0.0.1:8081",
        "second-start=/data/seen",
        "check=10.77.31.20:3306",
    ];
    for word in [looks[0], looks[1], looks[3]] {
        let said = web.exec(["/netcheck-node", word]).await?;
        assert_eq!(said.code, 0, "{word}: {said:?}");
    }
    let marked = web
        .exec(["/netcheck-node", "until=/data/seen", looks[2]])
        .await?;
    assert_eq!(marked.code, 0, "{marked:?}");
    let seen = db.exec(["/netcheck-node", "needs=/data/seen"]).await?;
    assert_eq!(seen.code, 0, "{seen:?}");

    // From outside: a port of the engine's choice, at the address that the file names.
    let at = web.endpoint(tcp(80)).await?;
    assert!(at.ip().is_loopback() && at.port() != 18080, "{at}");
    tokio::net::TcpStream::connect(at).await.expect("published");

    let migrate = shop.service("migrate")?.inspect().await?.state.unwrap();
    assert_eq!(migrate.status, Some(ContainerStateStatusEnum::EXITED));
    let started =
        |inspected: ContainerInspectResponse| inspected.state.unwrap().started_at.unwrap();
    let ended = migrate.finished_at.unwrap();
    assert!(
        started(web.inspect().await?) > ended,
        "after what it depends on"
    );
    Ok(())
}

#[netcheck_testkit::test(timeout = "120s")]
async fn a_profile_and_a_network_of_the_lab(lab: &Lab) -> Result<()> {
    let text = "
services:
  a: {image: '${NODE}', command: idle, networks: [shared]}
  b: {image: '${NODE}', command: idle, networks: [shared], profiles: [debug]}
networks: {shared: {external: true, name: back}}
";
    let folder = folder(text);
    let error = begin(lab, &folder).await?.up().await.unwrap_err();
    assert!(
        error.to_string().ends_with("the lab has no network `back`"),
        "{error}"
    );
    let back = lab.network("back").create().await?;
    begin(lab, &folder).await?.profile("debug").up().await?;
    for name in ["a", "b"] {
        assert!(lab.get(name)?.address(&back).await.is_ok(), "{name}");
    }
    Ok(())
}

#[netcheck_testkit::test(timeout = "120s")]
async fn two_projects_of_one_file_at_once(lab: &Lab) -> Result<()> {
    let folder =
        folder("services: {a: {image: '${NODE}', command: 'tcp=0.0.0.0:80', ports: ['80']}}");
    let other = Lab::start().await?;
    let (one, two) = (
        begin(lab, &folder).await?.up(),
        begin(&other, &folder).await?.up(),
    );
    let (one, two) = (one.await?, two.await?);
    assert_ne!(one.project(), two.project());
    let (one, two) = (
        one.service("a")?.endpoint(tcp(80)).await?,
        two.service("a")?.endpoint(tcp(80)).await?,
    );
    assert_ne!(one, two);
    other.end().await
}

#[netcheck_testkit::test(timeout = "120s")]
async fn the_first_error_is_the_cause(lab: &Lab) -> Result<()> {
    let text = "
services:
  app: {image: '${NODE}', command: idle, depends_on: {db: {condition: service_healthy}}}
  db:
    image: '${NODE}'
    command: idle
    healthcheck: {test: [CMD, /netcheck-node, 'check=127.0.0.1:1'], interval: 100ms, retries: 2}
";
    let folder = folder(text);
    match begin(lab, &folder).await?.up().await.unwrap_err() {
        Error::NotReady {
            name, waited_for, ..
        } => {
            assert_eq!(name, "db");
            assert!(waited_for.contains("health check"), "{waited_for}");
        }
        other => panic!("{other:?}"),
    }
    assert!(lab.get("db").is_ok(), "it stays for the report");
    assert!(lab.get("app").is_err(), "never made");
    Ok(())
}

#[netcheck_testkit::test(timeout = "120s")]
async fn what_cannot_work_is_told(lab: &Lab) -> Result<()> {
    for (text, words) in [
        (
            "services: {a: {image: '${NODE}', depends_on: [b]}, b: {image: '${NODE}', depends_on: [a]}}",
            "wait for each other: a, b",
        ),
        (
            "services: {a: {image: '${NODE}', depends_on: [b]}}",
            "no service `b`",
        ),
        (
            "services: {a: {image: '${NODE}', networks: [b]}}",
            "no network `b`",
        ),
        (
            "services: {a: {image: '${NODE}', volumes: ['b:/b']}}",
            "no volume `b`",
        ),
        (
            "services: {a: {image: '${NODE}', volumes: ['./b:/b']}}",
            "is not there",
        ),
        (
            "services: {a: {image: '${NODE}', network_mode: 'container:b'}}",
            "no container `b`",
        ),
        (
            "services: {a: {image: 'netcheck-none:1', pull_policy: never}}",
            "looking for the image",
        ),
        (
            "services: {a: {image: '${NODE}', env_file: none.env}}",
            "none.env",
        ),
        (
            "services: {a: {image: '${NODE}', command: exit=3}, b: {image: '${NODE}', depends_on: {a: {condition: service_completed_successfully}}}}",
            "exit code 0",
        ),
        (
            "services: {a: {image: '${NODE}'}, b: {image: '${NODE}', depends_on: {a: {condition: service_healthy}}}}",
            "no health check",
        ),
    ] {
        // Each in a lab of its own: what was made until the error stays until the lab ends.
        let own = Lab::start().await?;
        let folder = folder(text);
        let error = begin(&own, &folder).await?.up().await.unwrap_err();
        assert!(error.to_string().contains(words), "{text}\n{error}");
        own.end().await?;
    }
    let absent = lab
        .compose_file("/nowhere/compose.yaml")
        .up()
        .await
        .unwrap_err();
    assert!(matches!(absent, Error::Compose { .. }), "{absent:?}");
    Ok(())
}

#[netcheck_testkit::test(timeout = "120s")]
async fn a_service_that_takes_too_long_is_told_in_time(lab: &Lab) -> Result<()> {
    let text = "
services:
  db:
    image: '${NODE}'
    command: idle
    healthcheck: {test: [CMD, /netcheck-node, 'check=127.0.0.1:1'], interval: 1s, start_period: 1h}
";
    let folder = folder(text);
    let builder = begin(lab, &folder).await?;
    let error = builder
        .startup_timeout(Duration::from_secs(2))
        .up()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotReady { .. }), "{error:?}");
    Ok(())
}
