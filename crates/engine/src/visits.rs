//! Carries out a plan: one conversation per viewpoint, all at once, kept open for the next round.
//! A viewpoint that cannot be visited becomes a reason, never an empty answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::future::join_all;
use netcheck_diagnose::evidence::{How, Viewpoint, Visit};
use netcheck_diagnose::plan::Plan;
use netcheck_diagnose::probe::Question;

use crate::client::Client;
use crate::deadline::Deadline;
use crate::gather::ProbeMode;
use crate::helper::{self, Rights, Run};
use crate::image::ProbeImage;
use crate::namespace::Namespace;
use crate::netns::{self, Local};
use crate::session::Session;
use crate::states::{inspect_container, list_containers};

/// A conversation that has been idle this long is opened anew: the probe ends after 30 s of
/// silence, and it must not end just when it is asked.
const IDLE: Duration = Duration::from_secs(20);

/// A conversation older than this is opened anew: ten minutes after its making a helper counts as
/// left behind, and any other run may remove it.
const OLD: Duration = Duration::from_secs(300);

/// How many containers are asked for where any of them would do.
const SOME: i32 = 4;

/// Conversations with probes, kept open from one call to the next. Dropping it ends them all.
///
/// One call at a time may be under way (`&mut self`), with any number of viewpoints in it.
pub struct Visits {
    ways: Ways,
    open: BTreeMap<Viewpoint, Open>,
}

/// The ways there are to get inside. Apart from the conversations, because those cannot be shared
/// between threads, and so the future of a look could not be sent to one.
struct Ways {
    client: Client,
    mode: ProbeMode,
    rights: Rights,
    local: Result<Local, String>,
    image: Result<ProbeImage, String>,
}

/// One open conversation.
struct Open {
    how: How,
    session: Session,
    /// Time spent on it so far, over all rounds.
    spent: Duration,
    /// The container's process when it was opened: with another one, the namespace is another.
    pid: Option<u32>,
    opened: Instant,
    used: Instant,
}

/// A viewpoint's answers, or why there are none.
type Looked = (Viewpoint, Result<(Open, Visit), String>);

/// Asks questions from the namespaces of containers, from networks or from the engine's host, all
/// at once, without collecting anything else about the engine. For several calls see [`Visits`].
///
/// The answers come in the order of the plan. An `Err` is the reason why nothing was seen from
/// there; it never means "no".
pub async fn look(
    client: &Client,
    run: &Run,
    mode: ProbeMode,
    questions: Plan,
    deadline: Deadline,
) -> Vec<(Viewpoint, Result<Visit, String>)> {
    Visits::new(client, mode)
        .look(run, questions, deadline)
        .await
}

impl Visits {
    /// No conversation yet; they are opened as they are needed.
    pub fn new(client: &Client, mode: ProbeMode) -> Self {
        Self::with(client, mode, Rights::None)
    }

    /// The same with what it takes to read packet filters and to watch packets.
    pub(crate) fn deep(client: &Client, mode: ProbeMode) -> Self {
        Self::with(client, mode, Rights::Deep)
    }

    fn with(client: &Client, mode: ProbeMode, rights: Rights) -> Self {
        let program = crate::probes::probe_for(client.architecture());
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
            ways: Ways {
                client: client.clone(),
                mode,
                rights,
                local,
                image,
            },
            open: BTreeMap::new(),
        }
    }

    /// Like [`look`], with the conversations of earlier calls where they still hold. A container is
    /// named by its full id. Each one costs one `inspect`, so that one that was started anew since
    /// the last call is never looked at in the namespace it had before.
    pub async fn look(
        &mut self,
        run: &Run,
        questions: Plan,
        deadline: Deadline,
    ) -> Vec<(Viewpoint, Result<Visit, String>)> {
        let inspected: BTreeMap<String, Result<Namespace, String>> =
            join_all(questions.keys().filter_map(|viewpoint| match viewpoint {
                Viewpoint::Container(id) => Some(self.ways.inspect(id, deadline)),
                Viewpoint::Network(_) | Viewpoint::Host => None,
            }))
            .await
            .into_iter()
            .collect();
        let mut namespaces: Vec<Namespace> =
            inspected.values().filter_map(|n| n.clone().ok()).collect();
        if namespaces.is_empty() && questions.contains_key(&Viewpoint::Host) {
            // What proves that this process is beside the engine is a container that is here.
            namespaces = self.ways.any_running(deadline).await;
        }
        let mut unseen = Vec::new();
        let mut plan = Plan::new();
        for (viewpoint, asked) in questions {
            let why = match &viewpoint {
                Viewpoint::Container(id) => inspected.get(id).and_then(|n| n.clone().err()),
                Viewpoint::Network(_) | Viewpoint::Host => None,
            };
            match why {
                Some(why) => unseen.push((viewpoint, Err(why))),
                None => _ = plan.insert(viewpoint, asked),
            }
        }
        let mut seen = self.carry_out(run, plan, &namespaces, deadline).await;
        seen.extend(unseen);
        seen.sort_by(|(a, _), (b, _)| a.cmp(b));
        seen
    }

    /// Asks each viewpoint its questions, opening conversations where there is none yet.
    pub(crate) async fn carry_out(
        &mut self,
        run: &Run,
        plan: Plan,
        namespaces: &[Namespace],
        deadline: Deadline,
    ) -> Vec<(Viewpoint, Result<Visit, String>)> {
        let mut jobs = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        for (viewpoint, questions) in plan {
            let existing = open
                .remove(&viewpoint)
                .filter(|open| open.holds(&viewpoint, namespaces));
            jobs.push(
                self.ways
                    .ask(run, viewpoint, existing, questions, namespaces, deadline),
            );
        }
        let looked: Vec<Looked> = join_all(jobs).await;
        self.open = open;
        looked
            .into_iter()
            .map(|(viewpoint, result)| {
                let visit = result.map(|(open, visit)| {
                    self.open.insert(viewpoint.clone(), open);
                    visit
                });
                (viewpoint, visit)
            })
            .collect()
    }
}

