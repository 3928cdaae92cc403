//! What to ask when a pair is tried again and again.
//!
//! It must not ask a name server on the internet about a name that a single try would not have
//! asked it about.

use std::net::IpAddr;

use netcheck_probe::{Protocol, Question};

use super::{DATAGRAM_WAIT_MS, PROXY_LISTEN_MS, Plan};
use crate::case::Case;
use crate::evidence::{Container, Evidence, Fact, Viewpoint};
use crate::request::Target;

/// How far apart tries begin, in milliseconds: ten a second show a fault that comes and goes, and
/// are no load for any server.
pub const EVERY_MS: u32 = 100;

/// The tries of one batch: those of the `index`-th target are at `index` of the answer. None where
/// there is nothing to try, with the reason.
pub fn batch(evidence: &Evidence, target: &Target, tries: u32) -> Result<Vec<Question>, String> {
    if !target.has_port() {
        return Err("no port was named".into());
    }
    let case = Case::new(evidence).ok_or("nothing is known of the container that connects")?;
    if !case.subject.is_running() {
        return Err(format!("`{}` does not run", case.name()));
    }
    let host = host(&case, &target.host)?;
    let ask = |number| Question::Attempt {
        host: host.clone(),
        port: target.port,
        protocol: target.protocol,
        after_ms: number * EVERY_MS,
        listen_ms: match target.protocol {
            Protocol::Tcp => PROXY_LISTEN_MS,
            Protocol::Udp => DATAGRAM_WAIT_MS,
        },
    };
    Ok((0..tries).map(ask).collect())
}

/// Asked at the target before the first try and after the last one.
pub fn around(evidence: &Evidence, target: &Target) -> Plan {
    let runs = |id: &&String| evidence.container(id).is_some_and(Container::is_running);
    let far = target.container.as_ref().filter(runs);
    far.map(|id| {
        let viewpoint = Viewpoint::Container(id.clone());
        (viewpoint, vec![Question::Overflows])
    })
    .into_iter()
    .collect()
}

/// What to look up each time.
fn host(case: &Case<'_>, host: &str) -> Result<String, String> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(host.to_owned());
    }
    match case.visit()?.lookup(host) {
        Fact::Known(_) => return Ok(host.to_owned()),
        Fact::Failed(why) => return Err(format!("looking up `{host}`: {why}")),
        Fact::NotCollected => {}
    }
    // A name of /etc/hosts that the single try did not ask a server about.
    let known = case
        .resolution(host)
        .map_err(|why| format!("`{host}`: {why}"))?;
    known
        .first()
        .map(ToString::to_string)
        .ok_or_else(|| format!("`{host}` was not looked up"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Status;
    use crate::rules::testing::{container, id_of, world};

    fn target(host: &str, port: u16) -> Target {
        Target {
            container: Some(id_of("db")),
            ..Target::new(host, port, Protocol::Tcp)
        }
    }

    fn pair() -> Evidence {
        world(container("app"))
            .and(container("db").on("my_network", "172.18.0.3"))
            .resolves("db", &["172.18.0.3"])
    }

    #[test]
    fn tries_begin_one_after_another() {
        let batch = batch(&pair(), &target("db", 80), 3).unwrap();
        let begins: Vec<u32> = batch
            .iter()
            .map(|question| match question {
                Question::Attempt { after_ms, host, .. } if host == "db" => *after_ms,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(begins, [0, 100, 200]);
    }

    #[test]
    fn a_name_that_was_not_asked_about_is_not_asked_about_now() {
        let why = batch(&pair(), &target("secret.example", 80), 3).unwrap_err();
        assert!(why.contains("secret.example"), "{why}");
        assert!(batch(&pair(), &target("172.18.0.3", 80), 3).is_ok());
    }

    #[test]
    fn what_cannot_be_tried_says_why() {
        assert_eq!(
            batch(&pair(), &target("db", 0), 3),
            Err("no port was named".into())
        );
        let mut stopped = pair();
        stopped.containers[0].status = Status::Exited;
        let why = batch(&stopped, &target("db", 80), 3).unwrap_err();
        assert_eq!(why, "`app` does not run");
    }

    #[test]
    fn only_a_target_that_runs_is_asked_about_its_queues() {
        let mut evidence = pair();
        assert_eq!(around(&evidence, &target("db", 80)).len(), 1);
        evidence.containers[1].status = Status::Exited;
        assert_eq!(around(&evidence, &target("db", 80)).len(), 0);
        let outside = Target::new("example.com", 80, Protocol::Tcp);
        assert_eq!(around(&evidence, &outside).len(), 0);
    }
}
