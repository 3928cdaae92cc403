//! The emulated link: when, if ever, what is offered comes out. Pure: time and packets are given,
//! and random numbers come from the seed, so that the same input has the same fate.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use netcheck_fault::Link;

/// Bytes that are held at most, whatever delay and rate are: one second at 1 Gbit/s.
const MOST_HELD: usize = 128 * 1024 * 1024;

/// The smallest queue that is chosen without being asked for: one offload frame.
const SMALLEST_QUEUE: u64 = 64 * 1024;

/// What became of what was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Taken,
    TakenTwice,
    Lost,
    Overflow,
}

/// A link with what is on it.
#[derive(Debug)]
pub(super) struct Shaper<T> {
    delay: Duration,
    jitter: Duration,
    reorder: bool,
    loss: f64,
    duplicate: f64,
    /// Bytes a second, and bytes that may wait for it.
    rate: Option<(u64, u64)>,
    random: fastrand::Rng,
    /// When the rate limit will have let everything through that it took.
    busy_until: Option<Instant>,
    /// The latest moment at which anything comes out.
    last_due: Option<Instant>,
    waiting: BinaryHeap<Waiting<T>>,
    /// Numbers what was taken, so that what is due at one moment keeps its order.
    taken: u64,
    held: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    due: Instant,
    number: u64,
    length: usize,
    item: T,
}

impl<T: Clone> Shaper<T> {
    /// An empty link; an error says what of the fault makes no sense.
    pub(super) fn new(fault: &Link) -> Result<Self, String> {
        let part = |name: &str, value: f64| {
            if (0.0..=1.0).contains(&value) {
                Ok(value)
            } else {
                Err(format!("{name} is {value}, not between 0 and 1"))
            }
        };
        let time = |name: &str, value: f64, most: f64| {
            if (0.0..=most).contains(&value) {
                Ok(Duration::from_secs_f64(value / 1000.0))
            } else {
                Err(format!("{name} is {value}, not between 0 and {most}"))
            }
        };
        let rate = match (fault.rate_bytes_per_s, fault.queue_bytes) {
            (None, None) => None,
            (None, Some(_)) => return Err("queue_bytes without rate_bytes_per_s".to_owned()),
            (Some(0), _) => return Err("rate_bytes_per_s is 0; use loss 1".to_owned()),
            (Some(rate), queue) => Some((rate, queue.unwrap_or_else(|| rate.max(SMALLEST_QUEUE)))),
        };
        Ok(Self {
            delay: time("delay_ms", fault.delay_ms, Link::LONGEST_DELAY_MS)?,
            jitter: time("jitter_ms", fault.jitter_ms, fault.delay_ms)?,
            reorder: fault.reorder,
            loss: part("loss", fault.loss)?,
            duplicate: part("duplicate", fault.duplicate)?,
            rate,
            random: fastrand::Rng::with_seed(fault.seed),
            busy_until: None,
            last_due: None,
            waiting: BinaryHeap::new(),
            taken: 0,
            held: 0,
        })
    }

    /// Puts something of `length` bytes on the link.
    pub(super) fn offer(&mut self, item: T, length: usize, now: Instant) -> Offered {
        // Always both numbers: a packet's fate must not depend on which parts are switched on.
        let lost = self.random.f64() < self.loss;
        let twice = self.random.f64() < self.duplicate;
        if lost {
            return Offered::Lost;
        }
        let copy = twice.then(|| item.clone());
        if !self.put(item, length, now) {
            return Offered::Overflow;
        }
        if copy.is_some_and(|copy| self.put(copy, length, now)) {
            Offered::TakenTwice
        } else {
            Offered::Taken
        }
    }

    /// When the next thing comes out.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.peek().map(|waiting| waiting.due)
    }

    /// Takes the next thing out, due or not.
    pub(super) fn pop(&mut self) -> Option<T> {
        let waiting = self.waiting.pop()?;
        self.held -= waiting.length;
        Some(waiting.item)
    }

    fn put(&mut self, item: T, length: usize, now: Instant) -> bool {
        // One number for each, also where it is not used, as above.
        let spread = self.random.f64().mul_add(2.0, -1.0);
        if self.held + length > MOST_HELD {
            return false;
        }
        let Some(through) = self.through(length, now) else {
            return false;
        };
        let jitter = self.jitter.mul_f64(spread.abs());
        let mut due = if spread < 0.0 {
            through + self.delay.saturating_sub(jitter)
        } else {
            through + self.delay + jitter
        };
        if let (false, Some(last)) = (self.reorder, self.last_due) {
            due = due.max(last);
        }
        self.last_due = Some(due);
        self.taken += 1;
        self.held += length;
        self.waiting.push(Waiting {
            due,
            number: self.taken,
            length,
            item,
        });
        true
    }

    /// When the last byte is through the rate limit; none if the queue before it is full.
    fn through(&mut self, length: usize, now: Instant) -> Option<Instant> {
        let Some((rate, queue)) = self.rate else {
            return Some(now);
        };
        let takes = |bytes: u64| Duration::from_secs_f64(bytes as f64 / rate as f64);
        let start = self.busy_until.map_or(now, |busy| busy.max(now));
        let waiting = start - now;
        // What waits, in bytes, is what the rate lets through in that time.
        if !waiting.is_zero() && waiting.as_secs_f64() * rate as f64 + length as f64 > queue as f64
        {
            return None;
        }
        let through = start + takes(length as u64);
        self.busy_until = Some(through);
        Some(through)
    }
}

