//! Stop-watch and scales.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::{process, stop};

/// Measured times of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<Duration>);

impl Series {
    pub(crate) fn add(&mut self, time: Duration) {
        let place = self.0.partition_point(|other| *other < time);
        self.0.insert(place, time);
    }

    /// The one in the middle; of an even number the mean of the two.
    pub(crate) fn median(&self) -> Duration {
        let middle = self.0.len() / 2;
        match (self.0.get(middle.wrapping_sub(1)), self.0.get(middle)) {
            (Some(below), Some(above)) if self.0.len().is_multiple_of(2) => (*below + *above) / 2,
            (_, Some(middle)) => *middle,
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn shortest(&self) -> Duration {
        self.0.first().copied().unwrap_or_default()
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

/// How long a program takes from its start to its end.
pub(crate) fn time(command: &mut Command) -> Result<Duration> {
    stop::check()?;
    silent(command);
    let started = Instant::now();
    let mut child = process::spawn("measuring", command)?;
    // Without looking in between, which would cost the machine and blur the end.
    let status = child.wait();
    let time = started.elapsed();
    status
        .map_err(|error| Failure::Told(format!("measuring: waiting for the program: {error}")))?;
    stop::check()?;
    Ok(time)
}

/// The most memory a program has had in its hands, in KiB, while it ran; none where the system does
/// not tell.
///
/// The kernel's own high-water mark, read over and over until the program has ended: what it took
/// in the last few microseconds may be missing.
pub(crate) fn peak_memory(command: &mut Command) -> Result<Option<u64>> {
    stop::check()?;
    silent(command);
    let mut child = process::spawn("measuring memory", command)?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = None;
    while let Ok(None) = child.try_wait() {
        let now = fs::read_to_string(&status)
            .ok()
            .and_then(|status| high_water(&status));
        peak = now.or(peak);
    }
    stop::check()?;
    Ok(peak)
}

fn silent(command: &mut Command) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
}

fn high_water(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |times: &[u64]| {
            let mut series = Series::default();
            times
                .iter()
                .for_each(|time| series.add(Duration::from_millis(*time)));
            (series.shortest(), series.median(), series.longest())
        };
        let ms = Duration::from_millis;
        assert_eq!(of(&[9, 1, 5]), (ms(1), ms(5), ms(9)));
        assert_eq!(
            of(&[4, 1, 2, 3]),
            (ms(1), Duration::from_micros(2500), ms(4))
        );
        assert_eq!(of(&[]), (ms(0), ms(0), ms(0)));
    }

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(
            high_water("Name:\tx\nVmHWM:\t    5120 kB\nVmRSS:\t 1 kB\n"),
            Some(5120)
        );
        assert_eq!(high_water("Name:\tx\n"), None);
    }
}
