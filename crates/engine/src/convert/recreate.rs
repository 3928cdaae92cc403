//! What `docker run` would have to say to make the same container again.
//!
//! A setting that no flag here expresses is named as such, so that no command is printed that would
//! silently lose it. Secrets on the command line make it unreproducible too: they are not kept.

use std::collections::HashMap;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, HealthConfig, HostConfig, HostConfigLogConfig,
    ImageConfig, ImageInspect, MountPoint, PortMap, RestartPolicyNameEnum,
};
use netcheck_diagnose::evidence::Mount;
use netcheck_diagnose::recreate::Run;
use netcheck_diagnose::redact;

/// The default sizes of /dev/shm, in bytes: 64 MiB of docker-run(1), and the `65536k` of containers.conf(5), which
/// podman takes for thousands.
const DEFAULT_SHM: [i64; 2] = [64 * 1024 * 1024, 65_536_000];

/// The default time that a container has to stop, in seconds (docker-stop(1)). Docker leaves it away; podman says it.
const DEFAULT_STOP_TIMEOUT: i64 = 10;

/// podman's default of `pids_limit` (containers.conf(5)). Docker has none, so a container of Docker's with that number
/// was given it.
const PODMANS_PIDS: &str = "2048";

pub(super) fn run(
    inspect: &ContainerInspectResponse,
    image: Option<&ImageInspect>,
    usual_log: Option<&HostConfigLogConfig>,
) -> Run {
    let empty_config = ContainerConfig::default();
    let empty_host = HostConfig::default();
    let empty_image = ImageConfig::default();
    let config = inspect.config.as_ref().unwrap_or(&empty_config);
    let host = inspect.host_config.as_ref().unwrap_or(&empty_host);
    let made_of = image
        .and_then(|image| image.config.as_ref())
        .unwrap_or(&empty_image);
    let mut words = Words::default();
    process(config, made_of, host.port_bindings.as_ref(), &mut words);
    host_settings(host, usual_log, &mut words);
    if is_of_podman(config) {
        words.drop("--pids-limit", PODMANS_PIDS);
    } else {
        // podman has notes of its own there.
        words.cannot_if(
            host.annotations.as_ref().is_some_and(|all| !all.is_empty()),
            "annotations",
        );
    }
    endpoints(inspect, &mut words);
    labels(config, made_of, &mut words);
    let entrypoint = config.entrypoint.clone().unwrap_or_default();
    let command = config.cmd.clone().unwrap_or_default();
    let same_entrypoint = entrypoint == made_of.entrypoint.clone().unwrap_or_default();
    let same_command = same_entrypoint && command == made_of.cmd.clone().unwrap_or_default();
    let (shown_entrypoint, masked_entrypoint) = redact::arguments(&entrypoint);
    let (shown_command, masked_command) = redact::arguments(&command);
    if (masked_entrypoint && !same_entrypoint) || (masked_command && !same_command) {
        words.cannot("secrets on its command line");
    }
    let is_podmans = is_of_podman(config);
    let own_env: Vec<&String> = config
        .env
        .iter()
        .flatten()
        .filter(|line| !made_of.env.iter().flatten().any(|theirs| theirs == *line))
        .filter(|line| !(is_podmans && adds(config, line)))
        .collect();
    if own_env.iter().any(|line| line.contains('\n')) {
        words.cannot("an environment variable of several lines");
    }
    let short_id = inspect.id.as_deref().and_then(|id| id.get(..12));
    let hostname = config
        .hostname
        .clone()
        .filter(|name| !name.is_empty() && Some(name.as_str()) != short_id)
        .filter(|_| host.network_mode.as_deref() != Some("host"));
    Run {
        entrypoint: (!same_entrypoint && !entrypoint.is_empty()).then_some(shown_entrypoint),
        command: if same_command {
            Vec::new()
        } else {
            shown_command
        },
        env_names: own_env
            .iter()
            .filter_map(|line| Some(line.split_once('=')?.0.to_owned()))
            .collect(),
        mounts: inspect.mounts.iter().flatten().filter_map(mount).collect(),
        auto_remove: host.auto_remove.unwrap_or_default(),
        hostname,
        flags: words.flags,
        unreproducible: words.unreproducible,
    }
}

