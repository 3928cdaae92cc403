//! The way from one container to a port, step by step: what was seen at each, and where it ends.
//!
//! It says what was seen and blames nobody; causes are the rules' business.

use std::net::{IpAddr, SocketAddr};

use netcheck_probe::{Accepts, Connected, Delivered, Protocol, Source, Then};

use crate::case::{
    Case, Listener, Reach, Reached, Taken, connected_words, delivered_words, is_plain_http, list,
};
use crate::evidence::{Container, Fact, Mode, Status};
use crate::report::{CheckStatus, Repeated, Step, StepKind, Undecided};
use crate::request::Target;

/// The steps of one pair.
pub(super) struct Path {
    /// In their order.
    pub(super) steps: Vec<Step>,
    /// The numbers of its last step, where there were many tries.
    pub(super) repeated: Option<Repeated>,
    /// The target is no container with which the other shares a network.
    pub(super) leads_outside: bool,
    /// Packets were watched already.
    was_deep: bool,
    /// Every address refused the connection: the way there is open.
    was_refused: bool,
    /// The target is a container.
    is_container: bool,
    from: String,
    to: String,
}

impl Path {
    /// As it was seen.
    pub(super) fn of(from: &Case<'_>, far: Option<&Case<'_>>, target: &Target) -> Self {
        let container = target
            .container
            .as_ref()
            .and_then(|id| from.evidence.container(id));
        let listener = listener(far, container, target);
        let mut steps = vec![running(StepKind::From, from.subject)];
        if let Some(container) = container.filter(|other| other.id != from.subject.id) {
            steps.push(running(StepKind::Target, container));
            steps.push(network(from, container));
        } else if let Some(itself) = container {
            let saw = format!(
                "both ends are `{}`: inside it `localhost` means the same, and no network is crossed",
                itself.name
            );
            steps.push(step(StepKind::Network, CheckStatus::Skipped, saw));
        }
        let runs = from.subject.is_running();
        if runs && target.host.parse::<IpAddr>().is_err() {
            steps.push(name(from, container, target));
        }
        let heard = listener.as_ref().map(|step| step.status);
        steps.push(if runs {
            connect(from, container, target, heard)
        } else {
            let saw = format!("not tried: `{}` does not run", from.name());
            step(StepKind::Connect, CheckStatus::Skipped, saw)
        });
        if runs && container.is_none_or(Container::is_running) {
            steps.extend(listener);
        }
        let (again, repeated) = super::repeated::step(from).unzip();
        steps.extend(again);
        if let Some(first) = steps.first_mut() {
            first.place = Some(from.name().to_owned());
        }
        if let Some(connect) = steps.iter_mut().find(|step| step.step == StepKind::Connect) {
            connect.place = Some(target.to_string());
        }
        Self {
            steps,
            repeated,
            leads_outside: container.is_none_or(|other| from.shared_networks(other).is_empty()),
            was_deep: from.evidence.deep.is_some(),
            was_refused: was_refused(from, target),
            is_container: container.is_some(),
            from: from.name().to_owned(),
            to: target.to_string(),
        }
    }

    /// The worst of the steps.
    pub(super) fn status(&self) -> CheckStatus {
        let any = |status| self.steps.iter().any(|step| step.status == status);
        if any(CheckStatus::Problem) {
            CheckStatus::Problem
        } else if any(CheckStatus::Undecided) {
            CheckStatus::Undecided
        } else {
            CheckStatus::Ok
        }
    }

    /// What is known where no rule names a cause: the first step that failed or was not seen, and
    /// what is fine around it.
    pub(super) fn story(&self) -> Option<Undecided> {
        let first = |status| self.steps.iter().find(|step| step.status == status);
        let step = first(CheckStatus::Problem).or(first(CheckStatus::Undecided))?;
        let fine: Vec<&str> = self
            .steps
            .iter()
            .filter(|other| other.status == CheckStatus::Ok && other.step != step.step)
            .map(|other| other.saw.as_str())
            .collect();
        let others_fine = self
            .steps
            .iter()
            .all(|other| other.step == step.step || other.status == CheckStatus::Ok);
        let known = if fine.is_empty() {
            String::new()
        } else {
            format!("; what is fine: {}", fine.join("; "))
        };
        let more = if self.was_deep {
            ""
        } else {
            "; `--deep` looks where its packets get lost, and which firewall rule takes them"
        };
        let at_connect = step.step == StepKind::Connect && step.status == CheckStatus::Problem;
        let between = if !at_connect || !others_fine {
            String::new()
        } else if self.was_refused && !self.is_container {
            format!(
                ". A machine at that address answered `{}` that it takes no such connection: nothing listens there \
                 on that port for it, or a firewall refuses it{more}",
                self.from
            )
        } else {
            format!(
                ". It leaves `{}` and does not come through to `{}`, and both ends look fine: \
                 something between them stops it (a firewall, a route, another machine){more}",
                self.from, self.to
            )
        };
        Some(Undecided {
            code: step.step.label().into(),
            needs: format!("{}{known}{between}", step.saw),
        })
    }
}

