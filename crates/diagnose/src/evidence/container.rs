//! A container as the Engine API describes it, in our words. Data only.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netcheck_probe::Protocol;
use serde::{Deserialize, Serialize};

use super::Fact;
use crate::reference::Reference;

/// A container port, `80/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// TCP or UDP; Docker's SCTP ports are left out of the evidence.
    pub protocol: Protocol,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.as_str())
    }
}

/// One published port: host side and container side.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Binding {
    /// The container's port.
    pub container: Port,
    /// The host address it is bound to; none in a wish that named no address.
    pub host_address: Option<IpAddr>,
    /// The host port; none in a wish that leaves the choice to the engine.
    pub host_port: Option<u16>,
}

/// What the list of containers says, and for the interesting ones the details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// As the user wrote it.
    pub image: String,
    /// `running`, `exited`, …
    pub status: Status,
    /// One per network; addresses are absent while it does not run.
    pub endpoints: Vec<Endpoint>,
    /// Published ports as they are now in force.
    pub published: Vec<Binding>,
    /// `com.docker.compose.project`, `.service` and `.container-number`; no other label.
    pub compose: BTreeMap<String, String>,
    /// Only for the subject of the run, its neighbours, and what they refer to.
    pub detail: Fact<Box<Detail>>,
}

/// The id and the name under which the engine's host stands among the containers of an evidence
/// where it is the one that connects. No id of a container looks like it.
pub const ENGINE_HOST: &str = "host";

impl Container {
    /// The engine's host as the end of a pair that connects: it is on no network as a container is,
    /// has nothing configured, and runs.
    pub fn engine_host() -> Self {
        let detail = Detail {
            state: State {
                exit_code: 0,
                oom_killed: false,
                error: String::new(),
                started_at: None,
                finished_at: None,
                restarts: 0,
                health: None,
                refused_bind: None,
            },
            mode: Mode::Host,
            network_mode: "host".into(),
            links: Vec::new(),
            exposed: Vec::new(),
            wanted: Vec::new(),
            publish_all: false,
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_options: Vec::new(),
            dns_search: Vec::new(),
            references: Vec::new(),
            unjudged: Vec::new(),
            env_names: Vec::new(),
            proxies: Vec::new(),
            proxy_exceptions: BTreeMap::new(),
            health_test: Vec::new(),
            user: String::new(),
            sysctls: BTreeMap::new(),
            pid: 0,
            sandbox_key: String::new(),
            hostname: String::new(),
            run: crate::recreate::Run::default(),
        };
        Self {
            id: ENGINE_HOST.into(),
            name: ENGINE_HOST.into(),
            image: String::new(),
            status: Status::Running,
            endpoints: Vec::new(),
            published: Vec::new(),
            compose: BTreeMap::new(),
            detail: Fact::Known(Box::new(detail)),
        }
    }

    /// Whether it stands for the engine's host.
    pub fn is_engine_host(&self) -> bool {
        self.id == ENGINE_HOST
    }

    /// Its own network namespace holds processes: running, paused or about to be.
    pub fn is_running(&self) -> bool {
        matches!(self.status, Status::Running | Status::Paused)
    }

    /// The details, if they were read.
    pub fn detail(&self) -> Option<&Detail> {
        self.detail.known().map(AsRef::as_ref)
    }

    /// Compose project and service.
    pub fn compose_service(&self) -> Option<(&str, &str)> {
        Some((
            self.compose.get("project")?.as_str(),
            self.compose.get("service")?.as_str(),
        ))
    }

    /// The endpoint on this network.
    pub fn endpoint(&self, network_id: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.network_id == network_id)
    }

    /// Whether one of its endpoints has this address now.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.addresses.contains(&address))
    }
}

/// Container states of the Engine API (`State.Status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Made, never started (or its start failed).
    Created,
    /// Running.
    Running,
    /// Frozen by the cgroup freezer.
    Paused,
    /// Between two starts of a restart policy.
    Restarting,
    /// Being removed.
    Removing,
    /// Stopped.
    Exited,
    /// Could not be removed.
    Dead,
    /// A word this tool does not know.
    Unknown,
}

