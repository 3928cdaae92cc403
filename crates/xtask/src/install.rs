//! Puts the plugin where the docker CLI looks for it. A file that is not ours is never touched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::engine::Engine;
use crate::failure::{Failure, Result};
use crate::process::{self, Patience};

/// The file that the docker CLI looks for.
const FILE: &str = "docker-netcheck";

/// What `docker-cli-plugin-metadata` says of every version of ours.
const VENDOR: &str = "netcheck";

/// Copies the plugin into the user's folder of plugins; where it is now.
///
/// A copy, not a link: it goes on working after `cargo clean`.
pub(crate) fn install(plugin: &Path) -> Result<PathBuf> {
    let folder = config_folder()?.join("cli-plugins");
    let place = folder.join(FILE);
    let failed = |error: std::io::Error| {
        Failure::Told(format!(
            "installing the plugin as {}: {error}",
            place.display()
        ))
    };
    // The link itself, not where it leads: a link that leads nowhere is somebody's too.
    if fs::symlink_metadata(&place).is_ok() && !is_ours(&place)? {
        return Err(Failure::Told(format!(
            "installing the plugin: {} is there already and is not a docker-netcheck of ours; move \
             it away, or set DOCKER_CONFIG to another folder",
            place.display()
        )));
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    let copy = tempfile::Builder::new()
        .prefix(".docker-netcheck-")
        .tempfile_in(&folder)
        .map_err(failed)?;
    fs::copy(plugin, copy.path()).map_err(failed)?;
    // Over the old one in one step: a docker command that runs meanwhile sees one of the two.
    copy.persist(&place).map_err(|error| failed(error.error))?;
    Ok(place)
}

/// Whether `docker netcheck` reaches a plugin of ours.
pub(crate) fn docker_runs_it(engine: &Engine) -> Result<bool> {
    let doing = "asking docker for its plugin netcheck";
    let mut command = engine.docker();
    command.args(["netcheck", "version"]);
    let done = process::capture(doing, &mut command, Patience::seconds(20))?;
    Ok(done.status.success() && done.stdout.starts_with("docker-netcheck "))
}

fn config_folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("DOCKER_CONFIG").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let home = env::home_dir()
        .filter(|home| !home.as_os_str().is_empty())
        .ok_or_else(|| {
            Failure::Told(
                "installing the plugin: you have no home folder; set DOCKER_CONFIG".into(),
            )
        })?;
    Ok(home.join(".docker"))
}

fn is_ours(file: &Path) -> Result<bool> {
    let mut command = Command::new(file);
    command.arg("docker-cli-plugin-metadata");
    let doing = "asking the plugin that is installed who it is";
    match process::output(doing, &mut command, Patience::seconds(5)) {
        Ok(said) => {
            Ok(serde_json::from_str(&said).is_ok_and(|said: Value| said["Vendor"] == VENDOR))
        }
        Err(stopped @ Failure::Stopped(_)) => Err(stopped),
        // What does not run, or does not answer, is not known to be ours.
        Err(Failure::Told(_)) => Ok(false),
    }
}
