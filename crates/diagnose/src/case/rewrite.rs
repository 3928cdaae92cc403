//! Fixes that point a reference at another place: what to write, in which variable or word, and
//! which network the two must share first so that the name is found.
//!
//! It must never print more of a value than the reference shows, and gives no command where the
//! words to change are not known to the letter.

use super::Case;
use crate::evidence::{Container, Endpoint, Mode, Network};
use crate::recreate::Recreate;
use crate::reference::{Place, Reference};
use crate::report::Fix;
use crate::shell;

/// Where a reference should point.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name or address.
    pub host: String,
    /// The port there.
    pub port: u16,
}

/// What to write in place of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// As the user would write it: `DB_URL=mysql://mysql-db:3306/some`.
    pub line: String,
    /// What to edit in a Compose file.
    pub compose: String,
    /// Host and port as they stand, and as they should.
    from_to: Option<(String, String)>,
    /// Variable of the port, old and new.
    port_edit: Option<(String, u16, u16)>,
    /// False where the port stands at a place that is not known to the letter.
    exact: bool,
}

/// How two containers come to share a network with DNS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meeting {
    /// To run first.
    pub commands: Vec<String>,
    /// A network that the referring container has to be created on.
    pub join: Option<String>,
    /// The same in words, to begin a sentence with; empty when they share one already.
    pub words: String,
    /// Under which the other is found there.
    pub name: String,
}

impl Rewrite {
    /// With this host and port in place of the reference's.
    pub fn new(reference: &Reference, target: &Target) -> Self {
        let port_is_in_written = port_is_in_written(reference);
        let same_port = reference.port == Some(target.port)
            || (reference.port.is_none() && reference.likely_ports.contains(&target.port));
        let with_port = port_is_in_written || (reference.port.is_none() && !same_port);
        let host = if target.host.contains(':') && (with_port || reference.written.starts_with('['))
        {
            format!("[{}]", target.host)
        } else {
            target.host.clone()
        };
        let new = if with_port {
            format!("{host}:{}", target.port)
        } else {
            host
        };
        let port_edit = match (&reference.port_place, reference.port) {
            (Some(place), Some(old)) if !same_port => Some((place.clone(), old, target.port)),
            _ => None,
        };
        let exact =
            same_port || port_is_in_written || port_edit.is_some() || reference.port.is_none();
        let from_to = (new != reference.written).then(|| (reference.written.clone(), new.clone()));
        let shown = reference.shown_with(&new);
        let mut lines = Vec::new();
        let mut edits = Vec::new();
        if from_to.is_some() || port_edit.is_none() {
            match &reference.place {
                Place::Env(name) => {
                    lines.push(format!("{name}={shown}"));
                    if reference.complete {
                        edits.push(format!("set `{name}` to `{shown}`"));
                    } else {
                        edits.push(format!(
                            "in `{name}` write `{new}` in place of `{}`",
                            reference.written
                        ));
                    }
                }
                Place::Label(name) => {
                    lines.push(format!("{name}={shown}"));
                    edits.push(format!(
                        "in its label `{name}` write `{new}` in place of `{}`",
                        reference.written
                    ));
                }
                Place::Asked => {
                    lines.push(shown.clone());
                    edits.push(format!("use `{shown}`"));
                }
                Place::Argument(_) => {
                    lines.push(shown);
                    edits.push(format!(
                        "in its command write `{new}` in place of `{}`",
                        reference.written
                    ));
                }
            }
        }
        if let Some((place, _, port)) = &port_edit {
            lines.push(format!("{place}={port}"));
            edits.push(format!("set `{place}` to `{port}`"));
        }
        if !exact {
            edits.push(format!("set the port to {}", target.port));
        }
        Self {
            line: lines.join(" "),
            compose: edits.join(" and "),
            from_to,
            port_edit,
            exact,
        }
    }

    /// Applied to its container; none where the words to change are not known.
    fn apply(&self, recreate: Recreate, reference: &Reference) -> Option<Recreate> {
        if !self.exact {
            return None;
        }
        let mut changed = recreate;
        if let Some((from, to)) = &self.from_to {
            changed = match &reference.place {
                Place::Env(name) => {
                    let plain = reference.complete.then(|| reference.shown_with(to));
                    changed.edit_env(name, from, to, plain)
                }
                Place::Argument(_) => changed.edit_command(from, to),
                Place::Label(name) => changed.edit_label(name, from, to),
                // Written nowhere, so there is nothing to edit.
                Place::Asked => return None,
            };
        }
        if let Some((place, from, to)) = &self.port_edit {
            let (from, to) = (from.to_string(), to.to_string());
            changed = changed.edit_env(place, &from, &to, Some(to.clone()));
        }
        Some(changed)
    }