/// What is chosen for a container on a network beside names and addresses.
fn endpoints(inspect: &ContainerInspectResponse, words: &mut Words) {
    let settings = inspect.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    let all: Vec<_> = networks.into_iter().flat_map(HashMap::values).collect();
    let has_priority = all
        .iter()
        .any(|endpoint| endpoint.gw_priority.is_some_and(|priority| priority != 0));
    let has_options = all.iter().any(|endpoint| {
        let options = endpoint.driver_opts.as_ref();
        options.is_some_and(|options| !options.is_empty())
    });
    words.cannot_if(has_priority, "a gateway priority on a network");
    words.cannot_if(has_options, "driver options on a network");
}

/// podman says so in the environment of each container that it makes.
fn is_of_podman(config: &ContainerConfig) -> bool {
    let mut env = config.env.iter().flatten();
    env.any(|line| line == "container=podman")
}

/// What podman puts into an environment that does not have it (podman-run(1), "Environment").
fn adds(config: &ContainerConfig, line: &str) -> bool {
    match line.split_once('=') {
        Some(("container", "podman") | ("TERM", "xterm") | ("HOME", "/" | "/root")) => true,
        Some(("HOSTNAME", name)) => config.hostname.as_deref() == Some(name),
        _ => false,
    }
}

#[derive(Default)]
struct Words {
    flags: Vec<String>,
    unreproducible: Vec<String>,
}

impl Words {
    fn flag(&mut self, name: &str, value: impl ToString) {
        self.flags.push(name.to_owned());
        self.flags.push(value.to_string());
    }

    /// Takes a flag back that has this value.
    fn drop(&mut self, name: &str, value: &str) {
        let at = self.flags.windows(2).position(|pair| pair == [name, value]);
        if let Some(at) = at {
            self.flags.drain(at..at + 2);
        }
    }

    fn each(&mut self, name: &str, values: Option<&Vec<String>>) {
        for value in values.into_iter().flatten() {
            self.flag(name, value);
        }
    }

    fn switch(&mut self, name: &str, on: Option<bool>) {
        if on == Some(true) {
            self.flags.push(name.to_owned());
        }
    }

    fn cannot(&mut self, what: &str) {
        self.unreproducible.push(what.to_owned());
    }

    fn cannot_if(&mut self, condition: bool, what: &str) {
        if condition {
            self.cannot(what);
        }
    }
}

/// The words that are there and not empty.
fn set(value: Option<&String>) -> Option<&String> {
    value.filter(|value| !value.is_empty())
}

fn process(
    config: &ContainerConfig,
    image: &ImageConfig,
    published: Option<&PortMap>,
    words: &mut Words,
) {
    let differs = |ours: Option<&String>, theirs: Option<&String>| {
        set(ours).filter(|ours| Some(*ours) != theirs).cloned()
    };
    if let Some(user) = differs(config.user.as_ref(), image.user.as_ref()) {
        words.flag("--user", user);
    }
    // Docker leaves away what is the default; podman says it.
    if let Some(dir) = differs(config.working_dir.as_ref(), image.working_dir.as_ref())
        .filter(|dir| dir != "/" || set(image.working_dir.as_ref()).is_some())
    {
        words.flag("--workdir", dir);
    }
    let is_term = |signal: &str| matches!(signal, "15" | "SIGTERM" | "TERM");
    if let Some(signal) = differs(config.stop_signal.as_ref(), image.stop_signal.as_ref())
        .filter(|signal| !is_term(signal) || set(image.stop_signal.as_ref()).is_some())
    {
        words.flag("--stop-signal", signal);
    }
    if let Some(timeout) = config
        .stop_timeout
        .filter(|seconds| *seconds != DEFAULT_STOP_TIMEOUT)
    {
        words.flag("--stop-timeout", timeout);
    }
    words.switch("-t", config.tty);
    words.switch("-i", config.open_stdin);
    if let Some(domain) = set(config.domainname.as_ref()) {
        words.flag("--domainname", domain);
    }
    if config.healthcheck != image.healthcheck
        && let Some(check) = &config.healthcheck
    {
        health(check, words);
    }
    for port in config.exposed_ports.iter().flatten() {
        let mut of_the_image = image.exposed_ports.iter().flatten();
        // -p exposes by itself.
        let comes_with_publish = published.is_some_and(|map| map.contains_key(port));
        if !comes_with_publish && !of_the_image.any(|theirs| theirs == port) {
            words.flag("--expose", port);
        }
    }
}

