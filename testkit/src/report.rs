//! What a lab looks like: networks, who is on them under which names, who listens where, and which
//! faults are in force; the same text in every run and on every engine.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use netcheck_diagnose::evidence::Viewpoint;
use netcheck_diagnose::probe::Question;
use serde::{Deserialize, Serialize};

use crate::doing::Doing;
use crate::error::Result;
use crate::lab::{Inner, Lab};
use crate::start;
use crate::target::Port;

/// What a lab looks like now. As text it is fit for a snapshot; addresses are placeholders.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, LabReport};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let report: LabReport = lab.report().await?;
/// assert!(report.faults.is_empty());
/// println!("{report}"); // or insta::assert_snapshot!(report)
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabReport {
    /// By name.
    pub networks: Vec<NetworkReport>,
    /// By name.
    pub containers: Vec<ContainerReport>,
    /// In force, in the order they were made.
    pub faults: Vec<String>,
}

/// One network.
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let back = &lab.report().await?.networks[0];
/// assert_eq!((back.name.as_str(), back.driver.as_str()), ("back", "bridge"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkReport {
    /// Its name in the lab.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Without a way out.
    pub internal: bool,
    /// `ipv4/26`, `ipv6/64`.
    pub subnets: Vec<String>,
    /// Who is on it, by name.
    pub members: Vec<Member>,
}

/// A container's place on a network.
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let member = &lab.report().await?.networks[0].members[0];
/// assert_eq!(member.address, "{mysql-db@back}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name in the lab.
    pub name: String,
    /// `{mysql-db@back}`; with `ipv6` when it has such an address too.
    pub address: String,
    /// Names there, beside its own; sorted.
    pub aliases: Vec<String>,
}

/// One container.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, tcp};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let container = &lab.report().await?.containers[0];
/// assert_eq!(container.listens, Some(vec![tcp(3306)]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Its name in the lab.
    pub name: String,
    /// `running`, `exited with code 1`, …
    pub state: String,
    /// The network mode, where it is none of the lab's networks: `host`, `none`, `bridge`;
    /// `off` for one that was on a network of the lab and is on none now.
    pub mode: Option<String>,
    /// Where somebody listens, for the network; sorted. None if that could not be seen.
    pub listens: Option<Vec<Port>>,
    /// Where somebody listens on loopback only; sorted.
    pub listens_on_loopback: Vec<Port>,
    /// What is published; sorted.
    pub publishes: Vec<Port>,
}

/// See [`ContainerReport::mode`].
const OFF: &str = "off";

impl fmt::Display for LabReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.containers.iter().map(|c| c.name.as_str());
        let names = names.chain(self.networks.iter().map(|network| network.name.as_str()));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
        for network in &self.networks {
            write!(f, "network {:<width$}  {}", network.name, network.driver)?;
            if network.internal {
                write!(f, " internal")?;
            }
            writeln!(f, " {}", network.subnets.join(" "))?;
            for member in &network.members {
                write!(f, "  {:<width$}        {}", member.name, member.address)?;
                if !member.aliases.is_empty() {
                    write!(f, "  also {}", member.aliases.join(", "))?;
                }
                writeln!(f)?;
            }
        }
        for container in &self.containers {
            write!(
                f,
                "container {:<width$}  {}",
                container.name, container.state
            )?;
            match container.mode.as_deref() {
                None => {}
                Some(OFF) => write!(f, "  on none of its networks")?,
                Some(mode) => write!(f, "  network mode {mode}")?,
            }
            match &container.listens {
                None => write!(f, "  listens ?")?,
                Some(ports) if ports.is_empty() => {}
                Some(ports) => write!(f, "  listens {}", list(ports))?,
            }
            if !container.listens_on_loopback.is_empty() {
                write!(
                    f,
                    "  on loopback only {}",
                    list(&container.listens_on_loopback)
                )?;
            }
            if !container.publishes.is_empty() {
                write!(f, "  publishes {}", list(&container.publishes))?;
            }
            writeln!(f)?;
        }
        for fault in &self.faults {
            writeln!(f, "fault {fault}")?;
        }
        Ok(())
    }
}

fn list(ports: &[Port]) -> String {
    let words: Vec<_> = ports.iter().map(ToString::to_string).collect();
    words.join(" ")
}

impl Lab {
    /// What the lab looks like now.
    ///
    /// # Errors
    ///
    /// [`Error::Api`](crate::Error::Api): the engine does not say.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// println!("{}", lab.report().await?); // or insta::assert_snapshot!(…)
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self) -> Doing<LabReport> {
        let lab = Arc::clone(self.inner());
        self.inner().job(async move { report(&lab).await })
    }
}

