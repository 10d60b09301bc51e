//! The messages of the handshakes: as they come from the network, and with any payload behind a good seal, for who knows
//! our public key can make those. It leaves out wrong keys and points of low order: tests/crypto/handshake.rs has them all.

use std::sync::LazyLock;

use egoat::crypto::handshake::{
    Initiator, InitiatorLast, MESSAGE_1_LEN, MESSAGE_2_LEN, OFFER_LEN, PAYLOAD_LEN, PREAMBLE_LEN, Responder,
    ResponderLast,
};
use egoat::crypto::keys::{InviteToken, PublicKey, StaticKeys};
use egoat::crypto::lane::{self, Lane, LaneInitiator};
use egoat::crypto::noise::{HandshakeState, KeyPair, NNPSK0, Pattern, Role, SymmetricState, XKPSK2};
use orion::KP;
use orion::hazardous::ecc::x25519;
use orion::hazardous::kem::mlkem768;

const PREAMBLE: [u8; PREAMBLE_LEN] = *b"E-GOAT\x01\x00";
static ALICE: LazyLock<StaticKeys> = LazyLock::new(|| StaticKeys::from_secret([0xa1; 32]));
static BOB: LazyLock<StaticKeys> = LazyLock::new(|| StaticKeys::from_secret([0xb0; 32]));
/// A key that the KEM takes.
static EK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    mlkem768::KeyPair::new(mlkem768::Seed::from([5; 64])).unwrap().public().as_ref().to_vec()
});
const LANE: Lane<'static> = Lane {
    preamble: b"E-GOAT\x01\x01",
    ticket: &[0x71; 16],
    index: 2,
    handshake_hash: &[0x48; 32],
    export: &[0x65; 32],
};

/// ```text
/// input   which u8 ‖ rest
///         0 to 4  rest is what to change in message 1, 2, 3, or message 1, 2 of a lane: any change is refused
///         5       rest is what to change in the payload of message 1, before a rogue seals it
///         6       rest is the payloads of messages 2 and 3: they arrive as they are
///         7       rest is a message of any length, for a reader of either pattern
///         8       rest is a key
/// ```
pub fn handshake(input: &[u8]) -> Option<Vec<u8>> {
    let (which, rest) = input.split_first()?;
    let is_taken = match which {
        0 => {
            let (_, message) = dial();
            Responder::read_message_1(&BOB, &PREAMBLE, &changed(message, rest)?).is_ok()
        }
        1 => {
            let (alice, _, message) = answer(&[2; PAYLOAD_LEN]);
            alice.read_message_2(&changed(message, rest)?).is_ok()
        }
        2 => {
            let (alice, bob) = meet(&[2; PAYLOAD_LEN]);
            let (message, _) = alice.write_message_3(&[3; PAYLOAD_LEN]).ok().unwrap();
            bob.read_message_3(&changed(message, rest)?).is_ok()
        }
        3 => {
            let (_, message) = LaneInitiator::start(&LANE).ok().unwrap();
            lane::accept(&LANE, &changed(message, rest)?).is_ok()
        }
        4 => {
            let (dialler, message) = LaneInitiator::start(&LANE).ok().unwrap();
            let (message, _) = lane::accept(&LANE, &message).ok().unwrap();
            dialler.finish(&changed(message, rest)?).is_ok()
        }
        5 => return sealed_payload(rest),
        6 => return payloads(rest),
        7 => return any_message(rest),
        8 => return key(rest),
        _ => return None,
    };
    assert_eq!(is_taken, rest.iter().all(|byte| *byte == 0), "message {which}");
    is_taken.then(|| vec![*which])
}

/// The bytes with `change` laid over them; `None` if it is longer.
fn changed<const N: usize>(mut bytes: [u8; N], change: &[u8]) -> Option<[u8; N]> {
    bytes.get_mut(..change.len())?.iter_mut().zip(change).for_each(|(byte, change)| *byte ^= change);
    Some(bytes)
}

fn dial() -> (Initiator, [u8; MESSAGE_1_LEN]) {
    Initiator::start(&ALICE, &BOB.public(), &PREAMBLE, None).ok().unwrap()
}

fn answer(payload: &[u8; PAYLOAD_LEN]) -> (Initiator, ResponderLast, [u8; MESSAGE_2_LEN]) {
    let (alice, message) = dial();
    let bob = Responder::read_message_1(&BOB, &PREAMBLE, &message).ok().unwrap();
    let (bob, message) = bob.write_message_2(None, payload).ok().unwrap();
    (alice, bob, message)
}

