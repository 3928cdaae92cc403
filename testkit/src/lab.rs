//! The lab: the scope of one test. It holds what was made in it, and removes all of it at its end,
//! whichever end that is. It must never panic or abort while it is dropped.

mod inner;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::container::{Builder, Container, Image, Node, Record};
use crate::doing::Doing;
use crate::driver;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fault;
use crate::keep::Keep;
use crate::network::{self, Network, NetworkBuilder};
use crate::owner;

/// How long a lab may take to be removed before `Drop` gives up waiting (the reaper goes on).
const END: Duration = Duration::from_secs(60);

/// How long the look at what a failed test had may take: the removal is more important.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The scope of one test: networks, containers and faults that are gone when it ends.
///
/// It ends with [`Lab::end`], or when it is dropped, in whatever way that comes about. Names that
/// the test gives are valid inside the lab only; the engine sees unique ones, so any number of labs
/// may have a `mysql-db` at the same time.
///
/// All futures of this crate run on any executor; the work is done on a thread of the kit's own.
///
/// ```no_run
/// use netcheck_testkit::{Lab, tcp};
///
/// # async fn test() -> netcheck_testkit::Result<()> {
/// let lab = Lab::start().await?;
/// let back = lab.network("back").create().await?;
/// lab.node("mysql-db").on(&back).banner(3306).start().await?;
/// lab.node("app").on(&back).start().await?;
/// lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
/// lab.end().await
/// # }
/// ```
pub struct Lab {
    inner: Arc<Inner>,
}

/// What the handles of a lab share.
pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) test: String,
    pub(crate) engine: Arc<Engine>,
    keep: Keep,
    failed: AtomicBool,
    state: Mutex<State>,
    /// Tells those who wait for a container that there is a new one.
    pub(crate) changed: watch::Sender<u64>,
    jobs: Mutex<Vec<AbortHandle>>,
    /// How many calls that make something are under way.
    making: watch::Sender<usize>,
}

/// What is there.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) ended: bool,
    pub(crate) networks: BTreeMap<String, Arc<network::Record>>,
    pub(crate) containers: BTreeMap<String, Arc<Record>>,
    pub(crate) faults: Vec<Arc<fault::Record>>,
    /// Endpoints that were taken away, by container and network id.
    pub(crate) parked: HashMap<(String, String), bollard::models::EndpointSettings>,
    /// Containers whose start failed, and why; for those who wait for them.
    pub(crate) failed: BTreeMap<String, String>,
}

/// How a lab is to be; see [`Lab::builder`].
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test() -> netcheck_testkit::Result<()> {
/// let lab = Lab::builder().test_name("orders::survive").start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `start` is called and awaited"]
pub struct LabBuilder {
    host: Option<String>,
    test: Option<String>,
    keep: Option<Keep>,
}

impl LabBuilder {
    /// The engine, as `DOCKER_HOST` spells it (`unix:///PATH`, `tcp://HOST:PORT`). By default the
    /// one that testcontainers uses.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::builder().engine("tcp://127.0.0.1:2375").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn engine(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The test's name, for labels and messages. By default the name of the thread, which is what
    /// Rust's test harness makes of it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::builder().test_name("orders::survive").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn test_name(mut self, name: impl Into<String>) -> Self {
        self.test = Some(name.into());
        self
    }

    /// Whether to keep the lab at its end, instead of what `NETCHECK_TESTKIT_KEEP` says.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Keep, Lab};
    /// # async fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::builder().keep(Keep::Always).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Starts it: connects to the engine (once per process, about 10 ms) and makes nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`]: no engine answers, or it is none for Linux containers.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::builder().start().await?;
    /// lab.end().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Doing<Lab> {
        let test = self.test.unwrap_or_else(|| {
            let thread = std::thread::current();
            thread.name().unwrap_or("unnamed").to_owned()
        });
        let keep = self.keep.unwrap_or_else(Keep::from_environment);
        let job = driver::spawn(Engine::connect(self.host));
        Doing::new(async move {
            let engine = job?.done().await.ok_or(Error::Ended)??;
            let id = owner::unique();
            engine.reaper.lab_begins(&id);
            Ok(Lab {
                inner: Arc::new(Inner {
                    id,
                    test,
                    engine,
                    keep,
                    failed: AtomicBool::new(false),
                    state: Mutex::default(),
                    changed: watch::Sender::new(0),
                    jobs: Mutex::default(),
                    making: watch::Sender::new(0),
                }),
            })
        })
    }
}

