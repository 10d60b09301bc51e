//! `egoat log`: what was said.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;

use crate::app::inbox::deletion::{self, OldEntries};
use crate::app::inbox::entry::HistoryEntry;
use crate::app::inbox::histories::{Histories, StartAt};
use crate::app::inbox::pattern::Pattern;
use crate::app::inbox::{self, Cursor};
use crate::app::link::LOG_POLL_INTERVAL;
use crate::app::link::bell::Bell;
use crate::app::{Own, Peer, contacts};
use crate::cli::{args, values};
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::time::{Zone, now_micros};
use crate::ui::lines::EntryPrinter;
use crate::ui::output::{self, Output};
use crate::ui::reader;

/// `--follow` begins with this many, as tail does.
const FOLLOWED: usize = 10;

pub fn log(own: &Own, out: Output, args: &args::Log) -> Result<()> {
    let peer = args.peer.as_deref().map(|name| contacts::named(own, name)).transpose()?;
    if let Some(before) = &args.delete_before {
        return delete(own, out.ignoring_closed_stdout(), peer.as_ref(), before, args);
    }
    if args.yes {
        return Err(Error::usage("--yes goes with --delete-before"));
    }
    let mut place = PrintedMark::open(args)?;
    let selection = Selection::new(args, place.cursor.as_ref())?;
    let begin = selection.start(own, place.cursor.as_ref())?;
    let mut histories = Histories::new(own, peer.as_ref(), begin)?;
    let mut printer = EntryPrinter::new(out);
    let mut found = 0;
    if let Some(limit) = selection.limit {
        let mut last = VecDeque::new();
        while histories.next(|peer, entry| {
            if selection.has(entry) {
                last.push_back(printer.line(&peer.name, entry));
            }
            if last.len() > limit {
                last.pop_front();
            }
            Ok(())
        })? {}
        found = last.len();
        last.iter().try_for_each(|line| printer.print(line))?;
    }
    let mut print_new = |histories: &mut Histories, place: &mut PrintedMark| {
        while histories.next(|peer, entry| match selection.has(entry) {
            true => {
                found += 1;
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
        if args.grep.is_some() && found == 0 && place.cursor.is_none() {
            out.note(&selection.pattern.not_found("there"));
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

/// Deletes what is old, once somebody has said yes.
fn delete(own: &Own, out: Output, peer: Option<&Peer>, before: &str, args: &args::Log) -> Result<()> {
    let selects =
        args.since.is_some() || args.limit.is_some() || args.grep.is_some() || args.cursor.is_some();
    if selects || args.follow || args.unread {
        return Err(Error::usage(
            "--delete-before deletes, and goes with no option that selects what to print",
        ));
    }
    let zone = Zone::local();
    let until = deletion_time(&zone, before)?;
    let all = deletion::find(own, peer, until)?;
    if all.is_empty() {
        out.note(&format!("nothing is there from before {}", zone.format(until)));
        return Ok(());
    }
    if !args.yes {
        confirm(&all, &zone.format(until))?;
    }
    for old in &all {
        let count = deletion::delete(own, old)?;
        out.data(&format!("{}: deleted {}", old.peer, counted(count)), || {
            Object::event("deleted").text("peer", &old.peer).number("count", count as u64)
        })?;
    }
    Ok(())
}

/// Returns if somebody says yes.
fn confirm(all: &[OldEntries], until: &str) -> Result<()> {
    let lines: Vec<String> = all.iter().map(|old| format!("{}: {}", old.peer, counted(old.count))).collect();
    output::warn(&format!("from before {until}:\n{}", lines.join("\n")));
    match output::ask("delete this for good? [y/N]").as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        Some(_) => Err(Error::failed("nothing was deleted")),
        None => Err(Error::Usage {
            what: "nothing was deleted: there is nobody here to ask".into(),
            hint: Some("with --yes nobody is asked".into()),
        }),
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 message or file".to_owned() } else { format!("{count} messages and files") }
}

/// The entries that the options select.
struct Selection {
    /// Only arrivals after those that were read.
    unread: bool,
    /// Noted from this time on, in µs of Unix time.
    since: Option<u64>,
    /// Only the last so many.
    limit: Option<usize>,
    pattern: Pattern,
}

impl Selection {
    fn new(args: &args::Log, cursor: Option<&Cursor>) -> Result<Selection> {
        let since = args.since.as_deref().map(|given| time(&Zone::local(), given)).transpose()?;
        let (since, limit) = match cursor {
            // The cursor says where to begin, once there is one.
            Some(cursor) if !cursor.is_new() => (None, None),
            None if args.follow && !args.unread && since.is_none() => (None, args.limit.or(Some(FOLLOWED))),
            _ => (since, args.limit),
        };
        let pattern = Pattern::new(args.grep.as_deref().unwrap_or_default());
        Ok(Selection { unread: args.unread, since, limit, pattern })
    }

    fn start(&self, own: &Own, cursor: Option<&Cursor>) -> Result<StartAt> {
        Ok(match (cursor, self.since, self.limit) {
            (Some(cursor), ..) if !cursor.is_new() => StartAt::Behind(cursor.positions().clone()),
            _ if self.unread => StartAt::Behind(inbox::read_positions(own)?),
            (_, Some(since), _) => StartAt::Since(since),
            (.., Some(limit)) if self.pattern.is_empty() => StartAt::Last(limit),
            _ => StartAt::Start,
        })
    }

    fn has(&self, entry: &HistoryEntry) -> bool {
        // An entry whose time is not known is shown: the user may want it.
        self.since.is_none_or(|since| entry.noted().is_none_or(|noted| noted >= since))
            && (entry.event.is_arrival() || !self.unread)
            && entry.contains(&self.pattern)
    }
}

fn time(zone: &Zone, given: &str) -> Result<u64> {
    zone.parse_time(given, now_micros()).ok_or_else(|| {
        values::without_unit(given).unwrap_or_else(|| Error::Usage {
            what: format!("{} is no time", text::clean_line(given)),
            hint: Some(
                "a time is 2026-11-22, \"2026-11-22 08:00\", 08:00, yesterday, or how long ago: 2h".into(),
            ),
        })
    })
}

/// The time by which a user says that everything is to be deleted.
const NOW: &str = "now";

/// Before when entries are deleted. A time that is not past would delete everything, and may be a slip: a script whose number
/// of days is empty, or the wrong year.
fn deletion_time(zone: &Zone, given: &str) -> Result<u64> {
    let until = time(zone, given)?;
    let is_zero = text::parse_duration(given).is_some_and(|ago| ago.is_zero());
    if given.trim() != NOW && (is_zero || until >= now_micros()) {
        return Err(Error::Usage {
            what: format!("before {} is everything: that time is not past", text::clean_line(given)),
            hint: Some(format!("to delete everything, say so: --delete-before {NOW}")),
        });
    }
    Ok(until)
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
