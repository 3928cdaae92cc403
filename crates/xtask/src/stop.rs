//! Ctrl-C and SIGTERM: they become a flag that is looked at between steps and while waiting, so
//! that whatever was made is removed on the way out.

use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::complain;
use crate::failure::{Failure, Result};

/// 0, or the exit code that belongs to the signal that came.
static STOP: AtomicU8 = AtomicU8::new(0);

/// Who presses Ctrl-C this often does not want to wait for the clean-up.
const PATIENCE: u32 = 3;

/// From now on the two signals no longer end the process at once.
pub(crate) fn listen() -> Result<()> {
    let failed = |error: std::io::Error| Failure::Told(format!("listening for Ctrl-C: {error}"));
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(failed)?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    drop(entered);
    let wait = move || {
        runtime.block_on(async {
            for times in 1.. {
                let code = tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                };
                if times >= PATIENCE {
                    complain("stopped before everything was removed: see `cargo xtask leftovers`");
                    std::process::exit(code.into());
                }
                // The first one decides.
                if STOP
                    .compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
                {
                    complain("stopping, and removing what was made…");
                }
            }
        });
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(wait)
        .map_err(failed)?;
    Ok(())
}

/// An error if a signal came.
pub(crate) fn check() -> Result<()> {
    match STOP.load(Ordering::SeqCst) {
        0 => Ok(()),
        code => Err(Failure::Stopped(code)),
    }
}
