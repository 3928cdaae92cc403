//! Plain testcontainers and the kit in one test: containers you have already join networks of a
//! lab, and the same request becomes a container of the lab when it has to be more.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use netcheck_testkit::testcontainers::core::{IntoContainerPort as _, WaitFor};
use netcheck_testkit::testcontainers::runners::AsyncRunner as _;
use netcheck_testkit::testcontainers::{ContainerRequest, GenericImage, ImageExt as _};
use netcheck_testkit::{Lab, Refusal, tcp};

/// A web server, as any test with testcontainers asks for one. The image is the kit's own node,
/// which needs no registry; yours would be here.
async fn web(lab: &Lab) -> Result<ContainerRequest<GenericImage>, Box<dyn Error>> {
    let image = lab.node_image().await?;
    let (name, tag) = image.rsplit_once(':').ok_or("an image without a tag")?;
    Ok(GenericImage::new(name, tag)
        .with_exposed_port(80.tcp())
        .with_wait_for(WaitFor::seconds(0))
        .with_cmd(["http=0.0.0.0:80"]))
}

/// Asks for a page.
fn get(port: u16) -> Result<String, std::io::Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

#[netcheck_testkit::test(timeout = "60s")]
async fn a_plain_container_joins_networks_of_a_lab(lab: &Lab) -> Result<(), Box<dyn Error>> {
    let back = lab.network("back").create().await?;
    let front = lab.network("front").create().await?;
    lab.node("client").on(&front).start().await?;

    // Nothing changes for testcontainers: it starts, waits and removes. The network is the lab's.
    let plain = web(lab).await?.with_network(&back).start().await?;
    let port = plain.get_host_port_ipv4(80).await?;
    assert!(get(port)?.contains("200"));

    // A second network, an alias and an address, while it runs.
    let at = front.host(10)?;
    let address = lab.from("client").to_address((at, 80).into());
    address.clone().must_not_connect(Refusal::Any).await;
    front
        .connect_as(&plain, front.alias("web.internal").ip(at))
        .await?;
    address.must_connect().await;

    // What is removed by somebody else first is no trouble for the lab.
    plain.rm().await?;
    Ok(())
}

#[netcheck_testkit::test(timeout = "60s")]
async fn the_same_request_as_a_container_of_the_lab(lab: &Lab) -> Result<(), Box<dyn Error>> {
    let back = lab.network("back").internal().create().await?;
    let front = lab.network("front").create().await?;
    lab.node("client").on(&back).start().await?;

    // Two networks, an alias and an address from before its first process runs; ready when the port
    // takes connections from the network; and still a genuine `ContainerAsync`.
    let web = lab
        .container("web", web(lab).await?)
        .on(front.alias("www"))
        .on(back.ip(back.host(10)?))
        .ready(tcp(80))
        .start()
        .await?;
    let port = web.testcontainers().get_host_port_ipv4(80).await?;
    assert!(get(port)?.contains("200"));
    assert_eq!(web.endpoint(tcp(80)).await?.port(), port);
    assert_eq!(web.address(&back).await?, back.host(10)?);
    lab.from("client").to("web", tcp(80)).must_connect().await;
    Ok(())
}
