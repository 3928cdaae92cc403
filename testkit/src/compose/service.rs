//! What a Compose file says of a service. Most of it goes straight into the request to the engine;
//! what concerns others (networks, volumes, dependencies) is kept by name.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, Mount, MountBindOptions, MountTmpfsOptions,
    MountType, MountVolumeOptions, RestartPolicy, RestartPolicyNameEnum,
};

use super::file::{address, with_values};
use super::read::{Item, Place, Table};
use super::words::{self, Published};
use crate::error::Result;
use crate::target::Port;

/// A service that was understood.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) image: String,
    pub(super) pull: Pull,
    pub(super) profiles: Vec<String>,
    pub(super) container_name: Option<String>,
    pub(super) mode: Mode,
    pub(super) after: Vec<Dependency>,
    pub(super) published: Vec<Published>,
    pub(super) exposed: Vec<Port>,
    /// Files of variables, and whether each has to be there; before `env`.
    pub(super) env_files: Vec<(String, bool)>,
    /// A name alone has the value that the surroundings give it.
    pub(super) env: Vec<(String, Option<String>)>,
    pub(super) volumes: Vec<Volume>,
    /// All else, ready for the engine.
    pub(super) body: ContainerCreateBody,
}

/// When the image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pull {
    Missing,
    Always,
    Never,
}

/// Where its interfaces come from.
#[derive(Debug)]
pub(super) enum Mode {
    Networks(Vec<(String, EndpointSaid)>),
    None,
    Host,
    Bridge,
    /// Those of another service.
    Service(String),
    /// Those of a container that the lab has already.
    Container(String),
}

/// Its place on a network.
#[derive(Debug, Default)]
pub(super) struct EndpointSaid {
    pub(super) aliases: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) options: Vec<(String, String)>,
    /// Higher ones are connected first.
    pub(super) priority: i64,
}

/// What it waits for before it starts.
#[derive(Debug, Clone)]
pub(super) struct Dependency {
    pub(super) service: String,
    pub(super) condition: Condition,
    pub(super) required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Started,
    Healthy,
    Completed,
}

/// Something that is mounted.
#[derive(Debug)]
pub(super) enum Volume {
    /// Of the host: path as given, target and options.
    Bind(Place, String, String),
    /// By name: its name, target and options.
    Named(Place, String, String),
    /// In the long form; the source is a path or a name.
    Long(Place, Box<Mount>),
}

