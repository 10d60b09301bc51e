//! What must hold for any bytes that a reader of E-Goat is given, each property once: `make check` holds them for seeds
//! and for what a mutator makes of them (tests/mutation.rs), `make fuzz` for what libFuzzer finds (tests/fuzz).
//!
//! Nothing panics, nothing takes more of the heap than is stated, and what decodes encodes back: to the same bytes where
//! an encoding is the only one, else to something that decodes to the same. A property gives what the input decodes to,
//! encoded again, and `None` for what is refused.
//!
//! It leaves out what is worth a seed (tests/fuzz/samples.rs makes those) and sockets.

#![allow(clippy::unwrap_used)]

mod crypto;
mod files;
mod routers;
mod store;
mod typing;
mod wire;
mod words;

use peak_alloc::PeakAlloc;

// What samples are made with.
pub use self::{
    routers::request,
    store::{key, log_of},
    words::file_with as tzif_with,
};

/// Heap that the decoded form of a byte may take, the copies that a property makes of it included.
const PER_BYTE: usize = 64;
const KIB: usize = 1 << 10;

/// A reader, and what it must keep to.
pub struct Target {
    /// The name of the fuzz target, and of the folder with its seeds.
    pub name: &'static str,
    property: fn(&[u8]) -> Option<Vec<u8>>,
    /// Bytes on the heap at once that no input makes it exceed, beside [`PER_BYTE`].
    memory: usize,
    /// What is tried of it in `make check`.
    pub effort: Effort,
}

/// What is tried in `make check`.
#[derive(Clone, Copy)]
pub struct Effort {
    /// No proper prefix of a seed decodes to what the seed does.
    pub is_prefix_free: bool,
    /// With these each byte of a seed is changed, one at a time.
    pub flips: &'static [u8],
    /// Mutated inputs.
    pub mutations: usize,
}

const ALL: [u8; 255] = {
    let mut all = [0; 255];
    let mut at = 0;
    while at < all.len() {
        all[at] = at as u8 + 1;
        at += 1;
    }
    all
};

const BINARY: Effort = Effort { is_prefix_free: true, flips: &ALL, mutations: 10_000 };
/// Any change of a tag is as good as another.
const BEACON: Effort = Effort { flips: &[1, 2, 4, 8, 0x80], ..BINARY };
const TEXT: Effort = Effort { is_prefix_free: false, ..BINARY };
/// Where a byte is sealed or hashed, any change is as good as another, and a few milliseconds are spent on each.
const STORED: Effort = Effort { is_prefix_free: true, flips: &[1], mutations: 50 };
/// A text of many lines, each of which is taken apart in several ways.
const ANSWER: Effort = Effort { flips: &[1, 0x20, 0x80], ..TEXT };
/// A key draws all of the line.
const TYPED: Effort = Effort { flips: &[1], mutations: 1000, ..TEXT };
const SEALED: Effort = Effort { is_prefix_free: false, ..STORED };

const fn target(
    name: &'static str,
    memory: usize,
    effort: Effort,
    property: fn(&[u8]) -> Option<Vec<u8>>,
) -> Target {
    Target { name, property, memory, effort }
}

pub const TARGETS: &[Target] = &[
    target("frames", 1024 * KIB, BINARY, wire::frames),
    target("message", 64 * KIB, BINARY, wire::message),
    target("beacon", 64 * KIB, BEACON, wire::beacon),
    target("shares", 64 * KIB, BINARY, wire::shares),
    target("want", 64 * KIB, BINARY, wire::want),
    target("address", 64 * KIB, TEXT, wire::address),
    target("link", 64 * KIB, TEXT, wire::link),
    target("handshake", 256 * KIB, SEALED, crypto::handshake),
    target("log", 8 << 20, STORED, store::log),
    target("outbox", 8 << 20, STORED, store::outbox),
    target("queued_files", 8 << 20, STORED, store::queued_files),
    target("shares_log", 8 << 20, STORED, store::shares_log),
    target("history", 64 * KIB, BINARY, store::history),
    // A blank line takes as much as a peer.
    target("peers", 2048 * KIB, TEXT, store::peers),
    target("manifest", 64 * KIB, BINARY, files::manifest),
    // An answer may say that it has chunks of any length, and what was read is there three times.
    target("routers", 256 * KIB, ANSWER, routers::routers),
    target("path", 64 * KIB, TEXT, files::path),
    target("tzif", 64 * KIB, BINARY, words::tzif),
    target("tz_rule", 64 * KIB, TEXT, words::tz_rule),
    target("text", 64 * KIB, TEXT, words::text),
    // A line may grow to a message, and each of its characters be a row of a narrow screen.
    target("editor", 128 << 20, TYPED, typing::editor),
];

impl Target {
    /// Holds the property of one input. `heap` is the global allocator, and nothing else uses it meanwhile.
    pub fn hold(&self, heap: &PeakAlloc, input: &[u8]) -> Option<Vec<u8>> {
        let before = heap.current_usage();
        heap.reset_peak_usage();
        let decoded = (self.property)(input);
        let taken = heap.peak_usage().saturating_sub(before);
        let most = self.memory + PER_BYTE * input.len();
        assert!(taken <= most, "{}: {taken} bytes were taken for an input of {}", self.name, input.len());
        decoded
    }
}
