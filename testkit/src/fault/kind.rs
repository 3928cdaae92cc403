//! The kinds of faults, as a test describes them. Data only: nothing is looked up here.

use std::time::Duration;

use netcheck_fault::{self as program, DnsOutcome, RefuseWith};

use super::step::Step;
use super::{MakeFault, Plan};
use crate::error::{Error, Result};
use crate::target::Port;

/// Nothing gets through between two groups of containers, in silence: packets vanish, connections
/// that are open stay open and stall, and go on when it is healed.
///
/// ```no_run
/// # use netcheck_testkit::{Partition, Lab};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let cut = lab.fault(Partition::between(["app", "worker"], ["mysql-db"])).await?;
/// cut.heal().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Partition {
    from: Vec<String>,
    to: Vec<String>,
    both: bool,
    port: Option<Port>,
}

impl Partition {
    /// Between each of the one and each of the other group, both ways.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Partition, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let cut = lab.fault(Partition::between(["a", "b"], ["c"])).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn between<A: Into<String>, B: Into<String>>(
        group: impl IntoIterator<Item = A>,
        other: impl IntoIterator<Item = B>,
    ) -> Self {
        Self {
            from: group.into_iter().map(Into::into).collect(),
            to: other.into_iter().map(Into::into).collect(),
            both: true,
            port: None,
        }
    }

    /// Only what `from` sends to `to` is lost; the other way is open. (A TCP connection needs both
    /// ways, whoever opens it.)
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refusal, Partition, Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let deaf = lab.fault(Partition::one_way("app", "mysql-db")).await?;
    /// lab.from("app").to("mysql-db", tcp(3306)).must_not_connect(Refusal::TimedOut).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn one_way(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            from: vec![from.into()],
            to: vec![to.into()],
            both: false,
            port: None,
        }
    }

    /// Only what is sent to this port.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Partition, Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let cut = lab
    ///     .fault(Partition::between(["app"], ["mysql-db"]).port(tcp(3306)))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn port(mut self, port: Port) -> Self {
        self.port = Some(port);
        self
    }
}

impl MakeFault for Partition {
    fn plan(self) -> Result<Plan> {
        let (from, to) = (self.from.join("+"), self.to.join("+"));
        if let Some(name) = self.from.iter().find(|name| self.to.contains(name)) {
            return Err(Error::invalid(format!(
                "a partition of `{name}` from itself"
            )));
        }
        if self.from.is_empty() || self.to.is_empty() {
            return Err(Error::invalid("a partition of nobody"));
        }
        let port = self.port;
        let drop = |at: &String, from: &[String]| Step::Drop {
            at: at.clone(),
            from: from.to_vec(),
            port,
        };
        let mut steps: Vec<Step> = self.to.iter().map(|at| drop(at, &self.from)).collect();
        if self.both {
            steps.extend(self.from.iter().map(|at| drop(at, &self.to)));
        }
        let sign = if self.both { "<|>" } else { "|>" };
        let port = port.map(|port| format!(" at {port}")).unwrap_or_default();
        Ok(Plan {
            words: format!("partition {from} {sign} {to}{port}"),
            steps,
        })
    }
}

/// New connections of one container to another fail at once, with an error of your choice.
/// Connections that are open go on.
///
/// ```no_run
/// # use netcheck_testkit::{Refusal, Refuse, Lab, tcp};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let refused = lab.fault(Refuse::new("app", "mysql-db")).await?;
/// lab.from("app").to("mysql-db", tcp(3306)).must_not_connect(Refusal::Refused).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Refuse {
    at: String,
    to: String,
    port: Option<Port>,
    with: RefuseWith,
}

impl Refuse {
    /// From `from` to `to`: `ECONNREFUSED`, as if nobody listened.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refuse, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let refused = lab.fault(Refuse::new("app", "mysql-db")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            at: from.into(),
            to: to.into(),
            port: None,
            with: RefuseWith::PortUnreachable,
        }
    }

    /// Only connections to this port.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refuse, Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let refused = lab.fault(Refuse::new("app", "mysql-db").port(tcp(3306))).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn port(mut self, port: Port) -> Self {
        self.port = Some(port);
        self
    }

    /// With this refusal; [`RefuseWith`] says which errno the application sees of each.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refusal, Refuse, RefuseWith, Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let away = lab
    ///     .fault(Refuse::new("app", "mysql-db").with(RefuseWith::HostUnreachable))
    ///     .await?;
    /// lab.from("app").to("mysql-db", tcp(3306)).must_not_connect(Refusal::Unreachable).await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with(mut self, with: RefuseWith) -> Self {
        self.with = with;
        self
    }
}

