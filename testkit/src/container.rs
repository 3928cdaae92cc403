//! Containers: how they are to be ([`Builder`]), and the handle of one that is there
//! ([`Container`]). Making them is in `start`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, ImageConfig, PortBinding,
};
use netcheck_diagnose::clean::clean;

use crate::doing::Doing;
use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::network::{Endpoint, Network};
use crate::start;
use crate::target::Port;

/// How long a container may take to be ready, unless the builder says otherwise: what
/// testcontainers gives it.
pub(crate) const STARTUP: Duration = Duration::from_secs(60);

/// How a container is to be; begun by [`Lab::node`](crate::Lab::node) (with `S` = [`Node`]) or
/// [`Lab::container`](crate::Lab::container) (with `S` = [`Image<I>`](Image)).
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let back = lab.network("back").create().await?;
/// let db = lab
///     .node("mysql-db")
///     .on(back.alias("db.internal").host(10))
///     .banner(3306)
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `start` or `create` is called and awaited"]
pub struct Builder<S> {
    pub(crate) lab: Arc<Inner>,
    pub(crate) plan: Plan,
    pub(crate) source: S,
}

/// Adjusts the request to the engine just before it is sent.
pub(crate) type Adjust = Box<dyn FnOnce(&mut ContainerCreateBody) + Send>;

/// What does not depend on where the container comes from.
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) mode: Option<String>,
    pub(crate) after: Vec<String>,
    pub(crate) ready: Vec<Port>,
    pub(crate) declared: Vec<Port>,
    pub(crate) env: BTreeMap<String, String>,
    /// Container port, address of the host (none for every one) and port of the host (0 for a free
    /// one).
    pub(crate) publish: Vec<(Port, Option<IpAddr>, u16)>,
    pub(crate) exposed: Vec<Port>,
    pub(crate) hosts: Vec<String>,
    pub(crate) files: Vec<(String, Vec<u8>, u32)>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) real_name: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) adjust: Vec<Adjust>,
    /// The first thing that was wrong with what the builder was given.
    pub(crate) wrong: Option<Error>,
}

impl<S> Builder<S> {
    pub(crate) fn new(lab: Arc<Inner>, name: String, source: S) -> Self {
        Self {
            lab,
            plan: Plan {
                name,
                endpoints: Vec::new(),
                mode: None,
                after: Vec::new(),
                ready: Vec::new(),
                declared: Vec::new(),
                env: BTreeMap::new(),
                publish: Vec::new(),
                exposed: Vec::new(),
                hosts: Vec::new(),
                files: Vec::new(),
                labels: BTreeMap::new(),
                real_name: None,
                timeout: STARTUP,
                adjust: Vec::new(),
                wrong: None,
            },
            source,
        }
    }

