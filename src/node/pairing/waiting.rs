//! A user who waits for somebody with whom to compare six digits. One session at a time is let in; the try that it uses up ends
//! the wait, and only the user begins another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::net::deadline::Deadline;
use crate::node::pairing::Profile;
use crate::node::pairing::digits::{COMPARE_TIME, Question};
use crate::store::peers::Peer;
use crate::wire::message::Refusal;

/// How long a user waits for somebody, unless they say otherwise.
pub const WAIT: Duration = Duration::from_secs(600);

/// What a user who waits is told.
#[derive(Debug)]
pub enum News {
    /// Somebody is there: compare the digits.
    Compare(Question),
    /// Somebody else has tried meanwhile, and was refused.
    Another,
    /// Somebody was there and left before the try was used up; the wait goes on.
    Left,
    /// Something is wrong with the listeners.
    Trouble(Error),
    /// The wait is over.
    Ended(Result<Box<Peer>>),
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody has come.
    Open,
    /// A session runs; the user has heard of another one, or has not.
    Taken { has_told: bool },
    /// The try is used up.
    Over,
}

/// Saves who came, by its key and what it says of itself.
pub type Save = dyn Fn(PublicKey, &Profile) -> Result<Peer> + Send + Sync;

/// The wait.
pub struct Waiting {
    stage: Mutex<Stage>,
    news: Mutex<Sender<News>>,
    pub(super) save: Box<Save>,
    /// The port on which the node of this home listens, or will.
    pub(super) port: u16,
    until: Deadline,
    /// At that time a session ends as well.
    pub ends_session: bool,
    /// Whoever leaves before there was something to compare leaves nobody waiting.
    is_closed: AtomicBool,
}

impl Waiting {
    /// When a session that begins now ends.
    pub(super) fn session_end(&self) -> Deadline {
        if self.ends_session { self.until } else { Deadline::after(COMPARE_TIME) }
    }

    /// Waits for so long. Who comes is told that the node of this home listens on `port`.
    pub fn new(wait: Duration, port: u16, news: Sender<News>, save: Box<Save>) -> Waiting {
        let until = Deadline::after(wait);
        Waiting {
            stage: Mutex::new(Stage::Open),
            news: Mutex::new(news),
            save,
            port,
            until,
            ends_session: false,
            is_closed: AtomicBool::new(false),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether nobody has come yet, so that a beacon is worth sending.
    pub fn is_open(&self) -> bool {
        *self.stage() == Stage::Open && self.until.left().is_ok()
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        *self.stage() == Stage::Over || self.until.left().is_err()
    }

    /// Whether its time is over, or it was closed, and nobody is there.
    pub fn is_idle(&self) -> bool {
        let stage = *self.stage();
        stage == Stage::Over || (stage == Stage::Open && self.until.left().is_err())
    }

    /// Nobody is let in any more.
    pub fn close(&self) {
        let mut stage = self.stage();
        if *stage == Stage::Open {
            *stage = Stage::Over;
        }
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Who waits may have left; then there is nobody to tell.
    pub(super) fn tell(&self, news: News) {
        let _ = self.news.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).send(news);
    }

    /// Lets a session in.
    pub(super) fn begin(&self) -> std::result::Result<(), Refusal> {
        let mut stage = self.stage();
        match *stage {
            Stage::Open if self.until.left().is_ok() => *stage = Stage::Taken { has_told: false },
            Stage::Open | Stage::Over => return Err(Refusal::Unknown),
            Stage::Taken { has_told } => {
                *stage = Stage::Taken { has_told: true };
                drop(stage);
                if !has_told {
                    self.tell(News::Another);
                }
                return Err(Refusal::Busy);
            }
        }
        Ok(())
    }

    /// The session ends. If it has not used up the try, the next one may come.
    pub(super) fn end(&self, ended: Result<Peer>, has_used_try: bool) {
        if ended.is_err() && !has_used_try {
            *self.stage() = if self.is_closed.load(Ordering::Relaxed) { Stage::Over } else { Stage::Open };
            return self.tell(News::Left);
        }
        *self.stage() = Stage::Over;
        self.tell(News::Ended(ended.map(Box::new)));
    }
}
