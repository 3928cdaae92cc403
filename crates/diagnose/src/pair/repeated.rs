//! The step of a path that tells how many tries went through, and how long they took.
//!
//! It says what was seen and blames nobody.

use crate::case::{Case, Went};
use crate::report::{CheckStatus, Latency, Repeated, Step, StepKind};

/// None if the target was not tried again and again.
pub(super) fn step(from: &Case<'_>) -> Option<(Step, Repeated)> {
    let tries = from.repetition()?;
    let numbers = tries.numbers();
    let total = numbers.attempts;
    let silent = tries.count(|went| *went == Went::Silent);
    let late = tries.count(|went| *went == Went::Late);
    let status = if total == 0 {
        CheckStatus::Undecided
    } else if late > 0 || numbers.connected + silent < total {
        CheckStatus::Problem
    } else {
        CheckStatus::Ok
    };
    let mut saw = if total == 0 {
        "no try was made".to_owned()
    } else {
        let mut parts = vec![format!("{total} tries")];
        let is_name = tries.target.host.parse::<std::net::IpAddr>().is_err();
        if is_name {
            parts.push(rate("name found", numbers.resolved, total, numbers.resolve));
        }
        parts.push(rate(
            tries.through(),
            numbers.connected,
            total,
            numbers.connect,
        ));
        if late > 0 {
            parts.push(format!("{late} of them late (a packet was sent again)"));
        }
        if !numbers.failures.is_empty() {
            let failures: Vec<String> = numbers
                .failures
                .iter()
                .map(|one| format!("{} × {}", one.times, one.what))
                .collect();
            parts.push(failures.join(", "));
        }
        parts.join("; ")
    };
    if let Some(why) = &numbers.ended_early {
        saw = format!("{saw} ({} were wanted: {why})", numbers.wanted);
    }
    let step = Step {
        step: StepKind::Repeated,
        status,
        place: None,
        saw,
    };
    Some((step, numbers))
}

/// `connected 20 of 20 (p50 0.2, p95 0.4, max 1.1 ms)`.
fn rate(what: &str, times: usize, total: usize, latency: Option<Latency>) -> String {
    let took = latency.map_or_else(String::new, |took| {
        format!(
            " (p50 {}, p95 {}, max {} ms)",
            ms(took.median_us),
            ms(took.p95_us),
            ms(took.max_us)
        )
    });
    format!("{what} {times} of {total}{took}")
}

/// Tenths of a millisecond below ten, whole ones above; rounded up, as nothing took no time.
fn ms(us: u32) -> String {
    let tenths = us.div_ceil(100);
    if tenths < 100 {
        format!("{}.{}", tenths / 10, tenths % 10)
    } else {
        us.div_ceil(1000).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::ms;

    #[test]
    fn short_times_have_a_tenth() {
        assert_eq!(ms(0), "0.0");
        assert_eq!(ms(1), "0.1");
        assert_eq!(ms(1_234), "1.3");
        assert_eq!(ms(9_900), "9.9");
        assert_eq!(ms(9_901), "10");
        assert_eq!(ms(1_016_000), "1016");
    }
}
