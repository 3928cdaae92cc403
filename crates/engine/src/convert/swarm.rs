//! Swarm's words turned into evidence.

use bollard::models::{
    EndpointPortConfigPublishModeEnum, LocalNodeState, Service as ApiService, SwarmInfo,
    Task as ApiTask,
};
use netcheck_diagnose::evidence::{Service, SwarmRole, Task};
use netcheck_diagnose::redact;

/// None where the engine does not say it clearly.
pub(crate) fn role(swarm: &SwarmInfo) -> Option<SwarmRole> {
    match swarm.local_node_state? {
        LocalNodeState::INACTIVE => Some(SwarmRole::Outside),
        LocalNodeState::ACTIVE if swarm.control_available == Some(true) => Some(SwarmRole::Manager),
        LocalNodeState::ACTIVE => Some(SwarmRole::Worker),
        _ => None,
    }
}

/// The services with their tasks.
pub(crate) fn services(services: Vec<ApiService>, tasks: &[ApiTask]) -> Vec<Service> {
    let mut all: Vec<Service> = services
        .into_iter()
        .filter_map(|one| service(one, tasks))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn service(service: ApiService, tasks: &[ApiTask]) -> Option<Service> {
    let id = service.id?;
    let spec = service.spec?;
    let endpoint = service.endpoint.unwrap_or_default();
    let virtual_addresses: Vec<_> = endpoint
        .virtual_ips
        .unwrap_or_default()
        .into_iter()
        .filter_map(|one| {
            let address = one.addr?.split('/').next()?.parse().ok()?;
            Some((one.network_id?, address))
        })
        .collect();
    let template = spec.task_template.unwrap_or_default();
    let wanted = template.networks.unwrap_or_default();
    let mut aliases: Vec<String> = wanted
        .iter()
        .flat_map(|one| one.aliases.clone().unwrap_or_default())
        .collect();
    aliases.sort_unstable();
    aliases.dedup();
    let mut networks: Vec<String> = wanted
        .into_iter()
        .filter_map(|one| one.target)
        .chain(virtual_addresses.iter().map(|(network, _)| network.clone()))
        .collect();
    networks.sort_unstable();
    networks.dedup();
    let replicas = spec.mode.and_then(|mode| mode.replicated);
    Some(Service {
        name: spec.name?,
        aliases,
        networks,
        virtual_addresses,
        replicas: replicas
            .and_then(|replicated| replicated.replicas)
            .and_then(|count| u64::try_from(count).ok()),
        published: endpoint.ports.unwrap_or_default().iter().any(|port| {
            port.publish_mode
                .is_none_or(|mode| mode != EndpointPortConfigPublishModeEnum::HOST)
        }),
        constraints: template
            .placement
            .and_then(|placement| placement.constraints)
            .unwrap_or_default(),
        tasks: tasks
            .iter()
            .filter(|task| task.service_id.as_deref() == Some(&id))
            .map(task)
            .collect(),
        id,
    })
}

fn task(task: &ApiTask) -> Task {
    let status = task.status.as_ref();
    let state = status.and_then(|status| status.state);
    let container = status.and_then(|status| status.container_status.as_ref());
    Task {
        state: state.map(|state| state.to_string()).unwrap_or_default(),
        wanted: task
            .desired_state
            .map(|state| state.to_string())
            .unwrap_or_default(),
        error: status
            .and_then(|status| status.err.as_deref())
            .map(redact::text)
            .unwrap_or_default(),
        container: container
            .and_then(|container| container.container_id.clone())
            .filter(|id| !id.is_empty()),
    }
}
