//! `egoat log`: what was said.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::Instant;

use crate::chat::conversation::{self, Begin, Conversation};
use crate::chat::line::Line;
use crate::cli::args::Log;
use crate::cli::output::{self, Output};
use crate::cli::who;
use crate::error::{Error, Result, Verb};
use crate::node::doorbell::{Bell, LOOK};
use crate::store::conversation::ConversationId;
use crate::store::cursor::Cursor;
use crate::store::file;
use crate::store::home::Own;
use crate::store::log::Position;
use crate::text;
use crate::time::{Zone, now_micros};

/// `--follow` begins with this many, as tail does.
const FOLLOWED: usize = 10;

pub fn log(own: &Own, out: Output, args: &Log) -> Result<()> {
    let zone = Zone::local();
    let peer = args.peer.as_deref().map(|name| who::saved(own, name)).transpose()?;
    let since = args.since.as_deref().map(|given| time(&zone, given)).transpose()?;
    let mut place = Place::open(args)?;
    // Where to begin is told by the cursor, once there is one.
    let (since, limit) = match &place.cursor {
        Some(cursor) if !cursor.is_new() => (None, None),
        Some(_) => (since, args.limit),
        None if args.unread || since.is_some() => (since, args.limit),
        None => (since, args.limit.or(args.follow.then_some(FOLLOWED))),
    };
    let wanted = args.grep.as_deref().unwrap_or_default().as_bytes();
    let is_wanted = |seq: u64, line: &Line| {
        since.is_none_or(|since| seq >= since)
            && (line.event.is_arrival() || !args.unread)
            && conversation::contains(&line.event, wanted)
    };
    let begin = match (&place.cursor, since, limit) {
        (Some(cursor), ..) if !cursor.is_new() => Begin::Behind(cursor.positions().clone()),
        _ if args.unread => Begin::Behind(read_in_chat(own)?),
        (_, Some(since), _) => Begin::Since(since),
        (.., Some(limit)) if wanted.is_empty() => Begin::Last(limit),
        _ => Begin::Start,
    };
    let mut conversation = Conversation::new(own, peer.as_ref(), begin)?;
    let print = |line: &Line| out.data(&line.text(&zone), || line.json());
    let print_new = |conversation: &mut Conversation, place: &mut Place| {
        while conversation.next(|seq, line| if is_wanted(seq, line) { print(line) } else { Ok(()) })? {
            place.pass(conversation)?;
        }
        place.note(conversation)
    };
    if let Some(limit) = limit {
        let mut last = VecDeque::new();
        while conversation.next(|seq, line| {
            if is_wanted(seq, line) {
                last.push_back(if out.json { line.json().line() } else { line.text(&zone) });
            }
            if last.len() > limit {
                last.pop_front();
            }
            Ok(())
        })? {}
        last.iter().try_for_each(|line| output::print(line))?;
    }
    print_new(&mut conversation, &mut place)?;
    if !args.follow {
        return Ok(());
    }
    let bell = Bell::new(own.home())?;
    loop {
        conversation.look()?;
        print_new(&mut conversation, &mut place)?;
        bell.ring()?;
        bell.wait(LOOK);
    }
}

fn time(zone: &Zone, given: &str) -> Result<u64> {
    zone.parse_time(given, now_micros()).ok_or_else(|| Error::Usage {
        what: format!("{} is no time", text::clean_line(given)),
        hint: Some(
            "a time is 2026-11-22, \"2026-11-22 08:00\", 08:00, yesterday, or how long ago: 2h".into(),
        ),
    })
}

/// How far each history was read in chat.
fn read_in_chat(own: &Own) -> Result<HashMap<ConversationId, Position>> {
    let mut read = HashMap::new();
    for (conversation, seq) in own.read_marks()? {
        let position = own.read_history(conversation).position(seq)?;
        read.extend(position.map(|position| (conversation, position)));
    }
    Ok(read)
}

/// How far was printed, and where that is noted, if it is.
struct Place {
    cursor: Option<Cursor>,
    noted: Instant,
}

impl Place {
    fn open(args: &Log) -> Result<Place> {
        if args.cursor.is_some() && args.unread {
            return Err(Error::usage("--cursor and --unread both say what is new; take one of them"));
        }
        let cursor = args.cursor.as_deref().map(|path| Cursor::open(Path::new(path))).transpose()?;
        if let (Some(path), Some(true)) = (&args.cursor, cursor.as_ref().map(Cursor::is_new)) {
            // Now, and not when everything is printed.
            let dir = file::parent(Path::new(path));
            dir.metadata().map_err(Error::disk(Verb::Open, dir))?;
        }
        Ok(Place { cursor, noted: Instant::now() })
    }

    /// Notes it now and then: who reads slowly is not to have all of it again.
    fn pass(&mut self, conversation: &Conversation) -> Result<()> {
        if self.noted.elapsed() < LOOK { Ok(()) } else { self.note(conversation) }
    }

    /// Notes how far the conversation was given; all of it was printed.
    fn note(&mut self, conversation: &Conversation) -> Result<()> {
        if let Some(cursor) = &mut self.cursor {
            conversation.given().for_each(|(id, position)| cursor.move_to(id, position));
            cursor.save()?;
        }
        self.noted = Instant::now();
        Ok(())
    }
}
