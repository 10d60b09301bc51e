//! Base32 of RFC 4648 in lower case and without padding: how keys and tokens are written in links and files.
//!
//! Decoding is strict: bytes have one spelling, so texts can be compared instead of what they stand for.
//! Upper case, padding, white space and look-alike letters are left out on purpose.

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The text of `bytes`, five bits a character.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    for group in bytes.chunks(5) {
        // Five bytes are 40 bits, laid at the top of the 64; a shorter group is followed by zeros.
        let mut block = [0; 8];
        block[..group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(block);
        for i in 0..(group.len() * 8).div_ceil(5) {
            let digit = bits >> (59 - 5 * i) & 31;
            text.push(char::from(ALPHABET[digit as usize]));
        }
    }
    text
}

/// The bytes whose [`encode`] is exactly `text`; `None` for every other text.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    for group in text.as_bytes().chunks(8) {
        let mut bits = 0u64;
        for (i, c) in group.iter().enumerate() {
            bits |= digit(*c)? << (59 - 5 * i);
        }
        let len = group.len() * 5 / 8;
        let block = bits.to_be_bytes();
        // A character that adds no byte, or bits beyond the last byte, would be a second spelling.
        if (len * 8).div_ceil(5) != group.len() || block[len..].iter().any(|b| *b != 0) {
            return None;
        }
        bytes.extend_from_slice(&block[..len]);
    }
    Some(bytes)
}

/// [`decode`] of exactly `N` bytes.
pub fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.try_into().ok()
}

/// What a character stands for, 0 to 31.
fn digit(c: u8) -> Option<u64> {
    match c {
        b'a'..=b'z' => Some(u64::from(c - b'a')),
        b'2'..=b'7' => Some(u64::from(c - b'2') + 26),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648, section 10, in lower case and without the padding.
    #[test]
    fn vectors_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn only_the_one_spelling_is_read() {
        for text in
            ["MY", "my======", "mz", "m", "mzx", "mzxw6y", "mzxw6ytba", "m1", "m8", "m y", "mý", " my"]
        {
            assert_eq!(decode(text), None, "{text:?}");
        }
        assert_eq!(decode_array::<1>("my"), Some([b'f']));
        assert_eq!(decode_array::<2>("my"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn what_decodes_is_the_encoding(text in "[a-z2-7]{0,20}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = decode(&text);
        }
    }
}
