//! What the page asks below /api/, a row and a function each: API.md beside this file has the fields and the answers. What is
//! done is done in [`crate::app`]; here fields are read, and objects written.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::app::inbox::entry::{Event, HistoryEntry};
use crate::app::inbox::pages::{self, Part};
use crate::app::inbox::pattern::Pattern;
use crate::app::link::Decision;
use crate::app::messages::QueuedItem;
use crate::app::page::answer::{Exchange, LINES};
use crate::app::page::form::Form;
use crate::app::page::gate;
use crate::app::page::request::Head;
use crate::app::page::request::Method::{self, Get, Post, Put};
use crate::app::window::Window;
use crate::app::window::sessions::Ticket;
use crate::app::{
    Endpoint, Home, Peer, contacts, doctor, files, identity, inbox, messages, settings, uploads,
};
use crate::error::{Error, Result};
use crate::text::json::Object;

/// Bytes of a form, and of one with a message or with the list of a drop in it.
pub const SHORT: u64 = 64 << 10;
const LONG: u64 = 4 << 20;
/// Records of one answer, and found ones unless the page says how many.
const MAX_RECORDS: u64 = 200;
const USUAL_FOUND: u64 = 50;
/// Found records that an earlier answer had, at most: their numbers are kept while it is searched.
const MAX_SKIPPED: u64 = 10_000;
/// What waits for one peer, as much as a page lists.
const MAX_WAITING: usize = 1000;
/// How often a page that follows gets a line, so that a lost connection shows.
const QUIET: Duration = Duration::from_secs(15);
/// How often it is looked whether the page is still there, and may still follow.
const LOOK: Duration = Duration::from_secs(1);

/// A request of a page that has a session.
struct Call<'a> {
    window: &'a Arc<Window>,
    head: &'a Head,
    form: Form,
}

type Route = fn(&Call, &mut Exchange) -> Result<()>;

const ROUTES: &[(Method, &str, u64, Route)] = &[
    (Get, "events", 0, events),
    (Get, "log", 0, log),
    (Get, "outbox", 0, outbox),
    (Get, "search", 0, search),
    (Get, "safety", 0, safety),
    (Get, "doctor", 0, examine),
    (Post, "say", LONG, say),
    (Post, "cancel", SHORT, cancel),
    (Post, "retry", SHORT, retry),
    (Post, "read", SHORT, read),
    (Post, "invite", SHORT, invite),
    (Post, "join", SHORT, join),
    (Post, "accept", SHORT, accept),
    (Post, "rename", SHORT, rename),
    (Post, "set", SHORT, set),
    (Post, "remove", SHORT, remove),
    (Post, "name", SHORT, name),
    (Post, "decide", SHORT, decide),
    (Post, "stop", SHORT, stop),
    (Post, "unlock", SHORT, unlock),
    (Post, "ticket", SHORT, ticket),
    (Post, "folder", SHORT, folder),
    (Post, "upload", SHORT, begin_upload),
    (Put, "upload", 0, upload),
    (Post, "commit", LONG, commit),
    (Post, "discard", SHORT, discard),
];

/// Answers a request below /api/.
pub fn answer(window: &Arc<Window>, head: &Head, exchange: &mut Exchange) {
    let (method, name) = (head.method, head.path.strip_prefix("/api/").unwrap_or_default());
    let route = ROUTES.iter().find(|(of, known, ..)| *of == method && *known == name);
    let Some((.., longest, route)) = route else {
        return exchange.fail(404, &Error::usage("there is no such thing to ask for"));
    };
    let encoded = match method {
        Post if exchange.left() > *longest => return exchange.fail(413, &Error::usage("that is too long")),
        Post => exchange.text(*longest),
        _ => Some(head.query.clone()),
    };
    let Some(form) = encoded.and_then(|encoded| Form::decode(&encoded)) else {
        return exchange.fail(400, &Error::usage("the form is malformed"));
    };
    let answered = route(&Call { window, head, form }, exchange);
    if method == Post {
        window.nudge();
    }
    match answered {
        Ok(()) if exchange.waits() => exchange.line(Object::event("done")),
        Ok(()) => {}
        Err(error) if exchange.waits() => exchange.fail(status_of(window, &error), &error),
        // It has begun: the page is to see that it is not whole.
        Err(_) => exchange.cut(),
    }
}

