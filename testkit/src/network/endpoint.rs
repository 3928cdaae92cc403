//! A container's place on a network, as it is asked for.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{EndpointIpamConfig, EndpointSettings};

use super::Network;
use crate::error::Result;

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