impl MakeFault for Refuse {
    fn plan(self) -> Result<Plan> {
        let port = self
            .port
            .map(|port| format!(" at {port}"))
            .unwrap_or_default();
        Ok(Plan {
            words: format!("refuse {} -> {}{port} ({:?})", self.at, self.to, self.with),
            steps: vec![Step::Refuse {
                at: self.at,
                to: self.to,
                port: self.port,
                with: self.with,
            }],
        })
    }
}

/// One name, as seen from one container, fails or leads elsewhere.
///
/// ```no_run
/// # use netcheck_testkit::{Dns, DnsOutcome, Lab};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let gone = lab.fault(Dns::new("app", "mysql-db", DnsOutcome::Nxdomain)).await?;
/// lab.from("app").name("mysql-db").must_not_resolve().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Dns {
    at: String,
    name: String,
    outcome: DnsOutcome,
}

impl Dns {
    /// From inside `at`, `name` comes to this outcome. All other names resolve as before.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Dns, DnsOutcome, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let elsewhere = DnsOutcome::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    /// let wrong = lab.fault(Dns::new("app", "mysql-db", elsewhere)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(at: impl Into<String>, name: impl Into<String>, outcome: DnsOutcome) -> Self {
        Self {
            at: at.into(),
            name: name.into(),
            outcome,
        }
    }
}

impl MakeFault for Dns {
    fn plan(self) -> Result<Plan> {
        Ok(Plan {
            words: format!(
                "dns {} asks for {}: {}",
                self.at,
                self.name,
                outcome_words(&self.outcome)
            ),
            steps: vec![Step::Dns {
                at: self.at,
                name: self.name,
                outcome: self.outcome,
            }],
        })
    }
}

fn outcome_words(outcome: &DnsOutcome) -> String {
    match outcome {
        DnsOutcome::Nxdomain => "NXDOMAIN".into(),
        DnsOutcome::Servfail => "SERVFAIL".into(),
        DnsOutcome::Refused => "REFUSED".into(),
        DnsOutcome::NoAnswer => "no answer".into(),
        DnsOutcome::Empty => "no address".into(),
        DnsOutcome::Addresses(addresses) => {
            let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            words.join(", ")
        }
    }
}

/// A bad link between two containers: late, lossy, narrow. In user space, in both families and for
/// every protocol, so that it works on kernels without `sch_netem` too, and for one peer at a time.
///
/// ```no_run
/// # use netcheck_testkit::{Link, Lab};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// use std::time::Duration;
///
/// let far = Link::new("app", "mysql-db")
///     .both_ways()
///     .delay(Duration::from_millis(50))
///     .loss(0.01);
/// let far = lab.fault(far).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Link {
    from: String,
    to: String,
    both: bool,
    link: program::Link,
}

impl Link {
    /// What `from` sends to `to`. (An answer takes the way back, which is as before.)
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let lossy = lab.fault(Link::new("app", "mysql-db").loss(0.1)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            both: false,
            link: program::Link::to(Vec::new()),
        }
    }

    /// Both ways, each with all of it: a delay of 50 ms makes a round trip of 100 ms.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// let far = Link::new("app", "mysql-db").both_ways().delay(Duration::from_millis(50));
    /// let far = lab.fault(far).await?; // a round trip takes 100 ms
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn both_ways(mut self) -> Self {
        self.both = true;
        self
    }

    /// Every packet arrives so much later (to a tenth of a millisecond; at most a minute).
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// let late = lab
    ///     .fault(Link::new("app", "mysql-db").delay(Duration::from_millis(50)))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn delay(mut self, time: Duration) -> Self {
        self.link.delay_ms = time.as_secs_f64() * 1000.0;
        self
    }

    /// Up to so much more or less than the delay, evenly spread. The order is kept.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// let shaky = Link::new("app", "mysql-db")
    ///     .delay(Duration::from_millis(50))
    ///     .jitter(Duration::from_millis(20));
    /// let shaky = lab.fault(shaky).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn jitter(mut self, time: Duration) -> Self {
        self.link.jitter_ms = time.as_secs_f64() * 1000.0;
        self
    }

    /// Jitter may change the order of packets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// let mixed = Link::new("app", "mysql-db")
    ///     .delay(Duration::from_millis(20))
    ///     .jitter(Duration::from_millis(20))
    ///     .reorder();
    /// let mixed = lab.fault(mixed).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reorder(mut self) -> Self {
        self.link.reorder = true;
        self
    }

    /// This part of the packets is lost, 0 to 1.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let lossy = lab.fault(Link::new("app", "mysql-db").loss(0.05)).await?; // 5 %
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn loss(mut self, part: f64) -> Self {
        self.link.loss = part;
        self
    }

    /// This part of the packets arrives twice, 0 to 1.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let twice = lab.fault(Link::new("app", "mysql-db").duplicate(0.5)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn duplicate(mut self, part: f64) -> Self {
        self.link.duplicate = part;
        self
    }

    /// No more than so many bytes a second.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let narrow = lab.fault(Link::new("app", "mysql-db").bytes_per_second(64 * 1024)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: u64) -> Self {
        self.link.rate_bytes_per_s = Some(bytes);
        self
    }

    /// The seed of the dice: the same packets meet the same fate.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Link, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let same_again = lab.fault(Link::new("app", "mysql-db").loss(0.1).seed(42)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.link.seed = seed;
        self
    }
}

