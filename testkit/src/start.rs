//! Makes containers, starts them and waits for them; and what is done to one later. Everything here
//! runs on the kit's thread. A container whose start failed must not stay.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, NetworkingConfig, PortBinding,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, LogsOptionsBuilder,
    StopContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use netcheck_diagnose::evidence::Viewpoint;
use netcheck_diagnose::probe::Question;

use crate::container::{Container, Node, Output, Plan, Record, Word};
use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::network;
use crate::removal;
use crate::target::Port;

/// Between two looks whether a port is open; a look from inside takes 5 ms on this machine, and
/// 150 ms by a helper.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(10);

/// How much of the output goes into an error.
const LOG_LINES: usize = 30;

/// Words of the node after which the others may come late, or never.
const HOLD_UP: [&str; 5] = ["after=", "exit", "needs=", "second-start=", "check="];

/// Makes and starts a built-in node.
pub(crate) async fn node(lab: Arc<Inner>, plan: Plan, node: Node, run: bool) -> Result<Container> {
    let name = plan.name.clone();
    let result = node_or_error(&lab, plan, node, run).await;
    tell_those_who_wait(&lab, &name, result)
}

/// Notes the outcome of a start for those who were to come after it.
pub(crate) fn tell_those_who_wait<T>(lab: &Inner, name: &str, result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        lab.state()
            .failed
            .insert(name.to_owned(), error.to_string());
    }
    lab.changed.send_modify(|count| *count += 1);
    result
}

async fn node_or_error(
    lab: &Arc<Inner>,
    mut plan: Plan,
    node: Node,
    run: bool,
) -> Result<Container> {
    wait_for_others(lab, &plan.name, &plan.after, plan.timeout).await?;
    let image = match &node.image {
        None => lab.engine.node_image().await?,
        Some(config) => lab.engine.node_image_with(config).await?,
    };
    let v6 = plan.endpoints.iter().any(|endpoint| {
        endpoint
            .network()
            .subnets()
            .iter()
            .any(|net| net.addr().is_ipv6())
    });
    let everywhere = if v6 { "[::]" } else { "0.0.0.0" };
    let mut awaited = Vec::new();
    let mut delayed = false;
    let words: Vec<String> = node
        .words
        .into_iter()
        .map(|word| match word {
            Word::Everywhere(service, port) => {
                let port = if service == "udp" {
                    crate::udp(port)
                } else {
                    crate::tcp(port)
                };
                if !delayed {
                    awaited.push(port);
                }
                format!("{service}={everywhere}:{}", port.number)
            }
            Word::Plain(word) => {
                delayed |= HOLD_UP.iter().any(|hold| word.starts_with(hold));
                word
            }
        })
        .collect();
    // What somebody else's namespace holds is not asked for.
    if plan.mode.is_none() {
        plan.ready.extend(awaited);
        plan.ready.sort_unstable();
        plan.ready.dedup();
    }
    let mut body = ContainerCreateBody {
        image: Some(image),
        cmd: Some(if words.is_empty() {
            vec!["idle".into()]
        } else {
            words
        }),
        ..ContainerCreateBody::default()
    };
    plan.write(lab, &mut body)?;
    let ready = std::mem::take(&mut plan.ready);
    let timeout = plan.timeout;
    let container = make(lab, plan, body).await?;
    if !run {
        return Ok(container);
    }
    let started = async {
        start_again(lab, container.record()).await?;
        wait_for_ports(lab, container.record(), &ready, timeout).await
    };
    or_remove(lab, container.record(), started).await?;
    is_ready(lab, container.record());
    Ok(container)
}

/// Does what comes after the making; if it fails, the container goes.
pub(crate) async fn or_remove<T>(
    lab: &Inner,
    record: &Record,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let result = work.await;
    if result.is_err() {
        lab.state().containers.remove(&record.name);
        // The first error is the one that counts; the lab's end tries again.
        removal::remove_container(lab.engine.docker(), record.id.clone()).await;
    }
    result
}

pub(crate) fn is_ready(lab: &Inner, record: &Record) {
    record.ready.store(true, Ordering::Release);
    lab.changed.send_modify(|count| *count += 1);
}

