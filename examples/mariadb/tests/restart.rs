//! Why a container is reached by its name: an address is somebody else's after a restart.

mod support;

use std::error::Error;
use std::time::Duration;

use netcheck_testkit::testcontainers::{GenericImage, ImageExt as _};
use netcheck_testkit::{Container, Lab, Network, Output, Refusal, tcp};

const PORT: u16 = 3306;

/// MariaDB, on the network by the name `mysql-db`.
async fn database(lab: &Lab, back: &Network) -> Result<Container, Box<dyn Error>> {
    let image = support::mariadb(lab).await?;
    let request = image
        .with_env_var("MARIADB_DATABASE", "some")
        .with_env_var("MARIADB_USER", "shop")
        .with_env_var("MARIADB_PASSWORD", "secret")
        .with_env_var("MARIADB_RANDOM_ROOT_PASSWORD", "1");
    let started = lab
        .container("mysql-db", request)
        .on(back)
        .ready(tcp(PORT))
        .start();
    Ok(started.await?.container().clone())
}

/// What the shop is told.
fn url(database: &str) -> String {
    format!("mysql://shop:secret@{database}:{PORT}/some")
}

/// The shop, in the network of its database: the program of this package in a container of its own,
/// which idles until it is asked for something.
async fn app(
    lab: &Lab,
    back: &Network,
    name: &str,
    database: &str,
) -> Result<Container, Box<dyn Error>> {
    let image: GenericImage = support::mariadb(lab).await?;
    let request = image.with_entrypoint("sleep").with_cmd(["3600"]);
    let program = std::fs::read(env!("CARGO_BIN_EXE_shop"))?;
    let started = lab
        .container(name, request)
        .on(back)
        .env("DATABASE_URL", url(database))
        .file_with_mode("/shop", program, 0o755)
        .start();
    Ok(started.await?.container().clone())
}

async fn orders(app: &Container) -> Result<Output, netcheck_testkit::Error> {
    app.exec(["/shop"]).await
}

#[netcheck_testkit::test(timeout = "5m")]
async fn a_name_survives_a_restart_and_an_address_does_not(
    lab: &Lab,
) -> Result<(), Box<dyn Error>> {
    let back = lab.network("back").create().await?;
    let db = database(lab, &back).await?;
    let address = db.address(&back).await?;
    let by_name = app(lab, &back, "by-name", "mysql-db").await?;
    let by_address = app(lab, &back, "by-address", &address.to_string()).await?;

    // As long as nothing changes, one is as good as the other.
    let ordered = by_name.exec(["/shop", "order", "a lamp"]).await?;
    assert_eq!(ordered.code, 0, "{ordered:?}");
    for app in [&by_name, &by_address] {
        let said = orders(app).await?;
        assert_eq!(said.stdout, "1 orders\n", "{said:?}");
    }

    // The database is down for a moment, and a cache comes up that gets its address.
    db.stop(Duration::from_secs(10)).await?;
    lab.node("cache")
        .on(back.ip(address))
        .tcp(6379)
        .start()
        .await?;
    db.start().await?;
    db.wait_for(tcp(PORT), Duration::from_secs(60)).await?;
    assert_ne!(db.address(&back).await?, address);

    // The orders are still there, for those who ask for the database and not for an address.
    let said = orders(&by_name).await?;
    assert_eq!(said.stdout, "1 orders\n", "{said:?}");
    let said = orders(&by_address).await?;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("Connection refused"), "{said:?}");
    lab.from("by-name")
        .to("mysql-db", tcp(PORT))
        .must_connect()
        .await;
    let stale = lab.from("by-address").to_address((address, PORT).into());
    stale.must_not_connect(Refusal::Refused).await;
    Ok(())
}

#[netcheck_testkit::test(timeout = "5m")]
async fn every_test_has_a_database_of_its_own(lab: &Lab) -> Result<(), Box<dyn Error>> {
    let back = lab.network("back").create().await?;
    database(lab, &back).await?;
    let app = app(lab, &back, "app", "mysql-db").await?;
    // Also while the test above has ordered a lamp from another `mysql-db`.
    let said = orders(&app).await?;
    assert_eq!(said.stdout, "0 orders\n", "{said:?}");
    Ok(())
}
