//! What can be done on this engine and kernel: found out by doing it for a moment, in a namespace
//! of its own.

use std::fmt;
use std::sync::Arc;

use netcheck_fault::{Answer, Applied, Order, Unsupported};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::doing::Doing;
use crate::error::{Error, Result};
use crate::lab::{Inner, Lab};

/// What can be done here; for what cannot, what is missing, in words. It can be snapshotted.
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let can = lab.capabilities().await?;
/// if let Err(why) = &can.link {
///     eprintln!("no bad links here: {why}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`Partition`](crate::Partition).
    pub partition: Result<(), String>,
    /// [`Refuse`](crate::Refuse).
    pub refuse: Result<(), String>,
    /// [`Dns`](crate::Dns).
    pub dns: Result<(), String>,
    /// [`Link`](crate::Link).
    pub link: Result<(), String>,
    /// The second process that removes everything after a SIGKILL of the test.
    pub reaper: Result<(), String>,
    /// [`Lab::expose`]: listeners of the test process on loopback.
    pub expose: Result<(), String>,
}

impl Lab {
    /// What can be done here. Asked once per process; costs one short-lived container.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`]: not even the helper can run here. [`Error::Api`]: the engine refused to
    /// start it. [`Error::TimedOut`]: it did not answer. [`Error::Engine`]: its image was not taken.
    /// [`Error::Invalid`]: it gave another answer.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// println!("{}", lab.capabilities().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn capabilities(&self) -> Doing<Capabilities> {
        let lab = Arc::clone(self.inner());
        self.inner().job(async move {
            let find = || find(&lab);
            lab.engine.capabilities.get_or_try_init(find).await.cloned()
        })
    }
}

async fn find(lab: &Arc<Inner>) -> Result<Capabilities> {
    // The default bridge: a namespace with an Ethernet interface, as containers have.
    let mut agent = Agent::start(lab, "bridge").await?;
    let Answer::Capabilities(found) = agent.order(Order::Capabilities).await? else {
        return Err(Error::invalid("the helper of faults gave another answer"));
    };
    let of = |result: Result<Applied, Unsupported>| match result {
        Ok(_) => Ok(()),
        Err(missing) => Err(format!("{}: {}", missing.needs, missing.why)),
    };
    let local = lab.engine.client.host().starts_with("unix://");
    Ok(Capabilities {
        partition: of(found.drop),
        refuse: of(found.refuse),
        dns: of(found.dns),
        link: of(found.link),
        reaper: if lab.engine.reaper.works() {
            Ok(())
        } else {
            Err(
                "this platform runs no code before main, or the process could not be started"
                    .into(),
            )
        },
        expose: if local {
            Ok(())
        } else {
            Err("the engine may be on another machine".into())
        },
    })
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, can) in [
            ("partition", &self.partition),
            ("refuse", &self.refuse),
            ("dns", &self.dns),
            ("link", &self.link),
            ("reaper", &self.reaper),
            ("expose", &self.expose),
        ] {
            match can {
                Ok(()) => writeln!(f, "{name:<10} yes")?,
                Err(why) => writeln!(f, "{name:<10} no: {why}")?,
            }
        }
        Ok(())
    }
}
