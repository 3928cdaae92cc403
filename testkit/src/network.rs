//! Networks: made, joined, left and joined again. Always addressed by id: names are ambiguous on
//! older engines, which accept them twice.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkDisconnectRequest,
};
use bollard::query_parameters::InspectNetworkOptions;
use ipnet::IpNet;

use crate::container::ContainerRef;
use crate::doing::Doing;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::subnet::{self, Subnet};

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

/// How a network is to be; begun by [`Lab::network`](crate::Lab::network).
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let back = lab.network("back").subnet_of("10.9.0.0/24").mtu(1400).create().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `create` is called and awaited"]
pub struct NetworkBuilder {
    lab: Arc<Inner>,
    name: String,
    subnets: Vec<Result<Subnet>>,
    engine_chooses: bool,
    gateways: Vec<IpAddr>,
    ipv6: bool,
    internal: bool,
    attachable: bool,
    driver: Option<String>,
    options: HashMap<String, String>,
    labels: HashMap<String, String>,
}

impl NetworkBuilder {
    pub(crate) fn new(lab: Arc<Inner>, name: String) -> Self {
        Self {
            lab,
            name,
            subnets: Vec::new(),
            engine_chooses: false,
            gateways: Vec::new(),
            ipv6: false,
            internal: false,
            attachable: false,
            driver: None,
            options: HashMap::new(),
            labels: HashMap::new(),
        }
    }

