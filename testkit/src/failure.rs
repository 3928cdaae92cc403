//! What a failed test leaves behind for its reader: for every container its state, what differs
//! from how it was made, its addresses and the end of its output. It must not fail itself.

use std::fmt::Write as _;
use std::sync::Arc;

use bollard::models::ContainerInspectResponse;
use futures_util::future::join_all;

use crate::container::Record;
use crate::lab::Inner;
use crate::start;

/// How many lines of output go into the file.
const LINES: usize = 200;

/// A few lines for the screen, and all of it for a file.
pub(crate) struct Told {
    pub(crate) short: String,
    pub(crate) whole: String,
}

/// Describes what is there now; none if there is nothing.
pub(crate) async fn describe(lab: &Arc<Inner>) -> Option<Told> {
    let (containers, faults): (Vec<Arc<Record>>, Vec<String>) = {
        let state = lab.state();
        let faults = state.faults.iter().map(|fault| fault.words().to_owned());
        (
            state.containers.values().cloned().collect(),
            faults.collect(),
        )
    };
    if containers.is_empty() {
        return None;
    }
    let mut short = String::new();
    let mut whole = format!("test: {}\nlab:  {}\n", lab.test, lab.id);
    for words in faults {
        let _ = writeln!(short, "  fault in force: {words}");
        let _ = writeln!(whole, "fault in force: {words}");
    }
    let looks = containers.iter().map(|record| async move {
        let inspected = start::inspect(lab, record).await;
        let logs = start::logs(lab, &record.id, LINES)
            .await
            .unwrap_or_default();
        (record, inspected, logs)
    });
    for (record, inspected, logs) in join_all(looks).await {
        let line = match &inspected {
            Ok(inspected) => {
                format!(
                    "{}  {}",
                    start::state_words(inspected),
                    addresses(lab, inspected)
                )
            }
            Err(error) => error.to_string(),
        };
        let _ = writeln!(short, "  {:<16} {line}", record.name);
        let _ = writeln!(
            whole,
            "\n== {} ({}) ==\n{line}",
            record.name, record.real_name
        );
        if let Ok(inspected) = &inspected {
            for difference in differences(inspected) {
                let _ = writeln!(short, "  {:<16}   {difference}", "");
                let _ = writeln!(whole, "{difference}");
            }
        }
        for line in logs.lines() {
            let _ = writeln!(whole, "  | {}", netcheck_diagnose::clean::clean(line));
        }
    }
    Some(Told { short, whole })
}

fn addresses(lab: &Inner, inspected: &ContainerInspectResponse) -> String {
    let endpoints = inspected
        .network_settings
        .as_ref()
        .and_then(|s| s.networks.as_ref());
    let state = lab.state();
    let mut words: Vec<String> = endpoints
        .into_iter()
        .flatten()
        .map(|(name, endpoint)| {
            let known = state
                .networks
                .values()
                .find(|network| network.real_name == *name);
            let name = known.map_or(name.as_str(), |network| &network.name);
            let address = endpoint
                .ip_address
                .as_deref()
                .filter(|text| !text.is_empty());
            format!("{}@{name}", address.unwrap_or("-"))
        })
        .collect();
    words.sort();
    words.join(" ")
}

/// What is not as it was made.
fn differences(inspected: &ContainerInspectResponse) -> Vec<String> {
    let mut found = Vec::new();
    let endpoints = inspected
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.clone())
        .unwrap_or_default();
    for (name, endpoint) in &endpoints {
        let wanted = endpoint
            .ipam_config
            .as_ref()
            .and_then(|c| c.ipv4_address.as_deref());
        let has = endpoint.ip_address.as_deref().unwrap_or_default();
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty() && *wanted != has) {
            found.push(format!("was to have {wanted} on {name}, and has `{has}`"));
        }
    }
    let mode = inspected
        .host_config
        .as_ref()
        .and_then(|host| host.network_mode.as_deref());
    if let Some(mode) = mode
        && !matches!(mode, "default" | "bridge" | "host" | "none")
        && !mode.starts_with("container:")
        && !endpoints.contains_key(mode)
    {
        found.push(format!("was made on {mode}, and is not on it now"));
    }
    if inspected.restart_count.unwrap_or(0) > 0 {
        found.push(format!(
            "was restarted {} times",
            inspected.restart_count.unwrap_or(0)
        ));
    }
    found
}