impl Status {
    /// The engine's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Full id of the network; of a network that may be gone.
    pub network_id: String,
    /// Name of the network as the container's inspect gives it.
    pub network_name: String,
    /// IPv4 first; empty while it does not run.
    pub addresses: Vec<IpAddr>,
    /// Addresses the user asked for (`--ip`, `--ip6`): they survive a restart.
    pub static_addresses: Vec<IpAddr>,
    /// Next hop for outside; empty where there is none.
    pub gateways: Vec<IpAddr>,
    /// Link-layer address.
    pub mac: Option<String>,
    /// What the user asked for with `--network-alias`, without the names that come by themselves.
    pub aliases: Vec<String>,
    /// Every name the embedded DNS should answer with this endpoint: name, aliases, short id,
    /// hostname. Empty on networks without an embedded DNS.
    pub dns_names: Vec<String>,
    /// `--gw-priority` (API 1.48).
    pub gateway_priority: Option<i64>,
}

/// What only `inspect` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Life cycle.
    pub state: State,
    /// How its namespace comes to be.
    pub mode: Mode,
    /// `HostConfig.NetworkMode` as the engine has it: `default`, `bridge`, `my_network`, `none`. It
    /// keeps the network of the creation when the container was disconnected from it since.
    pub network_mode: String,
    /// Names that `--link` writes into /etc/hosts: the other container and its link alias.
    pub links: Vec<String>,
    /// `EXPOSE` and `--expose`.
    pub exposed: Vec<Port>,
    /// What `-p` asked for.
    pub wanted: Vec<Binding>,
    /// `-P`.
    pub publish_all: bool,
    /// `--add-host`, as written.
    pub extra_hosts: Vec<HostsLine>,
    /// `--dns`.
    pub dns: Vec<String>,
    /// `--dns-option`.
    pub dns_options: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// Places in env, command line and labels that name a peer.
    pub references: Vec<Reference>,
    /// Labels whose meaning depends on who reads them: no rule may judge them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unjudged: Vec<Reference>,
    /// Names (never values) of the environment variables.
    pub env_names: Vec<String>,
    /// Names of the variables that send requests to a proxy (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` in any
    /// spelling) and are not empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<String>,
    /// `NO_PROXY` and `no_proxy`, as they are spelled there, with their lists.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub proxy_exceptions: BTreeMap<String, String>,
    /// Who has a health check, and whether it goes to `localhost`; redacted.
    pub health_test: Vec<String>,
    /// Whom its program runs as, of the image or `--user`; empty for root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `--sysctl`.
    pub sysctls: BTreeMap<String, String>,
    /// The process's id on the engine's host; 0 when it does not run.
    pub pid: u32,
    /// Path of its network namespace on the engine's host.
    pub sandbox_key: String,
    /// `--hostname`, or the short id.
    pub hostname: String,
    /// What it takes to start the same container again with one thing changed.
    pub run: crate::recreate::Run,
}

/// `--add-host NAME:ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsLine {
    /// The name.
    pub name: String,
    /// The address, or the word `host-gateway`.
    pub address: String,
}

/// `State` of an inspect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Exit code of the last run.
    pub exit_code: i64,
    /// Killed by the kernel for want of memory.
    pub oom_killed: bool,
    /// Why the engine could not start it; empty otherwise.
    pub error: String,
    /// Seconds since 1970; none if it never started.
    pub started_at: Option<i64>,
    /// Seconds since 1970; none if it never ended.
    pub finished_at: Option<i64>,
    /// How often the restart policy started it again.
    pub restarts: u32,
    /// None without a health check.
    pub health: Option<Health>,
    /// A line at the end of its log that says that it may not bind a port, redacted and cut to 200
    /// characters. Looked for only where that may be; see [`crate::refused_bind`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_bind: Option<String>,
}

/// `State.Health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last check's output, redacted and cut to 200 characters.
    pub last_output: String,
}

/// Network modes of the Engine API (`HostConfig.NetworkMode`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "mode", content = "of")]
pub enum Mode {
    /// A namespace of its own, joined to networks.
    Networks,
    /// The engine's host's namespace.
    Host,
    /// A namespace of its own with nothing in it.
    None,
    /// The namespace of the container with this id or name.
    Container(String),
    /// Rootless podman's user-mode networking; the word.
    User(String),
}

/// A volume or bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Volume name or host path.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// `ro`.
    pub read_only: bool,
}
