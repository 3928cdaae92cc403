//! One run for pairs: can a container connect to these places, and why not? All pairs share the
//! conversations with the probes and the deadline. A target that is none never stops the others.

use futures_util::future::join_all;
use netcheck_diagnose::case::Case;
use netcheck_diagnose::evidence::{Container, ENGINE_HOST, Evidence, Status};
use netcheck_diagnose::plan;
use netcheck_diagnose::request::{Cause, Refused, Target};
use netcheck_diagnose::target::{self, Ports, Wanted};

use crate::client::Client;
use crate::collect::{collect, find};
use crate::deadline::Deadline;
use crate::deep;
use crate::error::{Error, Result};
use crate::gather::{
    ProbeMode, Progress, RESERVE, add, container_now, evidence, first_round, replace_if_changed,
};
use crate::helper::Run;
use crate::image::remove_expired;
use crate::namespace::Namespace;
use crate::repeat::{Repeat, repeat};
use crate::visits::Visits;

/// What to find out about a pair: whether one container can connect to a place, and why not.
#[derive(Debug, Clone)]
pub struct PairOptions {
    /// The container that connects: name, id, or the beginning of an id.
    pub from: String,
    /// Where to. Whom it means is found out; an id given with it is not looked at.
    pub target: Target,
    /// How to look from inside.
    pub probe: ProbeMode,
}

/// The same for several places, some of them without a port.
#[derive(Debug, Clone)]
pub struct PairsOptions {
    /// The container that connects: name, id, the beginning of an id, or a service of Compose; or
    /// `host` for the engine's host.
    pub from: String,
    /// Where to, in the order of the reports. Those without a port stand for each port that the
    /// container serves.
    pub targets: Vec<Wanted>,
    /// What was named beside them and could not be read; it is handed on.
    pub refused: Vec<Refused>,
    /// How to look from inside.
    pub probe: ProbeMode,
    /// To be tried again and again.
    pub repeat: Option<Repeat>,
    /// Read packet filters and watch packets where something fails.
    pub deep: bool,
}

/// A pair has a round for what the names come to and one for the connections, and one more where
/// a name is looked up only once it is known who gets to see it.
const ROUNDS: usize = 4;

/// The most pairs of one run: each asks up to some thirty questions, and a probe takes 4096.
const MOST_PAIRS: usize = 64;

/// Finds out whether one container can connect to a place, and what there is to know about why not.
///
/// # Errors
///
/// The container that connects is not there, one of the two was removed meanwhile, or the engine
/// does not answer. Anything less is a fact that failed; also a target that does not exist.
pub async fn gather_pair(
    client: &Client,
    options: &PairOptions,
    run: &Run,
    deadline: Deadline,
    progress: Progress<'_>,
) -> Result<Evidence> {
    let options = PairsOptions {
        from: options.from.clone(),
        targets: vec![Wanted {
            host: options.target.host.clone(),
            port: Some(options.target.port),
            protocol: options.target.protocol,
            talk: options.target.talk,
        }],
        refused: Vec::new(),
        probe: options.probe,
        repeat: None,
        deep: false,
    };
    gather_pairs(client, &options, run, deadline, progress).await
}