fn health(check: &HealthConfig, words: &mut Words) {
    let test = check.test.clone().unwrap_or_default();
    let (shown, masked) = redact::arguments(&test);
    words.cannot_if(masked, "secrets in its health check");
    match shown.split_first() {
        Some((kind, [command])) if kind == "CMD-SHELL" => words.flag("--health-cmd", command),
        Some((kind, [])) if kind == "NONE" => words.flags.push("--no-healthcheck".into()),
        None => {}
        Some(_) => words.cannot("a health check in exec form"),
    }
    let times = [
        ("--health-interval", check.interval),
        ("--health-timeout", check.timeout),
        ("--health-start-period", check.start_period),
    ];
    for (name, nanoseconds) in times {
        if let Some(nanoseconds) = nanoseconds.filter(|value| *value > 0) {
            words.flag(name, format!("{}ms", nanoseconds / 1_000_000));
        }
    }
    if let Some(retries) = check.retries.filter(|value| *value > 0) {
        words.flag("--health-retries", retries);
    }
}

fn host_settings(host: &HostConfig, usual_log: Option<&HostConfigLogConfig>, words: &mut Words) {
    if let Some(policy) = &host.restart_policy {
        match (policy.name, policy.maximum_retry_count) {
            (Some(RestartPolicyNameEnum::ON_FAILURE), Some(times)) if times > 0 => {
                words.flag("--restart", format!("on-failure:{times}"));
            }
            (None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO), _) => {}
            (Some(name), _) => words.flag("--restart", name),
        }
    }
    words.switch("--privileged", host.privileged);
    words.switch("--read-only", host.readonly_rootfs);
    words.switch("--init", host.init);
    words.switch("--oom-kill-disable", host.oom_kill_disable);
    words.each("--cap-add", host.cap_add.as_ref());
    words.each("--cap-drop", host.cap_drop.as_ref());
    words.each("--group-add", host.group_add.as_ref());
    words.each("--device-cgroup-rule", host.device_cgroup_rules.as_ref());
    for option in host.security_opt.iter().flatten() {
        // The client reads a seccomp file and sends its content: the path is not known any more.
        if option.starts_with("seccomp={") {
            words.cannot("a seccomp profile of its own");
        } else if !(host.privileged == Some(true) && option == "label=disable") {
            words.flag("--security-opt", option);
        }
    }
    let numbers = [
        ("--memory", host.memory),
        ("--memory-reservation", host.memory_reservation),
        ("--memory-swap", host.memory_swap),
        ("--cpu-shares", host.cpu_shares),
        ("--cpu-period", host.cpu_period),
        ("--cpu-quota", host.cpu_quota),
        ("--pids-limit", host.pids_limit),
        ("--oom-score-adj", host.oom_score_adj),
    ];
    for (name, value) in numbers {
        if let Some(value) = value.filter(|value| *value != 0) {
            words.flag(name, value);
        }
    }
    if let Some(cpus) = host.nano_cpus.filter(|value| *value > 0) {
        words.flag(
            "--cpus",
            format!("{}.{:09}", cpus / 1_000_000_000, cpus % 1_000_000_000),
        );
    }
    if let Some(size) = host
        .shm_size
        .filter(|size| *size > 0 && !DEFAULT_SHM.contains(size))
    {
        words.flag("--shm-size", size);
    }
    for limit in host.ulimits.iter().flatten() {
        if let (Some(name), Some(soft), Some(hard)) = (&limit.name, limit.soft, limit.hard) {
            // podman names them as getrlimit(2) does, the docker CLI takes `nofile`.
            let name = name
                .strip_prefix("RLIMIT_")
                .unwrap_or(name)
                .to_ascii_lowercase();
            words.flag("--ulimit", format!("{name}={soft}:{hard}"));
        }
    }
    let mut tmpfs: Vec<_> = host.tmpfs.iter().flatten().collect();
    tmpfs.sort();
    for (path, options) in tmpfs {
        let options = if options.is_empty() {
            String::new()
        } else {
            format!(":{options}")
        };
        words.flag("--tmpfs", format!("{path}{options}"));
    }
    for device in host.devices.iter().flatten() {
        if let (Some(outside), Some(inside)) = (&device.path_on_host, &device.path_in_container) {
            let rights = device.cgroup_permissions.as_deref().unwrap_or("rwm");
            words.flag("--device", format!("{outside}:{inside}:{rights}"));
        }
    }
    let named = [
        ("--cpuset-cpus", &host.cpuset_cpus),
        ("--cpuset-mems", &host.cpuset_mems),
        ("--cgroup-parent", &host.cgroup_parent),
        ("--volume-driver", &host.volume_driver),
    ];
    let namespaces = [
        ("--uts", &host.uts_mode),
        ("--pid", &host.pid_mode),
        ("--userns", &host.userns_mode),
    ];
    for (name, value) in named {
        if let Some(value) = set(value.as_ref()) {
            words.flag(name, value);
        }
    }
    for (name, value) in namespaces {
        // What podman says for one of the container's own; Docker has no word for it.
        if let Some(value) = set(value.as_ref()).filter(|value| *value != "private") {
            words.flag(name, value);
        }
    }
    if let Some(mode) = set(host.ipc_mode.as_ref())
        && !matches!(mode.as_str(), "private" | "shareable")
    {
        words.flag("--ipc", mode);
    }
    if let Some(runtime) = set(host.runtime.as_ref())
        && !matches!(
            runtime.as_str(),
            "runc" | "io.containerd.runc.v2" | "crun" | "oci"
        )
    {
        words.flag("--runtime", runtime);
    }
    if let Some(log) = host
        .log_config
        .as_ref()
        .filter(|log| Some(*log) != usual_log)
        && let Some(driver) = set(log.typ.as_ref())
    {
        words.flag("--log-driver", driver);
        let mut options: Vec<_> = log.config.iter().flatten().collect();
        options.sort();
        for (name, value) in options {
            if redact::is_secret_name(name) || redact::text(value) != *value {
                words.cannot("a log option that may hold a secret");
            } else {
                words.flag("--log-opt", format!("{name}={value}"));
            }
        }
    }
    let some = |list: Option<usize>| list.is_some_and(|count| count > 0);
    words.cannot_if(some(host.links.as_ref().map(Vec::len)), "--link");
    words.cannot_if(some(host.device_requests.as_ref().map(Vec::len)), "--gpus");
    words.cannot_if(
        some(host.storage_opt.as_ref().map(HashMap::len)),
        "--storage-opt",
    );
    words.cannot_if(
        [
            &host.blkio_weight_device.as_ref().map(Vec::len),
            &host.blkio_device_read_bps.as_ref().map(Vec::len),
            &host.blkio_device_write_bps.as_ref().map(Vec::len),
            &host.blkio_device_read_iops.as_ref().map(Vec::len),
            &host.blkio_device_write_iops.as_ref().map(Vec::len),
        ]
        .into_iter()
        .any(|count| some(*count)),
        "block device limits",
    );
}

