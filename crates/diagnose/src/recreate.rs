//! The commands that start the same container again with one thing changed: what most fixes come
//! down to, because ports, hosts entries, DNS servers and environment are fixed at creation.
//!
//! The old container is stopped and kept under another name, never removed, and its volumes are
//! taken over, so nothing that it stored is lost. Of environment variables it prints no value but
//! those that are nothing but the address of a peer (the commands read the others from the old
//! container), and it must give no commands at all where the configuration holds something it
//! cannot reproduce.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{Binding, Container, Detail, Endpoint, HostsLine, Mode, Mount, Port};
use crate::reference::Place;
use crate::report::{Finding, Fix};
use crate::shell;

/// What `docker run` needs besides network, ports, hosts, DNS, sysctls and environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Run {
    /// `--entrypoint`, when it differs from the image's: the first word, the others lead the command.
    pub entrypoint: Option<Vec<String>>,
    /// The command, when it differs from the image's; redacted.
    pub command: Vec<String>,
    /// Variables that were set for this container, not by its image.
    pub env_names: Vec<String>,
    /// Volumes and binds.
    pub mounts: Vec<Mount>,
    /// `--rm`: the old one disappears when it stops.
    pub auto_remove: bool,
    /// `--hostname`, when the user chose one.
    pub hostname: Option<String>,
    /// Other flags as words: `--user 1000 --restart always`.
    pub flags: Vec<String>,
    /// Settings that no flag here reproduces, or secrets on the command line.
    pub unreproducible: Vec<String>,
}

/// The commands that take a container off a network, whether or not that still exists, and connect
/// it to the one of that name with its aliases; with the addresses the user chose, or with new ones.
pub fn reconnect(container: &str, endpoint: &Endpoint, keep_addresses: bool) -> [String; 2] {
    let network = endpoint.network_name.as_str();
    let off = [
        "docker",
        "network",
        "disconnect",
        "--force",
        network,
        container,
    ];
    let mut on: Vec<String> = ["docker", "network", "connect"].map(Into::into).into();
    for alias in &endpoint.aliases {
        on.extend(["--alias".into(), alias.clone()]);
    }
    for address in endpoint.static_addresses.iter().filter(|_| keep_addresses) {
        let flag = if address.is_ipv4() { "--ip" } else { "--ip6" };
        on.extend([flag.into(), address.to_string()]);
    }
    on.extend([network.to_owned(), container.to_owned()]);
    [shell::command(off), shell::command(&on)]
}

/// A change of one container's configuration, on the way to commands.
#[derive(Debug, Clone)]
pub struct Recreate<'a> {
    container: &'a Container,
    taken_names: Vec<&'a str>,
    run: Run,
    mode: Mode,
    endpoints: Vec<Endpoint>,
    publish: Vec<Binding>,
    publish_all: bool,
    expose: Vec<Port>,
    hosts: Vec<HostsLine>,
    dns: Vec<String>,
    dns_options: Vec<String>,
    dns_search: Vec<String>,
    sysctls: Vec<(String, String)>,
    /// `NAME`, search, replacement.
    env_edits: Vec<(String, String, String)>,
    /// Variables whose whole new value may be printed.
    env_plain: Vec<(String, String)>,
    /// Variables whose value is known to the letter and holds nothing secret: addresses of peers.
    env_known: Vec<(String, String)>,
    /// Variables that are set anew, or for the first time.
    env_new: Vec<(String, String)>,
}

impl<'a> Recreate<'a> {
    /// The container as it is.
    pub fn of(container: &'a Container, detail: &'a Detail, all: &'a [Container]) -> Self {
        Self {
            container,
            taken_names: all.iter().map(|other| other.name.as_str()).collect(),
            run: detail.run.clone(),
            mode: detail.mode.clone(),
            endpoints: container.endpoints.clone(),
            publish: detail.wanted.clone(),
            publish_all: detail.publish_all,
            expose: Vec::new(),
            hosts: detail.extra_hosts.clone(),
            dns: detail.dns.clone(),
            dns_options: detail.dns_options.clone(),
            dns_search: detail.dns_search.clone(),
            sysctls: detail
                .sysctls
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            env_edits: Vec::new(),
            env_plain: Vec::new(),
            env_known: detail
                .references
                .iter()
                .filter(|reference| reference.complete)
                .filter_map(|reference| match &reference.place {
                    Place::Env(name) => Some((name.clone(), reference.shown.clone())),
                    Place::Argument(_) | Place::Label(_) | Place::Asked => None,
                })
                .collect(),
            env_new: Vec::new(),
        }
    }

