//! What a test of `#[netcheck_testkit::test]` does at run time: start a lab, run the function, end
//! the lab. The function's own outcome must always be the one that is told: an end that fails after
//! it is told beside it, never instead of it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::doing::wait;
use crate::driver;
use crate::keep::{self, Keep};
use crate::lab::Lab;

/// How long an `async fn` whose time is up may take to let go of what it holds. It is dropped at
/// its next waiting point, which one that blocks its thread never reaches.
const LET_GO: Duration = Duration::from_secs(5);

/// How long the description of a failure may take: it asks the engine about each container, which
/// the engine answers in milliseconds unless it hangs itself.
const DESCRIBE: Duration = Duration::from_secs(10);

/// What the attribute knows.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// `module::function`.
    pub name: &'static str,
    /// After which it fails.
    pub timeout: Option<Duration>,
    /// Whether the lab stays.
    pub keep: Option<Keep>,
    /// Whether its runtime has worker threads.
    pub multi_thread: bool,
    /// How many.
    pub worker_threads: Option<usize>,
}

/// What a test may return.
#[diagnostic::on_unimplemented(
    message = "a test of the kit returns nothing or a `Result<(), …>`, not `{Self}`",
    label = "neither `()` nor a `Result<(), …>`"
)]
pub trait Outcome {
    /// What went wrong, in the words of `Debug`, as the harness would print it.
    fn error(self) -> Option<String>;
}

impl Outcome for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Debug> Outcome for Result<(), E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| format!("{error:?}"))
    }
}

/// The body of an `async fn`, borrowing its lab.
pub type Body<'a, R> = Pin<Box<dyn Future<Output = R> + 'a>>;

/// Runs a plain `fn`.
#[track_caller]
pub fn run<R: Outcome + 'static>(test: Test, body: fn(&Lab) -> R) {
    let lab = begin(test);
    let of_body = Arc::clone(&lab);
    let body = move || body(&of_body).error();
    let ran = match test.timeout {
        None => here(body),
        Some(time) => on_own_thread(&lab, time, None, body),
    };
    finish(test, &lab, ran);
}

/// Runs an `async fn` on a runtime of its own.
#[track_caller]
pub fn run_async<R: Outcome + 'static>(test: Test, body: for<'a> fn(&'a Lab) -> Body<'a, R>) {
    let lab = begin(test);
    let of_body = Arc::clone(&lab);
    // The runtime goes before the lab: what the test spawned holds nothing of it any more.
    let ran = match test.timeout {
        None => here(move || runtime(test).block_on(body(&of_body)).error()),
        Some(time) => {
            let (give_up, given_up) = oneshot::channel();
            on_own_thread(&lab, time, Some(give_up), move || {
                runtime(test).block_on(async {
                    tokio::select! {
                        biased;
                        result = body(&of_body) => result.error(),
                        // Told to nobody: who gave up has said so.
                        Ok(()) = given_up => Some("given up".to_owned()),
                    }
                })
            })
        }
    };
    finish(test, &lab, ran);
}

/// How it ended: nothing, or the error it returned.
type Ran = Result<Option<String>, Failure>;

/// Why there is no result.
enum Failure {
    Panic(Box<dyn Any + Send>),
    /// The time is up; what there was at that moment.
    Late(Duration, String),
}

fn begin(test: Test) -> Arc<Lab> {
    let mut builder = Lab::builder().test_name(test.name);
    if let Some(keep) = test.keep {
        builder = builder.keep(keep);
    }
    match builder.start().wait() {
        Ok(lab) => Arc::new(lab),
        Err(error) => panic!("no lab for `{}`: {error:?}", test.name),
    }
}

fn runtime(test: Test) -> Runtime {
    let mut builder = if test.multi_thread {
        Builder::new_multi_thread()
    } else {
        Builder::new_current_thread()
    };
    if let Some(number) = test.worker_threads {
        builder.worker_threads(number);
    }
    match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime for `{}`: {error}", test.name),
    }
}

fn here(body: impl FnOnce() -> Option<String>) -> Ran {
    catch_unwind(AssertUnwindSafe(body)).map_err(Failure::Panic)
}

/// Runs it on a thread that can be left behind, which is the only way to be done with a function
/// that blocks. Its calls of the kit end when the lab does.
fn on_own_thread(
    lab: &Lab,
    time: Duration,
    give_up: Option<oneshot::Sender<()>>,
    body: impl FnOnce() -> Option<String> + Send + 'static,
) -> Ran {
    let (tell, told) = sync_channel(1);
    // By its thread's name the harness says which test panicked.
    let name = thread::current().name().unwrap_or("test").to_owned();
    let spawned = thread::Builder::new().name(name).spawn(move || {
        // After its time nobody listens any more.
        let _ = tell.send(here(body));
    });
    if let Err(error) = spawned {
        panic!("no thread for the test: {error}");
    }
    match told.recv_timeout(time) {
        Ok(ran) => ran,
        // It tells before it ends, also of a panic.
        Err(RecvTimeoutError::Disconnected) => Ok(Some("its thread told nothing".into())),
        Err(RecvTimeoutError::Timeout) => {
            // Before anything of it is dropped: what it waited for is still as it was.
            let said = last_words(lab).unwrap_or_else(|| "Its lab had no container.".into());
            if let Some(give_up) = give_up {
                // It may be over by now, or blocked; both are told as being late.
                let _ = give_up.send(());
                let _ = told.recv_timeout(LET_GO);
            }
            Err(Failure::Late(time, said))
        }
    }
}

/// Ends the lab, and tells what there is to tell.
#[track_caller]
fn finish(test: Test, lab: &Lab, ran: Ran) {
    let failed = !matches!(ran, Ok(None));
    if failed {
        lab.mark_failed();
    }
    if matches!(ran, Ok(Some(_)) | Err(Failure::Panic(_)))
        && let Some(said) = last_words(lab)
    {
        keep::tell(&said);
    }
    if let Err(error) = wait(lab.end_shared()) {
        assert!(
            failed,
            "`{}` passed, and its lab was not removed: {error:?}",
            test.name
        );
        keep::tell(&format!("netcheck-testkit: {error:?}"));
    }
    match ran {
        Ok(None) => {}
        Ok(Some(error)) => panic!("`{}` returned an error: {error}", test.name),
        Err(Failure::Panic(payload)) => resume_unwind(payload),
        Err(Failure::Late(time, said)) => panic!(
            "`{}` did not end within {} s\n{said}",
            test.name,
            time.as_secs_f32()
        ),
    }
}

fn last_words(lab: &Lab) -> Option<String> {
    let inner = Arc::clone(lab.inner());
    driver::block(DESCRIBE, async move { inner.last_words().await }).flatten()
}
