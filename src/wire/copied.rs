//! Where the link is in a text that a person copied: alone, broken into lines, or in the middle of a message. A link has no
//! mark at its end, so the grammar of its addresses says where it ends: the last one that is followed by its port.

use crate::wire::link::Link;

const SCHEME: &str = "egoat:";
/// Longest text of a link in bytes, generously. It bounds the work on a long text.
const MAX_LINK: usize = 4096;
/// Most lines that a link is broken into when other text follows it.
const MAX_WORDS: usize = 64;

/// A text without blanks, and where its words end.
struct Words {
    solid: String,
    /// For each word: where it ends in `solid`, and whether the next one is on another line, or there is none.
    ends: Vec<(usize, bool)>,
}

impl Words {
    fn of(text: &str) -> Words {
        let mut words = Words { solid: String::new(), ends: Vec::new() };
        for line in text.lines() {
            for word in line.split(is_blank).filter(|word| !word.is_empty()) {
                // A mark that cannot be seen breaks no word.
                words.solid.extend(word.chars().filter(|c| !is_unseen(*c)));
                words.ends.push((words.solid.len(), false));
            }
            if let Some(last) = words.ends.last_mut() {
                last.1 = true;
            }
        }
        words
    }

    /// The ends of the words after `begin`, in `solid`.
    fn after(&self, begin: usize) -> &[(usize, bool)] {
        &self.ends[self.ends.partition_point(|(end, _)| *end <= begin)..]
    }
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

fn is_unseen(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

/// Finds the last link in a text that has other words around it.
pub fn find(text: &str) -> Option<Link> {
    let words = Words::of(text);
    // In ASCII alone, so that every place stays where it is.
    let small = words.solid.to_ascii_lowercase();
    small.rmatch_indices(SCHEME).find_map(|(begin, _)| {
        let ends = words.after(begin);
        if is_wrapped(begin, ends) {
            // Nothing but a link, which a narrow window or a mail broke into lines.
            if let Some(link) = complete(&words.solid[begin..]) {
                return Some(link);
            }
        }
        from(&words.solid, begin, ends)
    })
}

/// Whether the words have the lengths of a text that was broken at a width: all but the first and the last have the same.
fn is_wrapped(begin: usize, ends: &[(usize, bool)]) -> bool {
    let lengths: Vec<usize> = ends.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    let inner = &lengths[..lengths.len().saturating_sub(1)];
    ends.last().is_some_and(|(end, _)| end - begin <= MAX_LINK)
        && inner.windows(2).all(|pair| pair[0] == pair[1])
}

/// The link that begins at `begin`: as many words as it takes to the first port, and more only where they go on with it.
fn from(solid: &str, begin: usize, ends: &[(usize, bool)]) -> Option<Link> {
    let part = |at: usize| ends.get(at).map_or("", |(end, _)| cut(&solid[begin..*end]));
    let most = ends.len().min(MAX_WORDS);
    for at in 0..most {
        let text = part(at);
        if text.len() > MAX_LINK || begin + text.len() < ends[at].0 && complete(text).is_none() {
            break;
        }
        let Some(mut link) = complete(text) else {
            // Without a port, the line ends it, not a blank: other words follow.
            match tidy(text).parse() {
                Ok(link) if !ends[at].1 => return Some(link),
                _ => continue,
            }
        };
        let mut at = at;
        while let Some((next, longer)) = onward(solid, begin, ends, at) {
            (at, link) = (next, longer);
        }
        return Some(link);
    }
    None
}

/// The link with what the words after `at` add to it: further addresses after a comma, or the rest of a port that a line
/// end broke, alone on its line.
fn onward(solid: &str, begin: usize, ends: &[(usize, bool)], at: usize) -> Option<(usize, Link)> {
    let (end, breaks) = ends[at];
    let (next_end, next_breaks) = *ends.get(at + 1)?;
    let next = &solid[end..next_end];
    let goes_on = if solid[..end].ends_with(',') || next.starts_with(',') {
        next.contains(['.', ':', '['])
    } else {
        breaks && next_breaks && next.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !goes_on {
        return None;
    }
    // One address may be broken in two.
    (at + 1..ends.len().min(at + 3)).find_map(|to| Some((to, complete(cut(&solid[begin..ends[to].0]))?)))
}

/// The text up to the first character that no link has. Nothing if the text goes on as a web address does: somebody has altered
/// the link, or it is none.
fn cut(text: &str) -> &str {
    let is_link = |c: char| {
        c.is_alphanumeric() || matches!(c, ':' | '.' | '@' | ',' | '[' | ']' | '-' | '+' | '_' | '%')
    };
    let Some(end) = text.find(|c| !is_link(c)) else { return text };
    if text[end..].starts_with(['/', '=', '#', '&', '\\']) { "" } else { &text[..end] }
}

/// The text as a link is written: no marks after it, and small letters before the addresses.
fn tidy(text: &str) -> String {
    let text = text.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ']');
    match text.split_once('@') {
        Some((who, at)) => format!("{}@{at}", who.to_ascii_lowercase()),
        None => text.to_ascii_lowercase(),
    }
}

/// The link that the text is, if each of its addresses has a port.
fn complete(text: &str) -> Option<Link> {
    let text = tidy(text);
    let has_port = |address: &str| {
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        !port.is_empty()
            && port.bytes().all(|b| b.is_ascii_digit())
            && (!host.contains(':') || host.ends_with(']'))
    };
    let (_, addresses) = text.split_once('@')?;
    addresses.split(',').all(has_port).then(|| text.parse().ok())?
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::keys::{InviteToken, Seed};

    fn link(addresses: &[&str]) -> String {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let token = Some(InviteToken::from_bytes([9; 16]));
        Link { is_share: false, key: Seed::from_bytes([7; 32]).static_keys().public(), token, addresses }
            .to_string()
    }

    fn found(text: &str) -> Option<String> {
        Link::copied(text).ok().map(|link| link.to_string())
    }

    #[test]
    fn a_link_is_found_in_a_message() {
        for addresses in
            [&["203.0.113.5:4628"][..], &["203.0.113.5:4628", "[2001:db8::1]:4628", "host.example:7"]]
        {
            let link = link(addresses);
            for message in [
                format!("Hi, here: {link} see you, Anna"),
                format!("{link}\n\nSent from my iPhone"),
                format!("{link}\nAnna"),
                format!("Hello!\n<{link}>, see you at 5:30."),
                format!("{link}, see you at home:80"),
                format!("{link}. 5 people come"),
                format!("{link} 5 people come"),
                format!("[my link]({link}) is good for a day"),
                format!("I use egoat: it is good.\n{link}\nThe egoat: a story"),
                format!("\u{201C}{link}\u{201D} \u{2014} Grüße"),
            ] {
                assert_eq!(found(&message), Some(link.clone()), "{message:?}");
            }
        }
    }

    #[test]
    fn a_link_that_goes_on_is_none() {
        for more in ["/x", "/", "#x", "=1", "&a=b"] {
            assert_eq!(found(&format!("see {}{more} there", link(&["203.0.113.5:4628"]))), None, "{more}");
        }
    }

    #[test]
    fn what_follows_a_link_without_a_port_is_not_of_it() {
        let link = link(&["host.example:4628"]);
        let bare = link.trim_end_matches(":4628");
        assert_eq!(found(&format!("Hi {bare} see you tomorrow, Anna")), Some(link));
    }

    proptest! {
        #[test]
        fn a_link_is_found_between_words_however_it_is_wrapped(
            before in "[A-Za-zäöü ,.!?'()\n]{0,40}",
            after in "[A-Za-zäöü .!?'()\n]{0,40}",
            gap in prop::sample::select(vec![" ", "\n", "\n\n", ".\n", "> ", ") "]),
            width in 12_usize..120,
            several: bool,
        ) {
            let two = ["203.0.113.5:4628", "[2001:db8::1]:4628"];
            let link = link(&two[..1 + usize::from(several)]);
            prop_assert_eq!(found(&format!("{before} {link}{gap}{after}")), Some(link.clone()));
            let lines: Vec<&str> = link.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
            let wrapped = lines.join("\n");
            prop_assert_eq!(found(&format!("{before} {wrapped}")), Some(link.clone()));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(egoat:|[a-z2-7]{52}|@|:4628|[ \n,.\\[\\]>é])*") {
            let _ = found(&text);
        }
    }
}
