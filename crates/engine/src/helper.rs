//! The probe in a short-lived container of ours that shares a namespace: works with every engine,
//! near or far.
//!
//! The helper has no privileges: no capability, no new ones, a user that owns nothing, a read-only
//! root without a shell. Only for `--deep` it has two capabilities. It ends by itself when its input ends, i.e. when this process does, and
//! the engine removes it then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use futures_util::StreamExt;
use tokio::sync::OnceCell;

use crate::client::{Client, api_error, status_of};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::image::{LABEL_ROLE, ProbeImage, remove_containers};
use crate::reaper::Reaper;
use crate::session::Session;

/// The label that holds the id of the run a helper belongs to.
pub const LABEL_RUN: &str = "io.netcheck.run";

/// The label that holds the moment, in seconds since 1970, after which a helper belongs to nobody.
pub(crate) const LABEL_EXPIRES: &str = "io.netcheck.expires";

/// A helper that is older than this was left behind by a power cut: no run lasts that long.
const LIFETIME: Duration = Duration::from_secs(600);

/// One run of the tool, which all its helpers are labelled with.
#[derive(Debug)]
pub struct Run {
    id: String,
    reaper_program: Option<Vec<std::ffi::OsString>>,
    reaper: OnceCell<Option<Reaper>>,
    image: OnceCell<Result<(), String>>,
    /// Helpers that were begun and not seen to start: those do not end by themselves.
    unfinished: AtomicUsize,
}

impl Run {
    /// A run with an id of its own. `reaper` is the command line of a program that calls
    /// [`crate::reap`]; it is started before the first helper is made.
    pub fn new(reaper: Option<Vec<std::ffi::OsString>>) -> Self {
        Self {
            id: unique_id(),
            reaper_program: reaper,
            reaper: OnceCell::new(),
            image: OnceCell::new(),
            unfinished: AtomicUsize::new(0),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a helper was, or was about to be, made.
    pub fn made_helpers(&self) -> bool {
        self.reaper.initialized()
    }

    /// Removes what is left of its helpers; for the end of a run that was cut short.
    ///
    /// # Errors
    ///
    /// The engine does not list or remove them in time.
    pub async fn clean_up(&self, client: &Client, deadline: Deadline) -> Result<Vec<String>> {
        remove_containers(client, &format!("{LABEL_RUN}={}", self.id), deadline).await
    }

    /// Tells the reaper that nothing is left to do; where a helper may be left that never started,
    /// the reaper is left to its work.
    pub fn finish(self) {
        let unfinished = self.unfinished.into_inner();
        if let (Some(Some(reaper)), 0) = (self.reaper.into_inner(), unfinished) {
            reaper.dismiss();
        }
    }

    async fn watch(&self, client: &Client) {
        self.reaper
            .get_or_init(|| async {
                let program = self.reaper_program.as_ref()?;
                Reaper::spawn(program, client.endpoint(), &self.id).ok()
            })
            .await;
    }
}

/// Time and process id make it unique on a machine, the boot-time randomness of ASLR elsewhere.
fn unique_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let random = RandomState::new().hash_one((now, std::process::id()));
    format!("{:08x}{random:016x}", now as u32)
}

/// What a helper may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Nothing that nobody may not do.
    None,
    /// Read the packet filter and watch packets, for `--deep`.
    Deep,
}

/// Starts the probe beside `network_mode` (`container:ID`, `host`, or a network's id).
pub(crate) async fn open(
    client: &Client,
    run: &Run,
    image: &ProbeImage,
    network_mode: &str,
    rights: Rights,
    deadline: Deadline,
) -> Result<Session, String> {
    run.watch(client).await;
    let start = start(client, run, image, network_mode, rights, deadline);
    tokio::time::timeout_at(deadline.end(), start)
        .await
        .map_err(|_| "the helper container was not up in time".to_owned())?
}

