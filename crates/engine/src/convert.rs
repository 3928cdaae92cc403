//! The Engine API's words turned into evidence. Pure, and the only place that knows both sides.
//!
//! Nothing secret may pass: environment values become references or nothing, arguments, labels and
//! log options go through [`redact`], and what may be secret all the same is left out.

mod recreate;
mod swarm;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary, EndpointSettings, HostConfigLogConfig,
    ImageInspect, Network as ApiNetwork, PortMap, PortSummary, SystemInfo,
};
use netcheck_diagnose::evidence::{
    AddressPool, Binding, Container, Detail, Endpoint, Engine, Fact, Health, HostsLine, Ipam, Mode,
    Network, Port, State, Status,
};
use netcheck_diagnose::probe::Protocol;
use netcheck_diagnose::{redact, reference, start_error};

use crate::client::Client;

pub(crate) use swarm::services;

const COMPOSE: &str = "com.docker.compose.";

pub(crate) fn engine(client: &Client, info: Option<&SystemInfo>) -> Engine {
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    let options = info.and_then(|info| info.security_options.as_deref());
    Engine {
        kind: client.kind,
        version: client.engine_version().to_owned(),
        api_version: client.api_version.clone(),
        os: text(client.version.os.as_ref()),
        arch: client.architecture().to_owned(),
        operating_system: text(info.and_then(|info| info.operating_system.as_ref())),
        rootless: options
            .into_iter()
            .flatten()
            .any(|option| option.contains("rootless"))
            || info
                .and_then(|info| info.docker_root_dir.as_deref())
                .is_some_and(|dir| dir.starts_with("/home/")),
        ipv4_forwarding: info.and_then(|info| info.ipv4_forwarding),
        address_pools: info
            .and_then(|info| info.default_address_pools.as_ref())
            .into_iter()
            .flatten()
            .filter_map(|pool| {
                Some(AddressPool {
                    base: pool.base.as_deref()?.parse().ok()?,
                    size: pool.size?.try_into().ok()?,
                })
            })
            .collect(),
        swarm: info
            .and_then(|info| info.swarm.as_ref())
            .and_then(swarm::role),
    }
}

pub(crate) fn network(network: ApiNetwork) -> Option<Network> {
    let ipam = network
        .ipam
        .and_then(|ipam| ipam.config)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|config| {
            Some(Ipam {
                subnet: config.subnet?.parse().ok()?,
                // Some engines write a prefix length behind it.
                gateway: config
                    .gateway
                    .and_then(|gateway| gateway.split('/').next()?.parse().ok()),
            })
        })
        .collect();
    Some(Network {
        id: network.id.filter(|id| !id.is_empty())?,
        name: network.name.unwrap_or_default(),
        driver: network.driver.unwrap_or_default(),
        internal: network.internal.unwrap_or_default(),
        ipv6: network.enable_ipv6.unwrap_or_default(),
        attachable: network.attachable.unwrap_or_default(),
        ipam,
        options: network.options.unwrap_or_default().into_iter().collect(),
        compose: compose_labels(network.labels.as_ref(), &["project", "network"]),
    })
}

/// A line of the container list.
pub(crate) fn listed(summary: ContainerSummary, networks: &[Network]) -> Option<Container> {
    let name = summary
        .names
        .unwrap_or_default()
        .into_iter()
        // Names with a second slash are links' names for it.
        .map(|name| name.trim_start_matches('/').to_owned())
        .min_by_key(|name| name.contains('/'))
        .unwrap_or_default();
    let mode = summary.host_config.and_then(|config| config.network_mode);
    let endpoints = summary
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default();
    let mut published: Vec<_> = summary
        .ports
        .unwrap_or_default()
        .iter()
        .filter_map(listed_port)
        .collect();
    published.sort();
    published.dedup();
    let state = summary
        .state
        .map(|state| state.to_string())
        .unwrap_or_default();
    let id = summary.id?;
    Some(Container {
        endpoints: endpoints_of(endpoints, &id, &name, "", networks, mode.as_deref()),
        id,
        name,
        image: summary.image.unwrap_or_default(),
        status: status(&state),
        published,
        compose: compose_labels(
            summary.labels.as_ref(),
            &["project", "service", "container-number"],
        ),
        detail: Fact::NotCollected,
    })
}

