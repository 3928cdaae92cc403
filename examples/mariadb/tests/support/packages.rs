//! Debian packages, downloaded and unpacked into the files of an image. Nothing is installed, and
//! nothing needs root: apt works in a folder of its own, as if on an empty machine.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The server, a client for those who look, and a shell for the script (about 20 MB with all that
/// they need).
const PACKAGES: [&str; 3] = [
    "mariadb-server-core",
    "mariadb-client-core",
    "busybox-static",
];

/// What the script and those who look call.
const COMMANDS: [&str; 6] = ["sh", "cat", "mkdir", "sleep", "ls", "ps"];

/// What a server does not read, and what makes most of the size.
const LEFT_OUT: [&str; 4] = ["doc", "man", "locale", "info"];

/// Changes when the layout below does.
pub const LAYOUT: u32 = 1;

/// Packages that apt would install, with all they depend on.
pub struct Packages {
    /// apt's own world.
    folder: TempDir,
    files: Vec<String>,
}

impl Packages {
    /// Asks apt, which answers from the lists it has.
    pub fn find() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("archives/partial"))?;
        fs::write(folder.path().join("status"), "")?;
        let asked = apt(folder.path(), &["--print-uris", "-qq"]);
        let asked = asked.map_err(|why| {
            format!(
                "no MariaDB to test against: {why}\n\
                 It is made from Debian's packages: on Debian or Ubuntu run `apt-get update`, \
                 elsewhere name an image: {}=mariadb:11",
                super::IMAGE_VARIABLE
            )
        })?;
        let text = String::from_utf8(asked.stdout)?;
        // `'URI' FILE SIZE HASH`
        let mut files: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .map(str::to_owned)
            .collect();
        files.sort();
        Ok(Self { folder, files })
    }

    /// Names with versions.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Downloads and unpacks them: a tar archive of the image's files.
    pub fn archive(&self, start: &str) -> Result<Vec<u8>, Box<dyn Error>> {
        let folder = self.folder.path();
        apt(folder, &["--download-only", "-qq"])
            .map_err(|why| format!("downloading Debian's packages: {why}"))?;
        let root = folder.join("root");
        lay_out(&root)?;
        for name in &self.files {
            unpack(&folder.join("archives").join(name), &root)?;
        }
        fs::write(root.join("start.sh"), start)?;
        fs::set_permissions(root.join("start.sh"), PermissionsExt::from_mode(0o755))?;
        for command in COMMANDS {
            symlink("busybox", root.join("usr/bin").join(command))?;
        }
        let mut tar = Command::new("tar");
        tar.args(["--create", "--owner=0", "--group=0", "--numeric-owner"]);
        for name in LEFT_OUT {
            tar.arg(format!("--exclude=./usr/share/{name}"));
        }
        Ok(run(tar.arg("--directory").arg(&root).arg("."))?.stdout)
    }
}

/// What Debian's `base-files` and `passwd` would give: directories, users, where names come from.
fn lay_out(root: &Path) -> Result<(), Box<dyn Error>> {
    for folder in [
        "etc",
        "tmp",
        "run",
        "var/lib",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777))?;
    for folder in ["bin", "sbin", "lib", "lib64"] {
        symlink(Path::new("usr").join(folder), root.join(folder))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    Ok(())
}

/// apt, asked to install on a machine that has nothing.
fn apt(folder: &Path, words: &[&str]) -> Result<Output, String> {
    let mut command = Command::new("apt-get");
    let option = |name: &str, value: &OsStr| {
        let mut option = std::ffi::OsString::from(format!("{name}="));
        option.push(value);
        option
    };
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .arg("-o")
        .arg(option(
            "Dir::State::status",
            folder.join("status").as_os_str(),
        ))
        .arg("-o")
        .arg(option("Dir::Cache", folder.as_os_str()))
        // Else apt changes to a user who may not write into the folder.
        .args(["-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"])
        .args(words)
        .args(PACKAGES)
        .env("LC_ALL", "C");
    run(&mut command)
}

/// Unpacks one package; `lib` and its like stay links into `usr`.
fn unpack(package: &Path, root: &Path) -> Result<(), Box<dyn Error>> {
    let mut archive = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("dpkg-deb: {error}"))?;
    let input = archive.stdout.take().ok_or("dpkg-deb has no output")?;
    run(Command::new("tar")
        .args(["--extract", "--keep-directory-symlink", "--no-same-owner"])
        .arg("--directory")
        .arg(root)
        .stdin(input))?;
    if !archive.wait()?.success() {
        return Err(format!("dpkg-deb could not read {}", package.display()).into());
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed: {}", said.trim()))
}
