//! The container wants to go out, and all its networks are internal.

use std::net::IpAddr;

use netcheck_probe::Connected;

use crate::case::{Case, is_host_name};
use crate::reference::{Place, Reference};
use crate::report::{Fix, Subject};
use crate::rule::{Check, Fault, Rule, Verdict};
use crate::{plan, shell};

/// See the module.
pub static RULE: Rule = Rule {
    code: "network-is-internal",
    title: "all its networks are internal",
    check: Check::Outbound,
    explained_by: &[],
    docs: "\
## What it checks

Every network of the container was made with `--internal`, and it wants to go out: you asked for an
outside place (`--outbound`), or its own environment or command line names one and it has no proxy.

## Why it matters

An internal network has no way out. Outside names do not resolve, and connections to the outside hang
or end with `network is unreachable`, while the containers reach each other.

## How to fix it

`docker network create egress`, then `docker network connect egress NAME`: it works at once, without
a restart, and the internal network stays as it is. Or let a proxy on both networks go out for it.

## When it is wrong

An outside place in the settings that the program never uses. A container that is shut in on purpose
needs nothing.
",
    judge,
};

fn judge(case: &Case<'_>) -> Verdict {
    if !case.is_joined() || case.subject.endpoints.is_empty() {
        return Verdict::NotApplicable;
    }
    let name = case.name();
    let networks = case.networks();
    let Some(wish) = wish(case) else {
        return if networks.iter().all(|(network, _)| network.internal) {
            Verdict::Pass
        } else {
            Verdict::NotApplicable
        };
    };
    if networks.iter().any(|(network, _)| !network.internal) {
        return Verdict::Pass;
    }
    if networks.len() < case.subject.endpoints.len() {
        return Verdict::Unknown(format!(
            "whether the networks of `{name}` are internal: {}",
            case.evidence
                .networks
                .why_unknown()
                .unwrap_or("one of them is not listed by the engine")
        ));
    }
    let (place, setting, proof) = match wish {
        Wish::Asked { place, failed } => (place, None, failed),
        Wish::Written(reference) => (
            reference.host.clone(),
            Some(Subject::setting(&reference.place)),
            (reference.place != Place::Asked)
                .then(|| format!("{} is {}", reference.place, reference.shown)),
        ),
    };
    let names: Vec<String> = networks
        .iter()
        .map(|(network, _)| format!("`{}`", network.name))
        .collect();
    let told = match &setting {
        Some(setting) => format!("is told to use `{place}` ({})", setting.name),
        None => format!("is to reach `{place}`"),
    };
    let mut subjects = vec![Subject::container(name)];
    subjects.extend(
        networks
            .iter()
            .map(|(network, _)| Subject::network(&network.name)),
    );
    subjects.extend(setting);
    let mut fault = Fault::error(
        format!("`{name}` {told}, but it is only on internal networks"),
        subjects,
    )
    .proof(format!(
        "Engine API: `{name}` is on {}, made with --internal",
        names.join(", ")
    ));
    if let Some(proof) = proof {
        fault = fault.proof(proof);
    }
    let egress = case.free_network_name("egress");
    Verdict::Fail(vec![fault.fix(Fix::new(
        "Give it a network that leads out, besides the internal one",
        vec![
            shell::command(["docker", "network", "create", &egress]),
            shell::command(["docker", "network", "connect", &egress, name]),
        ],
    ))])
}

/// Why it wants to go out.
enum Wish<'a> {
    /// The user of this tool said so; with what came of it.
    Asked {
        place: String,
        failed: Option<String>,
    },
    /// Its configuration does.
    Written(&'a Reference),
}

fn wish<'a>(case: &Case<'a>) -> Option<Wish<'a>> {
    if let Some(outbound) = &case.evidence.request.outbound {
        let near = outbound.address().is_some_and(|address| {
            case.networks()
                .iter()
                .any(|(network, _)| network.contains(address))
        });
        if !near && !opened(case, &outbound.host, outbound.port) {
            let failed = outbound.address().and_then(|address| {
                let to = (address, outbound.port).into();
                match case.visit().ok()?.connect(to).known()? {
                    Connected::Failed { errno, .. } => Some(format!(
                        "seen from `{}`: connecting to {to}: {}",
                        case.name(),
                        errno.words()
                    )),
                    Connected::Open { .. } => None,
                }
            });
            return Some(Wish::Asked {
                place: outbound.host.clone(),
                failed,
            });
        }
    }
    let has_proxy = case.detail.env_names.iter().any(|name| {
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
            .iter()
            .any(|proxy| name.eq_ignore_ascii_case(proxy))
    });
    if has_proxy {
        return None;
    }
    case.detail
        .references
        .iter()
        .find(|reference| case.is_chosen(reference) && is_outside(case, &reference.host))
        .map(Wish::Written)
}

