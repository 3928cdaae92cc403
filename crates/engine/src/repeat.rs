//! Tries the targets of a run again and again, in batches over the conversations that are open
//! already. What could not be tried becomes a reason; tries never outlast the time they were given
//! by more than one try.

use std::time::{Duration, Instant};

use netcheck_diagnose::evidence::{Evidence, Fact, Repetition, Viewpoint};
use netcheck_diagnose::plan::{self, EVERY_MS, Plan};
use netcheck_diagnose::probe::{Answer, Answered, Question};
use netcheck_diagnose::request::Target;

use crate::deadline::Deadline;
use crate::gather::Progress;
use crate::helper::Run;
use crate::namespace::Namespace;
use crate::visits::Visits;

/// How often, or for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// So many tries.
    Count(u32),
    /// As many as begin within that time.
    For(Duration),
}

/// The most tries of one target: those of [`LONGEST`], ten a second.
pub const MOST_TRIES: u32 = 1200;

/// The longest time for tries. A conversation is opened anew after five minutes, and a helper must
/// not be older than ten.
pub const LONGEST: Duration = Duration::from_secs(120);

/// Tries that a probe makes at once: it has 64 threads, and each try waits on one.
const AT_ONCE: u32 = 60;

/// The most tries of one target in a batch, three seconds' worth. They do not wait for each other, but
/// the next batch waits for the last try of this one, which may take 3.5 s.
const BATCH: u32 = 30;

/// The time of one try at most (the probe's, 3.5 s), with what it takes to be asked and answer.
const ONE_TRY: Duration = Duration::from_millis(4500);

impl Repeat {
    /// How many tries there will be.
    pub fn tries(self) -> u32 {
        match self {
            Self::Count(count) => count.clamp(1, MOST_TRIES),
            Self::For(time) => {
                let every = u128::from(EVERY_MS);
                let tries = time.min(LONGEST).as_millis().div_ceil(every);
                u32::try_from(tries).unwrap_or(MOST_TRIES).max(1)
            }
        }
    }
}

/// What is asked for one target.
struct Series<'a> {
    target: &'a Target,
    repetition: Repetition,
    /// Nothing more can be tried.
    is_over: bool,
}

/// Tries every target of the evidence's request.
pub(crate) async fn repeat(
    evidence: &Evidence,
    visits: &mut Visits,
    run: &Run,
    namespaces: &[Namespace],
    wanted: Repeat,
    progress: Progress<'_>,
) -> Vec<Repetition> {
    let tries = wanted.tries();
    let mut all: Vec<Series<'_>> = evidence
        .request
        .targets()
        .map(|target| Series {
            target,
            repetition: Repetition {
                host: target.host.clone(),
                port: target.port,
                protocol: target.protocol,
                wanted: tries,
                attempts: Vec::new(),
                ended_early: None,
                overflows: Fact::NotCollected,
            },
            is_over: false,
        })
        .collect();
    let series = u32::try_from(all.len()).unwrap_or(AT_ONCE).max(1);
    let batch = BATCH.min((AT_ONCE / series).max(1));
    let before = overflows(evidence, &all, visits, run, namespaces).await;
    let started = Instant::now();
    let mut done = 0;
    while done < tries {
        let now = batch.min(tries - done);
        progress(&format!("trying again and again, {done} of {tries}"));
        if !tries_of(evidence, &mut all, now, visits, run, namespaces).await {
            break;
        }
        done += now;
        if let Repeat::For(time) = wanted
            && started.elapsed() >= time.min(LONGEST)
        {
            break;
        }
    }
    let after = overflows(evidence, &all, visits, run, namespaces).await;
    let took = started.elapsed();
    all.into_iter()
        .zip(before.into_iter().zip(after))
        .map(|(series, (before, after))| {
            let mut repetition = series.repetition;
            repetition.overflows = match (before, after) {
                (Fact::Known(before), Fact::Known(after)) => {
                    Fact::Known(after.saturating_sub(before))
                }
                (Fact::Known(_), other) | (other, _) => other,
            };
            let made = repetition.attempts.len();
            if repetition.ended_early.is_none() && made < tries as usize {
                repetition.ended_early = Some(format!("the {} s were over", took.as_secs()));
            }
            repetition
        })
        .collect()
}

