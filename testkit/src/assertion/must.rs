//! An assertion that is awaited, and panics when the answer is no.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::doing::Doing;

/// An assertion under way: `await` it, or [`wait`](Must::wait) for it. Unlike other futures of
/// this crate it panics when the answer is no.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, tcp};
/// # async fn test(lab: &Lab) {
/// let must = lab.from("app").to("mysql-db", tcp(3306)).must_connect();
/// must.await; // or must.wait() in a plain #[test]
/// # }
/// ```
#[must_use = "an assertion asserts nothing until it is awaited"]
#[derive(Debug)]
pub struct Must {
    pub(super) place: &'static Location<'static>,
    pub(super) wanted: String,
    pub(super) job: Doing<Option<String>>,
}

impl Must {
    /// Blocks this thread until it is answered: the blocking twin of `.await`.
    ///
    /// # Panics
    ///
    /// Like `.await`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # fn test(lab: &Lab) {
    /// lab.from("app").to("mysql-db", tcp(3306)).must_connect().wait();
    /// # }
    /// ```
    pub fn wait(self) {
        crate::wait(self);
    }
}

impl Future for Must {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut self.job).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(None)) => Poll::Ready(()),
            Poll::Ready(Ok(Some(told))) => panic!("{}: {}: {told}", self.place, self.wanted),
            Poll::Ready(Err(error)) => panic!("{}: {}: {error:?}", self.place, self.wanted),
        }
    }
}
