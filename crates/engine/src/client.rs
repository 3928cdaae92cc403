//! The connection to an engine: address, API version, and what kind of engine it is.
//!
//! Every request after the first carries the negotiated version in its path; bollard 0.21 drops it
//! (see the pin in the workspace's Cargo.toml). It must never ask for more than the engine's maximum.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::models::SystemVersion;
use bollard::{API_DEFAULT_VERSION, Docker};
use netcheck_diagnose::clean::clean;
use netcheck_diagnose::evidence::EngineKind;

use crate::deadline::Deadline;
use crate::dial::Dial;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};

/// Where the engine listens when nobody says otherwise.
#[cfg(not(windows))]
pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// Where the engine listens when nobody says otherwise.
#[cfg(windows)]
pub const DEFAULT_HOST: &str = "npipe:////./pipe/docker_engine";

/// The newest API whose answers our models know (bollard's own).
const NEWEST_API: (u32, u32) = (1, 53);

/// An engine that has answered.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) docker: Docker,
    pub(crate) host: String,
    /// How `host` was reached.
    pub(crate) endpoint: Endpoint,
    pub(crate) version: SystemVersion,
    pub(crate) api_version: String,
    pub(crate) kind: EngineKind,
    /// The process that serves the unix socket, when it is one on this machine.
    pub(crate) peer: Option<i32>,
    /// See [`Client::among`].
    pub(crate) among: Option<(String, String)>,
}

/// An address in one of the CLI's spellings.
enum Address {
    Unix(PathBuf),
    Tcp(String),
    Through(Dial),
}

impl Client {
    /// Connects to the engine at `host` (`unix:///PATH`, `tcp://HOST:PORT`, `HOST:PORT`) and agrees
    /// on an API version; `pinned` is the user's `DOCKER_API_VERSION`.
    ///
    /// # Errors
    ///
    /// The address is unusable, nobody answers there in time, the answer is unreadable, or it is
    /// an engine for Windows containers.
    pub async fn connect(host: &str, pinned: Option<&str>, deadline: Deadline) -> Result<Self> {
        Self::connect_to(&Endpoint::direct(host), pinned, deadline).await
    }