/// Finds out whether one container can connect to each of several places.
///
/// # Errors
///
/// As those of [`gather_pair`]. A target that means no container although it has to is noted in the
/// request of the evidence, which then may hold no target at all.
pub async fn gather_pairs(
    client: &Client,
    options: &PairsOptions,
    run: &Run,
    deadline: Deadline,
    progress: Progress<'_>,
) -> Result<Evidence> {
    let deadline = deadline.earlier(RESERVE);
    progress("asking the Docker Engine");
    let hosts: Vec<&str> = options
        .targets
        .iter()
        .map(|wanted| wanted.host.as_str())
        .collect();
    let collected = collect(client, &options.from, &hosts, true, deadline).await?;
    let expired = collected.expired.clone();
    let mut evidence = evidence(collected);
    evidence.request.refused.clone_from(&options.refused);
    for wanted in &options.targets {
        match aim(&mut evidence, wanted) {
            Ok(target) => push(&mut evidence, target),
            Err(refused) => evidence.request.refused.push(refused),
        }
    }
    if evidence.request.target.is_none() {
        return Ok(evidence);
    }
    if options.probe == ProbeMode::None {
        let reason = "--probe none was given";
        settle(&mut evidence);
        for viewpoint in plan::pairs(&evidence).into_keys() {
            evidence.missed.push((viewpoint, reason.into()));
        }
        return Ok(evidence);
    }
    let mut visits = Visits::new(client, options.probe);
    let namespaces = Namespace::known(&evidence.containers);
    let look = async {
        // What serves no port yet known takes a round more: a first look at it.
        let rounds = if evidence.request.targets().all(Target::has_port) {
            ROUNDS
        } else {
            ROUNDS + 1
        };
        for round in 1..=rounds {
            if round == 2 {
                settle(&mut evidence);
            }
            let plan = plan::pairs(&evidence);
            if plan.is_empty() && round > 1 {
                break;
            }
            progress(if round == 1 {
                "looking from inside"
            } else {
                "looking closer"
            });
            let until = if round == rounds {
                deadline
            } else {
                first_round(deadline)
            };
            let seen = visits
                .carry_out(run, plan.clone(), &namespaces, until)
                .await;
            add(&mut evidence, seen, &plan);
        }
    };
    tokio::join!(look, remove_expired(client, expired, deadline));
    if let Some(wanted) = options.repeat {
        evidence.repetitions =
            repeat(&evidence, &mut visits, run, &namespaces, wanted, progress).await;
    }
    if options.deep {
        let mode = options.probe;
        deep::look(
            client,
            mode,
            &mut evidence,
            &mut visits,
            run,
            &namespaces,
            progress,
        )
        .await;
    }
    // What came last had a time of its own.
    let deadline = if options.repeat.is_some() || options.deep {
        Deadline::after(deadline.whole())
    } else {
        deadline
    };
    let ends: Vec<String> = ends(&evidence);
    let now = join_all(
        ends.iter()
            .map(|id| container_now(client, &evidence, id, deadline)),
    )
    .await;
    for now in now {
        replace_if_changed(&mut evidence, now?);
    }
    Ok(evidence)
}

