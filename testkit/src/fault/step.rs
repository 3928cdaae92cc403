//! What a fault consists of, made and undone one by one. All names are looked up and all that can
//! be wrong is found before the first thing changes.
//!
//! It must never make anything in the host's network namespace.

use std::net::IpAddr;
use std::sync::Arc;

use bollard::models::ContainerInspectResponse;
use futures_util::future::try_join_all;
use netcheck_fault::{self as program, Answer, Counters, DnsOutcome, Order, RefuseWith};

use crate::agent::Agent;
use crate::container::{Container, Record as ContainerRecord};
use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::network;
use crate::start;
use crate::target::Port;

/// The longest chain of containers in each other's namespaces that is followed; engines allow no
/// circles.
const LONGEST_CHAIN: usize = 8;

/// One thing to do, in the words of the lab.
#[derive(Debug)]
pub(super) enum Step {
    Drop {
        at: String,
        from: Vec<String>,
        port: Option<Port>,
    },
    Refuse {
        at: String,
        to: String,
        port: Option<Port>,
        with: RefuseWith,
    },
    Dns {
        at: String,
        name: String,
        outcome: DnsOutcome,
    },
    Link {
        at: String,
        to: String,
        link: program::Link,
    },
    Disconnect {
        container: String,
        network: String,
    },
    Pause {
        container: String,
    },
}

/// The same, looked up: it can be done.
pub(super) enum Prepared {
    /// In the namespace of this container.
    InNamespace(String, program::Fault),
    Disconnect(Arc<network::Record>, Arc<ContainerRecord>),
    Pause(Arc<ContainerRecord>),
}

/// One thing to undo.
pub(super) enum Part {
    Agent(Agent),
    Disconnected(Arc<network::Record>, Arc<ContainerRecord>),
    Paused(Arc<ContainerRecord>),
}

impl Step {
    /// Looks everything up; changes nothing.
    pub(super) async fn prepare(self, lab: &Arc<Inner>) -> Result<Prepared> {
        match self {
            Self::Drop { at, from, port } => {
                let at = Place::of(lab, &at).await?.for_a_fault()?;
                let from = at.addresses_of_others(lab, &from).await?;
                Ok(at.prepared(program::Fault::Drop(program::Drop {
                    from,
                    protocol: port.map(protocol),
                    port: port.map(|port| port.number),
                })))
            }
            Self::Refuse { at, to, port, with } => {
                let at = Place::of(lab, &at).await?.for_a_fault()?;
                let to = at.addresses_of_others(lab, &[to]).await?;
                Ok(at.prepared(program::Fault::Refuse(program::Refuse {
                    to,
                    protocol: port.map(protocol),
                    port: port.map(|port| port.number),
                    with,
                })))
            }
            Self::Dns { at, name, outcome } => {
                let at = Place::of(lab, &at).await?.for_a_fault()?;
                Ok(at.prepared(program::Fault::Dns(program::Dns {
                    name,
                    outcome,
                    servers: Vec::new(),
                })))
            }
            Self::Link { at, to, mut link } => {
                let at = Place::of(lab, &at).await?.for_a_fault()?;
                link.to = at.addresses_of_others(lab, &[to]).await?;
                Ok(at.prepared(program::Fault::Link(link)))
            }
            Self::Disconnect { container, network } => {
                let network = lab.network(&network)?;
                let place = Place::of(lab, &container).await?;
                if !is_on(&place.own, &network) {
                    return Err(Error::invalid(format!(
                        "`{container}` is not on the network `{}`",
                        network.name
                    )));
                }
                let record = Arc::clone(place.container.record());
                Ok(Prepared::Disconnect(network, record))
            }
            Self::Pause { container } => {
                let place = Place::of(lab, &container).await?;
                place.runs()?;
                Ok(Prepared::Pause(Arc::clone(place.container.record())))
            }
        }
    }
}

impl Prepared {
    /// Does it.
    pub(super) async fn make(self, lab: &Arc<Inner>) -> Result<Part> {
        match self {
            Self::InNamespace(id, fault) => {
                let mut agent = Agent::start(lab, &format!("container:{id}")).await?;
                match agent.order(Order::Make(fault)).await {
                    Ok(Answer::Applied(_)) => Ok(Part::Agent(agent)),
                    Ok(other) => Err(Error::invalid(format!("unexpected answer {other:?}"))),
                    // With the conversation its helper ends, and the engine removes it.
                    Err(error) => Err(error),
                }
            }
            Self::Disconnect(network, container) => {
                network::disconnect(lab, &network, &container.id).await?;
                Ok(Part::Disconnected(network, container))
            }
            Self::Pause(container) => {
                start::pause(lab, &container).await?;
                Ok(Part::Paused(container))
            }
        }
    }
}

