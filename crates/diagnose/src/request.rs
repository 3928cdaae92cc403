//! What the user asked for, after the words were understood. Data only.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Full id of the container to diagnose.
    pub container: String,
    /// An outside place the user allowed packets to: `--outbound HOST[:PORT]`.
    pub outbound: Option<Outbound>,
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
