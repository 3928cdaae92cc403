//! The name that is asked for is known to nobody where the container looks it up.

use netcheck_probe::DnsOutcome;

use crate::case::{Case, endpoint_names, is_host_name};
use crate::evidence::Container;
use crate::plan;
use crate::reference::{Place, Reference};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "name-unknown",
    title: "nobody there knows that name",
    check: Check::Name,
    explained_by: &[
        "container-not-running",
        "container-never-started",
        "name-resolves-sometimes",
        "restart-loop",
        "container-on-no-network",
        "network-mode-none",
        "network-mode-host",
        "shared-namespace-dead",
        "no-shared-network",
        "default-bridge-has-no-dns",
        "name-known-on-another-network-only",
        "search-domain-amplification",
        "host-gateway-name-missing",
        "host-resolver-is-loopback",
        "dns-server-is-loopback",
        "upstream-dns-fails",
        "engine-dns-silent",
        // podman's DNS is asked over the bridge.
        "bridge-down",
        "dns-server-unreachable",
        "service-without-tasks",
    ],
    docs: "\
## What it checks

You asked whether a container reaches a name, and looked up from inside that container the name comes
to nothing: no line in /etc/hosts, no container of that name on its networks.

## Why it matters

Nothing is sent to anybody without an address: `could not resolve host`. A container is known by its
name, by `--network-alias` and by its Compose service, each only on the network it belongs to. Names of
images, projects or hosts are no names of containers.

## How to fix it

Use a name that the other container has on a common network; the fix says which. To give it another
one: `docker network disconnect NETWORK NAME`, then `docker network connect --alias WANTED NETWORK
NAME`.

## When it is wrong

Name servers on the internet are not asked. If only they know the name, it counts as unknown, unless
it has a dot and is no container's.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    // A configuration may hold names that are never used; a name that was asked for is used.
    let asked = case
        .named_references()
        .find(|reference| reference.place == Place::Asked);
    let Some(reference) = asked.filter(|reference| !is_host_name(&reference.host)) else {
        return Verdict::NotApplicable;
    };
    match case.resolution(&reference.host) {
        Ok(addresses) if addresses.is_empty() => match unanswered(case, &reference.host) {
            Some(words) => Verdict::Unknown(format!(
                "whether there is a `{}`{}: {words}",
                reference.host,
                if plan::belongs_outside(case, &reference.host) {
                    " outside"
                } else {
                    ""
                }
            )),
            None => Verdict::Fail(vec![fault(case, reference)]),
        },
        Ok(_) => Verdict::Pass,
        Err(why) => Verdict::Unknown(format!(
            "whether `{}` resolves `{}`: {why}",
            case.name(),
            reference.host
        )),
    }
}

/// A name of which no server said that it does not exist. Of a container's name, a server that answers anything
/// says so: only the engine's knows it.
fn unanswered(case: &Case<'_>, host: &str) -> Option<String> {
    let is_outside = plan::belongs_outside(case, host);
    let lookup = case.visit().ok()?.lookup(host).known().copied()?;
    let said_no = |outcome: &DnsOutcome| match outcome {
        DnsOutcome::NxDomain | DnsOutcome::NoData => true,
        DnsOutcome::TimedOut | DnsOutcome::Undelivered(_) => false,
        _ => !is_outside,
    };
    let nobody = !lookup.queries.is_empty()
        && !lookup.queries.iter().any(|query| said_no(&query.outcome));
    nobody.then(|| case.lookup_words(host).unwrap_or_default())
}

fn fault(case: &Case<'_>, reference: &Reference) -> Fault {
    let (name, host) = (case.name(), &reference.host);
    let meant = case.others_named(host).into_iter().next();
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(meant.map(|other| Subject::container(&other.name)));
    let known_as = meant.map(|other| (other, names_between(case, other)));
    let problem = match &known_as {
        Some((other, _)) => format!(
            "`{name}` cannot resolve `{host}`: `{}` has that name, but not where `{name}` looks \
             it up",
            other.name
        ),
        None => format!("`{name}` cannot resolve `{host}`: no container there has that name"),
    };
    let mut fault = Fault::error(problem, subjects);
    if let Some(words) = case.lookup_words(host) {
        fault = fault.proof(format!("seen from `{name}`: `{host}`: {words}"));
    }
    let neighbours = neighbours(case);
    fault = fault.proof(if neighbours.is_empty() {
        format!("Engine API: no other running container is on a network of `{name}` with DNS")
    } else {
        format!("Engine API: `{name}` can find {}", quoted(&neighbours))
    });
    fault.fix(match &known_as {
        Some((_, names)) if !names.is_empty() => {
            Fix::new(format!("Use the name it has on the common network: {}", quoted(names)), Vec::new())
        }
        _ => Fix::new(
            "Use the name of a container on a common network, or give the one that is meant this \
             name as an alias there",
            Vec::new(),
        ),
    })
}

