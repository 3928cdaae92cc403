//! Compose projects, brought up from their file by the kit itself: `docker compose` is not needed,
//! and the services are containers of the lab like any other. What a file says that the kit does
//! not carry out is an error; a world that is silently another one than the file's proves nothing.

mod file;
mod read;
mod service;
#[cfg(test)]
mod tests;
mod up;
mod variables;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::container::{Container, ContainerRef as _, STARTUP};
use crate::doing::Doing;
use crate::error::Result;
use crate::lab::{Inner, Lab};
use crate::target::Port;

/// How a Compose project is to be brought up; begun by [`Lab::compose_file`].
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let project = lab.compose_file("compose.yaml").free_host_ports().up().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `up` is called and awaited"]
pub struct ComposeBuilder {
    lab: Arc<Inner>,
    wanted: Wanted,
}

/// What the test says beside the file.
pub(crate) struct Wanted {
    path: PathBuf,
    project: Option<String>,
    variables: BTreeMap<String, String>,
    images: BTreeMap<String, String>,
    profiles: BTreeSet<String>,
    ready: Vec<(String, Port)>,
    free_host_ports: bool,
    timeout: Duration,
}

/// A Compose project that is up. Its services are also what [`Lab::get`] finds by their names, its
/// networks what [`Lab::get_network`] does.
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let project = lab.compose_file("compose.yaml").up().await?;
/// for service in project.services() {
///     println!("{} is {}", service.name(), service.real_name());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Compose {
    project: String,
    services: Vec<Container>,
}

impl Lab {
    /// Begins a Compose project from its file.
    ///
    /// Each service is one container with the service's name; its networks and volumes are the
    /// lab's. `com.docker.compose.project` and `.service` label them, so tools that know Compose
    /// know them.
    ///
    /// Carried out: `image`, `networks` (aliases, addresses, priority), `network_mode`, `ports`,
    /// `expose`, `environment`, `env_file`, `command`, `entrypoint`, `depends_on` with its
    /// conditions, `healthcheck`, `extra_hosts`, `hostname`, `dns` and its kin, `volumes`, `tmpfs`,
    /// `labels`, `profiles`, `restart`, `pull_policy` and what says how the process runs (`user`,
    /// `init`, `cap_add`, `sysctls`, …); of networks driver, options, IPv6, subnets and gateways; of
    /// volumes driver and options; `${NAME:-default}`, `.env`, anchors and `<<`. Anything else in
    /// the file is an [`Error::Compose`](crate::Error::Compose) that names it.
    ///
    /// What differs from `docker compose up --wait`:
    ///
    /// - Names on the engine are unique to the lab, so the same file may be up many times at once.
    ///   `container_name` is one more alias on each of the service's networks. `name` of a network
    ///   or volume has no effect, save that an `external` network is the lab's own one of that
    ///   name, made before.
    /// - Host ports and subnets that the file fixes are taken as they are: two labs cannot have
    ///   them at once (see [`ComposeBuilder::free_host_ports`]).
    /// - A variable that nobody set and that has no default is an error instead of an empty text,
    ///   and so is a path to be mounted that is not there instead of a new folder.
    /// - A service without a health check is ready when it has started; see
    ///   [`ComposeBuilder::ready`].
    ///
    /// ```no_run
    /// # async fn test(lab: &netcheck_testkit::Lab) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::tcp;
    ///
    /// let project = lab
    ///     .compose_file("compose.yaml")
    ///     .variable("TAG", "11")
    ///     .ready("web", tcp(80))
    ///     .free_host_ports()
    ///     .up()
    ///     .await?;
    /// let web = project.service("web")?;
    /// let at = web.endpoint(tcp(80)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn compose_file(&self, path: impl Into<PathBuf>) -> ComposeBuilder {
        ComposeBuilder {
            lab: Arc::clone(self.inner()),
            wanted: Wanted {
                path: path.into(),
                project: None,
                variables: BTreeMap::new(),
                images: BTreeMap::new(),
                profiles: BTreeSet::new(),
                ready: Vec::new(),
                free_host_ports: false,
                timeout: STARTUP,
            },
        }
    }
}

