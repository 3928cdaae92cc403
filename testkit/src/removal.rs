//! Removes containers, networks and volumes by label, many at once. It must never touch what does
//! not carry the label it was given, and calls nothing a failure that somebody else removed first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error as ApiError;
use bollard::models::{ContainerSummary, Network, NetworkDisconnectRequest};
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use futures_util::future::join_all;
use netcheck_engine::Client;
use netcheck_engine::list_containers;

use crate::owner::{self, LABEL_LAB, LABEL_OWNER, Owner};

/// Marks what testcontainers made.
const LABEL_TESTCONTAINERS: &str = "org.testcontainers.managed-by";

/// What is to be removed.
pub(crate) struct Which {
    label: String,
    /// Labs whose things stay.
    kept: BTreeSet<String>,
    guests: bool,
}

impl Which {
    /// All with this label.
    pub(crate) fn label(key: &str, value: &str) -> Self {
        Self {
            label: format!("{key}={value}"),
            kept: BTreeSet::new(),
            guests: false,
        }
    }

    /// Except for these labs.
    pub(crate) fn but_not(self, kept: BTreeSet<String>) -> Self {
        Self { kept, ..self }
    }

    /// And containers of testcontainers on the networks: their process is gone too, and nobody
    /// else would remove them.
    pub(crate) fn with_guests(self) -> Self {
        Self {
            guests: true,
            ..self
        }
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        HashMap::from([("label".to_owned(), vec![self.label.clone()])])
    }

    fn covers(&self, labels: Option<&HashMap<String, String>>) -> bool {
        labels
            .and_then(|labels| labels.get(LABEL_LAB))
            .is_none_or(|lab| !self.kept.contains(lab))
    }
}

/// Removes them; what could not be removed, and why.
pub(crate) async fn remove(client: &Client, which: &Which) -> Vec<(String, String)> {
    let docker = client.docker();
    let filters = which.filters();
    let containers = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let volumes = ListVolumesOptionsBuilder::new().filters(&filters).build();
    // All are asked for at once: time counts, and no list hangs on another.
    let (containers, networks, volumes) = tokio::join!(
        list_containers(docker, containers),
        docker.list_networks(Some(networks)),
        docker.list_volumes(Some(volumes)),
    );
    let mut left = Vec::new();
    let mut containers = listed("containers", containers, &mut left);
    let mut networks = listed("networks", networks, &mut left);
    let volumes = volumes.map(|list| list.volumes.unwrap_or_default());
    let mut volumes = listed("volumes", volumes, &mut left);
    containers.retain(|container| which.covers(container.labels.as_ref()));
    networks.retain(|network| which.covers(network.labels.as_ref()));
    volumes.retain(|volume| which.covers(Some(&volume.labels)));
    if which.guests {
        containers.extend(guests(docker, &networks).await);
    }
    let ids = containers.into_iter().filter_map(|container| container.id);
    let removals = ids.map(|id| remove_container(docker, id));
    let refused = join_all(removals).await.into_iter().flatten();
    // podman removes nobody in whose namespace another container lives: with the others gone, it goes.
    let (hosts, refused): (Vec<_>, Vec<_>) =
        refused.partition(|(_, reason)| reason.contains("dependent containers"));
    left.extend(refused);
    let again = hosts
        .into_iter()
        .map(|(id, _)| remove_container(docker, id));
    left.extend(join_all(again).await.into_iter().flatten());
    // What a container uses cannot go before it.
    let of_networks = networks
        .into_iter()
        .map(|network| remove_network(docker, network));
    let of_volumes = volumes.into_iter().map(|volume| async move {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        let result = docker.remove_volume(&volume.name, Some(options)).await;
        failed(volume.name, result)
    });
    let (of_networks, of_volumes) = tokio::join!(join_all(of_networks), join_all(of_volumes));
    left.extend(of_networks.into_iter().chain(of_volumes).flatten());
    left
}

/// The list; if there is none, what it was to be of is left.
fn listed<T>(
    what: &str,
    list: Result<Vec<T>, ApiError>,
    left: &mut Vec<(String, String)>,
) -> Vec<T> {
    list.unwrap_or_else(|error| {
        left.push((what.to_owned(), error.to_string()));
        Vec::new()
    })
}