impl Part {
    /// Undoes it.
    pub(super) async fn heal(self, lab: &Arc<Inner>) -> Result<()> {
        match self {
            Self::Agent(mut agent) => {
                let healed = agent.order(Order::Heal).await;
                let id = agent.id().to_owned();
                // Its input ends here, and so does the helper; waiting for that would only cost
                // time, as the fault is undone already.
                drop(agent);
                match healed {
                    Ok(_) => Ok(()),
                    Err(error) => unless_ended(lab, &id, error).await,
                }
            }
            Self::Disconnected(network, container) => {
                match network::reconnect(lab, &network, &container.id).await {
                    Ok(()) => Ok(()),
                    Err(error) => unless_ended(lab, &container.id, error).await,
                }
            }
            Self::Paused(container) => match start::unpause(lab, &container).await {
                Ok(()) => Ok(()),
                Err(error) => unless_ended(lab, &container.id, error).await,
            },
        }
    }

    /// What it has done, where that is counted.
    pub(super) async fn counters(&mut self) -> Result<Counters> {
        match self {
            Self::Agent(agent) => agent.counters().await,
            Self::Disconnected(..) | Self::Paused(_) => Ok(Counters::default()),
        }
    }
}

/// A fault that could not be undone because the container it was in has ended is gone with it. That
/// it has ended takes the engine's word; anything else is an error.
async fn unless_ended(lab: &Inner, id: &str, error: Error) -> Result<()> {
    match netcheck_engine::inspect_container(lab.engine.docker(), id).await {
        Ok(container) if runs(&container) == Some(false) => Ok(()),
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(()),
        _ => Err(error),
    }
}

fn protocol(port: Port) -> program::Protocol {
    if port.is_tcp() {
        program::Protocol::Tcp
    } else {
        program::Protocol::Udp
    }
}

fn runs(container: &ContainerInspectResponse) -> Option<bool> {
    container.state.as_ref().and_then(|state| state.running)
}

fn is_on(container: &ContainerInspectResponse, network: &network::Record) -> bool {
    container
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref())
        .into_iter()
        .flat_map(|networks| networks.values())
        .any(|endpoint| endpoint.network_id.as_deref() == Some(&network.id))
}

/// A container, and whose network namespace it is in.
struct Place {
    container: Container,
    own: ContainerInspectResponse,
    /// The container that the namespace was made for; itself, unless it uses another's.
    owner: ContainerInspectResponse,
}

impl Place {
    async fn of(lab: &Arc<Inner>, name: &str) -> Result<Self> {
        let container = lab.container(name)?;
        let own = inspect(lab, name, container.id()).await?;
        let mut owner = own.clone();
        for _ in 0..LONGEST_CHAIN {
            let next = mode(&owner).and_then(|mode| mode.strip_prefix("container:"));
            match next.map(str::to_owned) {
                Some(next) => owner = inspect(lab, name, &next).await?,
                None => {
                    return Ok(Self {
                        container,
                        own,
                        owner,
                    });
                }
            }
        }
        Err(Error::invalid(format!(
            "whose network namespace `{name}` uses cannot be found out"
        )))
    }

    /// It runs, and a fault in its namespace would not hit the machine.
    fn for_a_fault(self) -> Result<Self> {
        // `ns:PATH` is podman's name for any namespace, the host's included.
        if mode(&self.owner).is_none_or(|mode| mode == "host" || mode.starts_with("ns:")) {
            return Err(Error::invalid(format!(
                "`{}` uses the host's network: no fault is made there",
                self.container.name()
            )));
        }
        self.runs()?;
        Ok(self)
    }

    fn runs(&self) -> Result<()> {
        if runs(&self.own) == Some(true) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "`{}` does not run",
            self.container.name()
        )))
    }

    fn prepared(&self, fault: program::Fault) -> Prepared {
        Prepared::InNamespace(self.container.id().to_owned(), fault)
    }

    /// Every address of these containers, none of which may be in this namespace itself.
    async fn addresses_of_others(&self, lab: &Arc<Inner>, names: &[String]) -> Result<Vec<IpAddr>> {
        let places = try_join_all(names.iter().map(|name| Self::of(lab, name))).await?;
        let mut found = Vec::new();
        for place in &places {
            if place.owner.id == self.owner.id {
                return Err(Error::invalid(format!(
                    "there is no network between `{}` and `{}`: they are in one namespace",
                    self.container.name(),
                    place.container.name()
                )));
            }
            let addresses = place.addresses();
            if addresses.is_empty() {
                return Err(Error::invalid(format!(
                    "`{}` has no address just now: it does not run, or is on no network",
                    place.container.name()
                )));
            }
            found.extend(addresses);
        }
        Ok(found)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.owner
            .network_settings
            .as_ref()
            .and_then(|settings| settings.networks.as_ref())
            .into_iter()
            .flat_map(|networks| networks.values())
            .flat_map(|endpoint| [&endpoint.ip_address, &endpoint.global_ipv6_address])
            .filter_map(|address| address.as_deref()?.parse().ok())
            .collect()
    }
}

async fn inspect(lab: &Inner, name: &str, id: &str) -> Result<ContainerInspectResponse> {
    let inspected = netcheck_engine::inspect_container(lab.engine.docker(), id).await;
    inspected.map_err(|e| Error::api(format!("inspecting the container `{name}`"), &e))
}

fn mode(container: &ContainerInspectResponse) -> Option<&str> {
    container.host_config.as_ref()?.network_mode.as_deref()
}