impl MakeFault for Link {
    fn plan(self) -> Result<Plan> {
        let mut words = vec![format!(
            "link {} {} {}",
            self.from,
            if self.both { "<->" } else { "->" },
            self.to
        )];
        let link = &self.link;
        // All else the program checks; this is what JSON has no word for.
        if !(link.loss.is_finite() && link.duplicate.is_finite()) {
            return Err(Error::invalid("loss or duplication of a link is no number"));
        }
        if link.delay_ms > 0.0 {
            words.push(format!("delay {} ms", link.delay_ms));
        }
        if link.jitter_ms > 0.0 {
            words.push(format!("jitter {} ms", link.jitter_ms));
        }
        if link.loss > 0.0 {
            words.push(format!("loss {} %", link.loss * 100.0));
        }
        if link.duplicate > 0.0 {
            words.push(format!("duplicate {} %", link.duplicate * 100.0));
        }
        if let Some(rate) = link.rate_bytes_per_s {
            words.push(format!("{rate} bytes/s"));
        }
        let step = |at: &String, to: &String| Step::Link {
            at: at.clone(),
            to: to.clone(),
            link: self.link.clone(),
        };
        let mut steps = vec![step(&self.from, &self.to)];
        if self.both {
            steps.push(step(&self.to, &self.from));
        }
        Ok(Plan {
            words: words.join(", "),
            steps,
        })
    }
}

/// A container is taken off a network; healing brings it back with its addresses and aliases.
///
/// ```no_run
/// # use netcheck_testkit::{Disconnect, Lab};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let off = lab.fault(Disconnect::new("mysql-db", "back")).await?;
/// off.heal().await?; // with the address it had
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Disconnect {
    container: String,
    network: String,
}

impl Disconnect {
    /// `container` off `network`.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Disconnect, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let off = lab.fault(Disconnect::new("mysql-db", "back")).await?;
    /// lab.from("app").name("mysql-db").must_not_resolve().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(container: impl Into<String>, network: impl Into<String>) -> Self {
        Self {
            container: container.into(),
            network: network.into(),
        }
    }
}

impl MakeFault for Disconnect {
    fn plan(self) -> Result<Plan> {
        Ok(Plan {
            words: format!("disconnect {} from {}", self.container, self.network),
            steps: vec![Step::Disconnect {
                container: self.container,
                network: self.network,
            }],
        })
    }
}

/// All processes of a container stand still; its kernel still takes connections.
///
/// ```no_run
/// # use netcheck_testkit::{Pause, Lab, tcp};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let frozen = lab.fault(Pause::new("mysql-db")).await?;
/// lab.from("app").to("mysql-db", tcp(3306)).must_connect().await; // by its kernel
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Pause {
    container: String,
}

impl Pause {
    /// This container.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Pause, Lab};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let frozen = lab.fault(Pause::new("mysql-db")).await?;
    /// frozen.heal().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(container: impl Into<String>) -> Self {
        Self {
            container: container.into(),
        }
    }
}

impl MakeFault for Pause {
    fn plan(self) -> Result<Plan> {
        Ok(Plan {
            words: format!("pause {}", self.container),
            steps: vec![Step::Pause {
                container: self.container,
            }],
        })
    }
}
