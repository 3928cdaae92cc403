//! Which engine the user means, as the docker CLI decides it: `--context`, `-H`, `DOCKER_HOST`,
//! `DOCKER_CONTEXT`, `currentContext` of config.json, the default socket.
//!
//! It reads the CLI's files and writes nothing. TLS, ssh and pipes are left to the CLI itself
//! (`docker system dial-stdio`). It must never fall back to another engine than the one meant.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use netcheck_engine::{DEFAULT_HOST, Endpoint};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::words::Globals;

/// Where the engine listens when TLS is asked for and no address given, as for the docker CLI.
const DEFAULT_TLS_HOST: &str = "tcp://localhost:2376";

/// The engine and the way to it.
///
/// # Errors
///
/// A sentence: two ways given at once, an unknown context, an unreadable or missing file.
pub(crate) fn endpoint(globals: &Globals) -> Result<Endpoint, String> {
    let folder = config_folder(globals);
    let (chosen, by) = chosen(globals, folder.as_deref())?;
    let endpoint = match chosen {
        Chosen::Host(host) => by_host(globals, folder.as_deref(), host.as_deref())?,
        Chosen::Context(name) => from_context(globals, folder.as_deref(), &name)?,
    };
    Ok(Endpoint {
        named_by: by,
        ..endpoint
    })
}

/// The name of the context that is meant; an address given by itself belongs to `default`.
///
/// # Errors
///
/// As with [`endpoint`].
pub(crate) fn context(globals: &Globals) -> Result<String, String> {
    Ok(
        match chosen(globals, config_folder(globals).as_deref())?.0 {
            Chosen::Host(_) => "default".to_owned(),
            Chosen::Context(name) => name,
        },
    )
}

enum Chosen {
    /// The default context, with an address of its own or without.
    Host(Option<String>),
    Context(String),
}

/// What is meant, and what says so: a flag, a variable, a file; nothing where nobody said anything.
fn chosen(globals: &Globals, folder: Option<&Path>) -> Result<(Chosen, Option<String>), String> {
    if globals.context.is_some() && globals.host.is_some() {
        return Err("conflicting options: cannot specify both --host and --context".into());
    }
    let by = |word: &str| Some(word.to_owned());
    let (context, by) = match (&globals.context, &globals.host) {
        (Some(context), _) => (Some(context.clone()), by("--context")),
        (None, Some(host)) => return Ok((Chosen::Host(Some(host.clone())), by("-H"))),
        (None, None) => match variable("DOCKER_HOST") {
            Some(host) => return Ok((Chosen::Host(Some(host)), by("DOCKER_HOST"))),
            None => (variable("DOCKER_CONTEXT"), by("DOCKER_CONTEXT")),
        },
    };
    let (context, by) = match (context, folder) {
        (None, Some(folder)) => {
            let file = folder.join("config.json");
            (
                current_context(&file)?,
                Some(format!("currentContext in {}", file.display())),
            )
        }
        other => (other.0, by),
    };
    Ok(match context {
        Some(name) if !name.is_empty() && name != "default" => (Chosen::Context(name), by),
        _ => (Chosen::Host(None), None),
    })
}

/// An empty variable counts as none, as for the docker CLI.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The default context: TLS is a matter of flags and variables.
fn by_host(
    globals: &Globals,
    folder: Option<&Path>,
    host: Option<&str>,
) -> Result<Endpoint, String> {
    let verify = variable("DOCKER_TLS_VERIFY").is_some()
        || globals
            .tls
            .iter()
            .any(|word| matches!(word.as_str(), "--tlsverify" | "--tlsverify=true"));
    let asks = |word: &String| {
        word == "--tls" || word.starts_with("--tls=") || word.starts_with("--tlsverify")
    };
    let tls = verify || variable("DOCKER_TLS").is_some() || globals.tls.iter().any(asks);
    let host = match host {
        Some(host) => host.trim(),
        None if tls => DEFAULT_TLS_HOST,
        None => DEFAULT_HOST,
    };
    let local = ["unix://", "fd://"];
    let is_local = local.iter().any(|scheme| host.starts_with(scheme));
    let is_the_clis = is_the_clis(host);
    if is_local || !(tls || is_the_clis) {
        return Ok(Endpoint::direct(host));
    }
    if verify && !is_the_clis {
        certificate_authority(globals, folder)?;
    }
    let mut words = vec!["--host".to_owned(), host.to_owned()];
    words.extend(globals.tls.iter().cloned());
    Ok(through(globals, host, words))
}

/// Ways that only the docker CLI knows, without any certificate.
fn is_the_clis(host: &str) -> bool {
    host.starts_with("ssh://") || host.starts_with("npipe://")
}

