//! What may come out of a sink: section 7 of the design, spelt out apart from `src/text.rs`.

/// Whether `c` must not come out: it steers a terminal, reorders a line, hides, or is no character. LF may.
pub fn is_forbidden(c: char) -> bool {
    let c = u32::from(c);
    let control = (c < 0x20 && c != 0x0A) || (0x7F..=0x9F).contains(&c);
    let bidi = [0x061C, 0x200E, 0x200F].contains(&c)
        || (0x202A..=0x202E).contains(&c)
        || (0x2066..=0x2069).contains(&c);
    let separator = c == 0x2028 || c == 0x2029;
    let zero_width = [0x00AD, 0x034F, 0x180E, 0x200B, 0xFEFF].contains(&c) || (0x2060..=0x2064).contains(&c);
    let annotation = (0xFFF9..=0xFFFB).contains(&c);
    let tag = (0xE0000..=0xE007F).contains(&c);
    let selector = (0xE0100..=0xE01EF).contains(&c) || (0xFE00..=0xFE0E).contains(&c);
    let noncharacter = (0xFDD0..=0xFDEF).contains(&c) || c % 0x10000 >= 0xFFFE;
    control || bidi || separator || zero_width || annotation || tag || selector || noncharacter
}

/// Whether `c` is one of the joiners, which a body may have and a line of its own may not: ZWNJ, ZWJ, VS16.
pub fn is_joiner(c: char) -> bool {
    ['\u{200C}', '\u{200D}', '\u{FE0F}'].contains(&c)
}
