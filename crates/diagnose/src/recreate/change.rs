//! What can be different about a container that is made again, as data: so that changes which several
//! findings ask for can be made in one go.
//!
//! It must never join two changes of which one would undo the other.

use super::commands::Made;
use crate::evidence::{Binding, Endpoint, HostsLine, Mode};
use crate::reference;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These published ports instead.
    Publish(Vec<Binding>),
    /// One published port exchanged for another.
    ReplaceBinding { old: Binding, new: Binding },
    /// One more line in /etc/hosts.
    AddHost(HostsLine),
    /// No line for this name.
    DropHost(String),
    /// No `--dns`.
    DropDns,
    /// None of the `--dns-option`s that begin like this.
    DropDnsOption(String),
    /// One more `--dns-option`.
    AddDnsOption(String),
    /// No `--sysctl` of this name.
    DropSysctl(String),
    /// A `--sysctl` with this value.
    SetSysctl { name: String, value: String },
    /// On this network only, or in addition when it is on networks already.
    Join(String),
    /// On another network in place of this one.
    MoveTo { old: String, new: String },
    /// Other text in the value of a variable; `plain` is the whole new value, where it may be printed.
    EditEnv {
        name: String,
        from: String,
        to: String,
        plain: Option<String>,
    },
    /// Another value of a variable, or a variable more.
    SetEnv { name: String, value: String },
    /// Another health check.
    HealthCommand(String),
    /// Another host in every word of the command line.
    EditCommand { from: String, to: String },
    /// Another host in the value of a label.
    EditLabel {
        name: String,
        from: String,
        to: String,
    },
}

impl Change {
    /// Whether both are about the same setting and want it differently.
    pub(super) fn clashes_with(&self, other: &Self) -> bool {
        let (one, two) = (self.about(), other.about());
        let one_part = one.2 == two.2 || one.2.is_empty() || two.2.is_empty();
        self != other && (one.0, one.1) == (two.0, two.1) && one_part
    }

    /// The kind of setting, which one of that kind, and which part of that; an empty part is the whole.
    fn about(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Publish(_) | Self::ReplaceBinding { .. } => ("ports", "", ""),
            Self::AddHost(HostsLine { name, .. }) | Self::DropHost(name) => ("host", name, ""),
            Self::DropDns => ("dns", "", ""),
            Self::DropDnsOption(_) | Self::AddDnsOption(_) => ("dns options", "", ""),
            Self::DropSysctl(name) | Self::SetSysctl { name, .. } => ("sysctl", name, ""),
            Self::Join(network) | Self::MoveTo { old: network, .. } => ("network", network, ""),
            Self::EditEnv {
                name,
                from,
                plain: None,
                ..
            } => ("variable", name, from),
            Self::EditEnv { name, .. } | Self::SetEnv { name, .. } => ("variable", name, ""),
            Self::HealthCommand(_) => ("health check", "", ""),
            Self::EditCommand { from, .. } => ("command", "", from),
            Self::EditLabel { name, from, .. } => ("label", name, from),
        }
    }
}

impl Made {
    /// With this difference.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Publish(bindings) => self.publish = bindings,
            Change::ReplaceBinding { old, new } => {
                self.publish.retain(|binding| {
                    !(binding.container == old.container
                        && (binding.host_port == old.host_port || binding.host_port.is_none()))
                });
                self.publish.push(new);
            }
            Change::AddHost(line) => self.hosts.push(line),
            Change::DropHost(name) => {
                self.hosts
                    .retain(|line| !line.name.eq_ignore_ascii_case(&name));
            }
            Change::DropDns => self.dns.clear(),
            Change::DropDnsOption(beginning) => {
                self.dns_options
                    .retain(|option| !option.starts_with(&beginning));
            }
            Change::AddDnsOption(option) => self.dns_options.push(option),
            Change::DropSysctl(name) => self.sysctls.retain(|(other, _)| *other != name),
            Change::SetSysctl { name, value } => {
                self.sysctls.retain(|(other, _)| *other != name);
                self.sysctls.push((name, value));
            }
            Change::Join(network) => self.join(network),
            Change::MoveTo { old, new } => {
                for endpoint in &mut self.endpoints {
                    if endpoint.network_name == old {
                        new.clone_into(&mut endpoint.network_name);
                        endpoint.static_addresses.clear();
                    }
                }
            }
            Change::EditEnv {
                name,
                from,
                to,
                plain,
            } => match plain {
                Some(value) => self.env_plain.push((name, value)),
                None => self.env_edits.push((name, from, to)),
            },
            Change::SetEnv { name, value } => {
                self.run.env_names.retain(|known| *known != name);
                self.env_new.push((name, value));
            }
            Change::HealthCommand(command) => self.health_command(command),
            Change::EditCommand { from, to } => self.edit_command(&from, &to),
            Change::EditLabel { name, from, to } => self.edit_label(&name, &from, &to),
        }
    }

    fn join(&mut self, network_name: String) {
        if self.mode != Mode::Networks {
            self.mode = Mode::Networks;
            self.endpoints.clear();
        }
        self.endpoints.push(Endpoint {
            network_id: String::new(),
            network_name,
            addresses: Vec::new(),
            static_addresses: Vec::new(),
            gateways: Vec::new(),
            mac: None,
            aliases: Vec::new(),
            dns_names: Vec::new(),
            gateway_priority: None,
        });
    }

    fn health_command(&mut self, command: String) {
        const FLAG: &str = "--health-cmd";
        let flags = &mut self.run.flags;
        match flags.iter().position(|word| word == FLAG) {
            Some(at) if at + 1 < flags.len() => flags[at + 1] = command,
            _ => flags.extend([FLAG.to_owned(), command]),
        }
    }

    fn edit_command(&mut self, from: &str, to: &str) {
        let entrypoint = self.run.entrypoint.iter_mut().flatten();
        for word in entrypoint.chain(&mut self.run.command) {
            *word = reference::replace_host(word, from, to);
        }
    }

    fn edit_label(&mut self, name: &str, from: &str, to: &str) {
        let mut words = self.run.flags.iter_mut();
        while let Some(word) = words.next() {
            if word != "--label" {
                continue;
            }
            let Some(label) = words.next() else { break };
            if let Some((found, value)) = label.split_once('=')
                && found == name
            {
                *label = format!("{name}={}", reference::replace_host(value, from, to));
            }
        }
    }
}