fn status_of(window: &Window, error: &Error) -> u16 {
    match error {
        Error::Usage { .. } | Error::Identity { .. } => 400,
        Error::UnknownPeer { .. } => 404,
        _ if window.own().is_err() => 423,
        Error::Disk { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull => 507,
        _ => 500,
    }
}

impl Call<'_> {
    fn own(&self) -> Result<&Endpoint> {
        self.window.own()
    }

    /// The peer that the form names, by its key or by its name.
    fn peer(&self) -> Result<Peer> {
        let given = self.form.wanted("peer")?;
        let found = contacts::all(self.own()?)?.into_iter().find(|peer| peer.key.to_string() == given);
        found.map_or_else(|| contacts::called(self.own()?, given), Ok)
    }

    /// The same, if the form names one.
    fn peer_if_named(&self) -> Result<Option<Peer>> {
        self.form.get("peer").map(|_| self.peer()).transpose()
    }

    fn name(&self) -> Result<Option<String>> {
        self.form.get("name").map(contacts::parse_name).transpose()
    }

    fn limit(&self, usual: u64) -> Result<usize> {
        Ok(self.form.number("limit")?.unwrap_or(usual).clamp(1, MAX_RECORDS) as usize)
    }

    /// The file that a record of a history is about.
    fn received(&self) -> Result<files::received::Received> {
        let (peer, seq) = (self.peer()?, self.form.wanted_number("seq")?);
        files::received::find(self.own()?, &peer, seq)
    }
}

fn end(exchange: &mut Exchange, more: bool) {
    exchange.line(Object::event("end").boolean("more", more));
}

/// Tells the state and what changes, until the page is gone or its session is over.
fn events(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let Some(mut follower) = call.window.feed.follow(call.form.number("after")?) else {
        exchange.fail(409, &Error::failed("the window is open in too many tabs"));
        return Ok(());
    };
    call.window.nudge();
    let token = call.head.token.as_deref();
    exchange.begin(200, LINES);
    let mut told = Instant::now();
    exchange.flush();
    while exchange.is_wanted() && call.window.sessions.has(token) {
        let lines = follower.next(LOOK);
        lines.iter().for_each(|line| exchange.write(line.as_bytes()));
        if !lines.is_empty() || told.elapsed() >= QUIET {
            if lines.is_empty() {
                exchange.write(b":\n");
            }
            exchange.flush();
            told = Instant::now();
        }
    }
    exchange.cut();
    Ok(())
}

fn log(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let peer = call.peer()?;
    let part = match (call.form.number("before")?, call.form.number("after")?) {
        (None, Some(after)) => Part::After(after),
        (before, _) => Part::Before(before.unwrap_or(u64::MAX)),
    };
    let more = pages::read(call.own()?, &peer, part, call.limit(MAX_RECORDS)?, |entry| {
        exchange.line(record(&peer, entry));
    })?;
    end(exchange, more);
    Ok(())
}

/// A record as `egoat log --json` has it, with its number; of a received file, with what is there now.
fn record(peer: &Peer, entry: &HistoryEntry) -> Object {
    let object = entry.object(&peer.name);
    let object = match entry.event {
        Event::FileReceived { path, .. } => object.optional("kind", files::received::kind_at(path)),
        _ => object,
    };
    object.number("seq", entry.seq)
}

fn search(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let patterns = Pattern::words(call.form.wanted("text")?);
    let skip = call.form.number("skip")?.unwrap_or(0).min(MAX_SKIPPED) as usize;
    let limit = call.limit(USUAL_FOUND)?;
    let total = pages::find(call.own()?, call.peer_if_named()?, &patterns, (skip, limit), |peer, entry| {
        exchange.line(record(peer, entry).text("peer_key", &peer.key.to_string()));
    })?;
    let more = total > (skip + limit) as u64;
    exchange.line(Object::event("end").boolean("more", more).number("total", total));
    Ok(())
}

