//! The kernel does not ask the packet filter about packets within a bridge.

use crate::case::Case;
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::shell;

const SYSCTL: &str = "net.bridge.bridge-nf-call-iptables";

/// See the module.
pub static RULE: Rule = Rule {
    code: "bridge-netfilter-off",
    title: "what its network forbids is not enforced",
    check: Check::Networks,
    explained_by: &[],
    docs: "\
## What it checks

A network of the container has `com.docker.network.bridge.enable_icc=false`, and on the engine's host
`net.bridge.bridge-nf-call-iptables` is 0.

## Why it matters

Packets from port to port of one bridge are asked about by iptables only with this setting (br_netfilter). Without
it, `icc=false` and every rule in DOCKER-USER between containers of one network are without effect, and nothing
says so: a container that was meant to be shut off is not.

## How to fix it

`sysctl -w net.bridge.bridge-nf-call-iptables=1`, after `modprobe br_netfilter` where it does not exist.

## When it is wrong

Something else shuts the containers off from each other (a bridge table of nftables).
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    let shut: Vec<&str> = case
        .networks()
        .into_iter()
        .filter(|(network, _)| network.driver == "bridge" && !network.lets_talk())
        .map(|(network, _)| network.name.as_str())
        .collect();
    let Some(network) = shut.first() else {
        return Verdict::NotApplicable;
    };
    let name = case.name();
    let Some(host) = case.host_snapshot() else {
        return Verdict::Unknown(format!(
            "whether `{network}` shuts `{name}` off: {}",
            case.host_visit().err().unwrap_or("the host was not seen")
        ));
    };
    if host.sysctls.get(SYSCTL).is_none_or(|value| value != "0") {
        return Verdict::Pass;
    }
    Verdict::Fail(vec![
        Fault::warning(
            format!("`{network}` forbids its containers to talk to each other, and they can"),
            vec![Subject::container(name), Subject::network(network)],
        )
        .proof(format!("seen from the engine's host: {SYSCTL} = 0"))
        .proof(format!(
            "Engine API: `{network}` has com.docker.network.bridge.enable_icc=false"
        ))
        .fix(Fix::new(
            "Have packets within bridges filtered, on the engine's host (as root)",
            vec![shell::command(["sysctl", "-w", &format!("{SYSCTL}=1")])],
        )),
    ])
}

#[cfg(test)]
mod tests {
    use netcheck_probe::{Answer, Question};

    use super::{RULE, SYSCTL};
    use crate::evidence::{Evidence, Fact, Viewpoint};
    use crate::rules::testing::{
        check_rule, container, fails, not_applicable, passes, snapshot, unknown, world,
    };

    fn shut(value: Option<&str>) -> Evidence {
        let mut evidence = world(container("web"));
        if let Fact::Known(networks) = &mut evidence.networks {
            for network in networks {
                let option = "com.docker.network.bridge.enable_icc";
                network.options.insert(option.into(), "false".into());
            }
        }
        let Some(value) = value else {
            return evidence;
        };
        let mut host = snapshot();
        host.sysctls.insert(SYSCTL.into(), value.into());
        evidence.answered_from(Viewpoint::Host, Question::Snapshot, Answer::Snapshot(host))
    }

    #[test]
    fn icc_off_without_the_filter() {
        let problem = "`my_network` forbids its containers to talk to each other, and they can";
        check_rule(&RULE, &shut(Some("0")), fails(problem));
        check_rule(&RULE, &shut(None), unknown("whether `my_network` shuts `web` off"));
    }

    #[test]
    fn with_the_filter_or_with_nothing_forbidden() {
        check_rule(&RULE, &shut(Some("1")), passes());
        check_rule(&RULE, &world(container("web")), not_applicable());
    }
}
