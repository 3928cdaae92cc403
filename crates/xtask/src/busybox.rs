//! A busybox for the benchmark: the tools that people reach for by hand. There may be no registry,
//! so it comes from this machine, or from the distribution's package.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::engine::on_path;
use crate::failure::{Failure, Result};
use crate::process::{self, Patience};

const PACKAGE: &str = "busybox-static";

/// A static busybox, and where it is from; none, and why.
pub(crate) fn find() -> Result<std::result::Result<(Vec<u8>, String), String>> {
    if let Some(program) = on_path("busybox").and_then(|path| fs::read(path).ok())
        && is_static(&program)
    {
        return Ok(Ok((program, "the machine's busybox".into())));
    }
    match from_package() {
        Ok(program) => Ok(Ok((program, format!("the package {PACKAGE}")))),
        Err(stopped @ Failure::Stopped(_)) => Err(stopped),
        Err(Failure::Told(why)) => Ok(Err(why)),
    }
}

/// Fetches the package into a temporary folder; nothing is installed.
fn from_package() -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Failure::Told(format!("unpacking {PACKAGE}: {error}"));
    let folder = tempfile::tempdir().map_err(failed)?;
    let mut download = Command::new("apt-get");
    download
        .args(["download", PACKAGE])
        .current_dir(folder.path());
    process::output(
        &format!("fetching the package {PACKAGE}"),
        &mut download,
        Patience::seconds(120),
    )?;
    let package = fs::read_dir(folder.path())
        .map_err(failed)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| {
            Failure::Told(format!(
                "fetching the package {PACKAGE}: there is no package"
            ))
        })?;
    let unpacked = folder.path().join("unpacked");
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(package).arg(&unpacked);
    process::output(
        &format!("unpacking {PACKAGE}"),
        &mut unpack,
        Patience::seconds(60),
    )?;
    let program = ["bin/busybox", "usr/bin/busybox"]
        .iter()
        .find_map(|place| fs::read(Path::new(&unpacked).join(place)).ok())
        .filter(|program| is_static(program));
    program.ok_or_else(|| Failure::Told(format!("the package {PACKAGE} holds no static busybox")))
}

/// Whether an executable needs no loader: one that does names it in a segment of type `PT_INTERP`.
fn is_static(elf: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let short = |at: usize| Some(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?));
    // 64 bits, the low byte first: what engines run on.
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    let segments = || {
        let first = usize::try_from(long(32)?).ok()?;
        let (size, count) = (short(54)?, short(56)?);
        (0..count)
            .map(|index| word(first.checked_add(usize::from(index) * usize::from(size))?))
            .collect::<Option<Vec<u32>>>()
    };
    segments().is_some_and(|types| !types.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_program_is_told_from_a_dynamic_one() {
        let node = netcheck_embedded::node().expect("the node is built here");
        assert!(is_static(node));
        assert!(!is_static(b""));
        assert!(!is_static(b"#!/bin/sh\n"));
        assert!(!is_static(&node[..60]));
    }
}