    /// A subnet; one for each family. Without any the network gets [`Subnet::USUAL`].
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Subnet};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.network("back").subnet(Subnet::auto(28)).create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn subnet(mut self, subnet: impl Into<Subnet>) -> Self {
        self.subnets.push(Ok(subnet.into()));
        self
    }

    /// A subnet as text: `10.9.0.0/24`. Whether it is one is told by `create`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.network("back").subnet_of("10.9.0.0/24").create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn subnet_of(mut self, text: &str) -> Self {
        self.subnets.push(text.parse());
        self
    }

    /// Leaves the subnet to the engine's own pools (about 31 networks in all).
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.network("back").engine_subnet().create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn engine_subnet(mut self) -> Self {
        self.engine_chooses = true;
        self
    }

    /// The gateway's address, of the subnet it lies in; one of each family. By default a bridge has
    /// the first address of each.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab
    ///     .network("back")
    ///     .subnet_of("10.9.0.0/24")
    ///     .gateway([10, 9, 0, 254])
    ///     .create()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn gateway(mut self, address: impl Into<IpAddr>) -> Self {
        self.gateways.push(address.into());
        self
    }

    /// IPv6 too, with an automatic subnet unless one is given.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let both = lab.network("both").ipv6().create().await?;
    /// assert_eq!(both.subnets().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ipv6(mut self) -> Self {
        self.ipv6 = true;
        self
    }

    /// No way out. (Engines before 28 still let containers reach the host's addresses.)
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let inside = lab.network("inside").internal().create().await?;
    /// assert!(inside.is_internal());
    /// # Ok(())
    /// # }
    /// ```
    pub fn internal(mut self) -> Self {
        self.internal = true;
        self
    }

    /// Containers started by hand may join it (swarm-scoped drivers).
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let mesh = lab.network("mesh").driver("overlay").attachable().create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn attachable(mut self) -> Self {
        self.attachable = true;
        self
    }

    /// The driver; `bridge` by default.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let lan = lab.network("lan").driver("macvlan").create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn driver(mut self, driver: impl Into<String>) -> Self {
        self.driver = Some(driver.into());
        self
    }

    /// An option of the driver: `com.docker.network.driver.mtu`,
    /// `com.docker.network.bridge.enable_icc`, …
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab
    ///     .network("back")
    ///     .driver_option("com.docker.network.bridge.enable_ip_masquerade", "false")
    ///     .create()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn driver_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }

    /// The MTU of its interfaces, in bytes.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let tunnel = lab.network("tunnel").mtu(1400).create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn mtu(self, bytes: u16) -> Self {
        self.driver_option("com.docker.network.driver.mtu", bytes.to_string())
    }

    /// Whether its containers may talk to each other (`icc`); true by default.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let apart = lab.network("apart").icc(false).create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn icc(self, allowed: bool) -> Self {
        self.driver_option("com.docker.network.bridge.enable_icc", allowed.to_string())
    }

    /// A label, beside the kit's own.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.network("back").label("com.example.team", "orders").create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Creates it.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: malformed subnet, no free one in the range, or the name is taken in this lab. [`Error::Api`]: the
    /// engine refused; a given subnet that overlaps another network's is status 403.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.network("back").create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(self) -> Doing<Network> {
        let lab = Arc::clone(&self.lab);
        let inner = Arc::clone(&self.lab);
        lab.job(async move {
            let making = Arc::clone(&inner);
            making.making(async move { self.make().await }).await
        })
    }

    async fn make(self) -> Result<Network> {
        let lab = Arc::clone(&self.lab);
        let name = self.name.clone();
        if lab.state().networks.contains_key(&name) {
            return Err(Error::invalid(format!(
                "this lab has a network `{name}` already"
            )));
        }
        let mut v4: Option<Subnet> = None;
        let mut v6: Option<Subnet> = self.ipv6.then_some(Subnet::AutoV6);
        for subnet in self.subnets.iter() {
            let subnet = subnet.as_ref().map_err(|e| Error::invalid(e.to_string()))?;
            match subnet {
                Subnet::AutoV6 | Subnet::Exact(IpNet::V6(_)) => v6 = Some(subnet.clone()),
                Subnet::Auto(_) | Subnet::Exact(IpNet::V4(_)) => v4 = Some(subnet.clone()),
            }
        }
        if v4.is_none() && !self.engine_chooses {
            v4 = Some(Subnet::USUAL);
        }
        let v6 = v6.map(|subnet| match subnet {
            Subnet::Exact(net) => net,
            _ => subnet::random_v6().into(),
        });
        let remote = !lab.engine.client.host().starts_with("unix://");
        let candidates: Vec<Option<IpNet>> = match v4 {
            None => vec![None],
            Some(Subnet::Exact(net)) => vec![Some(net)],
            Some(Subnet::Auto(length)) => subnet::candidates(length, remote)?
                .into_iter()
                .map(|net| Some(net.into()))
                .collect(),
            Some(Subnet::AutoV6) => vec![None],
        };
        let several = candidates.len() > 1;
        let mut refused = None;
        for candidate in candidates {
            let request = self.request(&lab, candidate, v6);
            match lab.engine.docker().create_network(request).await {
                Ok(answer) => return self.made(lab, answer.id).await,
                Err(error) => {
                    let error = Error::api(format!("creating the network `{name}`"), &error);
                    // Somebody was faster: the engine arbitrates.
                    let taken = error.to_string().contains("overlap")
                        || error.to_string().contains("already used");
                    if !(several && taken) {
                        return Err(error);
                    }
                    refused = Some(error);
                }
            }
        }
        Err(refused.unwrap_or_else(|| Error::invalid("no subnet to try")))
    }

    fn request(&self, lab: &Inner, v4: Option<IpNet>, v6: Option<IpNet>) -> NetworkCreateRequest {
        let config: Vec<IpamConfig> = [v4, v6]
            .into_iter()
            .flatten()
            .map(|net| IpamConfig {
                subnet: Some(net.to_string()),
                gateway: self
                    .gateways
                    .iter()
                    .copied()
                    .find(|gateway| net.contains(gateway))
                    .or_else(|| self.usual_gateway(&net))
                    .map(|gateway| gateway.to_string()),
                ..IpamConfig::default()
            })
            .collect();
        let mut labels = self.labels.clone();
        labels.extend(lab.labels(&self.name));
        NetworkCreateRequest {
            name: lab.real_name(&self.name),
            driver: Some(self.driver.clone().unwrap_or_else(|| "bridge".into())),
            internal: Some(self.internal),
            attachable: Some(self.attachable),
            enable_ipv6: Some(v6.is_some()),
            ipam: (!config.is_empty()).then(|| Ipam {
                config: Some(config),
                ..Ipam::default()
            }),
            options: Some(self.options.clone()),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        }
    }

    /// The first address, which a bridge gets anyway; but engines up to 20.10 say so in an inspect
    /// only where it was asked for. Other drivers may mean by it a router that is not theirs.
    fn usual_gateway(&self, net: &IpNet) -> Option<IpAddr> {
        let driver = self.driver.as_deref().unwrap_or("bridge");
        (driver == "bridge").then_some(match net {
            IpNet::V4(net) => (u32::from(net.network()) + 1).to_be_bytes().into(),
            IpNet::V6(net) => (u128::from(net.network()) + 1).to_be_bytes().into(),
        })
    }

    async fn made(&self, lab: Arc<Inner>, id: String) -> Result<Network> {
        let inspected = lab
            .engine
            .docker()
            .inspect_network(&id, None::<InspectNetworkOptions>)
            .await
            .map_err(|e| Error::api(format!("inspecting the network `{}`", self.name), &e))?;
        let config = inspected
            .ipam
            .and_then(|ipam| ipam.config)
            .unwrap_or_default();
        let gateway = |config: &IpamConfig| {
            // Some engines write it with its prefix length.
            let text = config.gateway.as_deref()?.split('/').next()?;
            text.parse().ok()
        };
        let record = Arc::new(Record {
            name: self.name.clone(),
            real_name: lab.real_name(&self.name),
            id,
            driver: inspected.driver.unwrap_or_default(),
            internal: self.internal,
            subnets: config
                .iter()
                .filter_map(|config| config.subnet.as_deref()?.parse().ok())
                .collect(),
            gateways: config.iter().filter_map(gateway).collect(),
        });
        lab.state()
            .networks
            .insert(self.name.clone(), Arc::clone(&record));
        Ok(Network { lab, record })
    }
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

