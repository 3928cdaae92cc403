//! The name that is used is an alias of a container that is near, but only on another of its networks.

use crate::case::{Case, connect_flags, endpoint_names};
use crate::evidence::{Container, Endpoint, Network};
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "name-known-on-another-network-only",
    title: "the name is known on another network only",
    check: Check::Name,
    explained_by: &[
        "container-not-running",
        "container-on-no-network",
        "network-mode-none",
        "shared-namespace-dead",
    ],
    docs: "\
## What it checks

The environment, the command line or your question names a running container by an alias that it has
only on a network where the asking container is not. The two do share another network, and looked up
from inside the name comes to nothing.

## Why it matters

An alias belongs to one endpoint: `--network-alias`, and the service name that Compose gives, count only
on the network they were given for. After `docker network connect NETWORK db` the container is found
there by its own name and by no other: `could not resolve host`, though `they share a network`.

## How to fix it

Connect it again with the alias: `docker network disconnect NETWORK NAME`, then `docker network connect
--alias WANTED NETWORK NAME`. Connections over that network are cut for the moment. Or put the asking
container on the network where the name is known, or use a name that is known on the common one. In a
Compose file, write both networks at the service.

## When it is wrong

The name is meant for a machine outside that is not found just now.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let mut faults = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut open = None;
    for reference in case.named_references() {
        let host = reference.host.trim_end_matches('.');
        if !case.is_chosen(reference) || seen.contains(&host) {
            continue;
        }
        seen.push(host);
        let Some(found) = Elsewhere::find(case, host) else {
            continue;
        };
        match case.resolution(&reference.host) {
            Ok(addresses) if addresses.is_empty() => {
                faults.push(found.fault(case, reference, host));
            }
            Ok(_) => {}
            Err(why) => {
                open.get_or_insert(format!("whether `{}` resolves `{host}`: {why}", case.name()));
            }
        }
    }
    match open {
        Some(needs) if faults.is_empty() => Verdict::Unknown(needs),
        _ => Verdict::from_faults(faults),
    }
}

/// Who is near, and carries the name elsewhere only.
struct Elsewhere<'a> {
    other: &'a Container,
    /// Where both are.
    shared: (&'a Network, &'a Endpoint),
    /// Where the name is known.
    known_on: &'a Network,
}

