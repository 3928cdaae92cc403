//! Why something could not be done, in the words of the protocol. An error never says less than
//! what was being done and what the system answered.

use std::fmt::Display;

use netcheck_fault::{Answer, READING_REQUEST, Unsupported};

/// Nothing was changed, because of this.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// The kernel or the rights do not allow it.
    Unsupported(Unsupported),
    /// Anything else.
    Failed { doing: String, why: String },
}

impl Trouble {
    /// A feature or capability is missing.
    pub(crate) fn unsupported(needs: &str, why: impl Display) -> Self {
        Self::Unsupported(Unsupported {
            needs: needs.to_owned(),
            why: why.to_string(),
        })
    }

    /// Something went wrong.
    pub(crate) fn failed(doing: impl Into<String>, why: impl Display) -> Self {
        Self::Failed {
            doing: doing.into(),
            why: why.to_string(),
        }
    }

    /// The request asks for what makes no sense.
    pub(crate) fn request(why: impl Display) -> Self {
        Self::failed(READING_REQUEST, why)
    }
}

impl From<Trouble> for Answer {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unsupported(unsupported) => Self::Unsupported(unsupported),
            Trouble::Failed { doing, why } => Self::Error { doing, why },
        }
    }
}

/// The usual result of this program.
pub(crate) type Result<T> = std::result::Result<T, Trouble>;
