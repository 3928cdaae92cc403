//! Builds a program of this workspace as a small static Linux executable, from a build script of
//! another crate, so that it can be embedded there.
//!
//! It must not let anything of the outer build (flags, wrappers, target folder) leak into the
//! inner one: the two would wait for each other's locks or spoil each other's caches.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Architectures as Go and as Rust names them.
pub const ARCHITECTURES: [(&str, &str); 2] = [("amd64", "x86_64"), ("arm64", "aarch64")];

/// A program for the architecture of the machine that builds.
#[derive(Debug)]
pub struct Built {
    /// As Go names it: `amd64`.
    pub architecture: &'static str,
    /// The executable.
    pub path: PathBuf,
}

/// Builds the program `binary` of the workspace's crate in `crates/<folder>` with its `features`:
/// against musl where that target is installed, else statically against glibc.
///
/// `Ok(None)` with a cargo warning where neither is possible (macOS or Windows without the target).
///
/// # Errors
///
/// Cargo cannot be started, or the build fails.
pub fn build(folder: &str, binary: &str, features: &str) -> Result<Option<Built>, Box<dyn Error>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let package = workspace.join("crates").join(folder);
    for path in [
        package.join("src"),
        // A part of the probe.
        workspace.join("crates/firewall/src"),
        package.join("Cargo.toml"),
        workspace.join("Cargo.lock"),
        workspace.join("Cargo.toml"),
    ] {
        tell(&format!("rerun-if-changed={}", path.display()));
    }
    let host = env::var("HOST")?;
    let Some((architecture, rust)) = ARCHITECTURES
        .into_iter()
        .find(|(_, rust)| host.starts_with(rust))
    else {
        tell(&format!(
            "warning={binary} is not embedded: it is not known for {host}"
        ));
        return Ok(None);
    };
    let musl = format!("{rust}-unknown-linux-musl");
    let target = if installed(&musl)? {
        musl
    } else if host.contains("-linux-gnu") {
        format!("{rust}-unknown-linux-gnu")
    } else {
        tell(&format!(
            "warning={binary} is not embedded: install the target {musl} (`rustup target add {musl}`)"
        ));
        return Ok(None);
    };
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Shared by the builds of all profiles: OUT_DIR is <target>/<profile>/build/<package>/out.
    let target_dir = out.ancestors().nth(4).unwrap_or(&out).join("static-build");
    let mut cargo = Command::new(env::var("CARGO")?);
    for (name, _) in env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    cargo
        .args([
            "build",
            "--locked",
            "--profile",
            "probe",
            "--bin",
            binary,
            "--features",
            features,
        ])
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml"))
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&target_dir)
        // A position-independent program would need relocations at every start, for nothing: it
        // runs for milliseconds and reads only our own requests.
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "-Ctarget-feature=+crt-static\u{1f}-Crelocation-model=static",
        );
    let status = cargo
        .status()
        .map_err(|error| format!("cannot start cargo to build {binary}: {error}"))?;
    if !status.success() {
        return Err(format!("the build of {binary} for {target} failed ({status})").into());
    }
    Ok(Some(Built {
        architecture,
        path: target_dir.join(&target).join("probe").join(binary),
    }))
}

/// What the outer cargo says about its own build. Where registries and caches are is kept.
fn leaks(name: &str) -> bool {
    let kept = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
    ];
    (name.starts_with("CARGO") && !kept.iter().any(|keep| name.starts_with(keep)))
        || name.starts_with("RUSTC")
        || name.starts_with("RUSTFLAGS")
}

/// Whether the standard library of a target is there.
fn installed(target: &str) -> Result<bool, Box<dyn Error>> {
    let output = Command::new(env::var("RUSTC")?)
        .args(["--print", "target-libdir", "--target", target])
        .output()?;
    let folder = String::from_utf8(output.stdout)?;
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

#[expect(
    clippy::print_stdout,
    reason = "this is how a build script speaks to cargo"
)]
fn tell(instruction: &str) {
    println!("cargo::{instruction}");
}