    /// On this network, from before its first process runs; once for each network. Its name in the
    /// lab is an alias there. `net.alias("db.internal").host(10)` says more than `&net`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let front = lab.network("front").create().await?;
    /// lab.node("proxy").on(&front).on(back.alias("gateway").host(10)).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.plan.endpoints.push(endpoint.into());
        self
    }

    /// On the engine's default `bridge` network, which has no DNS of its own. This is also where a
    /// container is that was put nowhere.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("old").on_default_bridge().start().await?;
    /// lab.from("old").name("mysql-db").must_not_resolve().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_default_bridge(self) -> Self {
        self.mode("bridge")
    }

    /// In the host's network namespace (`--network host`).
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("agent").on_host_network().start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_host_network(self) -> Self {
        self.mode("host")
    }

    /// On no network (`--network none`).
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("alone").on_no_network().start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_no_network(self) -> Self {
        self.mode("none")
    }

    /// In the network namespace of another container (`--network container:…`).
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab, tcp};
    /// # async fn test(lab: &Lab, db: &Container) -> netcheck_testkit::Result<()> {
    /// lab.node("sidecar").in_network_of(db).start().await?;
    /// lab.from("sidecar").to("127.0.0.1", tcp(3306)).must_connect().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_network_of(self, other: &impl ContainerRef) -> Self {
        let mode = format!("container:{}", other.container_id());
        self.mode(&mode)
    }

    fn mode(mut self, mode: &str) -> Self {
        self.plan.mode = Some(mode.into());
        self
    }

    /// Starts only when the container that the test calls so is ready. It may be begun later, or
    /// at the same time in another future.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let app = lab.node("app").after("mysql-db").start();
    /// let db = lab.node("mysql-db").banner(3306).start();
    /// db.await?;
    /// app.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn after(mut self, name: impl Into<String>) -> Self {
        self.plan.after.push(name.into());
        self
    }

    /// Is ready only when this port takes connections from the network (not just on loopback), in
    /// addition to the wait conditions of an image. UDP: when somebody listens there.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// lab.container("redis", GenericImage::new("redis", "7"))
    ///     .on(back)
    ///     .ready(tcp(6379))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ready(mut self, port: Port) -> Self {
        self.plan.ready.push(port);
        self.expects(port)
    }

    /// Takes part in [`Lab::matrix`](crate::Lab::matrix) with this port. Ports of services of
    /// built-in nodes, ports that are published or waited for do so anyway.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("web").on(back).expects(tcp(8080)).start().await?;
    /// println!("{}", lab.matrix().await?); // has a column web:8080/tcp
    /// # Ok(())
    /// # }
    /// ```
    pub fn expects(mut self, port: Port) -> Self {
        if !self.plan.declared.contains(&port) {
            self.plan.declared.push(port);
        }
        self
    }

    /// Names the port in the container's metadata, as `--expose` does; nothing is published.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("db").on(back).expose(tcp(3306)).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn expose(mut self, port: Port) -> Self {
        self.plan.exposed.push(port);
        self.expects(port)
    }

    /// Publishes the port on a free port of the host (see [`Container::endpoint`]).
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let web = lab.node("web").http(80).publish(tcp(80)).start().await?;
    /// let at = web.endpoint(tcp(80)).await?;
    /// std::net::TcpStream::connect(at).unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(self, port: Port) -> Self {
        self.publishes(port, None, 0)
    }

    /// Publishes the port as this one of the host, on every address: `-p 8080:80`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("web").http(80).publish_as(tcp(80), 8080).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_as(self, port: Port, host_port: u16) -> Self {
        self.publishes(port, None, host_port)
    }

    /// Publishes the port at this address and port of the host; `0.0.0.0` means every IPv4
    /// address, port 0 a free one.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("web")
    ///     .http(80)
    ///     .publish_at(tcp(80), ([127, 0, 0, 1], 0))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_at(self, port: Port, host: impl Into<SocketAddr>) -> Self {
        let host = host.into();
        self.publishes(port, Some(host.ip()), host.port())
    }

    fn publishes(mut self, port: Port, address: Option<IpAddr>, host_port: u16) -> Self {
        self.plan.publish.push((port, address, host_port));
        self.expects(port)
    }

    /// An environment variable.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("app")
    ///     .on(back)
    ///     .env("DATABASE_URL", "mysql://mysql-db:3306/some")
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.plan.env.insert(name.into(), value.into());
        self
    }

    /// A label, beside the kit's own.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("app").label("com.example.team", "orders").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.plan.labels.insert(key.into(), value.into());
        self
    }

    /// One more line of /etc/hosts: `name` is `address`, which may be `host-gateway`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("app").add_host("payments.example", "10.9.0.10").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_host(mut self, name: &str, address: &str) -> Self {
        self.plan.hosts.push(format!("{name}:{address}"));
        self
    }

    /// `host.docker.internal` is the host, as it is on Docker Desktop anyway. A listener of the
    /// test on 0.0.0.0 is reached by it; for one on 127.0.0.1 see
    /// [`Lab::expose`](crate::Lab::expose).
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("app").on(back).host_access().start().await?;
    /// lab.from("app").name("host.docker.internal").must_resolve().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn host_access(self) -> Self {
        self.add_host("host.docker.internal", "host-gateway")
    }

    /// A file in it, there before its first process runs; missing folders are made. The mode is
    /// 0644.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("app").file("/etc/app/config.toml", "port = 80\n").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn file(self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.file_with_mode(path, content, 0o644)
    }

    /// The same with a mode of its own, e.g. `0o755` for a script.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("app")
    ///     .file_with_mode("/docker-entrypoint.d/10-seed.sh", "#!/bin/sh\n", 0o755)
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn file_with_mode(
        mut self,
        path: impl Into<String>,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Self {
        let (path, content) = (path.into(), content.into());
        if path.trim_matches('/').is_empty() || path.split('/').any(|part| part == "..") {
            self.is_wrong(Error::invalid(format!("`{path}` is no path of a file")));
        } else {
            self.plan.files.push((path, content, mode));
        }
        self
    }

    /// How long it may take to be ready; 60 s by default.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// lab.node("slow")
    ///     .on(back)
    ///     .banner(3306)
    ///     .startup_timeout(Duration::from_secs(120))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn startup_timeout(mut self, time: Duration) -> Self {
        self.plan.timeout = time;
        self
    }

    /// The name that the engine shows, for tests about names. By default the name in the lab and
    /// the lab's id; whatever it is, it has to be unique on the engine.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let db = lab.node("db").real_name("shop-db-1").start().await?;
    /// assert_eq!(db.real_name(), "shop-db-1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn real_name(mut self, name: impl Into<String>) -> Self {
        self.plan.real_name = Some(name.into());
        self
    }

    /// Adjusts the request to the engine, for all that has no method here. Several adjust it one
    /// after the other.
    ///
    /// # Panics
    ///
    /// If `adjust` panics, whoever waits for the start panics with its message.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("app")
    ///     .configure(|body| body.stop_signal = Some("SIGINT".into()))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure(
        mut self,
        adjust: impl FnOnce(&mut ContainerCreateBody) + Send + 'static,
    ) -> Self {
        self.plan.adjust.push(Box::new(adjust));
        self
    }

    /// The same for its `HostConfig` (sysctls, DNS servers, restart policy, mounts, …).
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("app")
    ///     .host_config(|host| host.dns_search = Some(vec!["corp.example".into()]))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn host_config(self, adjust: impl FnOnce(&mut HostConfig) + Send + 'static) -> Self {
        self.configure(move |body| adjust(body.host_config.get_or_insert_default()))
    }

    /// Servers, search domains and options of its resolver are the given ones.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("app").dns(&["192.0.2.53".parse().unwrap()]).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn dns(self, servers: &[IpAddr]) -> Self {
        let servers = servers.iter().map(ToString::to_string).collect();
        self.host_config(move |host| host.dns = Some(servers))
    }

    fn is_wrong(&mut self, error: Error) {
        self.plan.wrong.get_or_insert(error);
    }
}

