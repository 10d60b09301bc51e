//! Percent-encoding (RFC 3986, section 2.1), for the paths in our files and the login of a proxy.

/// Decodes `%XX` to the byte that it names; every other character stands for its UTF-8 bytes. `None` if a `%` stands before
/// anything but two hexadecimal digits.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        // `from_str_radix` alone takes "+4" for a number.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

/// Appends the byte as `%XX`.
pub fn push(text: &mut String, byte: u8) {
    text.push_str(&format!("%{byte:02X}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_hexadecimal_digits_are_a_byte() {
        assert_eq!(decode("a%20b%C3%a9"), Some("a b\u{e9}".into()));
        assert_eq!(decode("%25"), Some("%".into()));
        assert_eq!(decode("%00\u{e9}"), Some("\0\u{e9}".into()));
        for bad in ["%", "a%2", "%zz", "%+4", "%-1", "% 4", "%%20", "%\u{e9}"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
