//! What the Engine API says, gathered at once: engine, networks, containers, and the details of
//! those that matter. One refused call does not end the run; it becomes a fact that failed.

use std::collections::{BTreeSet, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, HostConfigLogConfig, SystemInfo,
};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptions, ListServicesOptions, ListTasksOptions,
    LogsOptionsBuilder,
};
use futures_util::stream::{self, StreamExt};
use netcheck_diagnose::clean::clean;
use netcheck_diagnose::evidence::{
    Container, ENGINE_HOST, Engine, Fact, Network, Service, SwarmRole,
};
use netcheck_diagnose::refused_bind;

use crate::client::{Client, status_of};
use crate::convert;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::helper::LABEL_EXPIRES;
use crate::image::LABEL_ROLE;
use crate::states::{inspect_container, list_containers};

/// Up to this many containers all are inspected: a call takes one or two milliseconds, and any of
/// them may name the subject. With more only its neighbours are, at most as many.
const MOST_INSPECTED: usize = 100;

/// Calls under way at once.
const AT_ONCE: usize = 16;

/// Of so many containers of one run the log is read.
const MOST_LOGS: usize = 4;

/// Of so many lines of a log: a program says why it ends when it ends.
const LOG_LINES: &str = "20";

/// Of so many bytes, whatever a line holds.
const MOST_OF_LOG: usize = 64 * 1024;

/// What the API said.
pub(crate) struct Collected {
    pub(crate) subject: String,
    pub(crate) engine: Fact<Engine>,
    pub(crate) networks: Fact<Vec<Network>>,
    pub(crate) containers: Vec<Container>,
    pub(crate) services: Fact<Vec<Service>>,
    /// Ids of helpers of ours whose time was over long ago.
    pub(crate) expired: Vec<String>,
}

pub(crate) async fn collect(
    client: &Client,
    wanted: &str,
    also: &[&str],
    host_may_ask: bool,
    deadline: Deadline,
) -> Result<Collected> {
    let docker = &client.docker;
    let options = ListContainersOptionsBuilder::new().all(true).build();
    let essential = async {
        let list = client
            .call(
                deadline,
                "listing the containers",
                list_containers(docker, options),
            )
            .await?;
        let list = among(list, client.among.as_ref());
        // Who is near is known without the networks' own settings.
        let sketch = listed(&list, &[]);
        let subject = match find(&sketch, wanted) {
            // A container of that name comes first.
            Err(Error::NoSuchContainer { .. }) if host_may_ask && wanted == ENGINE_HOST => {
                ENGINE_HOST.to_owned()
            }
            found => found?,
        };
        let inspected = inspect(client, &sketch, &subject, also, deadline).await;
        Ok((list, subject, inspected))
    };
    // A run can do without these: waiting for them must leave time for the looks from inside.
    let networks = client.call(
        deadline.half(),
        "listing the networks",
        docker.list_networks(None::<ListNetworksOptions>),
    );
    let info = client.call(deadline.half(), "asking for its settings", docker.info());
    let ((list, subject, inspected), networks, info) =
        tokio::try_join!(essential, async { Ok(networks.await) }, async {
            Ok(info.await)
        },)?;
    let networks: Result<Vec<Network>, String> = networks
        .map(|list| list.into_iter().filter_map(convert::network).collect())
        .map_err(|error| error.to_string());
    let known_networks = networks.as_deref().unwrap_or_default();
    let mut containers = listed(&list, known_networks);
    let info: Option<SystemInfo> = info.ok();
    let engine = convert::engine(client, info.as_ref());
    let services = if engine.swarm == Some(SwarmRole::Manager) {
        services(client, deadline.half()).await.into()
    } else {
        Fact::NotCollected
    };
    let mut subject_error = None;
    let usual_log = info.as_ref().map(usual_log);
    for (id, result) in inspected {
        let Some(at) = containers.iter().position(|container| container.id == id) else {
            continue;
        };
        match result {
            Ok((inspect, image)) => {
                let usual_log = usual_log.as_ref();
                if let Some(container) =
                    convert::inspected(inspect, image.as_ref(), known_networks, usual_log)
                {
                    containers[at] = container;
                }
            }
            Err(error) if id == subject => subject_error = Some(error),
            // Removed since it was listed.
            Err(Error::Vanished { .. }) => {
                containers.remove(at);
            }
            Err(error) => containers[at].detail = Fact::Failed(error.to_string()),
        }
    }
    if let Some(error) = subject_error {
        return Err(error);
    }
    let ends = containers
        .iter_mut()
        .filter(|one| one.id == subject || also.iter().any(|host| is_called(one, host)))
        .filter(|one| refused_bind::may_be(one));
    for container in ends.take(MOST_LOGS) {
        let log = end_of_log(client, &container.id, deadline.half()).await;
        if let Fact::Known(detail) = &mut container.detail {
            detail.state.refused_bind = log.and_then(|log| refused_bind::find(&log, detail));
        }
    }
    if subject == ENGINE_HOST {
        containers.push(Container::engine_host());
    }
    Ok(Collected {
        subject,
        engine: Fact::Known(engine),
        networks: networks.into(),
        containers,
        services,
        expired: expired(&list),
    })
}

