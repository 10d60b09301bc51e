//! egoat-protocol(7) against the program: the page lists the messages, kinds and reasons that the code has, with the same
//! numbers, fields and bounds, and the values of its EXAMPLES are those that the code computes. Where a block of EXAMPLES
//! is wrong, the failure prints how it should read.

use std::fmt::Debug;
use std::sync::Arc;

use egoat::crypto::beacon::BeaconKey;
use egoat::crypto::digits;
use egoat::crypto::handshake::{CT_LEN, MESSAGE_1_LEN, OFFER_LEN, PREAMBLE_LEN, Responder};
use egoat::crypto::keys::{InviteToken, PublicKey, Seed, StaticKeys, safety_number};
use egoat::crypto::lane::{self, Lane, TICKET_LEN};
use egoat::crypto::noise::{
    CipherState, DH_LEN, HASH_LEN, HandshakeState, KEY_LEN, KeyPair, NNPSK0, Role, Split, TAG_LEN, XKPSK2,
};
use egoat::crypto::record::{REKEY_INTERVAL, Sealer};
use egoat::crypto::{hkdf, sha256};
use egoat::wire::beacon::Beacon;
use egoat::wire::codec::FieldWriter;
use egoat::wire::features::{Features, acceptor_payload, dialler_payload};
use egoat::wire::link::Link;
use egoat::wire::message::{Declined, Failure, IGNORABLE, Kind, Message, Refusal, SentBy, table};
use egoat::wire::shares::{self, SharedFiles};
use orion::KP;
use orion::hazardous::aead::chacha20poly1305::{ChaCha20Poly1305, Nonce, SecretKey};
use orion::hazardous::ecc::x25519;
use orion::hazardous::kem::mlkem768;
use orion::hazardous::mac::hmac::sha256::{HmacSha256, SecretKey as HmacKey};

const PAGE: &str = include_str!("../../man/egoat-protocol.7");

/// The columns of a table of the page: of the one whose first column is titled so, in the section or subsection.
fn rows(section: &str, column: &str) -> Vec<Vec<String>> {
    let is_end = |line: &str| line.starts_with(".Sh ") || line.starts_with(".Ss ");
    let begin = |line: &&str| **line == *format!(".Sh {section}") || **line == *format!(".Ss {section}");
    let lines = PAGE.lines().skip_while(|line| !begin(line)).skip(1).take_while(|line| !is_end(line));
    let head = format!(".It Em {column} Ta ");
    let rows = lines.skip_while(|line| !line.starts_with(&head)).skip(1).take_while(|line| *line != ".El");
    rows.map(|line| line[".It ".len()..].split(" Ta ").map(str::to_owned).collect()).collect()
}

#[test]
fn the_page_lists_the_messages_of_the_code() {
    let by = |by: SentBy| match by {
        SentBy::Acceptor => "acceptor",
        SentBy::Dialler => "dialler",
        SentBy::Either => "either",
        SentBy::Sender => "sender",
        SentBy::Receiver => "receiver",
    };
    let of_code: Vec<Vec<String>> = table()
        .into_iter()
        .map(|row| {
            let fields = if row.fields.is_empty() { "none".into() } else { row.fields.join(", ") };
            let columns = [
                row.number.to_string(),
                capitals(row.name).replace(' ', "\\-"),
                fields,
                row.most.to_string(),
            ];
            columns.into_iter().chain([by(row.by).to_owned()]).collect()
        })
        .collect();
    assert_eq!(rows("MESSAGES", "Type"), of_code);
}

/// `InviteUsed` is INVITE USED in the page.
fn capitals(name: &str) -> String {
    let parts = name.chars().enumerate().map(|(at, c)| match c.is_uppercase() && at > 0 {
        true => format!(" {c}"),
        false => c.to_uppercase().to_string(),
    });
    parts.collect()
}

