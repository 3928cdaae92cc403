//! A Compose project checked from a test: it comes up in its order, what is to be reached is
//! reached, and what is not to be reached is not.

use std::net::TcpStream;
use std::path::Path;

use netcheck_testkit::{Compose, Container, Lab, Refusal, Result, tcp};

/// The project of this folder. Its images are the kit's own node here, which needs no registry.
async fn up(lab: &Lab) -> Result<Compose> {
    let image = lab.node_image().await?;
    lab.compose_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("compose.yaml"))
        .variable("WEB_IMAGE", &image)
        .variable("DB_IMAGE", &image)
        .ready("web", tcp(80))
        // Not 8080: tests run in parallel, and somebody may have the project up.
        .free_host_ports()
        .up()
        .await
}

#[netcheck_testkit::test(timeout = "60s")]
async fn the_web_server_is_published_and_the_database_is_not(lab: &Lab) -> Result<()> {
    let shop = up(lab).await?;
    let web = shop.service("web")?.endpoint(tcp(80)).await?;
    TcpStream::connect(web).expect("the web server at its published port");
    assert!(web.ip().is_loopback(), "for this machine only");
    let published = shop.service("mysql-db")?.endpoint(tcp(3306)).await;
    assert!(published.is_err(), "{published:?}");
    Ok(())
}

#[netcheck_testkit::test(timeout = "60s")]
async fn only_the_web_server_reaches_the_database(lab: &Lab) -> Result<()> {
    up(lab).await?;
    let web = lab.from("web");
    web.to("mysql-db", tcp(3306)).must_connect().await;
    web.name("db.internal").must_be("mysql-db").await;

    // A container of the test's own beside the web server, on the project's network.
    let front = lab.get_network("front")?;
    lab.node("stranger").on(&front).start().await?;
    let stranger = lab.from("stranger");
    stranger.to("web", tcp(80)).must_connect().await;
    stranger
        .to("mysql-db", tcp(3306))
        .must_not_connect(Refusal::NameUnknown)
        .await;
    Ok(())
}

#[netcheck_testkit::test(timeout = "60s")]
async fn services_of_a_profile_stay_down(lab: &Lab) -> Result<()> {
    let shop = up(lab).await?;
    let names: Vec<&str> = shop.services().iter().map(Container::name).collect();
    assert_eq!(names, ["mysql-db", "web"]);
    Ok(())
}
