//! A connection through `docker system dial-stdio`: the docker CLI opens it, with its own TLS, ssh
//! and everything it knows of the context, and hands over the bytes.
//!
//! So ssh's configuration, agent and known hosts count as they do for `docker ps`. It must never
//! weaken a check that the CLI makes, and never leave a child behind.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Join, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::deadline::Deadline;

/// The most that is kept of what a child says, in bytes.
const LONGEST_REASON: u64 = 8 * 1024;

/// How long a child that has closed its side may take to say why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// In what `dial-stdio` says when it could not write: only that, and not what ssh said before.
const NOT_WRITTEN: &str = "Copy (stdin to stream)";

/// In what `docker version` says when its ssh ended before the request was written: it then leaves out what
/// ssh said, which it tells only where it was reading (`commandConn` of the CLI's connhelper).
const NOBODY_READS: &str = "broken pipe";

/// Makes the docker CLI connect, whatever it then learns.
const VERSION: [&str; 3] = ["version", "--format", "{{.Server.Version}}"];

/// Opens one connection for each call, by one child.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    command: Vec<String>,
    /// What the newest child says on standard error, once it has ended.
    said: Arc<Mutex<Option<JoinHandle<String>>>>,
}

impl Dial {
    /// `command` is the docker CLI with its global flags; `system dial-stdio` is added.
    pub(crate) fn new(command: &[String]) -> Self {
        Self {
            command: command.to_vec(),
            said: Arc::default(),
        }
    }

    /// Why the newest child ended, in the docker CLI's words; empty if it gives no reason in time.
    pub(crate) async fn reason(&self, deadline: Deadline) -> String {
        let handle = self
            .said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let said = match handle {
            Some(handle) => match tokio::time::timeout(LAST_WORDS, handle).await {
                Ok(Ok(said)) => said.trim().to_owned(),
                _ => String::new(),
            },
            None => return String::new(),
        };
        if !said.is_empty() && !said.contains(NOT_WRITTEN) {
            return said;
        }
        let said = self.ask(deadline, &VERSION, said).await;
        if !said.contains(NOBODY_READS) {
            return said;
        }
        // One that is given nothing to write can only fail while it reads.
        self.ask(deadline, &["system", "dial-stdio"], said).await
    }

    /// What the docker CLI says when it connects for itself; `otherwise` if it says nothing in time.
    async fn ask(&self, deadline: Deadline, words: &[&str], otherwise: String) -> String {
        let Some((program, flags)) = self.command.split_first() else {
            return otherwise;
        };
        let child = Command::new(program)
            .args(flags)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut child) = child else {
            return otherwise;
        };
        // Held open, so that the end of the words is not what ends the connection.
        let _stdin = child.stdin.take();
        match tokio::time::timeout_at(deadline.end(), child.wait_with_output()).await {
            Ok(Ok(output)) if !output.stderr.trim_ascii().is_empty() => {
                String::from_utf8_lossy(&output.stderr).trim().to_owned()
            }
            _ => otherwise,
        }
    }

    fn open(&self) -> io::Result<TokioIo<Pipe>> {
        let (program, flags) = self
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("no docker CLI is named"))?;
        let mut command = Command::new(program);
        command
            .args(flags)
            .args(["system", "dial-stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C is for us: the connection is still needed to clean up.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot start `{program}`, through which this connection goes: {error}"),
            )
        })?;
        let missing = || io::Error::other("no pipe to the docker CLI");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let said = tokio::spawn(async move {
            let mut text = Vec::new();
            // What cannot be read any more adds nothing to the reason.
            let _ = stderr.take(LONGEST_REASON).read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
        Ok(TokioIo::new(Pipe {
            bytes: tokio::io::join(stdout, stdin),
            _child: child,
        }))
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Pipe>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Pipe>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { dial.open() })
    }
}

/// The child's standard streams; the child ends with them.
#[derive(Debug)]
pub(crate) struct Pipe {
    bytes: Join<ChildStdout, ChildStdin>,
    _child: Child,
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_read(context, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }
}
