//! Syncs many files: several at a time where the disk is slow, for those who wait for a disk together wait once, as the
//! journals of file systems have it. It leaves out which files those are.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// A sync that takes no longer than this is not worth another thread.
const FAST_SYNC: Duration = Duration::from_micros(100);
/// Files that are synced at a time, and also files that wait for it. Each is an open descriptor.
const MAX_SYNCS: usize = 8;
/// How often `meanwhile` is called.
const MEANWHILE_INTERVAL: Duration = Duration::from_secs(1);
/// Of a thread that does nothing else.
const STACK: usize = 64 << 10;

/// A file that could not be synced, by the number that it was given with, and why.
pub type SyncFailure = (usize, io::Error);

/// Syncs files. Those that wait are let go when it is dropped.
#[derive(Default)]
pub struct Syncer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The last sync was no fast one.
    is_slow: AtomicBool,
    state: Mutex<State>,
    /// There is something to sync, or never will be.
    work: Condvar,
    /// Something was synced.
    done: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(usize, File)>,
    /// Threads that wait for something to sync.
    idle: usize,
    /// Threads in all.
    threads: usize,
    /// Files that are being synced.
    busy: usize,
    /// The first failure: its file, and the system's number for it.
    failed: Option<(usize, Option<i32>)>,
    over: bool,
}

impl Syncer {
    /// Syncs a file, at once or before `finish` returns. A failure of another one is told as soon as it is known.
    pub fn sync(&self, number: usize, file: File) -> Result<(), SyncFailure> {
        let shared = &self.0;
        if !shared.is_slow.load(Ordering::Relaxed) {
            return shared.sync_now(&file).map_err(|cause| (number, cause));
        }
        let mut state = shared.state();
        while state.waiting.len() == MAX_SYNCS && state.failed.is_none() {
            state = shared.done.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        state.failure()?;
        if state.idle == 0 && state.threads < MAX_SYNCS {
            let worker = Arc::clone(shared);
            let builder = thread::Builder::new().name("sync".into()).stack_size(STACK);
            if builder.spawn(move || worker.run()).is_ok() {
                state.threads += 1;
            }
        }
        if state.threads == 0 {
            // There can be none.
            drop(state);
            return shared.sync_now(&file).map_err(|cause| (number, cause));
        }
        state.waiting.push_back((number, file));
        shared.work.notify_one();
        Ok(())
    }

    /// Waits until all files are on the disk; `meanwhile` is called now and then, and an error of it ends the waiting.
    pub fn finish<E>(
        &self,
        mut meanwhile: impl FnMut() -> Result<(), E>,
    ) -> Result<Result<(), SyncFailure>, E> {
        let shared = &self.0;
        let mut state = shared.state();
        while state.failed.is_none() && (state.busy > 0 || !state.waiting.is_empty()) {
            let waited = shared.done.wait_timeout(state, MEANWHILE_INTERVAL);
            let (again, waited) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
            state = again;
            if waited.timed_out() {
                drop(state);
                meanwhile()?;
                state = shared.state();
            }
        }
        Ok(state.failure())
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.over = true;
        state.waiting.clear();
        self.0.work.notify_all();
    }
}

impl State {
    fn failure(&self) -> Result<(), SyncFailure> {
        let Some((number, code)) = self.failed else { return Ok(()) };
        Err((number, code.map_or_else(|| io::ErrorKind::Other.into(), io::Error::from_raw_os_error)))
    }
}

impl Shared {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn sync_now(&self, file: &File) -> io::Result<()> {
        let began = Instant::now();
        let synced = file.sync_all();
        self.is_slow.store(began.elapsed() > FAST_SYNC, Ordering::Relaxed);
        synced
    }

    /// A thread's part.
    fn run(&self) {
        let mut state = self.state();
        while !state.over {
            let Some((number, file)) = state.waiting.pop_front() else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
                state.idle -= 1;
                continue;
            };
            state.busy += 1;
            drop(state);
            let synced = self.sync_now(&file);
            drop(file);
            state = self.state();
            state.busy -= 1;
            if let Err(cause) = synced {
                state.failed.get_or_insert((number, cause.raw_os_error()));
            }
            self.done.notify_all();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn wait() -> Result<(), Infallible> {
        Ok(())
    }

    fn slow() -> Syncer {
        let syncer = Syncer::default();
        syncer.0.is_slow.store(true, Ordering::Relaxed);
        syncer
    }

    #[test]
    fn all_are_synced_when_it_finishes() {
        for syncer in [Syncer::default(), slow()] {
            for number in 0..100 {
                syncer.sync(number, tempfile::tempfile().unwrap()).unwrap();
            }
            syncer.finish(wait).unwrap().unwrap();
            let state = syncer.0.state();
            assert!(state.waiting.is_empty() && state.busy == 0 && state.threads <= MAX_SYNCS);
        }
    }

    /// No pipe can be synced.
    #[test]
    #[cfg(unix)]
    fn a_failure_is_told_and_stays() {
        let pipe = || File::from(std::os::fd::OwnedFd::from(io::pipe().unwrap().1));
        assert_eq!(Syncer::default().sync(7, pipe()).unwrap_err().0, 7);
        let syncer = slow();
        syncer.sync(1, tempfile::tempfile().unwrap()).unwrap();
        let _ = syncer.sync(2, pipe());
        for _ in 0..2 {
            let (number, cause) = syncer.finish(wait).unwrap().unwrap_err();
            assert!(number == 2 && cause.raw_os_error().is_some(), "{cause}");
        }
        syncer.0.is_slow.store(true, Ordering::Relaxed);
        assert_eq!(syncer.sync(3, tempfile::tempfile().unwrap()).unwrap_err().0, 2);
    }

    #[test]
    fn its_threads_end_with_it() {
        let syncer = slow();
        (0..50).for_each(|number| syncer.sync(number, tempfile::tempfile().unwrap()).unwrap());
        let shared = Arc::downgrade(&syncer.0);
        drop(syncer);
        let began = Instant::now();
        while shared.strong_count() > 0 {
            assert!(began.elapsed() < Duration::from_secs(40), "they are still there");
            thread::yield_now();
        }
    }
}
