//! `egoat log`: what was said.

use std::cell::Cell;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use crate::app::inbox::entry::HistoryEntry;
use crate::app::inbox::histories::{Histories, StartAt};
use crate::app::inbox::pattern::Pattern;
use crate::app::inbox::{self, Cursor};
use crate::app::link::LOG_POLL_INTERVAL;
use crate::app::link::bell::Bell;
use crate::app::{Own, contacts};
use crate::cli::args;
use crate::error::{Error, Result};
use crate::text;
use crate::time::{Zone, now_micros};
use crate::ui::lines::EntryPrinter;
use crate::ui::output::Output;
use crate::ui::reader;

/// `--follow` begins with this many, as tail does.
const FOLLOWED: usize = 10;

pub fn log(own: &Own, out: Output, args: &args::Log) -> Result<()> {
    let zone = Zone::local();
    let peer = args.peer.as_deref().map(|name| contacts::named(own, name)).transpose()?;
    let since = args.since.as_deref().map(|given| time(&zone, given)).transpose()?;
    let mut place = PrintedMark::open(args)?;
    // Where to begin is told by the cursor, once there is one.
    let (since, limit) = match &place.cursor {
        Some(cursor) if !cursor.is_new() => (None, None),
        Some(_) => (since, args.limit),
        None if args.unread || since.is_some() => (since, args.limit),
        None => (since, args.limit.or(args.follow.then_some(FOLLOWED))),
    };
    let wanted = Pattern::new(args.grep.as_deref().unwrap_or_default());
    let found = Cell::new(0_usize);
    let is_wanted = |entry: &HistoryEntry| {
        // One whose time is not known is shown: it may be wanted.
        since.is_none_or(|since| entry.noted().is_none_or(|noted| noted >= since))
            && (entry.event.is_arrival() || !args.unread)
            && entry.contains(&wanted)
    };
    let begin = match (&place.cursor, since, limit) {
        (Some(cursor), ..) if !cursor.is_new() => StartAt::Behind(cursor.positions().clone()),
        _ if args.unread => StartAt::Behind(inbox::read_positions(own)?),
        (_, Some(since), _) => StartAt::Since(since),
        (.., Some(limit)) if wanted.is_empty() => StartAt::Last(limit),
        _ => StartAt::Start,
    };
    let mut histories = Histories::new(own, peer.as_ref(), begin)?;
    let mut printer = EntryPrinter::new(out);
    if let Some(limit) = limit {
        let mut last = VecDeque::new();
        while histories.next(|peer, entry| {
            if is_wanted(entry) {
                last.push_back(printer.line(&peer.name, entry));
            }
            if last.len() > limit {
                last.pop_front();
            }
            Ok(())
        })? {}
        found.set(last.len());
        last.iter().try_for_each(|line| printer.print(line))?;
    }
    let mut print_new = |histories: &mut Histories, place: &mut PrintedMark| {
        while histories.next(|peer, entry| match is_wanted(entry) {
            true => {
                found.set(found.get() + 1);
                printer.print(&printer.line(&peer.name, entry))
            }
            false => Ok(()),
        })? {
            place.pass(histories)?;
        }
        place.note(histories)
    };
    print_new(&mut histories, &mut place)?;
    if !args.follow {
        // With a cursor nothing new is the usual thing.
        if let (Some(grep), 0, None) = (&args.grep, found.get(), &place.cursor) {
            out.note(&format!("nothing there has {}", text::clean_line(grep)));
        }
        return Ok(());
    }
    let mut bell = Bell::new(own.home(), None);
    // With its last reader the command has nobody to wait for.
    while !reader::is_gone() {
        histories.look()?;
        print_new(&mut histories, &mut place)?;
        bell.wait(LOG_POLL_INTERVAL)?;
    }
    Ok(())
}

fn time(zone: &Zone, given: &str) -> Result<u64> {
    zone.parse_time(given, now_micros()).ok_or_else(|| Error::Usage {
        what: format!("{} is no time", text::clean_line(given)),
        hint: Some(
            "a time is 2026-11-22, \"2026-11-22 08:00\", 08:00, yesterday, or how long ago: 2h".into(),
        ),
    })
}

/// How far was printed, and where that is noted, if it is.
struct PrintedMark {
    cursor: Option<Cursor>,
    noted: Instant,
}

impl PrintedMark {
    fn open(args: &args::Log) -> Result<PrintedMark> {
        if args.cursor.is_some() && args.unread {
            return Err(Error::usage("--cursor and --unread both say what is new; take one of them"));
        }
        let cursor = args.cursor.as_deref().map(|path| inbox::open_cursor(Path::new(path))).transpose()?;
        Ok(PrintedMark { cursor, noted: Instant::now() })
    }

    /// Notes it now and then: who reads slowly is not to have all of it again.
    fn pass(&mut self, histories: &Histories) -> Result<()> {
        if self.noted.elapsed() < LOG_POLL_INTERVAL { Ok(()) } else { self.note(histories) }
    }

    /// Notes how far the histories were printed.
    fn note(&mut self, histories: &Histories) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            histories.given().for_each(|(id, position)| cursor.move_to(id, position));
            cursor.save()?;
        }
        self.noted = Instant::now();
        Ok(())
    }
}