#[test]
fn the_page_lists_the_codes_of_the_code() {
    fn named<T: Debug + Copy>(all: &[T], code: impl Fn(T) -> u8) -> Vec<(String, String)> {
        all.iter().map(|value| (code(*value).to_string(), capitals(&format!("{value:?}")))).collect()
    }
    let of_page = |title: &str, column: &str| {
        let from = PAGE.find(title).unwrap_or_else(|| panic!("no {title:?}"));
        let lines = PAGE[from..].lines();
        let head = format!(".It Em {column} Ta ");
        let rows =
            lines.skip_while(|line| !line.starts_with(&head)).skip(1).take_while(|line| *line != ".El");
        rows.map(|line| {
            let mut columns = line[".It ".len()..].split(" Ta ").map(str::to_owned);
            (columns.next().unwrap(), columns.next().unwrap())
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(of_page(".Ss Message 3", "Kind"), named(Kind::ALL, |kind| kind as u8));
    assert_eq!(of_page("The reasons of REFUSED:", "Code"), named(Refusal::ALL, |reason| reason as u8));
    assert_eq!(of_page("The reasons of DECLINE:", "Code"), named(Declined::ALL, |reason| reason as u8));
    assert_eq!(of_page("The reasons of FAILED:", "Code"), named(Failure::ALL, |reason| reason as u8));
}

/// The numbers of one kind in NUMBERS; `1 to 26` are all of these.
fn numbers(column: &str) -> Vec<u8> {
    let range = |text: &str| match text.split_once(" to ") {
        Some((first, last)) => first.parse().unwrap()..=last.parse().unwrap(),
        None => text.parse().unwrap()..=text.parse::<u8>().unwrap(),
    };
    rows("NUMBERS", column).iter().flat_map(|row| range(&row[0])).collect()
}

#[test]
fn the_table_of_numbers_has_those_of_the_code_and_none_twice() {
    for column in ["Bit", "Kind", "Type"] {
        let listed = numbers(column);
        assert!(listed.is_sorted_by(|one, next| one < next), "{column}: {listed:?}");
    }
    let types = numbers("Type");
    assert!(table().iter().all(|row| types.contains(&row.number)));
    assert!(Kind::ALL.iter().all(|kind| numbers("Kind").contains(&(*kind as u8))));
    for row in rows("NUMBERS", "Type") {
        let is_ignorable = row[1].starts_with("ignorable");
        assert_eq!(is_ignorable, row[0].parse::<u8>().is_ok_and(|number| number >= IGNORABLE), "{row:?}");
    }
    let own = |bit: u8| Features::DIALLER.has(Features::from_bits(1 << bit));
    let reserved = rows("NUMBERS", "Bit").into_iter().filter(|row| !row[1].starts_with("reserved"));
    let specified: Vec<u8> = reserved.map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(specified, (0..32).filter(|bit| own(*bit)).collect::<Vec<u8>>());
    assert!(Features::DIALLER == Features::ONE_OFF_ACCEPTOR);
}

/// The feature bits of both ends in EXAMPLES: 0 and 8.
const EXAMPLES: Features = Features::from_bits(0x101);

/// A block of EXAMPLES: labels, and below each its value.
#[derive(Default)]
struct Block(String);

impl Block {
    /// A value that is written as it is.
    fn text(&mut self, label: &str, value: &str) {
        self.0.push_str(&format!("{label}\n  {value}\n"));
    }

    /// Bytes in hexadecimal, 32 in a line.
    fn hex(&mut self, label: &str, bytes: &[u8]) {
        let lines = bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect());
        self.text(label, &lines.collect::<Vec<String>>().join("\n  "));
    }

    /// It stands in the page word for word, as the first literal block of this subsection.
    fn stands_in(self, subsection: &str) {
        let (_, rest) =
            PAGE.split_once(&format!(".Ss {subsection}\n")).unwrap_or_else(|| panic!("{subsection}"));
        let block = rest.split_once(".Bd -literal\n").and_then(|(_, rest)| rest.split_once(".Ed\n"));
        let block = block.unwrap().0;
        assert!(block == self.0, "{subsection} of EXAMPLES should have\n{}\nand not\n{block}", self.0);
    }
}

const SESSION: &[u8; PREAMBLE_LEN] = b"E-GOAT\x01\x00";
const LANE: &[u8; PREAMBLE_LEN] = b"E-GOAT\x01\x01";
const TICKET: [u8; TICKET_LEN] = [0x99; TICKET_LEN];
const DIALLER_SEED: [u8; 32] = [0x33; 32];
const ACCEPTOR_SEED: [u8; 32] = [0x11; 32];

/// egoat-files(5): the static private key of a seed.
fn private(seed: [u8; 32]) -> [u8; DH_LEN] {
    let mut key = [0; DH_LEN];
    hkdf(b"", &seed, b"E-Goat v1 noise static", &mut key);
    assert_eq!(StaticKeys::from_secret(key).public(), public(seed), "that of the program");
    key
}

fn public(seed: [u8; 32]) -> PublicKey {
    Seed::from_bytes(seed).static_keys().public()
}

fn token() -> InviteToken {
    InviteToken::from_bytes([0x22; 16])
}

#[test]
fn a_share() {
    let (id, mut private) = (token().invite_id(), [0; DH_LEN]);
    hkdf(b"", &DIALLER_SEED, &[&b"E-Goat v1 get"[..], &id].concat(), &mut private);
    let getter = StaticKeys::from_secret(private).public();
    assert_eq!(Seed::from_bytes(DIALLER_SEED).getter_keys(&id).public(), getter, "that of the program");
    let shared = SharedFiles { id, entries: 2, bytes: 300, name: "notes".into() };
    let encoded = |message: Message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    };
    let mut block = Block::default();
    block.hex("dialler, public key for this share", getter.as_bytes());
    let body = shares::encode(&[shared]).remove(0);
    block.hex("SHARES: one, of 2 entries and 300 bytes, called \"notes\"", &encoded(Message::Shares(&body)));
    let wanted = shares::encode_wanted(Some(&id));
    block.hex("WANT of that", &encoded(Message::Want(&wanted)));
    block.stands_in("A share");
    let link = Link {
        is_share: true,
        key: public(ACCEPTOR_SEED),
        token: Some(token()),
        addresses: vec!["192.0.2.7".parse().unwrap()],
    };
    let link = link.to_string();
    let (first, second) = link.split_at(link.find('.').unwrap());
    assert!(PAGE.contains(&format!("{first}\n\\&{second}\n")), "{link}");
}

#[test]
fn a_beacon() {
    let (own, peer) = (Seed::from_bytes(DIALLER_SEED).static_keys(), public(ACCEPTOR_SEED));
    let mut key = [0; 32];
    let secret = x25519::PrivateKey::from(private(DIALLER_SEED));
    let agreed = x25519::key_agreement(&secret, &x25519::PublicKey::from(*peer.as_bytes())).unwrap();
    hkdf(b"", agreed.unprotected_as_ref(), b"E-Goat v1 beacon", &mut key);
    let mut covered = own.public().as_bytes().to_vec();
    covered.extend_from_slice(b"EGb1");
    covered.extend_from_slice(&[0x00, 0x07, 0x5b, 0xcd, 0x12, 0x14]);
    covered.extend_from_slice(&[0x99; 8]);
    let mac = HmacSha256::hmac(&HmacKey::try_from(&key[..]).unwrap(), &covered).unwrap();
    let tag: [u8; 8] = mac.unprotected_as_ref::<[u8]>()[..8].try_into().unwrap();
    let beacon = Beacon { is_answer: false, hour: 0x75bcd, port: 4628, salt: [0x99; 8], tags: Vec::new() };
    let of_program = |own: &StaticKeys, peer: &PublicKey| {
        let key = BeaconKey::agree(own, peer).unwrap();
        beacon.tag(&key, &public(DIALLER_SEED))
    };
    assert_eq!(of_program(&own, &peer), tag);
    assert_eq!(of_program(&Seed::from_bytes(ACCEPTOR_SEED).static_keys(), &own.public()), tag);
    let tags = [vec![tag], vec![[0xaa; 8]; 7]].concat();
    let mut block = Block::default();
    block.hex("beacon key", &key);
    block.hex("tag", &tag);
    block.hex("packet", &Beacon { tags, ..beacon }.encode());
    block.stands_in("A beacon");
}

#[test]
fn six_digits() {
    // That of the handshake in mode 0, whose block says so.
    let hash = [
        0x8f, 0x5f, 0x15, 0xcc, 0xe8, 0x36, 0x3b, 0x23, 0x1f, 0xd3, 0xe2, 0x06, 0x45, 0xca, 0xdf, 0x66, 0x80,
        0x9c, 0x00, 0x2d, 0xd4, 0x0e, 0xd9, 0x29, 0xe1, 0x36, 0x21, 0x7a, 0x4f, 0xfe, 0x11, 0xef,
    ];
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(PAGE.contains(&format!("handshake hash\n  {hex}\n")));
    let (dialler, acceptor) = ([0xdd; 32], [0xee; 32]);
    let encoded = |message: Message| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    };
    let committed = sha256(&[&b"E-Goat v1 nearby commit"[..], &hash, &dialler].concat());
    assert_eq!(digits::commitment(&hash, &dialler), committed, "that of the program");
    let mut bytes = [0; 8];
    let info = [&b"E-Goat v1 nearby digits"[..], &hash].concat();
    hkdf(b"", &[dialler, acceptor].concat(), &info, &mut bytes);
    let number = u64::from_be_bytes(bytes);
    assert_eq!(digits::number(&hash, &dialler, &acceptor), number, "that of the program");
    let shown = format!("{:06}", number % 1_000_000);
    assert_eq!(digits::written(number).replace(' ', ""), shown);
    let mut block = Block::default();
    block.hex("COMMIT", &encoded(Message::Commit(committed)));
    block.hex("NONCE", &encoded(Message::Nonce(acceptor)));
    block.hex("OPEN", &encoded(Message::Open(dialler)));
    block.hex("CONFIRM", &encoded(Message::Confirm));
    block.hex("number", &bytes);
    block.text("digits", &shown);
    block.stands_in("Six digits");
}

