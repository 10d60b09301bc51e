//! The door of the window's process, for `egoat window` itself: the same proof as at a node's (egoat-files(5), CONTROL
//! CONNECTION), by the secret in window.lock. A front-end asks one thing, and gets one answer.

use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net::loopback::{self, Local, LoopbackListener};
use crate::node::threads;
use crate::store::home::Home;
use crate::store::node_lock::{self, NodeInfo, NodeLock};

/// How long a question and its answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A window that is just starting has no door yet.
const STARTING_POLL: Duration = Duration::from_millis(20);
const STARTING_POLLS: u32 = 250;
/// The type of each answer.
const ANSWER: u8 = 32;

/// What a front-end asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A new code: the answer is the address of the page, with the code.
    Code = 1,
    /// The end of the window.
    Stop = 2,
    /// The end of all sessions.
    Revoke = 3,
}

/// The place of the window's process in a home: one at a time.
pub struct WindowLock(NodeLock);

impl WindowLock {
    /// `None` while another process has it.
    pub fn take(home: &Home) -> Result<Option<WindowLock>> {
        Ok(NodeLock::take_at(home.window_lock_path())?.map(WindowLock))
    }

    /// Opens the door. `answer` is asked in a thread of its own, and what follows the answer is done after it was sent.
    pub fn open(
        &self,
        answer: impl Fn(Question) -> (String, Box<dyn FnOnce()>) + Send + 'static,
    ) -> Result<()> {
        let failed =
            |cause| Error::failed(format!("the window cannot be reached by `egoat window`: {cause}"));
        let mut listener = LoopbackListener::open().map_err(failed)?;
        let control = Some((listener.port().map_err(failed)?, listener.secret().clone()));
        let run = move || {
            loop {
                let front = listener.accept();
                if let Some(question) = read(&front) {
                    let (text, then) = answer(question);
                    let _ = front.write(&message(ANSWER, text.as_bytes()));
                    then();
                }
                front.close();
            }
        };
        threads::spawn("door", run)?;
        self.0.publish(&NodeInfo { control, ..NodeInfo::default() })
    }
}

fn read(front: &Local) -> Option<Question> {
    let mut body = Vec::new();
    let kind = front.read_within(TIMEOUT, &mut body).ok()??;
    [Question::Code, Question::Stop, Question::Revoke].into_iter().find(|question| *question as u8 == kind)
}

/// A message in the framing of a control connection.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[..], body].concat()
}

/// Asks the window of this home; `None` if none runs.
pub fn ask(home: &Home, question: Question) -> Result<Option<String>> {
    let silent = || Error::Failed {
        what: "the window that runs here does not answer".into(),
        hint: Some("end its process, and start it again".into()),
    };
    for _ in 0..STARTING_POLLS {
        let Some(info) = node_lock::running_at(&home.window_lock_path())? else { return Ok(None) };
        let Some((port, secret)) = info.control else {
            thread::sleep(STARTING_POLL);
            continue;
        };
        let dialled = loopback::dial(port, &secret, &message(question as u8, &[])).map_err(|_| silent())?;
        let mut body = Vec::new();
        return match dialled.read_within(TIMEOUT, &mut body) {
            Ok(Some(ANSWER)) => Ok(String::from_utf8(body).ok()),
            _ => Err(silent()),
        };
    }
    Err(silent())
}
