//! The invites file: the one-time tokens that this node has issued (egoat-files(5), INVITES).
//!
//! ```text
//! TOKEN EXPIRES [NAME] [at=IP[,IP]...]
//! ```
//!
//! TOKEN is base32, EXPIRES in seconds of Unix time, NAME what the joiner will be called here, and each IP an address of
//! this machine that the link names. An invite is consumed by
//! the line in the peers file that names it, not here: that is one durable write. The token stays for a while, so that a
//! joiner who was interrupted can try again, and others are told that it is used or expired.

use std::net::IpAddr;
use std::time::Duration;

use crate::crypto::base32;
use crate::crypto::keys::{INVITE_ID_LEN, InviteToken};
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::time::now_micros;

/// How long an expired invite is remembered, to say "expired" rather than nothing: 30 days in seconds.
const EXPIRED_KEPT: u64 = 30 * 24 * 3600;
/// How many expired invites are remembered at the most, so that those that are good have room.
const MAX_EXPIRED: usize = 5000;
/// Thousands of invites; a larger file is not one that this program wrote.
const MAX_LEN: u64 = 1 << 20;
/// What the addresses stand behind. No name has a `=`.
const AT: &str = "at=";

/// An issued invite.
#[derive(Clone)]
pub struct Invite {
    /// Its secret.
    pub token: InviteToken,
    /// Seconds of Unix time after which it is no good.
    expires: u64,
    /// What the joiner will be called.
    pub name: Option<String>,
    /// Addresses of this machine that the link names: whoever comes from one of them is on this machine.
    own_ips: Vec<IpAddr>,
}

impl Invite {
    /// An invite that is good for `ttl`, and known to nobody yet.
    pub fn new(ttl: Duration, name: Option<String>, own_ips: Vec<IpAddr>) -> Invite {
        // Rounded up: good for no less than was asked for.
        let ttl = u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX);
        let expires = now_micros().saturating_add(ttl).div_ceil(1_000_000);
        Invite { token: InviteToken::generate(), expires, name, own_ips }
    }

    /// One by its token, which is good for as long as it is known.
    pub fn of_token(token: InviteToken) -> Invite {
        Invite { token, expires: u64::MAX, name: None, own_ips: Vec::new() }
    }

    /// Whether its time is over.
    pub fn is_expired(&self) -> bool {
        now_seconds() >= self.expires
    }

    fn parse(line: &str) -> Option<Invite> {
        let mut fields = line.split_ascii_whitespace();
        let token = InviteToken::from_base32(fields.next()?)?;
        let expires = fields.next()?.parse().ok()?;
        let mut rest = fields.peekable();
        let name = rest.next_if(|word| !word.starts_with(AT)).map(str::to_owned);
        let own_ips = rest.next().and_then(|word| word.strip_prefix(AT)).unwrap_or_default();
        let own_ips = own_ips.split(',').filter_map(|ip| ip.parse().ok()).collect();
        Some(Invite { token, expires, name, own_ips })
    }

    fn line(&self) -> String {
        let mut line = format!("{} {}", self.token.to_base32(), self.expires);
        self.name.iter().for_each(|name| line.push_str(&format!(" {name}")));
        let ips: Vec<String> = self.own_ips.iter().map(IpAddr::to_string).collect();
        if !ips.is_empty() {
            line.push_str(&format!(" {AT}{}", ips.join(",")));
        }
        line
    }
}

fn now_seconds() -> u64 {
    now_micros() / 1_000_000
}

/// The id of an invite as the peers file has it.
pub fn id_text(id: &[u8; INVITE_ID_LEN]) -> String {
    base32::encode(id)
}

/// Issues an invite that is good for `ttl`, for a link that names these addresses of this machine; durable when it returns.
pub fn issue(home: &Home, ttl: Duration, name: Option<String>, own_ips: Vec<IpAddr>) -> Result<Invite> {
    let invite = Invite::new(ttl, name, own_ips);
    edit(home, |invites| invites.push(invite.clone()))?;
    Ok(invite)
}

/// The invite with this id, also an expired one.
pub fn find(home: &Home, id: &[u8; INVITE_ID_LEN]) -> Result<Option<Invite>> {
    Ok(load(home)?.into_iter().find(|invite| invite.token.invite_id() == *id))
}

/// Whether the link of one of these invites, by their ids in base32, names this address of this machine.
pub fn are_at<'a>(home: &Home, mut ids: impl Iterator<Item = &'a str>, ip: IpAddr) -> Result<bool> {
    let invites = load(home)?;
    let is_at =
        |id: &str, invite: &Invite| invite.own_ips.contains(&ip) && id_text(&invite.token.invite_id()) == id;
    Ok(ids.any(|id| invites.iter().any(|invite| is_at(id, invite))))
}

/// Forgets the invite with this id in base32, so that whoever used it cannot come back by it.
pub fn withdraw(home: &Home, id: &str) -> Result<()> {
    edit(home, |invites| invites.retain(|invite| id_text(&invite.token.invite_id()) != id))
}

fn load(home: &Home) -> Result<Vec<Invite>> {
    let path = home.invites_path();
    let text = file::read_text(&path, MAX_LEN).map_err(Error::disk(Verb::Read, &path))?.unwrap_or_default();
    let malformed = |index: usize| Error::Corrupt {
        path: path.clone(),
        what: format!("line {} is no invite", index + 1),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| Invite::parse(line).ok_or_else(|| malformed(index))).collect()
}

fn edit(home: &Home, change: impl FnOnce(&mut Vec<Invite>)) -> Result<()> {
    let _lock = home.lock_records()?;
    let mut invites = load(home)?;
    invites.retain(|invite| invite.expires.saturating_add(EXPIRED_KEPT) > now_seconds());
    invites.sort_unstable_by_key(|invite| invite.expires);
    let expired = invites.iter().filter(|invite| invite.is_expired()).count();
    invites.drain(..expired.saturating_sub(MAX_EXPIRED));
    change(&mut invites);
    let text: String = invites.iter().map(|invite| invite.line() + "\n").collect();
    let path = home.invites_path();
    file::replace_text(&path, &text, MAX_LEN).map_err(Error::disk(Verb::Replace, &path))
}
