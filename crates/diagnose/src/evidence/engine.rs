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
    /// Where new networks get their subnets from; empty where that is built in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub address_pools: Vec<AddressPool>,
    /// Its part in a swarm, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swarm: Option<SwarmRole>,
}

/// An address pool that is cut into subnets of one size for new networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressPool {
    /// The whole.
    pub base: IpNet,
    /// The prefix length of each subnet.
    pub size: u8,
}

impl AddressPool {
    /// How many networks it is enough for.
    pub fn networks(&self) -> u128 {
        let bits = self.size.saturating_sub(self.base.prefix_len());
        1u128.checked_shl(bits.into()).unwrap_or(u128::MAX)
    }
}

/// The part of an engine in a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwarmRole {
    /// It is in none.
    Outside,
    /// It runs tasks and cannot be asked about services.
    Worker,
    /// It knows the services.
    Manager,
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
    /// `--attachable`: also containers that belong to no service may join an overlay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attachable: bool,
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

    /// Its containers may talk to each other: unless `com.docker.network.bridge.enable_icc=false`, on
    /// the default bridge of an engine that was started with `--icc=false`.
    pub fn lets_talk(&self) -> bool {
        self.options
            .get("com.docker.network.bridge.enable_icc")
            .is_none_or(|value| value != "false")
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
