//! Containers of testcontainers requests. The container is made by the kit (so that aliases,
//! addresses and several networks are set before its first process runs) and then taken over by
//! testcontainers through its reuse of containers that exist; so the handle is genuine.
//!
//! It must never start a request in another way than testcontainers would, save for the networks;
//! what of a request it cannot read, it refuses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, Mount, MountTmpfsOptions, MountType, PortBinding,
};
use testcontainers::core::MountType as TheirMountType;
use testcontainers::core::{AccessMode, ContainerState, ExecCommand};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{
    ContainerAsync, ContainerRequest, ImageExt as _, ReuseDirective, TestcontainersError,
};

use crate::container::{Image, Plan, Record, Started};
use crate::error::{Error, Result};
use crate::lab::Inner;
use crate::owner;
use crate::start;
use crate::target::Port;

/// By which testcontainers finds the container again.
const LABEL_ADOPT: &str = "io.netcheck.testkit.adopt";

/// Makes it, has it started, and waits as its image says.
pub(crate) async fn start<I: testcontainers::Image + Send + Sync + 'static>(
    lab: Arc<Inner>,
    plan: Plan,
    image: Image<I>,
) -> Result<Started<I>> {
    let name = plan.name.clone();
    let result = start_or_error(&lab, plan, image.request).await;
    start::tell_those_who_wait(&lab, &name, result)
}

async fn start_or_error<I: testcontainers::Image + Send + Sync + 'static>(
    lab: &Arc<Inner>,
    mut plan: Plan,
    request: ContainerRequest<I>,
) -> Result<Started<I>> {
    if request.copy_to_sources().next().is_some() {
        return Err(Error::Unsupported {
            needs: "with_copy_to".into(),
            why: format!(
                "the files that the request of `{}` copies cannot be read outside testcontainers; use .file(…) of the kit",
                plan.name
            ),
        });
    }
    if let Some(network) = request.network() {
        return Err(Error::invalid(format!(
            "the request of `{}` names the network `{network}`; use .on(…) of the kit",
            plan.name
        )));
    }
    start::wait_for_others(lab, &plan.name, &plan.after, plan.timeout).await?;
    lab.engine.is_the_one_of_testcontainers().await?;
    let name = plan.name.clone();
    let failed = |doing: &str, source: TestcontainersError| Error::Testcontainers {
        doing: format!("{doing} `{name}`"),
        source: Box::new(source),
        logs: String::new(),
    };
    let exposed: Vec<Port> = request
        .expose_ports()
        .iter()
        .filter_map(|port| (*port).try_into().ok())
        .collect();
    for port in exposed {
        if !plan.declared.contains(&port) {
            plan.declared.push(port);
        }
    }
    if let Some(name) = request.container_name() {
        plan.real_name.get_or_insert_with(|| name.clone());
    }
    let ready = std::mem::take(&mut plan.ready);
    let timeout = request.startup_timeout().unwrap_or(plan.timeout);
    let adopt = owner::unique();
    let mut body = body_of(&request);
    body.labels
        .get_or_insert_default()
        .insert(LABEL_ADOPT.into(), adopt.clone());
    plan.write(lab, &mut body)?;
    let docker = lab.engine.docker();
    let descriptor = request.descriptor();
    let request = match docker.inspect_image(&descriptor).await {
        Ok(_) => request,
        Err(_) => request
            .pull_image()
            .await
            .map_err(|source| failed("pulling the image of", source))?,
    };
    let container = start::make(lab, plan, body).await?;
    let record = Arc::clone(container.record());
    let adopting = async {
        let conditions = request.ready_conditions();
        let request = request
            .with_label(LABEL_ADOPT, &adopt)
            .with_reuse(ReuseDirective::Always);
        let genuine: ContainerAsync<I> = request
            .start()
            .await
            .map_err(|source| failed("starting", source))?;
        if genuine.id() != record.id {
            return Err(Error::invalid(format!(
                "testcontainers took another container for `{name}`; the kit works with testcontainers 0.28"
            )));
        }
        let waited = async {
            let state = ContainerState::from_container(&genuine).await?;
            for command in genuine.image().exec_before_ready(state)? {
                genuine.exec(command).await?;
            }
            if !conditions.is_empty() {
                // The conditions are looked at whether or not there is such a program.
                let nothing = ExecCommand::new(["-"]).with_container_ready_conditions(conditions);
                genuine.exec(nothing).await?;
            }
            let state = ContainerState::from_container(&genuine).await?;
            for command in genuine.image().exec_after_start(state)? {
                genuine.exec(command).await?;
            }
            Ok(())
        };
        let begun = Instant::now();
        match tokio::time::timeout(timeout, waited).await {
            Err(_) => Err(Error::NotReady {
                name: name.clone(),
                waited_for: "the wait conditions of its image".into(),
                after: timeout,
                logs: start::last_lines(lab, &record).await,
            }),
            // What testcontainers says of a container that has ended is the engine's 409 about the
            // next look at it, or the end of its output; the story is that it ended.
            Ok(Err(_)) if has_ended(lab, &record).await => Err(Error::NotReady {
                name: name.clone(),
                waited_for: "it ended before the wait conditions of its image were met".into(),
                after: begun.elapsed(),
                logs: start::last_lines(lab, &record).await,
            }),
            Ok(Err(source)) => Err(Error::Testcontainers {
                doing: format!("waiting for `{name}`"),
                source: Box::new(source),
                logs: start::last_lines(lab, &record).await,
            }),
            Ok(Ok(())) => {
                start::wait_for_ports(lab, &record, &ready, timeout).await?;
                Ok(genuine)
            }
        }
    };
    let genuine = start::or_remove(lab, &record, adopting).await?;
    start::is_ready(lab, &record);
    Ok(Started::new(container, genuine))
}

