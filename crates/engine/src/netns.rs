//! The probe as a process of this machine that enters a container's network namespace: much faster
//! than a helper, and only possible as root beside the engine.
//!
//! It must never enter a namespace that is not surely the container's: the process id of an engine
//! elsewhere means another process here.

#[cfg(target_os = "linux")]
pub(crate) use linux::{Local, open};

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{Local, open};

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::process::Stdio;

    use futures_util::stream;
    use tokio::io::AsyncReadExt as _;
    use tokio::process::Command;

    use crate::client::Client;
    use crate::namespace::Namespace;
    use crate::session::Session;

    /// Size of the reads from the probe, in bytes: a usual answer fits into one.
    const CHUNK: usize = 64 * 1024;

    /// This process may enter namespaces here.
    pub(crate) struct Local {
        program: fs::File,
        /// Whoever serves the engine's socket has our network namespace.
        beside_socket: bool,
    }

    impl Local {
        /// Whether we are surely in the network namespace of the engine's host. The socket alone
        /// does not prove it (a tunnel has a process of this machine at its end, too), but a
        /// process that is surely a container's does.
        pub(crate) fn on_host(&self, namespaces: &[Namespace]) -> bool {
            self.beside_socket
                && namespaces
                    .iter()
                    .any(|namespace| self.process_of(namespace).is_ok())
        }

        /// Why not, if not.
        pub(crate) fn new(client: &Client, program: &[u8]) -> Result<Self, String> {
            if !rustix::process::geteuid().is_root() {
                return Err("entering a namespace takes root".into());
            }
            let peer = client
                .peer
                .ok_or("the engine is not reached over a unix socket, so it may be elsewhere")?;
            let flags = rustix::fs::MemfdFlags::CLOEXEC;
            let memory = rustix::fs::memfd_create("netcheck-probe", flags)
                .map_err(|error| format!("no memory file for the probe: {error}"))?;
            let mut file = fs::File::from(memory);
            file.write_all(program)
                .map_err(|error| format!("cannot write the probe to memory: {error}"))?;
            Ok(Self {
                program: file,
                beside_socket: shares_network_with(peer),
            })
        }

        /// The process whose namespace is the container's, if that is sure.
        pub(crate) fn process_of(&self, of: &Namespace) -> Result<u32, String> {
            let pid = Some(of.pid)
                .filter(|pid| *pid > 1)
                .ok_or("the engine gave no process of the container")?;
            // The control group names the container whatever the runtime; where it does not
            // (rootless engines), the engine's own handle on the namespace is compared.
            let control_group =
                fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|error| {
                    format!("process {pid} of the container is not on this machine: {error}")
                })?;
            if control_group.contains(&of.container) {
                return Ok(pid);
            }
            let namespace = |path: &str| fs::metadata(path).map(|data| (data.dev(), data.ino()));
            let key = of.sandbox_key.as_str();
            match (namespace(&format!("/proc/{pid}/ns/net")), namespace(key)) {
                (Ok(process), Ok(sandbox)) if !key.is_empty() && process == sandbox => Ok(pid),
                _ => Err(format!(
                    "process {pid} is not the container's on this machine"
                )),
            }
        }
    }

    /// Whether the process that serves the engine's socket has our network namespace. Engines enter namespaces of
    /// containers with single threads, and podman's first thread stays in one (Go, runtime.LockOSThread): what most
    /// threads have counts.
    fn shares_network_with(peer: i32) -> bool {
        let namespace = |at: &Path| {
            let data = fs::metadata(at.join("ns/net"));
            data.map(|data| (data.dev(), data.ino())).ok()
        };
        let Some(ours) = namespace(Path::new("/proc/self")) else {
            return false;
        };
        let Ok(threads) = fs::read_dir(format!("/proc/{peer}/task")) else {
            return false;
        };
        // One that ended meanwhile has none.
        let theirs = threads
            .flatten()
            .filter_map(|thread| namespace(&thread.path()));
        most_are(&ours, theirs)
    }

    /// Whether more are this one than are not.
    fn most_are<T: PartialEq>(this: &T, all: impl Iterator<Item = T>) -> bool {
        let (same, other): (Vec<T>, Vec<T>) = all.partition(|one| one == this);
        same.len() > other.len()
    }

    /// Starts the probe in the namespace of this process, or in ours.
    pub(crate) fn open(local: &Local, process: Option<u32>) -> Result<Session, String> {
        let mut command = Command::new(format!("/proc/self/fd/{}", local.program.as_raw_fd()));
        if let Some(pid) = process {
            command
                .args(["--netns", &format!("/proc/{pid}/ns/net")])
                .args(["--root", &format!("/proc/{pid}/root")]);
        }
        let mut child = command
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start the probe: {error}"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the probe has no pipes".into());
        };
        let output = stream::unfold(output, |mut output| async {
            let mut chunk = vec![0; CHUNK];
            match output.read(&mut chunk).await {
                Ok(0) => None,
                Ok(count) => {
                    chunk.truncate(count);
                    Some((Ok(chunk), output))
                }
                Err(error) => Some((
                    Err(format!("the probe's output broke off: {error}")),
                    output,
                )),
            }
        });
        Ok(Session::new(
            Box::pin(input),
            Box::pin(output),
            Some(Box::new(child)),
        ))
    }

    #[cfg(test)]
    mod tests {
        use super::most_are;

        #[test]
        fn a_thread_that_went_elsewhere_proves_nothing() {
            let most = |threads: &[i32]| most_are(&1, threads.iter().copied());
            // podman's first thread, in a container's namespace.
            assert!(most(&[7, 1, 1]));
            // We are in that container, beside an engine that is elsewhere.
            assert!(!most(&[1, 7, 7]));
            assert!(!most(&[1, 7]));
            assert!(!most(&[]));
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {

    use crate::client::Client;
    use crate::namespace::Namespace;
    use crate::session::Session;

    /// Never: there are no network namespaces on this system.
    pub(crate) struct Local;

    impl Local {
        pub(crate) fn new(_: &Client, _: &[u8]) -> Result<Self, String> {
            Err("network namespaces exist on Linux only".into())
        }

        pub(crate) fn on_host(&self, _: &[Namespace]) -> bool {
            false
        }

        pub(crate) fn process_of(&self, _: &Namespace) -> Result<u32, String> {
            Err("network namespaces exist on Linux only".into())
        }
    }

    pub(crate) fn open(_: &Local, _: Option<u32>) -> Result<Session, String> {
        Err("network namespaces exist on Linux only".into())
    }
}