impl Plan {
    /// What is the same for every container, into the request.
    pub(crate) fn write(&mut self, lab: &Inner, body: &mut ContainerCreateBody) -> Result<()> {
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        let labels = body.labels.get_or_insert_default();
        labels.extend(std::mem::take(&mut self.labels));
        labels.extend(lab.labels(&self.name));
        let env = body.env.get_or_insert_default();
        env.extend(
            self.env
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        let exposed = body.exposed_ports.get_or_insert_default();
        let published = self.publish.iter().map(|(port, ..)| port);
        for port in published.chain(&self.exposed) {
            if !exposed.contains(&port.to_string()) {
                exposed.push(port.to_string());
            }
        }
        let host = body.host_config.get_or_insert_default();
        host.extra_hosts
            .get_or_insert_default()
            .append(&mut self.hosts);
        let bindings = host.port_bindings.get_or_insert_default();
        for (port, address, host_port) in &self.publish {
            let binding = PortBinding {
                host_ip: address.map(|address| address.to_string()),
                host_port: Some(match host_port {
                    0 => String::new(),
                    port => port.to_string(),
                }),
            };
            bindings
                .entry(port.to_string())
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
        Ok(())
    }
}

/// What is known of a container for good.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) real_name: String,
    pub(crate) id: String,
    pub(crate) declared: Vec<Port>,
    pub(crate) ready: AtomicBool,
}

impl Record {
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// A container of a lab. Cloning it makes another handle to the same container.
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let db = lab.get("mysql-db")?;
/// let same = db.clone();
/// assert_eq!(db.id(), same.id());
/// db.kill().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Container {
    lab: Arc<Inner>,
    record: Arc<Record>,
}

/// Something that stands for a container: a [`Container`], a [`Started`], or testcontainers' own
/// `ContainerAsync`.
///
/// ```no_run
/// # use netcheck_testkit::{Container, ContainerRef};
/// # fn test(db: &Container) {
/// // Takes any of the three.
/// fn id(of: &impl ContainerRef) -> &str {
///     of.container_id()
/// }
/// assert_eq!(id(db), db.id());
/// # }
/// ```
pub trait ContainerRef {
    /// The engine's id, or a name that is unique on the engine.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # fn test(db: &Container) {
    /// use netcheck_testkit::ContainerRef as _;
    ///
    /// assert_eq!(db.container_id(), db.id());
    /// # }
    /// ```
    fn container_id(&self) -> &str;