/// Understands it, or says what it does not.
pub(super) fn understand(name: String, item: Item, image: Option<String>) -> Result<Service> {
    let place = item.place.clone();
    let mut table = item.table()?;
    let of_file = table.text("image")?;
    let built = table.take("build");
    let image = match (image, built, of_file) {
        (Some(image), _, _) | (None, None, Some(image)) => image,
        (None, Some(built), _) => {
            return Err(built.place.error(
                "the kit builds no images; build it before and name it with `.image(service, image)`",
            ));
        }
        (None, None, None) => return Err(place.error("it has no `image`")),
    };
    let mut service = Service {
        image,
        pull: pull(&mut table)?,
        profiles: table.texts("profiles")?.unwrap_or_default(),
        container_name: table.text("container_name")?,
        mode: mode(&mut table)?,
        after: after(&mut table)?,
        published: Vec::new(),
        exposed: Vec::new(),
        env_files: env_files(&mut table)?,
        env: table.pairs("environment")?,
        volumes: volumes(&mut table)?,
        body: body(&mut table)?,
        name,
        place,
    };
    if let Mode::Service(owner) = &service.mode {
        let there = service.after.iter().any(|other| other.service == *owner);
        if !there {
            service.after.push(Dependency {
                service: owner.clone(),
                condition: Condition::Started,
                required: true,
            });
        }
    }
    for item in items(&mut table, "ports")? {
        service.published.extend(published(item)?);
    }
    for item in items(&mut table, "expose")? {
        let place = item.place.clone();
        let text = item.text()?;
        let (numbers, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let ports = words::ports(numbers, protocol);
        let ports = ports.ok_or_else(|| place.error(format!("`{text}` is no port")))?;
        service.exposed.extend(ports);
    }
    table.finish()?;
    Ok(service)
}

fn items(table: &mut Table, key: &str) -> Result<Vec<Item>> {
    table.take(key).map_or(Ok(Vec::new()), Item::list)
}

fn pull(table: &mut Table) -> Result<Pull> {
    let Some(item) = table.take("pull_policy") else {
        return Ok(Pull::Missing);
    };
    let place = item.place.clone();
    match &*item.text()? {
        "missing" | "if_not_present" => Ok(Pull::Missing),
        "always" => Ok(Pull::Always),
        "never" => Ok(Pull::Never),
        other => Err(place.error(format!("the kit does not carry `{other}` out"))),
    }
}

fn mode(table: &mut Table) -> Result<Mode> {
    let networks = table.take("networks");
    let Some(item) = table.take("network_mode") else {
        return Ok(Mode::Networks(endpoints(networks)?));
    };
    let place = item.place.clone();
    if networks.is_some() {
        return Err(place.error("it has `networks` too; Compose takes one of them"));
    }
    let text = item.text()?;
    match text.split_once(':') {
        None => match &*text {
            "none" => Ok(Mode::None),
            "host" => Ok(Mode::Host),
            "bridge" => Ok(Mode::Bridge),
            other => Err(place.error(format!("the kit does not carry `{other}` out"))),
        },
        Some(("service", name)) => Ok(Mode::Service(name.to_owned())),
        Some(("container", name)) => Ok(Mode::Container(name.to_owned())),
        Some(_) => Err(place.error(format!("the kit does not carry `{text}` out"))),
    }
}

fn endpoints(item: Option<Item>) -> Result<Vec<(String, EndpointSaid)>> {
    let Some(item) = item else {
        return Ok(vec![("default".to_owned(), EndpointSaid::default())]);
    };
    if item.is_list() {
        let names = item.texts()?.into_iter();
        return Ok(names.map(|name| (name, EndpointSaid::default())).collect());
    }
    let mut endpoints = Vec::new();
    for (name, item) in item.table()?.all() {
        let mut table = item.table()?;
        let mut said = EndpointSaid {
            aliases: table.texts("aliases")?.unwrap_or_default(),
            options: with_values(table.take("driver_opts"))?,
            priority: table.number("priority")?.unwrap_or(0),
            ..EndpointSaid::default()
        };
        for (key, v4) in [("ipv4_address", true), ("ipv6_address", false)] {
            if let Some(item) = table.take(key) {
                let place = item.place.clone();
                let address = address(item)?;
                if address.is_ipv4() != v4 {
                    return Err(place.error(format!("{address} is of the other family")));
                }
                said.addresses.push(address);
            }
        }
        table.finish()?;
        endpoints.push((name, said));
    }
    endpoints.sort_by_key(|(_, said)| -said.priority);
    Ok(endpoints)
}

fn after(table: &mut Table) -> Result<Vec<Dependency>> {
    let Some(item) = table.take("depends_on") else {
        return Ok(Vec::new());
    };
    let started = |service| Dependency {
        service,
        condition: Condition::Started,
        required: true,
    };
    if item.is_list() {
        return Ok(item.texts()?.into_iter().map(started).collect());
    }
    let mut all = Vec::new();
    for (service, item) in item.table()?.all() {
        let mut table = item.table()?;
        let mut dependency = started(service);
        if let Some(item) = table.take("condition") {
            let place = item.place.clone();
            dependency.condition = match &*item.text()? {
                "service_started" => Condition::Started,
                "service_healthy" => Condition::Healthy,
                "service_completed_successfully" => Condition::Completed,
                other => return Err(place.error(format!("Compose knows no `{other}`"))),
            };
        }
        dependency.required = table.flag("required")?.unwrap_or(true);
        if let Some(item) = table.take("restart") {
            let place = item.place.clone();
            if item.flag()? {
                return Err(place.error("the kit restarts no service because of another"));
            }
        }
        table.finish()?;
        all.push(dependency);
    }
    Ok(all)
}

fn published(item: Item) -> Result<Vec<Published>> {
    let place = item.place.clone();
    if item.is_text() {
        return words::published(&item.text()?).map_err(|why| place.error(why));
    }
    let mut table = item.table()?;
    // Words for people and for load balancers; `mode` matters in a swarm only.
    for key in ["name", "app_protocol", "mode"] {
        table.take(key);
    }
    let target = table
        .text("target")?
        .ok_or_else(|| place.error("a port needs a `target`"))?;
    let protocol = table.text("protocol")?.unwrap_or_else(|| "tcp".into());
    let address = table.take("host_ip").map(address).transpose()?;
    let host = table.text("published")?.unwrap_or_default();
    table.finish()?;
    let before = match address {
        Some(IpAddr::V6(address)) => format!("[{address}]:"),
        Some(address) => format!("{address}:"),
        None => String::new(),
    };
    words::published(&format!("{before}{host}:{target}/{protocol}")).map_err(|why| place.error(why))
}

fn env_files(table: &mut Table) -> Result<Vec<(String, bool)>> {
    let Some(item) = table.take("env_file") else {
        return Ok(Vec::new());
    };
    if item.is_text() {
        return Ok(vec![(item.text()?, true)]);
    }
    let mut files = Vec::new();
    for item in item.list()? {
        if item.is_text() {
            files.push((item.text()?, true));
            continue;
        }
        let mut table = item.table()?;
        let path = table
            .text("path")?
            .ok_or_else(|| table.place.error("a file of variables needs a `path`"))?;
        files.push((path, table.flag("required")?.unwrap_or(true)));
        table.finish()?;
    }
    Ok(files)
}

fn volumes(table: &mut Table) -> Result<Vec<Volume>> {
    let mut volumes = Vec::new();
    for item in items(table, "volumes")? {
        let place = item.place.clone();
        if !item.is_text() {
            volumes.push(Volume::Long(place, Box::new(mount(item)?)));
            continue;
        }
        let text = item.text()?;
        volumes.push(match text.split_once(':') {
            // Anonymous: the engine removes it with its container.
            None => Volume::Named(place, String::new(), text),
            Some((source, target)) if source.starts_with(['.', '/', '~']) => {
                Volume::Bind(place, source.to_owned(), target.to_owned())
            }
            Some((source, target)) => Volume::Named(place, source.to_owned(), target.to_owned()),
        });
    }
    Ok(volumes)
}

/// The long form of a volume.
fn mount(item: Item) -> Result<Mount> {
    let mut table = item.table()?;
    let typ = match table.text("type")?.as_deref() {
        Some("bind") => MountType::BIND,
        Some("volume") => MountType::VOLUME,
        Some("tmpfs") => MountType::TMPFS,
        other => {
            let words = format!("the kit does not carry `{}` out", other.unwrap_or_default());
            return Err(table.place.key("type").error(words));
        }
    };
    let mut mount = Mount {
        typ: Some(typ),
        source: table.text("source")?,
        target: table.text("target")?,
        read_only: table.flag("read_only")?,
        ..Mount::default()
    };
    if let Some(item) = table.take("bind") {
        let mut bind = item.table()?;
        if bind.flag("create_host_path")? == Some(true) {
            let place = bind.place.key("create_host_path");
            return Err(
                place.error("the kit makes no folders on the host: nobody would remove them")
            );
        }
        bind.finish()?;
        mount.bind_options = Some(MountBindOptions::default());
    }
    if let Some(item) = table.take("volume") {
        let mut volume = item.table()?;
        mount.volume_options = Some(MountVolumeOptions {
            no_copy: volume.flag("nocopy")?,
            ..MountVolumeOptions::default()
        });
        volume.finish()?;
    }
    if let Some(item) = table.take("tmpfs") {
        let mut tmpfs = item.table()?;
        mount.tmpfs_options = Some(MountTmpfsOptions {
            size_bytes: size(tmpfs.take("size"))?,
            mode: tmpfs.number("mode")?,
            ..MountTmpfsOptions::default()
        });
        tmpfs.finish()?;
    }
    table.finish()?;
    Ok(mount)
}

/// What only the engine has to know.
fn body(table: &mut Table) -> Result<ContainerCreateBody> {
    let host = host(table)?;
    let stop = table.take("stop_grace_period").map(duration).transpose()?;
    Ok(ContainerCreateBody {
        hostname: table.text("hostname")?,
        domainname: table.text("domainname")?,
        user: table.text("user")?,
        working_dir: table.text("working_dir")?,
        tty: table.flag("tty")?,
        open_stdin: table.flag("stdin_open")?,
        stop_signal: table.text("stop_signal")?,
        stop_timeout: stop.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX)),
        cmd: table.take("command").map(command).transpose()?,
        entrypoint: table.take("entrypoint").map(command).transpose()?,
        healthcheck: table.take("healthcheck").map(health).transpose()?,
        labels: Some(with_values(table.take("labels"))?.into_iter().collect()),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    })
}

