//! The peers its own configuration names: what is written, and whether a rule found it wrong.
//! It shows only what [`crate::reference`] has redacted.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::Connected;

use super::{Seen, comma, parts};
use crate::case::{Case, is_host_name};
use crate::evidence::Fact;
use crate::reference::Reference;
use crate::report::{CheckStatus, Finding, SubjectKind};
use crate::request;
use crate::rule::Rule;
use crate::shell;

const ASKED: &str = "do the places in its configuration lead to a peer";

/// No line where the configuration names nobody.
pub(super) fn look(case: &Case<'_>, found: &[(&'static Rule, Finding)]) -> Option<Seen> {
    let references = &case.detail.references;
    let unjudged = &case.detail.unjudged;
    if references.is_empty() && unjudged.is_empty() {
        return None;
    }
    let mut wrong = Vec::new();
    let mut right = Vec::new();
    let mut details = Vec::new();
    let mut all_good = true;
    for reference in references {
        let written = format!("{} -> {}", reference.place, reference.shown);
        let codes = complaints(reference, found);
        if codes.is_empty() {
            let (mut seen, good) = seen(case, reference);
            all_good &= good;
            if !good && case.visit().is_ok() {
                seen.push_str(&who_says_why(case, reference));
            }
            right.push(format!("{written}: {seen}"));
            details.push(format!("{written}: {seen}"));
        } else {
            let codes = comma(codes);
            wrong.push(format!("{written}: wrong ({codes})"));
            details.push(format!(
                "{written}: wrong ({codes}), {}",
                seen(case, reference).0
            ));
        }
    }
    for reference in unjudged {
        let written = format!("{} -> {}", reference.place, reference.shown);
        let told = format!("{written}: {}", not_judged(case, reference));
        right.push(told.clone());
        details.push(told);
    }
    let status = match (wrong.is_empty(), all_good) {
        (true, true) if references.is_empty() => CheckStatus::Skipped,
        // Also when the rule that found it belongs to another line.
        (false, _) => CheckStatus::Problem,
        (true, true) => CheckStatus::Ok,
        (true, false) => CheckStatus::Undecided,
    };
    // What is wrong must not hide behind what is right.
    wrong.extend(right);
    let from = case.name();
    Some(Seen::new(status, ASKED, from, parts(&wrong)).details(details))
}

/// Whether a place is really used only its user knows: the question about it, which has the answer.
fn who_says_why(case: &Case<'_>, reference: &Reference) -> String {
    let target = match reference.certain_port() {
        Some(port) => request::place(&reference.host, port),
        None => reference.host.clone(),
    };
    let question = shell::command(["docker", "netcheck", case.name(), &target]);
    format!("; `{question}` says why")
}

/// What whoever knows the label's reader may have to know.
fn not_judged(case: &Case<'_>, reference: &Reference) -> String {
    let host = &reference.host;
    if reference.is_localhost() {
        return format!("not judged: {host} is whoever reads the label");
    }
    let unknown = "who reads the label is not known";
    if is_host_name(host) {
        return format!("not judged: {unknown}");
    }
    let named = case.named(host);
    if named.is_empty() {
        // Aliases are told by an inspection alone.
        let mut all = case.evidence.containers.iter();
        return if all.all(|container| container.detail().is_some()) {
            format!("not judged: no container here has that name, and {unknown}")
        } else {
            format!("not judged: {unknown}")
        };
    }
    let names = comma(named.iter().map(|container| &container.name));
    format!("not judged: a name of {names}, but {unknown}")
}

fn complaints<'a>(reference: &Reference, found: &'a [(&'static Rule, Finding)]) -> Vec<&'a str> {
    let place = reference.place.to_string();
    let mut codes: Vec<&str> = found
        .iter()
        .filter(|(_, finding)| {
            finding
                .subjects
                .iter()
                .any(|subject| subject.kind == SubjectKind::Setting && subject.name == place)
        })
        .map(|(_, finding)| finding.code.as_str())
        .collect();
    codes.dedup();
    codes
}

/// What is known of it, from the best evidence to the weakest; and whether that is no worry.
fn seen(case: &Case<'_>, reference: &Reference) -> (String, bool) {
    let visit = match case.visit() {
        Ok(visit) => visit,
        Err(why) => return (format!("not known: {why}"), false),
    };
    let literal = reference.host.parse::<IpAddr>().ok();
    let lookup = visit.lookup(&reference.host);
    let addresses: Vec<IpAddr> = match (literal, &lookup) {
        (Some(address), _) => vec![address],
        (None, Fact::Known(lookup)) if lookup.addresses.is_empty() => {
            return ("does not resolve".into(), false);
        }
        (None, Fact::Known(lookup)) => lookup.addresses.clone(),
        (None, Fact::Failed(why)) => return (format!("not known: {why}"), false),
        (None, Fact::NotCollected) => match case.resolution(&reference.host) {
            // Written in its /etc/hosts.
            Ok(addresses) if !addresses.is_empty() => addresses,
            // Asking for it would have sent a packet to the internet.
            _ => return ("not asked: a name of the outside".into(), true),
        },
    };
    let owner = addresses
        .iter()
        .find_map(|address| case.owner_of(*address))
        .map(|owner| format!("leads to {}", owner.name));
    let tried = reference.certain_port().and_then(|port| {
        addresses.iter().find_map(|address| {
            visit
                .connect(SocketAddr::new(*address, port))
                .known()
                .copied()
        })
    });
    let fate = tried.map(|connected| match connected {
        Connected::Open { .. } => ("a connection opens", true),
        Connected::Failed { errno, .. } => (errno.words(), false),
    });
    match (owner, fate) {
        (Some(owner), Some((fate, good))) => (format!("{owner}, {fate}"), good),
        (Some(owner), None) => (owner, true),
        (None, Some((fate, good))) => (fate.to_owned(), good),
        (None, None) if literal.is_some() => ("not tried".into(), true),
        (None, None) => (format!("leads to {}", comma(&addresses)), true),
    }
}
