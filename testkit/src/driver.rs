//! The kit's own thread and runtime, on which everything that talks to the engine runs.
//!
//! So the caller's runtime does not matter: the futures of this crate wait for an answer and
//! nothing else, on any executor or none; a cancelled future leaves no half-made container that
//! nobody knows of; and `Drop` can wait for the work without entering a runtime, also in a
//! `LocalSet`, during unwinding, or after the test's runtime is gone. It must never wait for the
//! caller's thread.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::error::{Error, Result};

/// The name of the thread, as a debugger shows it (15 bytes at most on Linux).
const THREAD: &str = "netcheck-kit";

/// The runtime, started at first use; it lives as long as the process.
fn handle() -> Result<Handle> {
    static HANDLE: OnceLock<Result<Handle, String>> = OnceLock::new();
    let started = HANDLE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("starting the kit's runtime: {error}"))?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .map_err(|error| format!("starting the kit's thread: {error}"))?;
        Ok(handle)
    });
    started.clone().map_err(Error::invalid)
}

/// Work that was handed over.
pub(crate) struct Job<T> {
    answer: oneshot::Receiver<thread::Result<T>>,
    abort: AbortHandle,
}

impl<T> Job<T> {
    /// Stops it at its next waiting point.
    pub(crate) fn abort_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    /// Its result; none if it was aborted or panicked.
    pub(crate) async fn done(self) -> Option<T> {
        self.outcome().await?.ok()
    }

    /// Its result or what it panicked with; none if it was aborted.
    pub(crate) async fn outcome(self) -> Option<thread::Result<T>> {
        self.answer.await.ok()
    }
}

/// Hands work over; it goes on even if nobody waits for it.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Job<T>> {
    let (tell, answer) = oneshot::channel();
    let task = handle()?.spawn(async move {
        // A panic ends this piece of work and nothing else, as in a task of tokio.
        let outcome = AssertUnwindSafe(work).catch_unwind().await;
        // Nobody may be waiting any more.
        let _ = tell.send(outcome);
    });
    Ok(Job {
        answer,
        abort: task.abort_handle(),
    })
}

/// Hands work over and blocks this thread until it is done, or for so long.
///
/// Never called on the kit's own thread.
pub(crate) fn block<T: Send + 'static>(
    time: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (tell, answer) = sync_channel(1);
    handle().ok()?.spawn(async move {
        let _ = tell.send(work.await);
    });
    answer.recv_timeout(time).ok()
}

/// Whether this is the kit's own thread, which must not wait for itself.
pub(crate) fn is_own_thread() -> bool {
    thread::current().name() == Some(THREAD)
}