fn outbox(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let own = call.own()?;
    let only = call.peer_if_named()?;
    let mut more = false;
    for queue in messages::queues(own)? {
        if only.as_ref().is_some_and(|only| only.key != queue.peer.key) {
            continue;
        }
        let mut items = queue.items(own)?;
        let mut left = MAX_WAITING;
        while let Some(item) = items.read()? {
            if left == 0 {
                more = true;
                break;
            }
            left -= 1;
            let object = match &item {
                QueuedItem::Message(waiting) => queue.message_object(waiting),
                QueuedItem::Files(job) => queue.job_object(job),
            };
            exchange.line(object.text("peer_key", &queue.peer.key.to_string()));
        }
    }
    end(exchange, more);
    Ok(())
}

fn safety(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let peer = call.peer()?;
    let number = contacts::safety_number(call.own()?, &peer);
    exchange.line(Object::event("safety").text("peer", &peer.name).text("number", &number));
    Ok(())
}

fn examine(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let own = call.own()?;
    let peer = call.peer_if_named()?.map(|peer| peer.name);
    let unlock = |_: Home| Ok(own.clone());
    let examined =
        doctor::run(Ok(own.home().clone()), &unlock, own.is_hidden(), peer.as_deref(), &mut |finding| {
            exchange.line(finding.object());
            exchange.flush();
            Ok(())
        });
    // That something is not well is what was told.
    if exchange.waits() { examined } else { Ok(()) }
}

fn say(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let (peer, text, id) = (call.peer()?, call.form.wanted("text")?, call.form.get("id").unwrap_or_default());
    if let Some(error) = messages::refuse_link(text) {
        exchange.fail(422, &error);
        return Ok(());
    }
    let number = messages::queue_once(call.own()?, &peer, text.as_bytes(), id)?;
    call.window.ring(&peer.key)?;
    let object = Object::event("queued").text("peer", &peer.name).text("peer_key", &peer.key.to_string());
    exchange.line(object.number("number", number).text("key", id));
    Ok(())
}

fn cancel(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let number = call.form.wanted_number("number")?;
    let left = messages::cancel(call.own()?, [number].into(), &mut |peer, number| {
        exchange.line(messages::cancelled_object(peer, number));
        Ok(())
    })?;
    if left.is_empty() {
        Ok(())
    } else {
        Err(Error::failed("it does not wait any more; it may be delivered by now"))
    }
}

fn retry(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    let mut failed = None;
    messages::retry(call.own()?, call.peer_if_named()?, &mut |step| {
        if let messages::FetchStep::Failed(error) | messages::FetchStep::Away(_, error) = step {
            failed = failed.take().or(Some(error));
        }
        Ok(())
    })?;
    failed.map_or(Ok(()), Err)
}

fn read(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    inbox::note_read(call.own()?, &call.peer()?, call.form.wanted_number("seq")?)
}

fn invite(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let invitation = contacts::invite(call.own()?, contacts::INVITE_TTL, call.name()?, Vec::new())?;
    let object = Object::event("invite").text("link", &invitation.link.to_string());
    let object = object.number("seconds", contacts::INVITE_TTL.as_secs());
    let who = contacts::who_can_use(call.own()?, &invitation.link.addresses);
    exchange.line(object.optional("note", who.as_deref()));
    Ok(())
}

fn join(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let link = contacts::parse_link(call.form.wanted("link")?)?;
    let name = call.name()?;
    let peer = contacts::join(call.own()?, &link, name.clone())?;
    let (contacts::NameResult::AsWished(peer) | contacts::NameResult::Taken { peer, .. }) =
        contacts::give_name(call.own()?, peer, name)?;
    exchange.line(contacts::paired_object(&peer));
    Ok(())
}

fn accept(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let who = call.form.wanted("fingerprint")?;
    let peer = contacts::accept(call.own()?, Some(who), call.name()?)?;
    exchange.line(contacts::object(&peer));
    Ok(())
}

fn rename(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    contacts::rename(call.own()?, &call.peer()?.key, &contacts::parse_name(call.form.wanted("name")?)?)
}

fn set(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let rules = call.form.fields().filter(|(name, _)| *name == "rule").map(|(_, rule)| rule.to_owned());
    let (peer, _) = contacts::set(call.own()?, &call.peer()?, &rules.collect::<Vec<_>>())?;
    exchange.line(contacts::object(&peer));
    Ok(())
}