fn meet(payload: &[u8; PAYLOAD_LEN]) -> (InitiatorLast, ResponderLast) {
    let (alice, bob, message) = answer(payload);
    let (alice, read) = alice.read_message_2(&message).ok().unwrap();
    assert_eq!(read, *payload);
    (alice, bob)
}

/// Message 1 of a rogue, whose payload is any mode, invite and KEM key.
fn sealed_payload(change: &[u8]) -> Option<Vec<u8>> {
    let mut payload = [vec![0; OFFER_LEN], EK.clone()].concat();
    payload.get_mut(..change.len())?.iter_mut().zip(change).for_each(|(byte, change)| *byte ^= change);
    let (rs, e) = (BOB.public(), [0xee; 32]);
    let mut symmetric = SymmetricState::initialize_symmetric(XKPSK2.protocol_name);
    symmetric.mix_hash(&PREAMBLE);
    symmetric.mix_hash(rs.as_bytes());
    // -> e, es
    let e_public = *KeyPair::from_secret(e).public();
    symmetric.mix_hash(&e_public);
    symmetric.mix_key(&e_public);
    let es =
        x25519::key_agreement(&x25519::PrivateKey::from(e), &x25519::PublicKey::from(*rs.as_bytes())).ok()?;
    symmetric.mix_key(es.unprotected_as_ref());
    let message = [e_public.as_slice(), &symmetric.encrypt_and_hash(&payload).ok()?].concat();

    let (offer, ek) = payload.split_first_chunk::<OFFER_LEN>()?;
    let is_offer = offer[0] == 1 || *offer == [0; OFFER_LEN];
    let read = Responder::read_message_1(&BOB, &PREAMBLE, message.as_slice().try_into().unwrap());
    assert_eq!(read.is_ok(), is_offer && is_reduced(ek));
    let responder = read.ok()?;
    let token = InviteToken::from_bytes([9; 16]);
    assert_eq!(
        responder.invite_id().map(|id| [[1].as_slice(), &id].concat()).unwrap_or(vec![0; OFFER_LEN]),
        *offer
    );
    // The key is good for what it is there for, and a mode without its token is refused.
    let token = responder.invite_id().map(|_| &token);
    assert!(responder.write_message_2(token, &[2; PAYLOAD_LEN]).is_ok());
    Some(payload)
}

/// FIPS 203, section 7.2: the key's coefficients, twelve bits each, are below q.
fn is_reduced(ek: &[u8]) -> bool {
    ek[..1152].chunks(3).all(|three| {
        let [a, b, c] = [three[0], three[1], three[2]].map(u16::from);
        (a | (b & 15) << 8) < 3329 && (b >> 4 | c << 4) < 3329
    })
}

fn payloads(rest: &[u8]) -> Option<Vec<u8>> {
    let (second, third) = rest.split_first_chunk::<PAYLOAD_LEN>()?;
    let third = third.first_chunk::<PAYLOAD_LEN>()?;
    let (alice, bob) = meet(second);
    let (message, _) = alice.write_message_3(third).ok().unwrap();
    let (who, read, _) = bob.read_message_3(&message).ok().unwrap();
    assert_eq!((who, read), (ALICE.public(), *third));
    Some([*second, *third].concat())
}

/// The Noise readers take slices; nobody has sealed this one.
fn any_message(message: &[u8]) -> Option<Vec<u8>> {
    let read = |pattern: &Pattern, s: Option<[u8; 32]>| {
        let s = s.map(|secret| KeyPair::from_secret(secret).into());
        let mut noise = HandshakeState::initialize(pattern, Role::Responder, &PREAMBLE, s, None).ok()?;
        if s_is_none(pattern) {
            noise.set_psk(&[7; 32]);
        }
        noise.read_message(message).ok().map(drop)
    };
    assert!(read(&XKPSK2, Some([0xb0; 32])).is_none() && read(&NNPSK0, None).is_none());
    None
}

fn s_is_none(pattern: &Pattern) -> bool {
    !pattern.responder_static_is_known
}

fn key(bytes: &[u8]) -> Option<Vec<u8>> {
    let key = PublicKey::from_bytes(bytes.try_into().ok()?).ok()?;
    assert_eq!(key.as_bytes(), bytes);
    assert_eq!(key.to_string().parse(), Ok(key));
    assert!(bytes[31] < 0x80 && key.fingerprint().len() == 29);
    // A key that is taken can be dialled, whoever has it.
    assert!(key == ALICE.public() || Initiator::start(&ALICE, &key, &PREAMBLE, None).is_ok());
    Some(bytes.to_vec())
}
