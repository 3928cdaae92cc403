//! The futures of this crate: work that goes on elsewhere, and its result. They need no runtime.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::error::Result;

/// Something the kit is doing on its own thread; `await` it on any executor, or
/// [`wait`](Doing::wait) for it in a plain `#[test]`.
///
/// Dropping it does not stop the work: what it makes belongs to the lab, and goes with it.
///
/// ```no_run
/// # fn main() -> netcheck_testkit::Result<()> {
/// use netcheck_testkit::Lab;
///
/// let lab = Lab::start().wait()?;
/// let back = lab.network("back").create().wait()?;
/// lab.node("db").on(&back).tcp(5432).start().wait()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "it tells of errors only if it is awaited"]
pub struct Doing<T>(Pin<Box<dyn Future<Output = Result<T>> + Send>>);

impl<T> Doing<T> {
    pub(crate) fn new(work: impl Future<Output = Result<T>> + Send + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// Blocks this thread until it is done: the blocking twin of `.await`.
    ///
    /// # Errors
    ///
    /// Those of the work, which the method that began it lists; and of every work
    /// [`Error::Ended`](crate::Error::Ended), if its lab ends before it is done.
    ///
    /// # Panics
    ///
    /// If a closure that was given to the work panics: with its message.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # fn test() -> netcheck_testkit::Result<()> {
    /// let lab = Lab::start().wait()?;
    /// lab.node("db").banner(3306).start().wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(self) -> Result<T> {
        wait(self)
    }
}

impl<T> Future for Doing<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.0.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for Doing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Doing")
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until a future is done that needs no runtime of its own: any future of this
/// crate, and `async` blocks made of such.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Result, tcp, wait};
/// #[test]
/// fn the_database_greets() -> Result<()> {
///     wait(async {
///         let lab = Lab::start().await?;
///         lab.node("db").banner(3306).start().await?;
///         lab.from("db").to("127.0.0.1", tcp(3306)).must_connect().await;
///         lab.end().await
///     })
/// }
/// ```
pub fn wait<F: Future>(work: F) -> F::Output {
    let mut work = pin!(work);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
