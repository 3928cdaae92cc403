//! Moments and errors in the units of the protocol. No operation may wait without a [`Until`].

use std::io;
use std::time::{Duration, Instant};

use netcheck_probe::Errno;

/// The moment at which an operation has to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until(pub(crate) Instant);

impl Until {
    /// `ms` from now, but not later than this moment.
    pub(crate) fn within(self, ms: u32) -> Self {
        self.at_most(Duration::from_millis(ms.into()))
    }

    /// `length` from now, but not later than this moment.
    pub(crate) fn at_most(self, length: Duration) -> Self {
        Self(self.0.min(Instant::now() + length))
    }

    /// What is left, and never zero: the socket calls take zero as "for ever" or as a mistake.
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (left >= Duration::from_micros(1)).then_some(left)
    }

    /// Sleeps for `length`, or until this moment if that comes first.
    pub(crate) fn sleep(self, length: Duration) {
        if let Some(left) = self.left() {
            std::thread::sleep(length.min(left));
        }
    }
}

/// Milliseconds since `start`.
pub(crate) fn since(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX)
}

/// The errno of an error, a time-out of ours being one as well.
pub(crate) fn errno(error: &io::Error) -> Errno {
    match error.raw_os_error() {
        // EAGAIN is how a socket tells that our own waiting time is over.
        Some(11) => Errno::TimedOut,
        Some(raw) => Errno::from_raw(raw),
        None if is_timeout(error) => Errno::TimedOut,
        None => Errno::Other(0),
    }
}

/// Whether only our own waiting time was over.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}
