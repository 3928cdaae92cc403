//! Listeners of the test process, for containers: `host.docker.internal` leads to the engine's
//! host, where a listener on loopback is out of reach. So the kit listens in its place.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bollard::models::IpamConfig;
use bollard::query_parameters::InspectNetworkOptions;
use ipnet::Ipv4Net;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::doing::Doing;
use crate::error::{Error, Result};
use crate::lab::{Inner, Lab};

impl Lab {
    /// Lets containers with [`host_access`](crate::Builder::host_access) reach a TCP listener of
    /// the test process: at `host.docker.internal` and the port that is returned (the same one if
    /// it is free there). Nobody but the engine's host and its containers can reach it.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`]: the engine is not on this machine, or not in this network namespace.
    /// [`Error::Api`]: the engine does not say where its gateway is.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use std::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    /// let port = lab.expose(listener.local_addr().unwrap()).await?;
    /// lab.node("app").on(back).host_access().start().await?;
    /// lab.from("app").to("host.docker.internal", tcp(port)).must_connect().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn expose(&self, listener: impl Into<SocketAddr>) -> Doing<u16> {
        let lab = Arc::clone(self.inner());
        let to = listener.into();
        self.inner().job(async move { expose(&lab, to).await })
    }
}

async fn expose(lab: &Arc<Inner>, to: SocketAddr) -> Result<u16> {
    let unsupported = |why: String| Error::Unsupported {
        needs: "an engine in the test's own network".into(),
        why,
    };
    if !lab.engine.client.host().starts_with("unix://") {
        return Err(unsupported(format!(
            "the engine is reached by {}, so it may be elsewhere",
            lab.engine.client.host()
        )));
    }
    let gateway = host_gateway(lab).await?;
    let reached = to.ip().is_unspecified() || to.ip() == gateway;
    if reached {
        return Ok(to.port());
    }
    let bind = |port: u16| TcpListener::bind(SocketAddr::new(gateway, port));
    let listener = match bind(to.port()).await {
        Ok(listener) => listener,
        Err(_) => bind(0).await.map_err(|error| {
            unsupported(format!(
                "cannot listen at {gateway}, the engine's gateway: {error}"
            ))
        })?,
    };
    let port = listener
        .local_addr()
        .map_err(|e| unsupported(e.to_string()))?
        .port();
    lab.in_background(async move {
        while let Ok((mut from_container, _)) = listener.accept().await {
            tokio::spawn(async move {
                // A listener that is gone looks like one: the connection is closed.
                if let Ok(mut to_test) = TcpStream::connect(to).await {
                    let _ = copy_bidirectional(&mut from_container, &mut to_test).await;
                }
            });
        }
    })?;
    Ok(port)
}

/// What `host-gateway` stands for: the address of the default bridge, unless the daemon was told
/// otherwise (dockerd --host-gateway-ip). Its gateway is only shown once the network was used or
/// configured; without one the engine has given the bridge the first address of its subnet.
async fn host_gateway(lab: &Inner) -> Result<IpAddr> {
    let bridge = lab
        .engine
        .docker()
        .inspect_network("bridge", None::<InspectNetworkOptions>)
        .await
        .map_err(|e| Error::api("inspecting the default bridge", &e))?;
    let config = bridge.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let gateway = |config: &IpamConfig| config.gateway.as_ref()?.parse().ok();
    let first = |config: &IpamConfig| -> Option<IpAddr> {
        let subnet: Ipv4Net = config.subnet.as_ref()?.parse().ok()?;
        subnet.hosts().next().map(IpAddr::V4)
    };
    config
        .iter()
        .find_map(gateway)
        .or_else(|| config.iter().find_map(first))
        .ok_or_else(|| Error::Unsupported {
            needs: "a gateway".into(),
            why: "the default bridge has neither a gateway nor an IPv4 subnet".into(),
        })
}
