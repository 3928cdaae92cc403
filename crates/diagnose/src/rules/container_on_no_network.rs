//! The container runs and was taken off every network.

use crate::case::Case;
use crate::evidence::{Mode, Network};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "container-on-no-network",
    title: "the container is on no network",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

The container runs with a network namespace of its own that should be joined to networks (its mode
is not `none`, `host` or `container:`), and the engine lists no endpoint for it.

## Why it matters

It has only `lo`: every connection from it ends at once with `network is unreachable`, its name is
gone from every network, and its published ports lead nowhere. It happens after `docker network
disconnect` without a following `connect`, by hand or in a script.

## How to fix it

`docker network connect NETWORK NAME`; it works at once, without a restart. The network it was made
with is still in `docker inspect -f '{{.HostConfig.NetworkMode}}' NAME`.

## When it is wrong

Somebody may have cut it off on purpose, e.g. to look into a broken-into container.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if case.detail.mode != Mode::Networks {
        return Verdict::NotApplicable;
    }
    if !case.subject.endpoints.is_empty() {
        return Verdict::Pass;
    }
    let name = case.name();
    let (network, why) = former_network(case);
    let mut words = vec!["docker", "network", "connect"];
    let service = case.subject.compose.get("service");
    if let Some(service) = service
        && network != "bridge"
    {
        words.extend(["--alias", service]);
    }
    words.extend([network, name]);
    let word = &case.detail.network_mode;
    let mut fault = Fault::error(
        format!("`{name}` runs, but it is on no network"),
        vec![Subject::container(name)],
    )
    .proof(if word.is_empty() {
        format!("Engine API: `{name}` has no endpoint")
    } else {
        format!("Engine API: `{name}` has no endpoint, though its network mode is `{word}`")
    });
    if let Some(links) = links(case) {
        fault = fault.proof(format!("seen from `{name}`: the only links are {links}"));
    }
    Verdict::Fail(vec![fault.fix(Fix::new(
        format!("Connect it to `{network}`, {why}"),
        vec![shell::command(words)],
    ))])
}

fn links(case: &Case<'_>) -> Option<String> {
    let snapshot = case.snapshot().ok()?;
    let interfaces = snapshot.interfaces.as_ref().ok()?;
    let names: Vec<&str> = interfaces
        .iter()
        .map(|interface| interface.name.as_str())
        .collect();
    Some(names.join(", "))
}

/// The network it should be on, and why that one.
fn former_network<'a>(case: &Case<'a>) -> (&'a str, String) {
    let networks: Vec<&Network> = case
        .evidence
        .networks
        .known()
        .into_iter()
        .flatten()
        .collect();
    let word = case.detail.network_mode.as_str();
    let made_with = networks.iter().find(|network| {
        network.name == word
            || (word.len() >= 12 && network.id.starts_with(word))
            || (word == "default" && network.is_default_bridge())
    });
    if let Some(network) = made_with {
        return (&network.name, "the network it was made with".into());
    }
    if let Some(project) = case.subject.compose.get("project") {
        let default = format!("{project}_default");
        if let Some(network) = networks.iter().find(|network| network.name == default) {
            return (
                &network.name,
                format!("the network of its Compose project `{project}`"),
            );
        }
    }
    let target = case.named_references().find_map(|reference| {
        let other = case
            .others_named(&reference.host)
            .into_iter()
            .find(|other| other.is_running())?;
        let network = case
            .networks_of(other, &reference.host)
            .into_iter()
            .find(|network| network.has_dns())?;
        Some((network, other))
    });
    if let Some((network, other)) = target {
        return (
            &network.name,
            format!("where `{}` is, which it is told to use", other.name),
        );
    }
    let mut own = networks
        .iter()
        .filter(|network| network.has_dns() && network.name != "ingress");
    match (own.next(), own.next()) {
        (Some(only), None) => (&only.name, "the only network of your own".into()),
        _ => ("bridge", "the engine's default network".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::Mode;
    use crate::rules::testing::{
        check_rule, commands, container, fails, fix_texts, network, not_applicable, only_lo,
        passes, world,
    };

    #[test]
    fn the_network_it_was_made_with_is_the_best_source() {
        let mut app = container("app").alone();
        app.detail_mut().network_mode = "other".into();
        let evidence = world(app).sees(only_lo());
        check_rule(
            &RULE,
            &evidence,
            fails("`app` runs, but it is on no network"),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect other app"]
        );
    }

    #[test]
    fn a_service_goes_back_to_its_project_with_its_name() {
        let app = container("shop-app-1").alone().of_service("shop", "app");
        let evidence = world(app).with_network(network("shop_default", "172.20.0.0/16"));
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect --alias app shop_default shop-app-1"]
        );
    }

    #[test]
    fn else_it_follows_its_references_or_takes_the_default() {
        let app = container("app")
            .alone()
            .env(&["DB_URL=mysql://mysql-db/some"]);
        let evidence = world(app).and(container("mysql-db"));
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect my_network app"]
        );
        let lonely = world(container("app").alone());
        assert_eq!(
            commands(&RULE, &lonely),
            ["docker network connect bridge app"]
        );
        assert_eq!(
            fix_texts(&RULE, &lonely),
            ["Connect it to `bridge`, the engine's default network"]
        );
    }

    #[test]
    fn other_modes_and_joined_containers_are_silent() {
        check_rule(&RULE, &world(container("app")), passes());
        for mode in [Mode::None, Mode::Host, Mode::Container("x".into())] {
            let app = container("app").alone().mode(mode);
            check_rule(&RULE, &world(app), not_applicable());
        }
    }
}