    /// As the fix of the container that holds the reference. `why` begins the sentence.
    pub fn fix(
        &self,
        case: &Case<'_>,
        holder: &Container,
        reference: &Reference,
        why: &str,
        change: impl FnOnce(Recreate) -> Recreate,
    ) -> Fix {
        let text = if self.exact {
            format!("{why}, `{}`", self.line)
        } else {
            format!("{why}: {}", self.compose)
        };
        let known = holder.detail().filter(|detail| match reference.place {
            Place::Env(_) | Place::Label(_) => true,
            Place::Asked => false,
            // An unchanged command of the image is not among the words that can be edited.
            Place::Argument(_) => self
                .from_to
                .as_ref()
                .is_none_or(|(from, _)| command_holds(&detail.run, from)),
        });
        let recreate = known.and_then(|detail| {
            let recreate = Recreate::of(holder, detail, &case.evidence.containers);
            self.apply(recreate, reference)
        });
        match recreate {
            Some(recreate) => change(recreate).fix(&text, &self.compose),
            None => Fix::new(text, Vec::new()),
        }
    }
}

/// `db:5432` and `[::1]:80` hold their port, `db` and `fd00::80` do not.
fn port_is_in_written(reference: &Reference) -> bool {
    let Some(port) = reference.port.filter(|_| reference.port_place.is_none()) else {
        return false;
    };
    let single = reference.written.matches(':').count() == 1;
    (single || reference.written.starts_with('['))
        && reference.written.ends_with(&format!(":{port}"))
}

/// Whether the words that `docker run` gets hold this host and port, and nowhere as a part of
/// something longer (`127.0.0.1:80` in `127.0.0.1:8080`), where a replacement would do harm.
pub fn command_holds(run: &crate::recreate::Run, text: &str) -> bool {
    let words = run.entrypoint.iter().flatten().chain(&run.command);
    let mut found = false;
    for word in words {
        for (at, _) in word.match_indices(text) {
            let before = word[..at].chars().next_back();
            let after = word[at + text.len()..].chars().next();
            let glued = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if before.is_some_and(glued) || after.is_some_and(|c| glued(c) && c != '.') {
                return false;
            }
            found = true;
        }
    }
    found
}

