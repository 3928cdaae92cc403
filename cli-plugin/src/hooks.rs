//! The docker CLI's "What's next:": after a command that failed for a reason of networks, one line of cause
//! and the command that says more. `enable` and `disable` write it into the CLI's configuration, and nothing
//! else does.
//!
//! The handler must be quick, and silent where it has nothing to say.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use netcheck_diagnose::clean::clean;
use netcheck_diagnose::shell;
use netcheck_diagnose::start_error::StartError;
use netcheck_engine::{Client, Deadline};
use serde_json::{Map, Value, json};

use crate::args::print;
use crate::check::{runtime, say};
use crate::words::Globals;
use crate::{connection, exit};

/// The word with which the docker CLI calls a hook.
pub(crate) const ASKED: &str = "docker-cli-plugin-hooks";

/// What is listened to, as CLIs from 29.3 on take it: after failures only, of plugins' commands too.
const ERROR_HOOKS: &str = "run,container run,start,container start,restart,container restart,network connect,\
    network create,compose up,compose start,compose run";

/// The same for CLIs from 26.1 on, which call after every such command.
const HOOKS: &str = "run,container run,start,container start";

/// The engine's time, where it is asked at all.
const PATIENCE: Duration = Duration::from_millis(150);

/// Answers a call of the docker CLI; silence is the answer to what is none of our business.
pub(crate) fn answer(event: Option<&str>) -> ExitCode {
    let hint = event
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .and_then(|event| hint(&event));
    if let Some(hint) = hint {
        // The text goes through a template of Go's.
        let template = clean(&hint).replace("{{", "{{\"{{\"}}");
        let answer = json!({ "Type": 0, "Template": template });
        let _ = writeln!(io::stdout(), "{answer}");
    }
    ExitCode::SUCCESS
}

fn hint(event: &Value) -> Option<String> {
    let command = event.get("RootCmd").and_then(Value::as_str)?;
    let error = event.get("CommandError").and_then(Value::as_str)?;
    if command.starts_with("compose") && !error.is_empty() {
        let (name, error) = failed_in_this_folder()?;
        return cause(&error, Some(&name));
    }
    cause(error, None)
}

/// One line for an error of the engine's, with the command that says more.
fn cause(error: &str, name: Option<&str>) -> Option<String> {
    let of_error = error
        .split_once("on endpoint ")
        .and_then(|(_, rest)| rest.split_once(" ("))
        .map(|(name, _)| name);
    let name = name.or(of_error).filter(|name| !name.contains(' '));
    let what = match StartError::read(error)? {
        StartError::PortAllocated(at) => {
            let ps = format!("docker ps --filter publish={}", at.port());
            match name {
                Some(_) => format!(
                    "Port {} of the host is held by another container.",
                    at.port()
                ),
                None => {
                    return Some(format!(
                        "Port {} of the host is held by another container: {ps}",
                        at.port()
                    ));
                }
            }
        }
        StartError::PortInUse(at) => format!(
            "Port {} of the host is held by a process or another container.",
            at.port()
        ),
        StartError::AddressInUse => "Its static address belongs to another container.".into(),
        StartError::AddressOutsideSubnet => {
            "Its static address is in none of the network's subnets.".into()
        }
        StartError::SubnetFull(network) => format!("Network {network} has no address left."),
        StartError::RangeFull(address) => format!("The network of {address} has no address left."),
        StartError::NetworkGone(_) => "A network that it belongs to was removed.".into(),
        StartError::ChainMissing => "Docker's firewall chains are gone; restart the engine.".into(),
        StartError::ParentMissing(parent) => {
            format!("The host's link {parent}, on which its network is made, is not there.")
        }
        cause => {
            let what = match &cause {
                StartError::PoolsUsedUp => {
                    "The engine has no subnet left for a new network. Ask for one with --subnet, or remove a network."
                }
                StartError::SubnetOverlaps(_) => {
                    "Another network has addresses of that subnet. Ask for another one, or for none."
                }
                StartError::AliasOnDefaultBridge => {
                    "The default bridge has no names. Make a network, and run it with --network."
                }
                StartError::NotAttachable(_) => {
                    "That overlay network takes only tasks of services; it was made without --attachable."
                }
                // Whoever asked for a service needs no hint about networks.
                _ => return None,
            };
            let code = cause.code();
            return Some(format!("{what} Details: docker netcheck explain {code}"));
        }
    };
    Some(match name {
        Some(name) => format!(
            "{what} Details: {}",
            shell::command(["docker", "netcheck", name])
        ),
        None => format!("{what} Details: docker netcheck CONTAINER"),
    })
}

/// A container of the Compose project of this folder that the engine could not start.
fn failed_in_this_folder() -> Option<(String, String)> {
    let folder = std::env::current_dir().ok()?;
    let endpoint = connection::endpoint(&Globals::default()).ok()?;
    let runtime = runtime().ok()?;
    let deadline = Deadline::after(PATIENCE);
    let found = runtime.block_on(async {
        let pinned = std::env::var("DOCKER_API_VERSION").ok();
        let work = async {
            let client = Client::connect_to(&endpoint, pinned.as_deref(), deadline).await?;
            netcheck_engine::failed_to_start(&client, &folder.to_string_lossy(), deadline).await
        };
        tokio::time::timeout(PATIENCE, work).await
    });
    // A call that hangs must not keep the process.
    runtime.shutdown_background();
    found.ok()?.ok()?.into_iter().next()
}

