//! How many connections a node takes: what the user says, and no more than the system gives it files for.

/// Connections of peers in all (DESIGN section 5).
const MOST_SEATS: usize = 1024;
/// Connections that are not yet authenticated, in all.
const MOST_PENDING: usize = 64;
/// Connections of a peer that says something now and then: one each way.
const SEATS_PER_PEER: usize = 2;
/// Files for a seat: the connection, the one that we have dialled to the same peer, and the logs of both.
const FILES_PER_SEAT: usize = 7;
/// Unknowns hold no more than one file in so many, and those who were turned away as many.
const PENDING_PART: usize = 8;
/// Standard streams, listeners, locks, and what is open for a moment.
const OTHER_FILES: usize = 24;
/// Where the system does not tell: the usual limit of macOS.
const USUAL_FILES: usize = 256;

/// How many connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of peers.
    pub seats: usize,
    /// Connections that are not yet authenticated.
    pub pending: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::new(None, None)
    }
}

impl Limits {
    /// For so many peers and unknowns, or the usual numbers; fewer if the system lets a process open too few files.
    pub fn new(peers: Option<usize>, pending: Option<usize>) -> Limits {
        Limits::within(descriptor_limit().unwrap_or(USUAL_FILES), peers, pending)
    }

    fn within(files: usize, peers: Option<usize>, pending: Option<usize>) -> Limits {
        let pending = pending.unwrap_or(MOST_PENDING).min(files / PENDING_PART).max(1);
        let seats = peers.map_or(MOST_SEATS, |peers| peers.saturating_mul(SEATS_PER_PEER));
        let rest = files.saturating_sub(OTHER_FILES + 2 * pending);
        Limits { seats: seats.min(rest / FILES_PER_SEAT).max(1), pending }
    }

    /// Peers that can be connected at once.
    pub fn peers(&self) -> usize {
        self.seats.div_ceil(SEATS_PER_PEER)
    }
}

/// The soft limit on open files, where the system tells it in /proc.
fn descriptor_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_file_for_everybody() {
        for files in [64, 256, 1024, 4096, 20_000, 1 << 20] {
            for given in [None, Some(1), Some(100), Some(usize::MAX)] {
                let Limits { seats, pending } = Limits::within(files, given, given);
                assert!(seats >= 1 && pending >= 1);
                assert!(seats * FILES_PER_SEAT + 2 * pending + OTHER_FILES <= files, "{files} {given:?}");
            }
        }
        assert_eq!(Limits::within(64, None, None), Limits { seats: 3, pending: 8 });
        assert_eq!(Limits::within(20_000, None, None), Limits { seats: MOST_SEATS, pending: MOST_PENDING });
        assert_eq!(Limits::within(20_000, Some(3), Some(5)), Limits { seats: 6, pending: 5 });
        assert_eq!(Limits::within(20_000, Some(3), None).peers(), 3);
        // Too few for anything, but not for nothing.
        assert_eq!(Limits::within(5, None, None), Limits { seats: 1, pending: 1 });
    }
}