fn host(table: &mut Table) -> Result<HostConfig> {
    let hosts = table.take("extra_hosts");
    let hosts = hosts.map_or(Ok(Vec::new()), |item| item.pairs(&['=', ':']))?;
    let sysctls = with_values(table.take("sysctls"))?;
    let tmpfs = table.texts("tmpfs")?.map(|paths| {
        let split = |path: String| match path.split_once(':') {
            Some((path, options)) => (path.to_owned(), options.to_owned()),
            None => (path, String::new()),
        };
        paths.into_iter().map(split).collect::<HashMap<_, _>>()
    });
    Ok(HostConfig {
        cap_add: table.texts("cap_add")?,
        cap_drop: table.texts("cap_drop")?,
        dns: table.texts("dns")?,
        dns_search: table.texts("dns_search")?,
        dns_options: table.texts("dns_opt")?,
        extra_hosts: Some(
            hosts
                .into_iter()
                .map(|(name, to)| format!("{name}:{}", to.unwrap_or_default()))
                .collect(),
        ),
        group_add: table.texts("group_add")?,
        init: table.flag("init")?,
        privileged: table.flag("privileged")?,
        readonly_rootfs: table.flag("read_only")?,
        restart_policy: table.take("restart").map(restart).transpose()?,
        security_opt: table.texts("security_opt")?,
        shm_size: size(table.take("shm_size"))?,
        sysctls: Some(sysctls.into_iter().collect()),
        tmpfs,
        ..HostConfig::default()
    })
}