impl Lab {
    /// A lab with everything as usual.
    ///
    /// # Errors
    ///
    /// [`Error::Engine`]: no engine answers, or it is none for Linux containers.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::start().await?;
    /// lab.end().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start() -> Doing<Self> {
        Self::builder().start()
    }

    /// A lab to be adjusted first.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::builder().test_name("orders::survive").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// Begins a network; `name` is valid in this lab.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.network("back").ipv6().create().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn network(&self, name: impl Into<String>) -> NetworkBuilder {
        NetworkBuilder::new(Arc::clone(&self.inner), name.into())
    }

    /// Begins a built-in node: a tiny server or a silent client that needs no image of yours and
    /// no registry. `name` is its name and its alias on each of its networks.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let db = lab.node("mysql-db").on(back).banner(3306).start().await?;
    /// let app = lab.node("app").on(back).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn node(&self, name: impl Into<String>) -> Builder<Node> {
        Builder::new(Arc::clone(&self.inner), name.into(), Node::default())
    }

    /// The tag of the built-in nodes' image, which the engine then has: for whatever names its image
    /// itself (a Compose file, a plain testcontainers request) where there is no registry. Its
    /// command line is what [`node`](crate::node) says.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`]: the engine runs another architecture. [`Error::Engine`]: it does not
    /// take the image.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::{GenericImage, ImageExt, runners::AsyncRunner};
    ///
    /// let image = lab.node_image().await?;
    /// let (name, tag) = image.split_once(':').unwrap();
    /// let plain = GenericImage::new(name, tag).with_cmd(["tcp=0.0.0.0:80"]).start().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn node_image(&self) -> Doing<String> {
        let engine = Arc::clone(&self.inner.engine);
        self.inner.job(async move { engine.node_image().await })
    }

    /// Begins a container of an image, given as a testcontainers image or request.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use netcheck_testkit::testcontainers::GenericImage;
    ///
    /// let redis = lab.container("redis", GenericImage::new("redis", "7")).on(back).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn container<I: testcontainers::Image>(
        &self,
        name: impl Into<String>,
        request: impl Into<testcontainers::ContainerRequest<I>>,
    ) -> Builder<Image<I>> {
        let source = Image::new(request.into());
        Builder::new(Arc::clone(&self.inner), name.into(), source)
    }

    /// The container that was given this name.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]: there is none, or its start failed.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let db = lab.get("mysql-db")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get(&self, name: &str) -> Result<Container> {
        self.inner.container(name)
    }

    /// All containers, by name.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// for container in lab.containers() {
    ///     println!("{}: {}", container.name(), container.logs(5).await?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn containers(&self) -> Vec<Container> {
        let records: Vec<_> = self.inner.state().containers.values().cloned().collect();
        records
            .into_iter()
            .map(|record| Container::new(Arc::clone(&self.inner), record))
            .collect()
    }

    /// The network that was given this name.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`].
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let back = lab.get_network("back")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_network(&self, name: &str) -> Result<Network> {
        let record = self.inner.network(name)?;
        Ok(Network::new(Arc::clone(&self.inner), record))
    }

    /// The lab's id, as in the label `io.netcheck.testkit.lab` of everything in it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{LABEL_LAB, Lab};
    /// # fn test(lab: &Lab) {
    /// println!("docker ps --filter label={LABEL_LAB}={}", lab.id());
    /// # }
    /// ```
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The name that the engine shows for something that the test calls `name`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// assert_eq!(lab.get("mysql-db")?.real_name(), lab.real_name("mysql-db"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn real_name(&self, name: &str) -> String {
        self.inner.real_name(name)
    }

    /// The connection to the engine, for what the kit does not do. What is made with it belongs to
    /// the lab, and is removed with it, if it carries [`Lab::labels`].
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// let version = lab.docker().version().await.unwrap();
    /// # }
    /// ```
    pub fn docker(&self) -> &bollard::Docker {
        self.inner.engine.docker()
    }

    /// The address of the engine, as `DOCKER_HOST` spells it.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # fn test(lab: &Lab) {
    /// std::process::Command::new("docker").env("DOCKER_HOST", lab.engine_host()).arg("ps");
    /// # }
    /// ```
    pub fn engine_host(&self) -> &str {
        self.inner.engine.client.host()
    }

    /// The labels of something of this lab that the test calls `name`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// use netcheck_testkit::bollard::models::VolumeCreateRequest;
    ///
    /// let volume = VolumeCreateRequest {
    ///     labels: Some(lab.labels("data")),
    ///     ..VolumeCreateRequest::default()
    /// };
    /// lab.docker().create_volume(volume).await.unwrap(); // goes with the lab
    /// # }
    /// ```
    pub fn labels(&self, name: &str) -> HashMap<String, String> {
        self.inner.labels(name)
    }

    /// Remembers that the test failed, for `NETCHECK_TESTKIT_KEEP=on-failure`; a panic is noticed
    /// without it, an `Err` that is returned is not. The attribute does it by itself.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let connects = lab.from("app").to("mysql-db", tcp(3306)).connects().await?;
    /// if !connects {
    ///     lab.mark_failed();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn mark_failed(&self) {
        self.inner.failed.store(true, Ordering::Relaxed);
    }

    /// Ends it and removes everything, telling what could not be removed.
    ///
    /// # Errors
    ///
    /// [`Error::NotRemoved`]; the reaper tries again when the process ends. [`Error::Invalid`]: the
    /// kit's thread cannot be started.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::start().await?;
    /// lab.end().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn end(self) -> Doing<()> {
        let ending = self.end_shared();
        Doing::new(async move {
            // Held until here: dropped earlier, it would end the lab a second time.
            let _lab = self;
            ending.await
        })
    }

    /// The same where others still hold it.
    pub(crate) fn end_shared(&self) -> Doing<()> {
        let inner = Arc::clone(&self.inner);
        let job = driver::spawn(async move { inner.finish(false).await });
        Doing::new(async move {
            let left = match job?.done().await {
                Some(end) => end.tell(),
                None => vec![(
                    "everything".to_owned(),
                    "the kit's own work broke off".into(),
                )],
            };
            if left.is_empty() {
                return Ok(());
            }
            Err(Error::NotRemoved { left })
        })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        if self.inner.state().ended {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let failed = panicking || inner.failed.load(Ordering::Relaxed);
        let work = async move {
            let said = if failed {
                let said = tokio::time::timeout(LAST_WORDS, inner.last_words()).await;
                said.ok().flatten()
            } else {
                None
            };
            (said, inner.finish(failed).await)
        };
        if driver::is_own_thread() {
            // It must not wait for itself.
            let _ = driver::spawn(work);
            return;
        }
        // If the engine does not answer within that time, the reaper is left to its work.
        if let Some((said, end)) = driver::block(END, work) {
            if let Some(said) = said {
                crate::keep::tell(&said);
            }
            end.tell();
        }
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Lab")
            .field("id", &self.id)
            .field("test", &self.test)
            .field("networks", &state.networks.keys())
            .field("containers", &state.containers.keys())
            .finish_non_exhaustive()
    }
}
