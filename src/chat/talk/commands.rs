//! What the commands of the interactive chat do.

use std::sync::Arc;
use std::time::Duration;

use crate::chat::command::{self, COMMANDS, KEYS};
use crate::chat::conversation::{self, Begin, Conversation};
use crate::chat::jobs;
use crate::chat::talk::Talk;
use crate::crypto::keys::safety_number;
use crate::error::{Error, Result};
use crate::net::local;
use crate::node::pairing;
use crate::store::cancel::cancel;
use crate::store::peers::{Peer, Peers};
use crate::store::{invites, node_lock, requests};
use crate::text;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// Lines of `/history`, and the most.
const USUAL: usize = 50;
const MOST: usize = 1000;
/// An invite is good for this long.
const TTL: Duration = Duration::from_secs(24 * 3600);

impl Talk {
    /// Runs a command. What goes wrong in it is told, and the chat goes on.
    pub(super) fn command(&mut self, name: &str, rest: &str) {
        if let Err(error) = self.run_command(name, rest) {
            self.say_error(&error);
        }
    }

    fn run_command(&mut self, name: &str, rest: &str) -> Result<()> {
        match name {
            "/to" => {
                let peer = self.peer(rest)?;
                self.open(&peer)
            }
            "/all" => self.toggle_all(),
            "/who" => self.who(),
            "/history" => self.history(rest),
            "/me" => Err(Error::usage("what do you do? /me TEXT")),
            "/cancel" => self.cancel(),
            "/invite" => self.invite(),
            "/join" => self.join(rest),
            "/add" => {
                jobs::ask_key(&self.own, Arc::clone(&self.jobs), address(rest)?);
                Ok(())
            }
            "/requests" => self.list_requests(),
            "/admit" => {
                let who = Some(rest).filter(|who| !who.is_empty());
                let peer = pairing::admit(self.own.home(), who, None)?;
                self.look_at_peers()?;
                self.turn_to(&peer)
            }
            "/rename" => self.rename(rest),
            "/forget" => self.forget(rest),
            "/verify" => self.verify(rest),
            "/verified" => self.verified(rest),
            "/send" => self.send_files(rest),
            "/accept" | "/refuse" => self.decide(name, rest),
            "/transfers" => self.list_transfers(),
            "/stop" => self.stop(rest),
            "/clear" => self.redraw(),
            "/id" => self.id(),
            "/help" => self.help(),
            "/keys" => {
                KEYS.iter().for_each(|line| self.say(line));
                Ok(())
            }
            _ => {
                self.is_leaving = true;
                Ok(())
            }
        }
    }

    fn help(&mut self) -> Result<()> {
        for one in &COMMANDS {
            self.say(&format!("{:24}  {}", format!("{} {}", one.name, one.arguments), one.help));
        }
        Ok(())
    }

    /// The peer of this name; without one, who is talked to.
    fn peer_or_open(&self, name: &str) -> Result<Peer> {
        match &self.open {
            Some(open) if name.is_empty() => Ok(open.peer.clone()),
            _ => self.peer(name),
        }
    }

    fn peer(&self, name: &str) -> Result<Peer> {
        if name.is_empty() {
            return Err(Error::usage("which peer? /who lists them"));
        }
        let found = self.peers.iter().find(|peer| peer.name == name);
        found.cloned().ok_or_else(|| {
            Error::usage(format!("no peer is called {}; /who lists them", text::clean_line(name)))
        })
    }

    fn toggle_all(&mut self) -> Result<()> {
        if let (true, Some(open)) = (self.is_all, &self.open) {
            let peer = open.peer.clone();
            return self.open(&peer);
        }
        self.is_all = true;
        self.transcript.begin();
        self.say("all conversations");
        let first = self.show_last(None, USUAL, None)?;
        for key in self.unread.keys().copied().collect::<Vec<_>>() {
            let read = self.notes.read(key.into()).unwrap_or(0);
            if self.count_hidden(&key, read, first)?.1 == 0 {
                self.unread.remove(&key);
            }
        }
        self.note_read();
        Ok(())
    }

