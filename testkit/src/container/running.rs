//! A container that was made: what is known of it, and what can be done with it. It never decides how one is
//! to be; that is the builder's business.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use netcheck_diagnose::clean::clean;

use crate::doing::Doing;
use crate::error::Error;
use crate::lab::Inner;
use crate::network::Network;
use crate::start;
use crate::target::Port;

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

/// Something that stands for a container: a [`Container`], a [`Started`](crate::Started), or testcontainers' own
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
