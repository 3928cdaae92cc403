//! Who owns what the kit makes: labels, and the lease that shows whether the owner still lives.
//!
//! An owner is one process. Its lease is a file that it keeps locked; the kernel drops the lock
//! however the process ends (flock(2)). Whoever sweeps may call an owner dead only on proof: same
//! machine, and either another boot or a lease that can be locked. All else may be alive.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// On everything of the kit; its value is the lab's id.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, LABEL_LAB};
/// # fn test(lab: &Lab) {
/// assert_eq!(lab.labels("db")[LABEL_LAB], lab.id());
/// # }
/// ```
pub const LABEL_LAB: &str = "io.netcheck.testkit.lab";
/// The owner: machine, boot and lease, separated by dots.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, LABEL_OWNER};
/// # fn test(lab: &Lab) {
/// assert_eq!(lab.labels("db")[LABEL_OWNER].split('.').count(), 3);
/// # }
/// ```
pub const LABEL_OWNER: &str = "io.netcheck.testkit.owner";
/// Process id of the owner, for people who look.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, LABEL_PROCESS};
/// # fn test(lab: &Lab) {
/// assert_eq!(lab.labels("db")[LABEL_PROCESS], std::process::id().to_string());
/// # }
/// ```
pub const LABEL_PROCESS: &str = "io.netcheck.testkit.process";
/// The test's name, for people who look.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, LABEL_TEST};
/// # fn test(lab: &Lab) {
/// println!("made by the test {}", lab.labels("db")[LABEL_TEST]);
/// # }
/// ```
pub const LABEL_TEST: &str = "io.netcheck.testkit.test";
/// Seconds since 1970 at the time of making.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, LABEL_CREATED};
/// # fn test(lab: &Lab) {
/// let made: u64 = lab.labels("db")[LABEL_CREATED].parse().unwrap();
/// # }
/// ```
pub const LABEL_CREATED: &str = "io.netcheck.testkit.created";
/// The name that the test gave it.
///
/// ```no_run
/// # use netcheck_testkit::{Lab, LABEL_NAME};
/// # fn test(lab: &Lab) {
/// assert_eq!(lab.labels("db")[LABEL_NAME], "db");
/// # }
/// ```
pub const LABEL_NAME: &str = "io.netcheck.testkit.name";
/// On the images of built-in nodes; its value is `node`.
///
/// ```no_run
/// # use netcheck_testkit::LABEL_IMAGE;
/// # fn test() {
/// println!("docker image ls --filter label={LABEL_IMAGE}");
/// # }
/// ```
pub const LABEL_IMAGE: &str = "io.netcheck.testkit.image";

/// One process that makes things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    machine: String,
    boot: String,
    lease: String,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> &'static Self {
        static THIS: OnceLock<Owner> = OnceLock::new();
        THIS.get_or_init(|| {
            let owner = Self {
                machine: machine(),
                boot: boot(),
                lease: unique(),
            };
            // Without a lease (no folder to write to) nobody can prove this owner dead; the reaper
            // still works.
            if let Some(file) = owner.take_lease() {
                // Held, and so locked, until the process ends.
                std::mem::forget(file);
            }
            owner
        })
    }

    /// As it is written in a label.
    pub(crate) fn text(&self) -> String {
        format!("{}.{}.{}", self.machine, self.boot, self.lease)
    }

    /// What [`Owner::text`] wrote.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::to_owned);
        let owner = Self {
            machine: parts.next()?,
            boot: parts.next()?,
            lease: parts.next()?,
        };
        let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_hexdigit());
        let sound = plain(&owner.machine) && plain(&owner.boot) && plain(&owner.lease);
        (sound && parts.next().is_none()).then_some(owner)
    }

    /// Whether it is surely dead.
    pub(crate) fn is_dead(&self) -> bool {
        let this = Self::this();
        if self == this || self.machine != this.machine {
            return false;
        }
        if self.boot != this.boot {
            return true;
        }
        let Ok(file) = OpenOptions::new().write(true).open(self.lease_path()) else {
            // Not there, or not ours to read: no proof.
            return false;
        };
        lock(&file)
    }

    /// Forgets the lease of an owner that is dead and of whom nothing is left.
    pub(crate) fn bury(&self) {
        let _ = fs::remove_file(self.lease_path());
    }

    fn take_lease(&self) -> Option<File> {
        fs::create_dir_all(folder()).ok()?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.lease_path())
            .ok()?;
        lock(&file).then_some(file)
    }

    fn lease_path(&self) -> PathBuf {
        folder().join(format!("{}.lease", self.lease))
    }
}

