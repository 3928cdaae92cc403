//! `cargo xtask package`: builds the Debian package, installs it, has the docker CLI run what it installed, and
//! removes it again.
//!
//! All that dpkg writes goes into an overlay in a mount namespace of its own, which ends with it: nothing of the
//! machine is changed, whatever is installed there already.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{self, workspace};
use crate::failure::{Failure, Result, told};
use crate::process::{self, Patience};
use crate::say;

/// The program that makes packages, and the version that this workspace is tried with.
const MAKER: [&str; 2] = ["cargo-deb", "3.8.0"];

/// What a user does with a package, in a world that is gone afterwards. $1 is the package, $2 a folder.
const TRY: &str = r#"
    set -eu
    mount --make-rprivate /
    mount -t tmpfs none "$2"
    for tree in usr var; do
        mkdir -p "$2/$tree/above" "$2/$tree/work"
        mount -t overlay overlay -o "lowerdir=/$tree,upperdir=$2/$tree/above,workdir=$2/$tree/work" "/$tree"
    done
    # Copies of the machine's administrator would come first.
    rm -f /usr/local/lib/docker/cli-plugins/docker-netcheck /usr/local/libexec/docker/cli-plugins/docker-netcheck
    export HOME="$2" DOCKER_CONFIG="$2/config"
    where() { docker info --format '{{range .ClientInfo.Plugins}}{{if eq .Name "netcheck"}}{{.Path}}{{end}}{{end}}' 2> /dev/null; }

    dpkg --install "$1"
    at=$(where)
    case $at in
        /usr/libexec/docker/cli-plugins/docker-netcheck) ;;
        *) echo "docker runs '$at' as its plugin netcheck, and not what was installed" >&2; exit 1 ;;
    esac
    docker netcheck version --short
    docker netcheck explain nothing-listens > /dev/null
    ls /usr/share/man/man1/docker-netcheck.1.gz /usr/share/doc/docker-netcheck/copyright
    dpkg --verify docker-netcheck

    dpkg --remove docker-netcheck
    [ -z "$(where)" ] || { echo "it is still there after dpkg --remove" >&2; exit 1; }
"#;

/// Builds and tries the package, and says where it is.
pub(crate) fn run() -> Result<()> {
    let package = build()?;
    try_out(&package)?;
    say(&format!(
        "{} was built, installed and removed again",
        package.display()
    ));
    Ok(())
}

/// Builds the package; its path.
fn build() -> Result<PathBuf> {
    let maker = maker()?;
    let folder = workspace().join("target/debian");
    let doing = "building the Debian package";
    let mut command = build::cargo();
    command
        .arg("deb")
        .args(["--package", "docker-netcheck", "--locked", "--output"])
        .arg(&folder);
    if let Some(folder) = maker {
        command.env("PATH", with_first(&folder)?);
    }
    let said = process::output(doing, &mut command, Patience::ENDLESS)?;
    match said.lines().last().map(PathBuf::from) {
        Some(package) if package.is_file() => Ok(package),
        _ => told(format!(
            "{doing}: cargo deb did not say where it is: {said}"
        )),
    }
}

/// The folder of `cargo-deb`, made where it is not installed; none if it is.
fn maker() -> Result<Option<PathBuf>> {
    let mut ask = build::cargo();
    ask.args(["deb", "--version"]);
    if process::capture("asking for cargo-deb", &mut ask, Patience::seconds(20))?
        .status
        .success()
    {
        return Ok(None);
    }
    let root = workspace().join("target/tools");
    let [name, version] = MAKER;
    if !root.join("bin").join(name).is_file() {
        let mut install = build::cargo();
        // It runs once: what it takes to build it counts, not how fast it is.
        install
            .args([
                "install",
                "--debug",
                "--locked",
                "--quiet",
                name,
                "--version",
                version,
                "--root",
            ])
            .arg(&root);
        let doing = "installing cargo-deb into target/tools";
        if !process::show(doing, &mut install)?.success() {
            return told(format!(
                "{doing}: cargo failed; what it complains about is above"
            ));
        }
    }
    Ok(Some(root.join("bin")))
}

/// PATH with this folder before all others.
fn with_first(folder: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(all)
        .map_err(|error| Failure::Told(format!("the PATH is of no use: {error}")))
}

fn try_out(package: &Path) -> Result<()> {
    let doing = "installing the package";
    if !rustix::process::geteuid().is_root() {
        return told(format!(
            "{doing}: only root can; {} is built, and nothing was installed",
            package.display()
        ));
    }
    let folder = tempfile::tempdir()
        .map_err(|error| Failure::Told(format!("{doing}: no temporary folder: {error}")))?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", TRY, "sh"])
        .arg(package)
        .arg(folder.path());
    if process::show(doing, &mut command)?.success() {
        return Ok(());
    }
    told(format!(
        "{doing}: it failed; what it complains about is above"
    ))
}
