//! `host.docker.internal` is not known in the container.

use crate::case::{Case, is_host_name};
use crate::evidence::Engine;
use crate::report::Subject;
use crate::rule::{Check, Fault, Rule, Verdict};

/// See the module.
pub static RULE: Rule = Rule {
    code: "host-gateway-name-missing",
    title: "the host's name is not known in the container",
    check: Check::Host,
    explained_by: &[],
    docs: "\
## What it checks

The environment or the command line names `host.docker.internal` (or podman's
`host.containers.internal`), and neither /etc/hosts nor DNS in the container knows it.

## Why it matters

Docker Desktop answers for this name by itself; an engine on Linux does not. What works on a laptop
ends with `could not resolve host: host.docker.internal` on the server.

## How to fix it

Make the container again with `--add-host host.docker.internal:host-gateway` (Compose: `extra_hosts:
[\"host.docker.internal:host-gateway\"]`; engine 20.10 or later). The program on the host must listen
on more than 127.0.0.1 then: that is another place than the container's.

## When it is wrong

A setting that the program does not use needs no name.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.evidence.engine.known().is_some_and(Engine::is_desktop) {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let mut asked = Vec::new();
    let mut faults = Vec::new();
    let mut open = None;
    for reference in &case.detail.references {
        let host = &reference.host;
        let key = host.trim_end_matches('.').to_ascii_lowercase();
        if !is_host_name(host) || asked.contains(&key) {
            continue;
        }
        asked.push(key.clone());
        match case.resolution(host) {
            Ok(addresses) if !addresses.is_empty() => {}
            Ok(_) => faults.push(
                Fault::error(
                    format!(
                        "`{name}` is told to use `{key}`{}, but nothing there knows that name",
                        reference.place.aside()
                    ),
                    vec![
                        Subject::container(name),
                        Subject::address(&key),
                        Subject::setting(&reference.place),
                    ],
                )
                .proof(format!("seen from `{name}`: /etc/hosts has no `{key}`"))
                .proof(format!(
                    "seen from `{name}`: DNS: {}",
                    case.lookup_words(host)
                        .unwrap_or_else(|| "nobody knows it".into())
                ))
                .fix(case.recreate().add_host(&key, "host-gateway").fix(
                    "Let the engine write the host's address into /etc/hosts",
                    &format!("add `{key}:host-gateway` to `extra_hosts`"),
                )),
            ),
            Err(reason) => {
                open.get_or_insert(format!("whether `{name}` knows `{key}`: {reason}"));
            }
        }
    }
    match open {
        _ if asked.is_empty() => Verdict::NotApplicable,
        Some(needs) if faults.is_empty() => Verdict::Unknown(needs),
        _ => Verdict::from_faults(faults),
    }
}

#[cfg(test)]
mod tests {
    use netcheck_probe::HostsEntry;

    use super::RULE;
    use crate::evidence::{Container, Fact};
    use crate::rules::testing::{
        check_rule, commands, container, fails, ip, not_applicable, passes, snapshot, unknown,
        world,
    };

    const NAME: &str = "host.docker.internal";

    fn app() -> Container {
        container("app").env(&["API_URL=http://host.docker.internal:4200/"])
    }

    #[test]
    fn nobody_knows_the_name_on_linux() {
        let evidence = world(app()).sees(snapshot()).resolves(NAME, &[]);
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` is told to use `host.docker.internal` (API_URL), but nothing there knows that \
                 name",
            ),
        );
        assert!(
            commands(&RULE, &evidence)
                .iter()
                .any(|line| line.contains("--add-host host.docker.internal:host-gateway"))
        );
    }

    #[test]
    fn a_line_in_the_hosts_file_is_enough_though_dns_says_no() {
        let mut seen = snapshot();
        seen.hosts.as_mut().unwrap().push(HostsEntry {
            address: ip("172.17.0.1"),
            names: vec![NAME.into()],
        });
        let evidence = world(app()).sees(seen).resolves(NAME, &[]);
        check_rule(&RULE, &evidence, passes());
        let by_dns = world(app()).resolves(NAME, &["192.168.65.254"]);
        check_rule(&RULE, &by_dns, passes());
    }

    #[test]
    fn without_such_a_reference_or_on_desktop_there_is_no_question() {
        check_rule(&RULE, &world(container("app")), not_applicable());
        let mut desktop = world(app());
        if let Fact::Known(engine) = &mut desktop.engine {
            engine.operating_system = "Docker Desktop".into();
        }
        check_rule(&RULE, &desktop, not_applicable());
    }

    #[test]
    fn without_a_look_from_inside_it_stays_open() {
        check_rule(
            &RULE,
            &world(app()),
            unknown("whether `app` knows `host.docker.internal`"),
        );
    }
}