#[test]
fn keys_and_invites() {
    let (acceptor, dialler) = (public(ACCEPTOR_SEED), public(DIALLER_SEED));
    let mut block = Block::default();
    block.hex("acceptor, private X25519 key", &private(ACCEPTOR_SEED));
    block.hex("acceptor, public key", acceptor.as_bytes());
    block.text("acceptor, public key in base32", &acceptor.to_string());
    block.text("acceptor, fingerprint", &acceptor.fingerprint());
    block.hex("dialler, private X25519 key", &private(DIALLER_SEED));
    block.hex("dialler, public key", dialler.as_bytes());
    block.text("dialler, fingerprint", &dialler.fingerprint());
    block.text("safety number of the two", &safety_number(&acceptor, &dialler));
    block.text("TOKEN in base32", &token().to_base32());
    block.hex("invite_id", &token().invite_id());
    block.hex("token", &token().psk_token());
    block.stands_in("Keys and invites");

    let addresses = vec!["192.0.2.7:4628".parse().unwrap(), "[2001:db8::1]:4628".parse().unwrap()];
    let link = Link { is_share: false, key: acceptor, token: Some(token()), addresses }.to_string();
    let (first, second) = link.split_at(link.find('.').unwrap());
    assert!(PAGE.contains(&format!("{first}\n\\&{second}\n")), "{link}");
}

