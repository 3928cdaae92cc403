//! Network faults: made on purpose, in force as long as their guard lives, healed when it goes.
//!
//! A fault touches the network namespaces of the lab's containers and nothing else: no fault is
//! ever made in the host's namespace.

mod kind;
mod step;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::sync::Mutex;

pub use kind::{Disconnect, Dns, Link, Partition, Pause, Refuse};

/// ```no_run
/// # use netcheck_testkit::{Counters, Lab, Link};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let lossy = lab.fault(Link::new("app", "mysql-db").loss(0.1)).await?;
/// let Counters { dropped, passed, .. } = lossy.counters().await?;
/// println!("{dropped} of {} packets were lost", dropped + passed);
/// # Ok(())
/// # }
/// ```
pub use netcheck_fault::Counters;
/// ```no_run
/// # use netcheck_testkit::{Dns, DnsOutcome, Lab};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let broken = lab.fault(Dns::new("app", "mysql-db", DnsOutcome::Servfail)).await?;
/// lab.from("app").name("mysql-db").must_not_resolve().await;
/// # Ok(())
/// # }
/// ```
pub use netcheck_fault::DnsOutcome;
/// ```no_run
/// # use netcheck_testkit::{Lab, Refuse, RefuseWith};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let reset = lab.fault(Refuse::new("app", "mysql-db").with(RefuseWith::TcpReset)).await?;
/// # Ok(())
/// # }
/// ```
pub use netcheck_fault::RefuseWith;

use crate::doing::Doing;
use crate::driver;
use crate::error::Result;
use crate::lab::{Inner, Lab};
use step::{Part, Step};

/// How long `Drop` waits for the healing; it takes 5 to 40 ms as a rule.
const HEAL: Duration = Duration::from_secs(20);

/// A fault in force. Dropping it heals it; [`Fault::heal`] tells whether that worked.
///
/// Addresses are those of the moment when it was made: a container that is restarted or connected
/// elsewhere has left the fault.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Partition, Refusal, tcp};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let cut = lab.fault(Partition::between(["app"], ["mysql-db"])).await?;
/// lab.from("app").to("mysql-db", tcp(3306)).must_not_connect(Refusal::TimedOut).await;
/// cut.heal().await?;
/// lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a fault is healed when its guard is dropped"]
pub struct Fault {
    lab: Arc<Inner>,
    record: Arc<Record>,
}

/// A fault that is not made yet: what [`Lab::fault`] takes.
///
/// ```no_run
/// # use netcheck_testkit::{MakeFault, Lab};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// use netcheck_testkit::{Fault, Pause};
///
/// // Something of your own that takes any kind.
/// async fn during(lab: &Lab, fault: impl MakeFault) -> netcheck_testkit::Result<Fault> {
///     println!("breaking it");
///     lab.fault(fault).await
/// }
/// let guard = during(lab, Pause::new("mysql-db")).await?;
/// # Ok(())
/// # }
/// ```
pub trait MakeFault: Send + 'static {
    /// What is to be done, in terms of the lab.
    #[doc(hidden)]
    fn plan(self) -> Result<Plan>;
}

/// What a fault consists of.
#[doc(hidden)]
#[derive(Debug)]
pub struct Plan {
    words: String,
    steps: Vec<Step>,
}

/// What is in force.
pub(crate) struct Record {
    words: String,
    dns_at: Option<String>,
    parts: Mutex<Vec<Part>>,
    /// Whether dropping the guard heals it: nobody has begun to do so.
    guarded: AtomicBool,
}

