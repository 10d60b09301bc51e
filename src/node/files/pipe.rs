//! Stdout as the place for one file. A thread of its own writes there, so that the sender of a file hears from us for as
//! long as whoever reads it takes its time. It leaves out where the bytes come from: see `inbound`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::error::{Error, Result, Verb};
use crate::node::threads;
use crate::transfer::stream::Sink;

/// Stdout, and what has gone there so far: a sender whose connection was lost goes on behind it.
pub struct StdoutPipe {
    state: Arc<PipeState>,
}

#[derive(Default)]
struct PipeState {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is being written: the id of the transfer.
    id: Option<String>,
    /// Bytes of it that the reader has, or the system for it.
    written: u64,
    /// The next ones; empty when they are written.
    next: Vec<u8>,
    failed: Option<io::Error>,
}

impl PipeState {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writes what comes, until that fails.
    fn run(&self) {
        let mut bytes = Vec::new();
        loop {
            let waited = self.changed.wait_while(self.lock(), |state| state.next.is_empty());
            let mut state = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
            bytes.clear();
            bytes.extend_from_slice(&state.next);
            drop(state);
            // Without the flush, the end of a line that is not there yet would wait for it.
            let mut stdout = io::stdout().lock();
            let result = stdout.write_all(&bytes).and_then(|()| stdout.flush());
            state = self.lock();
            match result {
                Ok(()) => {
                    state.written += bytes.len() as u64;
                    state.next.clear();
                }
                Err(cause) => state.failed = Some(cause),
            }
            self.changed.notify_all();
            if state.failed.is_some() {
                return;
            }
        }
    }
}

impl StdoutPipe {
    /// Starts the thread, which runs until the process ends.
    pub fn start() -> Result<StdoutPipe> {
        let state = Arc::<PipeState>::default();
        let written = Arc::clone(&state);
        threads::spawn("stdout", move || written.run())?;
        Ok(StdoutPipe { state })
    }

    /// Where the transfer goes on, once all that was written before is through; `None` when another one has begun.
    pub fn begin(&self, id: String) -> Option<u64> {
        let mut state = self.state.lock();
        if state.written == 0 {
            state.id = Some(id.clone());
        }
        (state.id == Some(id)).then_some(state.written)
    }
}

impl Sink for &StdoutPipe {
    fn write(&mut self, _at: u64, bytes: &[u8]) -> Result<()> {
        self.state.lock().next.extend_from_slice(bytes);
        self.state.changed.notify_all();
        Ok(())
    }

    fn is_through(&mut self, wait: Duration) -> Result<bool> {
        let is_busy = |state: &mut State| !state.next.is_empty() && state.failed.is_none();
        let waited = self.state.changed.wait_timeout_while(self.state.lock(), wait, is_busy);
        let (state, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        match &state.failed {
            // It is so for whoever asks, and cannot be cloned.
            Some(cause) => Err(Error::disk(Verb::Write, Path::new("stdout"))(again(cause))),
            None => Ok(state.next.is_empty()),
        }
    }

    /// What was written is with the reader, and as safe as can be told.
    fn store(&mut self, _end: u64) -> Result<()> {
        Ok(())
    }
}

fn again(cause: &io::Error) -> io::Error {
    cause.raw_os_error().map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error)
}
