//! The moment by which a run has to be over. It never waits by itself.

use std::time::{Duration, Instant};

/// A moment, handed down to everything that could take long.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    started: Instant,
    end: Instant,
}

impl Deadline {
    /// From now on.
    pub fn after(time: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            end: started + time,
        }
    }

    /// What is left, possibly nothing.
    pub fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// The same moment, that much earlier.
    #[must_use]
    pub fn earlier(self, by: Duration) -> Self {
        Self {
            end: self.end.checked_sub(by).unwrap_or(self.started),
            ..self
        }
    }

    /// The moment when half of the time is over: for what the rest must not wait for.
    #[must_use]
    pub fn half(self) -> Self {
        Self {
            end: self.started + self.whole() / 2,
            ..self
        }
    }

    /// The moment when this part (in hundredths) of what is left will be over.
    #[must_use]
    pub fn part(self, hundredths: u32) -> Self {
        Self {
            end: Instant::now() + self.left() * hundredths / 100,
            ..self
        }
    }

    /// The whole time that was given.
    pub fn whole(self) -> Duration {
        self.end.saturating_duration_since(self.started)
    }

    /// The moment, for the runtime's timer.
    pub fn end(self) -> tokio::time::Instant {
        self.end.into()
    }
}
