//! Brings a project up. Each service goes through its stages by itself and tells them to those that
//! depend on it; none starts before its conditions are met, and a failure reaches all that wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, HealthStatusEnum, Mount, MountType, PortBinding,
    VolumeCreateRequest,
};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use futures_util::future::{join_all, try_join_all};
use testcontainers::runners::AsyncRunner as _;
use tokio::sync::watch;

use super::file::{File, NetworkSaid, VolumeSaid, understand};
use super::read::{Place, read};
use super::service::{Condition, Mode, Pull, Service, Volume};
use super::variables::Variables;
use super::{Compose, Wanted};
use crate::container::{Builder, Container};
use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::network::{Endpoint, Network, NetworkBuilder};
use crate::start;
use crate::target::Port;

/// Between two looks at a service's state; the engine answers an inspect in 2 ms.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How far a service has come.
#[derive(Debug, Clone)]
enum Stage {
    Waiting,
    Started,
    /// As ready as it gets; whether a health check says so.
    Ready {
        healthy: bool,
    },
    /// Its process ended with exit code 0.
    Completed,
    Failed(String),
}

/// A project on its way up.
struct Project {
    lab: Arc<Inner>,
    name: String,
    wanted: Wanted,
    variables: Variables,
    networks: HashMap<String, Network>,
    volumes: HashMap<String, String>,
    stages: HashMap<String, watch::Sender<Stage>>,
    /// Services of which another waits until they are done.
    one_shot: BTreeSet<String>,
}

/// See [`ComposeBuilder::up`](super::ComposeBuilder::up).
pub(super) async fn up(lab: Arc<Inner>, wanted: Wanted) -> Result<Compose> {
    let (file, variables) = load(&wanted)?;
    let place = Place::file(&wanted.path);
    let name = project_name(&wanted, &file, &lab)?;
    let services = in_order(select(file.services, &wanted, &place)?)?;
    let mut project = Project {
        name,
        variables,
        networks: HashMap::new(),
        volumes: HashMap::new(),
        stages: services
            .iter()
            .map(|service| (service.name.clone(), watch::Sender::new(Stage::Waiting)))
            .collect(),
        one_shot: services
            .iter()
            .flat_map(|service| &service.after)
            .filter(|dependency| dependency.condition == Condition::Completed)
            .map(|dependency| dependency.service.clone())
            .collect(),
        wanted,
        lab,
    };
    project.networks = project.make_networks(&services, &file.networks).await?;
    project.volumes = project.make_volumes(&services, &file.volumes).await?;
    let starts = services
        .into_iter()
        .map(|service| project.bring_up(service));
    let mut containers = Vec::new();
    // In the order of dependencies: the first error is a cause, not a consequence.
    for result in join_all(starts).await {
        containers.push(result?);
    }
    containers.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(Compose {
        project: project.name,
        services: containers,
    })
}

/// Reads the file and its variables.
fn load(wanted: &Wanted) -> Result<(File, Variables)> {
    let place = Place::file(&wanted.path);
    let content = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|error| place.error(format!("reading {}: {error}", path.display())))
    };
    let text = content(&wanted.path)?;
    let mut variables = Variables {
        given: wanted.variables.clone(),
        file: BTreeMap::new(),
    };
    let beside = place.path(".env");
    if beside.exists() {
        let pairs = variables.read_file(&content(&beside)?);
        let pairs = pairs.map_err(|why| place.error(format!("{}: {why}", beside.display())))?;
        variables.file = pairs.into_iter().collect();
    }
    let table = read(&wanted.path, &text, &variables)?;
    Ok((understand(table, &wanted.images)?, variables))
}

/// Unique to the lab: two projects of one name are one project to other tools.
fn project_name(wanted: &Wanted, file: &File, lab: &Inner) -> Result<String> {
    let folder = || {
        let path = std::path::absolute(&wanted.path).ok()?;
        Some(path.parent()?.file_name()?.to_string_lossy().into_owned())
    };
    let name = wanted.project.clone().or_else(|| file.name.clone());
    let name = name.or_else(folder).unwrap_or_default().to_lowercase();
    let plain: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
        .collect();
    let plain = plain.trim_start_matches(['_', '-']);
    if plain.is_empty() {
        return Err(Error::invalid(format!("`{name}` is no name of a project")));
    }
    Ok(format!("{plain}-{}", lab.id))
}

