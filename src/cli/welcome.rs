//! The questions to a newcomer, line by line, before the terminal becomes the chat's. What has a good answer is not asked:
//! the node chooses its port itself.

use crate::app::{Endpoint, contacts};
use crate::error::{Error, Result};
use crate::ui::output::{self, Output};
use crate::ui::prompt;

/// How the welcome ended.
pub enum Welcome {
    /// The chat begins, with a link for somebody if the user `invites`.
    Begin { invites: bool },
    /// The user left a question. Nothing is saved, and the next start asks again.
    Left,
}

/// Asks a newcomer what has to be asked; nobody else is asked anything.
pub fn run(own: &Endpoint, out: Output) -> Result<Welcome> {
    if own.home().has_name() || !contacts::all(own)?.is_empty() {
        return Ok(Welcome::Begin { invites: false });
    }
    output::warn("welcome; Enter takes what stands in brackets, and Ctrl-C leaves");
    match questions(own, out)? {
        Some(invites) => Ok(Welcome::Begin { invites }),
        None => {
            output::warn("nothing is saved; the next `egoat` asks again");
            Ok(Welcome::Left)
        }
    }
}

/// Whether the user invites somebody; `None` if a question was left. The name is saved last: with it, nobody is asked again.
fn questions(own: &Endpoint, out: Output) -> Result<Option<bool>> {
    let default = own.name()?;
    let name = ask(&format!("what are you called? [{default}]"), |given| match given {
        "" => Ok(default.clone()),
        given => contacts::parse_name(given),
    });
    let Some(name) = name else { return Ok(None) };
    let question = "invite somebody, join with a link, or look around first? [i/j/Enter]";
    let choice = ask(question, |given| match given.to_ascii_lowercase().as_str() {
        "" | "i" | "j" | "invite" | "join" => {
            Ok(given.chars().next().map(|first| first.to_ascii_lowercase()))
        }
        _ => Err(Error::usage("i, j or Enter")),
    });
    let Some(choice) = choice else { return Ok(None) };
    if choice == Some('j') && !join(&own.called(&name), out)? {
        return Ok(None);
    }
    own.home().set_name(&name)?;
    Ok(Some(choice == Some('i')))
}

/// Pairs by a link; asks for another while that fails. Whether it was done.
fn join(own: &Endpoint, out: Output) -> Result<bool> {
    while let Some(given) = prompt::ask_link("paste the link:") {
        match contacts::parse_link(&given).and_then(|link| contacts::join(own, &link, None)) {
            Ok(peer) => {
                out.note(&format!("paired with {}, fingerprint {}", peer.name, peer.key.fingerprint()));
                return Ok(true);
            }
            Err(error) => output::error(&error),
        }
    }
    Ok(false)
}

/// Asks until the answer is a good one; `None` if the question was left.
fn ask<T>(question: &str, take: impl Fn(&str) -> Result<T>) -> Option<T> {
    loop {
        match take(&prompt::ask(question)?) {
            Ok(taken) => return Some(taken),
            Err(error) => output::error(&error),
        }
    }
}