/// Whether the engine says that it does not run; not if it does not say.
async fn has_ended(lab: &Inner, record: &Record) -> bool {
    let inspected = start::inspect(lab, record).await.ok();
    let state = inspected.and_then(|inspected| inspected.state);
    state.and_then(|state| state.running) == Some(false)
}

/// What testcontainers 0.28 would ask the engine for (its `runners::async_runner`), save for the
/// network. Its ulimits cannot be read; [`Builder::host_config`](crate::Builder) sets them.
fn body_of<I: testcontainers::Image>(request: &ContainerRequest<I>) -> ContainerCreateBody {
    let mut exposed: Vec<String> = request
        .expose_ports()
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut host = HostConfig {
        privileged: Some(request.privileged()),
        extra_hosts: Some(
            request
                .hosts()
                .map(|(name, to)| format!("{name}:{to}"))
                .collect(),
        ),
        cgroupns_mode: request.cgroupns_mode().map(Into::into),
        userns_mode: request.userns_mode().map(str::to_owned),
        cap_add: request.cap_add().cloned(),
        cap_drop: request.cap_drop().cloned(),
        readonly_rootfs: Some(request.readonly_rootfs()),
        security_opt: request.security_opts().cloned(),
        shm_size: request
            .shm_size()
            .and_then(|bytes| i64::try_from(bytes).ok()),
        ..HostConfig::default()
    };
    let mounts: Vec<Mount> = request.mounts().map(mount).collect();
    if !mounts.is_empty() {
        host.mounts = Some(mounts);
    }
    match request.ports() {
        None => host.publish_all_ports = Some(true),
        Some(ports) => {
            let bindings: HashMap<String, Option<Vec<PortBinding>>> = ports
                .iter()
                .map(|port| {
                    let binding = PortBinding {
                        host_ip: None,
                        host_port: Some(port.host_port().to_string()),
                    };
                    (port.container_port().to_string(), Some(vec![binding]))
                })
                .collect();
            exposed.extend(bindings.keys().cloned());
            host.port_bindings = Some(bindings);
        }
    }
    if let Some(modify) = request.host_config_modifier() {
        modify(&mut host);
    }
    let labels = request.labels().clone().into_iter();
    let words: Vec<String> = request.cmd().map(|word| word.to_string()).collect();
    ContainerCreateBody {
        image: Some(request.descriptor()),
        labels: Some(
            labels
                .chain([(
                    "org.testcontainers.managed-by".into(),
                    "testcontainers".into(),
                )])
                .collect(),
        ),
        hostname: request.hostname().map(str::to_owned),
        working_dir: request.working_dir().map(str::to_owned),
        user: request.user().map(str::to_owned),
        open_stdin: request.open_stdin(),
        env: Some(
            request
                .env_vars()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        entrypoint: request.entrypoint().map(|program| vec![program.to_owned()]),
        cmd: (!words.is_empty()).then_some(words),
        exposed_ports: Some(exposed),
        healthcheck: request.health_check().map(health),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

fn health(check: &testcontainers::core::Healthcheck) -> HealthConfig {
    let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    HealthConfig {
        test: Some(check.test().to_vec()),
        interval: check.interval().map(nanos),
        timeout: check.timeout().map(nanos),
        retries: check.retries().map(i64::from),
        start_period: check.start_period().map(nanos),
        start_interval: check.start_interval().map(nanos),
    }
}

fn mount(mount: &testcontainers::core::Mount) -> Mount {
    Mount {
        target: mount.target().map(str::to_owned),
        source: mount.source().map(str::to_owned),
        typ: Some(match mount.mount_type() {
            TheirMountType::Bind => MountType::BIND,
            TheirMountType::Volume => MountType::VOLUME,
            TheirMountType::Tmpfs => MountType::TMPFS,
        }),
        read_only: Some(matches!(mount.access_mode(), AccessMode::ReadOnly)),
        tmpfs_options: mount.tmpfs_options().map(|options| MountTmpfsOptions {
            size_bytes: options.size_bytes,
            mode: options.mode,
            options: None,
        }),
        ..Mount::default()
    }
}