impl Lab {
    /// Makes a fault; it is in force when this returns, and as long as the guard lives.
    ///
    /// # Errors
    ///
    /// After any of them everything is as it was, and no helper is left.
    /// [`Error::Unsupported`](crate::Error::Unsupported): this kernel or engine cannot.
    /// [`Error::Unknown`](crate::Error::Unknown): no such container or network.
    /// [`Error::Invalid`](crate::Error::Invalid): a container does not run, has no address, is in
    /// the host's namespace, or the fault makes no sense (a loss of 2, nobody to part from).
    /// [`Error::Api`](crate::Error::Api): the engine refused, e.g. to pause what is paused.
    /// [`Error::TimedOut`](crate::Error::TimedOut): the helper did not answer within 10 s.
    /// [`Error::Engine`](crate::Error::Engine): the engine does not take the helper's image.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Partition, Lab};
    /// # async fn test(lab: &Lab, db: &Container) -> netcheck_testkit::Result<()> {
    /// let cut = lab.fault(Partition::between(["app"], ["mysql-db"])).await?;
    /// println!("{cut}"); // partition app <|> mysql-db
    /// cut.heal().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fault(&self, fault: impl MakeFault) -> Doing<Fault> {
        let lab = Arc::clone(self.inner());
        self.inner().job(async move {
            let plan = fault.plan()?;
            let dns_at = plan.steps.iter().find_map(|step| match step {
                Step::Dns { at, .. } => Some(at.clone()),
                _ => None,
            });
            let prepared = plan.steps.into_iter().map(|step| step.prepare(&lab));
            let prepared = try_join_all(prepared).await?;
            let record = Arc::new(Record {
                dns_at,
                words: plan.words,
                parts: Mutex::default(),
                guarded: AtomicBool::new(true),
            });
            let guard = Fault {
                lab: Arc::clone(&lab),
                record: Arc::clone(&record),
            };
            lab.state().faults.push(Arc::clone(&record));
            let made = join_all(prepared.into_iter().map(|step| step.make(&lab))).await;
            let mut failed = None;
            for part in made {
                match part {
                    Ok(part) => record.parts.lock().await.push(part),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            match failed {
                None => Ok(guard),
                Some(error) => {
                    // Half a fault is none. What healing says is not the story here.
                    let _ = guard.release().await;
                    Err(error)
                }
            }
        })
    }
}

impl Record {
    /// What it is, in a line.
    pub(crate) fn words(&self) -> &str {
        &self.words
    }

    /// The container that sees another answer for a name, if that is the fault.
    pub(crate) fn dns_at(&self) -> Option<&str> {
        self.dns_at.as_deref()
    }

    /// Undoes all of it; the first error, if any.
    pub(crate) async fn heal(&self, lab: &Arc<Inner>) -> Result<()> {
        let parts = std::mem::take(&mut *self.parts.lock().await);
        let heals = parts.into_iter().map(|part| part.heal(lab));
        join_all(heals).await.into_iter().collect()
    }
}

impl Fault {
    /// Heals it; it is healed when this returns. Dropping the future instead of awaiting it does
    /// not stop the healing.
    ///
    /// # Errors
    ///
    /// [`Error::Api`](crate::Error::Api): e.g. somebody else has the address of a container that is
    /// to come back. [`Error::Ended`](crate::Error::Ended): the lab has ended, and the fault too.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Pause, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let paused = lab.fault(Pause::new("mysql-db")).await?;
    /// paused.heal().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn heal(self) -> Doing<()> {
        let lab = Arc::clone(&self.lab);
        let healing = self.release();
        lab.job(healing)
    }

    /// The healing, which is no longer the guard's.
    fn release(self) -> impl Future<Output = Result<()>> + Send + 'static {
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        record.guarded.store(false, Ordering::Release);
        async move {
            let healed = record.heal(&lab).await;
            lab.forget(&record);
            healed
        }
    }

    /// What it has done so far: packets dropped, questions answered, … Proof that the traffic of
    /// the test really met it.
    ///
    /// # Errors
    ///
    /// [`Error::Api`](crate::Error::Api): its helper has ended, e.g. because somebody removed it.
    /// [`Error::TimedOut`](crate::Error::TimedOut): it did not answer within 10 s.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refusal, Partition, Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let cut = lab.fault(Partition::between(["app"], ["mysql-db"])).await?;
    /// lab.from("app").to("mysql-db", tcp(3306)).must_not_connect(Refusal::TimedOut).await;
    /// assert!(cut.counters().await?.dropped > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn counters(&self) -> Doing<Counters> {
        let record = Arc::clone(&self.record);
        self.lab.job(async move {
            let mut sum = Counters::default();
            for part in record.parts.lock().await.iter_mut() {
                let counters = part.counters().await?;
                sum.dropped += counters.dropped;
                sum.refused += counters.refused;
                sum.answered += counters.answered;
                sum.forwarded += counters.forwarded;
                sum.passed += counters.passed;
                sum.duplicated += counters.duplicated;
                sum.overflowed += counters.overflowed;
                sum.failed += counters.failed;
            }
            Ok(sum)
        })
    }
}

impl Inner {
    fn forget(&self, record: &Arc<Record>) {
        self.state()
            .faults
            .retain(|known| !Arc::ptr_eq(known, record));
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let ended = self.lab.state().ended;
        if ended || !self.record.guarded.swap(false, Ordering::AcqRel) {
            return;
        }
        let (lab, record) = (Arc::clone(&self.lab), Arc::clone(&self.record));
        let healing = async move {
            // Drop cannot tell; the lab's end removes what is left.
            let _ = record.heal(&lab).await;
            lab.forget(&record);
        };
        if driver::is_own_thread() {
            let _ = driver::spawn(healing);
        } else {
            driver::block(HEAL, healing);
        }
    }
}

/// What it is, in a line: `partition app <|> mysql-db`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.record.words)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({})", self.record.words)
    }
}
