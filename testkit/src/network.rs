//! Networks: made, joined, left and joined again. Always addressed by id: names are ambiguous on
//! older engines, which accept them twice.

mod builder;
mod endpoint;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
};
use ipnet::IpNet;

pub use builder::NetworkBuilder;
pub use endpoint::Endpoint;

use crate::container::ContainerRef;
use crate::doing::Doing;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::Inner;

/// A network of a lab. Cloning it makes another handle to the same network.
///
/// As a `String` it is its real name, which is how a plain testcontainers request joins it:
///
/// ```no_run
/// use netcheck_testkit::testcontainers::{GenericImage, ImageExt, runners::AsyncRunner};
/// # async fn test(lab: &netcheck_testkit::Lab) -> Result<(), Box<dyn std::error::Error>> {
/// let back = lab.network("back").create().await?;
/// let plain = GenericImage::new("redis", "7").with_network(&back).start().await?;
/// back.connect(&plain).await.unwrap_err(); // it is there already
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Network {
    lab: Arc<Inner>,
    record: Arc<Record>,
}

/// What is known of it for good.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) real_name: String,
    pub(crate) id: String,
    pub(crate) driver: String,
    pub(crate) internal: bool,
    pub(crate) subnets: Vec<IpNet>,
    pub(crate) gateways: Vec<IpAddr>,
}

impl Network {
    pub(crate) fn new(lab: Arc<Inner>, record: Arc<Record>) -> Self {
        Self { lab, record }
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// The name the test gave it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// assert_eq!(lab.get_network("back")?.name(), "back");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The name the engine shows.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Network;
    /// # fn test(back: &Network) {
    /// println!("docker network inspect {}", back.real_name());
    /// # }
    /// ```
    pub fn real_name(&self) -> &str {
        &self.record.real_name
    }

    /// The engine's id.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Network;
    /// # fn test(back: &Network) {
    /// println!("docker network inspect {}", back.id());
    /// # }
    /// ```
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Its subnets, IPv4 first.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Network;
    /// # fn test(back: &Network) {
    /// assert!(back.subnets()[0].addr().is_ipv4());
    /// # }
    /// ```
    pub fn subnets(&self) -> &[IpNet] {
        &self.record.subnets
    }

    /// Its gateway's address, IPv4 if there is one.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Network;
    /// # fn test(back: &Network) {
    /// let gateway = back.gateway().expect("a bridge has one");
    /// assert!(back.subnets()[0].contains(&gateway));
    /// # }
    /// ```
    pub fn gateway(&self) -> Option<IpAddr> {
        self.record.gateways.first().copied()
    }

    /// Whether it was made without a way out.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Network;
    /// # fn test(back: &Network) {
    /// assert!(!back.is_internal());
    /// # }
    /// ```
    pub fn is_internal(&self) -> bool {
        self.record.internal
    }

    /// Its driver.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Network;
    /// # fn test(back: &Network) {
    /// assert_eq!(back.driver(), "bridge");
    /// # }
    /// ```
    pub fn driver(&self) -> &str {
        &self.record.driver
    }

    /// An address in its IPv4 subnet by number: `host(10)` of 10.9.0.0/24 is 10.9.0.10.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: no IPv4 subnet, or the number is not inside.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.network("back").subnet_of("10.9.0.0/24").create().await?;
    /// assert_eq!(back.host(10)?.to_string(), "10.9.0.10");
    /// # Ok(())
    /// # }
    /// ```
    pub fn host(&self, number: u32) -> Result<IpAddr> {
        let net = self.subnets().iter().find_map(|net| match net {
            IpNet::V4(net) => Some(*net),
            IpNet::V6(_) => None,
        });
        let net = net.ok_or_else(|| {
            Error::invalid(format!("the network `{}` has no IPv4 subnet", self.name()))
        })?;
        let address = u32::from(net.network()).saturating_add(number);
        let address = std::net::Ipv4Addr::from(address);
        if net.contains(&address) && address != net.broadcast() {
            return Ok(address.into());
        }
        Err(Error::invalid(format!(
            "{net} has no address number {number}"
        )))
    }

    /// An endpoint with this alias, to be adjusted further.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("mysql-db").on(back.alias("db.internal")).start().await?;
    /// lab.from("app").name("db.internal").must_be("mysql-db").await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn alias(&self, alias: impl Into<String>) -> Endpoint {
        Endpoint::from(self).alias(alias)
    }