async fn start(
    client: &Client,
    run: &Run,
    image: &ProbeImage,
    network_mode: &str,
    rights: Rights,
    deadline: Deadline,
) -> Result<Session, String> {
    let words = |doing: &str, error: &bollard::errors::Error| {
        api_error(client.host(), doing, error).to_string()
    };
    let create = || {
        let options = CreateContainerOptionsBuilder::new().build();
        client
            .docker
            .create_container(Some(options), body(run, image, network_mode, rights))
    };
    let doing = "making a helper container";
    // From here on a container may be there, even if nobody hears of it.
    run.unfinished.fetch_add(1, Ordering::Relaxed);
    let not_made = |error: &bollard::errors::Error| {
        if status_of(error).is_some() {
            run.unfinished.fetch_sub(1, Ordering::Relaxed);
        }
    };
    // Nearly always the image is there already, and asking first would cost a call.
    let created = match create().await {
        Err(error) if status_of(&error) == Some(404) && !is_about_a_container(&error) => {
            let loaded = run
                .image
                .get_or_init(|| async {
                    // A little earlier than the rest, so that this is the reason that is told.
                    image
                        .load(client, deadline.earlier(Duration::from_millis(20)))
                        .await
                        .map_err(|error| error.to_string())
                })
                .await;
            if let Err(why) = loaded {
                not_made(&error);
                return Err(why.clone());
            }
            create().await
        }
        other => other,
    };
    let created = created.map_err(|error| {
        not_made(&error);
        words(doing, &error)
    })?;
    let attach = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .build();
    let streams = client
        .docker
        .attach_container(&created.id, Some(attach))
        .await
        .map_err(|error| words("attaching to a helper container", &error))?;
    client
        .docker
        .start_container(&created.id, None)
        .await
        .map_err(|error| words("starting a helper container", &error))?;
    run.unfinished.fetch_sub(1, Ordering::Relaxed);
    let output = streams.output.filter_map(|part| async {
        match part {
            Ok(LogOutput::StdOut { message } | LogOutput::Console { message }) => {
                Some(Ok(message.to_vec()))
            }
            Ok(LogOutput::StdErr { message }) => {
                let words = String::from_utf8_lossy(&message).trim().to_owned();
                Some(Err(format!("the probe failed: {words}")))
            }
            Ok(LogOutput::StdIn { .. }) => None,
            Err(error) => Some(Err(format!("the helper's output broke off: {error}"))),
        }
    });
    Ok(Session::new(streams.input, Box::pin(output), None))
}

/// A 404 for the namespace to join, not for the image.
fn is_about_a_container(error: &bollard::errors::Error) -> bool {
    let words = error.to_string().to_lowercase();
    words.contains("no such container") || words.contains("network ")
}

fn body(run: &Run, image: &ProbeImage, network_mode: &str, rights: Rights) -> ContainerCreateBody {
    // Only root gets what is added, and may read /proc/net/ip_tables_names.
    let (user, added) = match rights {
        // Nobody: the questions need no user's rights.
        Rights::None => ("65534:65534", None),
        Rights::Deep => (
            "0:0",
            Some(vec!["NET_ADMIN".to_owned(), "NET_RAW".to_owned()]),
        ),
    };
    let expires = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        + LIFETIME;
    let labels = [
        (LABEL_ROLE, "helper".to_owned()),
        (LABEL_RUN, run.id.clone()),
        (LABEL_EXPIRES, expires.as_secs().to_string()),
    ];
    ContainerCreateBody {
        image: Some(image.tag().to_owned()),
        labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
        user: Some(user.into()),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(true),
        // Its input ends when the attached stream does, and with it the probe.
        stdin_once: Some(true),
        tty: Some(false),
        host_config: Some(HostConfig {
            network_mode: Some(network_mode.to_owned()),
            auto_remove: Some(true),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".into()]),
            cap_add: added,
            security_opt: Some(vec!["no-new-privileges".into()]),
            log_config: Some(HostConfigLogConfig {
                typ: Some("none".into()),
                config: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
