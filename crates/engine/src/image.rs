//! The helper's image: one static program, made here and handed to the engine without a registry,
//! once per version; and its removal.

use std::collections::HashMap;

use bollard::body_full;
use bollard::query_parameters::{
    ImportImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Client, status_of};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::states::list_containers;

/// The label that everything of ours carries; its value is `helper` or `image`.
pub const LABEL_ROLE: &str = "io.netcheck.role";

const REPOSITORY: &str = "netcheck-probe";

/// One static program as an image without anything else: tag and archive (the format of
/// `docker save`).
#[derive(Debug, Clone)]
pub struct ProgramImage {
    name: &'static str,
    tag: String,
    architecture: String,
    program: &'static [u8],
    label: (&'static str, &'static str),
    /// What its configuration says beside entrypoint and label.
    more: Map<String, Value>,
}

impl ProgramImage {
    /// For an engine of this architecture (as Go names it). The program is the entrypoint, the
    /// repository is called like it, and the tag changes whenever the program does.
    pub fn new(
        name: &'static str,
        label: (&'static str, &'static str),
        architecture: &str,
        program: &'static [u8],
    ) -> Self {
        let digest = hex(&Sha256::digest(program));
        Self {
            name,
            tag: format!("{name}:{}-{}", env!("CARGO_PKG_VERSION"), &digest[..12]),
            architecture: architecture.to_owned(),
            program,
            label,
            more: Map::new(),
        }
    }

    /// With a configuration that says this too (`ExposedPorts`, `Healthcheck`, …, as in the image
    /// specification), under a tag of its own. Entrypoint and label stay; what is no JSON object
    /// says nothing.
    #[must_use]
    pub fn with(mut self, config: Value) -> Self {
        if let Value::Object(config) = config {
            let digest = hex(&Sha256::digest(Value::Object(config.clone()).to_string()));
            self.tag = format!("{}-{}", self.tag, &digest[..8]);
            self.more = config;
        }
        self
    }

    /// `NAME:VERSION-DIGEST`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Gives the image to the engine. Doing it again, also from many processes at once, changes
    /// nothing: the same program is the same image.
    ///
    /// # Errors
    ///
    /// The engine does not take it in time.
    pub async fn load(&self, client: &Client, deadline: Deadline) -> Result<()> {
        let doing = format!("loading the image {}", self.tag);
        let archive = self.archive().map_err(|error| Error::Api {
            doing: doing.clone(),
            why: error.to_string(),
        })?;
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let load = async {
            let mut progress = client
                .docker
                .import_image(options, body_full(archive.into()), None);
            while let Some(step) = progress.next().await {
                step?;
            }
            Ok(())
        };
        client.call(deadline, &doing, load).await
    }

    fn archive(&self) -> std::io::Result<Vec<u8>> {
        let layer = tar_of(&[(self.name, self.program, 0o755)])?;
        let mut settings = self.more.clone();
        settings.insert("Entrypoint".into(), json!([format!("/{}", self.name)]));
        let mut labels = match settings.remove("Labels") {
            Some(Value::Object(labels)) => labels,
            _ => Map::new(),
        };
        labels.insert(self.label.0.to_owned(), json!(self.label.1));
        settings.insert("Labels".into(), Value::Object(labels));
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            // Fixed, so that the same program is the same image everywhere.
            "created": "2020-01-01T00:00:00Z",
            "config": settings,
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&Sha256::digest(&layer)))] },
            "history": [{ "created": "2020-01-01T00:00:00Z", "created_by": "docker-netcheck" }],
        })
        .to_string();
        let config_name = format!("{}.json", hex(&Sha256::digest(config.as_bytes())));
        let manifest = json!([{
            "Config": config_name,
            "RepoTags": [self.tag],
            "Layers": ["layer.tar"],
        }])
        .to_string();
        tar_of(&[
            (&config_name, config.as_bytes(), 0o644),
            ("layer.tar", &layer, 0o644),
            ("manifest.json", manifest.as_bytes(), 0o644),
        ])
    }
}

/// The probe as an image.
pub(crate) struct ProbeImage(ProgramImage);

impl ProbeImage {
    /// For an engine of this architecture.
    pub(crate) fn new(architecture: &str, program: &'static [u8]) -> Self {
        let label = (LABEL_ROLE, "image");
        Self(ProgramImage::new(REPOSITORY, label, architecture, program))
    }

    pub(crate) fn tag(&self) -> &str {
        &self.0.tag
    }

    /// Gives the image to the engine and removes those of other versions.
    pub(crate) async fn load(&self, client: &Client, deadline: Deadline) -> Result<()> {
        self.0.load(client, deadline).await?;
        self.remove_others(client, deadline).await;
        Ok(())
    }