impl ComposeBuilder {
    /// The project's name, instead of the file's `name` or its folder's; the lab's id follows it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let shop = lab.compose_file("compose.yaml").project("shop").up().await?;
    /// assert!(shop.project().starts_with("shop"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn project(mut self, name: impl Into<String>) -> Self {
        self.wanted.project = Some(name.into());
        self
    }

    /// A variable of the file, before those of the process and of `.env`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// // image: registry.example/web:${TAG}
    /// lab.compose_file("compose.yaml").variable("TAG", "11").up().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.wanted.variables.insert(name.into(), value.into());
        self
    }

    /// The image of a service, instead of its `image` or `build`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let stub = lab.node_image().await?;
    /// lab.compose_file("compose.yaml").image("payments", stub).up().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn image(mut self, service: impl Into<String>, image: impl Into<String>) -> Self {
        self.wanted.images.insert(service.into(), image.into());
        self
    }

    /// Brings up the services of this profile too; `*` those of all.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.compose_file("compose.yaml").profile("debug").up().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.wanted.profiles.insert(name.into());
        self
    }

    /// The service is ready only when this port takes connections from the network, in addition to
    /// its health check.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.compose_file("compose.yaml").ready("web", tcp(80)).up().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ready(mut self, service: impl Into<String>, port: Port) -> Self {
        self.wanted.ready.push((service.into(), port));
        self
    }

    /// Publishes every port at a free one of the host instead of the one in the file, so that tests
    /// may run in parallel; [`Container::endpoint`] tells which.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let project = lab.compose_file("compose.yaml").free_host_ports().up().await?;
    /// let at = project.service("web")?.endpoint(tcp(80)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn free_host_ports(mut self) -> Self {
        self.wanted.free_host_ports = true;
        self
    }

    /// How long each service may take to be ready once it has started; 60 s by default.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// lab.compose_file("compose.yaml")
    ///     .startup_timeout(Duration::from_secs(180))
    ///     .up()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn startup_timeout(mut self, time: Duration) -> Self {
        self.wanted.timeout = time;
        self
    }

    /// Brings it up: networks and volumes, then each service as soon as those it depends on allow
    /// it. Returns when every service is ready: healthy if it has a health check, done with exit
    /// code 0 if another waits for that, else started.
    ///
    /// # Errors
    ///
    /// [`Error::Compose`](crate::Error::Compose): the file is wrong, or says what the kit does not
    /// carry out. [`Error::Api`](crate::Error::Api),
    /// [`Error::NotReady`](crate::Error::NotReady) and
    /// [`Error::Testcontainers`](crate::Error::Testcontainers) (an image that cannot be pulled) of
    /// the first service that failed; what was made until then stays in the lab.
    /// [`Error::Invalid`](crate::Error::Invalid): a name that is none, or one that the lab has
    /// already, or testcontainers speaks to another engine.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.compose_file("compose.yaml").up().await?;
    /// lab.from("web").to("db", tcp(3306)).must_connect().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn up(self) -> Doing<Compose> {
        let lab = Arc::clone(&self.lab);
        lab.job(up::up(self.lab, self.wanted))
    }
}

impl Compose {
    /// The project, as in the label `com.docker.compose.project`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Compose;
    /// # fn test(project: &Compose) {
    /// println!("docker ps --filter label=com.docker.compose.project={}", project.project());
    /// # }
    /// ```
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Its services that were brought up, by name.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Compose;
    /// # fn test(project: &Compose) {
    /// let names: Vec<_> = project.services().iter().map(|service| service.name()).collect();
    /// assert_eq!(names, ["db", "web"]);
    /// # }
    /// ```
    pub fn services(&self) -> &[Container] {
        &self.services
    }

    /// One service.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`](crate::Error::Unknown): the file has none of that name, or it was not
    /// brought up (its profile).
    ///
    /// ```no_run
    /// # use netcheck_testkit::Compose;
    /// # fn test(project: &Compose) -> netcheck_testkit::Result<()> {
    /// let web = project.service("web")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn service(&self, name: &str) -> Result<&Container> {
        let found = self.services.iter().find(|service| service.name() == name);
        found.ok_or_else(|| crate::Error::Unknown {
            what: "service",
            name: name.into(),
            known: self
                .services
                .iter()
                .filter_map(|service| service.lab_name())
                .map(str::to_owned)
                .collect(),
        })
    }
}
