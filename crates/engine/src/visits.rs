//! Carries out a plan: one conversation per viewpoint, all at once, kept open for the second round.
//! A viewpoint that cannot be visited becomes a reason, never an empty answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use netcheck_diagnose::evidence::{Container, How, Viewpoint, Visit};
use netcheck_diagnose::plan::Plan;
use netcheck_diagnose::probe::Question;

use crate::client::Client;
use crate::deadline::Deadline;
use crate::gather::ProbeMode;
use crate::helper::{self, Run};
use crate::image::ProbeImage;
use crate::netns::{self, Local};
use crate::session::Session;

/// The conversations of one run.
pub(crate) struct Visits<'a> {
    client: &'a Client,
    run: &'a Run,
    mode: ProbeMode,
    local: Result<Local, String>,
    image: Result<ProbeImage, String>,
    open: BTreeMap<Viewpoint, (How, Session, Duration)>,
}

/// A viewpoint's answers, or why there are none.
type Looked = (Viewpoint, Result<(How, Session, Visit), String>);

impl<'a> Visits<'a> {
    pub(crate) fn new(client: &'a Client, run: &'a Run, mode: ProbeMode) -> Self {
        let program = netcheck_program(client);
        let local = match mode {
            ProbeMode::Auto | ProbeMode::Netns => program
                .clone()
                .and_then(|program| Local::new(client, program)),
            ProbeMode::Helper => Err("--probe helper was given".into()),
            ProbeMode::None => Err("--probe none was given".into()),
        };
        let image = match mode {
            ProbeMode::Auto | ProbeMode::Helper => {
                program.map(|program| ProbeImage::new(client.architecture(), program))
            }
            ProbeMode::Netns => {
                Err("it takes a helper container, and --probe netns was given".into())
            }
            ProbeMode::None => Err("--probe none was given".into()),
        };
        Self {
            client,
            run,
            mode,
            local,
            image,
            open: BTreeMap::new(),
        }
    }

    /// Asks each viewpoint its questions, opening conversations where there is none yet.
    pub(crate) async fn carry_out(
        &mut self,
        plan: Plan,
        containers: &[Container],
        deadline: Deadline,
    ) -> Vec<(Viewpoint, Result<Visit, String>)> {
        let mut jobs = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        for (viewpoint, questions) in plan {
            let existing = open.remove(&viewpoint);
            jobs.push(self.look(viewpoint, existing, questions, containers, deadline));
        }
        let looked: Vec<Looked> = join_all(jobs).await;
        self.open = open;
        looked
            .into_iter()
            .map(|(viewpoint, result)| {
                let visit = result.map(|(how, session, visit)| {
                    let spent = Duration::from_millis(visit.took_ms.into());
                    self.open.insert(viewpoint.clone(), (how, session, spent));
                    visit
                });
                (viewpoint, visit)
            })
            .collect()
    }

    async fn look(
        &self,
        viewpoint: Viewpoint,
        existing: Option<(How, Session, Duration)>,
        questions: Vec<Question>,
        containers: &[Container],
        deadline: Deadline,
    ) -> Looked {
        let started = Instant::now();
        let result = async {
            let (how, mut session, before) = match existing {
                Some(open) => open,
                None => {
                    let (how, session) = self.enter(&viewpoint, containers, deadline).await?;
                    (how, session, Duration::ZERO)
                }
            };
            let answers = session.ask(questions.clone(), deadline).await;
            // Entering a namespace can fail after the start (a container that ended meanwhile, a
            // seccomp profile); a helper may still be let in.
            let (how, session, answers) = match answers {
                Err(why)
                    if how == How::Netns && self.mode == ProbeMode::Auto && before.is_zero() =>
                {
                    let mut session = self
                        .helper(&viewpoint, deadline)
                        .await
                        .map_err(|other| format!("{why}; and {other}"))?;
                    let answers = session.ask(questions, deadline).await?;
                    (How::Helper, session, answers)
                }
                other => (how, session, other?),
            };
            let took = before + started.elapsed();
            let visit = Visit {
                from: viewpoint.clone(),
                how,
                took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
                answers,
            };
            Ok((how, session, visit))
        }
        .await;
        (viewpoint, result)
    }

    async fn enter(
        &self,
        viewpoint: &Viewpoint,
        containers: &[Container],
        deadline: Deadline,
    ) -> Result<(How, Session), String> {
        let by_netns =
            self.local
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|local| match viewpoint {
                    Viewpoint::Container(id) => {
                        let container = containers
                            .iter()
                            .find(|container| container.id == *id)
                            .ok_or("the container is not known")?;
                        let process = local.process_of(container)?;
                        netns::open(local, Some(process))
                    }
                    Viewpoint::Host if local.on_host(containers) => netns::open(local, None),
                    Viewpoint::Host => Err("this process is not in the host's network".into()),
                    Viewpoint::Network(_) => Err("nobody is on the network to look from".into()),
                });
        match by_netns {
            Ok(session) => Ok((How::Netns, session)),
            Err(why) if self.mode == ProbeMode::Netns => Err(why),
            Err(_) => Ok((How::Helper, self.helper(viewpoint, deadline).await?)),
        }
    }

    async fn helper(&self, viewpoint: &Viewpoint, deadline: Deadline) -> Result<Session, String> {
        let image = self.image.as_ref().map_err(Clone::clone)?;
        let mode = match viewpoint {
            Viewpoint::Container(id) => format!("container:{id}"),
            Viewpoint::Network(id) => id.clone(),
            Viewpoint::Host => "host".to_owned(),
        };
        helper::open(self.client, self.run, image, &mode, deadline).await
    }
}

fn netcheck_program(client: &Client) -> Result<&'static [u8], String> {
    crate::probes::probe_for(client.architecture())
}