    /// The name the test gave it, if it is a container of a lab.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # fn test(db: &Container) {
    /// use netcheck_testkit::ContainerRef as _;
    ///
    /// assert_eq!(db.lab_name(), Some("mysql-db"));
    /// # }
    /// ```
    fn lab_name(&self) -> Option<&str> {
        None
    }
}

impl ContainerRef for Container {
    fn container_id(&self) -> &str {
        self.id()
    }

    fn lab_name(&self) -> Option<&str> {
        Some(self.name())
    }
}

impl<I: testcontainers::Image> ContainerRef for Started<I> {
    fn container_id(&self) -> &str {
        self.container.id()
    }

    fn lab_name(&self) -> Option<&str> {
        Some(self.container.name())
    }
}

impl<I: testcontainers::Image> ContainerRef for testcontainers::ContainerAsync<I> {
    fn container_id(&self) -> &str {
        self.id()
    }
}

impl<C: ContainerRef> ContainerRef for &C {
    fn container_id(&self) -> &str {
        (**self).container_id()
    }

    fn lab_name(&self) -> Option<&str> {
        (**self).lab_name()
    }
}

/// What a command in a container came to.
///
/// ```no_run
/// # use netcheck_testkit::{Container, Output};
/// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
/// let done: Output = db.exec(["cat", "/etc/hostname"]).await?;
/// assert_eq!(done.code, 0, "{}", done.stderr);
/// println!("{}", done.stdout);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code.
    pub code: i64,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Container {
    pub(crate) fn new(lab: Arc<Inner>, record: Arc<Record>) -> Self {
        Self { lab, record }
    }

    /// The name the test gave it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// assert_eq!(lab.get("mysql-db")?.name(), "mysql-db");
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// The name the engine shows.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # fn test(db: &Container) {
    /// println!("docker logs {}", db.real_name());
    /// # }
    /// ```
    pub fn real_name(&self) -> &str {
        &self.record.real_name
    }

    /// The engine's id.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab};
    /// # async fn test(lab: &Lab, db: &Container) {
    /// lab.docker().pause_container(db.id()).await.unwrap();
    /// # }
    /// ```
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// What the engine says of it now.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: somebody removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// let restarts = db.inspect().await?.restart_count;
    /// assert_eq!(restarts, Some(0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn inspect(&self) -> Doing<ContainerInspectResponse> {
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::inspect(&lab, &record).await })
    }

    /// Its address on this network; IPv4 if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: it is not on that network, or not running. [`Error::Api`]: somebody
    /// removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Network};
    /// # async fn test(back: &Network, db: &Container) -> netcheck_testkit::Result<()> {
    /// let at = db.address(back).await?;
    /// assert!(at.is_ipv4());
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(&self, network: &Network) -> Doing<IpAddr> {
        let found = self.addresses(network);
        let (name, network) = (self.name().to_owned(), network.name().to_owned());
        Doing::new(async move {
            found.await?.into_iter().next().ok_or_else(|| {
                Error::invalid(format!(
                    "`{name}` has no address on the network `{network}`"
                ))
            })
        })
    }

    /// Its addresses on this network, IPv4 first; none if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: somebody removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Network};
    /// # async fn test(back: &Network, db: &Container) -> netcheck_testkit::Result<()> {
    /// let all = db.addresses(back).await?;
    /// assert_eq!(all.len(), 2, "IPv4 and IPv6");
    /// # Ok(())
    /// # }
    /// ```
    pub fn addresses(&self, network: &Network) -> Doing<Vec<IpAddr>> {
        let inspected = self.inspect();
        let network = network.id().to_owned();
        Doing::new(async move {
            let settings = inspected.await?.network_settings.and_then(|s| s.networks);
            Ok(settings
                .unwrap_or_default()
                .into_values()
                .filter(|endpoint| endpoint.network_id.as_deref() == Some(&*network))
                .flat_map(|endpoint| [endpoint.ip_address, endpoint.global_ipv6_address])
                .filter_map(|address| address?.parse().ok())
                .collect())
        })
    }

    /// Where the test process reaches a published port.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: the port is not published, or the container does not run.
    /// [`Error::Api`]: somebody removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, tcp};
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// let at = db.endpoint(tcp(3306)).await?;
    /// std::net::TcpStream::connect(at).unwrap();
    /// # Ok(())
    /// # }
    /// ```
    pub fn endpoint(&self, port: Port) -> Doing<SocketAddr> {
        let inspected = self.inspect();
        let (name, host) = (
            self.name().to_owned(),
            self.lab.engine.client.host().to_owned(),
        );
        Doing::new(async move {
            let ports = inspected.await?.network_settings.and_then(|s| s.ports);
            let bindings = ports
                .unwrap_or_default()
                .remove(&port.to_string())
                .flatten();
            bindings
                .unwrap_or_default()
                .into_iter()
                .filter_map(|binding| start::reachable(&binding, &host))
                .min_by_key(SocketAddr::is_ipv6)
                .ok_or_else(|| {
                    Error::invalid(format!("`{name}` does not publish {port}, or does not run"))
                })
        })
    }

    /// The last lines of its output, standard output and standard error together, without control
    /// characters.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: somebody removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// assert!(db.logs(50).await?.contains("ready for connections"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn logs(&self, lines: usize) -> Doing<String> {
        let (lab, id) = (Arc::clone(&self.lab), self.id().to_owned());
        self.lab.job(async move {
            let logs = start::logs(&lab, &id, lines).await?;
            Ok(logs.lines().map(|line| clean(line) + "\n").collect())
        })
    }

    /// Runs a command in it, to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: it does not run, or there is no such program (some engines tell that by exit
    /// code 126 or 127 instead).
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// let done = db.exec(["mysqladmin", "ping"]).await?;
    /// assert_eq!(done.code, 0, "{}", done.stderr);
    /// # Ok(())
    /// # }
    /// ```
    pub fn exec<W: Into<String>>(&self, words: impl IntoIterator<Item = W>) -> Doing<Output> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::exec(&lab, &record, words).await })
    }

    /// Stops it: SIGTERM, and after `grace` (in whole seconds, rounded down) SIGKILL.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: somebody removed it. One that does not run is no error.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// db.stop(Duration::from_secs(10)).await?;
    /// db.start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self, grace: Duration) -> Doing<()> {
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::stop(&lab, &record, grace).await })
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: it does not run.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refusal, Container, Lab, tcp};
    /// # async fn test(lab: &Lab, db: &Container) -> netcheck_testkit::Result<()> {
    /// db.kill().await?;
    /// lab.from("app").to("mysql-db", tcp(3306)).must_not_connect(Refusal::Any).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn kill(&self) -> Doing<()> {
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::kill(&lab, &record).await })
    }

    /// Starts it (again); returns when the engine has started it, whether or not it is ready.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: e.g. its host port is taken by now, or somebody removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, tcp};
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// db.kill().await?;
    /// db.start().await?;
    /// db.wait_for(tcp(3306), Duration::from_secs(30)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(&self) -> Doing<()> {
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::start_again(&lab, &record).await })
    }

    /// Waits until this port takes connections from the network.
    ///
    /// # Errors
    ///
    /// [`Error::NotReady`], with the end of its output: nobody listened within `time`, or it ended.
    /// [`Error::Api`]: somebody removed it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, tcp};
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// db.wait_for(tcp(3306), Duration::from_secs(30)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for(&self, port: Port, time: Duration) -> Doing<()> {
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::wait_for_port(&lab, &record, port, time).await })
    }

    /// Writes a file into it while it is there, running or not; missing folders are made. The mode
    /// is 0644.
    ///
    /// # Errors
    ///
    /// [`Error::Api`]: its root is read-only, or somebody removed it. [`Error::Invalid`]: the path is
    /// none of a file.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Container;
    /// # async fn test(db: &Container) -> netcheck_testkit::Result<()> {
    /// db.put_file("/tmp/seed.sql", "CREATE DATABASE some;").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_file(&self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Doing<()> {
        let file = (path.into(), content.into(), 0o644);
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::upload(&lab, &record, vec![file]).await })
    }

    /// Removes it now instead of at the end of the lab.
    ///
    /// # Errors
    ///
    /// [`Error::NotRemoved`]: the engine refused. One that somebody removed before is no error.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.get("mysql-db")?.remove().await?;
    /// lab.get("mysql-db").unwrap_err();
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove(self) -> Doing<()> {
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        self.lab
            .job(async move { start::remove(&lab, &record).await })
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.record
    }

    pub(crate) fn declared(&self) -> &[Port] {
        &self.record.declared
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.record.fmt(f)
    }
}