impl<'a> Case<'a> {
    /// The endpoints through which a container sends: its own, or those of the container whose
    /// namespace it shares.
    pub fn endpoints_of(&self, container: &'a Container) -> &'a [Endpoint] {
        let owner = container.detail().and_then(|detail| match &detail.mode {
            Mode::Container(owner) => self
                .evidence
                .containers
                .iter()
                .find(|other| other.id == *owner || other.name == *owner),
            _ => None,
        });
        &owner.unwrap_or(container).endpoints
    }

    /// The networks with DNS that a container's names are looked up on.
    fn dns_networks(&self, container: &'a Container) -> Vec<&'a Network> {
        self.endpoints_of(container)
            .iter()
            .filter_map(|endpoint| self.evidence.network(&endpoint.network_id))
            .filter(|network| network.has_dns())
            .collect()
    }

    /// A name under which `viewer` can find `other`: see [`Case::name_for`], for any viewer.
    pub fn name_between(&self, viewer: &'a Container, other: &'a Container) -> Option<String> {
        let endpoint = self
            .dns_networks(viewer)
            .into_iter()
            .find_map(|network| other.endpoint(&network.id))?;
        let service = other
            .compose
            .get("service")
            .filter(|service| endpoint.aliases.contains(service));
        Some(service.unwrap_or(&other.name).clone())
    }

    /// What it takes for `viewer` to find `other` by name; none where its mode has no names, or
    /// where it lives in somebody else's namespace and shares no network.
    pub fn meeting(&self, viewer: &'a Container, other: &'a Container) -> Option<Meeting> {
        if let Some(name) = self.name_between(viewer, other) {
            return Some(Meeting {
                name,
                ..Meeting::default()
            });
        }
        let mode = |container: &'a Container| container.detail().map(|detail| &detail.mode);
        self.evidence.networks.known()?;
        if matches!(mode(viewer), Some(Mode::Host | Mode::User(_)))
            || matches!(
                mode(other),
                Some(Mode::Host | Mode::None | Mode::User(_) | Mode::Container(_))
            )
        {
            return None;
        }
        let plain = |network: &&Network| network.driver == "bridge";
        let connect =
            |network: &str| shell::command(["docker", "network", "connect", network, &other.name]);
        let name = other.name.clone();
        if let Some(network) = self.dns_networks(viewer).into_iter().find(plain) {
            return Some(Meeting {
                commands: vec![connect(&network.name)],
                join: None,
                words: format!("Put `{name}` on `{}` too", network.name),
                name,
            });
        }
        if matches!(mode(viewer), Some(Mode::Container(_))) {
            return None;
        }
        if let Some(network) = self.dns_networks(other).into_iter().find(plain) {
            return Some(Meeting {
                commands: Vec::new(),
                join: Some(network.name.clone()),
                words: format!("Put `{}` on `{}` too", viewer.name, network.name),
                name,
            });
        }
        let network = self.free_network_name("app-net");
        Some(Meeting {
            commands: vec![
                shell::command(["docker", "network", "create", &network]),
                connect(&network),
            ],
            words: format!("Put both on a network of their own (`{network}`)"),
            join: Some(network),
            name,
        })
    }

    /// The same where no port is written or implied: the name alone takes the place of the address.
    pub fn fix_by_bare_name(
        &self,
        holder: &'a Container,
        reference: &Reference,
        other: &'a Container,
    ) -> Option<Fix> {
        let unmarked = Reference {
            likely_ports: vec![0],
            ..reference.clone()
        };
        self.fix_by_name(holder, &unmarked, other, 0)
    }

    /// The fix that makes `holder` use the name of `other` and its port, with a common network
    /// first if they have none; none if names do not work between them.
    pub fn fix_by_name(
        &self,
        holder: &'a Container,
        reference: &Reference,
        other: &'a Container,
        port: u16,
    ) -> Option<Fix> {
        let meeting = self.meeting(holder, other)?;
        let target = Target {
            host: meeting.name.clone(),
            port,
        };
        let rewrite = Rewrite::new(reference, &target);
        let whose = if holder.id == self.subject.id {
            String::new()
        } else {
            format!(" in `{}`", holder.name)
        };
        let why = if meeting.words.is_empty() {
            format!("Write the name instead{whose}")
        } else {
            format!("{} and write the name instead{whose}", meeting.words)
        };
        if reference.place == Place::Asked {
            let join = meeting.join.map(|network| {
                shell::command(["docker", "network", "connect", &network, &holder.name])
            });
            return Some(Fix::new(
                format!("{why}, `{}`", rewrite.line),
                meeting.commands.into_iter().chain(join).collect(),
            ));
        }
        let fix = rewrite.fix(self, holder, reference, &why, |recreate| {
            match &meeting.join {
                Some(network) => recreate.join(network),
                None => recreate,
            }
        });
        Some(fix.after(&meeting.commands))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recreate::Run;
    use crate::reference::find;

    #[track_caller]
    fn check(env: &[&str], host: &str, port: u16, line: &str, compose: &str) {
        let env: Vec<String> = env.iter().map(ToString::to_string).collect();
        let reference = &find(&env, &[], [])[0];
        let target = Target {
            host: host.into(),
            port,
        };
        let rewrite = Rewrite::new(reference, &target);
        assert_eq!((&*rewrite.line, &*rewrite.compose), (line, compose));
    }

    #[test]
    fn says_what_to_write_and_keeps_what_was_not_written() {
        check(
            &["DB_URL=mysql://172.17.0.2:3306/some"],
            "mysql-db",
            3306,
            "DB_URL=mysql://mysql-db:3306/some",
            "set `DB_URL` to `mysql://mysql-db:3306/some`",
        );
        check(
            &["X=postgres://u:secret@localhost/app"],
            "db",
            5432,
            "X=postgres://***@db/app",
            "in `X` write `db` in place of `localhost`",
        );
        check(
            &["X=http://localhost/"],
            "api",
            8080,
            "X=http://api:8080/",
            "set `X` to `http://api:8080/`",
        );
        check(
            &["DB_HOST=localhost", "DB_PORT=5433"],
            "db",
            5432,
            "DB_HOST=db DB_PORT=5432",
            "set `DB_HOST` to `db` and set `DB_PORT` to `5432`",
        );
        check(
            &["API_HOST=api", "API_PORT=8080"],
            "api",
            80,
            "API_PORT=80",
            "set `API_PORT` to `80`",
        );
        check(
            &["D=host=api port=5433 password=x"],
            "api",
            5432,
            "D=host=api ***",
            "in `D` write `api` in place of `api` and set the port to 5432",
        );
    }

    #[test]
    fn finds_an_address_in_the_command_and_not_a_part_of_another() {
        let holds = |words: &[&str], text: &str| {
            let run = Run {
                command: words.iter().map(ToString::to_string).collect(),
                ..Run::default()
            };
            command_holds(&run, text)
        };
        assert!(holds(&["serve", "tcp=127.0.0.1:80"], "127.0.0.1:80"));
        assert!(holds(
            &["sh", "-c", "httpd -p 127.0.0.1:80; x"],
            "127.0.0.1:80"
        ));
        assert!(!holds(&["tcp=127.0.0.1:8080"], "127.0.0.1:80"));
        assert!(!holds(&["127.0.0.1:80", "127.0.0.1:8080"], "127.0.0.1:80"));
        assert!(!holds(&["1127.0.0.1:80"], "127.0.0.1:80"));
        assert!(!holds(&[], "127.0.0.1:80"));
    }
}