fn opened(case: &Case<'_>, host: &str, port: u16) -> bool {
    let Ok(visit) = case.visit() else {
        return false;
    };
    let looked_up = visit
        .lookup(host)
        .known()
        .map(|lookup| lookup.addresses.clone())
        .unwrap_or_default();
    host.parse::<IpAddr>()
        .into_iter()
        .chain(looked_up)
        .any(|address| {
            matches!(
                visit.connect((address, port).into()).known(),
                Some(Connected::Open { .. })
            )
        })
}

/// A public address; or a name with a dot that is nobody's on this engine.
fn is_outside(case: &Case<'_>, host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return !plan::is_private(address)
            && !address.is_unspecified()
            && !address.is_multicast()
            && case.network_of(address).is_none();
    }
    let bare = host.trim_end_matches('.');
    if !bare.contains('.') || is_host_name(bare) || !case.named(bare).is_empty() {
        return false;
    }
    // `db.my_network` is a name of the embedded DNS as well.
    let on_a_network = case
        .evidence
        .networks
        .known()
        .into_iter()
        .flatten()
        .filter_map(|network| bare.strip_suffix(network.name.as_str())?.strip_suffix('.'))
        .any(|first| !case.named(first).is_empty());
    let written = case
        .detail
        .extra_hosts
        .iter()
        .any(|line| line.name.eq_ignore_ascii_case(bare));
    let known = case
        .resolution(host)
        .is_ok_and(|addresses| !addresses.is_empty());
    !on_a_network && !written && !known && !bare.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::evidence::{Container, Evidence, Fact};
    use crate::request::Outbound;
    use crate::rules::testing::{
        check_rule, commands, container, fails, network, not_applicable, passes, unknown, world,
    };

    fn inside(app: Container) -> Evidence {
        let mut evidence = world(app);
        if let Fact::Known(networks) = &mut evidence.networks {
            networks[1].internal = true;
        }
        evidence
    }

    fn outbound(mut evidence: Evidence, host: &str) -> Evidence {
        evidence.request.outbound = Some(Outbound {
            host: host.into(),
            port: 443,
        });
        evidence
    }

    #[test]
    fn an_outside_place_in_its_own_settings() {
        let evidence = inside(container("app").env(&["API_URL=https://api.example.com/v1"]));
        check_rule(
            &RULE,
            &evidence,
            fails(
                "`app` is told to use `api.example.com` (API_URL), but it is only on internal networks",
            ),
        );
        assert_eq!(
            commands(&RULE, &evidence),
            [
                "docker network create egress",
                "docker network connect egress app"
            ]
        );
        let taken = evidence.with_network(network("egress", "172.20.0.0/16"));
        assert_eq!(commands(&RULE, &taken)[0], "docker network create egress-2");
    }

    #[test]
    fn an_outside_place_that_the_user_asks_for() {
        let evidence = outbound(inside(container("app")), "9.9.9.9");
        check_rule(
            &RULE,
            &evidence,
            fails("`app` is to reach `9.9.9.9`, but it is only on internal networks"),
        );
        let near = outbound(inside(container("app")), "172.18.0.5");
        check_rule(&RULE, &near, passes());
    }

    #[test]
    fn internal_on_purpose_is_silent() {
        check_rule(&RULE, &inside(container("db")), passes());
        let app = container("app").env(&[
            "DB_URL=mysql://db:3306/some",
            "CACHE_URL=redis://cache.my_network:6379/0",
            "LAN_URL=http://10.0.0.5/",
        ]);
        check_rule(&RULE, &inside(app).and(container("cache")), passes());
        let proxied = container("app").env(&["API_URL=https://api.example.com/", "https_proxy=x"]);
        check_rule(&RULE, &inside(proxied), passes());
        let mut of_image = container("app").env(&["PIP_URL=https://github.com/x"]);
        of_image.detail_mut().run.env_names.clear();
        check_rule(&RULE, &inside(of_image), passes());
    }

    #[test]
    fn one_network_that_leads_out_is_enough() {
        let app = container("app")
            .on("other", "172.19.0.9")
            .env(&["API_URL=https://api.example.com/v1"]);
        check_rule(&RULE, &inside(app), passes());
        check_rule(&RULE, &world(container("app")), not_applicable());
    }

    #[test]
    fn unlisted_networks_stay_open() {
        let mut evidence = world(container("app").env(&["API_URL=https://api.example.com/v1"]));
        evidence.networks = Fact::Failed("the engine did not answer".into());
        check_rule(&RULE, &evidence, unknown("the engine did not answer"));
    }
}