/// Waits until the containers of `after` are ready.
pub(crate) async fn wait_for_others(
    lab: &Inner,
    waiting: &str,
    others: &[String],
    time: Duration,
) -> Result<()> {
    let mut changed = lab.changed.subscribe();
    let begun = Instant::now();
    for name in others {
        loop {
            let (ready, failed) = {
                let state = lab.state();
                let ready = state.containers.get(name).is_some_and(|c| c.is_ready());
                (ready, state.failed.get(name).cloned())
            };
            if ready {
                break;
            }
            if let Some(why) = failed {
                return Err(Error::invalid(format!(
                    "`{waiting}` was to start after `{name}`, whose start failed: {why}"
                )));
            }
            let left = time.saturating_sub(begun.elapsed());
            if tokio::time::timeout(left, changed.changed()).await.is_err() {
                return Err(Error::TimedOut {
                    doing: format!("waiting for `{name}`, after which `{waiting}` was to start"),
                    after: time,
                });
            }
        }
    }
    Ok(())
}

/// Creates the container on all its networks, with its files, and enters it in the lab.
pub(crate) async fn make(
    lab: &Arc<Inner>,
    plan: Plan,
    mut body: ContainerCreateBody,
) -> Result<Container> {
    let name = plan.name.clone();
    if lab.state().containers.contains_key(&name) {
        return Err(Error::invalid(format!(
            "this lab has a container `{name}` already"
        )));
    }
    if plan.mode.is_some() && !plan.endpoints.is_empty() {
        return Err(Error::invalid(format!(
            "`{name}` cannot be on a network of the lab and in another network mode"
        )));
    }
    let doing = format!("creating the container `{name}`");
    let real_name = plan
        .real_name
        .clone()
        .unwrap_or_else(|| lab.real_name(&name));
    let host = body.host_config.get_or_insert_default();
    set_network(host, &plan);
    let mut later = Vec::new();
    for (index, endpoint) in plan.endpoints.iter().enumerate() {
        let settings = endpoint.settings(Some(&name))?;
        if index == 0 {
            // Engines before API 1.44 take one network at creation.
            body.networking_config = Some(NetworkingConfig {
                endpoints_config: Some(HashMap::from([(
                    endpoint.network().real_name().to_owned(),
                    settings,
                )])),
            });
        } else {
            later.push((endpoint.network().clone(), settings));
        }
    }
    for adjust in plan.adjust {
        // A closure of the test's. If it panics the test is told by `job`; those who were to start
        // after this container would wait for it in vain.
        let adjusted = catch_unwind(AssertUnwindSafe(|| adjust(&mut body)));
        if let Err(panic) = adjusted {
            let why = Error::invalid("what was to adjust its request panicked");
            let _ = tell_those_who_wait::<()>(lab, &name, Err(why));
            resume_unwind(panic);
        }
    }
    let making = Arc::clone(lab);
    let record = lab
        .making(async move {
            let options = CreateContainerOptionsBuilder::new()
                .name(&real_name)
                .build();
            let docker = making.engine.docker();
            let created = docker
                .create_container(Some(options), body)
                .await
                .map_err(|e| Error::api(doing, &e))?;
            let record = Arc::new(Record {
                name: plan.name.clone(),
                real_name,
                id: created.id,
                declared: plan.declared,
                ready: AtomicBool::new(false),
            });
            let prepared = async {
                for (network, settings) in later {
                    network::connect(&making.engine, network.record(), &record.id, settings)
                        .await?;
                }
                upload(&making, &record, plan.files).await
            };
            or_remove(&making, &record, prepared).await?;
            making
                .state()
                .containers
                .insert(plan.name, Arc::clone(&record));
            Ok(record)
        })
        .await?;
    Ok(Container::new(Arc::clone(lab), record))
}

fn set_network(host: &mut HostConfig, plan: &Plan) {
    if let Some(mode) = &plan.mode {
        host.network_mode = Some(mode.clone());
    } else if let Some(first) = plan.endpoints.first() {
        host.network_mode = Some(first.network().real_name().to_owned());
    }
}

/// Puts files into what was made, running or not.
pub(crate) async fn upload(
    lab: &Inner,
    record: &Record,
    files: Vec<(String, Vec<u8>, u32)>,
) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        archive
            .append_data(&mut header, path.trim_start_matches('/'), &*content)
            .map_err(|error| Error::invalid(format!("the file {path}: {error}")))?;
    }
    let archive = archive
        .into_inner()
        .map_err(|error| Error::invalid(format!("the files of `{}`: {error}", record.name)))?;
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    lab.engine
        .docker()
        .upload_to_container(
            &record.id,
            Some(options),
            bollard::body_full(archive.into()),
        )
        .await
        .map_err(|e| Error::api(format!("copying files into `{}`", record.name), &e))
}