fn was_refused(from: &Case<'_>, target: &Target) -> bool {
    let (v4, v6) = from.by_family(target);
    let tried: Vec<Reached> = v4.into_iter().chain(v6).collect();
    !tried.is_empty() && tried.iter().all(|came| *came == Reached::Refused)
}

fn step(step: StepKind, status: CheckStatus, saw: String) -> Step {
    Step {
        step,
        status,
        place: None,
        saw,
    }
}

fn running(kind: StepKind, container: &Container) -> Step {
    let status = match container.status {
        Status::Running => CheckStatus::Ok,
        Status::Unknown => CheckStatus::Undecided,
        _ => CheckStatus::Problem,
    };
    let saw = if container.is_engine_host() {
        "it is the engine's host".to_owned()
    } else {
        format!("`{}` is {}", container.name, container.status.as_str())
    };
    step(kind, status, saw)
}

/// The bridges by which the engine's host is on networks of a container.
fn bridges(host: &Case<'_>, other: &Container) -> Step {
    let networks = host.evidence.networks.known().into_iter().flatten();
    let on: Vec<(&str, Option<IpAddr>)> = networks
        .filter(|network| network.driver == "bridge" && other.endpoint(&network.id).is_some())
        .map(|network| {
            let gateway = network.ipam.iter().find_map(|ipam| ipam.gateway);
            (network.name.as_str(), gateway)
        })
        .collect();
    if on.is_empty() {
        let saw = format!("`{}` is on no bridge of the engine's host", other.name);
        return step(StepKind::Network, CheckStatus::Skipped, saw);
    }
    let words: Vec<String> = on
        .iter()
        .map(|(name, gateway)| match gateway {
            Some(address) => format!("{name} as {address}"),
            None => (*name).to_owned(),
        })
        .collect();
    let saw = format!("the engine's host is on {}", words.join(", "));
    Step {
        place: on.first().map(|(name, _)| (*name).to_owned()),
        ..step(StepKind::Network, CheckStatus::Ok, saw)
    }
}

