//! A link that somebody pastes into a chat where a message is typed. It is for this node, or for one person: as a message, a
//! friend would read it, and could join in that person's place.

use crate::app::contacts;
use crate::error::{Error, Result};
use crate::wire::link::Link;

/// The least length of a text that may have a key in it, and so a secret.
const SECRET_LEN: usize = 52;

/// The link that a text consists of or begins with, if it has one. An error if the text is meant to be one, and is malformed.
pub fn link(text: &str) -> Result<Option<Link>> {
    let text = text.trim();
    if !Link::looks_like(text) {
        return Ok(None);
    }
    let is_word = text.len() > SECRET_LEN && !text.contains(char::is_whitespace);
    match contacts::parse_link(text) {
        Ok(link) => Ok(Some(link)),
        Err(error) if is_word => Err(Error::usage(format!("{error}; it was not sent"))),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;

    #[test]
    fn a_link_alone_is_one_and_a_sentence_with_one_is_not() {
        let key = Seed::from_bytes([7; 32]).static_keys().public();
        let whole = format!("egoat:{key}@host.example:4628");
        assert!(link(&whole).unwrap().is_some());
        assert!(link(&format!("  {whole}\n")).unwrap().is_some());
        assert!(link(&format!("{whole}\nSent from my iPhone")).unwrap().is_some());
        for message in ["", "hello", "egoat: a program", "egoat:", &format!("try {whole}")] {
            assert!(link(message).unwrap().is_none(), "{message:?}");
        }
        for cut in [&whole[..57], &whole[..whole.len() - 5].replace('@', "")] {
            let error = link(cut).err().unwrap().to_string();
            assert!(error.ends_with("it was not sent"), "{error}");
        }
    }
}