fn labels(config: &ContainerConfig, image: &ImageConfig, words: &mut Words) {
    let mut own: Vec<_> = config
        .labels
        .iter()
        .flatten()
        .filter(|(name, value)| {
            image.labels.as_ref().and_then(|theirs| theirs.get(*name)) != Some(value)
        })
        .collect();
    own.sort();
    for (name, value) in own {
        if redact::is_secret_name(name) || redact::text(value) != *value {
            words.cannot("a label that may hold a secret");
        } else {
            words.flag("--label", format!("{name}={value}"));
        }
    }
}

fn mount(mount: &MountPoint) -> Option<Mount> {
    let source = match mount.typ.as_deref() {
        Some("volume") => mount.name.clone()?,
        Some("bind") => mount.source.clone()?,
        _ => return None,
    };
    Some(Mount {
        source,
        target: mount.destination.clone()?,
        read_only: mount.rw == Some(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// podman says all that Docker leaves away, and in words that the docker CLI does not take.
    #[test]
    fn podmans_defaults_are_no_flags() {
        let inspect = serde_json::json!({
            "Id": "0123456789abcdef",
            "Config": {
                "Hostname": "0123456789ab",
                "WorkingDir": "/",
                "StopSignal": "15",
                "StopTimeout": 10,
                "Env": ["container=podman", "HOME=/root", "HOSTNAME=0123456789ab", "TERM=xterm", "A=b"],
                "Cmd": ["idle"],
            },
            "HostConfig": {
                "ShmSize": 65_536_000,
                "PidsLimit": 2048,
                "UTSMode": "private",
                "PidMode": "private",
                "CgroupParent": "private",
                "IpcMode": "shareable",
                "Runtime": "oci",
                "Ulimits": [{ "Name": "RLIMIT_NOFILE", "Soft": 20_000, "Hard": 20_000 }],
            },
        });
        let made = run(&serde_json::from_value(inspect).unwrap(), None, None);
        assert_eq!(
            made.flags,
            [
                "--ulimit",
                "nofile=20000:20000",
                "--cgroup-parent",
                "private"
            ]
        );
        assert!(made.unreproducible.is_empty());
        assert_eq!(made.env_names, ["A"]);
    }

    #[test]
    fn what_no_flag_here_reproduces_is_told() {
        let made = |inspect: serde_json::Value| {
            let made = run(&serde_json::from_value(inspect).unwrap(), None, None);
            made.unreproducible
        };
        let network = |endpoint: serde_json::Value| {
            made(serde_json::json!({ "NetworkSettings": { "Networks": { "net": endpoint } } }))
        };
        assert_eq!(
            network(serde_json::json!({ "GwPriority": 7 })),
            ["a gateway priority on a network"]
        );
        assert_eq!(
            network(serde_json::json!({ "DriverOpts": { "a": "b" } })),
            ["driver options on a network"]
        );
        let usual =
            serde_json::json!({ "GwPriority": 0, "DriverOpts": {}, "IPAddress": "172.18.0.2" });
        assert_eq!(network(usual), [""; 0]);
        let noted = |env: &[&str]| {
            made(serde_json::json!({
                "Config": { "Env": env },
                "HostConfig": { "Annotations": { "a": "b" } },
            }))
        };
        assert_eq!(noted(&[]), ["annotations"]);
        assert_eq!(noted(&["container=podman"]), [""; 0]);
    }

    #[test]
    fn what_was_chosen_is_kept() {
        let inspect = serde_json::json!({
            "Config": { "WorkingDir": "/srv", "StopSignal": "SIGINT", "StopTimeout": 60 },
            "HostConfig": { "ShmSize": 1_048_576, "PidsLimit": 2048, "UTSMode": "host", "PidMode": "host" },
        });
        let made = run(&serde_json::from_value(inspect).unwrap(), None, None);
        let expected = "--workdir /srv --stop-signal SIGINT --stop-timeout 60 --pids-limit 2048 --shm-size 1048576 --uts host --pid host";
        assert_eq!(made.flags.join(" "), expected);
    }
}
