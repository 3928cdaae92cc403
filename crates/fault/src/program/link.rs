//! The link fault: diverts what leaves for the peers, and sends it on when the emulated link would
//! have delivered it. Frames are moved, never changed.

mod shape;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use netcheck_fault::{Applied, Counters, Link};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::filter::check_addresses;
use super::lease::{DIVERTED, Number, Peer};
use super::nft::{Expression, Filter, Rule};
use super::tap::{self, Frame, Read, Tap};
use super::trouble::{Result, Trouble};
use shape::{Offered, Shaper};

/// Frames that are read in one go before what is due is sent, so that a flood does not delay it.
const MOST_AT_ONCE: usize = 64;

/// A link fault that is in force.
#[derive(Debug)]
pub(crate) struct Emulating {
    filter: Filter,
    /// Closing it ends the worker.
    stop: io::PipeWriter,
    worker: JoinHandle<()>,
    tally: Arc<Tally>,
    _peers: Vec<Peer>,
    _number: Number,
}

/// What the worker has done, read by others while it works.
#[derive(Debug, Default)]
struct Tally {
    dropped: AtomicU64,
    passed: AtomicU64,
    duplicated: AtomicU64,
    overflowed: AtomicU64,
    failed: AtomicU64,
}

impl Emulating {
    /// Makes it.
    pub(crate) fn make(fault: &Link) -> Result<(Self, Applied)> {
        check_addresses(fault.to.len())?;
        let shaper = Shaper::new(fault).map_err(Trouble::request)?;
        let mut to: Vec<IpAddr> = fault.to.iter().map(IpAddr::to_canonical).collect();
        to.sort_unstable();
        to.dedup();
        let peers = to
            .iter()
            .map(|address| Peer::take(*address))
            .collect::<Result<_>>()?;
        let number = Number::take()?;
        let wanted: Vec<Rule> = to
            .iter()
            .map(|address| Rule::new().to(*address, true))
            .collect();
        // What is being refused never leaves. To divert a frame twice would also undo the change of
        // its addresses.
        let exempt = [
            Rule::neighbour_discovery(true),
            Rule::new()
                .mark(DIVERTED.0, DIVERTED.1)
                .then(Expression::Accept),
        ];
        let chains = tap::chains(&number, &exempt, &wanted)?;
        let tap = Tap::open(&number)?;
        let doing = "starting the emulation";
        let (stopped, stop) = io::pipe().map_err(|error| Trouble::failed(doing, error))?;
        let tally = Arc::new(Tally::default());
        let work = Worker {
            tap,
            shaper,
            tally: tally.clone(),
        };
        // Before the rules: from their first packet on somebody has to send it on.
        let worker = thread::Builder::new()
            .spawn(move || work.run(&stopped))
            .map_err(|error| Trouble::failed(doing, error))?;
        let filter = Filter::make(&number.table(), &chains)?;
        let applied = filter.applied();
        let emulating = Self {
            filter,
            stop,
            worker,
            tally,
            _peers: peers,
            _number: number,
        };
        Ok((emulating, applied))
    }

    /// What it has done.
    pub(crate) fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// Undoes it: new frames go their own way, then those that still wait are sent, in order and
    /// without further delay.
    pub(crate) fn heal(mut self) -> Result<Counters> {
        let removed = self.filter.remove();
        drop(self.stop);
        self.worker
            .join()
            .map_err(|_| Trouble::failed("ending the emulation", "its thread died"))?;
        removed?;
        Ok(self.tally.read())
    }
}

impl Tally {
    fn read(&self) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            dropped: get(&self.dropped),
            passed: get(&self.passed),
            duplicated: get(&self.duplicated),
            overflowed: get(&self.overflowed),
            failed: get(&self.failed),
            ..Counters::default()
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// The thread that moves the frames.
struct Worker {
    tap: Tap,
    shaper: Shaper<Frame>,
    tally: Arc<Tally>,
}

impl Worker {
    fn run(mut self, stopped: &io::PipeReader) {
        loop {
            self.send_due(Instant::now());
            let wait = self
                .shaper
                .next_due()
                .map(|due| due.saturating_duration_since(Instant::now()));
            match self.wait(stopped, wait) {
                Ok(true) => {}
                // Told to stop, or unable to wait: what is there is sent in either case.
                Ok(false) | Err(_) => break,
            }
            if !self.read(MOST_AT_ONCE) {
                break;
            }
        }
        // The rules are gone: what was diverted before is all there will be.
        while self.tap_has_more() && self.read(1) {}
        while let Some(frame) = self.shaper.pop() {
            self.send(&frame);
        }
    }

    /// Until a frame comes, the time is over, or it is told to stop (then false).
    fn wait(&self, stopped: &io::PipeReader, wait: Option<Duration>) -> io::Result<bool> {
        let mut sources = [
            PollFd::new(&self.tap, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        match poll(&mut sources, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(sources[1].revents().is_empty()),
            Err(error) => Err(error.into()),
        }
    }

    fn tap_has_more(&self) -> bool {
        let mut source = [PollFd::new(&self.tap, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut source, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// Reads what is there, at most so many; false if the socket is broken.
    fn read(&mut self, most: usize) -> bool {
        for _ in 0..most {
            match self.tap.read() {
                Ok(Read::Frame(frame)) => self.offer(frame),
                Ok(Read::Lost) => add(&self.tally.failed, 1),
                Ok(Read::Nothing) => break,
                Err(_) => return false,
            }
        }
        add(&self.tally.failed, self.tap.missed());
        true
    }

    fn offer(&mut self, frame: Frame) {
        let length = frame.len();
        match self.shaper.offer(frame, length, Instant::now()) {
            Offered::Taken => {}
            Offered::TakenTwice => add(&self.tally.duplicated, 1),
            Offered::Lost => add(&self.tally.dropped, 1),
            Offered::Overflow => add(&self.tally.overflowed, 1),
        }
    }

    fn send_due(&mut self, now: Instant) {
        while self.shaper.next_due().is_some_and(|due| due <= now) {
            match self.shaper.pop() {
                Some(frame) => self.send(&frame),
                None => break,
            }
        }
    }

    fn send(&self, frame: &Frame) {
        match self.tap.send(frame) {
            Ok(()) => add(&self.tally.passed, 1),
            Err(_) => add(&self.tally.failed, 1),
        }
    }
}
