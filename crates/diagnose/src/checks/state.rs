//! Running, since when, health and restarts; or how it ended. From the Engine API alone.

use super::{API, Seen, count};
use crate::case::Case;
use crate::evidence::{Health, Status};
use crate::redact;
use crate::render::age;
use crate::report::CheckStatus;

const ASKED: &str = "is it running, since when, and is it healthy";

pub(super) fn look(case: &Case<'_>) -> Seen {
    let state = &case.detail.state;
    let started = state.started_at.map(|at| age(case.age(at)));
    let mut saw = match case.subject.status {
        Status::Running => started.map_or_else(
            || "running".into(),
            |started| format!("running for {started}"),
        ),
        Status::Paused => started.map_or_else(
            || "paused: its processes are frozen".into(),
            |started| format!("paused: its processes are frozen; started {started} ago"),
        ),
        Status::Restarting => format!("restarting: between two starts, {}", ended(case)),
        Status::Created if state.error.is_empty() => "created, never started".into(),
        Status::Created => "created, could not be started".into(),
        Status::Removing => "being removed".into(),
        Status::Exited => format!("not running: {}", ended(case)),
        Status::Dead => format!("dead, the engine could not remove it: {}", ended(case)),
        Status::Unknown => "in a state that this tool does not know".into(),
    };
    if let Some(health) = &state.health
        && case.subject.is_running()
    {
        saw.push_str(", ");
        saw.push_str(&health_words(health));
    }
    if state.restarts > 0 {
        saw.push_str(", restarted ");
        saw.push_str(&count(state.restarts, "time"));
    }
    if !state.error.is_empty() {
        saw.push_str("; the engine's last error: ");
        saw.push_str(&redact::text(&state.error));
    }
    let status = match case.subject.status {
        Status::Running => CheckStatus::Ok,
        Status::Unknown => CheckStatus::Undecided,
        _ => CheckStatus::Skipped,
    };
    Seen::new(status, ASKED, API, saw).details(details(case))
}

fn ended(case: &Case<'_>) -> String {
    let state = &case.detail.state;
    let ago = state
        .finished_at
        .map(|at| format!(" {} ago", age(case.age(at))))
        .unwrap_or_default();
    let memory = if state.oom_killed {
        ", killed for want of memory"
    } else {
        ""
    };
    format!("it ended{ago} with exit code {}{memory}", state.exit_code)
}

fn health_words(health: &Health) -> String {
    match health.status.as_str() {
        "starting" => "health check not done yet".into(),
        "unhealthy" => format!(
            "unhealthy ({} in a row)",
            count(health.failing_streak, "failure")
        ),
        other => other.to_owned(),
    }
}

fn details(case: &Case<'_>) -> Vec<String> {
    let mut details = vec![format!("image {}", case.subject.image)];
    if let Some((project, service)) = case.subject.compose_service() {
        details.push(format!("Compose project {project}, service {service}"));
    }
    if !case.detail.health_test.is_empty() {
        let test = redact::text(&case.detail.health_test.join(" "));
        details.push(format!("health check: {test}"));
    }
    if let Some(health) = &case.detail.state.health
        && !health.last_output.is_empty()
    {
        let output = redact::text(health.last_output.trim());
        details.push(format!("the last health check said: {output}"));
    }
    details
}
