//! Who reaches whom, asked from inside: assertions that panic with the diagnosis, and the plain
//! answer for those who decide themselves. Everything is asked anew each time; nothing is cached.

mod attempt;
mod must;
mod name;

use std::net::{IpAddr, SocketAddr};
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netcheck_diagnose::clean::clean;
use netcheck_diagnose::evidence::{Viewpoint, Visit};
use netcheck_diagnose::probe::Question;

pub use attempt::{Attempt, Refusal};
pub use must::Must;
pub use name::Name;

use crate::container::{Container, Started};
use crate::doing::Doing;
use crate::error::{Error, Result};
use crate::lab::{Inner, Lab};
use crate::target::Port;
use name::lookup;

/// How long a connection may take by default. Longer than the 3.1 s after which the kernel tells of
/// a neighbour that does not answer (three ARP requests, arp(7)), so that this is told from silence.
const PATIENCE: Duration = Duration::from_millis(3500);

/// What the probe has beyond that: it ends each connection a little before its own deadline, by a
/// tenth of the time and at most 100 ms, to have an answer.
const TO_ANSWER: Duration = Duration::from_millis(200);

/// After a handshake, how long to see whether the other side closes at once: docker-proxy does so
/// within 1 to 7 ms.
const LISTEN_MS: u32 = 10;

/// How long to wait for the answer to a datagram. A UDP service that answers does so at once.
const DATAGRAM_MS: u32 = 500;

/// Between two attempts of something that is to happen eventually.
const AGAIN: Duration = Duration::from_millis(50);

/// A name in the lab: `"app"`, or a container's handle.
///
/// ```no_run
/// # use netcheck_testkit::Lab;
/// # fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let db = lab.get("mysql-db")?;
/// let by_name = lab.from("mysql-db");
/// let by_handle = lab.from(&db);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who(pub(crate) String);

impl From<&str> for Who {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl From<String> for Who {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&Container> for Who {
    fn from(container: &Container) -> Self {
        Self(container.name().to_owned())
    }
}

impl<I: testcontainers::Image> From<&Started<I>> for Who {
    fn from(started: &Started<I>) -> Self {
        Self(started.name().to_owned())
    }
}

/// Somebody who looks; from [`Lab::from`].
///
/// ```no_run
/// # use netcheck_testkit::{Lab, tcp};
/// # async fn test(lab: &Lab) {
/// let app = lab.from("app");
/// app.to("mysql-db", tcp(3306)).must_connect().await;
/// app.name("nobody").must_not_resolve().await;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Source {
    lab: Arc<Inner>,
    who: Who,
}

/// From somebody to a port of somebody; from [`Source::to`].
///
/// ```no_run
/// # use netcheck_testkit::{Lab, tcp};
/// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
/// let path = lab.from("app").to("mysql-db", tcp(3306));
/// if path.connects().await? {
///     path.must_connect().await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Path {
    lab: Arc<Inner>,
    who: Who,
    host: String,
    port: Port,
    patience: Duration,
    within: Option<Duration>,
}

impl Lab {
    /// Looks from inside this container.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) {
    /// lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
    /// # }
    /// ```
    pub fn from(&self, who: impl Into<Who>) -> Source {
        Source {
            lab: Arc::clone(self.inner()),
            who: who.into(),
        }
    }

    /// Asks again and again until the answer is yes, at most for so long.
    ///
    /// # Panics
    ///
    /// In the caller's name, when it has not become so by then.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # use std::time::Duration;
    /// # async fn test(lab: &Lab) {
    /// lab.eventually(Duration::from_secs(5), || lab.from("app").to("db", tcp(5432)).connects())
    ///     .await;
    /// # }
    /// ```
    #[track_caller]
    pub fn eventually<F, A>(&self, time: Duration, ask: F) -> impl Future<Output = ()> + use<F, A>
    where
        F: Fn() -> A,
        A: Future<Output = Result<bool>>,
    {
        let place = Location::caller();
        let lab = Arc::clone(self.inner());
        async move {
            let begun = Instant::now();
            loop {
                let said = ask().await;
                if matches!(said, Ok(true)) {
                    return;
                }
                if begun.elapsed() >= time {
                    let why = match said {
                        Ok(_) => "the answer was still no".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    panic!("{place}: not within {:.1} s: {why}", time.as_secs_f32());
                }
                let pause: Doing<()> = lab.job(async {
                    tokio::time::sleep(AGAIN).await;
                    Ok(())
                });
                let _ = pause.await;
            }
        }
    }
}

impl Source {
    /// To a port of somebody, by the name or address that the application uses. The name is
    /// resolved inside, as the application's would be.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp, udp};
    /// # async fn test(lab: &Lab) {
    /// lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
    /// lab.from("app").to("10.9.0.10", udp(53)).must_connect().await;
    /// # }
    /// ```
    pub fn to(&self, host: impl Into<Who>, port: Port) -> Path {
        Path {
            lab: Arc::clone(&self.lab),
            who: self.who.clone(),
            host: host.into().0,
            port,
            patience: PATIENCE,
            within: None,
        }
    }

