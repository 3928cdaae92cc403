//! Which ports somebody means who names a container and no port: those it serves.
//!
//! It must not take a port for a service that nobody outside is meant to use: a listener on the
//! loopback that the image does not expose is told, and not tried.

use netcheck_probe::Protocol;

use crate::case::Case;
use crate::evidence::{Container, Evidence, Port};
use crate::reference::Reference;

/// The most ports of one container that are tried.
const MOST: usize = 32;

/// The ports of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ports {
    /// To be tried, in their order, each once.
    pub tried: Vec<Port>,
    /// Left out: listeners on its loopback that it does not expose.
    pub private: Vec<Port>,
    /// How many more there are than can be tried.
    pub more: usize,
    /// Why it is not known what listens there.
    pub unseen: Option<String>,
}

/// What the container listens on, exposes or publishes; if that is nothing, what the one that asks
/// has in its configuration for it.
pub fn ports(evidence: &Evidence, container: &Container) -> Ports {
    let mut found = Ports::default();
    let Some(detail) = container.detail() else {
        found.unseen = container.detail.why_unknown().map(str::to_owned);
        return found;
    };
    let case = Case {
        evidence,
        subject: container,
        detail,
        asked: None,
    };
    let is_itself = container.id == evidence.request.container;
    found.tried = case.promised_ports();
    match case.services() {
        Ok(listeners) => {
            for listener in listeners {
                if found.tried.contains(&listener.port) {
                    continue;
                }
                if is_itself || listener.is_reachable() {
                    found.tried.push(listener.port);
                } else if !found.private.contains(&listener.port) {
                    found.private.push(listener.port);
                }
            }
        }
        Err(why) => found.unseen = Some(why),
    }
    // `127.0.0.1:80` beside `172.18.0.2:80` is no port of its own.
    let tried = &found.tried;
    found.private.retain(|port| !tried.contains(port));
    if found.tried.is_empty() {
        // Nothing else could be meant.
        found.tried = std::mem::take(&mut found.private);
    }
    if found.tried.is_empty() {
        found.tried = configured(evidence, container);
    }
    found.tried.sort_unstable();
    found.more = found.tried.len().saturating_sub(MOST);
    found.tried.truncate(MOST);
    found
}

/// The ports at which the configuration of the one that asks looks for the container.
fn configured(evidence: &Evidence, container: &Container) -> Vec<Port> {
    let Some(from) = Case::new(evidence) else {
        return Vec::new();
    };
    let means = |reference: &&Reference| {
        from.named(&reference.host)
            .iter()
            .any(|other| other.id == container.id)
    };
    let mut ports: Vec<Port> = from
        .detail
        .references
        .iter()
        .filter(means)
        .filter_map(Reference::certain_port)
        .map(|number| Port {
            number,
            protocol: Protocol::Tcp,
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Question, Snapshot};

    use super::*;
    use crate::evidence::Viewpoint;
    use crate::rules::testing::{container, id_of, snapshot, socket, tcp, world};

    fn of(db: Container, listens: &[&str]) -> Ports {
        of_asker(&["DB_URL=mysql://db/some"], db, listens)
    }

    fn of_asker(env: &[&str], db: Container, listens: &[&str]) -> Ports {
        let app = container("app").env(env);
        let evidence = world(app).and(db);
        let seen = Snapshot {
            sockets: Ok(listens.iter().map(|at| socket(Protocol::Tcp, at)).collect()),
            ..snapshot()
        };
        let from = Viewpoint::Container(id_of("db"));
        let evidence = evidence.answered_from(from, Question::Snapshot, Answer::Snapshot(seen));
        let db = evidence.container(&id_of("db")).unwrap().clone();
        ports(&evidence, &db)
    }

    fn numbers(ports: &[Port]) -> Vec<u16> {
        ports.iter().map(|port| port.number).collect()
    }

    #[test]
    fn what_it_exposes_and_what_it_listens_on() {
        let found = of(
            container("db").exposes(tcp(3306)),
            &["0.0.0.0:33060", "127.0.0.1:9999", "127.0.0.11:4242"],
        );
        assert_eq!(numbers(&found.tried), [3306, 33060]);
        assert_eq!(numbers(&found.private), [9999]);
    }

    #[test]
    fn a_listener_on_the_loopback_counts_where_there_is_no_other() {
        let found = of(container("db"), &["127.0.0.1:3306"]);
        assert_eq!(numbers(&found.tried), [3306]);
        assert_eq!(found.private, []);
    }

    #[test]
    fn else_it_is_what_the_other_end_is_told() {
        assert_eq!(numbers(&of(container("db"), &[]).tried), [3306]);
        assert_eq!(numbers(&of_asker(&[], container("db"), &[]).tried), [0; 0]);
    }
}
