//! How many connections a node takes: what the user says, and no more than the system gives it files and memory for.

/// Connections of peers in all.
const MAX_SEATS: usize = 1024;
/// Connections that are not yet authenticated, in all.
const MAX_PENDING: usize = 64;
/// Connections of a peer that says something now and then: one each way.
const SEATS_PER_PEER: usize = 2;
/// The fewest seats, if there is memory for them: a peer has a connection each way for messages, and one for files.
const FEWEST_SEATS: usize = 3;
/// Open files with which a node has room for all that it does. With fewer it takes fewer connections.
pub const ENOUGH_FILES: usize = 64;
/// Files for a seat: the connection, the one that we have dialled to the same peer, and the logs of both.
const FILES_PER_SEAT: usize = 7;
/// Unknowns hold no more than one file in so many, and those who were turned away as many.
const PENDING_PART: usize = 8;
/// The same where there are fewer than [`ENOUGH_FILES`].
const SCARCE_PART: usize = 16;
/// Standard streams, listeners, locks, and what is open for a moment.
const OTHER_FILES: usize = 24;
/// Assumed where the system does not tell its limit: the default of macOS.
const DEFAULT_FILES: usize = 256;
/// Bytes of memory for a connection: its stack of 256 KiB, and as much again for buffers.
const MEMORY_EACH: usize = 512 << 10;
/// Bytes for the other threads of a node and what they allocate, beside what the program takes as it starts.
const OTHER_MEMORY: usize = 8 << 20;

/// How many connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of peers.
    pub seats: usize,
    /// Connections that are not yet authenticated.
    pub pending: usize,
    /// Files that this process may have open. Asking the system takes one, so it is asked while there are any.
    pub open_files: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::new(None, None)
    }
}

impl Limits {
    /// For so many peers and unknowns, or the usual numbers; fewer if the system gives a process too little.
    pub fn new(peers: Option<usize>, pending: Option<usize>) -> Limits {
        let system = System {
            files: soft_limit("Max open files").unwrap_or(DEFAULT_FILES),
            memory: soft_limit("Max address space").map_or(usize::MAX, |most| most.saturating_sub(taken())),
        };
        Limits::within(system, peers, pending)
    }

    fn within(system: System, peers: Option<usize>, pending: Option<usize>) -> Limits {
        let System { files, memory } = system;
        // Without memory a program ends, whatever it wants it for, so there must be some left.
        let threads = memory.saturating_sub(OTHER_MEMORY) / MEMORY_EACH;
        let part = if files < ENOUGH_FILES { SCARCE_PART } else { PENDING_PART };
        let pending = pending.unwrap_or(MAX_PENDING).min(files / part).min(threads / 2).max(1);
        let seats = peers.map_or(MAX_SEATS, |peers| peers.saturating_mul(SEATS_PER_PEER));
        let left = files.saturating_sub(OTHER_FILES + 2 * pending);
        let most = (left / FILES_PER_SEAT).max(FEWEST_SEATS).min(threads.saturating_sub(pending));
        Limits { seats: seats.min(most).max(1), pending, open_files: files }
    }

    /// Peers that can be connected at once.
    pub fn peers(&self) -> usize {
        self.seats.div_ceil(SEATS_PER_PEER)
    }
}

/// What the system gives a process.
#[derive(Clone, Copy)]
struct System {
    files: usize,
    /// Bytes of address space beside those that the program has.
    memory: usize,
}

/// Bytes of address space that the program has now; 0 where the system does not tell.
fn taken() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    size.and_then(|size| size.parse::<usize>().ok()).map_or(0, |size| size << 10)
}

/// A soft limit, if there is one, where the system tells it in /proc.
fn soft_limit(name: &str) -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(files: usize, memory: usize, given: Option<usize>) -> (usize, usize) {
        let Limits { seats, pending, .. } = Limits::within(System { files, memory }, given, given);
        (seats, pending)
    }

    #[test]
    fn there_are_files_and_memory_for_everybody() {
        for files in [64, 256, 1024, 4096, 20_000, 1 << 20] {
            for memory in [10 << 20, 16 << 20, 100 << 20, usize::MAX] {
                for given in [None, Some(1), Some(100), Some(usize::MAX)] {
                    let (seats, pending) = within(files, memory, given);
                    assert!(seats >= 1 && pending >= 1);
                    assert!(seats * FILES_PER_SEAT + 2 * pending + OTHER_FILES <= files, "{files} {given:?}");
                    assert!((seats + pending) * MEMORY_EACH + OTHER_MEMORY <= memory, "{memory} {given:?}");
                }
            }
        }
    }

    #[test]
    fn the_limits_are_those_of_the_manual() {
        const PLENTY: usize = usize::MAX;
        assert_eq!(within(64, PLENTY, None), (3, 8));
        assert_eq!(within(20_000, PLENTY, None), (MAX_SEATS, MAX_PENDING));
        assert_eq!(within(20_000, PLENTY, Some(3)), (6, 3));
        assert_eq!(within(20_000, 16 << 20, None), (8, 8));
        assert_eq!(Limits { seats: 5, pending: 1, open_files: 64 }.peers(), 3);
        // Too little for anything, but not for nothing.
        assert_eq!(within(48, PLENTY, None), (3, 3));
        assert_eq!(within(5, PLENTY, None), (3, 1));
        assert_eq!(within(PLENTY, 5, None), (1, 1));
    }
}
