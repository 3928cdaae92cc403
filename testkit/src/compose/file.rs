//! What a Compose file says, apart from its services: <https://docs.docker.com/reference/compose-file/>

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::read::{Item, Place, Table};
use super::service::{self, Service};
use crate::error::Result;

/// A file that was understood.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: Option<String>,
    /// In the order of the file.
    pub(super) services: Vec<Service>,
    pub(super) networks: BTreeMap<String, NetworkSaid>,
    pub(super) volumes: BTreeMap<String, VolumeSaid>,
}

/// A network.
#[derive(Debug, Default)]
pub(super) struct NetworkSaid {
    /// The name of a network that the lab has already.
    pub(super) external: Option<String>,
    pub(super) driver: Option<String>,
    pub(super) options: Vec<(String, String)>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) internal: bool,
    pub(super) attachable: bool,
    pub(super) ipv6: bool,
    pub(super) subnets: Vec<String>,
    pub(super) gateways: Vec<IpAddr>,
}

/// A named volume.
#[derive(Debug, Default)]
pub(super) struct VolumeSaid {
    pub(super) driver: Option<String>,
    pub(super) options: Vec<(String, String)>,
    pub(super) labels: Vec<(String, String)>,
}

/// Understands it, or says what it does not.
pub(super) fn understand(mut table: Table, images: &BTreeMap<String, String>) -> Result<File> {
    let place = table.place.clone();
    // Compose itself only warns of it.
    table.take("version");
    let name = table.text("name")?;
    let mut networks = BTreeMap::from([("default".to_owned(), NetworkSaid::default())]);
    for (name, item) in entries(&mut table, "networks")? {
        networks.insert(name.clone(), network(&name, item)?);
    }
    let mut volumes = BTreeMap::new();
    for (name, item) in entries(&mut table, "volumes")? {
        volumes.insert(name, volume(item)?);
    }
    let mut services = Vec::new();
    for (name, item) in entries(&mut table, "services")? {
        let place = place.service(&name);
        let image = images.get(&name).cloned();
        services.push(service::understand(name, item.at(place), image)?);
    }
    table.finish()?;
    if services.is_empty() {
        return Err(place.key("services").error("there is none"));
    }
    let known = |name: &String| services.iter().any(|service| service.name == *name);
    if let Some(name) = images.keys().find(|name| !known(name)) {
        return Err(place
            .service(name)
            .error("an image was given for this service, and there is none of that name"));
    }
    Ok(File {
        name,
        services,
        networks,
        volumes,
    })
}

fn entries(table: &mut Table, key: &str) -> Result<Vec<(String, Item)>> {
    let item = table.take(key);
    Ok(item
        .map(Item::table)
        .transpose()?
        .map_or(Vec::new(), Table::all))
}

fn network(name: &str, item: Item) -> Result<NetworkSaid> {
    let mut table = item.table()?;
    // Real names are the lab's: any number of labs may have this file up at once.
    let other_name = table.text("name")?;
    let external = table.flag("external")?.unwrap_or(false);
    let mut said = NetworkSaid {
        external: external.then(|| other_name.unwrap_or_else(|| name.to_owned())),
        driver: table.text("driver")?,
        options: with_values(table.take("driver_opts"))?,
        labels: with_values(table.take("labels"))?,
        internal: table.flag("internal")?.unwrap_or(false),
        attachable: table.flag("attachable")?.unwrap_or(false),
        ipv6: table.flag("enable_ipv6")?.unwrap_or(false),
        ..NetworkSaid::default()
    };
    if let Some(ipam) = table.take("ipam") {
        let mut ipam = ipam.table()?;
        if let Some(driver) = ipam.take("driver") {
            let place = driver.place.clone();
            if driver.text()? != "default" {
                return Err(place.error("the kit knows the driver `default` only"));
            }
        }
        for config in ipam.take("config").map_or(Ok(Vec::new()), Item::list)? {
            let mut config = config.table()?;
            said.subnets.extend(config.text("subnet")?);
            if let Some(gateway) = config.take("gateway") {
                said.gateways.push(address(gateway)?);
            }
            config.finish()?;
        }
        ipam.finish()?;
    }
    table.finish()?;
    Ok(said)
}

fn volume(item: Item) -> Result<VolumeSaid> {
    let mut table = item.table()?;
    table.take("name");
    if let Some(external) = table.take("external") {
        let place = external.place.clone();
        if external.flag()? {
            return Err(place
                .error("a lab has its own volumes only: what it changed in another would stay"));
        }
    }
    let said = VolumeSaid {
        driver: table.text("driver")?,
        options: with_values(table.take("driver_opts"))?,
        labels: with_values(table.take("labels"))?,
    };
    table.finish()?;
    Ok(said)
}

/// Pairs of which each has a value; an empty one where none stands.
pub(super) fn with_values(item: Option<Item>) -> Result<Vec<(String, String)>> {
    let pairs = item.map_or(Ok(Vec::new()), |item| item.pairs(&['=']))?;
    let full = |(key, value): (String, Option<String>)| (key, value.unwrap_or_default());
    Ok(pairs.into_iter().map(full).collect())
}

pub(super) fn address(item: Item) -> Result<IpAddr> {
    let place: Place = item.place.clone();
    let text = item.text()?;
    text.parse()
        .map_err(|_| place.error(format!("`{text}` is no address")))
}