/// A container that was started from a testcontainers request: a [`Container`] that also is the
/// genuine `ContainerAsync`.
///
/// ```no_run
/// # use netcheck_testkit::{Started, Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// use netcheck_testkit::testcontainers::GenericImage;
///
/// let redis: Started<GenericImage> = lab
///     .container("redis", GenericImage::new("redis", "7"))
///     .on(back)
///     .start()
///     .await?;
/// println!("{}", redis.logs(10).await?); // as of any container of the lab
/// # Ok(())
/// # }
/// ```
pub struct Started<I: testcontainers::Image> {
    container: Container,
    genuine: testcontainers::ContainerAsync<I>,
}

impl<I: testcontainers::Image> Started<I> {
    pub(crate) fn new(container: Container, genuine: testcontainers::ContainerAsync<I>) -> Self {
        Self { container, genuine }
    }

    /// Testcontainers' own handle. Dropping it removes nothing: the lab does.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// let redis = lab.container("redis", GenericImage::new("redis", "7")).start().await?;
    /// assert_eq!(redis.testcontainers().id(), redis.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn testcontainers(&self) -> &testcontainers::ContainerAsync<I> {
        &self.genuine
    }

    /// The handle without its type.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// let redis = lab.container("redis", GenericImage::new("redis", "7")).start().await?;
    /// let plain: Container = redis.container().clone();
    /// # Ok(())
    /// # }
    /// ```
    pub fn container(&self) -> &Container {
        &self.container
    }
}

