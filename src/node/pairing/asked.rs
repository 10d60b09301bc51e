//! The user of a front-end, such as a chat, who waits for somebody with whom to compare six digits: the node accepts whoever
//! comes, at its own port, and tells the front-end. It leaves out how front-ends are told anything: see `node::control`.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::node::context::Context;
use crate::node::event::NodeEvent;
use crate::node::pairing::waiting::{News, WAIT, Waiting};
use crate::node::pairing::{digits, found};
use crate::node::threads;
use crate::store::tries;
use crate::wire::control::Down;

/// How often it is looked whether the time is over.
const LOOK: Duration = Duration::from_secs(1);

/// A wait of a front-end, which ends when this is dropped; a question that is open then counts as no.
pub struct Wait {
    waiting: Arc<Waiting>,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Default)]
struct Asked {
    is_over: bool,
    answer: Option<SyncSender<bool>>,
}

fn lock(asked: &Mutex<Asked>) -> MutexGuard<'_, Asked> {
    asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Wait {
    /// Begins; `tell` hears what happens. An error if somebody waits already.
    pub fn begin(context: &Arc<Context>, tell: impl Fn(Down) + Send + 'static) -> Result<Wait> {
        tries::ensure_left(context.own().home())?;
        let (sender, news) = mpsc::channel();
        let saver = Arc::clone(context);
        let save = move |key, profile: &_| {
            let peer = digits::save_dialler(saver.own().home(), key, profile, None)?;
            saver.refresh_roster()?;
            saver.tell(NodeEvent::Paired { peer: peer.name.clone(), fingerprint: peer.key.fingerprint() });
            Ok(peer)
        };
        let waiting = Waiting::new(WAIT, context.live().listening_port(), sender, Box::new(save));
        let waiting = Arc::new(waiting);
        if !context.begin_waiting(&waiting) {
            return Err(Error::failed("somebody is waited for already, in another chat or window"));
        }
        let wait = Wait { waiting: Arc::clone(&waiting), asked: Arc::default() };
        let (asked, heard) = (Arc::clone(&wait.asked), Arc::clone(&waiting));
        threads::spawn("digits", move || pass_on(&heard, &asked, &news, &tell))?;
        let listening = context.live().listening();
        if !context.own().is_hidden() {
            threads::spawn("invite", move || found::announce(&waiting, &listening))?;
        }
        Ok(wait)
    }

    /// The user's answer.
    pub fn answer(&self, is_same: bool) {
        if let Some(answer) = lock(&self.asked).answer.take() {
            let _ = answer.send(is_same);
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.waiting.close();
        let mut asked = lock(&self.asked);
        asked.is_over = true;
        asked.answer = None;
    }
}

/// Passes on what happens, until it is over.
fn pass_on(waiting: &Waiting, asked: &Mutex<Asked>, news: &Receiver<News>, tell: &dyn Fn(Down)) {
    loop {
        let news = news.recv_timeout(LOOK);
        // The front-end is gone, or waits for somebody else now.
        if lock(asked).is_over {
            return;
        }
        match news {
            Ok(News::Compare(question)) => {
                let mut open = lock(asked);
                if open.is_over {
                    return;
                }
                open.answer = Some(question.answer);
                drop(open);
                let (name, address, digits) = (question.name, question.address, question.digits);
                tell(Down::Digits { name, address, digits });
            }
            Ok(News::Another) => tell(Down::Tried { is_left: false }),
            Ok(News::Left) => tell(Down::Tried { is_left: true }),
            Ok(News::Trouble(_)) => {}
            Ok(News::Ended(Ok(peer))) => return tell(Down::Paired(peer.key)),
            Ok(News::Ended(Err(error))) => return tell(unpaired(&error)),
            Err(RecvTimeoutError::Timeout) if waiting.is_idle() => {
                return tell(unpaired(&Error::TimedOut { what: "nobody came in time".into() }));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Why nobody was saved.
pub fn unpaired(error: &Error) -> Down {
    Down::Unpaired { why: error.to_string(), hint: error.hint().unwrap_or_default() }
}
