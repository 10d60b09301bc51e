//! What the fuzz targets share: the properties, which `make check` holds too (tests/mutation.rs), and an allocator that
//! counts. A target says only which property it is about.
//!
//! `make fuzz` runs them. What they find is mended, and kept as a seed with a name that begins with `found-`.

#[path = "properties/mod.rs"]
pub mod properties;

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Holds the property called `name` of `input`; the target is bare where it does not.
pub fn check(name: &str, input: &[u8]) {
    let target = properties::TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("no property is called {name}")).hold(&HEAP, input);
}
