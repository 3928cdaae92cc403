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
    use crate::evidence::{Evidence, Viewpoint};
    use crate::rules::testing::{
        check_rule, commands, container, id_of, not_applicable, passes, snapshot, world,
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

    #[test]
    fn one_that_is_up_and_hosts_that_were_not_seen_are_silent() {
        check_rule(&RULE, &seen(true), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
