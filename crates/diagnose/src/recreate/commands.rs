//! How a container is made, as the commands that make it so again.
//!
//! Of environment variables it prints no value but those that are nothing but the address of a peer
//! (the commands read the others from the old container).

use std::net::IpAddr;

use super::Run;
use crate::evidence::{Binding, Endpoint, HostsLine, Mode};
use crate::shell;

/// What a container is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) run: Run,
    pub(super) mode: Mode,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) publish: Vec<Binding>,
    pub(super) publish_all: bool,
    pub(super) hosts: Vec<HostsLine>,
    pub(super) dns: Vec<String>,
    pub(super) dns_options: Vec<String>,
    pub(super) dns_search: Vec<String>,
    pub(super) sysctls: Vec<(String, String)>,
    /// `NAME`, search, replacement.
    pub(super) env_edits: Vec<(String, String, String)>,
    /// Variables whose whole new value may be printed.
    pub(super) env_plain: Vec<(String, String)>,
    /// Variables whose value is known to the letter and holds nothing secret: addresses of peers.
    pub(super) env_known: Vec<(String, String)>,
    /// Variables that are set anew, or for the first time.
    pub(super) env_new: Vec<(String, String)>,
}

impl Made {
    /// That keep the old container under this name.
    pub(super) fn commands(&self, old: &str) -> Vec<String> {
        let name = &self.name;
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
        let mut command = shell::command(["docker", "inspect", "-f", format, &self.name]);
        let mut script: Vec<String> = self
            .env_edits
            .iter()
            .map(|(name, from, to)| {
                // A host without its port may be the same word as the scheme before it, and neither may be a
                // part of a longer one: a second run of the same edit must find nothing to do.
                let (before, after) = if from.contains(':') {
                    ("([^A-Za-z0-9_.-])", "($|[^A-Za-z0-9_.-])")
                } else {
                    ("(//|@|,|[(]|host=|Host=|Server=)", "($|[^A-Za-z0-9_.:-])")
                };
                format!(
                    "/^{}=/s#{before}{}{after}#\\1{}\\2#",
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
        flag("--name", &self.name);
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
        words.push(self.image.clone());
        words.extend(rest);
        words.extend(self.run.command.iter().cloned());
        words
    }
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::super::Recreate;
    use crate::rules::testing::container;

    /// What `sed` makes of an environment with these edits of `V`.
    fn edited(line: &str, edits: &[(&str, &str)]) -> String {
        let app = container("app").env(&["V=x"]);
        let mut recreate = Recreate::of(&app, app.detail().unwrap(), &[]);
        for (from, to) in edits {
            recreate = recreate.edit_env("V", from, to, None);
        }
        let fix = recreate.fix("", "");
        let script = fix.commands[0].split('\'').rev().nth(1).unwrap();
        let mut sed = Command::new("sed")
            .args(["-E", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        sed.stdin
            .take()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
        let output = sed.wait_with_output().unwrap();
        assert!(output.status.success(), "{script}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn an_edit_is_made_once_and_of_whole_hosts() {
        for (line, from, to, wanted) in [
            (
                "V=http://api:80/v1/",
                "api:80",
                "api:8080",
                "V=http://api:8080/v1/",
            ),
            (
                "V=http://u:p@api/v1/",
                "api",
                "api:8080",
                "V=http://u:p@api:8080/v1/",
            ),
            ("V=db:5432", "db:5432", "my-db:5432", "V=my-db:5432"),
            ("V=x://db", "db", "db-1", "V=x://db-1"),
            (
                "V=http://[::1]:80/",
                "[::1]:80",
                "web:80",
                "V=http://web:80/",
            ),
            (
                "V=10.0.0.2:9092,10.0.0.2:90",
                "10.0.0.2:90",
                "a:90",
                "V=10.0.0.2:9092,a:90",
            ),
            (
                "V=jdbc:sqlserver://localhost;x=1",
                "localhost",
                "db",
                "V=jdbc:sqlserver://db;x=1",
            ),
            ("W=http://api:80/", "api:80", "api:8080", "W=http://api:80/"),
        ] {
            let once = edited(line, &[(from, to)]);
            assert_eq!(once, wanted);
            assert_eq!(edited(&once, &[(from, to)]), wanted);
        }
        let both = [("a:1", "b:1"), ("c:2", "d:2")];
        assert_eq!(edited("V=a:1,c:2", &both), "V=b:1,d:2");
    }
}