/// A handshake with the fixed values of the page.
struct Handshake {
    h_before: [u8; HASH_LEN],
    e: [u8; DH_LEN],
    ek: Vec<u8>,
    message_1: Vec<u8>,
    h_1: [u8; HASH_LEN],
    ct: Vec<u8>,
    ss: Vec<u8>,
    psk: [u8; 32],
    /// Without ct.
    message_2: Vec<u8>,
    h_2: [u8; HASH_LEN],
    message_3: Vec<u8>,
    split: Split,
}

/// The engine is that of the program; the steps between its messages are written a second time, from the page.
fn shake_hands(token: Option<&InviteToken>, kind: Kind) -> Handshake {
    let pair = |secret| Arc::new(KeyPair::from_secret(secret));
    let rs = *public(ACCEPTOR_SEED).as_bytes();
    let (a, b) = (Some(pair(private(DIALLER_SEED))), Some(pair(private(ACCEPTOR_SEED))));
    let mut dialler = HandshakeState::initialize(&XKPSK2, Role::Initiator, SESSION, a, Some(rs)).unwrap();
    let mut acceptor = HandshakeState::initialize(&XKPSK2, Role::Responder, SESSION, b, None).unwrap();
    dialler.fixed_ephemeral_for_testing_only(KeyPair::from_secret([0x44; 32]));
    acceptor.fixed_ephemeral_for_testing_only(KeyPair::from_secret([0x55; 32]));
    let h_before = *dialler.handshake_hash();

    let mut seed = [0x66; 64];
    seed[32..].fill(0x77);
    let kem = mlkem768::KeyPair::new(mlkem768::Seed::from(seed)).unwrap();
    let ek = kem.public().as_ref().to_vec();
    let mut offer = [0; OFFER_LEN];
    if let Some(token) = token {
        offer[0] = 1;
        offer[1..].copy_from_slice(&token.invite_id());
    }
    let (mut dialler, message_1) = dialler.write_message(&[&offer, ek.as_slice()].concat()).unwrap();
    let (mut acceptor, _) = acceptor.read_message(&message_1).unwrap();
    let h_1 = *acceptor.handshake_hash();

    let random = mlkem768::ExplicitRandom::from([0x88; 32]);
    let (ss, ct) = kem.public().encap_deterministic(&random).unwrap();
    let (ss, ct) = (ss.unprotected_as_ref().to_vec(), ct.as_ref().to_vec());
    let mut psk = [0; 32];
    let ikm = [ss.as_slice(), &token.map_or([0; 32], InviteToken::psk_token)].concat();
    let info = [b"E-Goat v1 psk2".as_slice(), &offer, &sha256(&ct)].concat();
    assert_eq!(info.len(), 63);
    hkdf(&h_1, &ikm, &info, &mut psk);
    dialler.set_psk(&psk);
    acceptor.set_psk(&psk);
    let (acceptor, message_2) = acceptor.write_message(&acceptor_payload(EXAMPLES)).unwrap();
    let h_2 = *acceptor.handshake_hash();
    let (dialler, _) = dialler.read_message(&message_2).unwrap();
    let (dialler, message_3) = dialler.write_message(&dialler_payload(kind, EXAMPLES)).unwrap();
    acceptor.read_message(&message_3).unwrap();
    let split = dialler.split().unwrap();
    let e = *KeyPair::from_secret([0x44; 32]).public();
    Handshake { h_before, e, ek, message_1, h_1, ct, ss, psk, message_2, h_2, message_3, split }
}

