//! The refuse fault: diverts the first packets of connections and answers them in the peer's name,
//! as a network would: a moment later. The kernel's own reject answers within the sending call,
//! where TCP has its socket locked and only notes an ICMP error (`tcp_v4_err`): a connect that blocks
//! then takes 1.02 s, until the SYN is repeated, and send on a UDP socket fails with EPERM (both
//! measured on Linux 6.18).

mod packet;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use netcheck_fault::{Applied, Counters, Protocol, Refuse, RefuseWith};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Socket};

use super::filter::check_addresses;
use super::lease::Number;
use super::nft::{Chain, Expression, Family, Filter, Hook, Rule};
use super::tap::{self, Read, Tap};
use super::trouble::{Result, Trouble};

/// After all that may change where a packet goes (NF_IP_PRI_FILTER is 0).
const PRIORITY: i32 = 10;

/// A refuse fault that is in force.
#[derive(Debug)]
pub(crate) struct Refusing {
    filter: Filter,
    /// Closing it ends the worker.
    stop: io::PipeWriter,
    worker: JoinHandle<()>,
    tally: Arc<Tally>,
    _number: Number,
}

/// What the worker has done, read by others while it works.
#[derive(Debug, Default)]
struct Tally {
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Refusing {
    /// Makes it.
    pub(crate) fn make(fault: &Refuse) -> Result<(Self, Applied)> {
        check_addresses(fault.to.len())?;
        let protocols = protocols(fault)?;
        let number = Number::take()?;
        let mut rules = vec![
            Rule::new()
                .mark(number.own_mark(), u32::MAX)
                .then(Expression::Accept),
        ];
        for address in &fault.to {
            for protocol in &protocols {
                let mut rule = Rule::new()
                    .to(address.to_canonical(), false)
                    .protocol(*protocol);
                if let Some(port) = fault.port {
                    rule = rule.port(port);
                }
                rule = match protocol {
                    Protocol::Tcp => rule.opening(),
                    Protocol::Udp => rule.new_flow(),
                };
                rules.push(rule.set_mark(number.divert_mark()));
            }
        }
        let mut chains = vec![Chain {
            family: Family::Inet,
            hook: Hook::Output { priority: PRIORITY },
            rules,
        }];
        let marked = Rule::new().mark(number.divert_mark(), u32::MAX);
        chains.extend(tap::chains(&number, &[], &[marked])?);
        let six = fault
            .to
            .iter()
            .any(|address| address.to_canonical().is_ipv6());
        let doing = "starting to refuse";
        let (stopped, stop) = io::pipe().map_err(|error| Trouble::failed(doing, error))?;
        let tally = Arc::new(Tally::default());
        let work = Worker {
            tap: Tap::open(&number)?,
            four: tap::raw_socket(Domain::IPV4, &number)?,
            // A kernel without IPv6 has no such socket, and no need for one.
            six: six
                .then(|| tap::raw_socket(Domain::IPV6, &number))
                .transpose()?,
            with: fault.with,
            tally: tally.clone(),
        };
        let worker = thread::Builder::new()
            .spawn(move || work.run(&stopped))
            .map_err(|error| Trouble::failed(doing, error))?;
        let filter = Filter::make(&number.table(), &chains)?;
        let applied = filter.applied();
        let refusing = Self {
            filter,
            stop,
            worker,
            tally,
            _number: number,
        };
        Ok((refusing, applied))
    }

    /// What it has done.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            refused: self.tally.refused.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
            ..Counters::default()
        }
    }

    /// Undoes it.
    pub(crate) fn heal(mut self) -> Result<Counters> {
        let removed = self.filter.remove();
        let counters = self.counters();
        drop(self.stop);
        self.worker
            .join()
            .map_err(|_| Trouble::failed("ending to refuse", "its thread died"))?;
        removed?;
        Ok(counters)
    }
}

/// A reset is for TCP alone.
fn protocols(fault: &Refuse) -> Result<Vec<Protocol>> {
    match (fault.protocol, fault.with) {
        (Some(Protocol::Udp), RefuseWith::TcpReset) => {
            Err(Trouble::request("UDP cannot be refused with tcp-reset"))
        }
        (Some(protocol), _) => Ok(vec![protocol]),
        (None, RefuseWith::TcpReset) => Ok(vec![Protocol::Tcp]),
        (None, _) => Ok(vec![Protocol::Tcp, Protocol::Udp]),
    }
}

/// The thread that answers.
struct Worker {
    tap: Tap,
    four: Socket,
    six: Option<Socket>,
    with: RefuseWith,
    tally: Arc<Tally>,
}

impl Worker {
    fn run(mut self, stopped: &io::PipeReader) {
        loop {
            let mut sources = [
                PollFd::new(&self.tap, PollFlags::IN),
                PollFd::new(stopped, PollFlags::IN),
            ];
            match poll(&mut sources, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            if !sources[1].revents().is_empty() {
                return;
            }
            let counter = match self.tap.read() {
                Ok(Read::Frame(frame)) => self.answer(frame.packet()),
                Ok(Read::Lost) => &self.tally.failed,
                Ok(Read::Nothing) => continue,
                Err(_) => return,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers one packet; the counter that it belongs to.
    fn answer(&self, packet: &[u8]) -> &AtomicU64 {
        let Some((answer, to)) = packet::refusal(packet, self.with) else {
            return &self.tally.failed;
        };
        let socket = match to {
            IpAddr::V4(_) => Some(&self.four),
            IpAddr::V6(_) => self.six.as_ref(),
        };
        let to = SocketAddr::new(to, 0).into();
        match socket.map(|socket| socket.send_to(&answer, &to)) {
            Some(Ok(_)) => &self.tally.refused,
            _ => &self.tally.failed,
        }
    }
}