    /// With these published ports instead.
    #[must_use]
    pub fn publish(mut self, bindings: Vec<Binding>) -> Self {
        self.publish = bindings;
        self
    }

    /// With one published port exchanged for another.
    #[must_use]
    pub fn replace_binding(mut self, old: &Binding, new: Binding) -> Self {
        self.publish.retain(|binding| {
            !(binding.container == old.container
                && (binding.host_port == old.host_port || binding.host_port.is_none()))
        });
        self.publish.push(new);
        self
    }

    /// With one more line in /etc/hosts.
    #[must_use]
    pub fn add_host(mut self, name: &str, address: &str) -> Self {
        self.hosts.push(HostsLine {
            name: name.into(),
            address: address.into(),
        });
        self
    }

    /// Without the lines for this name.
    #[must_use]
    pub fn drop_host(mut self, name: &str) -> Self {
        self.hosts
            .retain(|line| !line.name.eq_ignore_ascii_case(name));
        self
    }

    /// Without `--dns`, so that the engine's own servers are used.
    #[must_use]
    pub fn drop_dns(mut self) -> Self {
        self.dns.clear();
        self
    }

    /// Without the `--dns-option`s that begin like this.
    #[must_use]
    pub fn drop_dns_option(mut self, beginning: &str) -> Self {
        self.dns_options
            .retain(|option| !option.starts_with(beginning));
        self
    }

    /// With this `--dns-option`.
    #[must_use]
    pub fn add_dns_option(mut self, option: &str) -> Self {
        self.dns_options.push(option.into());
        self
    }

    /// Without this `--sysctl`.
    #[must_use]
    pub fn drop_sysctl(mut self, name: &str) -> Self {
        self.sysctls.retain(|(other, _)| other != name);
        self
    }

    /// With this `--sysctl`.
    #[must_use]
    pub fn set_sysctl(self, name: &str, value: &str) -> Self {
        let mut with = self.drop_sysctl(name);
        with.sysctls.push((name.into(), value.into()));
        with
    }

    /// On this network only, or in addition when it is on networks already.
    #[must_use]
    pub fn join(mut self, network_name: &str) -> Self {
        if self.mode != Mode::Networks {
            self.mode = Mode::Networks;
            self.endpoints.clear();
        }
        self.endpoints.push(Endpoint {
            network_id: String::new(),
            network_name: network_name.into(),
            addresses: Vec::new(),
            static_addresses: Vec::new(),
            gateways: Vec::new(),
            mac: None,
            aliases: Vec::new(),
            dns_names: Vec::new(),
            gateway_priority: None,
        });
        self
    }

    /// On another network in place of this one, with addresses of the engine's choice.
    #[must_use]
    pub fn move_to(mut self, old: &str, new: &str) -> Self {
        for endpoint in &mut self.endpoints {
            if endpoint.network_name == old {
                new.clone_into(&mut endpoint.network_name);
                endpoint.static_addresses.clear();
            }
        }
        self
    }

    /// With `from` replaced by `to` in the value of an environment variable. `plain` is the whole
    /// new value, when it is known and holds nothing secret.
    #[must_use]
    pub fn edit_env(mut self, name: &str, from: &str, to: &str, plain: Option<String>) -> Self {
        match plain {
            Some(value) => self.env_plain.push((name.into(), value)),
            None => self.env_edits.push((name.into(), from.into(), to.into())),
        }
        self
    }

