//! The container was made without a network and needs one.

use crate::case::Case;
use crate::evidence::Mode;
use crate::reference::Reference;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "network-mode-none",
    title: "the container was made without a network",
    check: Check::Networks,
    // An ignored -p says more, and has the same cure.
    explained_by: &["publish-ignored-by-network-mode"],
    docs: "\
## What it checks

The container's network mode is `none`, it was not connected to a network since, and it needs one:
its environment or command line names another place, or a program in it listens for others (on an
address that is not loopback).

## Why it matters

It has only `lo`. Every connection from it ends at once with `network is unreachable`, no name
resolves, and nobody can reach what listens in it.

## How to fix it

`docker network disconnect none NAME`, then `docker network connect NETWORK NAME`. The order matters:
the engine refuses to connect a container that is still on `none`. It works at once, without a
restart; the next creation needs `--network NETWORK` instead of `--network none`. podman connects no container
that was made with `none`: there it is made anew.

## When it is wrong

A sandbox that is cut off on purpose may run a server that nobody needs, or carry settings that it
does not use.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.detail.mode != Mode::None || case.is_joined() {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let wanted = case.detail.references.iter().find(|reference| {
        !reference.is_localhost()
            && (case.is_chosen(reference) || !case.others_named(&reference.host).is_empty())
    });
    if let Some(reference) = wanted {
        let fault = Fault::error(
            format!(
                "`{name}` is told to use `{}`{}, but it was made without a network",
                reference.host, reference.place.aside()
            ),
            vec![Subject::container(name), Subject::setting(&reference.place)],
        )
        .proofs(reference.written_proof());
        return Verdict::Fail(vec![finish(case, fault, Some(reference))]);
    }
    let services = match case.services() {
        Ok(services) => services,
        Err(reason) => {
            return Verdict::Unknown(format!(
                "what listens in `{name}`, which has no network: {reason}"
            ));
        }
    };
    let ports: Vec<_> = services
        .iter()
        .filter(|service| service.is_reachable())
        .collect();
    let Some(first) = ports.first() else {
        return Verdict::Pass;
    };
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(ports.iter().map(|service| Subject::port(service.port)));
    let fault = Fault::error(
        format!(
            "`{name}` serves {}, but it was made without a network: nobody can reach it",
            first.port
        ),
        subjects,
    )
    .proof(format!("seen from `{name}`: it listens on {}", first.local));
    Verdict::Fail(vec![finish(case, fault, None)])
}

fn finish(case: &Case<'_>, fault: Fault, reference: Option<&Reference>) -> Fault {
    let name = case.name();
    let target = reference.and_then(|reference| {
        let other = match reference.host.parse() {
            Ok(address) => case.owner_of(address)?,
            Err(_) => case
                .others_named(&reference.host)
                .into_iter()
                .find(|other| other.is_running())?,
        };
        case.networks_of(other, &reference.host).into_iter().next()
    });
    let network = target.map_or("bridge", |network| network.name.as_str());
    let fix = if case.is_podman() {
        case.recreate().join(network).fix(
            &format!("Put it on `{network}`, which podman does for a new container only"),
            &format!("write `networks: [{network}]` in place of `network_mode: none`"),
        )
    } else {
        Fix::new(
            format!("Take it off `none` and connect it to `{network}`"),
            vec![
                shell::command(["docker", "network", "disconnect", "none", name]),
                shell::command(["docker", "network", "connect", network, name]),
            ],
        )
    };
    fault
        .proof(format!("Engine API: the network mode of `{name}` is none"))
        .fix(fix)
}

#[cfg(test)]
mod tests {
    use netcheck_probe::Protocol;

    use super::RULE;
    use crate::evidence::Mode;
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, on_podman, only_lo, passes, socket, unknown,
        world,
    };

    fn cut_off(name: &str) -> crate::evidence::Container {
        container(name).alone().mode(Mode::None)
    }

    #[test]
    fn a_container_that_is_told_to_use_another_needs_its_network() {
        let app = cut_off("app").env(&["DB_URL=mysql://mysql-db:3306/some"]);
        let evidence = world(app).and(container("mysql-db"));
        check_rule(
            &RULE,
            &evidence,
            fails("`app` is told to use `mysql-db` (DB_URL), but it was made without a network"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network disconnect none app",
                "docker network connect my_network app"
            ]
        );
    }

    #[test]
    fn podman_needs_a_new_container() {
        let app = cut_off("app").env(&["DB_URL=mysql://mysql-db:3306/some"]);
        let evidence = on_podman(world(app).and(container("mysql-db")));
        let all = commands(&RULE, &evidence).join("\n");
        assert!(all.contains(" --network my_network ") && !all.contains("disconnect"), "{all}");
    }

    #[test]
    fn a_server_without_a_network_reaches_nobody() {
        let mut seen = only_lo();
        seen.sockets = Ok(vec![socket(Protocol::Tcp, "0.0.0.0:80")]);
        check_rule(
            &RULE,
            &world(cut_off("web")).sees(seen),
            fails("`web` serves 80/tcp, but it was made without a network: nobody can reach it"),
        );
    }

    #[test]
    fn none_on_purpose_is_silent() {
        let mut seen = only_lo();
        seen.sockets = Ok(vec![socket(Protocol::Tcp, "127.0.0.1:80")]);
        let job = cut_off("job").env(&["CACHE_HOST=localhost"]);
        check_rule(&RULE, &world(job).sees(seen), passes());
    }

    #[test]
    fn what_an_image_brings_along_is_no_wish() {
        let mut job = cut_off("job").env(&["PYTHON_GET_PIP_URL=https://github.com/x"]);
        job.detail_mut().run.env_names.clear();
        check_rule(&RULE, &world(job).sees(only_lo()), passes());
    }

    #[test]
    fn without_a_look_from_inside_it_stays_open() {
        check_rule(
            &RULE,
            &world(cut_off("job")),
            unknown("what listens in `job`"),
        );
    }

    #[test]
    fn after_the_fix_the_word_none_remains_and_says_nothing() {
        let app = container("app")
            .mode(Mode::None)
            .env(&["DB_URL=mysql://mysql-db:3306/some"]);
        check_rule(&RULE, &world(app), not_applicable());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }
}
