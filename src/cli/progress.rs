//! How far a transfer is, for people and for programs: a bar on a terminal, else a line each ten seconds, objects with
//! `--json`. It leaves out the counting: see `transfer::tally`.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::cli::output::Output;
use crate::text::{self, json::Object};
use crate::transfer::tally::Tally;

/// A bar is drawn this often, a line is said this often, and an object printed this often.
const DRAW: Duration = Duration::from_millis(100);
const SAY: Duration = Duration::from_secs(10);
const PRINT: Duration = Duration::from_secs(1);

/// Shows a transfer until it is dropped.
pub struct Progress {
    out: Output,
    form: Form,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Bar,
    Lines,
    Objects,
}

impl Progress {
    /// Shows the transfer of `tally` with `peer`.
    pub fn show(out: Output, peer: &str, tally: &Arc<Tally>) -> Progress {
        let form = match out {
            Output { json: true, .. } => Form::Objects,
            _ if out.draws() => Form::Bar,
            _ => Form::Lines,
        };
        Progress::start(out, form, peer, tally)
    }

    /// The same by lines alone, where something else is on the terminal.
    pub fn lines(out: Output, peer: &str, tally: &Arc<Tally>) -> Progress {
        Progress::start(out, Form::Lines, peer, tally)
    }

    fn start(out: Output, form: Form, peer: &str, tally: &Arc<Tally>) -> Progress {
        let (stop, stopped) = mpsc::channel();
        let (peer, tally) = (peer.to_owned(), Arc::clone(tally));
        let pause = match form {
            Form::Bar => DRAW,
            Form::Lines => SAY,
            Form::Objects => PRINT,
        };
        let tick = move || {
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                tell(out, form, &peer, &tally);
            }
        };
        // Without a thread there is no progress to be seen, and that is all.
        let thread = thread::Builder::new().name("progress".into()).spawn(tick).ok();
        Progress { out, form, stop: Some(stop), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if self.form == Form::Bar {
            self.out.draw("");
        }
    }
}

fn tell(out: Output, form: Form, peer: &str, tally: &Tally) {
    match form {
        Form::Bar => out.draw(&line(tally)),
        Form::Lines => out.note(&format!("{}: {}", tally.title, line(tally).trim_start())),
        // Who does not read them any more ends the program by other means.
        Form::Objects => drop(out.object(|| object(peer, tally))),
    }
}

/// One line, whatever is known by now.
fn line(tally: &Tally) -> String {
    let (done, total) = tally.done();
    if tally.moved() == 0 && tally.checked() > 0 {
        return format!("comparing what is there already, {} so far", text::size(tally.checked()));
    }
    let rate = tally.rate();
    let Some(total) = total else {
        return format!("{}  {}/s", text::size(done), text::size(rate));
    };
    let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
    let left = Duration::from_secs(1 + total.saturating_sub(done) / rate.max(1));
    let files = match tally.files() {
        0 | 1 => String::new(),
        files => format!("  {} of {files} files", tally.files_done()),
    };
    format!(
        "{percent:3} %  {} of {}{files}  {}/s  {} left",
        text::size(done),
        text::size(total),
        text::size(rate),
        text::duration(left)
    )
}

fn object(peer: &str, tally: &Tally) -> Object {
    let (done, total) = tally.done();
    Object::event("progress")
        .text("peer", peer)
        .text("title", &tally.title)
        .number("bytes", done)
        .optional_number("total", total)
        .number("checked", tally.checked())
        .number("files", tally.files_done() as u64)
        .number("milliseconds", tally.elapsed().as_millis() as u64)
}

/// How it went, for the line at the end.
pub fn summary(tally: &Tally) -> String {
    let held = match tally.held() {
        0 => String::new(),
        held => format!(", {} of it were there already", text::size(held)),
    };
    let lanes = match tally.lanes() {
        0 | 1 => String::new(),
        lanes => format!(", {lanes} lanes"),
    };
    format!("{}, {}/s{lanes}{held}", text::duration(tally.elapsed()), text::size(tally.rate()))
}