    /// With this health check, in place of its own or its image's; what holds a secret must not be given.
    #[must_use]
    pub fn health_command(mut self, command: &str) -> Self {
        const FLAG: &str = "--health-cmd";
        let flags = &mut self.run.flags;
        match flags.iter().position(|word| word == FLAG) {
            Some(at) if at + 1 < flags.len() => command.clone_into(&mut flags[at + 1]),
            _ => flags.extend([FLAG.to_owned(), command.to_owned()]),
        }
        self
    }

    /// With this value of an environment variable, which must not be secret.
    #[must_use]
    pub fn set_env(mut self, name: &str, value: &str) -> Self {
        self.run.env_names.retain(|known| known != name);
        self.env_new.push((name.into(), value.into()));
        self
    }

    /// With `from` replaced by `to` in every word of the command line.
    #[must_use]
    pub fn edit_command(mut self, from: &str, to: &str) -> Self {
        for word in &mut self.run.command {
            *word = crate::reference::replace_host(word, from, to);
        }
        if let Some(entrypoint) = &mut self.run.entrypoint {
            for word in entrypoint {
                *word = crate::reference::replace_host(word, from, to);
            }
        }
        self
    }

    /// With another host in the value of a label.
    #[must_use]
    pub fn edit_label(mut self, name: &str, from: &str, to: &str) -> Self {
        let mut words = self.run.flags.iter_mut();
        while let Some(word) = words.next() {
            if word != "--label" {
                continue;
            }
            let Some(label) = words.next() else { break };
            if let Some((found, value)) = label.split_once('=')
                && found == name
            {
                *label = format!("{name}={}", crate::reference::replace_host(value, from, to));
            }
        }
        self
    }

    /// As a fix. In a Compose project, or where something cannot be reproduced, it is `text` with
    /// what to edit, and no commands.
    pub fn fix(self, text: &str, compose_edit: &str) -> Fix {
        if let Some((project, service)) = self.container.compose_service() {
            return Fix {
                text: format!(
                    "{text}: in the Compose file of `{project}`, service `{service}`, {compose_edit}, \
                     then `docker compose up -d {service}`"
                ),
                commands: Vec::new(),
            };
        }
        if !self.run.unreproducible.is_empty() {
            return Fix {
                text: format!(
                    "{text}: create `{}` again as it was made, but {compose_edit} (no command is \
                     given, because it uses {})",
                    self.container.name,
                    self.run.unreproducible.join(", ")
                ),
                commands: Vec::new(),
            };
        }
        let old = self.old_name();
        let keeps = if self.run.auto_remove {
            String::new()
        } else {
            format!(" (the old one stays as `{old}`, stopped, until you remove it)")
        };
        Fix {
            text: format!("{text}: create it again with that change{keeps}"),
            commands: self.commands(&old),
        }
    }

    fn old_name(&self) -> String {
        let first = format!("{}-old", self.container.name);
        if !self.taken_names.contains(&first.as_str()) {
            return first;
        }
        (2..)
            .map(|n| format!("{first}-{n}"))
            .find(|name| !self.taken_names.contains(&name.as_str()))
            .unwrap_or(first)
    }

    fn commands(&self, old: &str) -> Vec<String> {
        let name = &self.container.name;
        let file = self
            .printable_env()
            .is_none()
            .then(|| format!("{name}.env"));
        let mut commands = Vec::new();
        if let Some(file) = &file {
            commands.push(self.env_file_command(file));
        }
        commands.push(shell::command(["docker", "stop", name]));
        if !self.run.auto_remove {
            commands.push(shell::command(["docker", "rename", name, old]));
        }
        commands.push(shell::command(self.run_words(old, file.as_deref())));
        for endpoint in self.endpoints.iter().skip(1) {
            let mut words = vec!["docker".to_owned(), "network".into(), "connect".into()];
            words.extend(endpoint_flags(endpoint, "--alias"));
            words.push(endpoint.network_name.clone());
            words.push(name.clone());
            commands.push(shell::command(words));
        }
        if let Some(file) = &file {
            commands.push(shell::command(["rm", file]));
        }
        commands
    }

