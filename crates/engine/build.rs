//! Builds the probe as a static Linux program and writes the list of embedded probes.
//!
//! `NETCHECK_PROBE_DIR` names a folder of ready-made ones (`netcheck-probe-amd64`,
//! `netcheck-probe-arm64`): releases set it. Without it the probe for this machine's architecture
//! is built here, so that `cargo build` and `cargo install --path cli-plugin` need nothing by hand.
//! Where neither works the list is empty, and the tool says so at run time.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Go's name, Rust's name.
const ARCHITECTURES: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "aarch64")];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed=NETCHECK_PROBE_DIR");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let found = match env::var_os("NETCHECK_PROBE_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => ready_made(Path::new(&dir))?,
        None => built_here(&out)?,
    };
    let mut list = String::from("&[\n");
    for (name, path) in found {
        writeln!(list, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    list.push(']');
    fs::write(out.join("probes.rs"), list)?;
    Ok(())
}

fn ready_made(dir: &Path) -> Result<Vec<(&'static str, PathBuf)>, String> {
    println!("cargo::rerun-if-changed={}", dir.display());
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

fn built_here(out: &Path) -> Result<Vec<(&'static str, PathBuf)>, Box<dyn std::error::Error>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let probe = workspace.join("crates/probe");
    for path in ["crates/probe/src", "crates/probe/Cargo.toml", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    let host = env::var("HOST")?;
    let Some((go, rust)) = ARCHITECTURES.iter().find(|(_, rust)| host.starts_with(rust)) else {
        println!("cargo::warning=no probe is embedded: none is known for {host}");
        return Ok(Vec::new());
    };
    let musl = format!("{rust}-unknown-linux-musl");
    let target = if installed(&musl)? {
        musl
    } else if host.contains("-linux-gnu") {
        format!("{rust}-unknown-linux-gnu")
    } else {
        println!(
            "cargo::warning=no probe is embedded: install the target {musl} (`rustup target add {musl}`) \
             or set NETCHECK_PROBE_DIR"
        );
        return Ok(Vec::new());
    };
    // Shared by the builds of all profiles: OUT_DIR is <target>/<profile>/build/<package>/out.
    let target_dir = out
        .ancestors()
        .nth(4)
        .unwrap_or(out)
        .join("netcheck-probe-build");
    let mut cargo = Command::new(env::var("CARGO")?);
    // What the outer cargo says about its own build must not reach the inner one: flags, wrappers
    // (clippy's), and the features of the package that is being built.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let inner = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
        let is_cargo = name.starts_with("CARGO") && !inner.iter().any(|keep| name.starts_with(keep));
        if is_cargo || name.starts_with("RUSTC") || name.starts_with("RUSTFLAGS") {
            cargo.env_remove(name);
        }
    }
    let status = cargo
        .args(["build", "--locked", "--profile", "probe", "--features", "program", "--bin", "netcheck-probe"])
        .arg("--manifest-path")
        .arg(probe.join("Cargo.toml"))
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&target_dir)
        // An address-independent program would need a loader's work at every start, and the
        // stack of one-thread-per-question is small anyway.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static")
        .status()
        .map_err(|error| format!("cannot start cargo to build the probe: {error}"))?;
    if !status.success() {
        return Err(format!("the build of the probe for {target} failed ({status})").into());
    }
    let built = target_dir.join(&target).join("probe/netcheck-probe");
    Ok(vec![(*go, built)])
}

/// Whether the standard library of a target is there.
fn installed(target: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let output = Command::new(env::var("RUSTC")?)
        .args(["--print", "target-libdir", "--target", target])
        .output()?;
    let dir = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(dir.trim()).is_dir())
}
