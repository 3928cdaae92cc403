//! How a network is to be, and its making.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::InspectNetworkOptions;
use ipnet::IpNet;

use super::{Network, Record};
use crate::doing::Doing;
use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::subnet::{self, Subnet};

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