    /// The whole environment that was set for this container, if every value may be printed.
    fn printable_env(&self) -> Option<Vec<(&str, &str)>> {
        let value_of = |variable: &str| {
            let is_it = |(name, _): &&(String, String)| name == variable;
            let edited = self.env_edits.iter().any(|(name, ..)| name == variable);
            let known = self.env_plain.iter().find(is_it);
            known.or_else(|| self.env_known.iter().find(is_it).filter(|_| !edited))
        };
        self.run
            .env_names
            .iter()
            .map(|name| Some((name.as_str(), value_of(name)?.1.as_str())))
            .collect()
    }

    fn env_file_command(&self, file: &str) -> String {
        let format = "{{range .Config.Env}}{{println .}}{{end}}";
        let mut command = shell::command(["docker", "inspect", "-f", format, &self.container.name]);
        let mut script: Vec<String> = self
            .env_edits
            .iter()
            .map(|(name, from, to)| {
                // A host without its port may be the same word as the scheme before it.
                let (before, kept) = if from.contains(':') {
                    ("", "")
                } else {
                    ("(//|@|,|[(]|host=|Host=|Server=)", "\\1")
                };
                format!(
                    "/^{}=/s#{before}{}#{kept}{}#",
                    sed(name),
                    sed(from),
                    sed_to(to)
                )
            })
            .collect();
        script.extend(self.env_plain.iter().map(|(name, value)| {
            format!("s#^{}=.*#{}={}#", sed(name), sed_to(name), sed_to(value))
        }));
        if !script.is_empty() {
            command.push_str(" | ");
            command.push_str(&shell::command(["sed", "-E", &script.join(";")]));
        }
        format!("(umask 077; {command} > {})", shell::quote(file))
    }

    fn run_words(&self, old: &str, env_file: Option<&str>) -> Vec<String> {
        let mut words = vec!["docker".to_owned(), "run".into(), "-d".into()];
        let mut flag = |name: &str, value: &str| {
            words.push(name.to_owned());
            words.push(value.to_owned());
        };
        flag("--name", &self.container.name);
        match &self.mode {
            Mode::Host => flag("--network", "host"),
            Mode::None => flag("--network", "none"),
            Mode::Container(owner) => flag("--network", &format!("container:{owner}")),
            Mode::User(word) => flag("--network", word),
            Mode::Networks => {}
        }
        if let (Mode::Networks, Some(first)) = (&self.mode, self.endpoints.first()) {
            if first.network_name != "bridge" {
                flag("--network", &first.network_name);
            }
            words.extend(endpoint_flags(first, "--network-alias"));
        }
        let mut flag = |name: &str, value: &str| {
            words.push(name.to_owned());
            words.push(value.to_owned());
        };
        if let Some(hostname) = &self.run.hostname {
            flag("--hostname", hostname);
        }
        for binding in &self.publish {
            flag("-p", &publish_word(binding));
        }
        for port in &self.expose {
            flag("--expose", &port.to_string());
        }
        for line in &self.hosts {
            flag("--add-host", &format!("{}:{}", line.name, line.address));
        }
        for server in &self.dns {
            flag("--dns", server);
        }
        for option in &self.dns_options {
            flag("--dns-option", option);
        }
        for domain in &self.dns_search {
            flag("--dns-search", domain);
        }
        for (name, value) in &self.sysctls {
            flag("--sysctl", &format!("{name}={value}"));
        }
        match env_file {
            Some(file) => flag("--env-file", file),
            None => {
                for (name, value) in self.printable_env().unwrap_or_default() {
                    flag("-e", &format!("{name}={value}"));
                }
            }
        }
        for (name, value) in &self.env_new {
            // It outweighs the file.
            words.extend(["-e".to_owned(), format!("{name}={value}")]);
        }
        if self.run.auto_remove {
            words.push("--rm".into());
            for mount in &self.run.mounts {
                let read_only = if mount.read_only { ":ro" } else { "" };
                words.push("-v".into());
                words.push(format!("{}:{}{read_only}", mount.source, mount.target));
            }
        } else if !self.run.mounts.is_empty() {
            words.push("--volumes-from".into());
            words.push(old.to_owned());
        }
        if self.publish_all {
            words.push("-P".into());
        }
        words.extend(self.run.flags.iter().cloned());
        let mut rest = Vec::new();
        if let Some((first, others)) = self.run.entrypoint.as_deref().and_then(<[_]>::split_first) {
            words.push("--entrypoint".into());
            words.push(first.clone());
            rest.extend(others.iter().cloned());
        }
        words.push(self.container.image.clone());
        words.extend(rest);
        words.extend(self.run.command.iter().cloned());
        words
    }
}

