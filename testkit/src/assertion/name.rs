//! What a name is, seen from a container.

use std::future::Future;
use std::net::IpAddr;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netcheck_diagnose::case::outcome_words;
use netcheck_diagnose::clean::clean;
use netcheck_diagnose::probe::{Lookup, Question};

use super::{AGAIN, Attempt, Must, Who, ask};
use crate::error::{Error, Result};
use crate::lab::Inner;

/// A name as seen by somebody; from [`Source::name`](super::Source::name).
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) {
/// lab.from("app").name("mysql-db").must_be("mysql-db").await;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Name {
    pub(super) lab: Arc<Inner>,
    pub(super) who: Who,
    pub(super) name: String,
    pub(super) within: Option<Duration>,
}

impl Name {
    /// What is asserted has to become true within this time, not at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// use std::time::Duration;
    ///
    /// lab.from("app")
    ///     .name("mysql-db")
    ///     .within(Duration::from_secs(2))
    ///     .must_resolve()
    ///     .await;
    /// # }
    /// ```
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// It resolves to this container: to addresses of it, and to no other.
    ///
    /// # Panics
    ///
    /// If it does not, or cannot be asked.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// lab.from("app").name("db.internal").must_be("mysql-db").await;
    /// # }
    /// ```
    #[track_caller]
    pub fn must_be(self, container: impl Into<Who>) -> Must {
        let container = container.into();
        let wanted = format!(
            "{}: the name {} must be `{}`",
            self.who.0, self.name, container.0
        );
        self.must(wanted, move |lab, found| {
            let container = container.clone();
            Box::pin(async move {
                let record = Arc::clone(lab.container(&container.0)?.record());
                let inspected = crate::start::inspect(&lab, &record).await?;
                let own: Vec<IpAddr> = inspected
                    .network_settings
                    .and_then(|settings| settings.networks)
                    .unwrap_or_default()
                    .into_values()
                    .flat_map(|endpoint| [endpoint.ip_address, endpoint.global_ipv6_address])
                    .filter_map(|address| address?.parse().ok())
                    .collect();
                Ok(!found.is_empty() && found.iter().all(|address| own.contains(address)))
            })
        })
    }

    /// It resolves, to whatever.
    ///
    /// # Panics
    ///
    /// If it does not, or cannot be asked.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// lab.from("app").name("mysql-db").must_resolve().await;
    /// # }
    /// ```
    #[track_caller]
    pub fn must_resolve(self) -> Must {
        let wanted = format!("{}: the name {} must resolve", self.who.0, self.name);
        self.must(wanted, |_, found| {
            Box::pin(async move { Ok(!found.is_empty()) })
        })
    }

    /// It resolves to nothing.
    ///
    /// # Panics
    ///
    /// If it resolves, or cannot be asked.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// lab.from("stranger").name("mysql-db").must_not_resolve().await;
    /// # }
    /// ```
    #[track_caller]
    pub fn must_not_resolve(self) -> Must {
        let wanted = format!("{}: the name {} must not resolve", self.who.0, self.name);
        self.must(wanted, |_, found| {
            Box::pin(async move { Ok(found.is_empty()) })
        })
    }

    #[track_caller]
    fn must(
        self,
        wanted: String,
        is_so: impl Fn(Arc<Inner>, Vec<IpAddr>) -> Pin<Box<dyn Future<Output = Result<bool>> + Send>>
        + Send
        + Sync
        + 'static,
    ) -> Must {
        let place = Location::caller();
        let lab = Arc::clone(&self.lab);
        let job = lab.job(async move {
            let begun = Instant::now();
            loop {
                let found = lookup(&self.lab, &self.who, &self.name).await;
                let (right, said) = match found {
                    Err(error) => (false, format!("{error:?}")),
                    Ok(lookup) => {
                        let said = match lookup.addresses.as_slice() {
                            [] => format!(
                                "it has no address ({}{})",
                                Attempt::of_lookup(&lookup),
                                answers(&lookup)
                            ),
                            some => format!(
                                "it is {}",
                                some.iter()
                                    .map(ToString::to_string)
                                    .collect::<Vec<_>>()
                                    .join(", ")
                            ),
                        };
                        (is_so(Arc::clone(&self.lab), lookup.addresses).await?, said)
                    }
                };
                if right {
                    return Ok(None);
                }
                if begun.elapsed() < self.within.unwrap_or_default() {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                let mut told = format!("{said}\n");
                for fault in &self.lab.state().faults {
                    told = told + "  fault in force: " + fault.words() + "\n";
                }
                match crate::diagnosis::one(&self.lab, &self.who.0).await {
                    Ok(diagnosis) => told = format!("{told}\n{diagnosis}"),
                    Err(error) => told = format!("{told}\n(no diagnosis: {error})"),
                }
                return Ok(Some(told));
            }
        });
        Must { place, wanted, job }
    }
}

/// What each server said: `: db from 127.0.0.11: server failure (SERVFAIL)`.
fn answers(lookup: &Lookup) -> String {
    let mut said: Vec<String> = Vec::new();
    for query in &lookup.queries {
        let words = outcome_words(&query.outcome);
        let one = format!("{} from {}: {words}", query.name, query.server.ip());
        if !said.contains(&one) {
            said.push(one);
        }
    }
    match said.is_empty() {
        true => String::new(),
        false => format!(": {}", said.join("; ")),
    }
}

pub(super) async fn lookup(lab: &Arc<Inner>, who: &Who, name: &str) -> Result<Lookup> {
    let question = Question::Lookup {
        name: name.to_owned(),
    };
    // The probe gives each of at most three servers 2 s.
    let time = Duration::from_secs(6);
    let visit = ask(lab, who, vec![question], time).await?;
    let fact = visit.lookup(name);
    fact.known()
        .map(|lookup| (**lookup).clone())
        .ok_or_else(|| {
            let why = fact.why_unknown().unwrap_or_default();
            Error::invalid(format!(
                "`{name}` could not be looked up from `{}`: {}",
                who.0,
                clean(why)
            ))
        })
}
