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
}

/// The other end of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Name or address, as written.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Full id of the container that `host` most likely means; none if no container is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

impl Target {
    /// A place; whom it means is found out when the containers are known.
    pub fn new(host: impl Into<String>, port: u16, protocol: Protocol) -> Self {
        Self {
            host: host.into(),
            port,
            protocol,
            container: None,
        }
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