/// Containers of testcontainers on these networks, in whatever state.
async fn guests(docker: &Docker, networks: &[Network]) -> Vec<ContainerSummary> {
    // One that was not started yet is found by the network's name only.
    let ids = networks.iter().filter_map(|network| network.id.clone());
    let names = networks.iter().filter_map(|network| network.name.clone());
    let on: Vec<String> = ids.chain(names).collect();
    if on.is_empty() {
        return Vec::new();
    }
    let filters = HashMap::from([
        ("network".to_owned(), on),
        ("label".to_owned(), vec![LABEL_TESTCONTAINERS.to_owned()]),
    ]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    // The networks tell if a guest is still on them.
    list_containers(docker, options).await.unwrap_or_default()
}

/// Removes one container with its anonymous volumes, running or not.
pub(crate) async fn remove_container(docker: &Docker, id: String) -> Option<(String, String)> {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    let result = docker.remove_container(&id, Some(options)).await;
    failed(id, result)
}

/// How long an engine may take to let go of the endpoints of containers that it has removed already: under
/// load it counts them a moment longer, and refuses to remove their network (403) though it lists nobody on it.
const LETTING_GO: Duration = Duration::from_secs(3);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Removes one network; whoever is still on it (not one of ours) is disconnected first.
async fn remove_network(docker: &Docker, network: Network) -> Option<(String, String)> {
    let (id, name) = (network.id?, network.name.unwrap_or_default());
    let started = Instant::now();
    loop {
        let result = docker.remove_network(&id).await;
        let is_refused = matches!(status(&result), Some(403 | 409 | 500));
        if !is_refused || started.elapsed() > LETTING_GO {
            return failed(name, result);
        }
        let inspected = docker
            .inspect_network(&id, None::<InspectNetworkOptions>)
            .await;
        let guests = inspected.ok().and_then(|network| network.containers);
        let guests = guests.unwrap_or_default();
        if guests.is_empty() {
            tokio::time::sleep(ASK_EVERY).await;
        }
        for guest in guests.into_keys() {
            let request = NetworkDisconnectRequest {
                container: guest,
                force: Some(true),
            };
            // Whatever comes of it, the next attempt tells.
            let _ = docker.disconnect_network(&id, request).await;
        }
    }
}

fn status<T>(result: &Result<T, ApiError>) -> Option<u16> {
    match result {
        Err(ApiError::DockerResponseServerError { status_code, .. }) => Some(*status_code),
        _ => None,
    }
}

/// The name and the reason, unless it is gone (404) or going (409 for a container).
fn failed<T>(name: String, result: Result<T, ApiError>) -> Option<(String, String)> {
    if status(&result) == Some(404) {
        return None;
    }
    match result {
        Ok(_) => None,
        Err(error) if error.to_string().contains("already in progress") => None,
        Err(error) => Some((name, error.to_string())),
    }
}

/// Removes what belongs to owners that are surely dead: those of a machine that lost its power, or
/// whose reaper was killed too.
pub(crate) async fn sweep(client: &Client) {
    let docker = client.docker();
    let filters = HashMap::from([("label".to_owned(), vec![LABEL_OWNER.to_owned()])]);
    let containers = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let networks = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let volumes = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let (containers, networks, volumes) = tokio::join!(
        list_containers(docker, containers),
        docker.list_networks(Some(networks)),
        docker.list_volumes(Some(volumes)),
    );
    let of_containers = containers.unwrap_or_default();
    let of_networks = networks.unwrap_or_default();
    let of_volumes = volumes.ok().and_then(|list| list.volumes);
    // Labs by owner.
    let mut labs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let all = of_containers
        .iter()
        .filter_map(|container| container.labels.as_ref())
        .chain(of_networks.iter().filter_map(|net| net.labels.as_ref()))
        .chain(of_volumes.iter().flatten().map(|volume| &volume.labels));
    for labels in all {
        if let Some(owner) = labels.get(LABEL_OWNER) {
            let labs = labs.entry(owner).or_default();
            labs.extend(labels.get(LABEL_LAB).cloned());
        }
    }
    for (text, labs) in labs {
        let Some(owner) = Owner::read(text).filter(Owner::is_dead) else {
            continue;
        };
        // What was kept on purpose is nobody's to remove.
        let kept: BTreeSet<String> = labs.into_iter().filter(|lab| owner::is_kept(lab)).collect();
        let all_gone = kept.is_empty();
        let which = Which::label(LABEL_OWNER, text).but_not(kept).with_guests();
        if remove(client, &which).await.is_empty() && all_gone {
            owner.bury();
        }
    }
}
