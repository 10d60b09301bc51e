//! Links: `egoat:KEY@HOST:PORT[,HOST:PORT...]`, or `egoat:KEY.TOKEN@...` for an invite and `egoat:get+KEY.TOKEN@...` for a
//! share (egoat-protocol(7), LINKS).
//! They need no quoting in any shell. It leaves out whether an invite is still good: see `store::invites`.

use std::fmt;
use std::str::FromStr;

use crate::crypto::keys::{InviteToken, PublicKey};
use crate::wire::address::Address;
use crate::wire::copied;

/// Most addresses in a link or of a peer; a node has few, and each costs a failing dial 5 s.
pub const MAX_ADDRESSES: usize = 8;

const SCHEME: &str = "egoat:";
/// What stands before the key in the link of a share. No key has a `+`.
const GET: &str = "get+";

/// Who a node is and where, and for an invite or a share its token.
#[derive(Clone)]
pub struct Link {
    /// It is that of a share, which has a token.
    pub is_share: bool,
    /// The node's static key.
    pub key: PublicKey,
    /// The secret of an invite or a share.
    pub token: Option<InviteToken>,
    /// Where to dial, best first; never empty.
    pub addresses: Vec<Address>,
}

/// Why a text is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLink(pub &'static str);

impl Link {
    /// Whether a person means a link by `text`.
    pub fn looks_like(text: &str) -> bool {
        bare(text).starts_with(SCHEME)
    }

    /// Parses a link as people copy it: out of a mail, a chat or a terminal, with what stood around it there, broken into
    /// lines, or in capitals.
    pub fn copied(text: &str) -> Result<Link, BadLink> {
        if let Some(link) = copied::find(text) {
            return Ok(link);
        }
        // It has no port at its end, or is no link: then the error says what is wrong with all of it.
        let bare = bare(text);
        bare.rfind(SCHEME).map_or(&*bare, |begin| &bare[begin..]).parse()
    }
}

/// The text without white space, without what cannot be seen, and without the marks that people and programs put around a
/// link; the key and the token in small letters.
fn bare(text: &str) -> String {
    let is_blank = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
    };
    let solid: String = text.chars().filter(|c| !is_blank(*c)).collect();
    let is_quote = |c: char| matches!(c, '\'' | '"' | '`' | '\u{AB}' | '\u{BB}' | '\u{2018}'..='\u{201F}');
    let solid = solid
        .trim_start_matches(|c| is_quote(c) || matches!(c, '<' | '(' | '*'))
        .trim_end_matches(|c| is_quote(c) || matches!(c, '>' | ')' | '*' | '.' | ',' | ';' | '!' | '?'));
    match solid.split_once('@') {
        Some((who, at)) => format!("{}@{at}", who.to_ascii_lowercase()),
        None => solid.to_ascii_lowercase(),
    }
}

impl FromStr for Link {
    type Err = BadLink;

    fn from_str(text: &str) -> Result<Link, BadLink> {
        let body = text.strip_prefix(SCHEME).ok_or(BadLink("it does not start with egoat:"))?;
        let (who, at) = body.split_once('@').ok_or(BadLink("the @ and the addresses are missing"))?;
        let share = who.strip_prefix(GET);
        let (key, token) = match share.unwrap_or(who).split_once('.') {
            Some((key, token)) => (
                key,
                Some(
                    InviteToken::from_base32(token)
                        .ok_or(BadLink("the token is not 26 characters of base32"))?,
                ),
            ),
            None if share.is_some() => return Err(BadLink("the token of the share is missing")),
            None => (who, None),
        };
        let key =
            key.parse().map_err(|_| BadLink("the key is not 52 characters of base32, or no valid key"))?;
        let mut addresses = Vec::new();
        for address in at.split(',') {
            if addresses.len() == MAX_ADDRESSES {
                return Err(BadLink("it has more than 8 addresses"));
            }
            addresses.push(address.parse().map_err(|_| BadLink("an address in it is malformed"))?);
        }
        Ok(Link { is_share: share.is_some(), key, token, addresses })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", if self.is_share { GET } else { "" }, self.key)?;
        if let Some(token) = &self.token {
            write!(f, ".{}", token.to_base32())?;
        }
        for (index, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if index == 0 { '@' } else { ',' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    fn sample() -> Link {
        Link {
            is_share: false,
            key: Seed::from_bytes([7; 32]).static_keys().public(),
            token: Some(InviteToken::from_bytes([9; 16])),
            addresses: vec![
                "[2001:db8::1]:4628".parse().expect("v6"),
                "host.example:7".parse().expect("name"),
            ],
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for is_share in [false, true] {
            let text = Link { is_share, ..sample() }.to_string();
            let Ok(link) = text.parse::<Link>() else { panic!("its own link") };
            assert_eq!((link.to_string(), link.is_share), (text.clone(), is_share));
            assert_eq!(Link::copied(&text.to_uppercase()).map(|link| link.to_string()), Ok(text.clone()));
            assert!(
                text.bytes().all(|b| b.is_ascii_alphanumeric() || b":.@,[]-+".contains(&b)),
                "no quoting needed: {text}"
            );
        }
    }

    #[test]
    fn a_share_without_a_token_is_refused() {
        let link = Link { is_share: true, token: None, ..sample() };
        assert!(link.to_string().parse::<Link>().is_err());
    }

    #[test]
    fn every_proper_prefix_with_a_cut_key_or_token_is_refused() {
        let text = sample().to_string();
        let at = text.find('@').expect("has @");
        for end in 0..=at + 1 {
            assert!(text[..end].parse::<Link>().is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn changed_letters_are_refused_or_another_link() {
        let text = sample().to_string();
        for place in 0..text.find('@').expect("has @") {
            let mut other = text.clone().into_bytes();
            other[place] = if other[place] == b'a' { b'b' } else { b'a' };
            let other = String::from_utf8(other).expect("ascii");
            if let Ok(link) = other.parse::<Link>() {
                assert_eq!(link.to_string(), other, "a link has one spelling");
            }
        }
    }

    #[test]
    fn a_link_is_taken_however_it_was_copied() {
        let text = sample().to_string();
        let (half, rest) = text.split_at(40);
        let at = text.find('@').expect("has @");
        for copied in [
            format!(" {text}\n"),
            format!("'{text}'"),
            format!("\u{201C}{text}\u{201D}."),
            format!("<{text}>"),
            format!("(\u{AB}{text}\u{BB})!"),
            format!("**`{text}`**"),
            format!("{text}."),
            format!("{half}\r\n    {rest}"),
            format!("{half} {rest}"),
            format!("{half}\u{200B}{rest}\u{FEFF}"),
            text.chars().map(|c| format!("{c} ")).collect(),
            format!("{}{}", text[..at].to_uppercase(), &text[at..]),
            text.to_uppercase(),
            format!("egoat: {text}"),
            format!("Egoat: '{text}'"),
        ] {
            assert!(Link::looks_like(&copied), "{copied:?}");
            assert_eq!(Link::copied(&copied).map(|link| link.to_string()), Ok(text.clone()), "{copied:?}");
        }
        let command = format!("egoat join '{text}'");
        assert_eq!(Link::copied(&command).map(|link| link.to_string()), Ok(text));
        for other in ["bob", "egoat", "the egoat: a story", "", "'", "bob@egoat:4628"] {
            assert!(!Link::looks_like(other) && Link::copied(other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn too_many_addresses_are_refused() {
        let mut link = sample();
        link.addresses = vec!["h:1".parse().expect("address"); MAX_ADDRESSES + 1];
        assert!(link.to_string().parse::<Link>().is_err());
    }
}
