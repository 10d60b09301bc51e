//! Who may come in: the one-time codes in the addresses that are printed, and the tokens that pages trade them for.
//!
//! Cookies know no ports, and so are those of every other program on this machine: there are none here. A code stands in the
//! fragment of an address, which no browser sends; what sees it all the same, an extension or a history that is shared, can use
//! it only before the page does, and then the page's own try ends what was gained.

use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::crypto::{SharedSecret, base32, random_array, sha256};

/// How long a code is good.
const CODE_TTL: Duration = Duration::from_secs(60);
/// A page that is loaded twice at once uses its code twice.
const SECOND_USE: Duration = Duration::from_secs(2);
/// Codes and sessions that are remembered; the oldest go.
const MAX_SESSIONS: usize = 64;
/// The pause after the first wrong code or token. Each next one within [`CALM`] is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MOST_DOUBLINGS: u32 = 5;
const CALM: Duration = Duration::from_secs(30);
/// Tickets for downloads that are remembered, and how long one is good.
const MAX_TICKETS: usize = 32;
const TICKET_TTL: Duration = Duration::from_secs(60);

/// A code, and what became of it. Its digest is compared, so that the time of that tells nothing.
struct Session {
    code: [u8; 32],
    made: Instant,
    /// What it was traded for, and when.
    token: Option<(SharedSecret, Instant)>,
}

#[derive(Default)]
struct State {
    sessions: Vec<Session>,
    tickets: Vec<(String, Instant, Ticket)>,
    /// Wrong codes and tokens, and when the last one came.
    wrong: u32,
    last_wrong: Option<Instant>,
}

/// What a download is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The peer, by its key.
    pub peer: String,
    /// The record of the history.
    pub seq: u64,
}

/// What came of a code.
pub enum Trade {
    /// It was good: the token.
    Token(String),
    /// It is not good.
    Wrong,
    /// It was used before, so somebody else knows it: what it was traded for is over.
    UsedTwice,
}

/// The codes and sessions of a window.
#[derive(Default)]
pub struct Sessions {
    state: Mutex<State>,
}

impl Sessions {
    /// A thread that panicked left the state as it was between two statements here, which is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A new code.
    pub fn issue(&self) -> String {
        let code = base32::encode(&random_array::<16>());
        let mut state = self.state();
        if state.sessions.len() >= MAX_SESSIONS {
            state.sessions.remove(0);
        }
        state.sessions.push(Session { code: sha256(code.as_bytes()), made: Instant::now(), token: None });
        code
    }

    /// Trades a code for a token.
    pub fn trade(&self, code: &str) -> Trade {
        let digest = sha256(code.as_bytes());
        let mut state = self.state();
        let found = state.sessions.iter().position(|session| session.code == digest);
        let Some(place) = found else {
            drop(state);
            self.pause();
            return Trade::Wrong;
        };
        let session = &mut state.sessions[place];
        match &session.token {
            Some((token, used)) if used.elapsed() <= SECOND_USE => Trade::Token(token.to_base32()),
            Some(_) => {
                state.sessions.remove(place);
                Trade::UsedTwice
            }
            None if session.made.elapsed() > CODE_TTL => {
                state.sessions.remove(place);
                Trade::Wrong
            }
            None => {
                let token = SharedSecret::generate();
                let text = token.to_base32();
                session.token = Some((token, Instant::now()));
                Trade::Token(text)
            }
        }
    }

    /// Whether the token is that of a session. One that is not costs a pause.
    pub fn admits(&self, token: Option<&str>) -> bool {
        let is_good = self.has(token);
        if !is_good {
            self.pause();
        }
        is_good
    }

    /// The same without a pause.
    pub fn has(&self, token: Option<&str>) -> bool {
        let Some(given) = token.and_then(SharedSecret::from_base32) else { return false };
        let state = self.state();
        // All are compared, each in constant time.
        let good = state
            .sessions
            .iter()
            .filter(|session| session.token.as_ref().is_some_and(|(token, _)| *token == given));
        good.count() > 0
    }

    /// Ends all sessions, and takes back all codes.
    pub fn revoke(&self) {
        let mut state = self.state();
        state.sessions.clear();
        state.tickets.clear();
    }

    /// A ticket for one download.
    pub fn ticket(&self, of: Ticket) -> String {
        let name = base32::encode(&random_array::<16>());
        let mut state = self.state();
        if state.tickets.len() >= MAX_TICKETS {
            state.tickets.remove(0);
        }
        state.tickets.push((name.clone(), Instant::now(), of));
        name
    }

    /// What the ticket is for, once.
    pub fn use_ticket(&self, name: &str) -> Option<Ticket> {
        let mut state = self.state();
        let place = state.tickets.iter().position(|(known, ..)| known == name);
        let found = place.map(|place| state.tickets.remove(place));
        drop(state);
        let good = found.filter(|(_, made, _)| made.elapsed() <= TICKET_TTL).map(|(.., of)| of);
        if good.is_none() {
            self.pause();
        }
        good
    }

    /// Holds up whoever guesses. Nobody who has a token waits for that.
    fn pause(&self) {
        let pause = {
            let mut state = self.state();
            if state.last_wrong.is_none_or(|last| last.elapsed() > CALM) {
                state.wrong = 0;
            }
            state.last_wrong = Some(Instant::now());
            state.wrong = state.wrong.saturating_add(1);
            FIRST_PAUSE * (1 << (state.wrong - 1).min(MOST_DOUBLINGS))
        };
        thread::sleep(pause);
    }
}