/// The docker CLI's version.
fn cli_version() -> Option<(u32, u32)> {
    let output = Command::new("docker")
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// The file, what it says, and whether it was there.
fn read(globals: &Globals) -> Result<(PathBuf, Map<String, Value>), String> {
    let folder = connection::config_folder(globals);
    let folder =
        folder.ok_or("there is no home folder; name one with --config or DOCKER_CONFIG")?;
    let file = folder.join("config.json");
    let shown = file.display();
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((file, Map::new())),
        Err(error) => return Err(format!("cannot read {shown}: {error}")),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(config)) => Ok((file, config)),
        Ok(_) => Err(format!(
            "cannot read {shown}: it is no JSON object; nothing was changed"
        )),
        Err(error) => Err(format!("cannot read {shown}: {error}; nothing was changed")),
    }
}

/// In one step, so that the CLI never sees half of it, with the rights it had.
fn write(file: &Path, config: &Map<String, Value>) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot write {}: {error}", file.display());
    // A link stays one.
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if let Some(folder) = real.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut text = serde_json::to_string_pretty(config).map_err(|error| failed(error.into()))?;
    text.push('\n');
    let fresh = real.with_extension(format!("json.new-{}", std::process::id()));
    let done = create_private(&fresh)
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .and_then(|()| match fs::metadata(&real) {
            Ok(known) => fs::set_permissions(&fresh, known.permissions()),
            Err(_) => Ok(()),
        })
        .and_then(|()| fs::rename(&fresh, &real));
    if done.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    done.map_err(failed)
}

/// It may hold credentials.
fn create_private(file: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// The part of the configuration that is ours, made where it is missing.
fn part<'a>(
    config: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Map<String, Value>, String> {
    let value = config.entry(name).or_insert_with(|| json!({}));
    value
        .as_object_mut()
        .ok_or_else(|| format!("`{name}` of the configuration is no object; nothing was changed"))
}

fn told(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => print(&text),
        Err(message) => {
            say(&clean(&message));
            ExitCode::from(exit::CANNOT_RUN)
        }
    }
}

/// Writes the hooks into the configuration.
pub(crate) fn enable(globals: &Globals) -> ExitCode {
    told(change(globals, true))
}

/// Takes them out again.
pub(crate) fn disable(globals: &Globals) -> ExitCode {
    told(change(globals, false))
}

fn change(globals: &Globals, on: bool) -> Result<String, String> {
    let (file, mut config) = read(globals)?;
    let version = cli_version();
    let plugins = part(&mut config, "plugins")?;
    let ours = part(plugins, "netcheck")?;
    ours.remove("hooks");
    ours.remove("error-hooks");
    if on {
        let (key, list) = match version {
            Some(version) if version < (29, 3) => ("hooks", HOOKS),
            _ => ("error-hooks", ERROR_HOOKS),
        };
        ours.insert(key.into(), list.into());
        // Off by default in a CLI without Docker Desktop. A text: a boolean makes the file unreadable to it.
        part(&mut config, "features")?.insert("hooks".into(), "true".into());
    } else if ours.is_empty() {
        plugins.remove("netcheck");
        if plugins.is_empty() {
            config.remove("plugins");
        }
    }
    write(&file, &config)?;
    let shown = file.display();
    if !on {
        return Ok(format!("hooks are off, by {shown}\n"));
    }
    let mut text = format!("hooks are on, by {shown}\n");
    match version {
        Some(version) if version < (26, 1) => text.push_str(
            "this docker CLI is older than 26.1 and knows no hooks: nothing will be seen of them\n",
        ),
        Some(version) if version < (29, 3) => text.push_str(
            "this docker CLI is older than 29.3: only failures of `docker run` and `docker start` are heard of\n",
        ),
        _ => {}
    }
    Ok(text)
}

/// Says whether they are on.
pub(crate) fn status(globals: &Globals) -> ExitCode {
    told(read(globals).map(|(file, config)| {
        let ours = config
            .get("plugins")
            .and_then(|plugins| plugins.get("netcheck"));
        let list = ["error-hooks", "hooks"]
            .into_iter()
            .find_map(|key| ours?.get(key)?.as_str());
        let feature = config
            .get("features")
            .and_then(|features| features.get("hooks"))
            .and_then(Value::as_str);
        let mut text = match (list, feature) {
            (Some(list), Some("true")) => format!("on, after: {list}\n"),
            (Some(_), _) => {
                "off: the docker CLI's own switch (features.hooks) is not \"true\"\n".into()
            }
            (None, _) => "off\n".into(),
        };
        let _ = writeln!(text, "configuration: {}", file.display());
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: &str) -> Option<String> {
        hint(&json!({ "RootCmd": "run", "Flags": {}, "CommandError": error }))
    }

    #[test]
    fn errors_of_networks_have_a_line_and_others_none() {
        assert_eq!(
            of(
                "docker: Error response from daemon: driver failed programming external connectivity on endpoint \
                web (6e67): Bind for 127.0.0.1:48123 failed: port is already allocated"
            ),
            Some(
                "Port 48123 of the host is held by another container. Details: docker netcheck web"
                    .into()
            )
        );
        assert_eq!(
            of("Bind for 0.0.0.0:8080 failed: port is already allocated"),
            Some("Port 8080 of the host is held by another container: docker ps --filter publish=8080".into())
        );
        let pools =
            "Error response from daemon: all predefined address pools have been fully subnetted";
        let event = json!({ "RootCmd": "network create", "Flags": {}, "CommandError": pools });
        let said = hint(&event).unwrap_or_default();
        assert!(
            said.ends_with("docker netcheck explain address-pools-exhausted"),
            "{said}"
        );
        for none in [
            "",
            "This node is not a swarm manager.",
            "exited with code 3",
            "docker: invalid reference format",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
