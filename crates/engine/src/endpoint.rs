//! Where an engine is and how it is reached. Pure data: it must not connect.

/// The address of an engine, and the docker CLI if only that can connect to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix:///PATH`, `tcp://HOST:PORT`; with [`Endpoint::through`] any address the CLI takes.
    pub host: String,
    /// The docker CLI with its global flags, e.g. `["docker", "--context", "far"]`: the connection
    /// goes through its `system dial-stdio`. For TLS, ssh and pipes.
    pub through: Option<Vec<String>>,
    /// What names this address, for messages: `DOCKER_HOST`, `--context`, `currentContext in FILE`.
    pub named_by: Option<String>,
}

impl Endpoint {
    /// An engine that is connected to without the docker CLI.
    pub fn direct(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            through: None,
            named_by: None,
        }
    }
}
