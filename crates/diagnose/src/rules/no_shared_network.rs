//! The container is told to use another one with which it has no network in common.

use std::net::IpAddr;

use netcheck_probe::Connected;

use crate::case::Case;
use crate::evidence::{Container, Mode};
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "no-shared-network",
    title: "the two containers have no network in common",
    check: Check::Networks,
    explained_by: &[
        "container-on-no-network",
        "network-mode-none",
        "network-mode-host",
    ],
    docs: "\
## What it checks

The environment or the command line names a running container (by name, alias, Compose service or
address), and the two are on no common network. A name that resolves there by other means (DNS,
/etc/hosts) is left alone, and so is an address to which a connection opened.

## Why it matters

Networks are separated from each other: names are known only on the network they belong to (`could
not resolve host`), and packets to an address on another network are dropped without a word, so the
client hangs until it times out. That the other network's gateway answers ping proves nothing.

## How to fix it

`docker network connect NETWORK NAME` with a network of the other container; it works at once,
without a restart. Two Compose projects: declare one network as `external: true` in both files and
put both services on it.

## When it is wrong

The name may belong to a machine outside that is down just now, while a container happens to carry
the same name.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let mut faults: Vec<Fault> = Vec::new();
    let mut seen = Vec::new();
    let mut open = None;
    for reference in &case.detail.references {
        if reference.is_localhost() || seen.contains(&&reference.host) {
            continue;
        }
        let other = match reference.host.parse() {
            Ok(address) => at_address(case, reference, address),
            Err(_) => match by_name(case, reference) {
                Ok(other) => other,
                Err(needs) => {
                    open.get_or_insert(needs);
                    None
                }
            },
        };
        if let Some(other) = other {
            seen.push(&reference.host);
            faults.push(fault(case, reference, other));
        }
    }
    match open {
        Some(needs) if faults.is_empty() => Verdict::Unknown(needs),
        _ => Verdict::from_faults(faults),
    }
}

/// Whom the name means, if it is apart and nothing resolves it.
fn by_name<'a>(case: &Case<'a>, reference: &Reference) -> Result<Option<&'a Container>, String> {
    if crate::case::is_host_name(&reference.host) {
        return Ok(None);
    }
    let named = case.others_named(&reference.host);
    if named
        .iter()
        .any(|other| !case.shared_networks(other).is_empty())
    {
        return Ok(None);
    }
    let Some(other) = named.into_iter().find(|other| is_joinable(case, other)) else {
        return Ok(None);
    };
    match case.resolution(&reference.host) {
        Ok(addresses) if addresses.is_empty() => Ok(Some(other)),
        Ok(_) => Ok(None),
        Err(reason) => Err(format!(
            "whether `{}` resolves `{}` by other means: {reason}",
            case.name(),
            reference.host
        )),
    }
}

/// Who owns the address, if it lies on no network of the subject and no connection opened.
fn at_address<'a>(
    case: &Case<'a>,
    reference: &Reference,
    address: IpAddr,
) -> Option<&'a Container> {
    let near = case
        .networks()
        .iter()
        .any(|(network, _)| network.contains(address));
    if near || case.network_of(address).is_none() {
        return None;
    }
    let other = case.owner_of(address)?;
    let apart = other.id != case.subject.id
        && case.shared_networks(other).is_empty()
        && is_joinable(case, other);
    let opened = reference.ports().iter().any(|port| {
        let to = (address, *port).into();
        case.visit()
            .is_ok_and(|visit| matches!(visit.connect(to).known(), Some(Connected::Open { .. })))
    });
    (apart && !opened).then_some(other)
}

fn is_joinable(case: &Case<'_>, other: &Container) -> bool {
    // The target of a pair is certainly meant: once it is started, it would still be apart.
    let target = case.evidence.request.target.as_ref();
    let is_target = target.is_some_and(|target| target.container.as_ref() == Some(&other.id));
    (other.is_running() || is_target)
        && other
            .detail()
            .is_none_or(|detail| detail.mode == Mode::Networks)
        && other
            .endpoints
            .iter()
            .any(|endpoint| case.evidence.network(&endpoint.network_id).is_some())
}

fn fault(case: &Case<'_>, reference: &Reference, other: &Container) -> Fault {
    let name = case.name();
    let host = &reference.host;
    let meant = if host.eq_ignore_ascii_case(&other.name) {
        String::new()
    } else {
        format!(", which is `{}`", other.name)
    };
    let names_of = |container: &Container| {
        let names: Vec<String> = container
            .endpoints
            .iter()
            .map(|endpoint| format!("`{}`", endpoint.network_name))
            .collect();
        names.join(", ")
    };
    let mut fault = Fault::error(
        format!(
            "`{name}` is told to use `{host}`{}{meant}, but the two have no network in common",
            reference.place.aside()
        ),
        vec![
            Subject::container(name),
            Subject::container(&other.name),
            Subject::setting(&reference.place),
        ],
    )
    .proof(format!(
        "Engine API: `{name}` is on {}, `{}` is on {}",
        names_of(case.subject),
        other.name,
        names_of(other)
    ));
    let address: Option<IpAddr> = host.parse().ok();
    match (address, reference.certain_port()) {
        (None, _) => {
            if let Some(words) = case.lookup_words(host) {
                fault = fault.proof(format!("seen from `{name}`: `{host}`: {words}"));
            }
        }
        (Some(address), Some(port)) => {
            if let Ok(visit) = case.visit()
                && let Some(Connected::Failed { errno, .. }) =
                    visit.connect((address, port).into()).known()
            {
                fault = fault.proof(format!(
                    "seen from `{name}`: connecting to {host} port {port}: {}",
                    errno.words()
                ));
            }
        }
        (Some(_), None) => {}
    }
    fault.fix(join(case, reference, other, address))
}

