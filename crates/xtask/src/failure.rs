//! Why a task ended early. A message says what was being done, to whom, why it failed and what to
//! do next.

use std::fmt;

/// The result of nearly everything here.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a task ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A message for the person who typed the command.
    Told(String),
    /// Told to stop by a signal; the exit code that shells expect for it.
    Stopped(u8),
}

impl Failure {
    /// The exit code of the whole task.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Told(_) => 1,
            Self::Stopped(code) => *code,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told(message) => f.write_str(message),
            Self::Stopped(_) => f.write_str("interrupted; what was made has been removed"),
        }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Told(message)
    }
}

/// A [`Failure::Told`] in fewer words.
pub(crate) fn told<T>(message: impl Into<String>) -> Result<T> {
    Err(Failure::Told(message.into()))
}