fn listed_port(port: &PortSummary) -> Option<Binding> {
    let protocol = protocol(
        port.typ
            .map(|typ| typ.to_string())
            .unwrap_or_default()
            .as_str(),
    )?;
    Some(Binding {
        container: Port {
            number: port.private_port,
            protocol,
        },
        host_address: host_address(port.ip.as_deref()),
        host_port: Some(port.public_port?),
    })
}

/// An inspect, with the image it was made of where that is still there.
pub(crate) fn inspected(
    inspect: ContainerInspectResponse,
    image: Option<&ImageInspect>,
    networks: &[Network],
    usual_log: Option<&HostConfigLogConfig>,
) -> Option<Container> {
    let run = recreate::run(&inspect, image, usual_log);
    let id = inspect.id?;
    let name = inspect
        .name
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    let config = inspect.config.unwrap_or_default();
    let host = inspect.host_config.unwrap_or_default();
    let settings = inspect.network_settings.unwrap_or_default();
    let state = inspect.state.unwrap_or_default();
    let env = config.env.unwrap_or_default();
    let labels = config.labels.iter().flatten();
    let mut labels: Vec<(&str, &str)> = labels.map(|(k, v)| (k.as_str(), v.as_str())).collect();
    labels.sort_unstable();
    let words: Vec<String> = config
        .entrypoint
        .iter()
        .flatten()
        .chain(config.cmd.iter().flatten())
        .cloned()
        .collect();
    let mode_word = host.network_mode.clone().unwrap_or_default();
    let mut mode = mode(&mode_word);
    // Podman repeats the owner's networks for a member of a shared namespace.
    let own_networks = match mode {
        Mode::Container(_) => HashMap::new(),
        _ => settings.networks.clone().unwrap_or_default(),
    };
    // The word of the creation stays when `none` is left for a network.
    if mode == Mode::None && own_networks.keys().any(|name| name != "none") {
        mode = Mode::Networks;
    }
    let hostname = config.hostname.unwrap_or_default();
    let status_word = state
        .status
        .map(|status| status.to_string())
        .unwrap_or_default();
    let detail = Detail {
        state: State {
            exit_code: state.exit_code.unwrap_or_default(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            error: redact::text(&state.error.unwrap_or_default()),
            started_at: moment(state.started_at.as_deref()),
            finished_at: moment(state.finished_at.as_deref()),
            restarts: inspect
                .restart_count
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or_default(),
            health: state.health.and_then(|health| {
                let status = health.status?.to_string();
                if status.is_empty() || status == "none" {
                    return None;
                }
                let last = health.log.unwrap_or_default().pop();
                Some(Health {
                    status,
                    failing_streak: health
                        .failing_streak
                        .and_then(|streak| u32::try_from(streak).ok())
                        .unwrap_or_default(),
                    last_output: last
                        .and_then(|entry| entry.output)
                        .map(|output| {
                            let cut: String = output.trim().chars().take(200).collect();
                            redact::text(&cut)
                        })
                        .unwrap_or_default(),
                })
            }),
            // Read from its log, where that could say it.
            refused_bind: None,
        },
        mode: mode.clone(),
        network_mode: mode_word.clone(),
        links: host
            .links
            .iter()
            .flatten()
            .flat_map(|link| link_names(link))
            .collect(),
        exposed: sorted(
            config
                .exposed_ports
                .iter()
                .flatten()
                .filter_map(|text| port(text)),
        ),
        wanted: bindings(host.port_bindings.as_ref()),
        publish_all: host.publish_all_ports.unwrap_or_default(),
        extra_hosts: host
            .extra_hosts
            .iter()
            .flatten()
            .filter_map(|line| {
                // `=` is accepted for addresses with colons in them.
                let (name, address) = line.split_once(['=', ':'])?;
                Some(HostsLine {
                    name: name.to_owned(),
                    address: address.to_owned(),
                })
            })
            .collect(),
        dns: host.dns.unwrap_or_default(),
        dns_options: host.dns_options.unwrap_or_default(),
        dns_search: host.dns_search.unwrap_or_default(),
        references: reference::find(&env, &words, labels.clone()),
        unjudged: reference::find_unjudged(labels),
        env_names: env
            .iter()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .collect(),
        proxies: reference::proxies(&env),
        proxy_exceptions: env
            .iter()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, list)| name.eq_ignore_ascii_case("no_proxy") && !list.is_empty())
            .map(|(name, list)| (name.to_owned(), redact::text(list)))
            .collect(),
        health_test: redact::arguments(
            &config
                .healthcheck
                .and_then(|check| check.test)
                .unwrap_or_default(),
        )
        .0,
        user: match config.user.unwrap_or_default() {
            user if ["0", "root"].contains(&user.split(':').next().unwrap_or_default()) => {
                String::new()
            }
            user => user,
        },
        sysctls: host.sysctls.unwrap_or_default().into_iter().collect(),
        pid: state
            .pid
            .and_then(|pid| u32::try_from(pid).ok())
            .unwrap_or_default(),
        sandbox_key: settings.sandbox_key.unwrap_or_default(),
        hostname: hostname.clone(),
        run,
    };
    let mut endpoints = endpoints_of(
        own_networks,
        &id,
        &name,
        &hostname,
        networks,
        Some(&mode_word),
    );
    if let Some(refused) = start_error::refused_address(&detail.state.error) {
        give(refused, &mut endpoints, networks);
    }
    Some(Container {
        endpoints,
        id,
        name,
        image: config.image.unwrap_or_default(),
        status: status(&status_word),
        published: if matches!(status_word.as_str(), "running" | "paused") {
            bindings(settings.ports.as_ref())
        } else {
            Vec::new()
        },
        compose: compose_labels(
            config.labels.as_ref(),
            &["project", "service", "container-number"],
        ),
        detail: Fact::Known(Box::new(detail)),
    })
}

