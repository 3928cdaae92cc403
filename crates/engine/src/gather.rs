//! One run: what the Engine API says, the first look from inside, the second, and the evidence.
//! It keeps its promise of time whatever hangs: what was not finished is unknown, not "no".

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netcheck_diagnose::evidence::{Container, Evidence, SCHEMA_VERSION, Viewpoint, Visit};
use netcheck_diagnose::plan::{self, Plan};
use netcheck_diagnose::probe::Answered;
use netcheck_diagnose::request::{Outbound, Request};

use crate::client::Client;
use crate::collect::{self, Collected, collect};
use crate::deadline::Deadline;
use crate::deep;
use crate::error::{Error, Result};
use crate::helper::Run;
use crate::here;
use crate::image::remove_expired;
use crate::namespace::Namespace;
use crate::visits::Visits;

/// How to look from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeMode {
    /// The fastest way that works, viewpoint by viewpoint.
    Auto,
    /// Only by helper containers.
    Helper,
    /// Only by entering namespaces from this process.
    Netns,
    /// Not at all: the Engine API alone.
    None,
}

/// What to find out.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name, id, or the beginning of an id.
    pub container: String,
    /// How to look from inside.
    pub probe: ProbeMode,
    /// A place outside that packets may go to.
    pub outbound: Option<Outbound>,
    /// Read packet filters and watch packets where something fails.
    pub deep: bool,
}

/// Told what is being done, before it is done.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

/// The last part of the time, kept for putting the report together and for slow machines.
pub(crate) const RESERVE: Duration = Duration::from_millis(100);

/// How much of the time that is left a probe may take for its answers in the first round, in hundredths.
/// A name server that does not answer would eat it all; with the usual 5 s this leaves it the 2 s that
/// make its silence a fact, and as much again for the second round.
const FIRST_ANSWERS: u32 = 55;

/// The same for the whole round, in which a machine that is busy takes its time to start the helpers.
const FIRST_ROUND: u32 = 75;

/// The share of the first round.
pub(crate) fn first_round(deadline: Deadline) -> Deadline {
    let answers = deadline.left() * FIRST_ANSWERS / 100;
    deadline.part(FIRST_ROUND).with_answers_within(answers)
}

/// Finds out what there is to know about one container.
///
/// # Errors
///
/// The container is not there, or the engine does not answer. Anything less is a fact that failed.
pub async fn gather(
    client: &Client,
    options: &Options,
    run: &Run,
    deadline: Deadline,
    progress: Progress<'_>,
) -> Result<Evidence> {
    let deadline = deadline.earlier(RESERVE);
    progress("asking the Docker Engine");
    let collected = collect(client, &options.container, &[], false, deadline).await?;
    let expired = collected.expired.clone();
    let mut evidence = evidence(collected);
    evidence.request.outbound.clone_from(&options.outbound);
    if options.probe == ProbeMode::None {
        for viewpoint in plan::first(&evidence).into_keys() {
            evidence
                .missed
                .push((viewpoint, "--probe none was given".into()));
        }
        return Ok(evidence);
    }
    let mut visits = Visits::new(client, options.probe);
    progress("looking from inside");
    let namespaces = Namespace::known(&evidence.containers);
    let first = plan::first(&evidence);
    let (seen, here, ()) = tokio::join!(
        visits.carry_out(run, first, &namespaces, first_round(deadline)),
        here::look(client, &evidence, first_round(deadline)),
        // What a power cut left behind, of runs long over.
        remove_expired(client, expired, deadline),
    );
    evidence.here = here;
    add(&mut evidence, seen, &Plan::new());
    progress("looking closer");
    let second = plan::second(&evidence);
    let (seen, now) = tokio::join!(
        visits.carry_out(run, second.clone(), &namespaces, deadline),
        container_now(client, &evidence, &evidence.request.container, deadline),
    );
    add(&mut evidence, seen, &second);
    replace_if_changed(&mut evidence, now?);
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
    Ok(evidence)
}

/// What the API said, with nothing seen from inside yet.
pub(crate) fn evidence(collected: Collected) -> Evidence {
    Evidence {
        schema_version: SCHEMA_VERSION,
        collected_by: concat!("docker-netcheck ", env!("CARGO_PKG_VERSION")).to_owned(),
        collected_at: now(),
        request: Request {
            container: collected.subject,
            outbound: None,
            target: None,
            more: Vec::new(),
            refused: Vec::new(),
            notes: Vec::new(),
            said: None,
        },
        engine: collected.engine,
        networks: collected.networks,
        containers: collected.containers,
        services: collected.services,
        visits: Vec::new(),
        missed: Vec::new(),
        here: None,
        repetitions: Vec::new(),
        deep: None,
    }
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Adds the answers of a round. A viewpoint whose second round failed keeps its first answers, and
/// what it was asked in the second is unknown for that reason.
pub(crate) fn add(
    evidence: &mut Evidence,
    seen: Vec<(Viewpoint, Result<Visit, String>)>,
    asked_again: &Plan,
) {
    for (viewpoint, result) in seen {
        let known = evidence
            .visits
            .iter_mut()
            .find(|visit| visit.from == viewpoint);
        match (known, result) {
            (Some(known), Ok(visit)) => {
                known.took_ms = visit.took_ms;
                known.answers.extend(visit.answers);
            }
            (None, Ok(visit)) => evidence.visits.push(visit),
            (Some(known), Err(reason)) => {
                let questions = asked_again.get(&viewpoint).into_iter().flatten();
                known.answers.extend(questions.map(|question| Answered {
                    question: question.clone(),
                    answer: Err(reason.clone()),
                }));
            }
            (None, Err(reason)) => evidence.missed.push((viewpoint, reason)),
        }
    }
}

/// A container as the engine knows it after the first look: a container that ended or was removed
/// meanwhile leaves an empty namespace behind, and then that is the story.
pub(crate) async fn container_now(
    client: &Client,
    evidence: &Evidence,
    id: &str,
    deadline: Deadline,
) -> Result<Option<Container>> {
    let Some(container) = evidence.container(id) else {
        return Ok(None);
    };
    let networks = evidence.networks.known().cloned().unwrap_or_default();
    match collect::look_again(client, container, &networks, deadline).await {
        Err(error @ Error::Vanished { .. }) => Err(error),
        // What was known before stays: it is not contradicted.
        Err(_) => Ok(None),
        Ok(again) => Ok(again),
    }
}

pub(crate) fn replace_if_changed(evidence: &mut Evidence, now: Option<Container>) {
    let Some(now) = now else {
        return;
    };
    let known = evidence
        .containers
        .iter_mut()
        .find(|container| container.id == now.id);
    if let Some(known) = known
        && known.status != now.status
    {
        *known = now;
    }
}
