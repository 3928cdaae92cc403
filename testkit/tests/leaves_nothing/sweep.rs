//! What a process and its reaper left when both were killed: the next lab of another process
//! removes it, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use netcheck_testkit::{LABEL_LAB, LABEL_OWNER};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::beside_others;
use crate::engine::{ask, nothing_is_left, things, things_of, until};
use crate::process::{Process, STEP};

/// Things of an owner that this machine can prove nothing of, gone when it is dropped.
struct Foreign {
    tag: String,
    volume: String,
    container: String,
}

impl Foreign {
    fn new(owner: &str, tag: &str, image: &str) -> Self {
        let labels: HashMap<String, String> = [
            (LABEL_OWNER.to_owned(), owner.to_owned()),
            (LABEL_LAB.to_owned(), tag.to_owned()),
        ]
        .into();
        let volume = VolumeCreateRequest {
            name: Some(format!("netcheck-foreign-{tag}")),
            labels: Some(labels.clone()),
            ..Default::default()
        };
        let container = ContainerCreateBody {
            image: Some(image.to_owned()),
            labels: Some(labels),
            ..Default::default()
        };
        let (volume, container) = ask(async |docker| {
            let volume = docker.create_volume(volume).await.unwrap();
            let options = None::<CreateContainerOptions>;
            let container = docker.create_container(options, container).await.unwrap();
            (volume.name, container.id)
        });
        Self {
            tag: tag.into(),
            volume,
            container,
        }
    }

    #[track_caller]
    fn is_untouched(&self) {
        let things = things(&format!("{LABEL_LAB}={}", self.tag));
        assert_eq!(things.len(), 2, "{}: {things:?}", self.tag);
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let by_force = RemoveContainerOptionsBuilder::new().force(true).build();
        ask(async |docker| {
            let _ = docker
                .remove_container(&self.container, Some(by_force))
                .await;
            let none = None::<RemoveVolumeOptions>;
            let _ = docker.remove_volume(&self.volume, none).await;
        });
    }
}

#[test]
fn things_of_the_dead_are_swept_and_nothing_else() {
    let _shared = beside_others();
    let folder = Arc::new(TempDir::new().unwrap());
    let start = |scenario: &str, keep: &str| {
        Process::start_in(Arc::clone(&folder), scenario, |command| {
            command.env("NETCHECK_TESTKIT_KEEP", keep);
        })
    };
    let kept = start("ends", "1").end().with_code(0);
    let mut living = start("waits", "");
    let lab = living.says("READY");
    living.says("HELD");
    let mut dead = start("waits", "");
    let dead_lab = dead.says("READY");
    dead.says("HELD");

    let (owner, image) = ask(async |docker| {
        let name = format!("mysql-db-{dead_lab}");
        let config = docker.inspect_container(&name, None).await.unwrap().config;
        let config = config.unwrap();
        let owner = config.labels.unwrap().remove(LABEL_OWNER).unwrap();
        (owner, config.image.unwrap())
    });
    let parts: Vec<&str> = owner.split('.').collect();
    let (machine, boot, lease) = (parts[0], parts[1], parts[2]);
    let unique = format!("{:08x}", std::process::id());
    let foreign = [
        ("a", format!("aabbccddeeff.{boot}.{lease}")),
        ("b", format!("{machine}.{boot}.{unique}0")),
        ("c", "nonsense".to_owned()),
    ]
    .map(|(tag, owner)| Foreign::new(&owner, &format!("{unique}{tag}"), &image));

    dead.reaper().signal(Signal::KILL);
    dead.signal(Signal::KILL);
    let dead = dead.end().by(Signal::KILL);
    assert!(dead.run.is_some(), "{dead}");
    let left = things_of(dead.pid, None);
    assert_eq!(left.len(), 4, "{left:#?}");

    let mut next = start("ends_when_told", "");
    next.says("READY");
    // The sweep goes on beside the test, and promises no time.
    until("the dead's are swept", STEP, || {
        match &*things_of(dead.pid, dead.run.as_deref()) {
            [] => Ok(()),
            left => Err(format!("{left:#?}")),
        }
    });
    for one in &foreign {
        one.is_untouched();
    }
    let own = things(&format!("{LABEL_LAB}={lab}"));
    assert_eq!(own.len(), 4, "{own:#?}");
    let kept_things = things_of(kept.pid, None);
    assert_eq!(kept_things.len(), 3, "{kept_things:#?}");
    let its_lease = format!("{lease}.lease");
    until("its lease is gone", STEP, || {
        match kept.leases().contains(&its_lease) {
            true => Err(its_lease.clone()),
            false => Ok(()),
        }
    });

    next.go_on();
    nothing_is_left(&next.end().with_code(0));
    living.signal(Signal::KILL);
    nothing_is_left(&living.end().by(Signal::KILL));
    crate::keep::shell(&crate::keep::command(&kept, "remove:"));
    nothing_is_left(&kept);
}
