//! What keeps a run from being done at all. A broken network is a finding, never an error.

use std::fmt;
use std::time::Duration;

/// With the error of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why nothing could be diagnosed. The message says what was being done, to whom and why it
/// failed; [`Error::advice`] says what to do next.
#[derive(Debug)]
pub enum Error {
    /// The word for an engine's address cannot be understood.
    BadHost {
        /// As given.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers at the engine's address.
    Unreachable {
        /// `unix:///var/run/docker.sock`.
        host: String,
        /// The operating system's reason.
        why: String,
    },
    /// The socket is there, but not for this user.
    NotPermitted {
        /// `unix:///var/run/docker.sock`.
        host: String,
    },
    /// The engine did not answer in time.
    TimedOut {
        /// What was being done, as in "asking the engine for its version".
        doing: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The engine answered with an error or with something unreadable.
    Api {
        /// What was being done.
        doing: String,
        /// The engine's words, or what is wrong with its answer.
        why: String,
    },
    /// The engine runs Windows containers.
    NotLinux {
        /// The engine's `Os`.
        os: String,
    },
    /// The pinned API version cannot be used.
    ApiVersion {
        /// `DOCKER_API_VERSION`.
        wanted: String,
        /// What is wrong with it.
        why: String,
    },
    /// No container has this name or id.
    NoSuchContainer {
        /// As given.
        name: String,
        /// Names that look like it.
        close: Vec<String>,
    },
    /// Several containers' ids begin with this.
    AmbiguousContainer {
        /// As given.
        prefix: String,
        /// Name and short id of each.
        matches: Vec<String>,
    },
    /// Several containers are of this service of Compose.
    AmbiguousService {
        /// As given.
        service: String,
        /// Their names.
        matches: Vec<String>,
    },
    /// It was there, and is gone now.
    Vanished {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadHost { host, why } => {
                write!(f, "cannot use the engine address `{host}`: {why}")
            }
            Self::Unreachable { host, why } => {
                write!(f, "cannot connect to the Docker Engine at {host}: {why}")
            }
            Self::NotPermitted { host } => {
                write!(
                    f,
                    "cannot connect to the Docker Engine at {host}: permission denied"
                )
            }
            Self::TimedOut { doing, after } => write!(
                f,
                "no answer from the Docker Engine within {:.1} s while {doing}",
                after.as_secs_f32()
            ),
            Self::Api { doing, why } => write!(f, "the Docker Engine failed while {doing}: {why}"),
            Self::NotLinux { os } => write!(
                f,
                "the Docker Engine runs {os} containers; only Linux containers can be diagnosed"
            ),
            Self::ApiVersion { wanted, why } => {
                write!(f, "cannot use DOCKER_API_VERSION={wanted}: {why}")
            }
            Self::NoSuchContainer { name, .. } if name.trim().is_empty() => {
                f.write_str("no container: the name is empty")
            }
            Self::NoSuchContainer { name, .. } => write!(f, "no such container: `{name}`"),
            Self::AmbiguousContainer { prefix, matches } => write!(
                f,
                "`{prefix}` is the beginning of {} container ids: {}",
                matches.len(),
                matches.join(", ")
            ),
            Self::AmbiguousService { service, matches } => write!(
                f,
                "`{service}` stands for {} containers: {}",
                matches.len(),
                matches.join(", ")
            ),
            Self::Vanished { name } => {
                write!(
                    f,
                    "the container `{name}` was removed while it was being diagnosed"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    /// What to do next, in a sentence or two.
    pub fn advice(&self) -> String {
        match self {
            Self::BadHost { .. } => {
                "Use unix:///PATH, tcp://HOST:PORT or ssh://HOST in -H or DOCKER_HOST, or leave both away.".into()
            }
            Self::Unreachable { .. } => {
                "Check that the engine runs (`docker version`) and that -H or DOCKER_HOST names the right one."
                    .into()
            }
            Self::NotPermitted { .. } => {
                "Run it as root, or as a member of the group that owns the socket (usually `docker`).".into()
            }
            Self::TimedOut { .. } => {
                "Give it longer with --timeout, or see whether `docker ps` answers.".into()
            }
            Self::NotLinux { .. } => "Switch the engine to Linux containers.".into(),
            Self::ApiVersion { .. } => "Unset DOCKER_API_VERSION; the version is negotiated.".into(),
            Self::NoSuchContainer { close, .. } => match close.as_slice() {
                [] => "`docker ps -a` lists all containers.".into(),
                [one] => format!("Did you mean `{one}`?"),
                many => format!(
                    "Did you mean one of {}?",
                    many.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                ),
            },
            Self::AmbiguousContainer { .. } => "Give more of the id, or the name.".into(),
            Self::AmbiguousService { .. } => {
                "Name one of them; PROJECT/SERVICE and SERVICE-2 work too.".into()
            }
            Self::Api { .. } => {
                "See whether `docker ps` answers, and what the engine's own log says.".into()
            }
            Self::Vanished { .. } => "`docker ps -a` lists the containers there are now.".into(),
        }
    }

    /// Whether the message leaves open which engine it speaks of.
    pub fn names_no_engine(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. }
                | Self::Api { .. }
                | Self::NotLinux { .. }
                | Self::ApiVersion { .. }
        )
    }
}