fn join(case: &Case<'_>, reference: &Reference, other: &Container, address: Option<IpAddr>) -> Fix {
    let name = case.name();
    let connect =
        |words: &[&str]| shell::command(["docker", "network", "connect"].iter().chain(words));
    let theirs = case
        .evidence
        .networks
        .known()
        .into_iter()
        .flatten()
        .filter(|network| other.endpoint(&network.id).is_some());
    if let Some(address) = address {
        let network = theirs.clone().find(|network| network.contains(address));
        let network = network.map_or("bridge", |network| network.name.as_str());
        return Fix::new(
            format!("Put `{name}` on `{network}`, the network of that address, too"),
            vec![connect(&[network, name])],
        );
    }
    let host = reference.host.trim_end_matches('.');
    let with_dns = theirs.clone().filter(|network| network.has_dns());
    let carries = |network: &&crate::evidence::Network| {
        other.endpoint(&network.id).is_some_and(|endpoint| {
            crate::case::endpoint_names(other, endpoint)
                .iter()
                .any(|known| known.eq_ignore_ascii_case(host))
        })
    };
    let network = with_dns.clone().find(carries).or(with_dns.clone().next());
    if let Some(network) = network {
        return Fix::new(
            format!(
                "Put `{name}` on `{}`, the network of `{}`, too",
                network.name, other.name
            ),
            vec![connect(&[&network.name, name])],
        );
    }
    // The other is where names do not work: it comes over instead.
    let alias = (!host.eq_ignore_ascii_case(&other.name)).then_some(["--alias", host]);
    let with = |network: &str| {
        let words: Vec<&str> = alias
            .iter()
            .flatten()
            .copied()
            .chain([network, other.name.as_str()])
            .collect();
        connect(&words)
    };
    let own = case
        .networks()
        .into_iter()
        .find(|(network, _)| network.has_dns());
    match own {
        Some((network, _)) => Fix::new(
            format!(
                "Put `{}` on `{}`, the network of `{name}`, too",
                other.name, network.name
            ),
            vec![with(&network.name)],
        ),
        None => {
            let network = case.free_network_name("app-net");
            Fix::new(
                "Put both on a network of their own",
                vec![
                    shell::command(["docker", "network", "create", &network]),
                    connect(&[&network, name]),
                    with(&network),
                ],
            )
        }
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
        container("app").env(&["DB_URL=mysql://mysql-db:3306/some"])
    }

    fn elsewhere(name: &str) -> Container {
        container(name).alone().on("other", "172.19.0.2")
    }

    const PROBLEM: &str =
        "`app` is told to use `mysql-db` (DB_URL), but the two have no network in common";

    #[test]
    fn a_name_on_another_network_only() {
        let evidence = world(app())
            .and(elsewhere("mysql-db"))
            .resolves("mysql-db", &[]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect other app"]
        );
    }

    #[test]
    fn a_service_of_another_project() {
        let app = container("b-app-1")
            .env(&["DB_HOST=db"])
            .of_service("b", "app");
        let db = elsewhere("a-db-1").alias("db").of_service("a", "db");
        let evidence = world(app).and(db).resolves("db", &[]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`b-app-1` is told to use `db` (DB_HOST), which is `a-db-1`, but the two have no network \
                 in common",
            ),
        );
    }

    #[test]
    fn another_on_the_default_bridge_comes_over() {
        let db = container("mysql-db").alone().on("bridge", "172.17.0.2");
        let evidence = world(app()).and(db).resolves("mysql-db", &[]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect my_network mysql-db"]
        );
    }

    #[test]
    fn an_address_on_another_network() {
        let app = container("app").env(&["DB_URL=mysql://172.17.0.2:3306/some"]);
        let db = container("mysql-db").alone().on("bridge", "172.17.0.2");
        let evidence = world(app).and(db);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` is told to use `172.17.0.2` (DB_URL), which is `mysql-db`, but the two have no \
                 network in common",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect bridge app"]
        );
    }

    #[test]
    fn shared_resolved_and_stopped_are_silent() {
        check_rule(&RULE, &world(app()).and(container("mysql-db")), passes());
        let resolved = world(app())
            .and(elsewhere("mysql-db"))
            .resolves("mysql-db", &["10.0.0.5"]);
        check_rule(&RULE, &resolved, passes());
        let stopped = elsewhere("mysql-db").status(Status::Exited);
        check_rule(&RULE, &world(app()).and(stopped), passes());
        let near = world(app())
            .and(elsewhere("old").alias("mysql-db"))
            .and(container("mysql-db"));
        check_rule(&RULE, &near, passes());
        let host = world(app().mode(Mode::Host)).and(elsewhere("mysql-db"));
        check_rule(&RULE, &host, not_applicable());
    }

    #[test]
    fn without_a_look_from_inside_it_stays_open() {
        let evidence = world(app()).and(elsewhere("mysql-db"));
        check_rule(&RULE, &evidence, unknown("resolves `mysql-db`"));
    }
}
