//! Files that are offered and wait for the user's word, by number.

use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, MutexGuard};

use crate::chat::command;
use crate::node::event::Decision;
use crate::store::home::expand;

/// Offers of this chat; those that are decided leave a gap.
#[derive(Default)]
pub struct Offers {
    waiting: Mutex<Vec<Option<SyncSender<Decision>>>>,
}

impl Offers {
    fn waiting(&self) -> MutexGuard<'_, Vec<Option<SyncSender<Decision>>>> {
        self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Keeps an offer; gives its number.
    pub fn add(&self, answer: SyncSender<Decision>) -> usize {
        let mut waiting = self.waiting();
        waiting.push(Some(answer));
        waiting.len()
    }

    /// Decides; `false` when no such offer waits any more.
    pub fn decide(&self, number: usize, decision: Decision) -> bool {
        let mut waiting = self.waiting();
        let answer = number.checked_sub(1).and_then(|place| waiting.get_mut(place)?.take());
        answer.is_some_and(|answer| answer.send(decision).is_ok())
    }

    /// Runs `/accept N [DIR]` and `/refuse N`; `None` for any other line, else what to say to the user.
    pub fn command(&self, line: &str) -> Option<&'static str> {
        let mut words = line.trim_end().splitn(3, ' ');
        let command = words.next()?;
        if command != "/accept" && command != "/refuse" {
            return None;
        }
        let number = words.next().and_then(|number| number.parse().ok());
        // There is one directory, so that spaces in it need no backslash.
        let dir = words.next().map(|dir| command::words(dir).join(" "));
        let dir = match dir.filter(|dir| !dir.is_empty()).map(|dir| place(&dir)) {
            Some(None) => return Some("there is no such place; name a directory"),
            dir => dir.flatten(),
        };
        let decision = if command == "/accept" { Decision::Accept { dir } } else { Decision::Refuse };
        Some(match number {
            None => "which one? /accept N [DIR] or /refuse N",
            Some(number) if !self.decide(number, decision) => "no such offer waits any more",
            Some(_) => "",
        })
    }
}

/// The directory that was typed, from the root: it means the same to a node that is started elsewhere the next time.
fn place(typed: &str) -> Option<PathBuf> {
    std::path::absolute(expand(Path::new(typed))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::home::user_home;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn an_offer_is_decided_once() {
        let offers = Offers::default();
        let (answer, decided) = sync_channel(1);
        for dir in ["/tmp/a b", "/tmp/a\\ b ", "\"/tmp/a b\""] {
            let number = offers.add(answer.clone());
            assert_eq!(offers.command(&format!("/accept {number} {dir}")), Some(""));
            assert_eq!(decided.recv(), Ok(Decision::Accept { dir: place("/tmp/a b") }), "{dir}");
        }
        assert!(offers.command("/refuse 1").is_some_and(|said| said.contains("no such offer")));
    }

    #[test]
    fn a_place_is_absolute() {
        let here = std::env::current_dir().ok();
        assert_eq!(place("a b"), here.map(|here| here.join("a b")));
        assert_eq!(place("~/x"), user_home().map(|home| home.join("x")));
        assert_eq!(place("~"), user_home());
        assert_eq!(place(""), None);
        if cfg!(unix) {
            assert_eq!(place("/~/x"), Some("/~/x".into()));
        }
    }

    #[test]
    fn other_lines_are_messages() {
        let offers = Offers::default();
        for line in ["accept 1", "/acceptance 1", "hello /accept 1", ""] {
            assert_eq!(offers.command(line), None, "{line}");
        }
        assert!(offers.command("/accept").is_some() && offers.command("/accept x").is_some());
        assert!(offers.command("/refuse 0").is_some() && offers.command("/accept 99").is_some());
    }
}