/// Starts what is there.
pub(crate) async fn start_again(lab: &Inner, record: &Record) -> Result<()> {
    let started = lab.engine.docker().start_container(&record.id, None).await;
    started.map_err(|e| Error::api(format!("starting the container `{}`", record.name), &e))
}

pub(crate) async fn stop(lab: &Inner, record: &Record, grace: Duration) -> Result<()> {
    let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
    let options = StopContainerOptionsBuilder::new().t(seconds).build();
    let stopped = lab
        .engine
        .docker()
        .stop_container(&record.id, Some(options))
        .await;
    stopped.map_err(|e| Error::api(format!("stopping the container `{}`", record.name), &e))
}

pub(crate) async fn kill(lab: &Inner, record: &Record) -> Result<()> {
    let options = KillContainerOptionsBuilder::new().signal("KILL").build();
    let killed = lab
        .engine
        .docker()
        .kill_container(&record.id, Some(options))
        .await;
    killed.map_err(|e| Error::api(format!("killing the container `{}`", record.name), &e))
}

pub(crate) async fn remove(lab: &Inner, record: &Record) -> Result<()> {
    lab.state().containers.remove(&record.name);
    match removal::remove_container(lab.engine.docker(), record.id.clone()).await {
        None => Ok(()),
        Some((_, why)) => Err(Error::NotRemoved {
            left: vec![(record.name.clone(), why)],
        }),
    }
}

pub(crate) async fn inspect(lab: &Inner, record: &Record) -> Result<ContainerInspectResponse> {
    let inspected = netcheck_engine::inspect_container(lab.engine.docker(), &record.id).await;
    inspected.map_err(|e| Error::api(format!("inspecting the container `{}`", record.name), &e))
}

/// The end of its output.
pub(crate) async fn logs(lab: &Inner, id: &str, lines: usize) -> Result<String> {
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .tail(&lines.to_string())
        .build();
    let mut stream = lab.engine.docker().logs(id, Some(options));
    let mut text = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|e| Error::api("reading the output of a container", &e))?;
        text.extend_from_slice(&part.into_bytes());
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// State and last lines, for an error.
pub(crate) async fn last_lines(lab: &Inner, record: &Record) -> String {
    let state = match inspect(lab, record).await {
        Err(error) => error.to_string(),
        Ok(inspected) => state_words(&inspected),
    };
    let lines = logs(lab, &record.id, LOG_LINES).await.unwrap_or_default();
    if lines.trim().is_empty() {
        return format!("`{}`: {state}, no output", record.name);
    }
    let mut words = format!("`{}`: {state}; the end of its output:\n", record.name);
    for line in lines.lines() {
        words = words + "  | " + &netcheck_diagnose::clean::clean(line) + "\n";
    }
    words
}

/// `running`, `exited with code 1`, …
pub(crate) fn state_words(inspected: &ContainerInspectResponse) -> String {
    let Some(state) = &inspected.state else {
        return "in an unknown state".into();
    };
    let status = state
        .status
        .map(|status| status.to_string())
        .unwrap_or_default();
    let mut words = match (&*status, state.exit_code) {
        ("exited" | "dead", Some(code)) => format!("{status} with code {code}"),
        _ => status,
    };
    if state.oom_killed == Some(true) {
        words += ", killed for want of memory";
    }
    if let Some(error) = state.error.as_deref().filter(|error| !error.is_empty()) {
        words = words + " (" + error + ")";
    }
    words
}