/// The last lines that a container wrote; none where the engine does not give them.
async fn end_of_log(client: &Client, id: &str, deadline: Deadline) -> Option<String> {
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .tail(LOG_LINES)
        .build();
    let read = async {
        let mut log = String::new();
        let mut stream = std::pin::pin!(client.docker.logs(id, Some(options)));
        while let Some(part) = stream.next().await {
            log.push_str(&String::from_utf8_lossy(&part?.into_bytes()));
            if log.len() > MOST_OF_LOG {
                break;
            }
        }
        Ok(log)
    };
    let doing = "reading the end of a log";
    client.call(deadline, doing, read).await.ok()
}

/// The services of the swarm that this engine manages, with their tasks.
async fn services(client: &Client, deadline: Deadline) -> Result<Vec<Service>, String> {
    let docker = &client.docker;
    let services = client.call(
        deadline,
        "listing the services",
        docker.list_services(None::<ListServicesOptions>),
    );
    let tasks = client.call(
        deadline,
        "listing the tasks of services",
        docker.list_tasks(None::<ListTasksOptions>),
    );
    let (services, tasks) = tokio::try_join!(services, tasks).map_err(|error| error.to_string())?;
    Ok(convert::services(services, &tasks))
}

/// Helpers of ours that no run can still be waiting for: their label says until when one could.
fn expired(list: &[ContainerSummary]) -> Vec<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    list.iter()
        .filter(|summary| {
            let label = |name| summary.labels.as_ref()?.get(name);
            let expires = label(LABEL_EXPIRES).and_then(|time| time.parse::<u64>().ok());
            label(LABEL_ROLE).is_some_and(|role| role == "helper")
                && expires.is_some_and(|time| time < now)
        })
        .filter_map(|summary| summary.id.clone())
        .collect()
}

/// The containers of a list, by name.
fn listed(list: &[ContainerSummary], networks: &[Network]) -> Vec<Container> {
    let mut containers: Vec<Container> = list
        .iter()
        // Our own helpers, of this or another run, are nobody's business.
        .filter(|summary| {
            !summary
                .labels
                .as_ref()
                .is_some_and(|labels| labels.contains_key(LABEL_ROLE))
        })
        .filter_map(|summary| convert::listed(summary.clone(), networks))
        .collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    containers
}

/// Those that carry a label or share a network of the user's with one that does; all without one.
fn among(list: Vec<ContainerSummary>, label: Option<&(String, String)>) -> Vec<ContainerSummary> {
    let Some((name, value)) = label else {
        return list;
    };
    let marked = |summary: &ContainerSummary| {
        let labels = summary.labels.as_ref();
        labels.and_then(|labels| labels.get(name)) == Some(value)
    };
    let networks = |summary: &ContainerSummary| -> BTreeSet<String> {
        let settings = summary.network_settings.as_ref();
        settings
            .and_then(|settings| settings.networks.as_ref())
            .into_iter()
            .flatten()
            // On these everybody is.
            .filter(|(name, _)| !matches!(name.as_str(), "bridge" | "host" | "none" | "podman"))
            .filter_map(|(_, endpoint)| endpoint.network_id.clone())
            .filter(|id| !id.is_empty())
            .collect()
    };
    let shared: BTreeSet<String> = list
        .iter()
        .filter(|one| marked(one))
        .flat_map(networks)
        .collect();
    list.into_iter()
        .filter(|summary| marked(summary) || !networks(summary).is_disjoint(&shared))
        .collect()
}

/// The log settings that a fix need not repeat: the daemon's driver without options. Which options
/// the daemon adds by itself is not to be had from its API, so options are always repeated: what
/// several containers have in common may well be what their owner chose.
fn usual_log(info: &SystemInfo) -> HostConfigLogConfig {
    HostConfigLogConfig {
        typ: info.logging_driver.clone(),
        config: Some(HashMap::new()),
    }
}

