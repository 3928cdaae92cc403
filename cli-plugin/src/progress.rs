//! Says what is being done, on standard error, only on a terminal and only when it takes long.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Silence before the first word: most runs are over by then.
const PATIENCE: Duration = Duration::from_millis(700);

/// What is being done now.
#[derive(Clone, Default)]
pub(crate) struct Progress {
    doing: Arc<Mutex<String>>,
}

impl Progress {
    /// Remembers what is being done.
    pub(crate) fn say(&self, doing: &str) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = doing.to_owned();
    }

    /// Shows it while `work` takes long, and wipes it away afterwards.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        if !std::io::stderr().is_terminal() {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        let mut shown = false;
        loop {
            match tokio::time::timeout(PATIENCE, &mut work).await {
                Ok(done) => {
                    if shown {
                        write("\r\x1b[K");
                    }
                    return done;
                }
                Err(_) => {
                    let doing = self
                        .doing
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    write(&format!("\r\x1b[K{doing} …"));
                    shown = true;
                }
            }
        }
    }
}

/// Progress that cannot be shown is no reason to stop.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}
