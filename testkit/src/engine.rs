//! The engine the kit works with: found as testcontainers finds it, connected to once per process,
//! with a reaper beside it. It must never work with another engine than testcontainers does when
//! both take part in a test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bollard::Docker;
use bollard::models::ImageConfig;
use netcheck_diagnose::evidence::EngineKind;
use netcheck_diagnose::evidence::{Viewpoint, Visit};
use netcheck_diagnose::plan::Plan;
use netcheck_engine::{Client, Deadline, ProbeMode, ProgramImage, Run};
use tokio::sync::{Mutex, OnceCell};

use crate::error::{Error, Result};
use crate::owner::LABEL_IMAGE;
use crate::reaper::Reaper;
use crate::removal;

/// How long the engine may take to answer at all.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the way to a probe and back may take: three calls of the engine (inspect, create and
/// start of a helper) where a namespace cannot be entered, and less than 50 ms as a rule.
const WAY: Duration = Duration::from_secs(20);

/// How long an ordinary call may take: on a loaded machine with two cores, starting one of thirty
/// containers at once took 4 s.
pub(crate) const CALL: Duration = Duration::from_secs(60);

/// One engine, shared by all labs of the process.
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) run: Run,
    pub(crate) reaper: Reaper,
    node_image: OnceCell<String>,
    fault_image: OnceCell<String>,
    same_as_testcontainers: OnceCell<()>,
    pub(crate) capabilities: OnceCell<crate::capability::Capabilities>,
}

impl Engine {
    /// Connects, or returns the connection there is. Runs on the kit's thread.
    pub(crate) async fn connect(host: Option<String>) -> Result<Arc<Self>> {
        static ENGINES: OnceLock<Mutex<HashMap<String, Arc<Engine>>>> = OnceLock::new();
        let host = host.unwrap_or_else(usual_host);
        let mut engines = ENGINES.get_or_init(Mutex::default).lock().await;
        if let Some(engine) = engines.get(&host) {
            return Ok(Arc::clone(engine));
        }
        let pinned = std::env::var("DOCKER_API_VERSION").ok();
        let client = Client::connect(&host, pinned.as_deref(), Deadline::after(CONNECT)).await?;
        // A helper that was made and not started is the reaper's, like everything else.
        let run = Run::new(None);
        let reaper = Reaper::start(&host, run.id());
        let engine = Arc::new(Self {
            client,
            run,
            reaper,
            node_image: OnceCell::new(),
            fault_image: OnceCell::new(),
            same_as_testcontainers: OnceCell::new(),
            capabilities: OnceCell::new(),
        });
        engines.insert(host, Arc::clone(&engine));
        // Beside the test, not before it.
        let sweeping = Arc::clone(&engine);
        tokio::spawn(async move { removal::sweep(&sweeping.client).await });
        Ok(engine)
    }

    pub(crate) fn docker(&self) -> &Docker {
        self.client.docker()
    }

    /// Asks from inside; see [`netcheck_engine::look`]. `time` is what the probe has once it is
    /// asked: a slow machine is no answer.
    pub(crate) async fn look(
        &self,
        plan: Plan,
        time: Duration,
    ) -> Vec<(Viewpoint, Result<Visit, String>)> {
        let deadline = Deadline::after(time + WAY).with_answers_within(time);
        // No conversation is kept for the next look: a helper would outlive its lab.
        netcheck_engine::look(&self.client, &self.run, ProbeMode::Auto, plan, deadline).await
    }

    /// The tag of the built-in nodes' image, which the engine then has.
    pub(crate) async fn node_image(&self) -> Result<String> {
        let load = || self.load("netcheck-node", crate::node(), "node", None);
        self.node_image.get_or_try_init(load).await.cloned()
    }

    /// The same for an image that says more than where its program is.
    pub(crate) async fn node_image_with(&self, config: &ImageConfig) -> Result<String> {
        self.load("netcheck-node", crate::node(), "node", Some(config))
            .await
    }

    /// The tag of the faults' image, which the engine then has.
    pub(crate) async fn fault_image(&self) -> Result<String> {
        let load = || self.load("netcheck-fault", netcheck_embedded::fault(), "fault", None);
        self.fault_image.get_or_try_init(load).await.cloned()
    }

    async fn load(
        &self,
        name: &'static str,
        program: Option<&'static [u8]>,
        role: &'static str,
        config: Option<&ImageConfig>,
    ) -> Result<String> {
        let here = netcheck_embedded::ARCHITECTURE;
        let architecture = self.client.architecture();
        let program = program
            .filter(|_| here == architecture)
            .ok_or_else(|| Error::Unsupported {
                needs: format!("{name} for {architecture}"),
                why: format!(
                    "the kit was built with its programs for `{here}`, and the engine runs {architecture}"
                ),
            })?;
        let mut image = ProgramImage::new(name, (LABEL_IMAGE, role), architecture, program);
        if let Some(config) = config {
            let wrong = |error| Error::invalid(format!("the image of a node: {error}"));
            image = image.with(serde_json::to_value(config).map_err(wrong)?);
        }
        if self.docker().inspect_image(image.tag()).await.is_err() {
            image.load(&self.client, Deadline::after(CALL)).await?;
        }
        Ok(image.tag().to_owned())
    }

    /// Fails if testcontainers speaks to another engine than we do: a container of one would be
    /// looked for in vain in the other.
    pub(crate) async fn is_the_one_of_testcontainers(&self) -> Result<()> {
        let compare = || async {
            let doing = "asking the engine who it is";
            let ours = self
                .docker()
                .info()
                .await
                .map_err(|e| Error::api(doing, &e))?;
            let theirs = testcontainers::core::client::docker_client_instance()
                .await
                .map_err(|error| Error::Testcontainers {
                    doing: "connecting to the engine".into(),
                    source: Box::new(error.into()),
                    logs: String::new(),
                })?;
            let theirs = theirs.info().await.map_err(|e| Error::api(doing, &e))?;
            // Podman makes up an id for every answer.
            let same = match self.client.kind() {
                EngineKind::Docker => ours.id == theirs.id,
                EngineKind::Podman => {
                    (&ours.name, &ours.docker_root_dir) == (&theirs.name, &theirs.docker_root_dir)
                }
            };
            if same {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "testcontainers speaks to another engine ({}) than the lab ({} at {}); set DOCKER_HOST for both",
                theirs.name.unwrap_or_default(),
                ours.name.unwrap_or_default(),
                self.client.host()
            )))
        };
        self.same_as_testcontainers
            .get_or_try_init(compare)
            .await
            .copied()
    }
}

/// Where testcontainers 0.28 looks, in its order: `DOCKER_HOST`, the usual socket, the sockets of
/// rootless engines and of Docker Desktop.
fn usual_host() -> String {
    if let Ok(host) = std::env::var("DOCKER_HOST")
        && !host.trim().is_empty()
    {
        return host;
    }
    let from = |variable: &str, path: &str| {
        std::env::var_os(variable).map(|folder| Path::new(&folder).join(path))
    };
    let candidates: [Option<PathBuf>; 4] = [
        Some("/var/run/docker.sock".into()),
        from("XDG_RUNTIME_DIR", ".docker/run/docker.sock"),
        from("HOME", ".docker/run/docker.sock"),
        from("HOME", ".docker/desktop/docker.sock"),
    ];
    candidates
        .into_iter()
        .flatten()
        .find(|path| path.exists())
        .map_or_else(
            || netcheck_engine::DEFAULT_HOST.to_owned(),
            |path| format!("unix://{}", path.display()),
        )
}
