//! Drawing the attention of a user who looks elsewhere: by the terminal's bell, or by a program of theirs, one run at a time.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::app::chat::view::Arrival;
use crate::app::link::Program;
use crate::error::Result;

/// A program that takes longer is ended.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(10);
/// Notices that wait for the program to end. When there are more, they are dropped.
const MAX_NOTICES: usize = 16;
/// A user who has not typed for this long is away.
const AWAY_AFTER: Duration = Duration::from_secs(60);

/// The program at this path. What it prints would be in the way of the conversation, and is not shown.
pub fn program(path: &str) -> Result<Program> {
    Program::new(path, PROGRAM_TIMEOUT, false)
}

/// A message to tell of.
struct Notice {
    peer: String,
    number: u64,
    text: Vec<u8>,
}

/// What is known of the user's attention.
pub struct Attention {
    last_key: Instant,
    notices: Option<SyncSender<Notice>>,
    rings: bool,
}

impl Attention {
    /// The user is here. Notices go to the program, if there is one; else the bell rings.
    pub fn new(program: Option<Program>) -> Attention {
        Attention { last_key: Instant::now(), notices: program.map(start), rings: false }
    }

    /// The user has typed.
    pub fn typed(&mut self) {
        self.last_key = Instant::now();
    }

    /// A message arrived, of which a user is told who is away, who looks at another conversation, or who is named in it.
    pub fn arrived(&mut self, arrival: &Arrival) {
        let is_away = self.last_key.elapsed() > AWAY_AFTER || !arrival.is_open;
        if arrival.is_muted || (!is_away && !arrival.is_mention) {
            return;
        }
        match &self.notices {
            Some(notices) => {
                let (peer, text) = (arrival.peer.name.clone(), arrival.text.to_vec());
                // Notices are dropped while the program is too slow.
                let _ = notices.try_send(Notice { peer, number: arrival.number, text });
            }
            None => self.ring(),
        }
    }

    /// Rings the bell with the next line that is written.
    pub fn ring(&mut self) {
        self.rings = true;
    }

    /// Whether the bell is to ring now.
    pub fn take_ring(&mut self) -> bool {
        std::mem::take(&mut self.rings)
    }
}

/// Starts the thread that runs the program for each notice. Without a thread, nobody is told.
fn start(program: Program) -> SyncSender<Notice> {
    let (sender, notices) = sync_channel::<Notice>(MAX_NOTICES);
    let _ = thread::Builder::new().name("notify".into()).spawn(move || {
        for notice in notices {
            let number = notice.number.to_string();
            let variables = [("EGOAT_PEER", Some(notice.peer.into())), ("EGOAT_ID", Some(number.into()))];
            program.run(&variables, notice.text);
        }
    });
    sender
}