fn remove(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    contacts::remove(call.own()?, &call.peer()?)
}

fn name(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    identity::rename(call.own()?, call.form.wanted("name")?)
}

fn decide(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    let decision = match call.form.wanted("answer")? {
        "accept" => Decision::Accept { dir: call.form.get("dir").and_then(settings::directory) },
        "refuse" => Decision::Refuse,
        _ => return Err(Error::usage("an answer is accept or refuse")),
    };
    files::decide(call.own()?.home(), &call.window.link()?, call.form.wanted_number("number")?, decision)
}

fn stop(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    call.window.link()?.stop(call.form.wanted_number("number")?)
}

fn unlock(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    call.window.unlock(call.form.get("passphrase").unwrap_or_default())
}

fn ticket(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let (peer, seq) = (call.peer()?, call.form.wanted_number("seq")?);
    // What is not there any more is told now, and not by a download that fails.
    call.received()?.open()?;
    let ticket = call.window.sessions.ticket(Ticket { peer: peer.key.to_string(), seq });
    exchange.line(Object::event("ticket").text("path", &format!("/download/{ticket}")));
    Ok(())
}

fn folder(call: &Call, exchange: &mut Exchange) -> Result<()> {
    if !gate::is_direct(call.head, call.window.port()) {
        exchange.fail(403, &Error::failed("the browser is on another machine, as far as it can be told"));
        return Ok(());
    }
    call.received()?.open_folder()
}

/// Sends the file of a ticket, to be saved and not shown.
pub fn download(window: &Arc<Window>, ticket: &str, exchange: &mut Exchange) {
    let gone = || Error::usage("this download is not there any more");
    let opened = window.sessions.use_ticket(ticket).ok_or_else(gone).and_then(|ticket| {
        let own = window.own()?;
        let peers = contacts::all(own)?;
        let peer = peers.iter().find(|peer| peer.key.to_string() == ticket.peer).ok_or_else(gone)?;
        let found = files::received::find(own, peer, ticket.seq)?;
        let (file, length) = found.open()?;
        Ok((file, length, found.name()))
    });
    match opened {
        Ok((file, length, name)) => send(file, length, &name, exchange),
        Err(error) => exchange.fail(404, &error),
    }
}

fn send(mut file: File, length: u64, name: &str, exchange: &mut Exchange) {
    let disposition = format!("Content-Disposition: attachment; filename*=UTF-8''{name}\r\n");
    exchange.begin_whole(200, "application/octet-stream", length, &disposition);
    let mut buffer = vec![0; 64 << 10];
    let mut left = length;
    while left > 0 && exchange.is_going() {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match file.read(&mut buffer[..most]) {
            Ok(count @ 1..) => {
                exchange.write(&buffer[..count]);
                left -= count as u64;
            }
            // It has become shorter: the browser sees that the download is not whole.
            _ => return exchange.cut(),
        }
    }
}

fn begin_upload(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let id = uploads::begin(call.own()?.home())?;
    exchange.line(Object::event("upload").text("id", &id));
    Ok(())
}

fn upload(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let (id, number) = (call.form.wanted("id")?, call.form.wanted_number("number")?);
    let size = exchange.left();
    let keep_free = call.window.keep_free();
    uploads::store(call.own()?.home(), keep_free, id, number, size, |buffer| exchange.read(buffer))?;
    exchange.line(Object::event("stored").number("number", number).number("size", size));
    Ok(())
}

fn commit(call: &Call, exchange: &mut Exchange) -> Result<()> {
    let (peer, id) = (call.peer()?, call.form.wanted("id")?);
    let (number, size) = uploads::commit(call.own()?, &peer, id, &uploads::listed(call.form.fields())?)?;
    call.window.ring(&peer.key)?;
    let object = Object::event("file-queued").text("peer", &peer.name);
    exchange.line(object.number("number", number).number("size", size));
    Ok(())
}

fn discard(call: &Call, _exchange: &mut Exchange) -> Result<()> {
    uploads::discard(call.own()?, call.form.wanted("id")?)
}
