//! `version`: what is in use, as far as it answers. The first line is the same whatever else there is.

use std::fmt::Write as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use netcheck_diagnose::clean::clean;
use netcheck_engine::{Client, Deadline};
use serde_json::{Value, json};

use crate::args::{Format, print, usage_error};
use crate::check::{runtime, say};
use crate::words::Globals;
use crate::{connection, exit, formats, install};

/// The engine's time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints it.
pub(crate) fn main(globals: &Globals, short: bool, format: &Format) -> ExitCode {
    if short {
        return print(concat!(env!("CARGO_PKG_VERSION"), "\n"));
    }
    let known = known(globals);
    match format {
        Format::Text => print(&text(&known)),
        Format::Json => print(&format!("{known:#}\n")),
        Format::Template(template) => {
            let mut out = Vec::new();
            match formats::template::write(template, &known, &mut out) {
                Ok(()) => print(&String::from_utf8_lossy(&out)),
                Err(error) => {
                    say(&clean(&format!("cannot write the version: {error}")));
                    ExitCode::from(exit::CANNOT_RUN)
                }
            }
        }
        Format::Markdown | Format::Junit | Format::Github => {
            usage_error("a version is told as text, json or through a Go template")
        }
    }
}

fn known(globals: &Globals) -> Value {
    let path = std::env::current_exe().ok();
    let used = install::copies(globals)
        .ok()
        .and_then(|all| all.into_iter().next());
    let denied = install::unreadable(globals).unwrap_or_default();
    let denied: Vec<String> = denied
        .iter()
        .map(|folder| clean(&folder.to_string_lossy()))
        .collect();
    let mut known = json!({
        "plugin": {
            "version": env!("CARGO_PKG_VERSION"),
            "path": path.map(|path| clean(&path.to_string_lossy())),
            "used_by_docker": used.map(|path| clean(&path.to_string_lossy())),
            "unreadable_folders": denied,
            "probes": netcheck_engine::embedded_architectures(),
        },
        "docker": docker(globals),
        "context": connection::context(globals).ok().map(|name| clean(&name)),
        "engine": null,
        "engine_error": null,
    });
    match engine(globals) {
        Ok(engine) => known["engine"] = engine,
        Err(why) => known["engine_error"] = clean(&why).into(),
    }
    known
}

/// The version of the docker CLI that called us, or of the one on the PATH.
fn docker(globals: &Globals) -> Option<String> {
    let output = Command::new(connection::docker(globals))
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    // `Docker version 28.2.2, build e6534b4`.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text
        .split_whitespace()
        .skip_while(|word| *word != "version");
    let version = words.nth(1)?.trim_end_matches(',');
    Some(clean(version))
}

fn engine(globals: &Globals) -> Result<Value, String> {
    let endpoint = connection::endpoint(globals)?;
    let runtime = runtime()?;
    let client = runtime.block_on(async {
        let pinned = std::env::var("DOCKER_API_VERSION").ok();
        Client::connect_to(&endpoint, pinned.as_deref(), Deadline::after(PATIENCE)).await
    });
    // A call that hangs must not keep the process.
    runtime.shutdown_background();
    let client = client.map_err(|error| error.to_string())?;
    Ok(json!({
        "kind": format!("{:?}", client.kind()).to_lowercase(),
        "version": clean(client.engine_version()),
        "api": client.api_version(),
        "architecture": clean(client.architecture()),
        "host": clean(&endpoint.host),
    }))
}

fn text(known: &Value) -> String {
    let of = |pointer: &str| known.pointer(pointer).and_then(Value::as_str);
    let probes = known.pointer("/plugin/probes").and_then(Value::as_array);
    let probes: Vec<&str> = probes
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let probes = if probes.is_empty() {
        "none".to_owned()
    } else {
        probes.join(", ")
    };
    let mut text = format!(
        "docker-netcheck {} (probes: {probes})\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<8} {value}");
    };
    let denied = known
        .pointer("/plugin/unreadable_folders")
        .and_then(Value::as_array);
    let denied = denied.and_then(|all| all.first()).and_then(Value::as_str);
    let nowhere = match denied {
        Some(folder) => {
            format!("not found: you may not read {folder}, where the docker CLI looks (chmod u+rx)")
        }
        None => {
            "not where the docker CLI looks; `docker-netcheck install` links it there".to_owned()
        }
    };
    line("plugin", of("/plugin/used_by_docker").unwrap_or(&nowhere));
    line("docker", of("/docker").unwrap_or("no docker command"));
    line("context", of("/context").unwrap_or("unknown"));
    match (of("/engine/version"), of("/engine_error")) {
        (Some(version), _) => line(
            "engine",
            &format!(
                "{} {version}, API {}, {}, at {}",
                of("/engine/kind").unwrap_or_default(),
                of("/engine/api").unwrap_or_default(),
                of("/engine/architecture").unwrap_or_default(),
                of("/engine/host").unwrap_or_default()
            ),
        ),
        (None, why) => line("engine", why.unwrap_or("unknown")),
    }
    text
}
