//! Reading the objects of `--json`, as far as the tests need it.

/// The string that is `key` in a line of `--json`.
pub fn json_text(line: &str, key: &str) -> String {
    let (_, rest) = line.split_once(&format!("\"{key}\":\"")).unwrap_or_else(|| panic!("no {key} in {line}"));
    let (mut units, mut chars) = (Vec::new(), rest.chars());
    loop {
        let mut push = |c: char| units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        match chars.next().unwrap() {
            '"' => return String::from_utf16(&units).unwrap(),
            '\\' => match chars.next().unwrap() {
                'n' => push('\n'),
                'r' => push('\r'),
                't' => push('\t'),
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).unwrap());
                }
                other => push(other),
            },
            other => push(other),
        }
    }
}

/// The number that is `key` in a line of `--json`.
pub fn json_number(line: &str, key: &str) -> u64 {
    let (_, rest) = line.split_once(&format!("\"{key}\":")).unwrap_or_else(|| panic!("no {key} in {line}"));
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap_or_else(|_| panic!("{key} is no number in {line}"))
}