    /// Best effort: an image of an older version in use by another run stays until next time.
    async fn remove_others(&self, client: &Client, deadline: Deadline) {
        let Ok(images) = our_images(client, deadline).await else {
            return;
        };
        for image in images.iter().filter(|image| !image.ends_with(self.tag())) {
            let options = RemoveImageOptionsBuilder::new().build();
            let removal = client.docker.remove_image(image, Some(options), None);
            let _ = client
                .call(deadline, "removing an older image of the probe", removal)
                .await;
        }
    }
}

fn tar_of(files: &[(&str, &[u8], u32)]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        archive.append_data(&mut header, name, *content)?;
    }
    archive.into_inner()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn our_images(client: &Client, deadline: Deadline) -> Result<Vec<String>> {
    let filters = HashMap::from([("label", vec![format!("{LABEL_ROLE}=image")])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let images = client
        .call(
            deadline,
            "listing our images",
            client.docker.list_images(Some(options)),
        )
        .await?;
    Ok(images
        .into_iter()
        .flat_map(|image| {
            let mut names = image.repo_tags;
            // What engines before 26 say of an image without a tag; it is no name.
            names.retain(|name| name != "<none>:<none>");
            if names.is_empty() {
                names.push(image.id);
            }
            names
        })
        .collect())
}

/// What [`cleanup`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Names of helper containers.
    pub containers: Vec<String>,
    /// Tags or ids of images.
    pub images: Vec<String>,
}

/// Removes whatever carries our label: helper containers of any run, and the probe's images.
///
/// # Errors
///
/// The engine does not list or remove them; what was removed until then stays removed.
pub async fn cleanup(client: &Client, deadline: Deadline) -> Result<Cleaned> {
    let mut cleaned = Cleaned {
        containers: remove_containers(client, &format!("{LABEL_ROLE}=helper"), deadline).await?,
        images: Vec::new(),
    };
    for image in our_images(client, deadline).await? {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        let removal = client.docker.remove_image(&image, Some(options), None);
        client
            .call(deadline, "removing the probe's image", removal)
            .await?;
        cleaned.images.push(image);
    }
    Ok(cleaned)
}

/// Removes these helpers of earlier runs, best effort: they disturb nobody.
pub(crate) async fn remove_expired(client: &Client, ids: Vec<String>, deadline: Deadline) {
    for id in ids {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let removal = client.docker.remove_container(&id, Some(options));
        let _ = client
            .call(deadline, "removing an expired helper container", removal)
            .await;
    }
}

/// Removes every container with this label, running or not; the names of those removed.
pub(crate) async fn remove_containers(
    client: &Client,
    label: &str,
    deadline: Deadline,
) -> Result<Vec<String>> {
    let filters = HashMap::from([("label", vec![label.to_owned()])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let found = client
        .call(
            deadline,
            "listing helper containers",
            list_containers(&client.docker, options),
        )
        .await?;
    let mut removed = Vec::new();
    for container in found {
        let Some(id) = container.id else { continue };
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let call = async {
            match client.docker.remove_container(&id, Some(options)).await {
                // 404 and 409: it is gone, or going, by itself.
                Err(error) if matches!(status_of(&error), Some(404 | 409)) => Ok(()),
                other => other,
            }
        };
        client
            .call(deadline, "removing a helper container", call)
            .await?;
        let name = container.names.unwrap_or_default().into_iter().next();
        removed.push(name.map_or(id, |name| name.trim_start_matches('/').to_owned()));
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> ProgramImage {
        ProgramImage::new(
            "netcheck-test",
            ("io.netcheck.role", "image"),
            "amd64",
            b"x",
        )
    }

    #[test]
    fn another_configuration_is_another_image() {
        let (plain, other) = (plain(), plain().with(json!({ "User": "1000" })));
        assert!(other.tag().starts_with(&format!("{}-", plain.tag())));
        assert_eq!(
            plain.clone().with(json!({ "User": "1000" })).tag(),
            other.tag()
        );
        assert_ne!(
            plain.clone().with(json!({ "User": "1001" })).tag(),
            other.tag()
        );
        assert_eq!(plain.clone().with(json!("no object")).tag(), plain.tag());
    }

    #[test]
    fn entrypoint_and_label_stay_whatever_else_is_said() {
        let said = json!({ "Entrypoint": ["/sh"], "Labels": { "a": "b", LABEL_ROLE: "x" } });
        let archive = plain().with(said).archive().unwrap();
        let text = String::from_utf8_lossy(&archive);
        assert!(
            text.contains(r#""Entrypoint":["/netcheck-test"]"#),
            "{text}"
        );
        let labels = json!({ "a": "b", LABEL_ROLE: "image" });
        assert!(text.contains(&format!(r#""Labels":{labels}"#)), "{text}");
    }
}