/// Those that are to run, with dependencies that are there.
fn select(services: Vec<Service>, wanted: &Wanted, place: &Place) -> Result<Vec<Service>> {
    let active = |service: &Service| {
        let profiles = &service.profiles;
        profiles.is_empty()
            || wanted.profiles.contains("*")
            || profiles.iter().any(|name| wanted.profiles.contains(name))
    };
    let mut chosen: Vec<Service> = services.into_iter().filter(active).collect();
    let names: BTreeSet<String> = chosen.iter().map(|service| service.name.clone()).collect();
    for service in &mut chosen {
        let there = |name: &str| names.contains(name);
        service
            .after
            .retain(|dependency| dependency.required || there(&dependency.service));
        if let Some(missing) = service.after.iter().find(|other| !there(&other.service)) {
            return Err(service.place.key("depends_on").error(format!(
                "there is no service `{}`, or its profile is not chosen",
                missing.service
            )));
        }
    }
    for (name, _) in &wanted.ready {
        if !names.contains(name) {
            return Err(place.service(name).error("to be waited for, and not there"));
        }
    }
    Ok(chosen)
}

/// Each after those it depends on.
fn in_order(mut services: Vec<Service>) -> Result<Vec<Service>> {
    let mut ordered: Vec<Service> = Vec::new();
    while !services.is_empty() {
        let done = |name: &str| ordered.iter().any(|service| service.name == name);
        let next = services
            .iter()
            .position(|service| service.after.iter().all(|other| done(&other.service)));
        let Some(next) = next else {
            let names: Vec<&str> = services.iter().map(|service| &*service.name).collect();
            return Err(services[0]
                .place
                .key("depends_on")
                .error(format!("these wait for each other: {}", names.join(", "))));
        };
        ordered.push(services.remove(next));
    }
    Ok(ordered)
}

impl Project {
    /// The networks that are used.
    async fn make_networks(
        &self,
        services: &[Service],
        said: &BTreeMap<String, NetworkSaid>,
    ) -> Result<HashMap<String, Network>> {
        let mut used = BTreeMap::new();
        for service in services {
            let Mode::Networks(endpoints) = &service.mode else {
                continue;
            };
            for (name, _) in endpoints {
                let network = said.get(name).ok_or_else(|| {
                    let place = service.place.key("networks");
                    place.error(format!("the file has no network `{name}`"))
                })?;
                used.insert(name.clone(), network);
            }
        }
        let made = used.into_iter().map(|(name, said)| async move {
            if let Some(external) = &said.external {
                let found = self.lab.state().networks.get(external).cloned();
                let found = found.ok_or_else(|| {
                    Place::file(&self.wanted.path)
                        .key(&format!("networks.{name}.external"))
                        .error(format!("the lab has no network `{external}`"))
                })?;
                return Ok((name, Network::new(Arc::clone(&self.lab), found)));
            }
            let mut builder = NetworkBuilder::new(Arc::clone(&self.lab), name.clone())
                .label("com.docker.compose.project", &self.name)
                .label("com.docker.compose.network", &name);
            if said.internal {
                builder = builder.internal();
            }
            if said.attachable {
                builder = builder.attachable();
            }
            if said.ipv6 {
                builder = builder.ipv6();
            }
            if let Some(driver) = &said.driver {
                builder = builder.driver(driver);
            }
            for (key, value) in &said.options {
                builder = builder.driver_option(key, value);
            }
            for (key, value) in &said.labels {
                builder = builder.label(key, value);
            }
            for subnet in &said.subnets {
                builder = builder.subnet_of(subnet);
            }
            for gateway in &said.gateways {
                builder = builder.gateway(*gateway);
            }
            Ok::<_, Error>((name, builder.create().await?))
        });
        Ok(try_join_all(made).await?.into_iter().collect())
    }

