//! The bridge of a network is switched off on the engine's host.

use crate::case::Case;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "bridge-down",
    title: "the bridge of its network is switched off on the host",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

On the engine's host, whether the link of each of the container's networks (`docker0`, `br-` and the beginning
of the network's id) is up.

## Why it matters

No packet passes a bridge that is down: containers of one network get `no route to host` after three
seconds, published ports are dead, and nothing leaves. The engine does not notice. NetworkManager and
systemd-networkd do that to links that they think are theirs, and so does a suspended machine.

## How to fix it

`ip link set LINK up` on the host. So that it does not happen again, tell NetworkManager to leave Docker's links
alone: `unmanaged-devices=interface-name:docker0;interface-name:br-*;interface-name:veth*` under `[keyfile]`.

## When it is wrong

Never: the kernel says it.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() {
        return Verdict::NotApplicable;
    }
    if case.host_snapshot().is_none() {
        let silent = case.networks().iter().any(|(network, endpoint)| {
            network.driver == "bridge" && case.gateway_is_silent(endpoint)
        });
        return match (silent, case.host_visit()) {
            (true, Err(why)) => Verdict::Unknown(format!(
                "whether the bridges of `{}` are up: {why}",
                case.name()
            )),
            _ => Verdict::NotApplicable,
        };
    }
    let name = case.name();
    let down = case.bridged().into_iter().filter(|one| !one.link.up);
    let faults = down.map(|one| {
        let (network, link) = (&one.network.name, &one.link.name);
        Fault::error(
            format!("the bridge of `{network}`, {link}, is down on the engine's host"),
            vec![Subject::container(name), Subject::network(network)],
        )
        .proof(format!("seen from the engine's host: {link} is not up"))
        .fix(Fix::new(
            "Switch it on, on the engine's host (as root)",
            vec![shell::command(["ip", "link", "set", link, "up"])],
        ))
    });
    Verdict::from_faults(faults.collect())
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Interface, Question, Snapshot};

    use super::RULE;
    use crate::evidence::{Evidence, Fact, Viewpoint};
    use crate::rules::testing::{
        check_rule, commands, container, id_of, ip, not_applicable, on_podman, passes, snapshot, world,
    };

    fn bridge() -> String {
        format!("br-{}", &id_of("my_network")[..12])
    }

    fn seen(up: bool) -> Evidence {
        let link = Interface {
            name: bridge(),
            index: 9,
            up,
            carrier: up,
            mtu: 1500,
            mac: None,
            addresses: Vec::new(),
        };
        let host = Snapshot {
            interfaces: Ok(vec![link]),
            ..snapshot()
        };
        world(container("web")).answered_from(
            Viewpoint::Host,
            Question::Snapshot,
            Answer::Snapshot(host),
        )
    }

    #[test]
    fn a_link_that_is_down() {
        let Some(crate::rule::Verdict::Fail(faults)) =
            crate::case::Case::new(&seen(false)).map(|case| (RULE.judge)(&case))
        else {
            panic!("no fault");
        };
        assert!(
            faults[0]
                .problem
                .starts_with("the bridge of `my_network`, br-")
        );
        assert_eq!(
            commands(&RULE, &seen(false)),
            [format!("ip link set {} up", bridge())]
        );
    }

    /// podman's bridge is the link with the gateway's address, whatever its name.
    #[test]
    fn podmans_bridge() {
        let mut evidence = on_podman(seen(false));
        check_rule(&RULE, &evidence, passes());
        if let Fact::Known(networks) = &mut evidence.networks {
            let of_web = networks.iter_mut().find(|one| one.name == "my_network");
            of_web.unwrap().ipam[0].gateway = Some(ip("172.18.0.1"));
        }
        for visit in &mut evidence.visits {
            for answered in &mut visit.answers {
                if let Ok(Answer::Snapshot(host)) = &mut answered.answer
                    && let Ok(links) = &mut host.interfaces
                {
                    links[0].name = "podman1".into();
                    links[0].addresses = vec![(ip("172.18.0.1"), 16)];
                }
            }
        }
        assert_eq!(commands(&RULE, &evidence), ["ip link set podman1 up"]);
    }

    #[test]
    fn one_that_is_up_and_hosts_that_were_not_seen_are_silent() {
        check_rule(&RULE, &seen(true), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
