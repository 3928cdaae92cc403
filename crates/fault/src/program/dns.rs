//! The DNS fault: redirects port 53 of the resolvers to servers of ours on the loopback, one for
//! each resolver, so that every other question goes on to the very resolver it was meant for.

mod message;
mod resolv;
mod server;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use netcheck_fault::{Applied, Counters, Dns, DnsOutcome, Protocol};

use super::conntrack::{self, Which};
use super::filter::check_addresses;
use super::lease::{MARK_PREFIX, Number};
use super::nft::{Chain, Expression, Family, Filter, Hook, Rule};
use super::trouble::{Result, Trouble};
use message::Subject;
use server::{Catching, Served, Tally};

/// Of nat chains: after conntrack (-200; the kernel takes no nat chain before it) and before
/// Docker's own (NF_IP_PRI_NAT_DST, -100). The number of the fault is added.
const PRIORITY: i32 = -180;

/// The highest mark of packets that a program sends itself, see [`Number::own_mark`].
const HIGHEST_MARK: u32 = MARK_PREFIX | 0x7fff;

/// A DNS fault that is in force.
#[derive(Debug)]
pub(crate) struct Misnaming {
    filter: Filter,
    /// Each resolver with its server's place for UDP.
    led: Vec<(SocketAddr, SocketAddr)>,
    /// Closing it ends the server.
    stop: io::PipeWriter,
    worker: JoinHandle<()>,
    tally: Arc<Tally>,
    _number: Number,
}

impl Misnaming {
    /// Makes it.
    pub(crate) fn make(fault: &Dns) -> Result<(Self, Applied)> {
        let conf = resolv::read(&fault.servers)?;
        check_addresses(conf.servers.len())?;
        if let DnsOutcome::Addresses(addresses) = &fault.outcome {
            check_addresses(addresses.len())?;
        }
        let subject =
            Subject::new(&fault.name, &conf.search, &fault.outcome).map_err(Trouble::request)?;
        let number = Number::take()?;
        // Several such faults form a chain: the lowest number sees a question first and sends it
        // on with its mark, which those with higher numbers take, and it itself and lower ones
        // let through.
        let mut rules = vec![
            Rule::new()
                .mark_between(number.own_mark(), HIGHEST_MARK)
                .then(Expression::Accept),
        ];
        let mut catching = Vec::new();
        let mut led = Vec::new();
        for server in conf.servers {
            let caught = Catching::open(server, number.own_mark())
                .map_err(|error| listening(server, &error))?;
            let ports = caught.ports().map_err(|error| listening(server, &error))?;
            for (protocol, port) in [(Protocol::Udp, ports.udp), (Protocol::Tcp, ports.tcp)] {
                rules.push(
                    Rule::new()
                        .to(server, false)
                        .protocol(protocol)
                        .port(server::PORT)
                        .then(Expression::Count)
                        .then(Expression::Load(port.to_be_bytes().to_vec()))
                        .then(Expression::Redirect),
                );
            }
            let place = SocketAddr::new(server::loopback(server), ports.udp);
            led.push((SocketAddr::new(server, server::PORT), place));
            catching.push(caught);
        }
        let chain = Chain {
            family: Family::Inet,
            hook: Hook::OutputNat {
                priority: PRIORITY + i32::from(number.get()),
            },
            rules,
        };
        let doing = "starting the name server";
        let (stopped, stop) = io::pipe().map_err(|error| Trouble::failed(doing, error))?;
        let tally = Arc::new(Tally::default());
        let served = Served {
            subject,
            tally: tally.clone(),
        };
        let worker = thread::Builder::new()
            .spawn(move || server::serve(&catching, &Arc::new(served), &stopped))
            .map_err(|error| Trouble::failed(doing, error))?;
        let mut filter = Filter::make(&number.table(), &[chain])?;
        for (resolver, _) in &led {
            if let Err(trouble) = conntrack::forget(*resolver, Which::Answered) {
                filter.remove()?;
                return Err(trouble);
            }
        }
        let applied = filter.applied();
        let misnaming = Self {
            filter,
            led,
            stop,
            worker,
            tally,
            _number: number,
        };
        Ok((misnaming, applied))
    }

    /// What it has done.
    pub(crate) fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// Undoes it. TCP connections that go through the program keep their way to the resolver until
    /// they end.
    pub(crate) fn heal(mut self) -> Result<Counters> {
        let removed = self.filter.remove().and_then(|()| {
            let forget = |(resolver, place)| conntrack::forget(resolver, Which::LedTo(place));
            self.led.drain(..).try_for_each(forget)
        });
        let counters = self.counters();
        drop(self.stop);
        self.worker
            .join()
            .map_err(|_| Trouble::failed("ending the name server", "its thread died"))?;
        removed?;
        Ok(counters)
    }
}

fn listening(server: IpAddr, error: &io::Error) -> Trouble {
    let at = SocketAddr::new(server::loopback(server), 0).ip();
    match error.raw_os_error() {
        // SO_MARK.
        Some(libc::EPERM) => {
            Trouble::unsupported("CAP_NET_ADMIN", format!("marking a socket: {error}"))
        }
        _ => Trouble::failed(
            format!("listening on {at} in place of the resolver {server}"),
            error,
        ),
    }
}
