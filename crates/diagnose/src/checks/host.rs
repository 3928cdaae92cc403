//! The way to the machine the engine runs on: host.docker.internal.

use super::{Seen, echo};
use crate::case::Case;
use crate::evidence::{Engine, Fact, Mode};
use crate::plan::{self, HOST_NAME};
use crate::report::CheckStatus;

const ASKED: &str = "does host.docker.internal lead to the host, and does the host answer";

pub(super) fn look(case: &Case<'_>) -> Seen {
    let skipped = |saw: &str| Seen::new(CheckStatus::Skipped, ASKED, case.name(), saw);
    match &case.detail.mode {
        Mode::Host => return skipped("host mode: localhost is the host"),
        Mode::None => return skipped("none mode: no way to the host, on purpose"),
        Mode::Networks | Mode::Container(_) | Mode::User(_) => {}
    }
    let visit = match case.visit() {
        Ok(visit) => visit,
        Err(why) => return Seen::unknown(ASKED, case.name(), why),
    };
    if let Some(address) = plan::host_address(case) {
        let (answer, status) = echo(&visit.ping(address));
        let saw = format!("{HOST_NAME} -> {address}, which {answer}");
        return Seen::new(status, ASKED, case.name(), saw);
    }
    let desktop = case.evidence.engine.known().is_some_and(Engine::is_desktop);
    match visit.lookup(HOST_NAME) {
        Fact::Known(_) => Seen::new(
            CheckStatus::Undecided,
            ASKED,
            case.name(),
            format!("{HOST_NAME} does not resolve"),
        ),
        Fact::Failed(why) => Seen::unknown(ASKED, case.name(), why),
        Fact::NotCollected if desktop => {
            Seen::unknown(ASKED, case.name(), "the name was not asked for")
        }
        Fact::NotCollected => {
            let hosts = case
                .snapshot()
                .and_then(|snapshot| snapshot.hosts.as_ref().map(|_| ()).map_err(Clone::clone));
            match hosts {
                Ok(()) => skipped(
                    "host.docker.internal is not set up \
                     (Linux needs --add-host host.docker.internal:host-gateway)",
                ),
                Err(why) => Seen::unknown(ASKED, case.name(), why),
            }
        }
    }
}