fn endpoint_flags(endpoint: &Endpoint, alias_flag: &str) -> Vec<String> {
    let mut words = Vec::new();
    for alias in &endpoint.aliases {
        words.push(alias_flag.to_owned());
        words.push(alias.clone());
    }
    for address in &endpoint.static_addresses {
        words.push(match address {
            IpAddr::V4(_) => "--ip".to_owned(),
            IpAddr::V6(_) => "--ip6".to_owned(),
        });
        words.push(address.to_string());
    }
    words
}

/// `127.0.0.1:8080:80/tcp` as `-p` takes it.
pub fn publish_word(binding: &Binding) -> String {
    let host = match binding.host_address {
        Some(IpAddr::V6(address)) => format!("[{address}]:"),
        Some(IpAddr::V4(address)) => format!("{address}:"),
        None => String::new(),
    };
    let host_port = match (binding.host_port, host.is_empty()) {
        (Some(port), _) => format!("{port}:"),
        (None, true) => String::new(),
        (None, false) => ":".into(),
    };
    let protocol = match binding.container.protocol {
        netcheck_probe::Protocol::Tcp => "",
        netcheck_probe::Protocol::Udp => "/udp",
    };
    format!("{host}{host_port}{}{protocol}", binding.container.number)
}

/// Several fixes may make one container anew, each from what it is now. So that a later one does not undo an earlier
/// one unsaid, it says so; and each keeps the old container under a name of its own.
pub(crate) fn tell_apart(findings: &mut [Finding]) {
    let mut used: Vec<String> = Vec::new();
    let mut renewed: Vec<String> = Vec::new();
    for finding in findings {
        let mut here = Vec::new();
        for fix in &mut finding.fixes {
            let after = |mark: &str| {
                let all = fix.commands.iter();
                let mut found = all.filter_map(|command| command.split_once(mark));
                found.next().map(|(_, rest)| rest.split(' '))
            };
            let made = after("docker run ").and_then(|_| after(" --name ")?.next());
            let made = made.map(str::to_owned);
            let old = after("docker rename ").and_then(|mut words| words.nth(1));
            if let Some(old) = old.map(str::to_owned) {
                keep_as_another(fix, old, &mut used);
            }
            let Some(made) = made else {
                continue;
            };
            if renewed.contains(&made) {
                fix.text
                    .push_str("; after a fix above, ask again first: this one would undo it");
            }
            here.push(made);
        }
        renewed.extend(here);
    }
}

/// Where another fix keeps an old container under this name, `name-2`, ….
fn keep_as_another(fix: &mut Fix, old: String, used: &mut Vec<String>) {
    let times = used.iter().filter(|name| **name == old).count();
    if times > 0 {
        let new = format!("{old}-{}", times + 1);
        fix.text = replace_word(&fix.text, &old, &new);
        for command in &mut fix.commands {
            *command = replace_word(command, &old, &new);
        }
    }
    used.push(old);
}

/// Replaces a name where it stands alone.
fn replace_word(text: &str, from: &str, to: &str) -> String {
    text.split_inclusive([' ', '`'])
        .map(|piece| {
            let bare = piece.trim_end_matches([' ', '`']);
            if bare == from {
                format!("{to}{}", &piece[bare.len()..])
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

/// A literal inside an extended regular expression with `#` as the delimiter.
fn sed(literal: &str) -> String {
    escaped(literal, r".*[]^$\+?(){}|#")
}

/// A literal replacement with `#` as the delimiter.
fn sed_to(literal: &str) -> String {
    escaped(literal, r"&\#")
}

fn escaped(literal: &str, special: &str) -> String {
    literal
        .chars()
        .flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c]))
        .collect()
}
