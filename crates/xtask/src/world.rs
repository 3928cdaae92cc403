//! A throwaway world on an engine. Everything in it carries two labels, the task's and this run's,
//! and all of it goes when the world is dropped, however the task ends.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::complain;
use crate::engine::Engine;
use crate::failure::{Result, told};
use crate::node_image;
use crate::process::{self, Patience};

/// The label with this run's number.
const RUN: &str = "io.netcheck.xtask";

/// Nothing here needs longer.
const CALL: Patience = Patience::seconds(60);

/// A container whose creation was under way when docker was interrupted can appear a little later.
const LOOKS: u32 = 3;

/// What was made on an engine for one task.
pub(crate) struct World<'a> {
    engine: &'a Engine,
    label: String,
    run: String,
    /// Of containers: those are ours even where a repair made them anew without our labels.
    names: HashSet<String>,
}

impl<'a> World<'a> {
    /// An empty one; `label` is the task's.
    pub(crate) fn new(engine: &'a Engine, label: &str) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            engine,
            label: label.to_owned(),
            run: format!("{RUN}={}-{}", std::process::id(), now.as_nanos()),
            names: HashSet::new(),
        }
    }

    /// Calls `docker` with these words; what it wrote.
    pub(crate) fn docker(&self, words: &[&str]) -> Result<String> {
        let doing = format!(
            "docker {}",
            words.iter().take(2).copied().collect::<Vec<_>>().join(" ")
        );
        process::output(&doing, self.engine.docker().args(words), CALL)
            .map(|said| said.trim().to_owned())
    }

    /// Makes an image of one program.
    pub(crate) fn image(
        &self,
        tag: &str,
        name: &str,
        program: &[u8],
        entrypoint: &str,
    ) -> Result<()> {
        let archive = node_image::archive(name, program)?;
        let mut command = self.engine.docker();
        command.args(["import", "--change", &format!("ENTRYPOINT {entrypoint}")]);
        for label in [&self.label, &self.run] {
            command.args(["--change", &format!("LABEL {label}")]);
        }
        command.args(["-", tag]);
        process::feed(
            &format!("making the image {tag}"),
            &mut command,
            &archive,
            CALL,
        )
        .map(drop)
    }

    /// Makes a network.
    pub(crate) fn network(&self, name: &str) -> Result<()> {
        self.docker(&[
            "network",
            "create",
            "--label",
            &self.label,
            "--label",
            &self.run,
            name,
        ])
        .map(drop)
    }

    /// Starts a container in the background; `words` are its flags, image and command.
    pub(crate) fn container(&mut self, name: &str, words: &[&str]) -> Result<()> {
        let mut all = vec![
            "run",
            "--detach",
            "--name",
            name,
            "--label",
            &self.label,
            "--label",
            &self.run,
        ];
        all.extend_from_slice(words);
        self.docker(&all)?;
        // Only now: before, the name may have been somebody else's.
        self.names.insert(name.to_owned());
        Ok(())
    }

    /// The address of a container on a network.
    pub(crate) fn address(&self, container: &str, network: &str) -> Result<String> {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        let address = self.docker(&["container", "inspect", "--format", &format, container])?;
        if address.is_empty() {
            return told(format!(
                "{container} has no address on {network}: it has ended; see `docker logs {container}`"
            ));
        }
        Ok(address)
    }

    /// Which of these names of containers and networks are taken.
    pub(crate) fn taken(&self, containers: &[String], network: &str) -> Result<bool> {
        let names = self.docker(&["container", "ls", "--all", "--format", "{{.Names}}"])?;
        let networks = self.docker(&["network", "ls", "--format", "{{.Name}}"])?;
        // A container of an older kind of link has several names, joined by commas.
        let mut taken = names.lines().flat_map(|line| line.split(','));
        Ok(
            taken.any(|name| containers.iter().any(|wanted| wanted == name))
                || networks.lines().any(|name| name == network),
        )
    }

    fn tidy(&self, words: &[&str]) -> Result<String> {
        let doing = format!("removing what was made: docker {}", words[..2].join(" "));
        process::output(&doing, self.engine.docker().args(words), Patience::TIDYING)
    }

    fn tear_down(&self) -> Result<()> {
        let filter = format!("label={}", self.run);
        for _ in 0..LOOKS {
            let found = self.tidy(&["container", "ls", "--all", "--quiet", "--filter", &filter])?;
            let all = self.tidy(&["container", "ls", "--all", "--format", "{{.Names}}"])?;
            let named = all.lines().filter(|name| self.names.contains(*name));
            let found: Vec<&str> = found.lines().chain(named).collect();
            if found.is_empty() {
                break;
            }
            let mut words = vec!["container", "rm", "--force", "--volumes"];
            words.extend(found);
            // One that is found twice, or went by itself, is an error of docker's; the next look tells.
            let _ = self.tidy(&words);
        }
        for kind in ["network", "image"] {
            let found = self.tidy(&[kind, "ls", "--quiet", "--filter", &filter])?;
            let found: HashSet<&str> = found.lines().collect();
            if found.is_empty() {
                continue;
            }
            let mut words = vec![kind, "rm"];
            if kind == "image" {
                words.push("--force");
            }
            words.extend(found);
            self.tidy(&words)?;
        }
        Ok(())
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if let Err(failure) = self.tear_down() {
            complain(&format!(
                "{failure}\nNot everything was removed: see `cargo xtask leftovers`"
            ));
        }
    }
}