impl<I: testcontainers::Image> std::ops::Deref for Started<I> {
    type Target = Container;

    fn deref(&self) -> &Container {
        &self.container
    }
}

impl<I: testcontainers::Image> fmt::Debug for Started<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.container.fmt(f)
    }
}

/// A container of an image of yours: wait strategies, environment, mounts, … come from the
/// testcontainers request.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// use netcheck_testkit::testcontainers::{GenericImage, core::WaitFor};
///
/// let image = GenericImage::new("redis", "7")
///     .with_wait_for(WaitFor::message_on_stdout("Ready to accept connections"));
/// lab.container("redis", image).on(back).start().await?;
/// # Ok(())
/// # }
/// ```
pub struct Image<I: testcontainers::Image> {
    pub(crate) request: testcontainers::ContainerRequest<I>,
}

impl<I: testcontainers::Image> Image<I> {
    pub(crate) fn new(request: testcontainers::ContainerRequest<I>) -> Self {
        Self { request }
    }
}

/// A built-in node: a static program of 1.2 MB that serves what it is told to, and is silent
/// otherwise. Without any service it waits to be looked from.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// lab.node("web").on(back).http(80).start().await?;
/// lab.node("client").on(back).start().await?; // serves nothing
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Node {
    pub(crate) words: Vec<Word>,
    /// What its image says beside its program.
    pub(crate) image: Option<ImageConfig>,
}