async fn report(lab: &Arc<Inner>) -> Result<LabReport> {
    let (records, networks, parked, faults) = {
        let state = lab.state();
        (
            state.containers.values().cloned().collect::<Vec<_>>(),
            state.networks.values().cloned().collect::<Vec<_>>(),
            state.parked.keys().cloned().collect::<Vec<_>>(),
            state
                .faults
                .iter()
                .map(|fault| fault.words().to_owned())
                .collect(),
        )
    };
    let inspected = join_all(records.iter().map(|record| start::inspect(lab, record))).await;
    let inspected = inspected.into_iter().collect::<Result<Vec<_>>>()?;
    let running = |index: usize| {
        let state = inspected[index].state.as_ref();
        state.and_then(|state| state.running) == Some(true)
    };
    let plan = records
        .iter()
        .enumerate()
        .filter(|(index, _)| running(*index))
        .map(|(_, record)| {
            (
                Viewpoint::Container(record.id.clone()),
                vec![Question::Snapshot],
            )
        })
        .collect();
    let mut seen: BTreeMap<Viewpoint, _> = lab
        .engine
        .look(plan, Duration::from_secs(10))
        .await
        .into_iter()
        .collect();
    let mut containers = Vec::new();
    let mut members: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for (record, inspected) in records.iter().zip(&inspected) {
        let settings = inspected.network_settings.clone().unwrap_or_default();
        let mut known = false;
        for endpoint in settings.networks.unwrap_or_default().into_values() {
            let network = networks
                .iter()
                .find(|network| endpoint.network_id.as_deref() == Some(&network.id));
            let Some(network) = network else { continue };
            known = true;
            let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
            let mut address = match (
                has(&endpoint.ip_address),
                has(&endpoint.global_ipv6_address),
            ) {
                (false, false) => "no address".to_owned(),
                _ => format!("{{{}@{}}}", record.name, network.name),
            };
            if has(&endpoint.global_ipv6_address) {
                address += " ipv6";
            }
            let mut aliases: Vec<String> = endpoint
                .aliases
                .unwrap_or_default()
                .into_iter()
                // The engine's own additions differ from version to version.
                .filter(|alias| {
                    *alias != record.name
                        && *alias != record.real_name
                        && !record.id.starts_with(alias.as_str())
                })
                .collect();
            aliases.sort();
            aliases.dedup();
            members.entry(network.id.clone()).or_default().push(Member {
                name: record.name.clone(),
                address,
                aliases,
            });
        }
        let visit = seen.remove(&Viewpoint::Container(record.id.clone()));
        let sockets = visit.as_ref().and_then(|visit| {
            let visit = visit.as_ref().ok()?;
            let snapshot = visit.snapshot();
            snapshot.known()?.sockets.clone().ok()
        });
        let mode = inspected
            .host_config
            .as_ref()
            .and_then(|host| host.network_mode.clone());
        let (mut open, mut loopback) = (Vec::new(), Vec::new());
        // In the host's namespace the machine's own services are seen too.
        let own = mode.as_deref() != Some("host");
        for socket in sockets.iter().flatten().filter(|_| own) {
            let port = Port {
                number: socket.local.port(),
                protocol: socket.protocol,
            };
            match socket.local.ip() {
                // The engine's resolver, at a port that changes.
                std::net::IpAddr::V4(ip) if ip.octets() == [127, 0, 0, 11] => {}
                ip if ip.is_loopback() => loopback.push(port),
                _ => open.push(port),
            }
        }
        open.sort_unstable();
        open.dedup();
        loopback.retain(|port| !open.contains(port));
        loopback.sort_unstable();
        loopback.dedup();
        let mut publishes: Vec<Port> = settings
            .ports
            .unwrap_or_default()
            .into_iter()
            .filter(|(_, bindings)| bindings.as_ref().is_some_and(|some| !some.is_empty()))
            .filter_map(|(port, _)| port.parse().ok())
            .collect();
        publishes.sort_unstable();
        let alive = inspected.state.as_ref().and_then(|state| state.running) == Some(true);
        if !alive {
            // Podman goes on showing them.
            publishes.clear();
        }
        containers.push(ContainerReport {
            name: record.name.clone(),
            state: start::state_words(inspected),
            mode: mode.filter(|_| !known).map(|mode| match mode.as_str() {
                // As podman names the mode of one that is on no network any more.
                "bridge" if parked.iter().any(|(id, _)| *id == record.id) => OFF.to_owned(),
                "default" => "bridge".to_owned(),
                mode if mode.starts_with("container:") => "container".to_owned(),
                // It was on a network of the lab, and is off it now.
                mode if networks.iter().any(|network| network.real_name == mode) => OFF.to_owned(),
                mode => mode.to_owned(),
            }),
            listens: (sockets.is_some() && own)
                .then_some(open)
                .or_else(|| visit.is_none().then(Vec::new)),
            listens_on_loopback: loopback,
            publishes,
        });
    }
    let networks = networks
        .iter()
        .map(|network| NetworkReport {
            name: network.name.clone(),
            driver: network.driver.clone(),
            internal: network.internal,
            subnets: network
                .subnets
                .iter()
                .map(|net| {
                    let family = if net.addr().is_ipv4() { "ipv4" } else { "ipv6" };
                    format!("{family}/{}", net.prefix_len())
                })
                .collect(),
            members: members.remove(&network.id).unwrap_or_default(),
        })
        .collect();
    Ok(LabReport {
        networks,
        containers,
        faults,
    })
}