impl<'a> Elsewhere<'a> {
    fn find(case: &Case<'a>, host: &str) -> Option<Self> {
        let carries = |other: &Container, endpoint: &Endpoint| {
            let names = endpoint_names(other, endpoint);
            names.iter().any(|name| name.eq_ignore_ascii_case(host))
        };
        let named = case.others_named(host);
        let shared = |other: &'a Container| -> Vec<(&'a Network, &'a Endpoint)> {
            let networks = case.shared_networks(other).into_iter();
            networks
                .filter(|network| network.has_dns())
                .filter_map(|network| Some((network, other.endpoint(&network.id)?)))
                .collect()
        };
        let is_known = |other: &&'a Container| {
            let mut near = shared(other).into_iter();
            near.any(|(_, endpoint)| carries(other, endpoint))
        };
        if named.iter().any(is_known) {
            return None;
        }
        named
            .into_iter()
            .filter(|other| other.is_running())
            .find_map(|other| {
                let known_on = other
                    .endpoints
                    .iter()
                    .filter(|endpoint| case.subject.endpoint(&endpoint.network_id).is_none())
                    .filter(|endpoint| carries(other, endpoint))
                    .find_map(|endpoint| case.evidence.network(&endpoint.network_id))?;
                Some(Self {
                    other,
                    shared: shared(other).into_iter().next()?,
                    known_on,
                })
            })
    }

    fn fault(&self, case: &Case<'_>, reference: &Reference, host: &str) -> Fault {
        let (name, other) = (case.name(), &self.other.name);
        let (shared, known_on) = (&self.shared.0.name, &self.known_on.name);
        let mut fault = Fault::error(
            format!(
                "`{name}` is told to use `{host}`{}, but `{other}` has that name only on `{known_on}`, not \
                 on `{shared}`, where both are",
                reference.place.aside()
            ),
            vec![
                Subject::container(name),
                Subject::container(other),
                Subject::setting(&reference.place),
            ],
        )
        .proof(format!(
            "Engine API: `{host}` is a name of `{other}` on `{known_on}`; `{name}` is not there"
        ));
        if let Some(words) = case.lookup_words(&reference.host) {
            fault = fault.proof(format!("seen from `{name}`: `{host}`: {words}"));
        }
        fault
            .fix(self.with_alias(host))
            .fix(Fix::new(
                format!("Put `{name}` on `{known_on}`, too"),
                vec![shell::command(["docker", "network", "connect", known_on, name])],
            ))
    }

    fn with_alias(&self, host: &str) -> Fix {
        let (network, endpoint) = self.shared;
        let other = &self.other.name;
        let mut words: Vec<String> = ["docker", "network", "connect"].map(String::from).into();
        words.extend(connect_flags(endpoint, &[]));
        if let Some(priority) = endpoint.gateway_priority.filter(|priority| *priority != 0) {
            words.extend(["--gw-priority".to_owned(), priority.to_string()]);
        }
        words.extend(["--alias".to_owned(), host.to_owned()]);
        words.extend([network.name.clone(), other.clone()]);
        let for_good = match self.other.compose_service() {
            Some((project, service)) => format!(
                " (for good: write `{}` at service `{service}` in the Compose file of `{project}`)",
                network.name
            ),
            None => String::new(),
        };
        Fix::new(
            format!(
                "Connect `{other}` to `{}` again, with that name{for_good}",
                network.name
            ),
            vec![
                shell::command(["docker", "network", "disconnect", &network.name, other]),
                shell::command(words),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Mode, Status};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, unknown, world,
    };

    fn app() -> Container {
        container("app").env(&["DB_HOST=store"])
    }

    /// On both networks, with the alias on this one.
    fn db(alias_on: usize) -> Container {
        let mut db = container("mysql-db")
            .on("my_network", "172.18.0.3")
            .on("other", "172.19.0.3");
        db.endpoints[alias_on].aliases.push("store".into());
        db
    }

    #[test]
    fn an_alias_of_another_network() {
        let evidence = world(app()).and(db(1)).resolves("store", &[]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` is told to use `store` (DB_HOST), but `mysql-db` has that name only on `other`, not \
                 on `my_network`, where both are",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network disconnect my_network mysql-db",
                "docker network connect --alias store my_network mysql-db",
                "docker network connect other app",
            ]
        );
    }

    #[test]
    fn what_the_endpoint_had_stays() {
        let mut db = db(1);
        db.endpoints[0].aliases.push("sql".into());
        db.endpoints[0].static_addresses = db.endpoints[0].addresses.clone();
        let evidence = world(app()).and(db).resolves("store", &[]);
        assert_eq!(
            commands(&RULE, &evidence)[1],
            "docker network connect --alias sql --ip 172.18.0.3 --alias store my_network mysql-db"
        );
    }

    #[test]
    fn silent_where_the_name_is_near_or_resolves_or_nobody_is_near() {
        check_rule(&RULE, &world(app()).and(db(0)), passes());
        let resolved = world(app()).and(db(1)).resolves("store", &["10.0.0.5"]);
        check_rule(&RULE, &resolved, passes());
        let apart = container("mysql-db")
            .alone()
            .on("other", "172.19.0.3")
            .alias("store");
        let apart = world(app()).and(apart).resolves("store", &[]);
        check_rule(&RULE, &apart, passes());
        let both = world(app().on("other", "172.19.0.9")).and(db(1));
        check_rule(&RULE, &both, passes());
        let another = world(app())
            .and(db(1))
            .and(container("sql").on("my_network", "172.18.0.4").alias("store"));
        check_rule(&RULE, &another, passes());
        let stopped = world(app())
            .and(db(1).status(Status::Exited))
            .resolves("store", &[]);
        check_rule(&RULE, &stopped, passes());
        let host = world(app().mode(Mode::Host)).and(db(1));
        check_rule(&RULE, &host, not_applicable());
    }

    #[test]
    fn without_a_look_inside_it_stays_open() {
        check_rule(&RULE, &world(app()).and(db(1)), unknown("resolves `store`"));
    }
}