    fn who(&mut self) -> Result<()> {
        if self.peers.is_empty() {
            self.say("nobody yet: /invite somebody, or /join with a link");
        }
        let width = self.peers.iter().map(|peer| peer.name.len()).max().unwrap_or(0);
        for (place, peer) in self.peers.clone().into_iter().enumerate() {
            let state = match self.presence.get(&peer.key) {
                _ if peer.is_blocked() => "blocked".to_owned(),
                Some(one) if one.is_here => "here".to_owned(),
                Some(one) => {
                    format!("away, seen {}", self.transcript.time(one.seconds.saturating_mul(1_000_000)))
                }
                None => "away".to_owned(),
            };
            let unread =
                self.unread.get(&peer.key).map_or(String::new(), |count| format!(", {count} unread"));
            let verified = if peer.is_verified() { ", verified" } else { "" };
            self.say(&format!("{} {:width$}  {state}{unread}{verified}", place + 1, peer.name));
        }
        Ok(())
    }

    /// The last lines, or those that contain a text.
    fn history(&mut self, rest: &str) -> Result<()> {
        let peer = self.open.as_ref().map(|open| open.peer.clone()).filter(|_| !self.is_all);
        self.transcript.begin();
        if let Some(count) = if rest.is_empty() { Some(USUAL) } else { rest.parse().ok() } {
            self.show_last(peer.as_ref(), count.clamp(1, MOST), None)?;
        } else {
            self.show_found(peer.as_ref(), rest)?;
        }
        self.say("now");
        Ok(())
    }

    fn show_found(&mut self, peer: Option<&Peer>, wanted: &str) -> Result<()> {
        let mut found = Conversation::new(&self.own, peer, Begin::Start)?;
        let mut lines = Vec::new();
        while found.next_event(|peer, seq, event| {
            if conversation::contains(&event, wanted.as_bytes()) {
                lines.push(self.transcript.lines(peer, seq, &event, self.is_all));
            }
            Ok(())
        })? {}
        let first = lines.len().saturating_sub(MOST);
        self.above.push_str(&lines[first..].concat());
        Ok(())
    }

    fn cancel(&mut self) -> Result<()> {
        let nothing = || Error::failed("nothing waits here");
        let open = self.open.as_mut().ok_or_else(nothing)?;
        let number = open.waiting.messages().next_back().ok_or_else(nothing)?.0;
        let key = open.peer.key;
        if cancel(&self.own, &key, |one| one == number)?.is_empty() {
            return Err(Error::failed("it may be delivered by now"));
        }
        open.waiting.drop_message(number);
        Ok(())
    }

    fn invite(&mut self) -> Result<()> {
        let node = node_lock::running(self.own.home())?;
        let is_alone = node.is_none();
        let addresses = local::reachable_at(&node.unwrap_or_default().listening);
        let invite = invites::issue(self.own.home(), TTL, None)?;
        let link = Link { key: self.own.key(), token: Some(invite.token), addresses };
        self.say("give this link to one person; it works once, for a day:");
        self.above.push_str(&format!("{link}\n"));
        if is_alone {
            self.say("no node runs here: start `egoat serve`, so that the link can be used");
        }
        Ok(())
    }

    fn join(&mut self, rest: &str) -> Result<()> {
        let bad = |bad: crate::wire::link::BadLink| Error::usage(format!("this is no link: {}", bad.0));
        let link: Link = rest.parse().map_err(bad)?;
        self.say("dialling");
        jobs::join(&self.own, Arc::clone(&self.jobs), link);
        Ok(())
    }

    fn list_requests(&mut self) -> Result<()> {
        let all = requests::load(self.own.home())?;
        if all.is_empty() {
            self.say("nobody waits");
        }
        for request in all {
            let when = self.transcript.time(request.seconds.saturating_mul(1_000_000));
            self.say(&format!("{when}  {}  {}", text::clean_line(&request.name), request.key.fingerprint()));
        }
        Ok(())
    }

