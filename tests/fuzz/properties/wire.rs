//! What comes over the wire, and what people paste: frames, messages, beacons, addresses, links.

use std::io::{self, Read};

use egoat::crypto::noise::{CipherState, TAG_LEN};
use egoat::crypto::record::{Opener, Sealer};
use egoat::net::session::{Incoming, MAX_IN_RECORD};
use egoat::wire::address::Address;
use egoat::wire::beacon::{Beacon, MAX_LEN};
use egoat::wire::features::Features;
use egoat::wire::link::{Link, MAX_ADDRESSES};
use egoat::wire::message::{HEADER, IGNORABLE, Message, max_body};
use egoat::wire::shares::{self, MAX_OPEN, MAX_SHARES, MAX_WANT};

/// A record of this length is none: what follows it was sealed by nobody.
const RAW: u16 = u16::MAX;

fn cipher() -> CipherState {
    CipherState::initialize_key(&[3; 32])
}

/// A socket that gives no more than some bytes at once.
struct Trickle<'a> {
    bytes: &'a [u8],
    most: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.most.min(buffer.len());
        self.bytes.read(&mut buffer[..most])
    }
}

/// What a peer may send once its session is proven: any bytes, in records of any length.
///
/// ```text
/// input   step u8 ‖ (length u16 ‖ text)...     length 65,535: the rest goes out as it is
/// ```
pub fn frames(input: &[u8]) -> Option<Vec<u8>> {
    let (step, mut rest) = input.split_first()?;
    let mut sealer = Sealer::new(cipher());
    let (mut wire, mut stream, mut is_raw) = (Vec::new(), Vec::new(), false);
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = u16::from_be_bytes(*length);
        if length == RAW {
            is_raw = true;
            wire.extend_from_slice(behind);
            break;
        }
        let (text, behind) = behind.split_at(usize::from(length).min(MAX_IN_RECORD).min(behind.len()));
        let mut sealed = text.to_vec();
        let tag = sealer.seal(&mut sealed).unwrap();
        wire.extend_from_slice(&((sealed.len() + TAG_LEN) as u16).to_be_bytes());
        wire.extend_from_slice(&sealed);
        wire.extend_from_slice(&tag);
        stream.extend_from_slice(text);
        rest = behind;
    }
    let (length, is_bad) = good_messages(&stream);
    let most = if step & 0x40 == 0 { 1 << 16 } else { usize::from(step & 0x3f) + 1 };
    let (read, has_failed) = read_all(Trickle { bytes: &wire, most }, step & 0x80 != 0);
    assert!(read == stream[..length], "other messages than were sent");
    assert!(has_failed || !is_bad, "a malformed message passed");
    assert!(!has_failed || is_bad || is_raw, "good messages were refused");
    Some(read).filter(|_| !has_failed)
}

/// Bytes of the whole messages at the front of a stream, and whether something malformed follows them.
fn good_messages(stream: &[u8]) -> (usize, bool) {
    let mut at = 0;
    while let Some((&[kind, a, b, c, d], rest)) = stream[at..].split_first_chunk::<HEADER>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        // A session without features has no GOT, and no ignorable messages.
        let is_known = kind != Message::Got(0).kind() && kind < IGNORABLE;
        if is_known && max_body(kind).is_ok_and(|most| length <= most) {
            let Some(body) = rest.get(..length) else { break };
            if Message::decode(kind, body).is_ok() {
                at += HEADER + length;
                continue;
            }
        }
        return (at, true);
    }
    (at, false)
}

/// What a session reads until the end or until it fails, encoded again; and whether it failed.
fn read_all(mut socket: Trickle, releases: bool) -> (Vec<u8>, bool) {
    let mut incoming = Incoming::new(Opener::new(cipher()), Features::NONE);
    incoming.take_bodies(usize::MAX);
    let mut read = Vec::new();
    loop {
        match incoming.has_message() {
            Ok(true) => match incoming.next_message() {
                Ok(message) => message.encode(&mut read),
                Err(_) => return (read, true),
            },
            Ok(false) if incoming.fill(&mut socket).is_ok() => {}
            Ok(false) => return (read, false),
            Err(_) => return (read, true),
        }
        if releases {
            incoming.release_memory();
        }
    }
}

