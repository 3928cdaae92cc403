//! Built-in nodes: the words by which they are told what to serve. It never talks to the engine itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ImageConfig;

use super::Builder;
use super::running::Container;
use crate::doing::Doing;
use crate::error::Error;
use crate::start;
use crate::target::Port;

/// A built-in node: a static program of 1.2 MB that serves what it is told to, and is silent
/// otherwise. Without any service it waits to be looked from.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// lab.node("web").on(back).http(80).start().await?;
/// lab.node("client").on(back).start().await?; // serves nothing
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Node {
    pub(crate) words: Vec<Word>,
    /// What its image says beside its program.
    pub(crate) image: Option<ImageConfig>,
}

/// One word of the node's command line.
#[derive(Debug)]
pub(crate) enum Word {
    /// `service=ADDRESS:PORT`, the address of every family the container has.
    Everywhere(&'static str, u16),
    /// To the letter.
    Plain(String),
}

/// Where a node's service listens: a port (on every address), or an address with a port
/// (`([127, 0, 0, 1], 80)`, a `SocketAddr`).
///
/// ```no_run
/// # use netcheck_testkit::{Lab, Network};
/// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
/// lab.node("db")
///     .on(back)
///     .banner(3306) // everywhere
///     .http(([127, 0, 0, 1], 9104)) // on loopback only
///     .start()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// On every address of the container.
    Port(u16),
    /// On this address only.
    Address(SocketAddr),
}

impl From<u16> for At {
    fn from(port: u16) -> Self {
        Self::Port(port)
    }
}

impl<T: Into<IpAddr>> From<(T, u16)> for At {
    fn from((address, port): (T, u16)) -> Self {
        Self::Address(SocketAddr::new(address.into(), port))
    }
}

impl From<SocketAddr> for At {
    fn from(at: SocketAddr) -> Self {
        Self::Address(at)
    }
}