/// One word of the node's command line.
#[derive(Debug)]
pub(crate) enum Word {
    /// `service=ADDRESS:PORT`, the address of every family the container has.
    Everywhere(&'static str, u16),
    /// To the letter.
    Plain(String),
}

/// Where a node's service listens: a port (on every address), or an address with a port
/// (`([127, 0, 0, 1], 80)`, a `SocketAddr`).
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// lab.node("db")
///     .on(back)
///     .banner(3306) // everywhere
///     .http(([127, 0, 0, 1], 9104)) // on loopback only
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// On every address of the container.
    Port(u16),
    /// On this address only.
    Address(SocketAddr),
}

impl From<u16> for At {
    fn from(port: u16) -> Self {
        Self::Port(port)
    }
}

impl<T: Into<IpAddr>> From<(T, u16)> for At {
    fn from((address, port): (T, u16)) -> Self {
        Self::Address(SocketAddr::new(address.into(), port))
    }
}

impl From<SocketAddr> for At {
    fn from(at: SocketAddr) -> Self {
        Self::Address(at)
    }
}

impl Builder<Node> {
    /// TCP that sends back what it gets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("echo").on(back).tcp(7).start().await?;
    /// lab.from("app").to("echo", tcp(7)).must_connect().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tcp(self, at: impl Into<At>) -> Self {
        self.serves("tcp", at.into(), crate::tcp)
    }

    /// UDP that sends back what it gets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, udp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("echo").on(back).udp(7).start().await?;
    /// lab.from("app").to("echo", udp(7)).must_connect().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn udp(self, at: impl Into<At>) -> Self {
        self.serves("udp", at.into(), crate::udp)
    }

    /// HTTP that answers any request with status 200 and the caller's address.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("web").on(back).http(80).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn http(self, at: impl Into<At>) -> Self {
        self.serves("http", at.into(), crate::tcp)
    }

    /// TCP that speaks first, as MySQL, SSH and SMTP do, and then sends back what it gets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("mysql-db").on(back).banner(3306).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn banner(self, at: impl Into<At>) -> Self {
        self.serves("banner", at.into(), crate::tcp)
    }

    /// TCP that listens and never accepts; four connections fill its queue.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("stuck").on(back).hang(80).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hang(self, at: impl Into<At>) -> Self {
        self.serves("hang", at.into(), crate::tcp)
    }

    /// TCP that accepts and closes at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refusal, Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("proxy").on(back).close(80).start().await?;
    /// lab.from("app").to("proxy", tcp(80)).must_not_connect(Refusal::Closed).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(self, at: impl Into<At>) -> Self {
        self.serves("close", at.into(), crate::tcp)
    }

    /// TCP on IPv6 only.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let six = lab.network("six").ipv6().create().await?;
    /// lab.node("web").on(&six).v6only(80).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn v6only(self, port: u16) -> Self {
        self.word(format!("v6only=[::]:{port}"))
            .expects(crate::tcp(port))
    }

    /// Waits so long before what follows.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// lab.node("slow").on(back).delay(Duration::from_secs(2)).banner(3306).start().await?;
    /// lab.from("app")
    ///     .to("slow", tcp(3306))
    ///     .within(Duration::from_secs(10))
    ///     .must_connect()
    ///     .await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(self, time: Duration) -> Self {
        self.word(format!("after={}ms", time.as_millis()))
    }

    /// Exits with code 0 after so long, while the rest goes on.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// lab.node("flaky").on(back).tcp(80).exit_after(Duration::from_secs(1)).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn exit_after(self, time: Duration) -> Self {
        self.word(format!("exit-after={}ms", time.as_millis()))
    }

    /// Exits with this code.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("broken").exit(3).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn exit(self, code: u8) -> Self {
        self.word(format!("exit={code}"))
    }

    /// Any word of the node's language (see [`node`](crate::node)).
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("db").on(back).word("tcp=127.0.0.1:3306").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn word(mut self, word: impl Into<String>) -> Self {
        self.source.words.push(Word::Plain(word.into()));
        self
    }

    /// Of an image that says this itself, as a Dockerfile would: `EXPOSE`, `HEALTHCHECK`, `ENV`, ….
    /// (What [`Builder::configure`] sets is the container's own.)
    ///
    /// The image is made at once and without a registry. Like the plain one it stays on the engine
    /// for whoever needs the same again, with the label [`LABEL_IMAGE`](crate::LABEL_IMAGE).
    ///
    /// ```no_run
    /// # fn test(lab: &netcheck_testkit::Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("db")
    ///     .image(|image| image.exposed_ports = Some(vec!["3306/tcp".into()]))
    ///     .banner(3306)
    ///     .start()
    ///     .wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn image(mut self, adjust: impl FnOnce(&mut ImageConfig)) -> Self {
        adjust(self.source.image.get_or_insert_default());
        self
    }

    fn serves(mut self, service: &'static str, at: At, port: fn(u16) -> Port) -> Self {
        let (word, number) = match at {
            At::Port(number) => (Word::Everywhere(service, number), number),
            At::Address(at) => (Word::Plain(format!("{service}={at}")), at.port()),
        };
        if number == 0 {
            self.is_wrong(Error::invalid(format!(
                "`{}`: port 0 serves nobody",
                self.plan.name
            )));
        }
        self.source.words.push(word);
        self.expects(port(number))
    }

    /// Starts it; returns when it is ready: its services answer, unless a word delays them.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`]: the name is taken in this lab, a network beside another mode, an address
    ///   or path that is none, or the start of one it comes after failed.
    /// - [`Error::Api`]: the engine refused, e.g. a host port that is taken.
    /// - [`Error::NotReady`]: it ended, or a service did not listen in time; with its output.
    /// - [`Error::TimedOut`]: one it comes after was not ready in time.
    /// - [`Error::Unsupported`]: the engine runs another architecture than the kit was built for.
    /// - [`Error::Engine`]: it does not take the nodes' image.
    ///
    /// A container whose start failed is removed at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let db = lab.node("mysql-db").on(back).banner(3306).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Doing<Container> {
        let (lab, inner) = (Arc::clone(&self.lab), Arc::clone(&self.lab));
        lab.job(async move { start::node(inner, self.plan, self.source, true).await })
    }

    /// Creates it without starting it.
    ///
    /// # Errors
    ///
    /// Those of `start`, except [`Error::NotReady`].
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let db = lab.node("mysql-db").on(back).banner(3306).create().await?;
    /// lab.from("app").name("mysql-db").must_not_resolve().await;
    /// db.start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(self) -> Doing<Container> {
        let (lab, inner) = (Arc::clone(&self.lab), Arc::clone(&self.lab));
        lab.job(async move { start::node(inner, self.plan, self.source, false).await })
    }
}