    /// To an address.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// lab.from("app")
    ///     .to_address("10.9.0.10:3306".parse().unwrap())
    ///     .must_connect()
    ///     .await;
    /// # }
    /// ```
    pub fn to_address(&self, at: SocketAddr) -> Path {
        self.to(at.ip().to_string(), crate::tcp(at.port()))
    }

    /// To where a URL of a configuration points: `mysql://user:secret@mysql-db:3306/some`. Without
    /// a port it is the scheme's usual one.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`]: no host, no port and no known scheme. The message has no secrets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.from("app")
    ///     .to_url("mysql://root:secret@mysql-db/some")? // port 3306
    ///     .must_connect()
    ///     .await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_url(&self, url: &str) -> Result<Path> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority
            .rsplit_once('@')
            .map_or(authority, |(_, place)| place);
        let wrong = |what: &str| Error::invalid(format!("the URL of scheme `{scheme}` {what}"));
        let (host, port) = match place.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match place.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() {
            return Err(wrong("names no host"));
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong("has a port that is none"))?,
            None => netcheck_diagnose::reference::scheme_port(scheme)
                .ok_or_else(|| wrong("has no port, and none is usual"))?,
        };
        Ok(self.to(host, crate::tcp(port)))
    }

    /// A name as it is seen from here.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) {
    /// lab.from("app").name("mysql-db").must_resolve().await;
    /// # }
    /// ```
    pub fn name(&self, name: impl Into<String>) -> Name {
        Name {
            lab: Arc::clone(&self.lab),
            who: self.who.clone(),
            name: name.into(),
            within: None,
        }
    }

    /// What the name comes to here, in the order a program would try it; empty if to nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]: no such container. [`Error::Invalid`]: it cannot be looked from, or there
    /// was no answer.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network, db: &Container) -> netcheck_testkit::Result<()> {
    /// let addresses = lab.from("app").resolves("mysql-db").await?;
    /// assert_eq!(addresses, [db.address(back).await?]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolves(&self, name: impl Into<String>) -> Doing<Vec<IpAddr>> {
        let (lab, who, name) = (Arc::clone(&self.lab), self.who.clone(), name.into());
        self.lab
            .job(async move { Ok(lookup(&lab, &who, &name).await?.addresses) })
    }
}

impl Path {
    /// How long one attempt may take; 3.5 s by default.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) {
    /// use std::time::Duration;
    ///
    /// lab.from("app")
    ///     .to("far-away", tcp(80))
    ///     .patience(Duration::from_secs(10))
    ///     .must_connect()
    ///     .await;
    /// # }
    /// ```
    #[must_use]
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// What is asserted has to become true within this time, not at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Container, Lab, tcp};
    /// # async fn test(lab: &Lab, db: &Container) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// db.start().await?;
    /// lab.from("app")
    ///     .to("mysql-db", tcp(3306))
    ///     .within(Duration::from_secs(5))
    ///     .must_connect()
    ///     .await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// What comes of an attempt.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]: no such container to look from. [`Error::Invalid`]: it cannot be looked
    /// from, or there was no answer.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Attempt, Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let attempt = lab.from("app").to("mysql-db", tcp(3306)).attempt().await?;
    /// assert!(matches!(attempt, Attempt::Connected | Attempt::Refused));
    /// # Ok(())
    /// # }
    /// ```
    pub fn attempt(&self) -> Doing<Attempt> {
        let path = self.clone();
        self.lab.job(async move { path.try_once().await })
    }