fn restart(item: Item) -> Result<RestartPolicy> {
    let place = item.place.clone();
    let text = item.text()?;
    let (word, number) = match text.split_once(':') {
        Some((word, number)) => (word, Some(number)),
        None => (&*text, None),
    };
    let name = match (word, number) {
        ("no", None) => RestartPolicyNameEnum::NO,
        ("always", None) => RestartPolicyNameEnum::ALWAYS,
        ("unless-stopped", None) => RestartPolicyNameEnum::UNLESS_STOPPED,
        ("on-failure", _) => RestartPolicyNameEnum::ON_FAILURE,
        _ => return Err(place.error(format!("Compose knows no `{text}`"))),
    };
    let count = number.map(str::parse).transpose();
    Ok(RestartPolicy {
        name: Some(name),
        maximum_retry_count: count.map_err(|_| place.error(format!("`{text}` counts nothing")))?,
    })
}

/// Words: a list as it is, a text split as a shell would.
fn command(item: Item) -> Result<Vec<String>> {
    let place = item.place.clone();
    if item.is_list() {
        return item.texts();
    }
    let text = item.text()?;
    shlex::split(&text).ok_or_else(|| place.error(format!("`{text}` has an open quote")))
}

fn health(item: Item) -> Result<HealthConfig> {
    let mut table = item.table()?;
    let mut time = |key| -> Result<Option<i64>> {
        let time = table.take(key).map(duration).transpose()?;
        Ok(time.map(|time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)))
    };
    let mut config = HealthConfig {
        interval: time("interval")?,
        timeout: time("timeout")?,
        start_period: time("start_period")?,
        start_interval: time("start_interval")?,
        ..HealthConfig::default()
    };
    config.retries = table.number("retries")?;
    if let Some(item) = table.take("test") {
        let place = item.place.clone();
        let test = if item.is_list() {
            item.texts()?
        } else {
            vec!["CMD-SHELL".into(), item.text()?]
        };
        let first = test.first().map(String::as_str);
        if !matches!(first, Some("NONE" | "CMD" | "CMD-SHELL")) {
            return Err(place.error("a list begins with NONE, CMD or CMD-SHELL"));
        }
        config.test = Some(test);
    }
    if table.flag("disable")?.unwrap_or(false) {
        config.test = Some(vec!["NONE".into()]);
    }
    table.finish()?;
    Ok(config)
}

fn duration(item: Item) -> Result<Duration> {
    let place = item.place.clone();
    let text = item.text()?;
    words::duration(&text).ok_or_else(|| place.error(format!("`{text}` is no time (`1m30s`)")))
}

fn size(item: Option<Item>) -> Result<Option<i64>> {
    let Some(item) = item else { return Ok(None) };
    let place = item.place.clone();
    let text = item.text()?;
    let size = words::bytes(&text);
    size.map(Some)
        .ok_or_else(|| place.error(format!("`{text}` is no size (`64m`)")))
}
