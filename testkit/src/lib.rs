//! Throwaway networks and containers for Rust integration tests, with reachability assertions that
//! say *why*, network faults that heal, and reports to snapshot. Nothing is left behind, whatever
//! happens to the test.
//!
//! ```no_run
//! use netcheck_testkit::{Lab, Partition, Refusal, Result, tcp};
//!
//! #[tokio::test]
//! async fn orders_survive_a_partition() -> Result<()> {
//!     let lab = Lab::start().await?;
//!     let back = lab.network("back").create().await?;
//!     lab.node("mysql-db").on(&back).banner(3306).start().await?;
//!     lab.node("app").on(&back).start().await?;
//!
//!     lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
//!     let cut = lab.fault(Partition::between(["app"], ["mysql-db"])).await?;
//!     lab.from("app").to("mysql-db", tcp(3306)).must_not_connect(Refusal::TimedOut).await;
//!     cut.heal().await?;
//!     lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
//!     lab.end().await
//! }
//! # fn main() {}
//! ```
//!
//! # What there is
//!
//! | | |
//! |---|---|
//! | [`Lab`] | the scope of a test; names in it are the test's own, so any number of tests may have a `mysql-db` at once, in threads or in processes |
//! | [`NetworkBuilder`], [`Network`] | subnets that the engine arbitrates, gateway, IPv6, internal, driver options; connect, disconnect, reconnect with the same addresses and aliases |
//! | [`Builder`], [`Container`] | [built-in nodes](Lab::node) that need no registry, and [any testcontainers image](Lab::container), on several networks with aliases and addresses from before the first process |
//! | [`Source`], [`Path`], [`Name`] | assertions from inside: [`must_connect`](Path::must_connect), [`must_not_connect`](Path::must_not_connect), [`must_be`](Name::must_be); one that fails panics with netcheck's diagnosis |
//! | [`Lab::matrix`] | who reaches what, as a table |
//! | [`Lab::fault`] | [`Partition`], [`Refuse`], [`Dns`], [`Link`], [`Disconnect`], [`Pause`]: in force as long as their guard lives |
//! | [`Lab::report`], [`Lab::diagnose`] | for `insta`: `{mysql-db@back}` in place of addresses, no ids, no times |
//!
//! # A failing assertion
//!
//! ```text
//! tests/orders.rs:12:58: app -> mysql-db:3307/tcp must connect: refused
//!
//! ✗ app to `mysql-db:3307`: nothing listens on that port, but on others
//!
//!   app ── back ──✗ mysql-db:3307
//!   …
//! error[wrong-port]: nothing listens on 3307/tcp in `mysql-db`; what listens there is on 3306/tcp
//!   fix    Use what is open there: `mysql-db:3306`
//! ```
//!
//! # Runtimes
//!
//! The work is done on a thread of the kit's own. Its futures ([`Doing`], [`Must`]) wait for the
//! answer and nothing else: they run on any executor, and each has a blocking twin, `.wait()`, for
//! a plain `#[test]`; [`wait`] does the same for an `async` block. A future that is dropped leaves
//! nothing half-made, and dropping a lab is safe without a runtime, in a `LocalSet` and during a
//! panic.
//!
//! # What is left behind
//!
//! | Event | left behind |
//! |---|---|
//! | end of the test, `?`, panic (in whatever thread or task), timeout, cancellation | nothing, when the test returns |
//! | a start that fails (port taken, bad entrypoint, never ready) | nothing; the error has the logs |
//! | `static` labs, `process::exit`, Ctrl-C, SIGTERM, SIGKILL, a killed process group | nothing, within two seconds |
//! | power cut | what the next lab of that machine sweeps: only what a *dead* owner left |
//!
//! After the end of the process its *reaper* cleans up: the test's own program, started a second
//! time at the first lab, which recognises itself before `main` begins and waits for the end of a
//! pipe. It needs no image, no port and no pull, and works with engines elsewhere too.
//!
//! # Environment
//!
//! | Variable | |
//! |---|---|
//! | `DOCKER_HOST` | the engine, as for testcontainers; otherwise the usual sockets |
//! | `NETCHECK_TESTKIT_KEEP` | `1` keeps every lab, `on-failure` those of tests that fail; prints how to look and how to remove |
//! | `NETCHECK_TESTKIT_SUBNETS` | the range of automatic subnets, e.g. `10.80.0.0/16` |
//! | `NETCHECK_TESTKIT_REPORTS` | the folder for what failed tests had: state, addresses and logs of every container (by default in the temporary folder) |
//!
//! # Errors
//!
//! An assertion that fails panics. All else that goes wrong is an [`Error`]: what was being done, to
//! whom, why it failed and ([`Error::advice`]) what to do next.
//!
//! | [`Error`] | when | what to do |
//! |---|---|---|
//! | [`Engine`](Error::Engine) | no engine answers, it is none for Linux containers, or it does not take the kit's image | start it, or say in `DOCKER_HOST` where it is |
//! | [`Api`](Error::Api) | the engine refused or failed; with its words and the status | by its words: another host port or subnet; 404 is something that is gone |
//! | [`Testcontainers`](Error::Testcontainers) | an image that cannot be pulled, a container that cannot be started, a wait condition that failed | pull or build the image; read `logs` |
//! | [`Unsupported`](Error::Unsupported) | this engine, kernel or platform lacks something | match on it to go on without; [`Lab::capabilities`] lists what there is |
//! | [`Compose`](Error::Compose) | a Compose file is wrong, or says what the kit does not carry out | change what it names: file, service and key |
//! | [`NotReady`](Error::NotReady) | a container ended, or was not ready in time | read `logs`, its state and output; or `.startup_timeout(…)` |
//! | [`TimedOut`](Error::TimedOut) | one that it was to start after was not ready; a fault's helper did not answer | start the other one too, or wait longer |
//! | [`Unknown`](Error::Unknown) | no such container, network or service in the lab | use a name of `known`; names are the test's, not the engine's |
//! | [`Invalid`](Error::Invalid) | what was asked for makes no sense, or cannot be answered from there | mend the test; the message is the whole story |
//! | [`Ended`](Error::Ended) | any call, once the lab has ended | keep the lab until the last call is done |
//! | [`NotRemoved`](Error::NotRemoved) | something could not be removed | the reaper tries again; `docker rm -f` what it names |
//!
//! # Supported
//!
//! Rust 1.95 and later (MSRV); testcontainers 0.28, re-exported as [`testcontainers`]; Docker 20.10
//! (API 1.41) and later. Built-in nodes and faults run on the architecture that the crate was built
//! on. Faults need nf_tables, some of them Linux 5.16: [`Lab::capabilities`] says what there is.
//!
//! The kit's tests were run on Docker 20.10, 26.1 and 28.5; reports are the same text on all three.
//! On podman 5.4 nodes, assertions, the matrix and [`Lab::report`] do the same; a diagnosis differs
//! where podman does (its fixes, addresses that it takes for given), and [`Lab::expose`],
//! [`icc`](NetworkBuilder::icc) and given addresses are not what they are on Docker.