/// A container's place on a network: aliases beside its own name, and addresses.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Endpoint, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// let endpoint: Endpoint = back.alias("db.internal").host(10);
/// lab.node("mysql-db").on(endpoint).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Endpoint {
    network: Network,
    aliases: Vec<String>,
    own_name: bool,
    addresses: Vec<IpAddr>,
    number: Option<u32>,
    options: HashMap<String, String>,
}

impl From<&Network> for Endpoint {
    fn from(network: &Network) -> Self {
        Self {
            network: network.clone(),
            aliases: Vec::new(),
            own_name: true,
            addresses: Vec::new(),
            number: None,
            options: HashMap::new(),
        }
    }
}

impl Endpoint {
    /// One more name on this network.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("mysql-db").on(back.alias("db").alias("db.internal")).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Without the container's name in the lab as an alias.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("mysql-db").on(back.alias("db").without_own_name()).start().await?;
    /// lab.from("app").name("mysql-db").must_not_resolve().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without_own_name(mut self) -> Self {
        self.own_name = false;
        self
    }

    /// This address; one of each family.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let six = "fd00:9::10".parse::<std::net::Ipv6Addr>().unwrap();
    /// lab.node("mysql-db").on(back.ip([10, 9, 0, 10]).ip(six)).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn ip(mut self, address: impl Into<IpAddr>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// The address with this number in the IPv4 subnet; see [`Network::host`].
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("mysql-db").on(back.alias("db").host(10)).start().await?;
    /// assert_eq!(lab.get("mysql-db")?.address(back).await?, back.host(10)?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn host(mut self, number: u32) -> Self {
        self.number = Some(number);
        self
    }

    /// An option of the driver for this endpoint.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let named = back.alias("db").driver_option("com.docker.network.endpoint.ifname", "back0");
    /// lab.node("mysql-db").on(named).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn driver_option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(key.into(), value.into());
        self
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    pub(crate) fn settings(&self, name: Option<&str>) -> Result<EndpointSettings> {
        let mut addresses = self.addresses.clone();
        if let Some(number) = self.number {
            addresses.push(self.network.host(number)?);
        }
        let of = |v4: bool| {
            let address = addresses.iter().find(|address| address.is_ipv4() == v4);
            address.map(ToString::to_string)
        };
        let mut aliases = self.aliases.clone();
        aliases.extend(name.filter(|_| self.own_name).map(str::to_owned));
        Ok(EndpointSettings {
            aliases: Some(aliases),
            ipam_config: (!addresses.is_empty()).then(|| EndpointIpamConfig {
                ipv4_address: of(true),
                ipv6_address: of(false),
                link_local_ips: None,
            }),
            driver_opts: (!self.options.is_empty()).then(|| self.options.clone()),
            ..EndpointSettings::default()
        })
    }
}
