//! How far a transfer is, for people and for programs: a bar on a terminal, else a line each ten seconds, objects with
//! `--json`, and a line when it is done. It leaves out the counting: see `transfer::tally`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::app::Address;
use crate::app::files::{Tally, per_second};
use crate::text::{self, json::Object};
use crate::ui::output::Output;
use crate::ui::stty::TerminalWidth;

/// A bar is drawn this often, a line is said this often, and an object printed this often.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// When it is said that the other side has not taken it yet: sooner than a line, as a person may have to be told there.
const FIRST_LINE: Duration = Duration::from_secs(2);
const PRINT_INTERVAL: Duration = Duration::from_secs(1);
/// The rate is that of the last seconds: all of the time has waits and proofs in it that will not come again.
const RATE_PERIOD: Duration = Duration::from_secs(5);
/// Columns of a bar with its brackets; shorter ones say nothing.
const SHORT_BAR: usize = 12;
const LONG_BAR: usize = 42;

/// Shows a transfer until it is dropped.
pub struct Progress {
    out: Output,
    form: Form,
    peer: String,
    tally: Arc<Tally>,
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
        let (name, counted) = (peer.to_owned(), Arc::clone(tally));
        let pause = match form {
            Form::Bar => DRAW_INTERVAL,
            Form::Lines => LINE_INTERVAL,
            Form::Objects => PRINT_INTERVAL,
        };
        let tick = move || {
            let (mut pace, mut screen) = (Pace::default(), TerminalWidth::default());
            let mut has_said_that_it_waits = false;
            pace.rate(counted.elapsed(), counted.moved());
            if form == Form::Lines && stopped.recv_timeout(FIRST_LINE) == Err(RecvTimeoutError::Timeout) {
                let line = Figures::of(&counted, 0).wait(&name, &mut has_said_that_it_waits);
                line.iter().for_each(|line| out.note(&format!("{}: {line}", counted.title)));
            }
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let figures = Figures::of(&counted, pace.rate(counted.elapsed(), counted.moved()));
                match form {
                    Form::Bar => out.draw(&figures.drawn(screen.columns(io::stderr()))),
                    Form::Lines => {
                        let line = figures.line(&name, &mut has_said_that_it_waits);
                        line.iter().for_each(|line| out.note(&format!("{}: {line}", counted.title)));
                    }
                    Form::Objects => out.passing_object(|| object(&name, &counted)),
                }
            }
        };
        // Without a thread there is no progress to be seen, and that is all.
        let thread = thread::Builder::new().name("progress".into()).spawn(tick).ok();
        let (peer, tally) = (peer.to_owned(), Arc::clone(tally));
        Progress { out, form, peer, tally, stop: Some(stop), thread }
    }

    /// All of it is here, and came from this address.
    pub fn received(self, at: Option<SocketAddr>) {
        let (out, peer, tally) = (self.out, self.peer.clone(), Arc::clone(&self.tally));
        // What is drawn goes.
        drop(self);
        out.note(&summary("received", &tally, &format!("from {peer}"), at.map(Address::from)));
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

/// How many bytes had moved when, lately.
#[derive(Default)]
struct Pace {
    marks: VecDeque<(Duration, u64)>,
}

impl Pace {
    /// Bytes a second until `now`, when `moved` have moved.
    fn rate(&mut self, now: Duration, moved: u64) -> u64 {
        // It was begun again.
        if self.marks.back().is_some_and(|(_, before)| moved < *before) {
            self.marks.clear();
        }
        self.marks.push_back((now, moved));
        while self.marks.get(1).is_some_and(|(at, _)| *at + RATE_PERIOD <= now) {
            self.marks.pop_front();
        }
        let (since, before) = self.marks[0];
        per_second(moved - before, now.saturating_sub(since))
    }
}

/// A tally at one moment.
#[derive(Clone, Debug)]
struct Figures {
    done: u64,
    total: Option<u64>,
    checked: u64,
    has_begun: bool,
    files: usize,
    files_done: usize,
    rate: u64,
}

impl Figures {
    fn of(tally: &Tally, rate: u64) -> Figures {
        let (done, total) = tally.done();
        Figures {
            done,
            total,
            checked: tally.checked(),
            has_begun: tally.lanes() > 0,
            files: tally.files(),
            files_done: tally.files_done(),
            rate,
        }
    }

    /// All of it, for a line of its own; of a wait for `peer`, which may have to ask a person for minutes, there is one line.
    fn line(&self, peer: &str, has_said_that_it_waits: &mut bool) -> Option<String> {
        if self.is_taken() { Some(self.summary()) } else { self.wait(peer, has_said_that_it_waits) }
    }

    /// That it waits for `peer`, said once.
    fn wait(&self, peer: &str, has_said_that_it_waits: &mut bool) -> Option<String> {
        let is_said = self.is_taken() || std::mem::replace(has_said_that_it_waits, true);
        (!is_said).then(|| format!("waiting for {peer} to take it"))
    }

    fn is_taken(&self) -> bool {
        self.has_begun || self.checked > 0
    }

    /// What there is to say before bytes move.
    fn before(&self) -> Option<String> {
        match (self.has_begun, self.checked) {
            (true, _) => None,
            (false, 0) => Some("waiting for the other side".into()),
            (false, checked) => {
                Some(format!("comparing what is there already, {} so far", text::size(checked)))
            }
        }
    }

    fn percent(&self) -> Option<u64> {
        let total = u128::from(self.total?);
        Some((u128::from(self.done) * 100).checked_div(total).unwrap_or(100).min(100) as u64)
    }

    fn bytes(&self) -> String {
        match self.total {
            Some(total) => format!("{} of {}", text::size(self.done), text::size(total)),
            None => text::size(self.done),
        }
    }

    fn count(&self) -> Option<String> {
        (self.files > 1).then(|| format!("{} of {} files", self.files_done, self.files))
    }

    /// What is still to come, as long as that can be told.
    fn left(&self) -> Option<String> {
        let left = self.total?.saturating_sub(self.done);
        if left == 0 {
            return Some("waiting for the disk".into());
        }
        let seconds = left.checked_div(self.rate)?.saturating_add(1);
        let time =
            if seconds < 60 { format!("{seconds} s") } else { text::duration(Duration::from_secs(seconds)) };
        Some(format!("{time} left"))
    }

    /// All of it, for a line of its own.
    fn summary(&self) -> String {
        self.before().unwrap_or_else(|| {
            let percent = self.percent().map(|percent| format!("{percent} %"));
            let rate = format!("{}/s", text::size(self.rate));
            [percent, Some(self.bytes()), self.count(), Some(rate), self.left()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", ")
        })
    }

    /// As much of it as fits, with a bar if there is room for one; all of it is ASCII. The last column stays free, as
    /// some terminals begin a new line when it is written to.
    fn drawn(&self, columns: usize) -> String {
        let room = columns.saturating_sub(1);
        let mut line = self.before().unwrap_or_else(|| self.fields(room));
        line.truncate(room);
        line
    }

    fn fields(&self, room: usize) -> String {
        let percent = self.percent().map(|percent| format!("{percent:3} %"));
        let rate = format!("{}/s", text::size(self.rate));
        let mut fields = vec![percent, Some(self.bytes()), self.count(), Some(rate), self.left()];
        let length =
            |fields: &[Option<String>]| fields.iter().flatten().map(|field| field.len() + 2).sum::<usize>();
        // What is missed least goes first: the number of files, the rate, the time left, the bytes.
        for least in [2, 3, 4, 1] {
            if length(&fields) <= room + 2 {
                break;
            }
            fields[least] = None;
        }
        let space = room.saturating_sub(length(&fields)).min(LONG_BAR);
        if let Some(percent) = self.percent().filter(|_| space >= SHORT_BAR) {
            fields.insert(1, Some(bar(percent, space)));
        }
        fields.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

/// `[=====>    ]`, so many columns wide.
fn bar(percent: u64, columns: usize) -> String {
    let inside = columns - 2;
    let full = inside * percent as usize / 100;
    let head = if full < inside { ">" } else { "" };
    format!("[{:<inside$}]", "=".repeat(full) + head)
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
        .number("milliseconds", tally.moving().as_millis() as u64)
}

/// How it went, for the line at the end: `how` is "sent" or "received", `with` "to bob" or "from bob".
pub fn summary(how: &str, tally: &Tally, with: &str, at: Option<Address>) -> String {
    let (bytes, _) = tally.done();
    let address = at.map(|at| format!(" at {at}")).unwrap_or_default();
    let lanes = match tally.lanes() {
        0 => String::new(),
        1 => ", 1 lane".into(),
        lanes => format!(", {lanes} lanes"),
    };
    let held = match tally.held() {
        0 => String::new(),
        held => format!(", {} of it were there already", text::size(held)),
    };
    format!(
        "{how} {} ({}) {with}{address} in {}, {}/s{lanes}{held}",
        tally.title,
        text::size(bytes),
        text::duration(tally.moving()),
        text::size(tally.rate())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn half() -> Figures {
        Figures {
            done: 50 * MIB,
            total: Some(100 * MIB),
            checked: 0,
            has_begun: true,
            files: 1,
            files_done: 0,
            rate: 10 * MIB,
        }
    }

    #[test]
    fn a_wide_terminal_has_all_of_it_and_a_bar() {
        let line = " 50 %  [============>            ]  50.0 MiB of 100.0 MiB  10.0 MiB/s  6 s left";
        assert_eq!(half().drawn(80), line);
        assert_eq!(line.len(), 79);
        let many = Figures { files: 12, files_done: 3, ..half() };
        let line = " 50 %  [====================>                   ]  50.0 MiB of 100.0 MiB  3 of 12 files  \
                    10.0 MiB/s  6 s left";
        assert_eq!(many.drawn(200), line);
    }

    #[test]
    fn what_matters_least_goes_first_on_a_narrow_one() {
        let many = Figures { files: 12, files_done: 3, ..half() };
        for (columns, line) in [
            (69, " 50 %  50.0 MiB of 100.0 MiB  3 of 12 files  10.0 MiB/s  6 s left"),
            (66, " 50 %  50.0 MiB of 100.0 MiB  3 of 12 files  10.0 MiB/s  6 s left"),
            (65, " 50 %  [=====>    ]  50.0 MiB of 100.0 MiB  10.0 MiB/s  6 s left"),
            (50, " 50 %  50.0 MiB of 100.0 MiB  6 s left"),
            (38, " 50 %  50.0 MiB of 100.0 MiB"),
            (25, " 50 %  [=======>       ]"),
            (18, " 50 %"),
            (4, " 50"),
            (1, ""),
            (0, ""),
        ] {
            assert_eq!(many.drawn(columns), line, "{columns}");
        }
    }

    #[test]
    fn a_bar_is_full_at_the_end_and_not_before() {
        let done = |done| Figures { done, ..half() }.drawn(65);
        assert_eq!(done(0), "  0 %  [>             ]  0 B of 100.0 MiB  10.0 MiB/s  11 s left");
        assert!(done(100 * MIB - 1).starts_with(" 99 %  [") && done(100 * MIB - 1).contains(">]"));
        let all = Figures { done: 100 * MIB, ..half() };
        let line = "100 %  [============]  100.0 MiB of 100.0 MiB  10.0 MiB/s  waiting for the disk";
        assert_eq!(all.drawn(80), line);
        let nothing = Figures { done: 0, total: Some(0), ..half() };
        assert!(nothing.drawn(60).starts_with("100 %"));
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let pipe = Figures { total: None, ..half() };
        assert_eq!(pipe.drawn(80), "50.0 MiB  10.0 MiB/s");
        assert_eq!(pipe.summary(), "50.0 MiB, 10.0 MiB/s");
        let stalled = Figures { rate: 0, ..half() };
        assert_eq!(stalled.summary(), "50 %, 50.0 MiB of 100.0 MiB, 0 B/s");
    }

    #[test]
    fn a_wait_for_a_person_is_one_line() {
        let (waiting, mut is_said) = (Figures { has_begun: false, ..half() }, false);
        let lines = [(); 3].map(|()| waiting.line("bob", &mut is_said));
        assert_eq!(lines, [Some("waiting for bob to take it".into()), None, None]);
        assert_eq!(half().line("bob", &mut is_said), Some(half().summary()));
        assert_eq!(half().line("bob", &mut is_said), Some(half().summary()));
    }

    #[test]
    fn before_bytes_move_it_says_what_is_waited_for() {
        let new = Figures { has_begun: false, done: 0, ..half() };
        assert_eq!(new.drawn(80), "waiting for the other side");
        let proving = Figures { checked: 15 * MIB, ..new };
        assert_eq!(proving.summary(), "comparing what is there already, 15.0 MiB so far");
        assert_eq!(proving.drawn(10), "comparing");
    }

    proptest! {
        #[test]
        fn no_line_is_as_wide_as_the_terminal(
            columns in 0_usize..200,
            done in any::<u64>(),
            total in proptest::option::of(any::<u64>()),
            checked in any::<u64>(),
            has_begun in any::<bool>(),
            files in 0_usize..100_000,
            rate in any::<u64>(),
        ) {
            let figures = Figures { done, total, checked, has_begun, files, files_done: files / 2, rate };
            let line = figures.drawn(columns);
            prop_assert!(line.is_ascii() && line.len() <= columns.saturating_sub(1), "{line:?} in {columns}");
            prop_assert!(!figures.summary().is_empty());
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let second = Duration::from_secs;
        let mut pace = Pace::default();
        assert_eq!(pace.rate(second(10), 0), 0);
        assert_eq!(pace.rate(second(11), 100), 100);
        assert_eq!(pace.rate(second(15), 500), 100);
        // The slow start is past.
        assert_eq!(pace.rate(second(20), 5500), 1000);
        // Nothing more comes.
        assert_eq!(pace.rate(second(40), 5500), 0);
        // Another connection counts from nothing.
        assert_eq!(pace.rate(second(41), 10), 0);
        assert_eq!(pace.rate(second(43), 210), 100);
    }
}