mod adopt;
mod agent;
mod assertion;
mod capability;
mod compose;
mod container;
mod diagnosis;
mod doing;
mod driver;
mod engine;
mod error;
mod expose;
mod failure;
mod fault;
mod keep;
mod lab;
mod matrix;
mod network;
mod owner;
mod placeholder;
mod reaper;
mod removal;
mod report;
mod start;
mod subnet;
mod target;
mod test_attribute;

pub use assertion::{Attempt, Must, Name, Path, Refusal, Source, Who};
pub use capability::Capabilities;
pub use compose::{Compose, ComposeBuilder};
pub use container::{At, Builder, Container, ContainerRef, Image, Node, Output, Started};
pub use diagnosis::Diagnosis;
pub use doing::{Doing, wait};
pub use error::{Error, Result};
pub use fault::{
    Counters, Disconnect, Dns, DnsOutcome, Fault, Link, MakeFault, Partition, Pause, Refuse,
    RefuseWith,
};
pub use keep::Keep;
pub use lab::{Lab, LabBuilder};
pub use matrix::{Column, Matrix};
/// ```
/// use netcheck_testkit::{Lab, Result, tcp};
///
/// #[netcheck_testkit::test(timeout = "60s", keep = "on-failure")]
/// async fn the_database_greets(lab: &Lab) -> Result<()> {
///     let back = lab.network("back").create().await?;
///     lab.node("mysql-db").on(&back).banner(3306).start().await?;
///     lab.node("app").on(&back).start().await?;
///     lab.from("app").to("mysql-db", tcp(3306)).must_connect().await;
///     Ok(())
/// }
///
/// #[netcheck_testkit::test]
/// fn so_it_does_without_a_runtime(lab: &Lab) -> Result<()> {
///     let back = lab.network("back").create().wait()?;
///     lab.node("mysql-db").on(&back).banner(3306).start().wait()?;
///     Ok(())
/// }
/// ```
///
/// ```compile_fail
/// #[netcheck_testkit::test]
/// async fn without_a_lab() {}
/// ```
pub use netcheck_testkit_macros::test;
pub use network::{Endpoint, Network, NetworkBuilder};
pub use owner::{
    LABEL_CREATED, LABEL_IMAGE, LABEL_LAB, LABEL_NAME, LABEL_OWNER, LABEL_PROCESS, LABEL_TEST,
};
pub use report::{ContainerReport, LabReport, Member, NetworkReport};
pub use subnet::Subnet;
pub use target::{Port, tcp, udp};

pub use bollard;
pub use testcontainers;

/// What the code of [`macro@test`] calls; nobody else's.
#[doc(hidden)]
pub mod __private {
    pub use crate::test_attribute::{Body, Outcome, Test, run, run_async};
}

/// The node for the architecture this crate was built on; none where it could not be built.
///
/// It is a static Linux program whose command line says what it serves, e.g.
/// `tcp=0.0.0.0:80 udp=0.0.0.0:53`.
///
/// ```
/// let node = netcheck_testkit::node().ok_or("no node for this machine")?;
/// assert!(node.starts_with(b"\x7fELF"));
/// # Ok::<(), &str>(())
/// ```
pub fn node() -> Option<&'static [u8]> {
    netcheck_embedded::node()
}