/// The program takes message 1 of the page.
fn takes(message_1: &[u8], token: Option<&InviteToken>) {
    let keys = Seed::from_bytes(ACCEPTOR_SEED).static_keys();
    let message: &[u8; MESSAGE_1_LEN] = message_1.try_into().unwrap();
    let responder = Responder::read_message_1(&keys, SESSION, message).unwrap();
    assert_eq!(responder.invite_id(), token.map(InviteToken::invite_id));
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn record(sealer: &mut Sealer, plaintext: &[u8]) -> Vec<u8> {
    let mut data = plaintext.to_vec();
    let tag = sealer.seal(&mut data).unwrap();
    let mut record = Vec::new();
    record.put_u16((data.len() + TAG_LEN) as u16);
    [record, data, tag.to_vec()].concat()
}

#[test]
fn a_handshake_in_mode_0() {
    let run = shake_hands(None, Kind::Push);
    takes(&run.message_1, None);
    let mut block = Block::default();
    block.hex("preamble", SESSION);
    block.hex("h before message 1", &run.h_before);
    block.hex("e of the dialler", &run.e);
    block.hex("SHA-256(ek)", &sha256(&run.ek));
    block.hex("message 1, bytes 32 to 63", &run.message_1[32..64]);
    block.hex("message 1, tag", run.message_1.last_chunk::<TAG_LEN>().unwrap());
    block.hex("SHA-256(message 1)", &sha256(&run.message_1));
    block.hex("h after message 1", &run.h_1);
    block.hex("SHA-256(ct)", &sha256(&run.ct));
    block.hex("ss", &run.ss);
    block.hex("psk", &run.psk);
    block.hex("message 2 after ct: e of the acceptor", &run.message_2[..DH_LEN]);
    block.hex("message 2 after ct: sealed payload (00000001, then 00*60) and tag", &run.message_2[DH_LEN..]);
    block.hex("SHA-256(message 2), with ct", &sha256(&[run.ct.as_slice(), &run.message_2].concat()));
    block.hex("h after message 2", &run.h_2);
    let (s, payload) = run.message_3.split_at(DH_LEN + TAG_LEN);
    block.hex("message 3: sealed s and tag", s);
    block.hex("message 3: sealed payload (02 00000001, then 00*59) and tag", payload);
    block.hex("handshake hash", &run.split.handshake_hash);
    block.hex("export", &run.split.export);

    let (mut dialler, mut acceptor) = (Sealer::new(run.split.initiator), Sealer::new(run.split.responder));
    let profile = encoded(&Message::Profile { name: "bob", port: 4628, time: 0 });
    block.hex("PROFILE of the dialler: name \"bob\", port 4628, time 0", &profile);
    block.hex("the same as first record of the dialler", &record(&mut dialler, &profile));
    let accept = encoded(&Message::Accept);
    block.hex("ACCEPT", &accept);
    block.hex("the same as first record of the acceptor", &record(&mut acceptor, &accept));
    assert_eq!(run.ct.len(), CT_LEN);
    block.stands_in("A handshake in mode 0");
}

#[test]
fn the_same_in_mode_1() {
    let run = shake_hands(Some(&token()), Kind::Pair);
    takes(&run.message_1, Some(&token()));
    let mut block = Block::default();
    block.hex("SHA-256(message 1)", &sha256(&run.message_1));
    block.hex("h after message 1", &run.h_1);
    block.hex("psk", &run.psk);
    block.hex("h after message 2", &run.h_2);
    block.hex("handshake hash", &run.split.handshake_hash);
    block.hex("export", &run.split.export);
    block.stands_in("The same in mode 1");
}

#[test]
fn a_lane() {
    let session = shake_hands(None, Kind::Push).split;
    let mut psk = [0; 32];
    hkdf(b"", &session.export, &[b"E-Goat v1 lane".as_slice(), &TICKET, &[0]].concat(), &mut psk);
    let prologue = [LANE.as_slice(), &TICKET, &[0], &session.handshake_hash].concat();
    let begin = |role, ephemeral| {
        let mut state = HandshakeState::initialize(&NNPSK0, role, &prologue, None, None).unwrap();
        state.set_psk(&psk);
        state.fixed_ephemeral_for_testing_only(KeyPair::from_secret([ephemeral; 32]));
        state
    };
    let (dialler, message_1) = begin(Role::Initiator, 0xaa).write_message(b"").unwrap();
    let (acceptor, _) = begin(Role::Responder, 0xbb).read_message(&message_1).unwrap();
    let (_, message_2) = acceptor.write_message(b"").unwrap();
    let (dialler, _) = dialler.read_message(&message_2).unwrap();
    let split = dialler.split().unwrap();

    // The program takes message 1.
    let Split { handshake_hash, export, .. } = &session;
    let lane = Lane { preamble: LANE, ticket: &TICKET, index: 0, handshake_hash, export };
    assert!(lane::accept(&lane, &message_1.as_slice().try_into().unwrap()).is_ok());

    let mut block = Block::default();
    block.hex("prologue", &prologue);
    block.hex("psk", &psk);
    block.hex("message 1", &message_1);
    block.hex("message 2", &message_2);
    block.hex("handshake hash", &split.handshake_hash);
    block.hex("END as first record of the dialler", &{
        record(&mut Sealer::new(split.initiator), &encoded(&Message::End))
    });
    block.stands_in("A lane");
}

#[test]
fn the_change_of_keys() {
    let key = [0xcc; KEY_LEN];
    let nonce = |n: u64| {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&n.to_le_bytes());
        Nonce::from(bytes)
    };
    let mut next = [0; KEY_LEN];
    ChaCha20Poly1305::seal_inplace(&SecretKey::from(key), &nonce(u64::MAX), None, &mut next).unwrap();

    let (mut sealer, ping) = (Sealer::new(CipherState::initialize_key(&key)), encoded(&Message::Ping));
    let records: Vec<Vec<u8>> = (0..=REKEY_INTERVAL).map(|_| record(&mut sealer, &ping)).collect();
    let [.., last, first] = records.as_slice() else { panic!() };
    // The counter goes on under the next key.
    let mut data = ping.clone();
    let n = u64::from(REKEY_INTERVAL);
    ChaCha20Poly1305::seal_inplace(&SecretKey::from(next), &nonce(n), None, &mut data).unwrap();
    assert_eq!(first[2..2 + ping.len()], data);

    let mut block = Block::default();
    block.hex("record 0, under cc*32", &records[0]);
    block.hex("record 16383, the last one under cc*32", last);
    block.hex("the next key", &next);
    block.hex("record 16384, the first one under it", first);
    block.stands_in("The change of keys");
}
