//! The moment by which a run has to be over. It never waits by itself.

use std::time::{Duration, Instant};

/// A moment, handed down to everything that could take long.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    started: Instant,
    end: Instant,
    /// See [`Deadline::with_answers_within`].
    answers_within: Option<Duration>,
}

impl Deadline {
    /// From now on.
    pub fn after(time: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            end: started + time,
            answers_within: None,
        }
    }

    /// The same moment, and a probe has at most this long from when it is asked: what it takes to
    /// get to the probe and back is on top, and may be long on a loaded machine.
    #[must_use]
    pub fn with_answers_within(self, time: Duration) -> Self {
        Self {
            answers_within: Some(time),
            ..self
        }
    }

    /// How long a probe that is asked now has, if its answer takes `way_back`.
    pub(crate) fn for_the_probe(self, way_back: Duration) -> Duration {
        let left = self.left().saturating_sub(way_back);
        self.answers_within.map_or(left, |most| most.min(left))
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
