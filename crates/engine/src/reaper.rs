//! Removes the helpers of a run whose process ended without doing it, however it ended.
//!
//! A helper ends by itself once its caller is gone; one that was created and not yet started does
//! not. So a second process waits on a pipe: end of file means that the run is over. It must
//! survive whatever kills the run's process group, and touch only containers of that run.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::client::Client;
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::helper::LABEL_RUN;
use crate::image::remove_containers;

/// The byte that tells the reaper that everything was cleaned up.
const DISMISSED: u8 = b'.';

/// The process that waits.
#[derive(Debug)]
pub struct Reaper {
    pipe: ChildStdin,
    _child: Child,
}

impl Reaper {
    /// Starts `program RUN HOST [DOCKER FLAG...]`, which has to call [`reap`].
    pub(crate) fn spawn(program: &[OsString], endpoint: &Endpoint, run: &str) -> io::Result<Self> {
        let (executable, arguments) = program
            .split_first()
            .ok_or_else(|| io::Error::other("no program"))?;
        let mut command = Command::new(executable);
        command
            .args(arguments)
            .args([run, &endpoint.host])
            .args(endpoint.through.iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // A group of its own before it runs: a signal to the whole group of the run, sent at any
        // moment, does not reach it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let pipe = child
            .stdin
            .take()
            .ok_or_else(|| io::Error::other("no pipe"))?;
        Ok(Self {
            pipe,
            _child: child,
        })
    }

    /// Lets it go: everything is cleaned up.
    pub(crate) fn dismiss(mut self) {
        // If the pipe is broken the reaper is gone already.
        let _ = self.pipe.write_all(&[DISMISSED]);
    }
}

/// When to look for leftovers after the run ended: at once, and again for a container whose
/// creation was under way just then. An engine makes one in 20 to 300 ms.
const LOOKS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// The reaper's whole life: waits until standard input ends, then removes the run's containers.
/// Returns at once when it was dismissed.
pub async fn reap(endpoint: &Endpoint, run: &str) {
    #[cfg(unix)]
    // Away from the terminal too; it fails only for a group leader, which has left it already.
    let _ = rustix::process::setsid();
    let mut said = Vec::new();
    let _ = io::stdin().lock().read_to_end(&mut said);
    if said.contains(&DISMISSED) {
        return;
    }
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        let deadline = Deadline::after(Duration::from_secs(5));
        if let Ok(client) = Client::connect_to(endpoint, None, deadline).await {
            // Nobody is left to tell of a failure; the next look tries again.
            let _ = remove_containers(&client, &format!("{LABEL_RUN}={run}"), deadline).await;
        }
    }
}
