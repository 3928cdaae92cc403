//! A container name on the default bridge, which has no DNS for container names.

use crate::case::Case;
use crate::evidence::{Container, Mode, Network};
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "default-bridge-has-no-dns",
    title: "the default bridge does not know container names",
    check: Check::Name,
    explained_by: &[],
    docs: "\
## What it checks

The container is only on the default bridge (`bridge`, podman's `podman`), and its environment or
command line names another container there; or another container there names this one. Names that
/etc/hosts knows (`--link`, `--add-host`) or that DNS resolves anyway are left alone.

## Why it matters

Only networks that you create have an embedded DNS for container names. On the default bridge a
container has a copy of the host's resolv.conf, so the name of its neighbour is `could not resolve
host`, although the address works.

## How to fix it

`docker network create app-net`, then `docker network connect app-net NAME` for both. It works at
once, without a restart; the old network stays. In a Compose file, take `network_mode: bridge` out.

## When it is wrong

A program may find its peer by other means (a registry of its own) and never look the name up.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let networks = case.networks();
    let Some(bridge) = networks.first().map(|(network, _)| *network) else {
        return Verdict::NotApplicable;
    };
    if !case.is_joined()
        || networks
            .iter()
            .any(|(network, _)| !network.is_default_bridge())
    {
        return Verdict::NotApplicable;
    }
    let mut faults: Vec<Fault> = Vec::new();
    let mut seen = Vec::new();
    let mut open = None;
    for reference in case.named_references() {
        if seen.contains(&&reference.host) {
            continue;
        }
        let other = case
            .others_named(&reference.host)
            .into_iter()
            .find(|other| other.is_running() && other.endpoint(&bridge.id).is_some());
        let Some(other) = other else {
            continue;
        };
        match case.resolution(&reference.host) {
            Ok(addresses) if addresses.is_empty() => {
                seen.push(&reference.host);
                faults.push(outwards(case, bridge, reference, other));
            }
            Ok(_) => {}
            Err(reason) => {
                open.get_or_insert(format!(
                    "whether `{}` resolves `{}`: {reason}",
                    case.name(),
                    reference.host
                ));
            }
        }
    }
    faults.extend(inwards(case, bridge));
    match open {
        Some(needs) if faults.is_empty() => Verdict::Unknown(needs),
        _ => Verdict::from_faults(faults),
    }
}

fn outwards(case: &Case<'_>, bridge: &Network, reference: &Reference, other: &Container) -> Fault {
    let name = case.name();
    let host = &reference.host;
    let mut fault = Fault::error(
        format!(
            "`{name}` is told to use `{host}`{}, but on the default bridge container names do not \
             resolve",
            reference.place.aside()
        ),
        vec![
            Subject::container(name),
            Subject::container(&other.name),
            Subject::setting(&reference.place),
        ],
    )
    .proof(format!(
        "Engine API: `{name}` is only on `{0}`, `{1}` is on `{0}` too",
        bridge.name, other.name
    ));
    if let Some(words) = case.lookup_words(host) {
        fault = fault.proof(format!("seen from `{name}`: `{host}`: {words}"));
    }
    if let Ok(snapshot) = case.snapshot()
        && let Ok(conf) = &snapshot.resolv_conf
        && !conf.nameservers.contains(&crate::case::EMBEDDED_DNS)
    {
        fault = fault.proof(format!(
            "seen from `{name}`: resolv.conf has {}, not the embedded DNS (127.0.0.11)",
            if conf.nameservers.is_empty() {
                "no server".to_owned()
            } else {
                crate::case::list(&conf.nameservers)
            }
        ));
    }
    fault.fix(join(case, host, case.subject, other))
}

/// Others on the bridge that name the subject. Their own look-ups are not seen, but what could write
/// the name into their /etc/hosts is: `--link` and `--add-host`.
fn inwards(case: &Case<'_>, bridge: &Network) -> Vec<Fault> {
    let name = case.name();
    let mut faults = Vec::new();
    for other in &case.evidence.containers {
        let Some(detail) = other.detail() else {
            continue;
        };
        let only_there = other
            .endpoints
            .iter()
            .all(|endpoint| endpoint.network_id == bridge.id);
        if other.id == case.subject.id
            || !other.is_running()
            || detail.mode != Mode::Networks
            || !only_there
            || other.endpoint(&bridge.id).is_none()
        {
            continue;
        }
        let in_hosts = |host: &str| {
            detail
                .links
                .iter()
                .any(|link| link.eq_ignore_ascii_case(host))
                || detail
                    .extra_hosts
                    .iter()
                    .any(|line| line.name.eq_ignore_ascii_case(host))
        };
        let named = detail.references.iter().find(|reference| {
            reference
                .host
                .trim_end_matches('.')
                .eq_ignore_ascii_case(name)
                && !in_hosts(name)
        });
        let Some(reference) = named else {
            continue;
        };
        faults.push(
            Fault::error(
                format!(
                    "`{}` is told to use `{name}` ({}), but on the default bridge container names do \
                     not resolve",
                    other.name, reference.place
                ),
                vec![
                    Subject::container(name),
                    Subject::container(&other.name),
                    Subject::setting(&reference.place),
                ],
            )
            .proof(format!(
                "Engine API: `{}` and `{name}` are only on `{}`",
                other.name, bridge.name
            ))
            .proof(format!(
                "Engine API: `{}` was made without --link and --add-host for `{name}`",
                other.name
            ))
            .fix(join(case, name, other, case.subject)),
        );
    }
    faults
}

/// Brings the one that uses the name and the one that carries it together where names work.
fn join(case: &Case<'_>, host: &str, user: &Container, named: &Container) -> Fix {
    let host = host.trim_end_matches('.');
    let connect =
        |words: &[&str]| shell::command(["docker", "network", "connect"].iter().chain(words));
    let existing = case
        .evidence
        .networks
        .known()
        .into_iter()
        .flatten()
        .find(|network| {
            network.has_dns()
                && named.endpoint(&network.id).is_some_and(|endpoint| {
                    crate::case::endpoint_names(named, endpoint)
                        .iter()
                        .any(|known| known.eq_ignore_ascii_case(host))
                })
        });
    if let Some(network) = existing {
        return Fix::new(
            format!(
                "Put `{}` on `{}` too, where `{}` can be found by name",
                user.name, network.name, named.name
            ),
            vec![connect(&[&network.name, &user.name])],
        );
    }
    let network = case.free_network_name("app-net");
    let words: Vec<&str> = if host.eq_ignore_ascii_case(&named.name) {
        vec![&network, &named.name]
    } else {
        vec!["--alias", host, &network, &named.name]
    };
    Fix::new(
        "Put both on a network of their own, where names work; no restart is needed",
        vec![
            shell::command(["docker", "network", "create", &network]),
            connect(&[&network, &user.name]),
            connect(&words),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::Container;
    use crate::rules::testing::{
        check_rule, commands, container, fails, network, not_applicable, passes, unknown, world,
    };

    fn on_bridge(name: &str, address: &str) -> Container {
        container(name).alone().on("bridge", address)
    }

    fn app() -> Container {
        on_bridge("app", "172.17.0.3").env(&["DB_URL=mysql://mysql-db:3306/some"])
    }

    const PROBLEM: &str = "`app` is told to use `mysql-db` (DB_URL), but on the default bridge \
                           container names do not resolve";

    #[test]
    fn a_name_on_the_default_bridge() {
        let evidence = world(app())
            .and(on_bridge("mysql-db", "172.17.0.2"))
            .resolves("mysql-db", &[]);
        check_rule(&RULE, &evidence, fails(PROBLEM));
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create app-net",
                "docker network connect app-net app",
                "docker network connect app-net mysql-db"
            ]
        );
        let taken = evidence.with_network(network("app-net", "172.20.0.0/16"));
        assert_eq!(
            commands(&RULE, &taken)[0],
            "docker network create app-net-2"
        );
    }

    #[test]
    fn a_network_where_the_other_is_already_is_enough() {
        let evidence = world(app())
            .and(on_bridge("mysql-db", "172.17.0.2").on("my_network", "172.18.0.2"))
            .resolves("mysql-db", &[]);
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect my_network app"]
        );
    }

    #[test]
    fn the_named_one_hears_of_it_too() {
        let evidence = world(on_bridge("mysql-db", "172.17.0.2")).and(app());
        check_rule(&RULE, &evidence, fails(PROBLEM));
        let mut linked = app();
        linked.detail_mut().links.push("mysql-db".into());
        let evidence = world(on_bridge("mysql-db", "172.17.0.2")).and(linked);
        check_rule(&RULE, &evidence, passes());
    }

    #[test]
    fn a_link_an_address_and_a_network_of_ones_own_are_silent() {
        let linked = world(app())
            .and(on_bridge("mysql-db", "172.17.0.2"))
            .resolves("mysql-db", &["172.17.0.2"]);
        check_rule(&RULE, &linked, passes());
        let address = on_bridge("app", "172.17.0.3").env(&["DB_URL=mysql://172.17.0.2:3306/some"]);
        let evidence = world(address).and(on_bridge("mysql-db", "172.17.0.2"));
        check_rule(&RULE, &evidence, passes());
        let own = container("app").env(&["DB_URL=mysql://mysql-db:3306/some"]);
        let evidence = world(own).and(container("mysql-db"));
        check_rule(&RULE, &evidence, not_applicable());
    }

    #[test]
    fn without_a_look_from_inside_it_stays_open() {
        let evidence = world(app()).and(on_bridge("mysql-db", "172.17.0.2"));
        check_rule(
            &RULE,
            &evidence,
            unknown("whether `app` resolves `mysql-db`"),
        );
    }
}