    /// An endpoint with this address, to be adjusted further.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("mysql-db").on(back.ip([10, 9, 0, 10])).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ip(&self, address: impl Into<IpAddr>) -> Endpoint {
        Endpoint::from(self).ip(address)
    }

    /// Connects a container while it runs, under its own name (for a container of this lab).
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: the engine refused, e.g. because it is connected already.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network, db: &Container) -> netcheck_testkit::Result<()> {
    /// back.connect(db).await?;
    /// lab.from("app").name("mysql-db").must_be(db).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(&self, container: &impl ContainerRef) -> Doing<()> {
        self.connect_as(container, self)
    }

    /// Connects a container while it runs, with the aliases and addresses of this endpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: the engine refused, e.g. an address that is taken. [`Error::Invalid`]: the
    /// subnet has no address of that number.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Network};
    /// # async fn test(back: &Network, db: &Container) -> netcheck_testkit::Result<()> {
    /// back.connect_as(db, back.alias("db.internal").host(10)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_as(
        &self,
        container: &impl ContainerRef,
        endpoint: impl Into<Endpoint>,
    ) -> Doing<()> {
        let lab = Arc::clone(&self.lab);
        let (id, name) = (
            container.container_id().to_owned(),
            container.lab_name().map(str::to_owned),
        );
        let settings = endpoint.into().settings(name.as_deref());
        let record = Arc::clone(&self.record);
        self.lab
            .job(async move { connect(&lab.engine, &record, &id, settings?).await })
    }

    /// Disconnects a container while it runs. [`Network::reconnect`] brings it back as it was.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: it is not connected, or somebody removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network, db: &Container) -> netcheck_testkit::Result<()> {
    /// back.disconnect(db).await?;
    /// lab.from("app").name("mysql-db").must_not_resolve().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn disconnect(&self, container: &impl ContainerRef) -> Doing<()> {
        let lab = Arc::clone(&self.lab);
        let id = container.container_id().to_owned();
        let record = Arc::clone(&self.record);
        self.lab
            .job(async move { disconnect(&lab, &record, &id).await })
    }

    /// Connects a container again with the addresses and aliases that it had when
    /// [`Network::disconnect`] took them away. (The engine by itself would give it new ones.)
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: it was not disconnected by the kit. [`Error::Api`]: somebody else has
    /// its address now.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Network};
    /// # async fn test(back: &Network, db: &Container) -> netcheck_testkit::Result<()> {
    /// let before = db.address(back).await?;
    /// back.disconnect(db).await?;
    /// back.reconnect(db).await?;
    /// assert_eq!(db.address(back).await?, before);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reconnect(&self, container: &impl ContainerRef) -> Doing<()> {
        let lab = Arc::clone(&self.lab);
        let id = container.container_id().to_owned();
        let record = Arc::clone(&self.record);
        self.lab
            .job(async move { reconnect(&lab, &record, &id).await })
    }
}

/// On the kit's thread: see [`Network::connect`].
pub(crate) async fn connect(
    engine: &Engine,
    network: &Record,
    container: &str,
    settings: EndpointSettings,
) -> Result<()> {
    let request = NetworkConnectRequest {
        container: container.to_owned(),
        endpoint_config: Some(settings),
    };
    engine
        .docker()
        .connect_network(&network.id, request)
        .await
        .map_err(|e| Error::api(format!("connecting to the network `{}`", network.name), &e))
}

/// On the kit's thread: see [`Network::disconnect`].
pub(crate) async fn disconnect(lab: &Inner, network: &Record, container: &str) -> Result<()> {
    let doing = format!("disconnecting from the network `{}`", network.name);
    let docker = lab.engine.docker();
    let inspected = netcheck_engine::inspect_container(docker, container)
        .await
        .map_err(|e| Error::api(&*doing, &e))?;
    let endpoints = inspected
        .network_settings
        .and_then(|settings| settings.networks);
    let endpoint = endpoints
        .unwrap_or_default()
        .into_values()
        .find(|endpoint| endpoint.network_id.as_deref() == Some(&network.id));
    let request = NetworkDisconnectRequest {
        container: container.to_owned(),
        force: Some(false),
    };
    docker
        .disconnect_network(&network.id, request)
        .await
        .map_err(|e| Error::api(doing, &e))?;
    if let Some(endpoint) = endpoint {
        let key = (container.to_owned(), network.id.clone());
        lab.state()
            .parked
            .insert(key, as_it_was(container, endpoint));
    }
    Ok(())
}

/// On the kit's thread: see [`Network::reconnect`].
pub(crate) async fn reconnect(lab: &Inner, network: &Record, container: &str) -> Result<()> {
    let key = (container.to_owned(), network.id.clone());
    let settings = lab.state().parked.get(&key).cloned().ok_or_else(|| {
        Error::invalid(format!(
            "the container was not disconnected from `{}` by the kit",
            network.name
        ))
    })?;
    connect(&lab.engine, network, container, settings).await?;
    lab.state().parked.remove(&key);
    Ok(())
}

/// The settings that give an endpoint back what it had.
fn as_it_was(container: &str, endpoint: EndpointSettings) -> EndpointSettings {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let aliases = endpoint.aliases.unwrap_or_default();
    EndpointSettings {
        // The engine adds the short id by itself, and shows it among the aliases before API 1.45.
        aliases: Some(
            aliases
                .into_iter()
                .filter(|alias| !container.starts_with(alias.as_str()))
                .collect(),
        ),
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: given(endpoint.ip_address),
            ipv6_address: given(endpoint.global_ipv6_address),
            link_local_ips: None,
        }),
        driver_opts: endpoint.driver_opts,
        ..EndpointSettings::default()
    }
}

impl From<&Network> for String {
    fn from(network: &Network) -> Self {
        network.record.real_name.clone()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}