fn endpoints_of(
    settings: HashMap<String, EndpointSettings>,
    id: &str,
    name: &str,
    hostname: &str,
    networks: &[Network],
    mode: Option<&str>,
) -> Vec<Endpoint> {
    if mode == Some("host") {
        return Vec::new();
    }
    let short_id = id.get(..12).unwrap_or(id);
    let mut endpoints: Vec<_> = settings
        .into_iter()
        .filter(|(network, _)| !matches!(network.as_str(), "host" | "none"))
        .map(|(network_name, endpoint)| {
            let address =
                |text: &Option<String>| -> Option<IpAddr> { text.as_deref()?.parse().ok() };
            let network_id = endpoint.network_id.unwrap_or_default();
            // Old podman writes the network's name where its id belongs, and of a container that was
            // never started there is none. An id that no network has is that of one that is gone.
            let is_id = network_id.len() == 64;
            let network = networks.iter().find(|network| match is_id {
                true => network.id == network_id,
                false => network.name == network_name,
            });
            let ipam = endpoint.ipam_config.unwrap_or_default();
            let all = endpoint.aliases.unwrap_or_default();
            let dns_names = if network.is_some_and(Network::has_dns) {
                let mut names = match endpoint.dns_names.filter(|names| !names.is_empty()) {
                    Some(names) => names,
                    None => std::iter::once(name.to_owned())
                        .chain(all.iter().cloned())
                        .collect(),
                };
                names.sort();
                names.dedup();
                names
            } else {
                Vec::new()
            };
            let mut aliases: Vec<String> = all
                .into_iter()
                .filter(|alias| alias != short_id && alias != hostname && alias != name)
                .collect();
            aliases.sort();
            aliases.dedup();
            Endpoint {
                network_id: network.map_or(network_id, |network| network.id.clone()),
                network_name: network.map_or(network_name, |network| network.name.clone()),
                addresses: [
                    address(&endpoint.ip_address),
                    address(&endpoint.global_ipv6_address),
                ]
                .into_iter()
                .flatten()
                .collect(),
                static_addresses: [address(&ipam.ipv4_address), address(&ipam.ipv6_address)]
                    .into_iter()
                    .flatten()
                    .collect(),
                gateways: [address(&endpoint.gateway), address(&endpoint.ipv6_gateway)]
                    .into_iter()
                    .flatten()
                    .collect(),
                mac: endpoint.mac_address.filter(|mac| !mac.is_empty()),
                aliases,
                dns_names,
                gateway_priority: endpoint.gw_priority,
            }
        })
        .collect();
    endpoints.sort_by(|a, b| a.network_name.cmp(&b.network_name));
    endpoints
}

