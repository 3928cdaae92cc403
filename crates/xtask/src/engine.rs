//! The Docker Engine that a task works with: the one that answers, or one of our own on a machine
//! that has the program and no engine running. It never starts another one in place of an engine
//! that the user named.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::complain;
use crate::failure::{Failure, Result, told};
use crate::own_engine::OwnEngine;
use crate::process::{self, Done, Patience};

/// How long an engine may take to say its version.
const ANSWER: Patience = Patience::seconds(20);

/// Variables with which the docker CLI chooses an engine.
const CHOICE: [&str; 4] = [
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
];

const NO_CLIENT: &str = "the `docker` command is not on PATH. Install Docker Engine with its command \
    line (Debian and Ubuntu: the package docker.io, or docker-ce and docker-ce-cli from Docker; \
    macOS and Windows: Docker Desktop), then try again";

const START_IT: &str = "Start it (with systemd: `systemctl start docker`; without, as root: \
    `dockerd`), or set DOCKER_HOST to an engine that runs, then try again";

/// An engine that answers.
pub(crate) struct Engine {
    version: String,
    own: Option<OwnEngine>,
}

/// Why no engine answers.
enum Silence {
    /// Nothing is running where one would be by default.
    NotRunning(String),
    /// There is one, or the user meant one: starting another would be wrong. The whole message.
    Final(String),
}

impl Engine {
    /// The engine that answers; else one of our own, if that is possible.
    pub(crate) fn ensure() -> Result<Self> {
        let why = match Self::find()? {
            Ok(engine) => return Ok(engine),
            Err(Silence::Final(message)) => return told(message),
            Err(Silence::NotRunning(why)) => why,
        };
        let Some(program) = on_path("dockerd") else {
            return told(format!(
                "no Docker Engine answers: {why}\nThe program `dockerd` is not on PATH either. Install \
                 Docker Engine (Debian and Ubuntu: the package docker.io, or docker-ce from Docker) \
                 and start it, or set DOCKER_HOST to an engine that runs, then try again"
            ));
        };
        if !rustix::process::geteuid().is_root() {
            return told(format!(
                "no Docker Engine answers: {why}\nThere is a `dockerd`, but only root can start it. \
                 {START_IT}"
            ));
        }
        complain("no Docker Engine answers here; starting one of our own for this task…");
        let own = OwnEngine::start(&program)?;
        let mut command = Command::new("docker");
        aim(&mut command, Some(&own));
        let version = version(&mut command)?;
        if !version.status.success() {
            return told(format!(
                "our own Docker Engine does not answer: {}\n{}",
                version.stderr.trim(),
                own.last_words()
            ));
        }
        Ok(Self {
            version: version.stdout.trim().to_owned(),
            own: Some(own),
        })
    }

    /// The engine that answers, or `None` where none is running; an error where that is a mistake.
    pub(crate) fn running() -> Result<Option<Self>> {
        match Self::find()? {
            Ok(engine) => Ok(Some(engine)),
            Err(Silence::NotRunning(_)) => Ok(None),
            Err(Silence::Final(message)) => told(message),
        }
    }

    fn find() -> Result<std::result::Result<Self, Silence>> {
        let mut command = Command::new("docker");
        aim(&mut command, None);
        let done = version(&mut command)?;
        if done.status.success() {
            return Ok(Ok(Self {
                version: done.stdout.trim().to_owned(),
                own: None,
            }));
        }
        let said = done.stderr.trim();
        let why = if said.is_empty() {
            "docker says nothing about it"
        } else {
            said
        }
        .to_owned();
        Ok(Err(match meant()? {
            Some(meant) => Silence::Final(format!(
                "the Docker Engine of {meant} does not answer: {why}\nCorrect {meant}, or unset it to \
                 use the engine of this machine"
            )),
            None if why.contains("permission denied") => Silence::Final(format!(
                "the Docker Engine does not let us in: {why}\nBecome a member of the group docker and \
                 log in again, or run this as root"
            )),
            None => Silence::NotRunning(why),
        }))
    }

    /// `docker`, talking to this engine.
    pub(crate) fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        self.aim(&mut command);
        command
    }

    /// Makes a program talk to this engine.
    pub(crate) fn aim(&self, command: &mut Command) {
        aim(command, self.own.as_ref());
    }

    /// Its version, e.g. `20.10.24`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether it ends with this task.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }
}

fn aim(command: &mut Command, own: Option<&OwnEngine>) {
    // No advertising between the lines that are shown or read.
    command.env("DOCKER_CLI_HINTS", "0");
    if let Some(own) = own {
        command.env("DOCKER_HOST", own.host());
        for name in CHOICE {
            command.env_remove(name);
        }
    }
}

fn version(command: &mut Command) -> Result<Done> {
    if on_path("docker").is_none() {
        return told(NO_CLIENT);
    }
    command.args(["version", "--format", "{{.Server.Version}}"]);
    process::capture("asking the Docker Engine for its version", command, ANSWER).map_err(
        |failure| {
            match failure {
                // An engine that hangs is still there; a second one beside it would be no help.
                Failure::Told(message) => Failure::Told(format!(
                    "{message}\nIs the engine hanging? Look at its log, or restart it"
                )),
                stopped @ Failure::Stopped(_) => stopped,
            }
        },
    )
}

/// How the user named an engine, if at all.
fn meant() -> Result<Option<String>> {
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
        if let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) {
            return Ok(Some(format!("{name}={}", value.display())));
        }
    }
    let mut command = Command::new("docker");
    command.args(["context", "show"]);
    let done = process::capture("asking docker for its context", &mut command, ANSWER)?;
    let context = done.stdout.trim();
    // A docker without this word is older than contexts that matter.
    let other = done.status.success() && !matches!(context, "" | "default");
    Ok(other.then(|| format!("the docker context {context:?}")))
}

/// A program on PATH.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
