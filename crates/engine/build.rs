//! Embeds the probe: writes the list of programs by architecture.
//!
//! `NETCHECK_PROBE_DIR` names a folder of ready-made ones (`netcheck-probe-amd64`,
//! `netcheck-probe-arm64`): releases set it. Without it the probe for this machine's architecture
//! is built here, so that `cargo build` and `cargo install --path cli-plugin` need nothing by hand.
//! Where neither works the list is empty, and the tool says so at run time.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use netcheck_build_static::{ARCHITECTURES, build};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=NETCHECK_PROBE_DIR");
    let found = match env::var_os("NETCHECK_PROBE_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => {
            println!("cargo::rerun-if-changed={}", Path::new(&dir).display());
            ready_made(Path::new(&dir))?
        }
        None => build("probe", "netcheck-probe", "program")?
            .map(|built| (built.architecture, built.path))
            .into_iter()
            .collect(),
    };
    let mut list = String::from("&[\n");
    for (name, path) in found {
        writeln!(list, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    list.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("probes.rs"), list)?;
    Ok(())
}

fn ready_made(dir: &Path) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let found: Vec<_> = ARCHITECTURES
        .iter()
        .map(|(go, _)| (*go, dir.join(format!("netcheck-probe-{go}"))))
        .filter(|(_, path)| path.is_file())
        .collect();
    if found.is_empty() {
        return Err(format!(
            "NETCHECK_PROBE_DIR={} holds neither netcheck-probe-amd64 nor netcheck-probe-arm64",
            dir.display()
        ));
    }
    Ok(found)
}
