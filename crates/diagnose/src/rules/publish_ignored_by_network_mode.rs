//! Ports were to be published, and the container's networking cannot publish any.

use crate::case::Case;
use crate::evidence::{Binding, Mode};
use crate::recreate::publish_word;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "publish-ignored-by-network-mode",
    title: "published ports are ignored in this network mode",
    check: Check::Published,
    explained_by: &[],
    docs: "\
## What it checks

`-p` asked for ports that are not in force, and the reason is how the container is connected: network
mode `host` or `none`, or only networks that are internal, macvlan or ipvlan.

## Why it matters

The engine forwards published ports through a bridge network with a way out. Elsewhere it drops the
wish, with a warning that scrolls away or with none at all: `docker port NAME` prints nothing and the
host refuses the connection.

## How to fix it

Internal, macvlan, ipvlan: `docker network connect bridge NAME`, and the engine publishes the ports at
once (an internal container gets a way out by it; a reverse proxy on both networks keeps it closed).
None: leave `none` first. Host: use the program's own port, which is on the host already, and drop
`-p`.

## When it is wrong

In host mode a `-p 8080:8080` without an address does no harm and is not reported: the program is on
that port of the host anyway. On macvlan others reach the container by its own address, and the
published port may not be missed by anybody.
",
    judge,
};

enum Reason {
    Host,
    None,
    Networks(String),
}

fn judge(case: &Case<'_>) -> Verdict {
    let missing: Vec<&Binding> = case
        .detail
        .wanted
        .iter()
        .filter(|wanted| {
            !case
                .subject
                .published
                .iter()
                .any(|binding| binding.container == wanted.container)
        })
        .collect();
    if case.detail.wanted.is_empty() {
        return Verdict::NotApplicable;
    }
    if missing.is_empty() {
        return Verdict::Pass;
    }
    match &case.detail.mode {
        Mode::Host => {
            // The program's own port is the wished one, on every address: nothing is amiss.
            let amiss: Vec<_> = missing
                .into_iter()
                .filter(|wanted| {
                    wanted.host_port != Some(wanted.container.number)
                        || wanted.host_address.is_some_and(|a| !a.is_unspecified())
                })
                .collect();
            if amiss.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Fail(vec![fault(case, &amiss, &Reason::Host)])
            }
        }
        Mode::None if !case.is_joined() => {
            Verdict::Fail(vec![fault(case, &missing, &Reason::None)])
        }
        Mode::Container(_) | Mode::User(_) => Verdict::NotApplicable,
        Mode::Networks | Mode::None => by_networks(case, &missing),
    }
}

fn by_networks(case: &Case<'_>, missing: &[&Binding]) -> Verdict {
    if let Some(why) = case.evidence.networks.why_unknown() {
        return Verdict::Unknown(format!("the networks of `{}`: {why}", case.name()));
    }
    let mut networks = case.networks();
    networks.retain(|(network, _)| network.driver != "null");
    let mut words = Vec::new();
    for (network, _) in &networks {
        if network.internal {
            words.push(format!("`{}` is internal", network.name));
        } else if matches!(network.driver.as_str(), "macvlan" | "ipvlan") {
            words.push(format!(
                "`{}` is a {} network",
                network.name, network.driver
            ));
        }
    }
    if networks.is_empty() || words.len() < networks.len() {
        return Verdict::Pass;
    }
    Verdict::Fail(vec![fault(
        case,
        missing,
        &Reason::Networks(words.join(", ")),
    )])
}