    /// The same for an endpoint, which may have to be reached through the docker CLI.
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`]; the reason of a connection through the docker CLI is the CLI's.
    pub async fn connect_to(
        endpoint: &Endpoint,
        pinned: Option<&str>,
        deadline: Deadline,
    ) -> Result<Self> {
        let host = endpoint.host.as_str();
        let address = match &endpoint.through {
            Some(command) => Address::Through(Dial::new(command)),
            None => parse_host(host)?,
        };
        // The engine's own silence is bounded by the run's deadline, not by the transport's.
        let transport_timeout = 3600;
        let mut peer = None;
        let docker = match &address {
            Address::Unix(path) => {
                peer = check_socket(host, path, deadline).await?;
                Docker::connect_with_unix(
                    &path.to_string_lossy(),
                    transport_timeout,
                    API_DEFAULT_VERSION,
                )
            }
            Address::Tcp(authority) => Docker::connect_with_http(
                &format!("tcp://{authority}"),
                transport_timeout,
                API_DEFAULT_VERSION,
            ),
            Address::Through(dial) => through(dial, transport_timeout),
        }
        .map_err(|error| Error::BadHost {
            host: clean(host),
            why: error.to_string(),
        })?;
        let doing = "asking for its version";
        let version = match tokio::time::timeout_at(deadline.end(), docker.version()).await {
            Err(_) => {
                return Err(Error::TimedOut {
                    doing: doing.into(),
                    after: deadline.whole(),
                });
            }
            Ok(Err(error)) => {
                let error = connection_error(host, doing, &error);
                return Err(match &address {
                    Address::Through(dial) => with_reason(error, &dial.reason(deadline).await),
                    _ => error,
                });
            }
            Ok(Ok(version)) => version,
        };
        let os = version.os.as_deref().unwrap_or_default();
        if !os.is_empty() && os != "linux" {
            return Err(Error::NotLinux { os: clean(os) });
        }
        let api_version = agree(&version, pinned)?;
        let prefix = format!("/v{api_version}");
        let docker = docker.with_request_modifier(move |mut request| {
            let path = request.uri().path_and_query().map_or("/", |pq| pq.as_str());
            let mut parts = request.uri().clone().into_parts();
            // A path that is one with a prefix is one without it.
            parts.path_and_query = format!("{prefix}{path}").parse().ok();
            if let Ok(uri) = http::Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
            request.headers_mut().insert(
                http::header::USER_AGENT,
                http::HeaderValue::from_static(concat!(
                    "docker-netcheck/",
                    env!("CARGO_PKG_VERSION")
                )),
            );
            request
        });
        let podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name.to_ascii_lowercase().contains("podman"));
        Ok(Self {
            docker,
            host: host.to_owned(),
            endpoint: endpoint.clone(),
            api_version,
            kind: if podman {
                EngineKind::Podman
            } else {
                EngineKind::Docker
            },
            peer,
            version,
            among: None,
        })
    }

    /// Which kind of engine it is.
    pub fn kind(&self) -> EngineKind {
        self.kind
    }

    /// The same engine, with nobody on it but the containers that carry a label, and those that
    /// share a network of the user's with one of them: for tests, whose neighbours on the engine
    /// are other tests with the same names.
    #[must_use]
    pub fn among(&self, label: &str, value: &str) -> Self {
        Self {
            among: Some((label.to_owned(), value.to_owned())),
            ..self.clone()
        }
    }

    /// The connection itself, for calls of one's own: it speaks the negotiated API version. Its
    /// own time-out is an hour, so bound each call by a [`Deadline`].
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The address it is connected to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How it is connected to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The engine's version, e.g. `20.10.24`.
    pub fn engine_version(&self) -> &str {
        self.version.version.as_deref().unwrap_or("unknown")
    }

    /// The API version that is spoken.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// The engine's architecture, as Go writes it.
    pub fn architecture(&self) -> &str {
        self.version.arch.as_deref().unwrap_or_default()
    }

    /// One call of the API under the deadline.
    pub(crate) async fn call<T>(
        &self,
        deadline: Deadline,
        doing: &str,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T> {
        match tokio::time::timeout_at(deadline.end(), call).await {
            Err(_) => Err(Error::TimedOut {
                doing: doing.into(),
                after: deadline.whole(),
            }),
            Ok(Err(error)) => Err(api_error(&self.host, doing, &error)),
            Ok(Ok(value)) => Ok(value),
        }
    }
}

/// The docker CLI's connections under bollard's requests.
fn through(dial: &Dial, timeout: u64) -> std::result::Result<Docker, ApiError> {
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build(dial.clone());
    Docker::connect_with_custom_transport(
        move |request: bollard::BollardRequest| {
            let answer = client.request(request);
            async move { answer.await.map_err(ApiError::from) }
        },
        // Only HTTP's Host header sees it, and the engine does not look at that.
        Some("http://docker"),
        timeout,
        API_DEFAULT_VERSION,
    )
}

/// What the docker CLI said is the reason; that its pipe ended says nothing.
fn with_reason(error: Error, said: &str) -> Error {
    match error {
        Error::Unreachable { host, .. } if !said.is_empty() => Error::Unreachable {
            host,
            why: clean(&netcheck_diagnose::redact::text(
                &said.lines().map(str::trim).collect::<Vec<_>>().join(" "),
            )),
        },
        other => other,
    }
}

fn parse_host(host: &str) -> Result<Address> {
    let bad = |why: &str| Error::BadHost {
        host: clean(host),
        why: why.into(),
    };
    let host = host.trim();
    if let Some(path) = host.strip_prefix("unix://") {
        let path = if path.is_empty() {
            "/var/run/docker.sock"
        } else {
            path
        };
        if !path.starts_with('/') {
            return Err(bad(
                "the path of a unix socket begins with a slash (unix:///PATH)",
            ));
        }
        return Ok(Address::Unix(path.into()));
    }
    let authority = match host.split_once("://") {
        Some(("tcp" | "http", rest)) => rest,
        Some(("ssh" | "npipe" | "fd" | "https", _)) => {
            return Err(bad(
                "only the docker command line can connect to this kind of address",
            ));
        }
        Some(_) => return Err(bad("unknown scheme")),
        None => host,
    };
    let authority = authority.trim_end_matches('/');
    let (name, port) = authority
        .rsplit_once(':')
        .ok_or_else(|| bad("a port is missing (tcp://HOST:PORT)"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(bad("the host name is missing or malformed"));
    }
    match port.parse::<u32>() {
        Ok(1..=65535) => Ok(Address::Tcp(authority.to_owned())),
        Ok(_) => Err(bad("ports go from 1 to 65535")),
        Err(_) => Err(bad("the port is not a number")),
    }
}

/// The transport hides why a socket cannot be opened; a connect of our own says it, and who answers.
#[cfg(unix)]
async fn check_socket(host: &str, path: &Path, deadline: Deadline) -> Result<Option<i32>> {
    let connect = tokio::net::UnixStream::connect(path);
    match tokio::time::timeout_at(deadline.end(), connect).await {
        Err(_) => Err(Error::TimedOut {
            doing: "connecting to its socket".into(),
            after: deadline.whole(),
        }),
        Ok(Ok(stream)) => Ok(stream.peer_cred().ok().and_then(|peer| peer.pid())),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(Error::NotPermitted { host: clean(host) })
        }
        Ok(Err(error)) => Err(Error::Unreachable {
            host: clean(host),
            why: match error.kind() {
                io::ErrorKind::NotFound => "the socket does not exist".into(),
                io::ErrorKind::ConnectionRefused => "nobody listens on the socket".into(),
                _ => error.to_string(),
            },
        }),
    }
}

#[cfg(not(unix))]
async fn check_socket(host: &str, _: &Path, _: Deadline) -> Result<Option<i32>> {
    Err(Error::BadHost {
        host: clean(host),
        why: "unix sockets are not supported on this system".into(),
    })
}

/// The highest version both know, or the one the user pinned.
fn agree(version: &SystemVersion, pinned: Option<&str>) -> Result<String> {
    let read = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.trim().split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let written = version.api_version.as_deref().unwrap_or_default();
    let server = read(written).ok_or_else(|| Error::Api {
        doing: "asking for its version".into(),
        why: format!("`{}` is no API version", clean(written)),
    })?;
    let chosen = match pinned.filter(|pin| !pin.is_empty()) {
        None => server.min(NEWEST_API),
        Some(pin) => {
            let wrong = |why: String| Error::ApiVersion {
                wanted: clean(pin),
                why,
            };
            let wanted = read(pin.trim_start_matches('v'))
                .ok_or_else(|| wrong("it is not of the form 1.41".into()))?;
            if wanted > server {
                return Err(wrong(format!(
                    "the engine knows at most {}.{}",
                    server.0, server.1
                )));
            }
            let least = version.min_api_version.as_deref().and_then(read);
            if let Some(least) = least.filter(|least| wanted < *least) {
                return Err(wrong(format!(
                    "the engine takes at least {}.{}",
                    least.0, least.1
                )));
            }
            wanted
        }
    };
    Ok(format!("{}.{}", chosen.0, chosen.1))
}

fn connection_error(host: &str, doing: &str, error: &ApiError) -> Error {
    match api_error(host, doing, error) {
        Error::Api { why, .. } if !answered(error) => Error::Unreachable {
            host: clean(host),
            why,
        },
        other => other,
    }
}

/// Whether the engine said anything, however unreadable.
fn answered(error: &ApiError) -> bool {
    !matches!(
        error,
        ApiError::HyperLegacyError { .. }
            | ApiError::IOError { .. }
            | ApiError::SocketNotFoundError(_)
    )
}

/// An API error in our words.
pub(crate) fn api_error(host: &str, doing: &str, error: &ApiError) -> Error {
    let why = match error {
        ApiError::DockerResponseServerError {
            status_code,
            message,
        } => {
            let message = netcheck_diagnose::redact::text(message.trim());
            if message.is_empty() {
                format!("status {status_code}")
            } else {
                format!("{} (status {status_code})", clean(&message))
            }
        }
        ApiError::JsonDataError { message, .. } => {
            format!(
                "its answer is not the JSON it should be: {}",
                clean(message)
            )
        }
        ApiError::JsonSerdeError { err } => {
            format!(
                "its answer is not the JSON it should be: {}",
                clean(&err.to_string())
            )
        }
        ApiError::RequestTimeoutError => {
            return Error::TimedOut {
                doing: doing.into(),
                after: Duration::from_secs(3600),
            };
        }
        // What the layers in between are called is nobody's matter.
        ApiError::HyperLegacyError { err } => {
            let mut cause: &dyn std::error::Error = err;
            while let Some(source) = cause.source() {
                cause = source;
            }
            clean(&cause.to_string())
        }
        other => {
            let mut words = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                let cause_words = cause.to_string();
                if !words.contains(&cause_words) {
                    words = format!("{words}: {cause_words}");
                }
                source = cause.source();
            }
            clean(&words)
        }
    };
    if why.contains("Permission denied") {
        return Error::NotPermitted { host: clean(host) };
    }
    Error::Api {
        doing: doing.into(),
        why,
    }
}

/// The HTTP status of an API error, if it is one.
pub(crate) fn status_of(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(host: &str, why: &str) {
        match parse_host(host) {
            Err(Error::BadHost { why: said, .. }) => assert!(said.contains(why), "{said}"),
            _ => panic!("`{host}` was taken"),
        }
    }

    #[test]
    fn tells_what_is_wrong_with_an_address() {
        refuses("tcp://localhost", "port is missing");
        refuses("tcp://localhost:70000", "1 to 65535");
        refuses("tcp://localhost:0", "1 to 65535");
        refuses("tcp://localhost:x", "not a number");
        refuses("tcp://:2375", "host name");
        refuses("gopher://x:1", "unknown scheme");
        refuses("unix://docker.sock", "begins with a slash");
        assert!(matches!(parse_host("localhost:2375"), Ok(Address::Tcp(_))));
        assert!(matches!(parse_host("unix://"), Ok(Address::Unix(_))));
    }

    fn version(api: &str, least: &str) -> SystemVersion {
        SystemVersion {
            api_version: Some(api.into()),
            min_api_version: Some(least.into()),
            ..SystemVersion::default()
        }
    }

    #[test]
    fn agrees_on_a_version_that_both_know() {
        assert_eq!(agree(&version("1.41", "1.12"), None).unwrap(), "1.41");
        assert_eq!(agree(&version("1.99", "1.44"), None).unwrap(), "1.53");
        assert_eq!(
            agree(&version("1.41", "1.12"), Some("1.40")).unwrap(),
            "1.40"
        );
        assert_eq!(agree(&version("1.41", "1.12"), Some("")).unwrap(), "1.41");
        assert!(agree(&version("1.41", "1.12"), Some("1.42")).is_err());
        assert!(agree(&version("1.54", "1.40"), Some("1.24")).is_err());
        assert!(agree(&version("1.41", "1.12"), Some("latest")).is_err());
        assert!(agree(&version("", ""), None).is_err());
    }
}