impl Builder<Node> {
    /// TCP that sends back what it gets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("echo").on(back).tcp(7).start().await?;
    /// lab.from("app").to("echo", tcp(7)).must_connect().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tcp(self, at: impl Into<At>) -> Self {
        self.serves("tcp", at.into(), crate::tcp)
    }

    /// UDP that sends back what it gets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, udp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("echo").on(back).udp(7).start().await?;
    /// lab.from("app").to("echo", udp(7)).must_connect().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn udp(self, at: impl Into<At>) -> Self {
        self.serves("udp", at.into(), crate::udp)
    }

    /// HTTP that answers any request with status 200 and the caller's address.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("web").on(back).http(80).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn http(self, at: impl Into<At>) -> Self {
        self.serves("http", at.into(), crate::tcp)
    }

    /// TCP that speaks first, as MySQL, SSH and SMTP do, and then sends back what it gets.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("mysql-db").on(back).banner(3306).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn banner(self, at: impl Into<At>) -> Self {
        self.serves("banner", at.into(), crate::tcp)
    }

    /// TCP that listens and never accepts; four connections fill its queue.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("stuck").on(back).hang(80).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hang(self, at: impl Into<At>) -> Self {
        self.serves("hang", at.into(), crate::tcp)
    }

    /// TCP that accepts and closes at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Refusal, Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("proxy").on(back).close(80).start().await?;
    /// lab.from("app").to("proxy", tcp(80)).must_not_connect(Refusal::Closed).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(self, at: impl Into<At>) -> Self {
        self.serves("close", at.into(), crate::tcp)
    }

    /// TCP on IPv6 only.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// let six = lab.network("six").ipv6().create().await?;
    /// lab.node("web").on(&six).v6only(80).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn v6only(self, port: u16) -> Self {
        self.word(format!("v6only=[::]:{port}"))
            .expects(crate::tcp(port))
    }

    /// Waits so long before what follows.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network, tcp};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// lab.node("slow").on(back).delay(Duration::from_secs(2)).banner(3306).start().await?;
    /// lab.from("app")
    ///     .to("slow", tcp(3306))
    ///     .within(Duration::from_secs(10))
    ///     .must_connect()
    ///     .await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(self, time: Duration) -> Self {
        self.word(format!("after={}ms", time.as_millis()))
    }

    /// Exits with code 0 after so long, while the rest goes on.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// use std::time::Duration;
    ///
    /// lab.node("flaky").on(back).tcp(80).exit_after(Duration::from_secs(1)).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn exit_after(self, time: Duration) -> Self {
        self.word(format!("exit-after={}ms", time.as_millis()))
    }

    /// Exits with this code.
    ///
    /// ```no_run
    /// # use netcheck_testkit::Lab;
    /// # async fn test(lab: &Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("broken").exit(3).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn exit(self, code: u8) -> Self {
        self.word(format!("exit={code}"))
    }

    /// Any word of the node's language (see [`node`](crate::node)).
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// lab.node("db").on(back).word("tcp=127.0.0.1:3306").start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn word(mut self, word: impl Into<String>) -> Self {
        self.source.words.push(Word::Plain(word.into()));
        self
    }

    /// Of an image that says this itself, as a Dockerfile would: `EXPOSE`, `HEALTHCHECK`, `ENV`, ….
    /// (What [`Builder::configure`] sets is the container's own.)
    ///
    /// The image is made at once and without a registry. Like the plain one it stays on the engine
    /// for whoever needs the same again, with the label [`LABEL_IMAGE`](crate::LABEL_IMAGE).
    ///
    /// ```no_run
    /// # fn test(lab: &netcheck_testkit::Lab) -> netcheck_testkit::Result<()> {
    /// lab.node("db")
    ///     .image(|image| image.exposed_ports = Some(vec!["3306/tcp".into()]))
    ///     .banner(3306)
    ///     .start()
    ///     .wait()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn image(mut self, adjust: impl FnOnce(&mut ImageConfig)) -> Self {
        adjust(self.source.image.get_or_insert_default());
        self
    }

    fn serves(mut self, service: &'static str, at: At, port: fn(u16) -> Port) -> Self {
        let (word, number) = match at {
            At::Port(number) => (Word::Everywhere(service, number), number),
            At::Address(at) => (Word::Plain(format!("{service}={at}")), at.port()),
        };
        if number == 0 {
            self.is_wrong(Error::invalid(format!(
                "`{}`: port 0 serves nobody",
                self.plan.name
            )));
        }
        self.source.words.push(word);
        self.expects(port(number))
    }

    /// Starts it; returns when it is ready: its services answer, unless a word delays them.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`]: the name is taken in this lab, a network beside another mode, an address
    ///   or path that is none, or the start of one it comes after failed.
    /// - [`Error::Api`]: the engine refused, e.g. a host port that is taken.
    /// - [`Error::NotReady`]: it ended, or a service did not listen in time; with its output.
    /// - [`Error::TimedOut`]: one it comes after was not ready in time.
    /// - [`Error::Unsupported`]: the engine runs another architecture than the kit was built for.
    /// - [`Error::Engine`]: it does not take the nodes' image.
    ///
    /// A container whose start failed is removed at once.
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let db = lab.node("mysql-db").on(back).banner(3306).start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Doing<Container> {
        let (lab, inner) = (Arc::clone(&self.lab), Arc::clone(&self.lab));
        lab.job(async move { start::node(inner, self.plan, self.source, true).await })
    }

    /// Creates it without starting it.
    ///
    /// # Errors
    ///
    /// Those of `start`, except [`Error::NotReady`].
    ///
    /// ```no_run
    /// # use netcheck_testkit::{Lab, Network};
    /// # async fn test(lab: &Lab, back: &Network) -> netcheck_testkit::Result<()> {
    /// let db = lab.node("mysql-db").on(back).banner(3306).create().await?;
    /// lab.from("app").name("mysql-db").must_not_resolve().await;
    /// db.start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(self) -> Doing<Container> {
        let (lab, inner) = (Arc::clone(&self.lab), Arc::clone(&self.lab));
        lab.job(async move { start::node(inner, self.plan, self.source, false).await })
    }
}
