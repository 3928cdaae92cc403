//! What it takes to find a container's network namespace on the engine's machine. It is only what
//! the engine says; whether the process is really the container's is proved in `netns.rs`.

use bollard::models::ContainerInspectResponse;
use netcheck_diagnose::clean::clean;
use netcheck_diagnose::evidence::Container;

/// A running container's way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// Full id.
    pub(crate) container: String,
    /// Its first process, in the pid namespace of the engine's host.
    pub(crate) pid: u32,
    /// The engine's own handle on the namespace, a path on its host; may be empty.
    pub(crate) sandbox_key: String,
}

impl Namespace {
    /// Those of the running containers whose details are known.
    pub(crate) fn known(containers: &[Container]) -> Vec<Self> {
        let running = containers
            .iter()
            .filter(|c| c.is_running() && !c.is_engine_host());
        running
            .filter_map(|container| {
                let detail = container.detail()?;
                Some(Self {
                    container: container.id.clone(),
                    pid: detail.pid,
                    sandbox_key: detail.sandbox_key.clone(),
                })
            })
            .collect()
    }

    /// From an `inspect`; an error says why there is nothing to enter.
    pub(crate) fn of(inspect: ContainerInspectResponse) -> Result<Self, String> {
        let state = inspect.state.unwrap_or_default();
        let name = inspect.name.unwrap_or_default();
        let name = clean(name.trim_start_matches('/'));
        // A paused container is running too, in the engine's word.
        if state.running != Some(true) || state.restarting == Some(true) {
            let status = state.status.map_or_else(String::new, |s| s.to_string());
            return Err(format!("`{name}` is not running ({status})"));
        }
        Ok(Self {
            container: inspect
                .id
                .ok_or_else(|| format!("the engine gave no id of `{name}`"))?,
            pid: state
                .pid
                .and_then(|pid| u32::try_from(pid).ok())
                .unwrap_or_default(),
            sandbox_key: inspect
                .network_settings
                .and_then(|settings| settings.sandbox_key)
                .unwrap_or_default(),
        })
    }
}