    /// Whether it connects.
    ///
    /// # Errors
    ///
    /// As for [`Path::attempt`].
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// assert!(lab.from("app").to("mysql-db", tcp(3306)).connects().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connects(&self) -> Doing<bool> {
        let path = self.clone();
        self.lab
            .job(async move { Ok(path.try_once().await? == Attempt::Connected) })
    }

    /// netcheck's diagnosis of this path.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]: no such container in the lab. [`Error::Engine`]: the engine did not say
    /// what a diagnosis needs.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let diagnosis = lab.from("app").to("mysql-db", tcp(3307)).diagnose().await?;
    /// assert_eq!(diagnosis.codes(), ["wrong-port"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn diagnose(&self) -> Doing<crate::Diagnosis> {
        let path = self.clone();
        self.lab.job(async move {
            crate::diagnosis::pair(&path.lab, &path.who.0, &path.host, path.port).await
        })
    }

    /// It connects, or the test fails with the reason: the panic message holds the path, the root
    /// cause, the proof and the fix.
    ///
    /// # Panics
    ///
    /// If it does not connect, or cannot be asked.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, tcp};
    /// # async fn test(lab: &Lab) {
    /// lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
    /// # }
    /// ```
    #[track_caller]
    pub fn must_connect(self) -> Must {
        self.must("must connect", |attempt| *attempt == Attempt::Connected)
    }

    /// It does not connect, in this way.
    ///
    /// # Panics
    ///
    /// If it connects, or fails in another way, or cannot be asked.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refusal, Lab, tcp};
    /// # async fn test(lab: &Lab) {
    /// lab.from("stranger")
    ///     .to("mysql-db", tcp(3306))
    ///     .must_not_connect(Refusal::NoName)
    ///     .await;
    /// # }
    /// ```
    #[track_caller]
    pub fn must_not_connect(self, refusal: Refusal) -> Must {
        let wanted = match refusal {
            Refusal::Any => "must not connect".to_owned(),
            other => format!("must not connect ({other:?})"),
        };
        self.must(&wanted, move |attempt| refusal.is(attempt))
    }

    #[track_caller]
    fn must(self, wanted: &str, is_so: impl Fn(&Attempt) -> bool + Send + 'static) -> Must {
        let place = Location::caller();
        let wanted = format!("{} -> {}:{} {wanted}", self.who.0, self.host, self.port);
        let lab = Arc::clone(&self.lab);
        let job = lab.job(async move {
            let begun = Instant::now();
            loop {
                let attempt = self.try_once().await;
                if attempt.as_ref().is_ok_and(&is_so) {
                    return Ok(None);
                }
                if begun.elapsed() < self.within.unwrap_or_default() {
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                let said = match attempt {
                    Ok(attempt) => attempt.to_string(),
                    Err(error) => format!("{error:?}"),
                };
                let told = self.explain().await;
                return Ok(Some(format!("{said}\n{told}")));
            }
        });
        Must { place, wanted, job }
    }

    /// The diagnosis, and the faults in force, which are the likeliest cause of all.
    async fn explain(&self) -> String {
        let mut words = String::new();
        for fault in &self.lab.state().faults {
            words = words + "  fault in force: " + fault.words() + "\n";
        }
        match crate::diagnosis::pair(&self.lab, &self.who.0, &self.host, self.port).await {
            Ok(diagnosis) => words + "\n" + &diagnosis.to_string(),
            Err(error) => format!("{words}\n(no diagnosis: {error})"),
        }
    }

    async fn try_once(&self) -> Result<Attempt> {
        let addresses = match self.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let lookup = lookup(&self.lab, &self.who, &self.host).await?;
                if lookup.addresses.is_empty() {
                    return Ok(Attempt::of_lookup(&lookup));
                }
                lookup.addresses
            }
        };
        let questions: Vec<Question> = addresses
            .iter()
            .map(|address| question(SocketAddr::new(*address, self.port.number), self.port))
            .collect();
        let time = self.patience + TO_ANSWER;
        let visit = ask(&self.lab, &self.who, questions, time).await?;
        let mut first = None;
        // As a program does: the next address when one fails.
        for address in addresses {
            let attempt = answer(
                &visit,
                SocketAddr::new(address, self.port.number),
                self.port,
            )?;
            if attempt == Attempt::Connected {
                return Ok(attempt);
            }
            first.get_or_insert(attempt);
        }
        Ok(first.unwrap_or(Attempt::NameUnknown))
    }
}

pub(crate) fn question(to: SocketAddr, port: Port) -> Question {
    if port.is_tcp() {
        Question::Connect {
            to,
            listen_ms: LISTEN_MS,
        }
    } else {
        Question::Datagram {
            to,
            wait_ms: DATAGRAM_MS,
        }
    }
}

pub(crate) fn answer(visit: &Visit, to: SocketAddr, port: Port) -> Result<Attempt> {
    let unknown = |why: Option<&str>| {
        Error::invalid(format!(
            "it cannot be said whether {to} is reached: {}",
            clean(why.unwrap_or("it was not asked"))
        ))
    };
    if port.is_tcp() {
        let fact = visit.connect(to);
        let connected = fact.known().ok_or_else(|| unknown(fact.why_unknown()))?;
        Ok(Attempt::of_connect(connected))
    } else {
        let fact = visit.datagram(to);
        let delivered = fact.known().ok_or_else(|| unknown(fact.why_unknown()))?;
        Ok(Attempt::of_datagram(delivered))
    }
}

async fn ask(
    lab: &Arc<Inner>,
    who: &Who,
    questions: Vec<Question>,
    time: Duration,
) -> Result<Visit> {
    let id = lab.container(&who.0)?.id().to_owned();
    let plan = [(Viewpoint::Container(id), questions)].into();
    let seen = lab.engine.look(plan, time).await.pop();
    match seen {
        Some((_, Ok(visit))) => Ok(visit),
        Some((_, Err(why))) => Err(Error::invalid(format!(
            "`{}` cannot be looked from: {}",
            who.0,
            clean(&why)
        ))),
        None => Err(Error::invalid(format!("`{}` was not looked from", who.0))),
    }
}
