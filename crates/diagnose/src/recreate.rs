//! The commands that start the same container again with something changed: what most fixes come
//! down to, because ports, hosts entries, DNS servers and environment are fixed at creation.
//!
//! The old container is stopped and kept under another name, never removed, and its volumes are
//! taken over, so nothing that it stored is lost. It must give no commands at all where the
//! configuration holds something it cannot reproduce.

mod change;
mod commands;
mod together;

use serde::{Deserialize, Serialize};

use self::change::Change;
use self::commands::Made;
pub use self::commands::{publish_word, reconnect};
pub(crate) use self::together::{Again, together};
use crate::evidence::{Binding, Container, Detail, HostsLine, Mode, Mount};
use crate::reference::Place;
use crate::report::Fix;

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

/// A container that is made again, on the way to commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recreate {
    made: Made,
    /// Project and service.
    compose: Option<(String, String)>,
    /// A name that nobody has, for the old one.
    old: String,
    /// What is to be different.
    changes: Vec<Change>,
}

impl Recreate {
    /// The container as it is.
    pub fn of(container: &Container, detail: &Detail, all: &[Container]) -> Self {
        let project_and_service = container.compose_service();
        Self {
            made: Made {
                name: container.name.clone(),
                image: container.image.clone(),
                run: detail.run.clone(),
                mode: detail.mode.clone(),
                endpoints: container.endpoints.clone(),
                publish: detail.wanted.clone(),
                publish_all: detail.publish_all,
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
            },
            compose: project_and_service.map(|(project, service)| (project.into(), service.into())),
            old: old_name(&container.name, all),
            changes: Vec::new(),
        }
    }

    fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// With these published ports instead.
    #[must_use]
    pub fn publish(self, bindings: Vec<Binding>) -> Self {
        self.with(Change::Publish(bindings))
    }

    /// With one published port exchanged for another.
    #[must_use]
    pub fn replace_binding(self, old: &Binding, new: Binding) -> Self {
        let old = old.clone();
        self.with(Change::ReplaceBinding { old, new })
    }

    /// With one more line in /etc/hosts.
    #[must_use]
    pub fn add_host(self, name: &str, address: &str) -> Self {
        self.with(Change::AddHost(HostsLine {
            name: name.into(),
            address: address.into(),
        }))
    }

    /// Without the lines for this name.
    #[must_use]
    pub fn drop_host(self, name: &str) -> Self {
        self.with(Change::DropHost(name.into()))
    }

    /// Without `--dns`, so that the engine's own servers are used.
    #[must_use]
    pub fn drop_dns(self) -> Self {
        self.with(Change::DropDns)
    }

    /// Without the `--dns-option`s that begin like this.
    #[must_use]
    pub fn drop_dns_option(self, beginning: &str) -> Self {
        self.with(Change::DropDnsOption(beginning.into()))
    }

    /// With this `--dns-option`.
    #[must_use]
    pub fn add_dns_option(self, option: &str) -> Self {
        self.with(Change::AddDnsOption(option.into()))
    }

    /// Without this `--sysctl`.
    #[must_use]
    pub fn drop_sysctl(self, name: &str) -> Self {
        self.with(Change::DropSysctl(name.into()))
    }

    /// With this `--sysctl`.
    #[must_use]
    pub fn set_sysctl(self, name: &str, value: &str) -> Self {
        self.with(Change::SetSysctl {
            name: name.into(),
            value: value.into(),
        })
    }

    /// On this network only, or in addition when it is on networks already.
    #[must_use]
    pub fn join(self, network_name: &str) -> Self {
        self.with(Change::Join(network_name.into()))
    }

    /// On another network in place of this one, with addresses of the engine's choice.
    #[must_use]
    pub fn move_to(self, old: &str, new: &str) -> Self {
        self.with(Change::MoveTo {
            old: old.into(),
            new: new.into(),
        })
    }

    /// With `from` replaced by `to` in the value of an environment variable. `plain` is the whole
    /// new value, when it is known and holds nothing secret.
    #[must_use]
    pub fn edit_env(self, name: &str, from: &str, to: &str, plain: Option<String>) -> Self {
        self.with(Change::EditEnv {
            name: name.into(),
            from: from.into(),
            to: to.into(),
            plain,
        })
    }

    /// With this health check, in place of its own or its image's; what holds a secret must not be given.
    #[must_use]
    pub fn health_command(self, command: &str) -> Self {
        self.with(Change::HealthCommand(command.into()))
    }

    /// With this value of an environment variable, which must not be secret.
    #[must_use]
    pub fn set_env(self, name: &str, value: &str) -> Self {
        self.with(Change::SetEnv {
            name: name.into(),
            value: value.into(),
        })
    }

    /// With `from` replaced by `to` in every word of the command line.
    #[must_use]
    pub fn edit_command(self, from: &str, to: &str) -> Self {
        self.with(Change::EditCommand {
            from: from.into(),
            to: to.into(),
        })
    }

    /// With another host in the value of a label.
    #[must_use]
    pub fn edit_label(self, name: &str, from: &str, to: &str) -> Self {
        self.with(Change::EditLabel {
            name: name.into(),
            from: from.into(),
            to: to.into(),
        })
    }

    /// With the changes of both; none where one of them would undo another.
    fn and(&self, other: &Self) -> Option<Self> {
        let is_own = |change: &&Change| self.changes.contains(change);
        let more = || other.changes.iter().filter(|change| !is_own(change));
        let clash = |change: &Change| self.changes.iter().any(|own| own.clashes_with(change));
        if more().any(clash) {
            return None;
        }
        // What is right in another network mode need not be right on a network.
        let joins = |one: &Self| {
            one.changes
                .iter()
                .any(|change| matches!(change, Change::Join(_)))
        };
        let leaves_its_mode = self.made.mode != Mode::Networks && (joins(self) || joins(other));
        if leaves_its_mode && self.changes != other.changes {
            return None;
        }
        let mut both = self.clone();
        both.changes.extend(more().cloned());
        Some(both)
    }

    /// That keep the old container under this name.
    fn commands(&self, old: &str) -> Vec<String> {
        let mut made = self.made.clone();
        for change in &self.changes {
            made.change(change.clone());
        }
        made.commands(old)
    }

    /// As a fix. In a Compose project, or where something cannot be reproduced, it is `text` with
    /// what to edit, and no commands.
    pub fn fix(self, text: &str, compose_edit: &str) -> Fix {
        if let Some((project, service)) = &self.compose {
            let text = format!(
                "{text}: in the Compose file of `{project}`, service `{service}`, {compose_edit}, \
                 then `docker compose up -d {service}`"
            );
            return Fix::new(text, Vec::new());
        }
        let Made { name, run, .. } = &self.made;
        if !run.unreproducible.is_empty() {
            let text = format!(
                "{text}: create `{name}` again as it was made, but {compose_edit} (no command is \
                 given, because it uses {})",
                run.unreproducible.join(", ")
            );
            return Fix::new(text, Vec::new());
        }
        Again::new(text, self).into_fix()
    }
}

fn old_name(name: &str, all: &[Container]) -> String {
    let is_free = |name: &String| !all.iter().any(|other| other.name == *name);
    let first = format!("{name}-old");
    let more = (2..).map(|number| format!("{first}-{number}"));
    let mut names = std::iter::once(first.clone()).chain(more);
    names.find(is_free).unwrap_or(first)
}