/// `type u8 ‖ body`.
pub fn message(input: &[u8]) -> Option<Vec<u8>> {
    let (kind, body) = input.split_first()?;
    let message = Message::decode(*kind, body).ok()?;
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    let (head, encoded) = bytes.split_first_chunk::<HEADER>().unwrap();
    assert_eq!(head[0], *kind);
    assert_eq!(u32::from_be_bytes(*head[1..].first_chunk().unwrap()) as usize, body.len());
    assert_eq!(message.body_len(), body.len());
    assert_eq!(encoded, body);
    Some(input.to_vec())
}

/// A packet from anybody in the network.
pub fn beacon(input: &[u8]) -> Option<Vec<u8>> {
    let beacon = Beacon::decode(input).ok()?;
    assert!(input.len() <= MAX_LEN && [8, 16, 32, 64].contains(&beacon.tags.len()));
    Some(beacon.encode())
}

/// Needs no quoting in a shell, in the peers file, or in a link.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":.,@-_[]".contains(&byte))
}

pub fn address(input: &[u8]) -> Option<Vec<u8>> {
    let address: Address = std::str::from_utf8(input).ok()?.parse().ok()?;
    let shown = address.to_string();
    assert_eq!(shown.parse::<Address>().as_ref(), Ok(&address), "what is shown can be typed");
    assert!(is_plain(&shown) && !shown.contains([',', '@']), "{shown}");
    assert!((1..=253).contains(&address.host().len()) && address.port() != 0, "{shown}");
    let _ = address.ip();
    Some(shown.into_bytes())
}

pub fn link(input: &[u8]) -> Option<Vec<u8>> {
    let link: Link = std::str::from_utf8(input).ok()?.parse().ok()?;
    let shown = link.to_string();
    let again: Link = shown.parse().ok().unwrap();
    assert_eq!((again.is_share, again.key, &again.addresses), (link.is_share, link.key, &link.addresses));
    assert!(!link.is_share || link.token.is_some(), "{shown}");
    assert_eq!(again.token.map(|token| token.to_base32()), link.token.map(|token| token.to_base32()));
    // The only + is that of `get+`.
    assert!(is_plain(&shown.replacen("get+", "", usize::from(link.is_share))), "{shown}");
    assert!((1..=MAX_ADDRESSES).contains(&link.addresses.len()), "{shown}");
    // But for its addresses it has one spelling.
    let named = shown.find('@').unwrap();
    assert_eq!(shown.as_bytes()[..named], input[..named]);
    Some(shown.into_bytes())
}

/// The body of a SHARES, alone and after others of the same.
pub fn shares(input: &[u8]) -> Option<Vec<u8>> {
    let mut told = Vec::new();
    let is_followed = shares::decode(input, &mut told).ok()?;
    assert!(input.len() <= MAX_SHARES && is_followed == (told.len() == 255));
    assert!(told.iter().all(|share| (1..=255).contains(&share.name.len())));
    let bodies = shares::encode(&told);
    assert_eq!((&bodies[0][..], bodies.len()), (input, 1 + usize::from(is_followed)));
    let (count, mut most) = (told.len(), Vec::new());
    while count > 0 && most.len() < 3 * count && shares::decode(input, &mut most).is_ok() {}
    assert!(most.len() <= MAX_OPEN);
    Some(bodies.into_iter().next().unwrap())
}

/// The body of a WANT.
pub fn want(input: &[u8]) -> Option<Vec<u8>> {
    let wanted = shares::decode_wanted(input).ok()?;
    let again = shares::encode_wanted(wanted.as_ref());
    assert!(again == input && input.len() <= MAX_WANT);
    Some(again)
}
