//! `--deep`: what failed is tried again while the host's interfaces are watched and the counters of the
//! packet filters are read before and after. It reads and never changes a rule, and asks for more
//! rights than an ordinary look only here.

use std::net::SocketAddr;
use std::time::Duration;

use netcheck_diagnose::evidence::{Deep, Evidence, Fact, Trial, Viewpoint, Visit, Wave};
use netcheck_diagnose::plan::{Plan, deep as plan};
use netcheck_diagnose::probe::firewall::{Filter, Rise, rises};
use netcheck_diagnose::probe::{Answer, Attempt, Protocol, Question};

use crate::client::Client;
use crate::deadline::Deadline;
use crate::gather::{ProbeMode, Progress, add};
use crate::helper::Run;
use crate::namespace::Namespace;
use crate::visits::Visits;

/// For reading filters: starting a helper takes most of it.
const READING: Duration = Duration::from_secs(5);

/// For one wave: the watch, and the way of the answers. A try that has no answer by then has none.
const WAVE: Duration = Duration::from_millis(1400);

/// The filters of the host and of the ends, and what became of packets of connections that failed.
pub(crate) async fn look(
    client: &Client,
    mode: ProbeMode,
    evidence: &mut Evidence,
    visits: &mut Visits,
    run: &Run,
    namespaces: &[Namespace],
    progress: Progress<'_>,
) {
    progress("reading the packet filters");
    let mut rights = Visits::deep(client, mode);
    let filters = plan::filters(evidence);
    let mut first = filters.clone();
    if evidence.visit(&Viewpoint::Host).is_none() {
        // Its interfaces and routes tell which way a packet goes.
        let host = first.entry(Viewpoint::Host).or_default();
        host.insert(0, Question::Snapshot);
    }
    let seen = rights
        .carry_out(run, first, namespaces, Deadline::after(READING))
        .await;
    let mut known: Vec<(Viewpoint, Fact<Filter>)> = Vec::new();
    let mut host = Vec::new();
    for (viewpoint, visit) in seen {
        if let (Viewpoint::Host, Ok(visit)) = (&viewpoint, &visit) {
            let mut rest = visit.clone();
            rest.answers
                .retain(|one| one.question != Question::Firewall);
            if !rest.answers.is_empty() {
                host.push((Viewpoint::Host, Ok(rest)));
            }
        }
        known.push((viewpoint, filter(visit)));
    }
    if !host.is_empty() {
        evidence.missed.retain(|(from, _)| *from != Viewpoint::Host);
    }
    add(evidence, host, &Plan::new());
    let mut deep = Deep {
        filters: known.clone(),
        trials: Vec::new(),
    };
    let trials = plan::trials(evidence);
    for (from, to, protocol) in trials {
        progress(&format!("watching packets to {to}"));
        let mut trial = Trial {
            from,
            to,
            protocol,
            waves: Vec::new(),
        };
        for tries in plan::WAVES {
            let (watched, attempts) = tokio::join!(
                watch(&mut rights, run, namespaces, to, protocol),
                attempts(
                    visits,
                    run,
                    namespaces,
                    &trial.from,
                    plan::wave(to, protocol, tries)
                ),
            );
            let deadline = Deadline::after(READING);
            let after = rights
                .carry_out(run, filters.clone(), namespaces, deadline)
                .await;
            let after: Vec<(Viewpoint, Fact<Filter>)> = after
                .into_iter()
                .map(|(viewpoint, visit)| (viewpoint, filter(visit)))
                .collect();
            trial.waves.push(Wave {
                attempts,
                watched,
                rises: after.iter().map(|one| risen(&known, one)).collect(),
            });
            known = after;
        }
        deep.trials.push(trial);
    }
    evidence.deep = Some(deep);
}

/// The packets on the host's interfaces for a while.
async fn watch(
    rights: &mut Visits,
    run: &Run,
    namespaces: &[Namespace],
    to: SocketAddr,
    protocol: Protocol,
) -> Fact<netcheck_diagnose::probe::Watched> {
    if protocol == Protocol::Udp {
        return Fact::NotCollected;
    }
    let question = Question::Watch {
        to,
        for_ms: plan::WATCH_MS,
    };
    let plan = Plan::from([(Viewpoint::Host, vec![question])]);
    let seen = rights
        .carry_out(run, plan, namespaces, Deadline::after(WAVE))
        .await;
    match answers(seen) {
        Ok(mut all) => match all.pop() {
            Some(Ok(Answer::Watch(watched))) => Fact::Known(watched),
            Some(Err(why)) => Fact::Failed(why),
            _ => Fact::Failed("the probe answered another question".into()),
        },
        Err(why) => Fact::Failed(why),
    }
}

/// The tries, which begin when the watch is there.
async fn attempts(
    visits: &mut Visits,
    run: &Run,
    namespaces: &[Namespace],
    from: &Viewpoint,
    questions: Vec<Question>,
) -> Fact<Vec<Attempt>> {
    let plan = Plan::from([(from.clone(), questions)]);
    let seen = visits
        .carry_out(run, plan, namespaces, Deadline::after(WAVE))
        .await;
    let all = answers(seen).and_then(|all| {
        all.into_iter()
            .map(|one| match one? {
                Answer::Attempt(attempt) => Ok(attempt),
                _ => Err("the probe answered another question".to_owned()),
            })
            .collect()
    });
    all.into()
}

fn answers(
    seen: Vec<(Viewpoint, Result<Visit, String>)>,
) -> Result<Vec<Result<Answer, String>>, String> {
    let (_, visit) = seen.into_iter().next().ok_or("nobody was asked")?;
    Ok(visit?.answers.into_iter().map(|one| one.answer).collect())
}

fn filter(visit: Result<Visit, String>) -> Fact<Filter> {
    let visit = match visit {
        Ok(visit) => visit,
        Err(why) => return Fact::Failed(why),
    };
    let mut answers = visit
        .answers
        .into_iter()
        .filter(|one| one.question == Question::Firewall);
    match answers.next().map(|one| one.answer) {
        Some(Ok(Answer::Firewall(filter))) => Fact::Known(filter),
        Some(Err(why)) => Fact::Failed(why),
        _ => Fact::NotCollected,
    }
}

fn risen(
    before: &[(Viewpoint, Fact<Filter>)],
    (viewpoint, after): &(Viewpoint, Fact<Filter>),
) -> (Viewpoint, Fact<Vec<Rise>>) {
    let first = before.iter().find(|(of, _)| of == viewpoint);
    let rose = match (first.map(|(_, filter)| filter), after) {
        (Some(Fact::Known(before)), Fact::Known(after)) => Fact::Known(rises(before, after)),
        (Some(Fact::Failed(why)), _) | (_, Fact::Failed(why)) => Fact::Failed(why.clone()),
        _ => Fact::NotCollected,
    };
    (viewpoint.clone(), rose)
}