type Inspected = (
    ContainerInspectResponse,
    Option<bollard::models::ImageInspect>,
);

async fn inspect(
    client: &Client,
    containers: &[Container],
    subject: &str,
    also: &[&str],
    deadline: Deadline,
) -> Vec<(String, Result<Inspected>)> {
    let is_other_end = |container: &Container| also.iter().any(|host| is_called(container, host));
    let near = |container: &Container| {
        let own = containers.iter().find(|other| other.id == subject);
        container.id == subject
            || is_other_end(container)
            || own.is_some_and(|own| {
                own.endpoints
                    .iter()
                    .any(|endpoint| container.endpoint(&endpoint.network_id).is_some())
            })
    };
    let few = containers.len() <= MOST_INSPECTED;
    let mut chosen: Vec<_> = containers
        .iter()
        .filter(|container| few || near(container))
        .map(|container| (container.id != subject, container))
        .collect();
    // The subject first, then the other end, so that they are never the ones that are left out.
    chosen.sort_by_key(|(other, container)| (*other, !is_other_end(container)));
    chosen.truncate(MOST_INSPECTED);
    // Made one by one: a closure over borrowed containers would keep the future from being sent to
    // another thread (rust-lang/rust#102211).
    let mut inspections = Vec::new();
    for (other, container) in chosen {
        inspections.push(async move {
            // Others are worth waiting for, but not all the time.
            let until = if other { deadline.half() } else { deadline };
            (
                container.id.clone(),
                inspect_one(client, container, until, deadline.half()).await,
            )
        });
    }
    stream::iter(inspections)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// One container, and its image, without which nothing tells the image's settings from its own.
async fn inspect_one(
    client: &Client,
    container: &Container,
    deadline: Deadline,
    image_deadline: Deadline,
) -> Result<Inspected> {
    let doing = format!("inspecting `{}`", clean(&container.name));
    let call = async {
        match inspect_container(&client.docker, &container.id).await {
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            other => other.map(Some),
        }
    };
    let inspect = client
        .call(deadline, &doing, call)
        .await?
        .ok_or_else(|| Error::Vanished {
            name: clean(&container.name),
        })?;
    let image = match &inspect.image {
        Some(id) => {
            let doing = "inspecting an image";
            client
                .call(image_deadline, doing, client.docker.inspect_image(id))
                .await
                .ok()
        }
        None => None,
    };
    Ok((inspect, image))
}

/// The subject again, as it is now.
pub(crate) async fn look_again(
    client: &Client,
    container: &Container,
    networks: &[Network],
    deadline: Deadline,
) -> Result<Option<Container>> {
    let (inspect, image) = inspect_one(client, container, deadline, deadline).await?;
    Ok(convert::inspected(inspect, image.as_ref(), networks, None))
}

/// Whether somebody who writes this as a host may mean the container.
fn is_called(container: &Container, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let is = |name: &str| name.eq_ignore_ascii_case(host);
    let address = host.parse().ok();
    is(&container.name)
        || container.id.starts_with(host)
        || is_service(container, host)
        || container.endpoints.iter().any(|endpoint| {
            endpoint.aliases.iter().any(|alias| is(alias))
                || address.is_some_and(|address| endpoint.addresses.contains(&address))
        })
}

/// `service`, `service-2`, and either with `project/` before it.
fn is_service(container: &Container, wanted: &str) -> bool {
    let Some((project, service)) = container.compose_service() else {
        return false;
    };
    let wanted = match wanted.split_once('/') {
        Some((of, wanted)) if of == project => wanted,
        Some(_) => return false,
        None => wanted,
    };
    let number = container.compose.get("container-number");
    let replica = || wanted.strip_prefix(service)?.strip_prefix('-');
    wanted == service || (number.is_some() && replica() == number.map(String::as_str))
}

/// The full id of the container that a user means by a name, an id, a service of Compose or the
/// beginning of an id.
pub(crate) fn find(containers: &[Container], wanted: &str) -> Result<String> {
    let name = wanted.trim_start_matches('/');
    if let Some(exact) = containers
        .iter()
        .find(|container| container.name == name || container.id == name)
    {
        return Ok(exact.id.clone());
    }
    let of_service: Vec<_> = containers
        .iter()
        .filter(|container| is_service(container, name))
        .collect();
    // A service that is itself called `web-2` comes before the second of `web`.
    let own_name: Vec<_> = of_service
        .iter()
        .copied()
        .filter(|container| {
            let bare = name.rsplit('/').next().unwrap_or(name);
            container
                .compose
                .get("service")
                .is_some_and(|own| own == bare)
        })
        .collect();
    let of_service = if own_name.is_empty() {
        of_service
    } else {
        own_name
    };
    match of_service.as_slice() {
        [one] => return Ok(one.id.clone()),
        [] => {}
        many => {
            return Err(Error::AmbiguousService {
                service: clean(wanted),
                matches: many
                    .iter()
                    .map(|container| clean(&container.name))
                    .collect(),
            });
        }
    }
    let is_prefix = !name.is_empty() && name.chars().all(|c| c.is_ascii_hexdigit());
    let matches: Vec<_> = containers
        .iter()
        .filter(|container| is_prefix && container.id.starts_with(&name.to_ascii_lowercase()))
        .collect();
    match matches.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Error::NoSuchContainer {
            // Blanks alone are no name, and cleaned ones are no blanks.
            name: clean(wanted.trim()),
            close: close_names(containers, name),
        }),
        many => Err(Error::AmbiguousContainer {
            prefix: clean(wanted),
            matches: many
                .iter()
                .map(|container| {
                    let id = container.id.get(..12).unwrap_or(&container.id);
                    format!("{} ({id})", clean(&container.name))
                })
                .collect(),
        }),
    }
}

