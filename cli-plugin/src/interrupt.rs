//! The ways in which a user, the system or the docker CLI says "stop": SIGINT, SIGTERM, and the end
//! of the socket that the docker CLI holds open for its plugins.
//!
//! After the first one the run is cleaned up; a second one ends the process at once.

/// How the run was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C, or the docker CLI ended or let go.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl Stop {
    /// Its exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Interrupted => crate::exit::INTERRUPTED,
            Self::Terminated => crate::exit::TERMINATED,
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::Signals;

#[cfg(unix)]
mod unix {
    use std::env;
    use std::io;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Stop;

    /// Set by the docker CLI since 25.0; it closes the socket to say "stop" where no signal comes.
    const PLUGIN_SOCKET: &str = "DOCKER_CLI_PLUGIN_SOCKET";

    /// Everything that may tell us to stop.
    pub(crate) struct Signals {
        interrupt: Signal,
        terminate: Signal,
        socket: Option<UnixStream>,
    }

    impl Signals {
        /// Starts to listen.
        pub(crate) async fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                socket: plugin_socket().await,
            })
        }

        /// Waits for the next word to stop.
        pub(crate) async fn stop(&mut self) -> Stop {
            tokio::select! {
                _ = self.interrupt.recv() => Stop::Interrupted,
                _ = self.terminate.recv() => Stop::Terminated,
                () = closed(&mut self.socket) => {
                    self.socket = None;
                    Stop::Interrupted
                }
            }
        }
    }

    async fn plugin_socket() -> Option<UnixStream> {
        let name = env::var(PLUGIN_SOCKET)
            .ok()
            .filter(|name| !name.is_empty())?;
        // A leading @ stands for Linux's abstract namespace.
        let address = match name.strip_prefix('@') {
            Some(rest) if cfg!(target_os = "linux") => format!("\0{rest}"),
            _ => name,
        };
        // A variable left over from another plugin's shell names a socket that is gone.
        UnixStream::connect(address).await.ok()
    }

    async fn closed(socket: &mut Option<UnixStream>) {
        match socket {
            Some(socket) => {
                let mut byte = [0];
                while let Ok(1..) = socket.read(&mut byte).await {}
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
pub(crate) struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Starts to listen.
    pub(crate) async fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Waits for Ctrl-C.
    pub(crate) async fn stop(&mut self) -> Stop {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Stop::Interrupted
    }
}