/// podman does not show which address a container was given before it has it; its words of a failed start do. It
/// is for the network that has it, and where none has, for the only one.
fn give(refused: IpAddr, endpoints: &mut [Endpoint], networks: &[Network]) {
    if endpoints.iter().any(|one| !one.static_addresses.is_empty()) {
        return;
    }
    let has = |endpoint: &Endpoint| {
        let mut networks = networks.iter();
        let network = networks.find(|network| network.id == endpoint.network_id);
        network.is_some_and(|network| network.contains(refused))
    };
    let at = match (endpoints.iter().position(has), endpoints.len()) {
        (Some(at), _) => at,
        (None, 1) => 0,
        (None, _) => return,
    };
    endpoints[at].static_addresses.push(refused);
}

/// The names of `/other:/subject/alias`: the other container's and its alias.
fn link_names(link: &str) -> Vec<String> {
    link.split(':')
        .filter_map(|part| Some(part.rsplit('/').next()?.to_owned()))
        .collect()
}

fn mode(word: &str) -> Mode {
    match word {
        "host" => Mode::Host,
        "none" => Mode::None,
        "slirp4netns" | "pasta" => Mode::User(word.to_owned()),
        other => match other.strip_prefix("container:") {
            Some(owner) => Mode::Container(owner.to_owned()),
            None => Mode::Networks,
        },
    }
}

fn status(word: &str) -> Status {
    match word {
        "created" => Status::Created,
        "running" | "stopping" => Status::Running,
        "paused" => Status::Paused,
        "restarting" => Status::Restarting,
        "removing" => Status::Removing,
        // Podman's words for the same.
        "exited" | "stopped" => Status::Exited,
        "dead" => Status::Dead,
        _ => Status::Unknown,
    }
}

fn protocol(word: &str) -> Option<Protocol> {
    match word {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => None,
    }
}

/// `80/tcp`; a bare number means TCP.
fn port(text: &str) -> Option<Port> {
    let (number, protocol_word) = text.split_once('/').unwrap_or((text, "tcp"));
    Some(Port {
        number: number.parse().ok().filter(|number| *number != 0)?,
        protocol: protocol(protocol_word)?,
    })
}

fn host_address(text: Option<&str>) -> Option<IpAddr> {
    text.filter(|text| !text.is_empty())?.parse().ok()
}

fn bindings(map: Option<&PortMap>) -> Vec<Binding> {
    sorted(map.into_iter().flatten().flat_map(|(container, hosts)| {
        let container = port(container);
        hosts.iter().flatten().filter_map(move |host| {
            Some(Binding {
                container: container?,
                host_address: host_address(host.host_ip.as_deref()),
                host_port: host
                    .host_port
                    .as_deref()
                    .and_then(|port| port.parse().ok())
                    .filter(|port| *port != 0),
            })
        })
    }))
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items.dedup();
    items
}

fn compose_labels(
    labels: Option<&HashMap<String, String>>,
    wanted: &[&str],
) -> BTreeMap<String, String> {
    wanted
        .iter()
        .filter_map(|name| {
            let value = labels?.get(&format!("{COMPOSE}{name}"))?;
            Some(((*name).to_owned(), value.clone()))
        })
        .collect()
}

/// Seconds since 1970 of an RFC 3339 time; none for Go's zero time.
fn moment(text: Option<&str>) -> Option<i64> {
    let seconds = text?.parse::<jiff::Timestamp>().ok()?.as_second();
    (seconds > 0).then_some(seconds)
}