/// Names that are a few slips of the fingers away, or hold what was typed; the closest first.
fn close_names(containers: &[Container], name: &str) -> Vec<String> {
    if name.trim().is_empty() || name.len() > 128 {
        return Vec::new();
    }
    let typed = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let mut close: Vec<(usize, String)> = containers
        .iter()
        .filter_map(|container| {
            let known = container.name.to_ascii_lowercase();
            let distance = edit_distance(&typed, &known);
            let near = distance <= (typed.chars().count() / 3).max(1);
            let inside = typed.len() >= 2 && (known.contains(&typed) || typed.contains(&known));
            let service = container
                .compose
                .get("service")
                .is_some_and(|service| service.eq_ignore_ascii_case(&typed));
            (near || inside || service).then(|| (distance, clean(&container.name)))
        })
        .collect();
    close.sort();
    close.truncate(3);
    close.into_iter().map(|(_, name)| name).collect()
}

/// Levenshtein's distance in characters.
fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(128).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(128).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use netcheck_diagnose::evidence::Status;

    use super::*;

    fn replica(project: &str, service: &str, number: u8) -> Container {
        let name = format!("{project}-{service}-{number}");
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Container {
            id: format!("{:x}{name}", name.len()),
            image: String::new(),
            status: Status::Running,
            endpoints: Vec::new(),
            published: Vec::new(),
            compose: [
                label("project", project),
                label("service", service),
                label("container-number", &number.to_string()),
            ]
            .into(),
            detail: Fact::NotCollected,
            name,
        }
    }

    #[test]
    fn a_service_of_compose_is_a_name() {
        let containers = [
            replica("shop", "db", 1),
            replica("shop", "web", 1),
            replica("shop", "web", 2),
            replica("blog", "db", 1),
            replica("blog", "cache", 1),
            replica("blog", "cache-2", 1),
        ];
        let find = |wanted: &str| find(&containers, wanted);
        let name = |wanted: &str| {
            let id = super::find(&containers, wanted).unwrap();
            let is = |container: &&Container| container.id == id;
            containers.iter().find(is).unwrap().name.clone()
        };
        assert_eq!(name("shop/db"), "shop-db-1");
        assert_eq!(name("blog/db-1"), "blog-db-1");
        assert_eq!(name("web-2"), "shop-web-2");
        assert_eq!(name("shop/web-1"), "shop-web-1");
        assert_eq!(name("cache-2"), "blog-cache-2-1");
        for ambiguous in ["db", "web", "shop/web"] {
            let error = find(ambiguous).unwrap_err();
            assert!(matches!(error, Error::AmbiguousService { .. }), "{error}");
        }
        for unknown in ["mail", "shop/cache", "web-3", "blog/web", "/", "shop/"] {
            let error = find(unknown).unwrap_err();
            assert!(matches!(error, Error::NoSuchContainer { .. }), "{error}");
        }
    }

    #[test]
    fn counts_the_slips_of_the_fingers() {
        assert_eq!(edit_distance("mysql", "mysql"), 0);
        assert_eq!(edit_distance("mysqldb", "mysql-db"), 1);
        assert_eq!(edit_distance("", "db"), 2);
        assert_eq!(edit_distance("größe", "grösse"), 2);
    }
}