/// The CLI's own message about a missing file names neither the variable nor a way out.
fn certificate_authority(globals: &Globals, folder: Option<&Path>) -> Result<(), String> {
    let given = globals
        .tls
        .iter()
        .find_map(|word| word.strip_prefix("--tlscacert="));
    let by_variable = variable("DOCKER_CERT_PATH");
    let (file, from) = match (given, &by_variable) {
        (Some(file), _) => (PathBuf::from(file), "--tlscacert names it"),
        (None, Some(path)) => (
            Path::new(path).join("ca.pem"),
            "DOCKER_CERT_PATH names its folder",
        ),
        (None, None) => match folder {
            Some(folder) => (
                folder.join("ca.pem"),
                "without DOCKER_CERT_PATH it is expected there",
            ),
            None => return Ok(()),
        },
    };
    fs::File::open(&file).map(drop).map_err(|error| {
        format!(
            "cannot verify the engine's certificate: cannot read {}: {error} ({from}; put the \
             engine's CA certificate there or name another folder in DOCKER_CERT_PATH)",
            file.display()
        )
    })
}

/// A connection that the docker CLI makes.
fn through(globals: &Globals, host: &str, words: Vec<String>) -> Endpoint {
    let mut command = vec![docker(globals)];
    if let Some(folder) = &globals.config {
        command.extend(["--config".to_owned(), folder.clone()]);
    }
    command.extend(words);
    Endpoint {
        host: host.to_owned(),
        through: Some(command),
        named_by: None,
    }
}

/// The folders of plugins that the configuration names, in which the CLI looks first.
pub(crate) fn extra_plugin_folders(globals: &Globals) -> Result<Vec<PathBuf>, String> {
    let Some(file) = config_folder(globals).map(|folder| folder.join("config.json")) else {
        return Ok(Vec::new());
    };
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&file, &error)),
    };
    let config: Value = serde_json::from_str(&text).map_err(|error| unreadable(&file, &error))?;
    let folders = config.get("cliPluginsExtraDirs").and_then(Value::as_array);
    let folders = folders.into_iter().flatten().filter_map(Value::as_str);
    Ok(folders.map(PathBuf::from).collect())
}

/// The contexts there are, with what their makers say of them.
pub(crate) fn contexts() -> Vec<(String, String)> {
    let folder = config_folder(&Globals::default()).map(|folder| folder.join("contexts/meta"));
    let entries = folder.and_then(|folder| fs::read_dir(folder).ok());
    let mut all: Vec<(String, String)> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.ok()?.path().join("meta.json")).ok()?;
            let meta: Value = serde_json::from_str(&text).ok()?;
            let about = meta
                .pointer("/Metadata/Description")
                .and_then(Value::as_str);
            let name = meta.get("Name").and_then(Value::as_str)?;
            Some((name.to_owned(), about.unwrap_or_default().to_owned()))
        })
        .chain([("default".to_owned(), String::new())])
        .collect();
    all.sort();
    all
}

/// The docker CLI that called us, or the one of `PATH`.
pub(crate) fn docker(globals: &Globals) -> String {
    let usual = || "docker".to_owned();
    if !globals.as_plugin {
        // Another plugin's shell hands its variables down.
        return usual();
    }
    let Some(named) = variable("DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND") else {
        return usual();
    };
    // During completion the docker CLI names the plugin itself, which would call itself for ever.
    let ours = Path::new(&named)
        .file_stem()
        .is_some_and(|name| name == "docker-netcheck");
    if ours { usual() } else { named }
}

/// The folder of the docker CLI's configuration.
pub(crate) fn config_folder(globals: &Globals) -> Option<PathBuf> {
    if let Some(folder) = &globals.config {
        return Some(folder.into());
    }
    if let Some(folder) = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        return Some(folder.into());
    }
    env::home_dir().map(|home| home.join(".docker"))
}

/// Says how to go on without a file that cannot be used.
fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!(
        "cannot read {}: {error} (mend the file, or name the engine with -H, --context or another \
         folder with --config)",
        file.display()
    )
}

fn current_context(file: &Path) -> Result<Option<String>, String> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(unreadable(file, &error)),
    };
    let config: Value = serde_json::from_str(&text).map_err(|error| unreadable(file, &error))?;
    Ok(config
        .get("currentContext")
        .and_then(Value::as_str)
        .map(str::to_owned))
}

fn from_context(globals: &Globals, folder: Option<&Path>, name: &str) -> Result<Endpoint, String> {
    let digest: String = Sha256::digest(name.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let not_found = || {
        format!(
            "context \"{name}\": context not found (`docker context ls` lists the ones there are)"
        )
    };
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
    let skips = meta
        .pointer("/Endpoints/docker/SkipTLSVerify")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let tls = folder.join("tls").join(&digest).join("docker");
    let is_the_clis = is_the_clis(endpoint);
    if endpoint.starts_with("unix://") || !(is_the_clis || skips || tls.exists()) {
        return Ok(Endpoint::direct(endpoint));
    }
    if !is_the_clis {
        // A certificate without its key, or the other way round, is dropped by the CLI without a
        // word, and the engine's refusal would then puzzle.
        let pair = ["cert.pem", "key.pem"].map(|file| tls.join(file));
        if let [Some(missing), None] | [None, Some(missing)] =
            pair.map(|file| (!file.exists()).then_some(file))
        {
            return Err(format!(
                "context \"{name}\": {} is missing, without which its client certificate cannot be \
                 used; give both with `docker context update {name} --docker \
                 host={endpoint},ca=FILE,cert=FILE,key=FILE`",
                missing.display()
            ));
        }
    }
    let words = vec!["--context".to_owned(), name.to_owned()];
    Ok(through(globals, endpoint, words))
}
