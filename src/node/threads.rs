//! How the node starts threads: each with a small stack, because a node has several for each peer, and with an error
//! instead of a panic when the system has none left. This file knows nothing of what the threads do.

use std::io;
use std::thread::{self, Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::error::{Error, Result};

/// How often nodes and front-ends read the logs that they follow, even if nothing rings.
pub const LOG_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Stack of a thread in bytes. A connection costs one, so the default of 2 MiB would be most of a busy node's memory.
pub const STACK: usize = 256 << 10;

/// Starts a thread that nobody joins. If the system refuses, only what this thread was for fails.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    start(name, Box::new(work))
}

/// One copy of this in the program, and not one for each kind of thread.
fn start(name: &str, work: Box<dyn FnOnce() + Send>) -> Result<()> {
    let started = Builder::new().name(name.into()).stack_size(STACK).spawn(work);
    started.map(drop).map_err(|cause| Error::failed(format!("no thread could be started: {cause}")))
}

/// Starts a thread that ends before `scope` does.
pub fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().name(name.into()).stack_size(STACK).spawn_scoped(scope, work)
}

/// Runs `work` in a thread of its own and waits for the result, so that the system gets back the stack that `work` has
/// touched. If the system refuses the thread, or `work` panics there, `work` runs in the calling thread.
pub fn run_apart<T: Send>(name: &str, work: impl Fn() -> T + Sync) -> T {
    thread::scope(|scope| match spawn_scoped(scope, name, &work).map(ScopedJoinHandle::join) {
        Ok(Ok(done)) => done,
        _ => work(),
    })
}
