//! Containers: how they are to be ([`Builder`]), and the handle of one that is there
//! ([`Container`]). Making them is in `start`.

mod image;
mod node;
mod running;

pub use image::{Image, Started};
pub(crate) use node::Word;
pub use node::{At, Node};
pub(crate) use running::Record;
pub use running::{Container, ContainerRef, Output};

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};

use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::network::Endpoint;
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
