//! What can keep the kit from doing what it was asked. A test that fails an assertion panics; it
//! never meets these.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// With the error of this crate.
///
/// ```
/// use netcheck_testkit::{Lab, Result};
///
/// async fn world(lab: &Lab) -> Result<()> {
///     lab.network("back").create().await?;
///     Ok(())
/// }
/// # Ok::<(), netcheck_testkit::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something could not be made, broken, looked at or removed.
///
/// The message says what was being done, to whom and why it failed; [`Error::advice`] says what to
/// do next. Both are in the `Debug` form too, which is what `#[tokio::test]` prints of an `Err`.
///
/// ```
/// # use netcheck_testkit::Error;
/// let error = Error::Unsupported { needs: "nf_tables".into(), why: "the kernel has none".into() };
/// assert!(format!("{error:?}").contains("nf_tables"));
/// ```
#[non_exhaustive]
pub enum Error {
    /// No engine answers, or it cannot be used.
    Engine(Box<netcheck_engine::Error>),
    /// The engine refused or failed.
    Api {
        /// What was being done, as in "creating the network `back`".
        doing: String,
        /// The engine's words.
        why: String,
        /// HTTP status, where there was one: 404 no such thing, 409 conflict, 500 engine.
        status: Option<u16>,
    },
    /// testcontainers failed: an image that cannot be pulled, a wait condition, an exec.
    Testcontainers {
        /// What was being done.
        doing: String,
        /// Its error.
        source: Box<testcontainers::TestcontainersError>,
        /// The last lines of the container's output, if there is a container.
        logs: String,
    },
    /// This needs something that this engine, kernel or platform does not have.
    Unsupported {
        /// What is missing, in a word: `nf_tables`, `CAP_NET_ADMIN`, `IPv6`.
        needs: String,
        /// What was wanted and what the machine said.
        why: String,
    },
    /// A Compose file is wrong, or says something that the kit does not carry out.
    Compose {
        /// The file.
        file: PathBuf,
        /// The service, where it is about one.
        service: Option<String>,
        /// The key, below the service where it is about one: `build`, `ports`; empty for the whole.
        key: String,
        /// What is wrong with it, in a sentence.
        why: String,
    },
    /// A container did not become ready in time, or ended before.
    NotReady {
        /// Its name in the lab.
        name: String,
        /// What it was waited for.
        waited_for: String,
        /// For how long.
        after: Duration,
        /// The last lines of its output, and its state.
        logs: String,
    },
    /// Something did not happen in time.
    TimedOut {
        /// What was being done.
        doing: String,
        /// For how long.
        after: Duration,
    },
    /// A name that nothing in the lab carries.
    Unknown {
        /// `container`, `network`.
        what: &'static str,
        /// As given.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The request makes no sense as it is.
    Invalid {
        /// What is wrong, in a sentence.
        why: String,
    },
    /// The lab has ended; nothing more is made in it.
    Ended,
    /// Something of the lab could not be removed.
    NotRemoved {
        /// Names, and why for each.
        left: Vec<(String, String)>,
    },
}

impl Error {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid { why: why.into() }
    }

    pub(crate) fn api(doing: impl Into<String>, error: &bollard::errors::Error) -> Self {
        let (status, why) = match error {
            bollard::errors::Error::DockerResponseServerError {
                status_code,
                message,
            } => (Some(*status_code), message.trim().to_owned()),
            other => {
                let mut words = other.to_string();
                let mut source = std::error::Error::source(other);
                while let Some(cause) = source {
                    words = format!("{words}: {cause}");
                    source = cause.source();
                }
                (None, words)
            }
        };
        Self::Api {
            doing: doing.into(),
            why,
            status,
        }
    }

    /// What to do next, in a sentence; empty where the message says it all.
    ///
    /// ```
    /// use netcheck_testkit::Error;
    ///
    /// let error = Error::Unknown { what: "container", name: "dp".into(), known: vec!["db".into()] };
    /// assert!(error.advice().contains("the test gave"));
    /// ```
    pub fn advice(&self) -> String {
        match self {
            Self::Engine(error) => format!(
                "{} These tests need an engine (`docker version`); DOCKER_HOST says which.",
                error.advice()
            ),
            Self::Api {
                status: Some(404), ..
            } => "Nothing is pulled for built-in nodes; an image of yours has to be there or be pullable."
                .into(),
            Self::Unsupported { .. } => {
                "`lab.capabilities().await` lists what can be done here; match on `Error::Unsupported` \
                 to let a test go on without it."
                    .into()
            }
            Self::NotReady { .. } => {
                "Give it longer with `.startup_timeout(…)`, or see its output above.".into()
            }
            Self::Unknown { .. } => {
                "Names are those the test gave, not those the engine shows.".into()
            }
            Self::NotRemoved { .. } => "`docker rm -f` and `docker network rm` remove them.".into(),
            _ => String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Api { doing, why, status } => {
                write!(f, "the engine failed while {doing}: {why}")?;
                status.map_or(Ok(()), |status| write!(f, " (status {status})"))
            }
            Self::Testcontainers {
                doing,
                source,
                logs,
            } => {
                write!(f, "testcontainers failed while {doing}: {source}")?;
                with_logs(f, logs)
            }
            Self::Unsupported { needs, why } => write!(f, "{needs} is missing here: {why}"),
            Self::Compose {
                file,
                service,
                key,
                why,
            } => {
                write!(f, "{}: ", file.display())?;
                if let Some(service) = service {
                    write!(f, "service `{service}`: ")?;
                }
                if !key.is_empty() {
                    write!(f, "`{key}`: ")?;
                }
                f.write_str(why)
            }
            Self::NotReady {
                name,
                waited_for,
                after,
                logs,
            } => {
                write!(
                    f,
                    "`{name}` was not ready ({waited_for}) after {:.1} s",
                    after.as_secs_f32()
                )?;
                with_logs(f, logs)
            }
            Self::TimedOut { doing, after } => {
                write!(f, "no end after {:.1} s of {doing}", after.as_secs_f32())
            }
            Self::Unknown { what, name, known } => {
                write!(f, "no {what} `{name}` in this lab")?;
                match known.as_slice() {
                    [] => write!(f, "; it has none"),
                    known => write!(f, "; it has {}", known.join(", ")),
                }
            }
            Self::Invalid { why } => f.write_str(why),
            Self::Ended => f.write_str("this lab has ended"),
            Self::NotRemoved { left } => {
                write!(f, "could not remove")?;
                for (name, why) in left {
                    write!(f, " `{name}` ({why})")?;
                }
                Ok(())
            }
        }
    }
}

fn with_logs(f: &mut fmt::Formatter<'_>, logs: &str) -> fmt::Result {
    if logs.is_empty() {
        return Ok(());
    }
    write!(f, "\n{}", logs.trim_end())
}

/// The message and the advice: `fn test() -> Result<()>` prints an error in this form.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        match self.advice().as_str() {
            "" => Ok(()),
            advice => write!(f, "\n{advice}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Engine(error) => Some(&**error),
            Self::Testcontainers { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

impl From<netcheck_engine::Error> for Error {
    fn from(error: netcheck_engine::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}
