//! Who ended before that which it needs was there.

use std::net::IpAddr;

use super::Case;
use crate::evidence::{Container, Status};
use crate::reference::Reference;

/// In seconds: a server that began to run for the first time longer than this after its client ended was
/// most likely made for another reason, in the place of one that was there before.
const SAME_START: i64 = 120;

/// Exit codes that tell a reason of their own: its command cannot be run, or a signal ended it.
const OTHER_REASONS: [i64; 8] = [0, 125, 126, 127, 130, 137, 139, 143];

/// A server that its client did not find.
#[derive(Debug, Clone, Copy)]
pub struct Late<'a> {
    /// Who runs now, and did not while the subject ran.
    pub server: &'a Container,
    /// Where the subject is told to use it.
    pub reference: &'a Reference,
    /// Its address on a network that both are on.
    pub address: IpAddr,
    /// The port that the subject is told to use.
    pub port: u16,
    /// When the subject ended, and when the server started, in seconds since 1970.
    pub ended: i64,
    /// See `ended`.
    pub started: i64,
}

impl<'a> Case<'a> {
    /// The servers in the subject's configuration that did not run while it ran, and run now. None where
    /// it ended well, or with a code that tells another reason.
    pub fn started_later(&self) -> Vec<Late<'a>> {
        let state = &self.detail.state;
        let (Some(began), Some(ended)) = (state.started_at, state.finished_at) else {
            return Vec::new();
        };
        if self.subject.status != Status::Exited
            || state.oom_killed
            || !state.error.is_empty()
            || OTHER_REASONS.contains(&state.exit_code)
        {
            return Vec::new();
        }
        let mut found: Vec<Late<'a>> = Vec::new();
        for reference in self.named_references().filter(|one| self.is_chosen(one)) {
            let running: Vec<_> = self
                .others_named(&reference.host)
                .into_iter()
                .filter(|other| other.is_running() && !self.shared_networks(other).is_empty())
                .collect();
            let ([server], Some(port)) = (&running[..], reference.certain_port()) else {
                continue;
            };
            let Some(state) = server.detail().map(|detail| &detail.state) else {
                continue;
            };
            // Times are whole seconds: within one, nobody knows which was first.
            let Some(started) = state.started_at.filter(|at| *at > ended) else {
                continue;
            };
            let was_down = match state.finished_at {
                // Its run before this one was over when the subject began.
                Some(last) => last < began,
                None => started - ended <= SAME_START,
            };
            let is_content = state
                .health
                .as_ref()
                .is_none_or(|now| now.status == "healthy");
            let address = self
                .shared_networks(server)
                .iter()
                .find_map(|network| server.endpoint(&network.id)?.addresses.first().copied());
            if let (true, true, Some(address)) = (was_down, is_content, address)
                && !found.iter().any(|known| known.server.id == server.id)
            {
                found.push(Late {
                    server,
                    reference,
                    address,
                    port,
                    ended,
                    started,
                });
            }
        }
        found
    }
}
