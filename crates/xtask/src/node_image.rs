//! Images of one file, made here: no registry is needed.

use crate::failure::{Failure, Result};

/// Permission to read and run it.
const PROGRAM: u32 = 0o755;

/// The node: a static server whose words say what it serves.
pub(crate) fn node() -> Result<&'static [u8]> {
    netcheck_embedded::node().ok_or_else(|| {
        Failure::Told(
            "the test server (netcheck-node) could not be built for this machine: install the musl \
             target of Rust for its architecture, then try again"
                .into(),
        )
    })
}

/// An archive for `docker import` with this one program in it.
pub(crate) fn archive(name: &str, program: &[u8]) -> Result<Vec<u8>> {
    let write = || {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(program.len() as u64);
        header.set_mode(PROGRAM);
        archive.append_data(&mut header, name, program)?;
        archive.into_inner()
    };
    write().map_err(|error: std::io::Error| {
        Failure::Told(format!("packing the program {name} for an image: {error}"))
    })
}
