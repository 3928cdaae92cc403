//! What there is on an engine by name, for completions: one call, nothing looked at from inside.

use std::collections::BTreeMap;

use bollard::query_parameters::ListContainersOptionsBuilder;
use netcheck_diagnose::clean::clean;

use crate::client::Client;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::states::{inspect_container, list_containers};

/// A container as somebody who types its name needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Without the leading slash.
    pub name: String,
    /// As it was named when it was made.
    pub image: String,
    /// `running`, `exited`, …
    pub state: String,
    /// `project/service`, for one of Compose.
    pub service: Option<String>,
    /// Its ports that the engine knows of, as `80/tcp`.
    pub ports: Vec<String>,
}

impl Named {
    /// Somebody who types this means it: the name, or the service of Compose.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.service.as_deref() == Some(name)
    }
}

/// All containers, those that run first, then by name. Of those that are called `with_ports` the exposed ports too,
/// which no list has of a container that does not run, and podman's of none.
///
/// # Errors
///
/// The engine does not answer in time.
pub async fn containers(
    client: &Client,
    with_ports: Option<&str>,
    deadline: Deadline,
) -> Result<Vec<Named>> {
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let call = list_containers(&client.docker, options);
    let list = client
        .call(deadline, "listing the containers", call)
        .await?;
    let mut all: Vec<Named> = list
        .into_iter()
        .filter_map(|one| {
            let names = one.names.unwrap_or_default();
            // The others are those of links.
            let mut own = names.iter().map(|name| name.trim_start_matches('/'));
            let name = own.find(|name| !name.contains('/'))?.to_owned();
            let labels: BTreeMap<_, _> = one.labels.unwrap_or_default().into_iter().collect();
            let label = |key: &str| labels.get(key).map(String::as_str);
            let service = label("com.docker.compose.project")
                .zip(label("com.docker.compose.service"))
                .map(|(project, service)| format!("{}/{}", clean(project), clean(service)));
            let mut ports: Vec<String> = one
                .ports
                .unwrap_or_default()
                .into_iter()
                .map(|port| {
                    let protocol = port.typ.map_or_else(|| "tcp".into(), |typ| typ.to_string());
                    format!("{}/{protocol}", port.private_port)
                })
                .collect();
            ports.sort();
            ports.dedup();
            Some(Named {
                name: clean(&name),
                image: clean(&one.image.unwrap_or_default()),
                state: one
                    .state
                    .map_or_else(String::new, |state| state.to_string()),
                service,
                ports,
            })
        })
        .collect();
    all.sort_by(|a, b| (a.state != "running", &a.name).cmp(&(b.state != "running", &b.name)));
    let called = |one: &&mut Named| with_ports.is_some_and(|name| one.is_called(name));
    for one in all.iter_mut().filter(called) {
        let call = inspect_container(&client.docker, &one.name);
        let inspected = client.call(deadline, "inspecting a container", call).await;
        // One that is gone meanwhile, or is not told in time, keeps what the list has of it.
        let config = inspected.ok().and_then(|inspected| inspected.config);
        let config = config.unwrap_or_default();
        one.ports.extend(config.exposed_ports.unwrap_or_default());
        one.ports.sort();
        one.ports.dedup();
    }
    Ok(all)
}

/// Containers of the Compose project in this folder that the engine could not start, with its last error.
///
/// # Errors
///
/// The engine does not answer in time.
pub async fn failed_to_start(
    client: &Client,
    working_folder: &str,
    deadline: Deadline,
) -> Result<Vec<(String, String)>> {
    let label = format!("com.docker.compose.project.working_dir={working_folder}");
    let filters: std::collections::HashMap<&str, Vec<&str>> =
        [("label", vec![label.as_str()]), ("status", vec!["created"])].into();
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let call = list_containers(&client.docker, options);
    let list = client
        .call(deadline, "listing the containers", call)
        .await?;
    let mut failed = Vec::new();
    for id in list.into_iter().filter_map(|one| one.id) {
        let call = inspect_container(&client.docker, &id);
        let one = client
            .call(deadline, "inspecting a container", call)
            .await?;
        let error = one.state.and_then(|state| state.error).unwrap_or_default();
        let name = one.name.unwrap_or_default();
        if !error.is_empty() {
            failed.push((name.trim_start_matches('/').to_owned(), error));
        }
    }
    Ok(failed)
}