impl<I: testcontainers::Image + Send + Sync + 'static> Builder<Image<I>> {
    /// Starts it and waits as its image says, and for the ports of [`Builder::ready`].
    ///
    /// # Errors
    ///
    /// - [`Error::Testcontainers`]: its image cannot be pulled, it cannot be started, or a wait
    ///   condition failed while it runs.
    /// - [`Error::NotReady`]: it ended before its wait conditions were met, or they were not in time
    ///   (its request's startup timeout, else [`Builder::startup_timeout`]); with its output.
    /// - [`Error::Unsupported`]: the request copies files (`with_copy_to`), which only
    ///   testcontainers itself can; use [`Builder::file`].
    /// - [`Error::Invalid`]: as for built-in nodes; the request names a network; or testcontainers
    ///   speaks to another engine than the lab.
    /// - [`Error::Api`]: the engine refused. [`Error::TimedOut`]: one it comes after was not ready in
    ///   time.
    ///
    /// A container whose start failed is removed at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// let redis = lab
    ///     .container("redis", GenericImage::new("redis", "7"))
    ///     .on(back)
    ///     .ready(tcp(6379))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Doing<Started<I>> {
        let (lab, inner) = (Arc::clone(&self.lab), Arc::clone(&self.lab));
        lab.job(async move { crate::adopt::start(inner, self.plan, self.source).await })
    }
}