fn network(from: &Case<'_>, other: &Container) -> Step {
    if from.subject.is_engine_host() {
        return bridges(from, other);
    }
    let networks: Vec<String> = from
        .shared_networks(other)
        .iter()
        .map(|network| network.name.clone())
        .collect();
    let place = networks.first().cloned();
    let (status, saw) = if !networks.is_empty() {
        (
            CheckStatus::Ok,
            format!("both are on {}", networks.join(", ")),
        )
    } else if let Some(why) = from.evidence.networks.why_unknown() {
        (CheckStatus::Undecided, format!("the networks: {why}"))
    } else if from.detail.mode != Mode::Networks
        || other
            .detail()
            .is_none_or(|detail| detail.mode != Mode::Networks)
    {
        let saw = "not both have a network of their own".to_owned();
        (CheckStatus::Skipped, saw)
    } else {
        let of = |container: &Container| {
            let names: Vec<&str> = container
                .endpoints
                .iter()
                .map(|endpoint| endpoint.network_name.as_str())
                .collect();
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        let saw = format!(
            "none in common: `{}` is on {}, `{}` on {}",
            from.name(),
            of(from.subject),
            other.name,
            of(other)
        );
        // A published port or a router may lead there all the same: the connection tells.
        (CheckStatus::Skipped, saw)
    };
    Step {
        place,
        ..step(StepKind::Network, status, saw)
    }
}

fn name(from: &Case<'_>, container: Option<&Container>, target: &Target) -> Step {
    let host = &target.host;
    let kind = StepKind::Name;
    let addresses = match from.resolution(host) {
        Ok(addresses) => addresses,
        Err(why) => return step(kind, CheckStatus::Undecided, format!("`{host}`: {why}")),
    };
    if addresses.is_empty() {
        let why = from
            .lookup_words(host)
            .unwrap_or_else(|| "not known there".into());
        return step(kind, CheckStatus::Problem, format!("`{host}`: {why}"));
    }
    let source = match from.visit().map(|visit| visit.lookup(host)) {
        Ok(Fact::Known(lookup)) if lookup.source == Source::Dns => {
            lookup.queries.last().map_or_else(String::new, |query| {
                format!(" (from {})", query.server.ip())
            })
        }
        _ => " (from /etc/hosts)".to_owned(),
    };
    let saw = format!("`{host}` is {}{source}", list(&addresses));
    let Some(container) = container else {
        return step(kind, CheckStatus::Ok, saw);
    };
    let same = |address: &IpAddr| {
        from.endpoints_of(container)
            .iter()
            .any(|endpoint| endpoint.addresses.contains(address))
            || container.id == from.subject.id
    };
    if addresses.iter().any(same) {
        return step(kind, CheckStatus::Ok, saw);
    }
    let owners: Vec<String> = addresses
        .iter()
        .filter_map(|address| from.owner_of(*address))
        .map(|owner| format!("`{}`", owner.name))
        .collect();
    let whose = if owners.is_empty() {
        "nobody's".to_owned()
    } else {
        format!("that of {}", owners.join(", "))
    };
    let saw = format!("{saw}, {whose} and not that of `{}`", container.name);
    step(kind, CheckStatus::Problem, saw)
}

/// What one try came to.
enum Came {
    Through,
    /// Sent, with no sign of what became of it.
    Silence,
    Not,
}

fn connect(
    from: &Case<'_>,
    container: Option<&Container>,
    target: &Target,
    heard: Option<CheckStatus>,
) -> Step {
    let kind = StepKind::Connect;
    if !target.has_port() {
        let status = match container {
            Some(other) if other.status != Status::Running => CheckStatus::Skipped,
            _ => CheckStatus::Undecided,
        };
        let saw = "not tried: no port was named, and it is not known which it serves".into();
        return step(kind, status, saw);
    }
    let addresses = from.addresses_of(&target.host);
    if addresses.is_empty() {
        let saw = "not tried: there is no address to connect to".into();
        return step(kind, CheckStatus::Skipped, saw);
    }
    let visit = match from.visit() {
        Ok(visit) => visit,
        Err(why) => return step(kind, CheckStatus::Undecided, format!("not tried: {why}")),
    };
    let mut came = Vec::new();
    let mut words = Vec::new();
    let mut unknown = None;
    for address in addresses {
        let to = SocketAddr::new(address, target.port);
        let seen = match target.protocol {
            Protocol::Tcp => match visit.connect(to) {
                Fact::Known(connected) => {
                    let greets = target.expects_greeting()
                        && visit.listened_ms(to) >= crate::plan::GREETING_MS;
                    let said = tcp_words(connected, greets);
                    match visit.hello(to).known() {
                        Some(answer) if is_plain_http(answer) => Ok((
                            Came::Not,
                            format!("{said}; a TLS hello was answered with plain HTTP"),
                        )),
                        _ => Ok((tcp(connected), said)),
                    }
                }
                other => Err(other.why_unknown().unwrap_or_default().to_owned()),
            },
            Protocol::Udp => match visit.datagram(to) {
                Fact::Known(delivered) => Ok((udp(delivered), delivered_words(delivered))),
                other => Err(other.why_unknown().unwrap_or_default().to_owned()),
            },
        };
        match seen {
            Ok((one, text)) => {
                came.push(one);
                words.push(format!("{to}: {text}"));
            }
            Err(why) => unknown = Some(format!("{to}: {why}")),
        }
    }
    let through = came.iter().any(|one| matches!(one, Came::Through));
    let silence = came.iter().any(|one| matches!(one, Came::Silence));
    let taken = || {
        let mut traced = from.traced().into_iter();
        traced.any(|one| matches!(one.taken, Taken::By { .. }))
    };
    let status = if through {
        CheckStatus::Ok
    } else if silence && taken() {
        CheckStatus::Problem
    } else if silence {
        // A UDP service need not answer. Where it listens, the datagram is delivered as far as can
        // be seen; where nothing does, the listener's own step is the problem.
        match heard {
            Some(CheckStatus::Ok) => CheckStatus::Ok,
            Some(CheckStatus::Problem) if container.is_some() => CheckStatus::Problem,
            _ => CheckStatus::Undecided,
        }
    } else if unknown.is_some() {
        CheckStatus::Undecided
    } else {
        CheckStatus::Problem
    };
    words.extend(unknown);
    let mut saw = words.join("; ");
    if !through && silence && status == CheckStatus::Ok {
        saw = format!("{saw}: delivered, as far as can be seen");
    }
    step(kind, status, saw)
}

fn tcp(connected: &Connected) -> Came {
    match connected {
        // docker-proxy closes at once where nobody answers behind it; so may a server that is full.
        Connected::Open {
            then: Then::Closed | Then::Reset,
            ..
        }
        | Connected::Failed { .. } => Came::Not,
        Connected::Open { .. } => Came::Through,
    }
}

fn tcp_words(connected: &Connected, greets: bool) -> String {
    let after = match connected {
        Connected::Open { then, .. } => match then {
            Then::Closed => ", and closed at once",
            Then::Reset => ", and reset at once",
            Then::Silent if greets => ", and nothing was said, though a server speaks first there",
            Then::Silent | Then::Spoke(_) => "",
        },
        Connected::Failed { .. } => "",
    };
    format!("{}{after}", connected_words(connected))
}

fn udp(delivered: &Delivered) -> Came {
    match delivered {
        Delivered::Reply { .. } => Came::Through,
        Delivered::Neighbour { .. } | Delivered::Silent => Came::Silence,
        Delivered::Failed { .. } => Came::Not,
    }
}

/// What listens on the port inside the target; no step where no container is meant.
fn listener(
    far: Option<&Case<'_>>,
    container: Option<&Container>,
    target: &Target,
) -> Option<Step> {
    let container = container.filter(|_| target.has_port())?;
    let kind = StepKind::Listener;
    let Some(far) = far else {
        let why = container.detail.why_unknown().unwrap_or_default();
        let saw = format!("what listens in `{}`: it {why}", container.name);
        return Some(step(kind, CheckStatus::Undecided, saw));
    };
    let port = target.port();
    let listeners = match far.listeners() {
        Ok(listeners) => listeners,
        Err(why) => {
            let saw = format!("what listens in `{}`: {why}", container.name);
            return Some(step(kind, CheckStatus::Undecided, saw));
        }
    };
    let on_port: Vec<&Listener> = listeners.iter().filter(|l| l.port == port).collect();
    let owner = on_port
        .iter()
        .find_map(|listener| listener.owner.as_ref())
        .map(|process| format!(" (`{}`)", process.name))
        .unwrap_or_default();
    let places: Vec<String> = on_port.iter().map(|l| l.local.to_string()).collect();
    let places = places.join(", ");
    let is_itself = far.subject.id == far.evidence.request.container;
    let reached = on_port
        .iter()
        .any(|listener| is_itself || is_reached(far, listener));
    let (status, saw) = if on_port.is_empty() {
        let saw = format!("nothing listens on {port} in `{}`", container.name);
        (CheckStatus::Problem, saw)
    } else if !reached {
        (
            CheckStatus::Problem,
            format!("listens on {places} only{owner}"),
        )
    } else if let Some(queued) = waiting(far, target) {
        let saw = format!("listens on {places}{owner}, and takes no connection ({queued} wait)");
        (CheckStatus::Problem, saw)
    } else {
        (
            CheckStatus::Ok,
            format!("`{}` listens on {places}{owner}", container.name),
        )
    };
    Some(step(kind, status, saw))
}

/// A listener of one address is reached by who comes to that.
fn is_reached(far: &Case<'_>, listener: &Listener) -> bool {
    match listener.reach {
        Reach::Loopback => false,
        Reach::OneAddress(address) => far.asked.is_none_or(|asked| {
            let comes_to = far.addresses_towards(asked.from);
            comes_to.is_empty() || comes_to.contains(&address)
        }),
        Reach::Everybody | Reach::Ipv6Only => true,
    }
}

/// How many connections wait at a listener that takes none.
fn waiting(far: &Case<'_>, target: &Target) -> Option<u32> {
    use netcheck_probe::{Answer, Question};
    far.visit().ok()?.answers.iter().find_map(|answered| {
        match (&answered.question, &answered.answer) {
            (
                Question::Accepts { to, .. },
                Ok(Answer::Accepts(Accepts::Waiting { queued, .. })),
            ) if to.port() == target.port => Some(*queued),
            _ => None,
        }
    })
}
