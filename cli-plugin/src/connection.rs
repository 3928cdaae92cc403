//! Which engine the user means, as the docker CLI decides it: `--context`, `-H`, `DOCKER_HOST`,
//! `DOCKER_CONTEXT`, `currentContext` of config.json, the default socket.
//!
//! It reads the CLI's files and writes nothing. What it cannot do yet (TLS, ssh) is an error: it
//! must never fall back to another engine than the one meant.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use netcheck_engine::DEFAULT_HOST;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::words::Globals;

/// The address of the engine.
///
/// # Errors
///
/// A sentence: two ways given at once, an unknown context, an unreadable file, a kind of
/// connection this tool does not have.
pub(crate) fn host(globals: &Globals) -> Result<String, String> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    if globals.context.is_some() && globals.host.is_some() {
        return Err("conflicting options: cannot specify both --host and --context".into());
    }
    let context = match (&globals.context, &globals.host) {
        (Some(context), _) => Some(context.clone()),
        (None, Some(host)) => return plain(globals, host),
        (None, None) => match variable("DOCKER_HOST") {
            Some(host) => return plain(globals, &host),
            None => variable("DOCKER_CONTEXT"),
        },
    };
    let folder = config_folder(globals);
    let context = match context {
        Some(context) => Some(context),
        None => current_context(folder.as_deref())?,
    };
    match context.as_deref() {
        None | Some("" | "default") => plain(globals, DEFAULT_HOST),
        Some(name) => from_context(folder.as_deref(), name),
    }
}

fn plain(globals: &Globals, host: &str) -> Result<String, String> {
    let verify = env::var("DOCKER_TLS_VERIFY").is_ok_and(|value| !value.is_empty())
        || env::var("DOCKER_TLS").is_ok_and(|value| !value.is_empty());
    let is_local = host.starts_with("unix://");
    if (globals.tls || verify) && !is_local {
        return Err(format!(
            "cannot connect to {host} with TLS: this version of netcheck has no TLS yet; \
             use a unix socket or an ssh tunnel to one"
        ));
    }
    Ok(host.to_owned())
}

fn config_folder(globals: &Globals) -> Option<PathBuf> {
    if let Some(folder) = &globals.config {
        return Some(folder.into());
    }
    if let Some(folder) = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        return Some(folder.into());
    }
    env::home_dir().map(|home| home.join(".docker"))
}

fn current_context(folder: Option<&Path>) -> Result<Option<String>, String> {
    let Some(file) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(None);
    };
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
    };
    let config: Value = serde_json::from_str(&text)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(config
        .get("currentContext")
        .and_then(Value::as_str)
        .map(str::to_owned))
}

fn from_context(folder: Option<&Path>, name: &str) -> Result<String, String> {
    let digest: String = Sha256::digest(name.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let not_found = || format!("context \"{name}\": context not found");
    let folder = folder.ok_or_else(not_found)?.join("contexts");
    let file = folder.join("meta").join(&digest).join("meta.json");
    let text = fs::read_to_string(&file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => not_found(),
        _ => format!(
            "context \"{name}\": cannot read {}: {error}",
            file.display()
        ),
    })?;
    let meta: Value = serde_json::from_str(&text).map_err(|error| {
        format!(
            "context \"{name}\": cannot read {}: {error}",
            file.display()
        )
    })?;
    let endpoint = meta
        .pointer("/Endpoints/docker/Host")
        .and_then(Value::as_str)
        .filter(|host| !host.is_empty())
        .ok_or_else(|| {
            format!(
                "context \"{name}\": {} names no Docker endpoint",
                file.display()
            )
        })?;
    if !endpoint.starts_with("unix://") && folder.join("tls").join(&digest).exists() {
        return Err(format!(
            "context \"{name}\": its endpoint {endpoint} needs TLS, which this version of netcheck \
             does not have yet"
        ));
    }
    Ok(endpoint.to_owned())
}
