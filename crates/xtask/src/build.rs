//! Builds programs of this workspace with the cargo that runs us.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::{Failure, Result, told};
use crate::process::{self, Patience};

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    // As `cargo run` tells it: the repository may have been moved since this program was built.
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = Path::new(&package);
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// `cargo`, in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        // What `cargo run` says about this package is not true of others.
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// Builds the plugin; its path.
pub(crate) fn plugin(release: bool) -> Result<PathBuf> {
    let doing = "building docker-netcheck";
    let mut command = cargo();
    command
        .args([
            "build",
            "--locked",
            "--package",
            "docker-netcheck",
            "--bin",
            "docker-netcheck",
        ])
        .args(release.then_some("--release"))
        // The path of what was built, wherever the target folder is; errors still go to people.
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut built = None;
    let mut lines = String::new();
    let mut child = process::spawn(doing, &mut command)?;
    if let Some(mut pipe) = child.stdout.take() {
        std::io::Read::read_to_string(&mut pipe, &mut lines)
            .map_err(|error| Failure::Told(format!("{doing}: reading what cargo says: {error}")))?;
    }
    let status = process::wait(doing, &mut child, Patience::ENDLESS)?;
    if !status.success() {
        return told(format!(
            "{doing}: cargo failed ({status}); what it complains about is above"
        ));
    }
    for line in lines.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if message["target"]["name"] == "docker-netcheck"
            && let Some(path) = message["executable"].as_str()
        {
            built = Some(PathBuf::from(path));
        }
    }
    built.ok_or_else(|| Failure::Told(format!("{doing}: cargo did not say where it is")))
}