    fn rename(&mut self, rest: &str) -> Result<()> {
        let (old, new) = rest.rsplit_once(' ').unwrap_or(("", rest));
        let peer = self.peer_or_open(old.trim())?;
        let name =
            text::name(new).ok_or_else(|| Error::usage("a name is 1 to 32 letters, digits and -_.@+"))?;
        pairing::rename(self.own.home(), &peer.key, &name)?;
        self.look_at_peers()
    }

    fn forget(&mut self, rest: &str) -> Result<()> {
        let peer = self.peer(rest)?;
        pairing::forget(self.own.home(), &peer)?;
        self.say(&format!("{} is no peer any more; the history stays", peer.name));
        self.look_at_peers()
    }

    fn verify(&mut self, rest: &str) -> Result<()> {
        let peer = self.peer_or_open(rest)?;
        let number = safety_number(&self.own.key(), &peer.key);
        self.say(&format!("compare this with {}, by voice or in person; it is the same there:", peer.name));
        for half in [&number[..35], &number[36..]] {
            self.say(half);
        }
        let state =
            if peer.is_verified() { "it was compared before" } else { "when it is the same: /verified" };
        self.say(state);
        Ok(())
    }

    fn verified(&mut self, rest: &str) -> Result<()> {
        let peer = self.peer_or_open(rest)?;
        Peers::edit(self.own.home(), |peers| {
            let known = peers.by_key_mut(&peer.key).ok_or_else(|| Error::failed("it is no peer any more"))?;
            known.set_option("verified").map_err(Error::failed)
        })?;
        self.say(&format!("{} is verified", peer.name));
        self.look_at_peers()
    }

    fn send_files(&mut self, rest: &str) -> Result<()> {
        let open = self.open.as_ref().ok_or_else(|| Error::usage("to whom? /to NAME first"))?;
        let paths = command::path_words(rest);
        if paths.is_empty() {
            return Err(Error::usage("which files? /send PATH..."));
        }
        pairing::ensure_not_blocked(&open.peer)?;
        jobs::send(&self.own, Arc::clone(&self.jobs), open.peer.clone(), paths);
        Ok(())
    }

    fn decide(&mut self, name: &str, rest: &str) -> Result<()> {
        // The offers know their commands from the chat without a terminal.
        let said = self.offers.command(&format!("{name} {rest}")).unwrap_or_default();
        if !said.is_empty() {
            self.say(said);
        }
        Ok(())
    }

    fn list_transfers(&mut self) -> Result<()> {
        if self.transfers.is_empty() {
            self.say("nothing moves");
        }
        let lines: Vec<String> = self.transfers.iter().map(|transfer| transfer.line()).collect();
        lines.iter().for_each(|line| self.say(line));
        Ok(())
    }

    fn stop(&mut self, rest: &str) -> Result<()> {
        let number: Option<usize> = rest.parse().ok();
        let found = self.transfers.iter().find(|transfer| Some(transfer.number) == number);
        found
            .map(|transfer| transfer.tally.stop())
            .ok_or_else(|| Error::usage("which one? /transfers lists them"))
    }

    fn id(&mut self) -> Result<()> {
        let node = node_lock::running(self.own.home())?.unwrap_or_default();
        let name = self.own.home().name()?;
        self.say(&format!("{name}, fingerprint {}", self.own.key().fingerprint()));
        for address in local::reachable_at(&node.listening) {
            self.say(&format!("at {address}"));
        }
        Ok(())
    }
}

fn address(given: &str) -> Result<Address> {
    let bad = |bad: crate::wire::address::BadAddress| {
        Error::usage(format!("{} is no address: {}", text::clean_line(given), bad.0))
    };
    given.parse().map_err(bad)
}
