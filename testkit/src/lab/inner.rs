//! What the handles of a lab share, at work: jobs, what is being made, and the end of it all.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::{END, Inner, State};
use crate::container::Container;
use crate::doing::Doing;
use crate::driver;
use crate::error::{Error, Result};
use crate::network;
use crate::owner::{self, LABEL_LAB};
use crate::removal::{self, Which};

impl Inner {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn real_name(&self, name: &str) -> String {
        // What the engine accepts in names; the rest of a test's name is for people.
        let plain: String = name
            .chars()
            .map(|c| match c {
                c if c.is_ascii_alphanumeric() || "_.-".contains(c) => c,
                _ => '-',
            })
            .take(60)
            .collect();
        format!("{}-{}", plain.trim_start_matches(['-', '.', '_']), self.id)
    }

    pub(crate) fn labels(&self, name: &str) -> HashMap<String, String> {
        owner::labels(&self.id, &self.test, name)
    }

    pub(crate) fn container(self: &Arc<Self>, name: &str) -> Result<Container> {
        let state = self.state();
        match state.containers.get(name) {
            Some(record) => Ok(Container::new(Arc::clone(self), Arc::clone(record))),
            None => Err(Error::Unknown {
                what: "container",
                name: name.into(),
                known: state.containers.keys().cloned().collect(),
            }),
        }
    }

    /// Does something of this lab on the kit's thread. If the caller goes away it goes on; if the
    /// lab ends it stops at its next waiting point.
    pub(crate) fn job<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Doing<T> {
        let started = if self.state().ended {
            Err(Error::Ended)
        } else {
            driver::spawn(work)
        };
        if let Ok(job) = &started {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.retain(|job| !job.is_finished());
            jobs.push(job.abort_handle());
        }
        Doing::new(async move {
            match started?.outcome().await {
                None => Err(Error::Ended),
                Some(Ok(result)) => result,
                // Of what the test gave (a closure): it is told where the test waits for it.
                Some(Err(panic)) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Does something for as long as the lab lasts. To be called on the kit's thread.
    pub(crate) fn in_background(
        self: &Arc<Self>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        if self.state().ended {
            return Err(Error::Ended);
        }
        let task = tokio::spawn(work);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push(task.abort_handle());
        Ok(())
    }

    /// The network that the test calls so.
    pub(crate) fn network(&self, name: &str) -> Result<Arc<network::Record>> {
        let state = self.state();
        state
            .networks
            .get(name)
            .cloned()
            .ok_or_else(|| Error::Unknown {
                what: "network",
                name: name.into(),
                known: state.networks.keys().cloned().collect(),
            })
    }

    /// Does something that makes an object of the engine: it is never given up half-way, and the
    /// end of the lab waits for it. To be called on the kit's thread, with work that ends soon.
    pub(crate) async fn making<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        // Both under the lock that the end takes first: nothing begins after it.
        {
            let state = self.state();
            if state.ended {
                return Err(Error::Ended);
            }
            self.making.send_modify(|count| *count += 1);
        }
        // Also if the work panics: the end would wait for it in vain.
        let made = Made(Arc::clone(self));
        let task = tokio::spawn(async move {
            let _made = made;
            work.await
        });
        match task.await {
            Ok(made) => made,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::Ended),
            },
        }
    }

    /// Removes everything, or keeps it.
    pub(super) async fn finish(self: &Arc<Self>, failed: bool) -> End {
        let faults = {
            let mut state = self.state();
            if std::mem::replace(&mut state.ended, true) {
                return End::default();
            }
            std::mem::take(&mut state.faults)
        };
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        for job in jobs {
            job.abort();
        }
        let mut making = self.making.subscribe();
        // An engine that hangs is the reaper's.
        let all_made = making.wait_for(|count| *count == 0);
        let _ = tokio::time::timeout(END / 2, all_made).await;
        let failed = failed || self.failed.load(Ordering::Relaxed);
        if self.keep.keeps(failed) {
            owner::keep(&self.id);
            self.engine.reaper.keep(&self.id);
            for fault in faults {
                fault.heal(self).await.ok();
            }
            return End {
                left: Vec::new(),
                kept: Some(crate::keep::how_to_look(self)),
            };
        }
        drop(faults);
        let which = Which::label(LABEL_LAB, &self.id);
        let removal = removal::remove(&self.engine.client, &which);
        let removed = tokio::time::timeout(END / 2, removal).await;
        let left = removed.unwrap_or_else(|_| {
            let why = format!("the engine did not do it within {:?}", END / 2);
            vec![("everything".to_owned(), why)]
        });
        if left.is_empty() {
            self.engine.reaper.lab_ended(&self.id);
        }
        End { left, kept: None }
    }
}

/// How a lab ended.
#[derive(Default)]
pub(super) struct End {
    /// What could not be removed, and why.
    left: Vec<(String, String)>,
    /// How to look at what was kept, if it was.
    kept: Option<String>,
}

impl End {
    /// Says what was kept; on the caller's thread, as the kit's own belongs to no test.
    pub(super) fn tell(self) -> Vec<(String, String)> {
        if let Some(words) = self.kept {
            crate::keep::tell_in_any_case(&words);
        }
        self.left
    }
}

/// Something is no longer being made.
struct Made(Arc<Inner>);

impl Drop for Made {
    fn drop(&mut self) {
        self.0.making.send_modify(|count| *count -= 1);
    }
}