pub(crate) async fn exec(lab: &Inner, record: &Record, words: Vec<String>) -> Result<Output> {
    let doing = format!("running {words:?} in `{}`", record.name);
    let docker = lab.engine.docker();
    let options = CreateExecOptions {
        cmd: Some(words),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = docker
        .create_exec(&record.id, options)
        .await
        .map_err(|e| Error::api(&*doing, &e))?;
    let started = docker
        .start_exec(&exec.id, None)
        .await
        .map_err(|e| Error::api(&*doing, &e))?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(part) = output.next().await {
            match part.map_err(|e| Error::api(&*doing, &e))? {
                LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                other => stdout.extend_from_slice(&other.into_bytes()),
            }
        }
    }
    let done = docker
        .inspect_exec(&exec.id)
        .await
        .map_err(|e| Error::api(doing, &e))?;
    Ok(Output {
        code: done.exit_code.unwrap_or(-1),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// Waits for one port.
pub(crate) async fn wait_for_port(
    lab: &Inner,
    record: &Record,
    port: Port,
    time: Duration,
) -> Result<()> {
    wait_for_ports(lab, record, &[port], time).await
}

/// Waits until somebody listens at these ports on more than loopback. Nothing is connected to: a
/// connection would count in the server's books, and stay in the queue of one that hangs.
pub(crate) async fn wait_for_ports(
    lab: &Inner,
    record: &Record,
    ports: &[Port],
    time: Duration,
) -> Result<()> {
    let begun = Instant::now();
    let mut missing = ports.to_vec();
    let mut seen = String::new();
    while !missing.is_empty() {
        match listeners(lab, record, time).await {
            Ok(open) => {
                missing.retain(|port| !open.contains(port));
                seen.clear();
            }
            Err(why) => seen = format!("; the last look failed: {why}"),
        }
        if missing.is_empty() {
            break;
        }
        let inspected = inspect(lab, record).await?;
        let running = inspected.state.as_ref().and_then(|state| state.running);
        if begun.elapsed() >= time || running == Some(false) {
            let ports: Vec<_> = missing.iter().map(ToString::to_string).collect();
            return Err(Error::NotReady {
                name: record.name.clone(),
                waited_for: format!(
                    "nobody listens at {} for the network{seen}",
                    ports.join(", ")
                ),
                after: begun.elapsed(),
                logs: last_lines(lab, record).await,
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// The ports at which it listens on more than loopback.
async fn listeners(lab: &Inner, record: &Record, time: Duration) -> Result<Vec<Port>, String> {
    let viewpoint = Viewpoint::Container(record.id.clone());
    let plan = [(viewpoint, vec![Question::Snapshot])].into();
    let (_, visit) = lab
        .engine
        .look(plan, time.clamp(Duration::from_secs(1), LOOK))
        .await
        .pop()
        .ok_or("no answer")?;
    let visit = visit?;
    let snapshot = visit.snapshot();
    let snapshot = snapshot
        .known()
        .ok_or_else(|| snapshot.why_unknown().unwrap_or_default().to_owned())?;
    let sockets = snapshot.sockets.as_ref().map_err(Clone::clone)?;
    Ok(sockets
        .iter()
        .filter(|socket| !socket.local.ip().is_loopback())
        .map(|socket| Port {
            number: socket.local.port(),
            protocol: socket.protocol,
        })
        .collect())
}

/// Where the test process reaches a published port of the engine at `host`.
pub(crate) fn reachable(binding: &PortBinding, host: &str) -> Option<SocketAddr> {
    let port: u16 = binding.host_port.as_deref()?.parse().ok()?;
    let bound: IpAddr = match binding.host_ip.as_deref() {
        None | Some("") => Ipv4Addr::UNSPECIFIED.into(),
        Some(text) => text.parse().ok()?,
    };
    let engine = host.split_once("://").and_then(|(scheme, rest)| {
        let name = rest.rsplit_once(':').map_or(rest, |(name, _)| name);
        (scheme != "unix" && scheme != "npipe").then(|| name.trim_matches(['[', ']']).to_owned())
    });
    let address = match (bound.is_unspecified(), engine) {
        (false, _) => bound,
        (true, None) if bound.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        (true, None) => std::net::Ipv6Addr::LOCALHOST.into(),
        (true, Some(engine)) => (engine.as_str(), port)
            .to_socket_addrs()
            .ok()?
            .map(|at| at.ip())
            .find(|ip| ip.is_ipv4() == bound.is_ipv4())?,
    };
    Some(SocketAddr::new(address, port))
}

/// Freezes its processes.
pub(crate) async fn pause(lab: &Inner, record: &Record) -> Result<()> {
    let paused = lab.engine.docker().pause_container(&record.id).await;
    paused.map_err(|e| Error::api(format!("pausing `{}`", record.name), &e))
}

/// Lets them go on.
pub(crate) async fn unpause(lab: &Inner, record: &Record) -> Result<()> {
    let resumed = lab.engine.docker().unpause_container(&record.id).await;
    resumed.map_err(|e| Error::api(format!("resuming `{}`", record.name), &e))
}
