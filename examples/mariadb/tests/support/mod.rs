//! The image of a real MariaDB, made here from Debian's packages where there is no registry. It
//! takes the environment that the official image takes, so either will do.

mod packages;

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;

use futures_util::StreamExt as _;
use netcheck_testkit::Lab;
use netcheck_testkit::bollard::query_parameters::CreateImageOptionsBuilder;
use netcheck_testkit::testcontainers::GenericImage;
use sha2::{Digest as _, Sha256};

/// Names an image to use instead, e.g. `mariadb:11`, where a registry can be reached.
pub const IMAGE_VARIABLE: &str = "SHOP_TEST_MARIADB";

/// What the made image is called.
const NAME: &str = "netcheck-example-mariadb";

/// What a container of it runs.
const START: &str = include_str!("start.sh");

/// The image, made now if the engine does not have it.
///
/// # Errors
///
/// What is missing on this machine, and what to do about it.
pub async fn mariadb(lab: &Lab) -> Result<GenericImage, Box<dyn Error>> {
    if let Ok(image) = std::env::var(IMAGE_VARIABLE) {
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        return Ok(GenericImage::new(name, tag));
    }
    let packages = packages::Packages::find()?;
    // Other packages or another script make another image.
    let digest = Sha256::digest(format!("{:?}{START}{}", packages.files(), packages::LAYOUT));
    let tag: String = digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let image = format!("{NAME}:{tag}");
    // One at a time, also among processes: the second one finds what the first one made.
    let lock = File::create(lock_path())?;
    lock.lock()?;
    let docker = lab.docker();
    if docker.inspect_image(&image).await.is_err() {
        let archive = packages.archive(START)?;
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(NAME)
            .tag(&tag)
            .changes(vec![
                // By this label the clean-up of the kit's images knows it.
                format!("LABEL {}=mariadb", netcheck_testkit::LABEL_IMAGE),
                "ENTRYPOINT [\"/start.sh\"]".into(),
                "EXPOSE 3306/tcp".into(),
            ])
            .build();
        let body = netcheck_testkit::bollard::body_full(archive.into());
        let mut import = docker.create_image(Some(options), Some(body), None);
        while let Some(step) = import.next().await {
            step?;
        }
    }
    Ok(GenericImage::new(NAME, &tag))
}

fn lock_path() -> PathBuf {
    std::env::temp_dir().join(format!("{NAME}.lock"))
}
