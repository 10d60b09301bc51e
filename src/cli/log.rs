//! `egoat log`: what was said.

use std::collections::VecDeque;

use crate::chat::conversation::{self, Begin, Conversation};
use crate::chat::line::Line;
use crate::cli::args::Log;
use crate::cli::output::Output;
use crate::cli::who;
use crate::error::{Error, Result};
use crate::node::doorbell::{Bell, LOOK};
use crate::store::home::Own;
use crate::text;
use crate::time::{Zone, now_micros};

/// `--follow` begins with this many, as tail does.
const FOLLOWED: usize = 10;

pub fn log(own: &Own, out: Output, args: &Log) -> Result<()> {
    let zone = Zone::local();
    let peer = args.peer.as_deref().map(|name| who::saved(own, name)).transpose()?;
    let bad_time = |given: &str| Error::Usage {
        what: format!("{} is no time", text::clean_line(given)),
        hint: Some(
            "a time is 2026-11-22, \"2026-11-22 08:00\", 08:00, yesterday, or how long ago: 2h".into(),
        ),
    };
    let since = match args.since.as_deref() {
        Some(given) => zone.parse_time(given, now_micros()).ok_or_else(|| bad_time(given))?,
        None => 0,
    };
    let limit = args.limit.or((args.follow && args.since.is_none()).then_some(FOLLOWED));
    let wanted = args.grep.as_deref().unwrap_or_default().as_bytes();
    let is_wanted = |seq: u64, line: &Line| seq >= since && conversation::contains(&line.event, wanted);

    let begin = match limit {
        _ if args.since.is_some() => Begin::Since(since),
        Some(limit) if wanted.is_empty() => Begin::Last(limit),
        _ => Begin::Start,
    };
    let mut conversation = Conversation::new(own, peer.as_ref(), begin)?;
    let mut last = VecDeque::new();
    while conversation.next(|seq, line| match limit {
        _ if !is_wanted(seq, line) => Ok(()),
        None => out.data(&line.text(&zone), || line.json()),
        Some(limit) => {
            last.push_back(if out.json { line.json().line() } else { line.text(&zone) });
            if last.len() > limit {
                last.pop_front();
            }
            Ok(())
        }
    })? {}
    for line in last {
        crate::cli::output::print(&line)?;
    }
    if !args.follow {
        return Ok(());
    }
    let bell = Bell::new(own.home())?;
    loop {
        conversation.look()?;
        while conversation.next(|seq, line| {
            if is_wanted(seq, line) { out.data(&line.text(&zone), || line.json()) } else { Ok(()) }
        })? {}
        bell.ring()?;
        bell.wait(LOOK);
    }
}