/// One batch; whether there may be another.
async fn tries_of(
    evidence: &Evidence,
    all: &mut [Series<'_>],
    tries: u32,
    visits: &mut Visits,
    run: &Run,
    namespaces: &[Namespace],
) -> bool {
    let mut questions: Vec<Question> = Vec::new();
    let mut share = Vec::new();
    for (index, series) in all.iter_mut().enumerate() {
        if series.is_over {
            continue;
        }
        match plan::batch(evidence, series.target, tries) {
            Ok(asked) => {
                share.extend(std::iter::repeat_n(index, asked.len()));
                questions.extend(asked);
            }
            Err(why) => series.end(why),
        }
    }
    if questions.is_empty() {
        return false;
    }
    let from = Viewpoint::of(&evidence.request.container);
    let begins = Duration::from_millis((tries * EVERY_MS).into());
    let started = Instant::now();
    let deadline = Deadline::after(begins + ONE_TRY);
    let plan = Plan::from([(from, questions)]);
    let seen = visits.carry_out(run, plan, namespaces, deadline).await;
    match seen.into_iter().next().map(|(_, visit)| visit) {
        Some(Ok(visit)) => {
            for (index, answered) in share.into_iter().zip(visit.answers) {
                let Some(series) = all.get_mut(index) else {
                    continue;
                };
                match answered.answer {
                    Ok(Answer::Attempt(attempt)) => series.repetition.attempts.push(attempt),
                    Ok(_) => series.end("the probe answered another question".into()),
                    Err(why) => series.end(why),
                }
            }
        }
        Some(Err(why)) => all.iter_mut().for_each(|series| series.end(why.clone())),
        None => return false,
    }
    // The next batch begins where this one would have gone on, if that is not over already.
    tokio::time::sleep(begins.saturating_sub(started.elapsed())).await;
    all.iter().any(|series| !series.is_over)
}

impl Series<'_> {
    /// With the first reason.
    fn end(&mut self, why: String) {
        self.is_over = true;
        self.repetition.ended_early.get_or_insert(why);
    }
}

/// What the target of each series counted so far.
async fn overflows(
    evidence: &Evidence,
    all: &[Series<'_>],
    visits: &mut Visits,
    run: &Run,
    namespaces: &[Namespace],
) -> Vec<Fact<u64>> {
    let mut plan = Plan::new();
    for series in all {
        plan.append(&mut plan::around(evidence, series.target));
    }
    let deadline = Deadline::after(ONE_TRY);
    let seen = visits.carry_out(run, plan, namespaces, deadline).await;
    let count = |answers: &[Answered]| match answers.first().map(|one| &one.answer) {
        Some(Ok(Answer::Overflows { count })) => Fact::Known(*count),
        Some(Err(why)) => Fact::Failed(why.clone()),
        _ => Fact::NotCollected,
    };
    all.iter()
        .map(|series| {
            let Some(id) = &series.target.container else {
                return Fact::NotCollected;
            };
            let of = |(from, _): &&(Viewpoint, _)| *from == Viewpoint::Container(id.clone());
            match seen.iter().find(of) {
                Some((_, Ok(visit))) => count(&visit.answers),
                Some((_, Err(why))) => Fact::Failed(why.clone()),
                None => Fact::NotCollected,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_tries() {
        let of = |ms| Repeat::For(Duration::from_millis(ms)).tries();
        assert_eq!(of(30_000), 300);
        assert_eq!(of(250), 3);
        assert_eq!(of(0), 1);
        assert_eq!(of(10_000_000), MOST_TRIES);
        assert_eq!(Repeat::Count(7).tries(), 7);
        assert_eq!(Repeat::Count(u32::MAX).tries(), MOST_TRIES);
    }
}