impl<T> PartialEq for Waiting<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Waiting<T> {}

impl<T> PartialOrd for Waiting<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Waiting<T> {
    /// The heap gives the greatest: the earliest must be it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(change: impl FnOnce(&mut Link)) -> Link {
        let mut link = Link::to(Vec::new());
        change(&mut link);
        link
    }

    fn shaper(change: impl FnOnce(&mut Link)) -> Shaper<u32> {
        Shaper::new(&link(change)).unwrap()
    }

    /// What comes out, and how many milliseconds after `start`.
    fn drain(shaper: &mut Shaper<u32>, start: Instant) -> Vec<(u32, u128)> {
        let mut out = Vec::new();
        while let Some(due) = shaper.next_due() {
            out.push((shaper.pop().unwrap(), (due - start).as_millis()));
        }
        out
    }

    #[test]
    fn a_link_that_changes_nothing() {
        let start = Instant::now();
        let mut shaper = shaper(|_| {});
        for number in 0..100 {
            assert_eq!(shaper.offer(number, 1500, start), Offered::Taken);
        }
        let expected: Vec<_> = (0..100).map(|number| (number, 0)).collect();
        assert_eq!(drain(&mut shaper, start), expected);
        assert_eq!(shaper.held, 0);
    }

    #[test]
    fn delay_and_rate_add_up() {
        let start = Instant::now();
        let mut shaper = shaper(|link| {
            link.delay_ms = 100.0;
            link.rate_bytes_per_s = Some(10_000);
        });
        for number in 0..3 {
            shaper.offer(number, 1000, start);
        }
        assert_eq!(
            drain(&mut shaper, start),
            [(0, 200), (1, 300), (2, 400)],
            "1000 bytes at 10 kB/s take 100 ms"
        );
        // An idle link saves nothing up.
        let later = start + Duration::from_secs(10);
        shaper.offer(3, 1000, later);
        assert_eq!(drain(&mut shaper, later), [(3, 200)]);
    }

    #[test]
    fn a_full_queue_drops_what_comes_last() {
        let start = Instant::now();
        let mut shaper = shaper(|link| {
            link.rate_bytes_per_s = Some(1000);
            link.queue_bytes = Some(2500);
        });
        let offered: Vec<_> = (0..4).map(|n| shaper.offer(n, 1000, start)).collect();
        assert_eq!(offered[..2], [Offered::Taken; 2]);
        assert_eq!(offered[2..], [Offered::Overflow; 2]);
        // One larger than the whole queue passes an idle link.
        let later = start + Duration::from_secs(60);
        assert_eq!(shaper.offer(9, 9000, later), Offered::Taken);
    }

    #[test]
    fn jitter_keeps_the_order_unless_told_otherwise() {
        let start = Instant::now();
        for reorder in [false, true] {
            let mut shaper = shaper(|link| {
                link.delay_ms = 50.0;
                link.jitter_ms = 50.0;
                link.reorder = reorder;
                link.seed = 3;
            });
            for number in 0..100 {
                shaper.offer(number, 100, start + Duration::from_millis(number.into()));
            }
            let out = drain(&mut shaper, start);
            let order: Vec<_> = out.iter().map(|(number, _)| *number).collect();
            assert_eq!(order.is_sorted(), !reorder);
            let late = |(number, after): &(u32, u128)| *after - u128::from(*number);
            assert!(out.iter().all(|out| late(out) <= 100), "{out:?}");
        }
    }

    #[test]
    fn loss_and_duplication_follow_the_seed() {
        let fate = |seed| {
            let mut shaper = shaper(|link| {
                link.loss = 0.3;
                link.duplicate = 0.2;
                link.seed = seed;
            });
            let now = Instant::now();
            (0..10_000)
                .map(|number| shaper.offer(number, 100, now))
                .collect::<Vec<_>>()
        };
        assert_eq!(fate(1), fate(1));
        assert_ne!(fate(1), fate(2));
        let count = |wanted| fate(1).iter().filter(|&&fate| fate == wanted).count();
        // Five standard deviations of 10,000 throws.
        assert!((2770..3230).contains(&count(Offered::Lost)));
        assert!((1220..1580).contains(&count(Offered::TakenTwice)));
    }

    #[test]
    fn the_fate_of_a_packet_does_not_depend_on_the_delay() {
        let lost = |delay_ms| {
            let mut shaper = shaper(|link| {
                link.loss = 0.5;
                link.delay_ms = delay_ms;
                link.jitter_ms = delay_ms;
            });
            let now = Instant::now();
            (0..100)
                .map(|number| shaper.offer(number, 100, now) == Offered::Lost)
                .collect::<Vec<_>>()
        };
        assert_eq!(lost(0.0), lost(10.0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let wrong: [fn(&mut Link); 7] = [
            |link| link.loss = 1.1,
            |link| link.loss = f64::NAN,
            |link| link.duplicate = -0.1,
            |link| link.delay_ms = -1.0,
            |link| link.delay_ms = f64::INFINITY,
            |link| link.jitter_ms = 1.0,
            |link| link.rate_bytes_per_s = Some(0),
        ];
        for change in wrong {
            let link = link(change);
            assert!(Shaper::<u32>::new(&link).is_err(), "{link:?}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut shaper = shaper(|link| link.delay_ms = 1000.0);
        let now = Instant::now();
        let mut taken = 0;
        while shaper.offer(0, 65_536, now) == Offered::Taken {
            taken += 65_536;
        }
        assert_eq!(taken, MOST_HELD);
    }
}