fn fault(case: &Case<'_>, missing: &[&Binding], reason: &Reason) -> Fault {
    let name = case.name();
    let wishes: Vec<String> = missing
        .iter()
        .map(|binding| format!("`-p {}`", publish_word(binding)))
        .collect();
    let wishes = wishes.join(", ");
    let why = match reason {
        Reason::Host => "it uses the host's own network".to_owned(),
        Reason::None => "it is on the network `none`".to_owned(),
        Reason::Networks(words) => format!("{words}, and it is on no other network"),
    };
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(
        missing
            .iter()
            .map(|binding| Subject::port(binding.container)),
    );
    let fault = Fault::error(
        format!("the published ports of `{name}` ({wishes}) are not in force: {why}"),
        subjects,
    )
    .proof(format!(
        "Engine API: asked for {wishes}, in force: none of them"
    ))
    .proof(format!("Engine API: {why}"));
    let connect = shell::command(["docker", "network", "connect", "bridge", name]);
    let compose = case.subject.compose_service();
    match reason {
        Reason::Host => {
            let own: Vec<String> = missing
                .iter()
                .map(|binding| binding.container.number.to_string())
                .collect();
            fault.fix(case.recreate().publish(Vec::new()).fix(
                &format!(
                    "Use the program's own port, which is on the host already (port {}), and drop \
                     `-p`",
                    own.join(", ")
                ),
                "remove `ports`",
            ))
        }
        Reason::None => fault.fix(Fix::new(
            "Take it off `none` and put it on a network; the engine publishes the ports at once",
            vec![
                shell::command(["docker", "network", "disconnect", "none", name]),
                connect,
            ],
        )),
        Reason::Networks(_) => {
            let lasting = compose.map_or_else(String::new, |(project, service)| {
                format!(
                    "; to keep it, add a bridge network that is not internal to `{service}` in the \
                     Compose file of `{project}`"
                )
            });
            fault.fix(Fix::new(
                format!(
                    "Put it on a bridge network with a way out too; the engine publishes the ports \
                     at once{lasting}"
                ),
                vec![connect],
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Binding, Container, Fact, Mode};
    use crate::rules::testing::{
        binding, check_rule, commands, container, fails, network, not_applicable, passes, tcp,
        unknown, world,
    };

    /// `-p 18091:80`, not in force.
    fn web() -> Container {
        let mut web = container("web");
        web.detail_mut().wanted = vec![Binding {
            container: tcp(80),
            host_address: None,
            host_port: Some(18091),
        }];
        web
    }

    #[test]
    fn on_an_internal_network_only() {
        let mut internal = network("inside", "172.20.0.0/16");
        internal.internal = true;
        let alone = web().alone().on("inside", "172.20.0.2");
        let evidence = world(alone.clone()).with_network(internal.clone());
        check_rule(
            &RULE,
            &evidence,
            fails(
                "the published ports of `web` (`-p 18091:80`) are not in force: `inside` is \
                 internal, and it is on no other network",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            ["docker network connect bridge web"]
        );
        let both = world(alone.on("my_network", "172.18.0.9")).with_network(internal);
        check_rule(&RULE, &both, passes());
    }

    #[test]
    fn on_macvlan() {
        let mut lan = network("lan", "10.0.0.0/24");
        lan.driver = "macvlan".into();
        check_rule(
            &RULE,
            &world(web().alone().on("lan", "10.0.0.7")).with_network(lan),
            fails(
                "the published ports of `web` (`-p 18091:80`) are not in force: `lan` is a macvlan \
                 network, and it is on no other network",
            ),
        );
    }

    #[test]
    fn in_host_and_none_mode() {
        let host = world(web().alone().mode(Mode::Host));
        check_rule(
            &RULE,
            &host,
            fails(
                "the published ports of `web` (`-p 18091:80`) are not in force: it uses the host's \
                 own network",
            ),
        );
        assert_eq!(
            commands(&RULE, &host)[2],
            "docker run -d --name web --network host app:1"
        );
        let none = world(web().alone().mode(Mode::None));
        check_rule(
            &RULE,
            &none,
            fails(
                "the published ports of `web` (`-p 18091:80`) are not in force: it is on the \
                 network `none`",
            ),
        );
        assert_eq!(
            commands(&RULE, &none),
            [
                "docker network disconnect none web",
                "docker network connect bridge web"
            ]
        );
    }

    #[test]
    fn in_force_or_the_same_anyway() {
        let published = container("web").publishes(binding("0.0.0.0", 80, tcp(80)));
        check_rule(&RULE, &world(published), passes());
        let mut same = web().alone().mode(Mode::Host);
        same.detail_mut().wanted[0].host_port = Some(80);
        check_rule(&RULE, &world(same), passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
        // On no network at all: that is another fault's word.
        check_rule(&RULE, &world(web().alone()), passes());
    }

    #[test]
    fn without_the_networks_it_stays_open() {
        let mut evidence = world(web());
        evidence.networks = Fact::Failed("the engine did not answer".into());
        check_rule(
            &RULE,
            &evidence,
            unknown("the networks of `web`: the engine"),
        );
    }
}
