//! The commands that put all containers of a network on another one, because subnet and packet size
//! of a network are fixed when it is made.

use crate::case::{Case, connect_flags};
use crate::evidence::Network;
use crate::report::Fix;
use crate::shell;

/// A network with more containers is not moved by a pasted list of commands.
const MOST_MOVED: usize = 32;

/// What is to be different about the new network.
pub(crate) struct Change<'a> {
    /// What the new one is for, in a few words that follow "make a network".
    pub(crate) what: &'a str,
    /// The end of its name.
    pub(crate) suffix: &'a str,
    /// What `docker network create` gets for it.
    pub(crate) options: &'a [String],
    /// What to write in a Compose file, below the network.
    pub(crate) compose: &'a str,
    /// What to write in daemon.json, for the default bridge.
    pub(crate) daemon: &'a str,
}

/// To a network that is new in this respect; without the old one in the end.
pub(crate) fn all(case: &Case<'_>, network: &Network, change: &Change<'_>) -> Fix {
    let Change {
        what,
        suffix,
        options,
        compose,
        daemon,
    } = change;
    let old = &network.name;
    if let Some(project) = network.compose.get("project") {
        let name = network.compose.get("network").unwrap_or(old);
        return Fix::new(
            format!(
                "Make `{old}` again {what}: in the Compose file of `{project}`, below `networks: {name}:`, \
                 write `{compose}`, then `docker compose down` and `docker compose up -d`"
            ),
            Vec::new(),
        );
    }
    if network.is_default_bridge() {
        return Fix::new(
            format!(
                "Change the default bridge: write `{daemon}` in the engine's daemon.json and restart the engine"
            ),
            Vec::new(),
        );
    }
    let new = case.free_network_name(&format!("{old}-{suffix}"));
    let text = format!("Make a network {what}, `{new}`, and put all containers of `{old}` on it");
    let members: Vec<_> = case
        .evidence
        .containers
        .iter()
        .filter_map(|container| {
            let of_network = |endpoint: &&crate::evidence::Endpoint| endpoint.network_name == *old;
            Some((container, container.endpoints.iter().find(of_network)?))
        })
        .collect();
    if members.len() > MOST_MOVED {
        return Fix::new(text, Vec::new());
    }
    let mut create: Vec<String> = ["docker", "network", "create"].map(Into::into).into();
    for (name, value) in &network.options {
        // Not what is its own, and not what is to be different.
        let own = name == "com.docker.network.bridge.name";
        if !own
            && !options
                .iter()
                .any(|option| option.starts_with(&format!("{name}=")))
        {
            create.extend(["-o".to_owned(), format!("{name}={value}")]);
        }
    }
    for option in *options {
        create.extend(["-o".to_owned(), option.clone()]);
    }
    create.push(new.clone());
    let mut commands = vec![shell::command(&create)];
    for (container, endpoint) in members {
        let mut endpoint = endpoint.clone();
        // An address of the old network's.
        endpoint.static_addresses.clear();
        let mut connect: Vec<String> = ["docker", "network", "connect"].map(Into::into).into();
        connect.extend(connect_flags(&endpoint, &[]));
        connect.extend([new.clone(), container.name.clone()]);
        commands.push(shell::command(&connect));
        commands.push(shell::command([
            "docker",
            "network",
            "disconnect",
            old,
            &container.name,
        ]));
    }
    commands.push(shell::command(["docker", "network", "rm", old]));
    Fix::new(text, commands)
}
