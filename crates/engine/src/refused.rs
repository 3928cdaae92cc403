//! What an engine has to do with words that it refused a command with: networks, containers, services.
//! Nothing is looked at from inside, as there may be nothing yet.

use std::time::SystemTime;

use netcheck_diagnose::evidence::{ENGINE_HOST, Evidence, Fact, SCHEMA_VERSION};
use netcheck_diagnose::redact;
use netcheck_diagnose::request::Request;

use crate::client::Client;
use crate::collect::collect;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::gather::{RESERVE, evidence};

/// Finds out what bears on the words that somebody was refused with.
///
/// # Errors
///
/// The engine does not answer, or not what is essential.
pub async fn gather_refused(client: &Client, said: &str, deadline: Deadline) -> Result<Evidence> {
    // Nobody is asked about: the host stands for that.
    let collected = collect(client, ENGINE_HOST, &[], true, deadline.earlier(RESERVE)).await?;
    let mut evidence = evidence(collected);
    evidence.containers.retain(|one| !one.is_engine_host());
    evidence.request.container.clear();
    evidence.request.said = Some(redact::text(said));
    Ok(evidence)
}

/// The same where the engine cannot be asked, for this reason.
pub fn refused_without_engine(said: &str, why: &str) -> Evidence {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Evidence {
        schema_version: SCHEMA_VERSION,
        collected_by: concat!("docker-netcheck ", env!("CARGO_PKG_VERSION")).to_owned(),
        collected_at: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        request: Request {
            container: String::new(),
            outbound: None,
            target: None,
            more: Vec::new(),
            refused: Vec::new(),
            notes: Vec::new(),
            said: Some(redact::text(said)),
        },
        engine: Fact::Failed(why.to_owned()),
        networks: Fact::Failed(why.to_owned()),
        containers: Vec::new(),
        services: Fact::NotCollected,
        visits: Vec::new(),
        missed: Vec::new(),
        repetitions: Vec::new(),
        deep: None,
        here: None,
    }
}