/// Ids of all containers that the pairs are about.
fn ends(evidence: &Evidence) -> Vec<String> {
    let targets = evidence.request.targets();
    let mut ends: Vec<String> = targets
        .filter_map(|target| target.container.clone())
        .chain([evidence.request.container.clone()])
        .filter(|id| id != ENGINE_HOST)
        .collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

/// Adds a target, if it is not there yet. A URL of a place that is there tells more of it.
fn push(evidence: &mut Evidence, target: Target) {
    let request = &mut evidence.request;
    let known = request
        .target
        .iter_mut()
        .chain(&mut request.more)
        .find(|known| {
            let talk = target.talk.or(known.talk);
            let of = |one: &Target| Target {
                talk,
                ..one.clone()
            };
            of(known) == of(&target) && (known.talk.is_none() || known.talk == talk)
        });
    if let Some(known) = known {
        known.talk = known.talk.or(target.talk);
        return;
    }
    match request.target {
        None => request.target = Some(target),
        Some(_) => request.more.push(target),
    }
}

/// Which place is meant. Without a port only a container will do; its ports are found out later,
/// and the target has port 0 until then.
fn aim(evidence: &mut Evidence, wanted: &Wanted) -> Result<Target, Refused> {
    let target = Target {
        talk: wanted.talk,
        ..Target::new(
            wanted.host.clone(),
            wanted.port.unwrap_or_default(),
            wanted.protocol,
        )
    };
    // Asked for a moment as if it were the only one: evidence may be too large for a copy each.
    let others = evidence.request.target.replace(target.clone());
    let meant = evidence.meant_by_target().cloned();
    evidence.request.target = others;
    let evidence = &*evidence;
    // An id is no name that DNS knows.
    if let Some(meant) = &meant.filter(|meant| meant.id != wanted.host) {
        return Ok(Target {
            container: Some(meant.id.clone()),
            host: from_host(evidence, meant).unwrap_or(target.host),
            ..target
        });
    }
    let refused = |why: String, cause| Refused {
        target: wanted.to_string(),
        why,
        cause,
    };
    match find(&evidence.containers, &wanted.host) {
        Ok(id) => {
            // Not by a name that DNS knows, so by one that it knows.
            let meant = evidence.container(&id);
            let host = meant.and_then(|meant| {
                if let Some(address) = from_host(evidence, meant) {
                    return Some(address);
                }
                let known = Case::new(evidence).and_then(|from| from.name_for(meant));
                known.or(Some(meant.name.clone()))
            });
            Ok(Target {
                host: host.unwrap_or(target.host),
                container: Some(id),
                ..target
            })
        }
        // With a port it may be a name all the same, and why it leads nowhere is the question.
        Err(_) if wanted.port.is_some() && !wanted.host.contains('/') => Ok(target),
        Err(Error::NoSuchContainer { close, .. })
            if is_outside(&wanted.host) && close.is_empty() =>
        {
            let why = format!(
                "it is no container of this engine, so its ports are not known; name one, as in {}",
                Wanted {
                    port: Some(443),
                    ..wanted.clone()
                }
            );
            Err(refused(why, Cause::Words))
        }
        Err(error) => {
            let why = format!("{error}. {}", error.advice());
            Err(refused(why, Cause::Unknown))
        }
    }
}

/// Seen from the engine's host a container is its address: names of containers do not resolve there.
fn from_host(evidence: &Evidence, meant: &Container) -> Option<String> {
    if evidence.request.container != ENGINE_HOST {
        return None;
    }
    let mut addresses = meant.endpoints.iter().flat_map(|one| &one.addresses);
    addresses.next().map(ToString::to_string)
}

/// What is written as an address or with a dot is most likely meant for the outside.
fn is_outside(host: &str) -> bool {
    host.contains('.') || host.contains(':')
}

/// Puts in the place of each target without a port one for each port that its container serves.
fn settle(evidence: &mut Evidence) {
    if evidence.request.targets().all(Target::has_port) {
        return;
    }
    let targets: Vec<Target> = evidence.request.targets().cloned().collect();
    evidence.request.target = None;
    evidence.request.more.clear();
    for target in targets {
        let container = target
            .container
            .as_ref()
            .and_then(|id| evidence.container(id));
        let container = match container {
            // Its state is the story, whatever the port.
            Some(container) if !target.has_port() && container.status == Status::Running => {
                container.clone()
            }
            _ => {
                push(evidence, target);
                continue;
            }
        };
        let found = target::ports(evidence, &container);
        for port in &found.tried {
            let with_port = Target {
                port: port.number,
                protocol: port.protocol,
                ..target.clone()
            };
            push(evidence, with_port);
        }
        if found.tried.is_empty() {
            let is_itself = container.id == evidence.request.container;
            let refused = no_port(&target, is_itself, &found);
            evidence.request.refused.push(refused);
        }
        evidence
            .request
            .notes
            .extend(left_out(&target, &container, &found));
    }
    let total = evidence.request.targets().count();
    if total > MOST_PAIRS {
        evidence.request.more.truncate(MOST_PAIRS - 1);
        evidence.request.notes.push(format!(
            "{} pairs were not tried: {MOST_PAIRS} are the most in one run",
            total - MOST_PAIRS
        ));
    }
}

fn no_port(target: &Target, is_itself: bool, found: &Ports) -> Refused {
    let host = &target.host;
    let (why, cause) = match &found.unseen {
        Some(why) => (
            format!("it exposes no port, and what it listens on could not be seen: {why}"),
            Cause::Unknown,
        ),
        None => (
            "it listens on no port and exposes none".to_owned(),
            Cause::Words,
        ),
    };
    let itself = if is_itself {
        "it is the container that asks, as `localhost` would be; "
    } else {
        ""
    };
    Refused {
        target: host.clone(),
        why: format!("{itself}{why}; name a port, as in {host}:PORT"),
        cause,
    }
}

fn left_out(target: &Target, container: &Container, found: &Ports) -> Vec<String> {
    let mut notes = Vec::new();
    if !found.private.is_empty() {
        let ports: Vec<String> = found.private.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "`{}` listens on {} for itself alone (loopback); that was not tried, name the port to \
             try it",
            container.name,
            ports.join(", ")
        ));
    }
    if found.more > 0 {
        notes.push(format!(
            "{} more ports of `{}` were not tried; name them, as in {}:PORT",
            found.more, container.name, target.host
        ));
    }
    if let (Some(why), false) = (&found.unseen, found.tried.is_empty()) {
        notes.push(format!(
            "`{}`: only the ports that it exposes were tried; what it listens on could not be seen: \
             {why}",
            container.name
        ));
    }
    notes
}
