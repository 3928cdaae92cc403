//! `install` and `uninstall`: a link in a folder where the docker CLI looks for plugins, and which of several
//! copies it uses. It replaces and removes links only; a program that somebody copied there stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::args::print;
use crate::check::say;
use crate::words::Globals;
use crate::{connection, exit};

/// As the docker CLI wants it to be called.
#[cfg(not(windows))]
const FILE: &str = "docker-netcheck";
#[cfg(windows)]
const FILE: &str = "docker-netcheck.exe";

/// Where the docker CLI looks last (cli-plugins/manager of docker/cli), in its order.
#[cfg(not(windows))]
const SYSTEM: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];
#[cfg(windows)]
const SYSTEM: [&str; 1] = [r"C:\Program Files\Docker\cli-plugins"];

/// The folders in which the docker CLI looks, in its order: the first copy wins.
fn folders(globals: &Globals) -> Result<Vec<PathBuf>, String> {
    let mut all = connection::extra_plugin_folders(globals)?;
    all.extend(own_folder(globals));
    all.extend(SYSTEM.iter().map(PathBuf::from));
    Ok(all)
}

fn own_folder(globals: &Globals) -> Option<PathBuf> {
    Some(connection::config_folder(globals)?.join("cli-plugins"))
}

/// The copies there are, the one that wins first.
pub(crate) fn copies(globals: &Globals) -> Result<Vec<PathBuf>, String> {
    let all = folders(globals)?
        .into_iter()
        .map(|folder| folder.join(FILE));
    Ok(all.filter(|file| file.symlink_metadata().is_ok()).collect())
}

/// Folders among them that this user may not look into, where the docker CLI silently finds nothing.
pub(crate) fn unreadable(globals: &Globals) -> Result<Vec<PathBuf>, String> {
    let denied = |folder: &PathBuf| {
        fs::read_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    Ok(folders(globals)?.into_iter().filter(denied).collect())
}

fn this_program() -> Result<PathBuf, String> {
    let program = std::env::current_exe().and_then(fs::canonicalize);
    program.map_err(|error| format!("cannot tell where this program is: {error}"))
}

fn place(globals: &Globals, system: bool) -> Result<PathBuf, String> {
    if system {
        return Ok(Path::new(SYSTEM[0]).join(FILE));
    }
    let folder = own_folder(globals);
    let folder =
        folder.ok_or("there is no home folder; name one with --config or DOCKER_CONFIG")?;
    Ok(folder.join(FILE))
}

fn told(result: Result<(String, bool), String>) -> ExitCode {
    match result {
        Ok((text, true)) => print(&text),
        Ok((text, false)) => {
            let _ = print(&text);
            ExitCode::from(exit::CANNOT_RUN)
        }
        Err(message) => {
            say(&message);
            ExitCode::from(exit::CANNOT_RUN)
        }
    }
}

/// Links this program where the docker CLI finds it.
pub(crate) fn install(globals: &Globals, system: bool) -> ExitCode {
    told(link(globals, system))
}

fn link(globals: &Globals, system: bool) -> Result<(String, bool), String> {
    let program = this_program()?;
    let at = place(globals, system)?;
    let shown = at.display();
    let failed = |error: io::Error| {
        let more = if error.kind() == io::ErrorKind::PermissionDenied {
            "; it takes somebody who may write there, root for --system"
        } else {
            ""
        };
        format!(
            "cannot link {shown} to {}: {error}{more}",
            program.display()
        )
    };
    let mut text = match at.symlink_metadata() {
        Ok(_) if fs::canonicalize(&at).is_ok_and(|there| there == program) => {
            format!("{shown} is this program already\n")
        }
        Ok(there) if !there.is_symlink() => {
            return Err(format!(
                "{shown} is a program and no link, so it is left alone; remove it first if it is an old copy"
            ));
        }
        _ => {
            fs::create_dir_all(at.parent().unwrap_or(&at)).map_err(failed)?;
            // There is a working one at every moment.
            let fresh = at.with_extension(format!("new-{}", std::process::id()));
            symlink(&program, &fresh).map_err(failed)?;
            if let Err(error) = fs::rename(&fresh, &at) {
                let _ = fs::remove_file(&fresh);
                return Err(failed(error));
            }
            format!("{shown} -> {}\n", program.display())
        }
    };
    let copies = copies(globals)?;
    let wins = copies.first() == Some(&at);
    if wins {
        text.push_str("`docker netcheck` runs it\n");
    } else if let Some(first) = copies.first() {
        text.push_str(&format!(
            "`docker netcheck` does not run it: {} comes first; remove that one\n",
            first.display()
        ));
    }
    text.push_str(&shadowed(&copies));
    Ok((text, wins))
}

fn shadowed(copies: &[PathBuf]) -> String {
    let all = copies.iter().skip(1);
    all.map(|copy| format!("not used, as another comes before it: {}\n", copy.display()))
        .collect()
}

/// Takes the link away.
pub(crate) fn uninstall(globals: &Globals, system: bool) -> ExitCode {
    told(unlink(globals, system))
}

fn unlink(globals: &Globals, system: bool) -> Result<(String, bool), String> {
    let at = place(globals, system)?;
    let shown = at.display();
    let there = at.symlink_metadata().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{shown} is not there"),
        _ => format!("cannot look at {shown}: {error}"),
    })?;
    if !there.is_symlink() {
        return Err(format!(
            "{shown} is a program and no link that `install` made, so it is left alone"
        ));
    }
    fs::remove_file(&at).map_err(|error| format!("cannot remove {shown}: {error}"))?;
    let mut text = format!("removed {shown}\n");
    if let Some(first) = copies(globals)?.first() {
        text.push_str(&format!("`docker netcheck` now runs {}\n", first.display()));
    }
    Ok((text, true))
}

#[cfg(unix)]
fn symlink(program: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(program, at)
}

#[cfg(windows)]
fn symlink(program: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(program, at)
}