impl Ways {
    /// The namespace of one container, as the engine has it now.
    async fn inspect(&self, id: &str, deadline: Deadline) -> (String, Result<Namespace, String>) {
        let call = inspect_container(&self.client.docker, id);
        let answer = self
            .client
            .call(deadline, "inspecting a container to look from", call)
            .await;
        let namespace = match answer {
            Err(error) => Err(error.to_string()),
            Ok(inspect) => Namespace::of(inspect),
        };
        (id.to_owned(), namespace)
    }

    /// Some running containers, whichever they are: one may just be ending.
    async fn any_running(&self, deadline: Deadline) -> Vec<Namespace> {
        let options = ListContainersOptionsBuilder::new().limit(SOME).build();
        let call = list_containers(&self.client.docker, options);
        let list = self
            .client
            .call(deadline, "listing the containers", call)
            .await;
        // Without one the host is looked at by a helper.
        let ids: Vec<String> = list
            .into_iter()
            .flatten()
            .filter_map(|one| one.id)
            .collect();
        let seen = join_all(ids.iter().map(|id| self.inspect(id, deadline))).await;
        seen.into_iter()
            .filter_map(|(_, result)| result.ok())
            .collect()
    }

    async fn ask(
        &self,
        run: &Run,
        viewpoint: Viewpoint,
        existing: Option<Open>,
        questions: Vec<Question>,
        namespaces: &[Namespace],
        deadline: Deadline,
    ) -> Looked {
        let started = Instant::now();
        let result = async {
            let fresh = existing.is_none();
            let mut open = match existing {
                Some(open) => open,
                None => {
                    let (how, session) = self.enter(run, &viewpoint, namespaces, deadline).await?;
                    Open {
                        how,
                        session,
                        spent: Duration::ZERO,
                        pid: pid_of(&viewpoint, namespaces),
                        opened: started,
                        used: started,
                    }
                }
            };
            let answers = open.session.ask(questions.clone(), deadline).await;
            // Entering a namespace can fail after the start (a container that ended meanwhile, a
            // seccomp profile); a helper may still be let in.
            let answers = match answers {
                Err(why) if open.how == How::Netns && self.mode == ProbeMode::Auto && fresh => {
                    open.session = self
                        .helper(run, &viewpoint, deadline)
                        .await
                        .map_err(|other| format!("{why}; and {other}"))?;
                    open.how = How::Helper;
                    open.session.ask(questions, deadline).await?
                }
                other => other?,
            };
            open.spent += started.elapsed();
            open.used = Instant::now();
            let visit = Visit {
                from: viewpoint.clone(),
                how: open.how,
                took_ms: u32::try_from(open.spent.as_millis()).unwrap_or(u32::MAX),
                answers,
            };
            Ok((open, visit))
        }
        .await;
        (viewpoint, result)
    }

    async fn enter(
        &self,
        run: &Run,
        viewpoint: &Viewpoint,
        namespaces: &[Namespace],
        deadline: Deadline,
    ) -> Result<(How, Session), String> {
        let by_netns =
            self.local
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|local| match viewpoint {
                    Viewpoint::Container(id) => {
                        let namespace = namespaces
                            .iter()
                            .find(|namespace| namespace.container == *id)
                            .ok_or("the container is not known")?;
                        let process = local.process_of(namespace)?;
                        netns::open(local, Some(process))
                    }
                    Viewpoint::Host if local.on_host(namespaces) => netns::open(local, None),
                    Viewpoint::Host => Err("this process is not in the host's network".into()),
                    Viewpoint::Network(_) => Err("nobody is on the network to look from".into()),
                });
        match by_netns {
            Ok(session) => Ok((How::Netns, session)),
            Err(why) if self.mode == ProbeMode::Netns => Err(why),
            Err(_) => Ok((How::Helper, self.helper(run, viewpoint, deadline).await?)),
        }
    }

    async fn helper(
        &self,
        run: &Run,
        viewpoint: &Viewpoint,
        deadline: Deadline,
    ) -> Result<Session, String> {
        let image = self.image.as_ref().map_err(Clone::clone)?;
        let mode = match viewpoint {
            Viewpoint::Container(id) => format!("container:{id}"),
            Viewpoint::Network(id) => id.clone(),
            Viewpoint::Host => "host".to_owned(),
        };
        helper::open(&self.client, run, image, &mode, self.rights, deadline).await
    }
}

impl Open {
    /// Whether it can be used again: fresh enough, and still the viewpoint's own namespace.
    fn holds(&self, viewpoint: &Viewpoint, namespaces: &[Namespace]) -> bool {
        self.used.elapsed() < IDLE
            && self.opened.elapsed() < OLD
            && self.pid == pid_of(viewpoint, namespaces)
    }
}

fn pid_of(viewpoint: &Viewpoint, namespaces: &[Namespace]) -> Option<u32> {
    match viewpoint {
        Viewpoint::Container(id) => namespaces
            .iter()
            .find(|namespace| namespace.container == *id)
            .map(|namespace| namespace.pid),
        Viewpoint::Network(_) | Viewpoint::Host => None,
    }
}
