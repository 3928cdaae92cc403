//! Whatever ends a test, and at whatever moment: two seconds later nothing of its labs is left on
//! the engine, and soon after no process.
//!
//! Each scenario is a test of this file that is ignored, and run by another test in a process of
//! its own, which may then panic, exit or be killed. The engine is looked at from outside, through
//! a connection that is not the kit's. Each process has a temporary folder of its own, and so its
//! leases: what one leaves is not swept by the next, unless a test is about that.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![expect(unreachable_pub, reason = "modules are shared between tests")]
#![expect(
    clippy::print_stdout,
    reason = "what a test prints is shown when it fails"
)]

#[path = "leaves_nothing/engine.rs"]
mod engine;
#[path = "leaves_nothing/events.rs"]
mod events;
#[path = "leaves_nothing/keep.rs"]
mod keep;
#[path = "leaves_nothing/many.rs"]
mod many;
#[path = "leaves_nothing/process.rs"]
mod process;
#[path = "leaves_nothing/scenarios.rs"]
mod scenarios;
#[path = "leaves_nothing/sweep.rs"]
mod sweep;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// What the kit promises.
const GONE: Duration = Duration::from_secs(2);

/// Tests that put the engine under load are not run beside those that measure.
static LOAD: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    LOAD.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    LOAD.write().unwrap_or_else(PoisonError::into_inner)
}