    /// The named volumes that are used; their real names.
    async fn make_volumes(
        &self,
        services: &[Service],
        said: &BTreeMap<String, VolumeSaid>,
    ) -> Result<HashMap<String, String>> {
        let mut made = HashMap::new();
        for service in services {
            for volume in &service.volumes {
                let (place, name) = match volume {
                    Volume::Named(place, name, _) if !name.is_empty() => (place, name),
                    Volume::Long(place, mount) if mount.typ == Some(MountType::VOLUME) => {
                        match &mount.source {
                            Some(name) => (place, name),
                            None => continue,
                        }
                    }
                    _ => continue,
                };
                if made.contains_key(name) {
                    continue;
                }
                let said = said
                    .get(name)
                    .ok_or_else(|| place.error(format!("the file has no volume `{name}`")))?;
                made.insert(name.clone(), self.make_volume(name, said).await?);
            }
        }
        Ok(made)
    }

    async fn make_volume(&self, name: &str, said: &VolumeSaid) -> Result<String> {
        let mut labels: HashMap<String, String> = said.labels.iter().cloned().collect();
        labels.insert("com.docker.compose.project".into(), self.name.clone());
        labels.insert("com.docker.compose.volume".into(), name.to_owned());
        labels.extend(self.lab.labels(name));
        let real_name = self.lab.real_name(name);
        let request = VolumeCreateRequest {
            name: Some(real_name.clone()),
            driver: said.driver.clone(),
            driver_opts: Some(said.options.iter().cloned().collect()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        let doing = format!("creating the volume `{name}`");
        let engine = Arc::clone(&self.lab.engine);
        self.lab
            .making(async move {
                let made = engine.docker().create_volume(request).await;
                made.map_err(|e| Error::api(doing, &e))
            })
            .await?;
        Ok(real_name)
    }

    /// One service, from waiting for others to being ready.
    async fn bring_up(&self, service: Service) -> Result<Container> {
        let name = service.name.clone();
        let result = self.bring_up_or_error(service).await;
        if let Err(error) = &result {
            self.tell(&name, Stage::Failed(error.to_string()));
        }
        start::tell_those_who_wait(&self.lab, &name, result)
    }

    async fn bring_up_or_error(&self, service: Service) -> Result<Container> {
        for dependency in &service.after {
            let waited = self.wait_for(&service, &dependency.service, dependency.condition);
            match waited.await {
                Err(_) if !dependency.required => {}
                other => other?,
            }
        }
        self.have_image(&service).await?;
        let name = service.name.clone();
        let ready: Vec<Port> = self
            .wanted
            .ready
            .iter()
            .filter(|(service, _)| *service == name)
            .map(|(_, port)| *port)
            .collect();
        let container = self.make(service, &ready).await?;
        let record = container.record();
        let started = start::start_again(&self.lab, record);
        start::or_remove(&self.lab, record, started).await?;
        self.tell(&name, Stage::Started);
        // What does not get ready stays until the lab ends: the report of the failure shows it.
        let stage = self
            .settle(&container, self.one_shot.contains(&name))
            .await?;
        if !ready.is_empty() {
            start::wait_for_ports(&self.lab, record, &ready, self.wanted.timeout).await?;
        }
        start::is_ready(&self.lab, record);
        self.tell(&name, stage);
        Ok(container)
    }

    fn tell(&self, service: &str, stage: Stage) {
        if let Some(sender) = self.stages.get(service) {
            sender.send_replace(stage);
        }
    }

    async fn wait_for(&self, service: &Service, other: &str, condition: Condition) -> Result<()> {
        let error = |why: String| service.place.key(&format!("depends_on.{other}")).error(why);
        let sender = self.stages.get(other);
        let mut stages = sender
            .ok_or_else(|| error("there is no such service".into()))?
            .subscribe();
        loop {
            match (&*stages.borrow_and_update(), condition) {
                (Stage::Failed(why), _) => {
                    return Err(error(format!("its start failed: {why}")));
                }
                (Stage::Started | Stage::Ready { .. } | Stage::Completed, Condition::Started)
                | (Stage::Ready { healthy: true }, Condition::Healthy)
                | (Stage::Completed, Condition::Completed) => return Ok(()),
                (Stage::Ready { .. } | Stage::Completed, Condition::Healthy) => {
                    return Err(error("it has no health check that could say so".into()));
                }
                _ => {}
            }
            // The sender is in `self`.
            let _ = stages.changed().await;
        }
    }

    /// Waits until it is as ready as it gets.
    async fn settle(&self, container: &Container, one_shot: bool) -> Result<Stage> {
        let (begun, record) = (Instant::now(), container.record());
        loop {
            let inspected = start::inspect(&self.lab, record).await?;
            let state = inspected.state.unwrap_or_default();
            let health = state.health.and_then(|health| health.status);
            let ended = matches!(
                state.status,
                Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD)
            );
            let waited_for = match (one_shot, health) {
                (true, _) if ended && state.exit_code == Some(0) => return Ok(Stage::Completed),
                (true, _) => "its process has not ended with exit code 0",
                (false, None | Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE)) => {
                    return Ok(Stage::Ready { healthy: false });
                }
                (false, Some(HealthStatusEnum::HEALTHY)) => {
                    return Ok(Stage::Ready { healthy: true });
                }
                (false, _) => "its health check does not say healthy",
            };
            let unhealthy = !one_shot && health == Some(HealthStatusEnum::UNHEALTHY);
            if ended || unhealthy || begun.elapsed() >= self.wanted.timeout {
                return Err(Error::NotReady {
                    name: container.name().to_owned(),
                    waited_for: waited_for.into(),
                    after: begun.elapsed(),
                    logs: start::last_lines(&self.lab, record).await,
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Pulls what is not there, with testcontainers' means (it knows where credentials are).
    async fn have_image(&self, service: &Service) -> Result<()> {
        let docker = self.lab.engine.docker();
        let image = &*service.image;
        let there = docker.inspect_image(image).await;
        match (service.pull, there) {
            (Pull::Missing | Pull::Never, Ok(_)) => return Ok(()),
            (Pull::Never, Err(error)) => {
                return Err(Error::api(
                    format!("looking for the image `{image}`"),
                    &error,
                ));
            }
            _ => {}
        }
        if image.contains('@') {
            let options = CreateImageOptionsBuilder::new().from_image(image).build();
            let mut pulling = docker.create_image(Some(options), None, None);
            while let Some(part) = pulling.next().await {
                part.map_err(|e| Error::api(format!("pulling the image `{image}`"), &e))?;
            }
            return Ok(());
        }
        self.lab.engine.is_the_one_of_testcontainers().await?;
        let (name, tag) = match image.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (image, "latest"),
        };
        let request = testcontainers::GenericImage::new(name, tag);
        match request.pull_image().await {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Testcontainers {
                doing: format!("pulling the image `{image}` of `{}`", service.name),
                source: Box::new(source),
                logs: String::new(),
            }),
        }
    }

    async fn make(&self, service: Service, ready: &[Port]) -> Result<Container> {
        let mut builder = Builder::new(Arc::clone(&self.lab), service.name.clone(), ());
        builder = match &service.mode {
            Mode::None => builder.on_no_network(),
            Mode::Host => builder.on_host_network(),
            Mode::Bridge => builder.on_default_bridge(),
            Mode::Service(name) | Mode::Container(name) => {
                let owner = self.lab.container(name).map_err(|error| {
                    let place = service.place.key("network_mode");
                    place.error(error.to_string())
                })?;
                builder.in_network_of(&owner)
            }
            Mode::Networks(endpoints) => {
                for (name, said) in endpoints {
                    let mut endpoint = Endpoint::from(&self.networks[name]);
                    for alias in said.aliases.iter().chain(&service.container_name) {
                        endpoint = endpoint.alias(alias);
                    }
                    for address in &said.addresses {
                        endpoint = endpoint.ip(*address);
                    }
                    for (key, value) in &said.options {
                        endpoint = endpoint.driver_option(key, value);
                    }
                    builder = builder.on(endpoint);
                }
                builder
            }
        };
        let published = service.published.iter().map(|published| published.port);
        for port in service
            .exposed
            .iter()
            .copied()
            .chain(published)
            .chain(ready.iter().copied())
        {
            builder = builder.expects(port);
        }
        for (name, value) in self.environment(&service)? {
            builder = builder.env(name, value);
        }
        for (key, value) in [
            ("com.docker.compose.project", &*self.name),
            ("com.docker.compose.service", &service.name),
            ("com.docker.compose.container-number", "1"),
            ("com.docker.compose.oneoff", "False"),
        ] {
            builder = builder.label(key, value);
        }
        let mut plan = builder.plan;
        let mut body = self.body(service)?;
        plan.write(&self.lab, &mut body)?;
        start::make(&self.lab, plan, body).await
    }

    /// Files first, what the service itself says over them.
    fn environment(&self, service: &Service) -> Result<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        for (path, required) in &service.env_files {
            let place = service.place.key("env_file");
            let path = place.path(path);
            if !required && !path.exists() {
                continue;
            }
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|e| place.error(format!("reading {}: {e}", path.display())))?;
            let read = self.variables.read_file(&text);
            pairs.extend(read.map_err(|why| place.error(format!("{}: {why}", path.display())))?);
        }
        for (name, value) in &service.env {
            let value = value.clone().or_else(|| self.variables.get(name));
            pairs.extend(value.map(|value| (name.clone(), value)));
        }
        Ok(pairs)
    }

    fn body(&self, service: Service) -> Result<ContainerCreateBody> {
        let mut body = service.body;
        body.image = Some(service.image);
        let exposed = body.exposed_ports.get_or_insert_default();
        let published = service.published.iter().map(|published| published.port);
        for port in service.exposed.into_iter().chain(published) {
            let port = port.to_string();
            if !exposed.contains(&port) {
                exposed.push(port);
            }
        }
        let host = body.host_config.get_or_insert_default();
        let bindings = host.port_bindings.get_or_insert_default();
        for published in service.published {
            let binding = PortBinding {
                host_ip: published.address,
                host_port: Some(if self.wanted.free_host_ports {
                    String::new()
                } else {
                    published.host
                }),
            };
            bindings
                .entry(published.port.to_string())
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
        for volume in service.volumes {
            match volume {
                // Anonymous: as a mount, which the engine removes with the container.
                Volume::Named(_, name, target) if name.is_empty() => {
                    host.mounts.get_or_insert_default().push(Mount {
                        typ: Some(MountType::VOLUME),
                        target: Some(target),
                        ..Mount::default()
                    });
                }
                Volume::Named(_, name, target) => {
                    let real_name = &self.volumes[&name];
                    let bind = format!("{real_name}:{target}");
                    host.binds.get_or_insert_default().push(bind);
                }
                Volume::Bind(place, source, target) => {
                    let bind = format!("{}:{target}", self.on_host(&place, &source)?);
                    host.binds.get_or_insert_default().push(bind);
                }
                Volume::Long(place, mut mount) => {
                    mount.source = match (mount.typ, mount.source) {
                        (Some(MountType::BIND), Some(source)) => {
                            Some(self.on_host(&place, &source)?)
                        }
                        (Some(MountType::VOLUME), Some(name)) => Some(self.volumes[&name].clone()),
                        (_, source) => source,
                    };
                    host.mounts.get_or_insert_default().push(*mount);
                }
            }
        }
        Ok(body)
    }

    /// The path of something of the host.
    fn on_host(&self, place: &Place, source: &str) -> Result<String> {
        let path = place.path(source);
        let path = std::path::absolute(&path)
            .map_err(|error| place.error(format!("{}: {error}", path.display())))?;
        // The folders of an engine elsewhere cannot be seen from here.
        let here = self.lab.engine.client.host().starts_with("unix://");
        if here && !path.exists() {
            return Err(place.error(format!(
                "{} is not there; the engine would make a folder of it that nobody removes",
                path.display()
            )));
        }
        Ok(path.to_string_lossy().into_owned())
    }
}
