//! What a transfer costs at both ends: processor time and memory of real processes, read from /proc while they run.
//!
//! An end is a process with all its descendants. Processor time is exact to a tick of 10 ms: a process that is gone has
//! left its time to the one that waited for it. Memory is the most that the peaks of the processes alive at one time add
//! up to, looked at each 10 ms; pages that several share count several times. Left out: systems without /proc, of which
//! wall times alone are told, and what the kernel does in nobody's name.

use std::io;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{self, TICKS, memory, proc, stat_fields};

/// Between two looks at memory. More often, and the looking would show in the times.
const LOOK: Duration = Duration::from_millis(10);
/// How long the receiving end's children may take to go.
const LEAVING: Duration = Duration::from_secs(5);

/// What one end took.
#[derive(Clone, Copy, Default)]
pub struct Used {
    /// Seconds of processor time.
    pub seconds: Option<f64>,
    /// The most memory, in MiB.
    pub peak: Option<f64>,
}

/// What a transfer took.
#[derive(Clone, Copy)]
pub struct Run {
    pub wall: Duration,
    pub sender: Used,
    pub receiver: Used,
}

/// Runs `sender` to its end beside a `receiver` that stays.
pub fn measure(mut sender: Command, receiver: u32) -> Run {
    let before = ticks(receiver);
    let started = Instant::now();
    let mut child = sender.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdout = child.stdout.take().expect("piped");
    let ended = AtomicBool::new(false);
    let (wall, peaks) = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch([child.id(), receiver], &ended));
        // Its end is seen here first, and leaves a zombie to read the processor time of.
        io::copy(&mut stdout, &mut io::sink()).expect("readable");
        let wall = started.elapsed();
        ended.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        (wall, watcher.join().expect("no panic"))
    });
    until(|| !is_running(child.id()));
    let spent = ticks(child.id());
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{sender:?}: {status}");
    until(|| children(receiver).is_empty());
    let received = ticks(receiver).zip(before).map(|(after, before)| after - before);
    let used = |ticks: Option<u64>, peak: Option<u64>| Used {
        seconds: ticks.map(|ticks| ticks as f64 / TICKS),
        peak: peak.map(|peak| peak as f64 / 1024.0),
    };
    Run { wall, sender: used(spent, peaks[0]), receiver: used(received, peaks[1]) }
}

/// The peaks of two ends in KiB, until it is over.
fn watch(ends: [u32; 2], ended: &AtomicBool) -> [Option<u64>; 2] {
    let mut peaks = [None; 2];
    let mut pause = Duration::from_millis(1);
    while !ended.load(Ordering::Relaxed) {
        for (peak, end) in peaks.iter_mut().zip(ends) {
            *peak = (*peak).max(peak_of_tree(end));
        }
        thread::park_timeout(pause);
        // Often at first, for what is over soon.
        pause = (2 * pause).min(LOOK);
    }
    peaks
}

fn peak_of_tree(process: u32) -> Option<u64> {
    let own = memory(process, "VmHWM:");
    let below: u64 = children(process).into_iter().filter_map(peak_of_tree).sum();
    own.map(|own| own + below)
}

fn children(process: u32) -> Vec<u32> {
    let listed = proc(process, &format!("task/{process}/children")).unwrap_or_default();
    listed.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn ticks(process: u32) -> Option<u64> {
    common::ticks(&proc(process, "stat")?)
}

/// Processor time of the calling thread so far, in seconds.
pub fn own_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    // A thread waits for no children, but is told those of its process: they are not its own.
    let fields: Vec<u64> =
        stat_fields(&stat)?.get(11..13)?.iter().filter_map(|field| field.parse().ok()).collect();
    Some(fields.iter().sum::<u64>() as f64 / TICKS)
}

fn is_running(process: u32) -> bool {
    let stat = proc(process, "stat").unwrap_or_default();
    stat_fields(&stat).is_some_and(|fields| fields.first() != Some(&"Z"))
}

fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LEAVING;
    while !is_so() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
}
