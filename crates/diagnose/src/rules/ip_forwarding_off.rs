//! The engine's host forwards no packets.

use crate::case::Case;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

/// See the module.
pub static RULE: Rule = Rule {
    code: "ip-forwarding-off",
    title: "the engine's host forwards no packets",
    check: Check::Outbound,
    explained_by: &["network-is-internal"],
    docs: "\
## What it checks

`net.ipv4.ip_forward` on the engine's host, read there: newer engines go on saying that forwarding is on after
it was switched off.

## Why it matters

A host that does not forward passes no packet from a bridge to another interface: containers of one network
reach each other, the host reaches them, and nothing else works. Nothing leaves, and published ports are dead
from other machines. The engine switches it on when it starts; files in /etc/sysctl.d, systemd-networkd, VPN
clients and hardening scripts switch it off again.

## How to fix it

`sysctl -w net.ipv4.ip_forward=1`, and a line in a file of /etc/sysctl.d that comes last, so that it stays.

## When it is wrong

Nothing is meant to leave, and everything is published for the host alone.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    // A network without a way out is not forwarded for, on purpose.
    let leaves = case
        .networks()
        .iter()
        .any(|(network, _)| network.driver == "bridge" && !network.internal);
    if !leaves || !case.is_joined() {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let Some(host) = case.host_snapshot() else {
        return Verdict::NotApplicable;
    };
    match host.sysctls.get("net.ipv4.ip_forward").map(String::as_str) {
        None | Some("1") => Verdict::Pass,
        Some(value) => Verdict::Fail(vec![
            Fault::error(
                format!("the engine's host forwards nothing: what `{name}` sends outside does not leave"),
                vec![Subject::container(name)],
            )
            .proof(format!(
                "seen from the engine's host: net.ipv4.ip_forward = {value}"
            ))
            .fix(Fix::new(
                "Switch it on, on the engine's host (as root)",
                vec![shell::command(["sysctl", "-w", "net.ipv4.ip_forward=1"])],
            )),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Question};

    use super::RULE;
    use crate::evidence::{Evidence, Viewpoint};
    use crate::rules::testing::{
        check_rule, commands, container, fails, not_applicable, passes, snapshot, world,
    };

    fn host(value: &str) -> Evidence {
        let mut host = snapshot();
        host.sysctls
            .insert("net.ipv4.ip_forward".into(), value.into());
        world(container("web")).answered_from(
            Viewpoint::Host,
            Question::Snapshot,
            Answer::Snapshot(host),
        )
    }

    #[test]
    fn off() {
        let problem = "the engine's host forwards nothing: what `web` sends outside does not leave";
        check_rule(&RULE, &host("0"), fails(problem));
        assert_eq!(commands(&RULE, &host("0")), ["sysctl -w net.ipv4.ip_forward=1"]);
    }

    #[test]
    fn on_or_not_seen_or_not_wanted() {
        check_rule(&RULE, &host("1"), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
        let mut inside = host("0");
        if let crate::evidence::Fact::Known(networks) = &mut inside.networks {
            networks.iter_mut().for_each(|network| network.internal = true);
        }
        check_rule(&RULE, &inside, not_applicable());
    }
}