/// Remembers that this lab is to stay, also when its owner is dead.
pub(crate) fn keep(lab: &str) {
    // Without it the next sweep removes the lab: a pity, and no reason to fail.
    let _ = fs::create_dir_all(folder());
    let _ = File::create(kept_path(lab));
}

/// The file that says so; whoever removes the lab by hand removes it too.
pub(crate) fn kept_path(lab: &str) -> PathBuf {
    folder().join(format!("{lab}.kept"))
}

/// Whether it is to stay.
pub(crate) fn is_kept(lab: &str) -> bool {
    let plain = lab.chars().all(|c| c.is_ascii_hexdigit());
    plain && kept_path(lab).exists()
}

/// Leases, marks and reports of this user on this machine.
pub(crate) fn folder() -> PathBuf {
    #[cfg(unix)]
    let user = rustix::process::getuid().as_raw();
    #[cfg(not(unix))]
    let user = 0;
    std::env::temp_dir().join(format!("netcheck-testkit-{user}"))
}

fn lock(file: &File) -> bool {
    file.try_lock().is_ok()
}

/// Which machine this is, as far as an operating system tells; hashed, because machine-id(5) asks
/// not to show it to others.
fn machine() -> String {
    use sha2::{Digest, Sha256};
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let parts = [
        read("/etc/machine-id"),
        read("/proc/sys/kernel/hostname"),
        std::env::var("COMPUTERNAME").unwrap_or_default(),
        // Containers on one machine may share the names above; their processes cannot see each
        // other's leases.
        fs::read_link("/proc/self/ns/mnt")
            .map(|link| link.to_string_lossy().into_owned())
            .unwrap_or_default(),
    ];
    let digest = Sha256::digest(format!("netcheck-testkit {parts:?}").as_bytes());
    digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Changes with every boot, where the system says so (random(4) on Linux); else the same always,
/// and only the lease decides.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id: String = id.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    if id.is_empty() { "0".into() } else { id }
}

/// Eight hex digits and the process id's: unique among those that live at the same time, and very
/// probably for ever.
pub(crate) fn unique() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let random = RandomState::new().hash_one((now.as_nanos(), std::process::id()));
    format!("{:x}{:08x}", std::process::id(), random as u32)
}

/// The labels of something of this lab.
pub(crate) fn labels(lab: &str, test: &str, name: &str) -> HashMap<String, String> {
    let created = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    [
        (LABEL_LAB, lab.to_owned()),
        (LABEL_OWNER, Owner::this().text()),
        (LABEL_PROCESS, std::process::id().to_string()),
        (LABEL_TEST, test.to_owned()),
        (LABEL_CREATED, created.to_string()),
        (LABEL_NAME, name.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_read_as_it_was_written() {
        let owner = Owner::this();
        assert_eq!(Owner::read(&owner.text()).as_ref(), Some(owner));
        for strange in ["", "a.b", "a.b.c.d", "a..c", "../../etc.0.1", "a.b.x/y"] {
            assert_eq!(Owner::read(strange), None, "{strange}");
        }
    }

    #[test]
    fn only_proof_makes_an_owner_dead() {
        let this = Owner::this();
        assert!(!this.is_dead(), "oneself");
        let elsewhere = Owner {
            machine: "aa".into(),
            ..this.clone()
        };
        assert!(!elsewhere.is_dead(), "another machine says nothing");
        let unknown = Owner {
            lease: unique(),
            ..this.clone()
        };
        assert!(!unknown.is_dead(), "a lease that is not there says nothing");
        let earlier = Owner {
            boot: "0badb007".into(),
            ..this.clone()
        };
        assert!(earlier.is_dead(), "no process survives a boot");
        let ended = Owner {
            lease: unique(),
            ..this.clone()
        };
        let lease = ended.take_lease().expect("a folder to write to");
        assert!(!ended.is_dead(), "locked");
        drop(lease);
        assert!(ended.is_dead(), "no longer locked");
        ended.bury();
        assert!(!ended.lease_path().exists());
    }
}
