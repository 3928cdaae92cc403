//! What the user asked for, after the words were understood. Data only.

use std::net::IpAddr;

use netcheck_probe::Protocol;
use serde::{Deserialize, Serialize};

use crate::evidence::Port;

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Full id of the container to diagnose.
    pub container: String,
    /// An outside place the user allowed packets to: `--outbound HOST[:PORT]`.
    pub outbound: Option<Outbound>,
    /// The other end, where a pair is diagnosed: can `container` connect to it?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Further targets of the same run. Each is a pair of its own with `container`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Target>,
    /// What was named as a target beside them and is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// What was left out of the targets, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The words with which a command was refused, redacted: they are what is to be explained then,
    /// and there is no container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl Request {
    /// All targets, in the order they were named.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.target.iter().chain(&self.more)
    }
}

/// A target that cannot be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refused {
    /// As it was typed, without what may be secret.
    pub target: String,
    /// Why not, in a sentence or two.
    pub why: String,
    /// Whose mistake it is.
    pub cause: Cause,
}

/// Why a target cannot be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The words typed are no target.
    Words,
    /// They would be, but the engine has no such container, or several.
    Unknown,
}

/// The other end of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Name or address, as written.
    pub host: String,
    /// The port there. 0 where no port was named and the container that is meant does not run: its
    /// state is the story then.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Full id of the container that `host` most likely means; none if no container is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What the scheme of a URL says about the first words on the connection; none without a scheme
    /// that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talk: Option<Talk>,
}

/// Who speaks first on a connection, and how, as far as a URL's scheme says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Talk {
    /// The server greets before the client says anything: MySQL, SSH, SMTP, FTP.
    ServerFirst,
    /// TLS from the first byte.
    Tls,
}

/// Ports whose servers greet: FTP, SSH, SMTP, submission (RFC 6409), MySQL.
const GREETING_PORTS: [u16; 5] = [21, 22, 25, 587, 3306];

impl Target {
    /// A place; whom it means is found out when the containers are known.
    pub fn new(host: impl Into<String>, port: u16, protocol: Protocol) -> Self {
        Self {
            host: host.into(),
            port,
            protocol,
            container: None,
            talk: None,
        }
    }

    /// Whether a server is expected to speak first, by the scheme or, without one, by the port.
    pub fn expects_greeting(&self) -> bool {
        self.protocol == Protocol::Tcp
            && match self.talk {
                Some(talk) => talk == Talk::ServerFirst,
                None => GREETING_PORTS.contains(&self.port),
            }
    }

    /// Whether it has a port, see the field.
    pub fn has_port(&self) -> bool {
        self.port != 0
    }

    /// The port with its protocol.
    pub fn port(&self) -> Port {
        Port {
            number: self.port,
            protocol: self.protocol,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.has_port() {
            return f.write_str(&self.host);
        }
        write!(f, "{}", place(&self.host, self.port))?;
        // TCP is what a reader expects.
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

/// `db:3306`, `[fd00::2]:3306`.
pub fn place(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// `--outbound HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// Name or address.
    pub host: String,
    /// 443 when not given.
    pub port: u16,
}

impl Outbound {
    /// The host, if it was written as an address.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}
