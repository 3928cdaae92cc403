//! Reads the few files the probe needs, from below a directory that a container controls. A
//! symlink there must never lead to a file of the host, nor a FIFO or a device be opened.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

/// resolv.conf and hosts are read up to here; a larger one is cut at a line end.
const LONGEST_FILE: u64 = 256 * 1024;

/// The directory below which /etc is looked for.
pub(crate) struct Root {
    directory: OwnedFd,
    /// Somebody else's: no way but openat2(2) keeps us inside.
    foreign: bool,
}

impl Root {
    /// Opens the directory; without one, our own root.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let shown = path.unwrap_or(Path::new("/"));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, shown, flags, Mode::empty())
            .map(|directory| Self {
                directory,
                foreign: path.is_some(),
            })
            .map_err(|error| format!("opening the root directory {}: {error}", shown.display()))
    }

    /// The beginning of a regular file.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let failed = |error: Errno| format!("reading {path}: {error}");
        // O_PATH first: opening a device or a FIFO for real already has effects.
        let place = self.find(path).map_err(failed)?;
        let kind = FileType::from_raw_mode(fstat(&place).map_err(failed)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(format!("reading {path}: not a regular file but {kind:?}"));
        }
        let again = format!("/proc/self/fd/{}", place.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = openat(CWD, again, flags, Mode::empty()).map_err(failed)?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(LONGEST_FILE)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("reading {path}: {error}"))?;
        if bytes.len() as u64 == LONGEST_FILE {
            // Half an address is a wrong address.
            let end = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
            bytes.truncate(end);
        }
        Ok(bytes)
    }

    fn find(&self, path: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let mut result = Err(Errno::AGAIN);
        // EAGAIN: something was renamed at this moment (openat2(2)).
        for _ in 0..8 {
            result = openat2(&self.directory, path, flags, Mode::empty(), inside);
            if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        match result {
            // Old kernels and seccomp profiles have no openat2; our own root needs none.
            Err(Errno::NOSYS | Errno::PERM) if !self.foreign => {
                openat(CWD, path, flags, Mode::empty())
            }
            other => other,
        }
    }
}