/// The names under which the subject finds the other.
fn names_between(case: &Case<'_>, other: &Container) -> Vec<String> {
    let mut names: Vec<String> = case
        .shared_networks(other)
        .into_iter()
        .filter(|network| network.has_dns())
        .filter_map(|network| other.endpoint(&network.id))
        .flat_map(|endpoint| endpoint_names(other, endpoint))
        // The short id is a name, but nothing to write down.
        .filter(|name| !other.id.starts_with(name))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The most names in a proof: a list of hundreds proves no more.
const MOST: usize = 8;

fn neighbours(case: &Case<'_>) -> Vec<String> {
    let mut names: Vec<String> = case
        .evidence
        .containers
        .iter()
        .filter(|other| other.id != case.subject.id && other.is_running())
        .flat_map(|other| names_between(case, other))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.truncate(MOST);
    names
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{
        Answer, DnsOutcome, DnsQuery, Errno, Lookup, Question, RecordType, Source,
    };

    use super::RULE;
    use crate::evidence::{Container, Evidence};
    use crate::reference::Reference;
    use crate::request::Target;
    use crate::rules::testing::servers::looked_up;
    use crate::rules::testing::{
        check_rule, container, fails, fix_texts, not_applicable, passes, unknown, world,
    };

    fn app(asks_for: &str) -> Container {
        let target = Target::new(asks_for, 3306, netcheck_probe::Protocol::Tcp);
        let mut app = container("app");
        app.detail_mut().references = vec![Reference::asked(&target)];
        app
    }

    fn slipped() -> Evidence {
        world(app("mysqldb")).and(container("mysql-db").on("my_network", "172.18.0.3"))
    }

    #[test]
    fn a_name_that_no_container_has() {
        let evidence = slipped().resolves("mysqldb", &[]);
        check_rule(
            &RULE,
            &evidence,
            fails("`app` cannot resolve `mysqldb`: no container there has that name"),
        );
    }

    #[test]
    fn an_alias_of_another_network() {
        let mut db = container("mysql-db").on("my_network", "172.18.0.3").on("other", "172.19.0.3");
        db.endpoints[1].aliases.push("store".into());
        let evidence = world(app("store")).and(db).resolves("store", &[]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` cannot resolve `store`: `mysql-db` has that name, but not where `app` looks \
                 it up",
            ),
        );
        assert_eq!(
            fix_texts(&RULE, &evidence),
            ["Use the name it has on the common network: `mysql-db`"]
        );
    }

    #[test]
    fn silent_where_it_resolves_or_was_not_asked_for() {
        check_rule(&RULE, &slipped().resolves("mysqldb", &["10.0.0.1"]), passes());
        let configured = world(container("app").env(&["DB_HOST=nobody"])).resolves("nobody", &[]);
        check_rule(&RULE, &configured, not_applicable());
        check_rule(&RULE, &world(app("172.18.0.3")), not_applicable());
    }

    /// Whether the name is known there, only an answer could tell.
    #[test]
    fn a_containers_name_of_which_nobody_says_anything_stays_open() {
        let ask = |outcome| {
            let slipped = world(app("mysql-db")).and(container("mysql-db").on("my_network", "172.18.0.3"));
            looked_up(slipped, "mysql-db", "127.0.0.11", outcome)
        };
        for silence in [DnsOutcome::TimedOut, DnsOutcome::Undelivered(Errno::Refused)] {
            check_rule(&RULE, &ask(silence), unknown("whether there is a `mysql-db`: "));
        }
        let problem = "`app` cannot resolve `mysql-db`: `mysql-db` has that name, but not where `app` looks it up";
        check_rule(&RULE, &ask(DnsOutcome::ServFail), fails(problem));
    }

    #[test]
    fn a_name_outside_of_which_no_server_says_anything_stays_open() {
        let query = |outcome| DnsQuery {
            name: "db.corp.example".into(),
            record: RecordType::A,
            server: "127.0.0.11:53".parse().unwrap(),
            outcome,
            took_ms: 1,
        };
        let seen = |outcome| {
            let lookup = Lookup {
                source: Source::Nobody,
                addresses: Vec::new(),
                queries: vec![query(outcome)],
                took_ms: 1,
            };
            let question = Question::Lookup {
                name: "db.corp.example".into(),
            };
            world(app("db.corp.example")).answered(question, Answer::Lookup(lookup))
        };
        let silent = seen(DnsOutcome::TimedOut);
        check_rule(&RULE, &silent, unknown("whether there is a `db.corp.example` outside"));
        let no = seen(DnsOutcome::NxDomain);
        check_rule(
            &RULE,
            &no,
            fails("`app` cannot resolve `db.corp.example`: no container there has that name"),
        );
    }

    #[test]
    fn without_a_look_inside_it_stays_open() {
        check_rule(&RULE, &slipped(), unknown("resolves `mysqldb`: no look"));
    }
}
