//! The engine and its networks, in our words. Data only.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Who answers on the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Docker or podman.
    pub kind: EngineKind,
    /// `20.10.24`.
    pub version: String,
    /// The API version this run spoke.
    pub api_version: String,
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, as Go writes them.
    pub arch: String,
    /// `Debian GNU/Linux 12`, `Docker Desktop`.
    pub operating_system: String,
    /// Runs without root.
    pub rootless: bool,
    /// `IPv4Forwarding` of `info`; may lie on engines from 28 on, the sysctl is better.
    pub ipv4_forwarding: Option<bool>,
}

impl Engine {
    /// In a virtual machine of Docker Desktop: the user's machine is not the engine's host.
    pub fn is_desktop(&self) -> bool {
        self.operating_system.contains("Docker Desktop")
    }

    /// Whether the API it spoke is at least this (1.44 is `(1, 44)`).
    pub fn api_at_least(&self, wanted: (u32, u32)) -> bool {
        let mut parts = self.api_version.split('.').map(str::parse);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= wanted,
            _ => false,
        }
    }
}

/// The families of engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// dockerd.
    Docker,
    /// Podman's Docker-compatible service.
    Podman,
}

/// A network of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hex digits.
    pub id: String,
    /// Not unique on engines before API 1.44.
    pub name: String,
    /// `bridge`, `host`, `null`, `macvlan`, `ipvlan`, `overlay`.
    pub driver: String,
    /// `--internal`: no way out on purpose.
    pub internal: bool,
    /// `--ipv6`.
    pub ipv6: bool,
    /// Subnets with their gateways.
    pub ipam: Vec<Ipam>,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// `com.docker.compose.project` and `.network`; no other label.
    pub compose: BTreeMap<String, String>,
}

impl Network {
    /// The network that containers get when nobody chose one: it has no embedded DNS.
    pub fn is_default_bridge(&self) -> bool {
        self.options
            .get("com.docker.network.bridge.default_bridge")
            .is_some_and(|value| value == "true")
            || (self.driver == "bridge" && (self.name == "bridge" || self.name == "podman"))
    }

    /// Containers on it find each other by name.
    pub fn has_dns(&self) -> bool {
        !self.is_default_bridge() && !matches!(self.driver.as_str(), "host" | "null")
    }

    /// `com.docker.network.bridge.enable_ip_masquerade=false`: what leaves keeps a private source.
    pub fn masquerades(&self) -> bool {
        self.driver == "bridge"
            && !self.internal
            && self
                .options
                .get("com.docker.network.bridge.enable_ip_masquerade")
                .is_none_or(|value| value != "false")
    }

    /// The address lies in one of its subnets.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ipam.iter().any(|ipam| ipam.subnet.contains(&address))
    }
}

/// One subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipam {
    /// In CIDR notation.
    pub subnet: IpNet,
    /// The bridge's own address, where the engine says it.
    pub gateway: Option<IpAddr>,
}
