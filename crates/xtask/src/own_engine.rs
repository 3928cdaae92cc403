//! A Docker Engine of our own for one task, with everything it keeps in one temporary folder.
//!
//! It is a plain `dockerd` in the machine's own network, so it must be started only where no other
//! engine runs: two would write the same firewall.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::failure::{Failure, Result, told};
use crate::process::{self, Patience};
use crate::{complain, stop};

/// How long it may take until it answers.
const START: Duration = Duration::from_secs(60);

/// How long it may take to stop its containers and itself.
const END: Duration = Duration::from_secs(30);

/// How many lines of its log are shown when it fails.
const LAST_LINES: usize = 8;

/// It ends, and its folder goes, when this is dropped.
pub(crate) struct OwnEngine {
    daemon: Child,
    folder: TempDir,
}

impl OwnEngine {
    /// Starts it and waits until it answers.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Failure::Told(format!(
                "starting a Docker Engine of our own: preparing its folder: {error}"
            ))
        };
        let folder = tempfile::Builder::new()
            .prefix("netcheck-engine-")
            .tempdir()
            .map_err(failed)?;
        let at = |name: &str| folder.path().join(name);
        // An empty configuration: the machine's own may name folders that are not ours.
        fs::write(at("daemon.json"), "{}").map_err(failed)?;
        let log = File::create(at("log")).map_err(failed)?;
        let mut command = Command::new(program);
        for (flag, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(flag).arg(at(name));
        }
        command
            .arg("--host")
            .arg(format!("unix://{}", at("docker.sock").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log);
        let daemon = process::spawn("starting a Docker Engine of our own", &mut command)?;
        let mut engine = Self { daemon, folder };
        engine.wait()?;
        Ok(engine)
    }

    fn wait(&mut self) -> Result<()> {
        let started = Instant::now();
        let socket = self.folder.path().join("docker.sock");
        loop {
            stop::check()?;
            if let Ok(Some(status)) = self.daemon.try_wait() {
                return told(format!(
                    "starting a Docker Engine of our own: dockerd ended ({status}). {}\nStart an \
                     engine by hand, or set DOCKER_HOST to one that runs, then try again",
                    self.last_words()
                ));
            }
            // It takes connections from the moment on which it can answer them.
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return Ok(());
            }
            if started.elapsed() > START {
                return told(format!(
                    "starting a Docker Engine of our own: it does not answer after {} s. {}",
                    START.as_secs(),
                    self.last_words()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where it listens.
    pub(crate) fn host(&self) -> String {
        format!(
            "unix://{}",
            self.folder.path().join("docker.sock").display()
        )
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!("The end of its log:\n{}", last.join("\n"))
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        complain("stopping our own Docker Engine…");
        process::end(&mut self.daemon, END);
        unmount_below(self.folder.path());
        if let Err(error) = fs::remove_dir_all(self.folder.path()) {
            complain(&format!(
                "the folder of our own Docker Engine could not be removed: {}: {error}; remove it by hand",
                self.folder.path().display()
            ));
        }
    }
}

/// Network namespaces and layers that an engine mounted and left behind would keep the folder.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|place| Path::new(place).starts_with(folder));
    for place in below {
        let mut command = Command::new("umount");
        command.args(["--lazy", place]);
        // What cannot be unmounted shows when the folder is removed.
        let _ = process::output(
            "unmounting what our engine left",
            &mut command,
            Patience::TIDYING,
        );
    }
}
