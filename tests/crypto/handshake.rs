//! The handshakes of sessions and lanes: against snow, an independent Noise implementation, in both roles; and
//! against everything that must be refused.

use egoat::crypto::handshake::*;
use egoat::crypto::keys::{InviteToken, PublicKey, StaticKeys};
use egoat::crypto::lane::{self, Lane, LaneInitiator};
use egoat::crypto::noise::{DH_LEN, KeyPair, SymmetricState, TAG_LEN, XKPSK2};
use egoat::crypto::record::{Opener, REKEY_INTERVAL, Sealer};
use egoat::crypto::{Failed, hkdf, sha256};
use orion::KP;
use orion::hazardous::ecc::x25519;
use orion::hazardous::kem::mlkem768;
use std::sync::LazyLock;

const PREAMBLE: [u8; PREAMBLE_LEN] = *b"E-GOAT\x01\x00";
const ALICE: [u8; 32] = [0xa1; 32];
const BOB: [u8; 32] = [0xb0; 32];
static ALICE_KEYS: LazyLock<StaticKeys> = LazyLock::new(|| StaticKeys::from_secret(ALICE));
static BOB_KEYS: LazyLock<StaticKeys> = LazyLock::new(|| StaticKeys::from_secret(BOB));
const PAYLOAD_2: [u8; PAYLOAD_LEN] = [2; PAYLOAD_LEN];
const PAYLOAD_3: [u8; PAYLOAD_LEN] = [3; PAYLOAD_LEN];

fn token() -> InviteToken {
    InviteToken::from_bytes([0x70; 16])
}

/// Alice, who dials Bob, after message 1.
fn alice(token: Option<&InviteToken>) -> (Initiator, [u8; MESSAGE_1_LEN]) {
    Initiator::start(&ALICE_KEYS, &BOB_KEYS.public(), &PREAMBLE, token).unwrap()
}

/// Bob's reading of message 1.
fn bob(message: &[u8; MESSAGE_1_LEN]) -> Result<Responder, Failed> {
    Responder::read_message_1(&BOB_KEYS, &PREAMBLE, message)
}

/// Both sides after message 2 was written, which Alice has yet to read.
fn until_message_2() -> (Initiator, ResponderLast, [u8; MESSAGE_2_LEN]) {
    let (alice, message) = alice(None);
    let (bob, message) = bob(&message).unwrap().write_message_2(None, &PAYLOAD_2).unwrap();
    (alice, bob, message)
}

/// Both sides after message 3 was written, which Bob has yet to read.
fn until_message_3() -> (Established, ResponderLast, [u8; MESSAGE_3_LEN]) {
    let (alice, bob, message) = until_message_2();
    let (message, established) =
        alice.read_message_2(&message).ok().unwrap().0.write_message_3(&PAYLOAD_3).unwrap();
    (established, bob, message)
}

fn send(sealer: &mut Sealer, opener: &mut Opener, text: &[u8]) {
    let mut data = text.to_vec();
    let tag = sealer.seal(&mut data).unwrap();
    opener.open(&mut data, &tag).unwrap();
    assert_eq!(data, text);
}

/// Mode and invite_id.
fn offer(token: Option<&InviteToken>) -> [u8; OFFER_LEN] {
    let mut offer = [0; OFFER_LEN];
    if let Some(token) = token {
        offer[0] = 1;
        offer[1..].copy_from_slice(&token.invite_id());
    }
    offer
}

/// The psk, written a second time from the design.
fn psk(
    h: &[u8],
    ss: &mlkem768::SharedSecret,
    token: Option<&InviteToken>,
    offer: &[u8; OFFER_LEN],
    ct: &[u8],
) -> [u8; 32] {
    let ikm = [ss.unprotected_as_ref(), &token.map_or([0; 32], InviteToken::psk_token)].concat();
    let info = [b"E-Goat v1 psk2".as_slice(), offer, &sha256(ct)].concat();
    let mut psk = [0; 32];
    hkdf(h, &ikm, &info, &mut psk);
    psk
}

/// Every message that differs from `message` in one bit.
fn flipped<const N: usize>(message: [u8; N]) -> impl Iterator<Item = (usize, [u8; N])> {
    (0..N * 8).map(move |bit| {
        let mut changed = message;
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit, changed)
    })
}

mod with_ourselves {
    use super::*;

    fn runs(token: Option<&InviteToken>) {
        let (alice, message) = alice(token);
        let bob = bob(&message).unwrap();
        assert_eq!(bob.invite_id(), token.map(InviteToken::invite_id));
        let (bob, message) = bob.write_message_2(token, &PAYLOAD_2).unwrap();
        let (alice, payload) = alice.read_message_2(&message).ok().unwrap();
        assert_eq!(payload, PAYLOAD_2);
        let (message, mut at_alice) = alice.write_message_3(&PAYLOAD_3).unwrap();
        let (who, payload, mut at_bob) = bob.read_message_3(&message).ok().unwrap();
        assert_eq!(payload, PAYLOAD_3);
        assert_eq!(who, ALICE_KEYS.public());

        assert_eq!(at_alice.export, at_bob.export);
        assert_eq!(at_alice.handshake_hash, at_bob.handshake_hash);
        assert_ne!(at_alice.export, at_alice.handshake_hash);
        send(&mut at_alice.sealer, &mut at_bob.opener, b"from alice");
        send(&mut at_bob.sealer, &mut at_alice.opener, b"from bob");
    }

    #[test]
    fn a_known_peer_connects() {
        runs(None);
    }

    #[test]
    fn an_invited_peer_connects() {
        runs(Some(&token()));
    }

    /// ML-KEM's matrices lie on the stack, also in a build without optimisation; a thread has 256 KiB in all.
    #[test]
    fn a_handshake_fits_the_stack_of_a_connection() {
        let thread = std::thread::Builder::new().stack_size(192 * 1024);
        thread.spawn(|| runs(Some(&token()))).unwrap().join().unwrap();
    }

    #[test]
    fn a_record_does_not_come_back() {
        let (mut at_alice, bob, message) = until_message_3();
        let (_, _, mut at_bob) = bob.read_message_3(&message).ok().unwrap();
        let tag = at_alice.sealer.seal(&mut []).unwrap();
        assert_eq!(at_alice.opener.open(&mut [], &tag), Err(Failed));
        assert_eq!(at_bob.opener.open(&mut [], &tag), Ok(()));
    }

    #[test]
    fn lengths_are_those_of_the_design() {
        assert_eq!((MESSAGE_1_LEN, MESSAGE_2_LEN, MESSAGE_3_LEN), (1249, 1200, 128));
    }
}

mod with_snow {
    use super::*;
    use snow::{Builder, HandshakeState, TransportState};

    /// snow's side of a session between Alice and Bob.
    fn session(initiator: bool) -> HandshakeState {
        let builder = Builder::new(XKPSK2.protocol_name.parse().unwrap()).prologue(&PREAMBLE).unwrap();
        if initiator {
            let rs = *BOB_KEYS.public().as_bytes();
            let builder = builder.local_private_key(&ALICE).unwrap().remote_public_key(&rs).unwrap();
            builder.build_initiator().unwrap()
        } else {
            builder.local_private_key(&BOB).unwrap().build_responder().unwrap()
        }
    }

    fn write(state: &mut HandshakeState, payload: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 4096];
        let len = state.write_message(payload, &mut message).unwrap();
        message.truncate(len);
        message
    }

    fn read(state: &mut HandshakeState, message: &[u8]) -> Vec<u8> {
        let mut payload = vec![0; 4096];
        let len = state.read_message(message, &mut payload).unwrap();
        payload.truncate(len);
        payload
    }

    fn transport(snow: HandshakeState, mut ours: Established) {
        assert_eq!(snow.get_handshake_hash(), ours.handshake_hash);
        let mut snow = snow.into_transport_mode().unwrap();
        // Past two changes of the key in both directions.
        for i in 1..=2 * REKEY_INTERVAL + 3 {
            to_snow(&mut snow, &mut ours, &i.to_be_bytes());
            from_snow(&mut snow, &mut ours, &i.to_be_bytes());
            if i.is_multiple_of(REKEY_INTERVAL) {
                snow.rekey_incoming();
                snow.rekey_outgoing();
            }
        }
    }

    fn to_snow(snow: &mut TransportState, ours: &mut Established, text: &[u8; 4]) {
        let mut data = *text;
        let tag = ours.sealer.seal(&mut data).unwrap();
        let mut plain = [0; 4];
        assert_eq!(snow.read_message(&[data.as_slice(), &tag].concat(), &mut plain).unwrap(), 4);
        assert_eq!(plain, *text);
    }

    fn from_snow(snow: &mut TransportState, ours: &mut Established, text: &[u8; 4]) {
        let mut sealed = [0; 4 + TAG_LEN];
        assert_eq!(snow.write_message(text, &mut sealed).unwrap(), sealed.len());
        let (data, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().unwrap();
        ours.opener.open(data, tag).unwrap();
        assert_eq!(data, text);
    }

    fn snow_dials(token: Option<&InviteToken>) {
        let mut snow = session(true);
        let kem = mlkem768::KeyPair::new(mlkem768::Seed::from([9; 64])).unwrap();
        let message = write(&mut snow, &[&offer(token), kem.public().as_ref()].concat());
        let h = snow.get_handshake_hash().to_vec();

        let bob = bob(&message.try_into().unwrap()).unwrap();
        let (bob, message) = bob.write_message_2(token, &PAYLOAD_2).unwrap();

        let (ct, message) = message.split_at(CT_LEN);
        let ss = kem.decap(&mlkem768::Ciphertext::try_from(ct).unwrap()).unwrap();
        snow.set_psk(2, &psk(&h, &ss, token, &offer(token), ct)).unwrap();
        assert_eq!(read(&mut snow, message), PAYLOAD_2);

        let message = write(&mut snow, &PAYLOAD_3);
        let (who, payload, established) = bob.read_message_3(&message.try_into().unwrap()).ok().unwrap();
        assert_eq!((who, payload), (ALICE_KEYS.public(), PAYLOAD_3));
        transport(snow, established);
    }

    fn snow_accepts(token: Option<&InviteToken>) {
        let mut snow = session(false);
        let (alice, message) = alice(token);
        let payload = read(&mut snow, &message);
        assert_eq!(payload[..OFFER_LEN], offer(token));
        let h = snow.get_handshake_hash().to_vec();

        let ek = mlkem768::EncapsulationKey::try_from(&payload[OFFER_LEN..]).unwrap();
        let (ss, ct) = ek.encap_deterministic(&mlkem768::ExplicitRandom::from([8; 32])).unwrap();
        snow.set_psk(2, &psk(&h, &ss, token, &offer(token), ct.as_ref())).unwrap();
        let message = [ct.as_ref(), &write(&mut snow, &PAYLOAD_2)].concat();

        let (alice, payload) = alice.read_message_2(&message.try_into().unwrap()).ok().unwrap();
        assert_eq!(payload, PAYLOAD_2);
        let (message, established) = alice.write_message_3(&PAYLOAD_3).unwrap();
        assert_eq!(read(&mut snow, &message), PAYLOAD_3);
        assert_eq!(snow.get_remote_static().unwrap(), ALICE_KEYS.public().as_bytes());
        transport(snow, established);
    }

    #[test]
    fn snow_dials_as_a_known_peer() {
        snow_dials(None);
    }

    #[test]
    fn snow_dials_with_an_invite() {
        snow_dials(Some(&token()));
    }

    #[test]
    fn snow_accepts_a_known_peer() {
        snow_accepts(None);
    }

    #[test]
    fn snow_accepts_an_invite() {
        snow_accepts(Some(&token()));
    }

    /// snow's side of the lane of `lanes::LANE`, with prologue and psk written a second time from the design.
    fn lane(initiator: bool) -> HandshakeState {
        let lane = lanes::LANE;
        let index = [lane.index];
        let prologue = [lane.preamble.as_slice(), lane.ticket, &index, lane.handshake_hash].concat();
        let info = [b"E-Goat v1 lane".as_slice(), lane.ticket, &index].concat();
        let mut psk = [0; 32];
        hkdf(b"", lane.export, &info, &mut psk);
        let builder = Builder::new("Noise_NNpsk0_25519_ChaChaPoly_SHA256".parse().unwrap());
        let builder = builder.prologue(&prologue).unwrap().psk(0, &psk).unwrap();
        if initiator { builder.build_initiator().unwrap() } else { builder.build_responder().unwrap() }
    }

    #[test]
    fn snow_dials_a_lane() {
        let mut snow = lane(true);
        let message = write(&mut snow, b"");
        let (message, established) = lane::accept(&lanes::LANE, &message.try_into().unwrap()).ok().unwrap();
        assert_eq!(read(&mut snow, &message), b"");
        transport(snow, established);
    }

    #[test]
    fn snow_accepts_a_lane() {
        let mut snow = lane(false);
        let (ours, message) = LaneInitiator::start(&lanes::LANE).ok().unwrap();
        assert_eq!(read(&mut snow, &message), b"");
        let message = write(&mut snow, b"");
        transport(snow, ours.finish(&message.try_into().unwrap()).ok().unwrap());
    }
}

mod refused {
    use super::*;

    #[test]
    fn every_flipped_bit_of_message_1() {
        let (_, message) = alice(Some(&token()));
        assert!(bob(&message).is_ok());
        for (bit, changed) in flipped(message) {
            assert!(bob(&changed).is_err(), "bit {bit}");
        }
    }

    /// A flipped bit of ct gives another KEM secret, so another psk, so a wrong tag.
    #[test]
    fn every_flipped_bit_of_message_2() {
        // Each bit takes a handshake of its own, so two threads share the work.
        std::thread::scope(|scope| {
            for half in 0..2 {
                scope.spawn(move || {
                    for bit in (half..MESSAGE_2_LEN * 8).step_by(2) {
                        let (alice, _, mut message) = until_message_2();
                        message[bit / 8] ^= 1 << (bit % 8);
                        assert!(alice.read_message_2(&message).is_err(), "bit {bit}");
                    }
                });
            }
        });
    }

    #[test]
    fn every_flipped_bit_of_message_3() {
        for bit in 0..MESSAGE_3_LEN * 8 {
            let (_, bob, mut message) = until_message_3();
            message[bit / 8] ^= 1 << (bit % 8);
            assert!(bob.read_message_3(&message).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_key_or_preamble() {
        let (_, message) = alice(None);
        assert!(
            Responder::read_message_1(&StaticKeys::from_secret([0xcc; 32]), &PREAMBLE, &message).is_err()
        );
        for (_, preamble) in flipped(PREAMBLE) {
            assert!(Responder::read_message_1(&BOB_KEYS, &preamble, &message).is_err());
        }
    }

    #[test]
    fn messages_of_another_run() {
        let (alice, _, _) = until_message_2();
        let (_, bob, other) = until_message_2();
        assert!(alice.read_message_2(&other).is_err());
        let (_, _, other) = until_message_3();
        assert!(bob.read_message_3(&other).is_err());
    }

    #[test]
    fn a_wrong_token_at_the_acceptor() {
        let (alice, message) = alice(Some(&token()));
        let (_, message) =
            bob(&message).unwrap().write_message_2(Some(&InviteToken::generate()), &PAYLOAD_2).unwrap();
        assert!(alice.read_message_2(&message).is_err());
    }

    /// Alice has read the name of an invite, but not its token.
    #[test]
    fn a_wrong_token_at_the_dialler() {
        let mut dialler = Rogue::dial(1, token().invite_id());
        let (bob, message) =
            bob(&dialler.message_1()).unwrap().write_message_2(Some(&token()), &PAYLOAD_2).unwrap();
        assert!(
            !dialler.read_message_2(&message, Some(&InviteToken::generate())),
            "a rogue without the token"
        );
        // What she sends without having been able to read message 2 is not believed either.
        assert!(bob.read_message_3(&dialler.message_3(*ALICE_KEYS.public().as_bytes(), &ALICE)).is_err());
    }

    #[test]
    fn a_token_where_none_belongs_and_none_where_one_does() {
        let (_, message) = alice(None);
        assert!(bob(&message).unwrap().write_message_2(Some(&token()), &PAYLOAD_2).is_err());
        let (_, message) = alice(Some(&token()));
        assert!(bob(&message).unwrap().write_message_2(None, &PAYLOAD_2).is_err());
    }

    #[test]
    fn unknown_modes_and_an_invite_in_mode_0() {
        assert!(bob(&Rogue::dial(0, [0; 16]).message_1()).is_ok());
        assert!(bob(&Rogue::dial(1, [7; 16]).message_1()).is_ok());
        for mode in 2..=255 {
            assert!(bob(&Rogue::dial(mode, [0; 16]).message_1()).is_err(), "mode {mode}");
        }
        for (bit, invite_id) in flipped([0; 16]) {
            assert!(bob(&Rogue::dial(0, invite_id).message_1()).is_err(), "bit {bit}");
        }
    }

    /// FIPS 203, section 7.2: coefficients must be below 3329.
    #[test]
    fn an_invalid_kem_key() {
        let mut dialler = Rogue::dial(0, [0; 16]);
        dialler.ek[..3].fill(0xff);
        assert!(bob(&dialler.message_1()).is_err());
    }

    #[test]
    fn low_order_and_own_keys_at_the_dialler() {
        for point in low_order_points() {
            assert_eq!(PublicKey::from_bytes(point), Err(Failed));
        }
        assert!(Initiator::start(&ALICE_KEYS, &ALICE_KEYS.public(), &PREAMBLE, None).is_err());
    }

    /// A static key that the rogue proves as far as it can: for one of low order every result is zero.
    #[test]
    fn low_order_and_bit_255_and_own_keys_at_the_acceptor() {
        let answer = |public: [u8; 32], secret: &[u8; 32]| {
            let mut dialler = Rogue::dial(0, [0; 16]);
            let (bob, message) =
                bob(&dialler.message_1()).unwrap().write_message_2(None, &PAYLOAD_2).unwrap();
            assert!(dialler.read_message_2(&message, None));
            bob.read_message_3(&dialler.message_3(public, secret)).map(|(who, ..)| who)
        };
        let public = *ALICE_KEYS.public().as_bytes();
        assert_eq!(answer(public, &ALICE), Ok(ALICE_KEYS.public()), "the rogue can be honest");

        let mut bit_255 = public;
        bit_255[31] |= 0x80;
        assert_eq!(answer(bit_255, &ALICE), Err(Failed));
        assert_eq!(answer(*BOB_KEYS.public().as_bytes(), &BOB), Err(Failed), "Bob's own key");
        for point in low_order_points() {
            assert_eq!(answer(point, &ALICE), Err(Failed));
        }
    }

    #[test]
    fn low_order_ephemeral_keys() {
        for point in low_order_points() {
            let (_, mut message) = alice(None);
            message[..32].copy_from_slice(&point);
            assert!(bob(&message).is_err());
            // With all that follows sealed as it must be, were the shared secret zero.
            assert!(bob(&Rogue::dial_low_order(point).message_1()).is_err());

            let (alice, _, mut message) = until_message_2();
            message[CT_LEN..CT_LEN + DH_LEN].copy_from_slice(&point);
            assert!(alice.read_message_2(&message).is_err());
        }
    }

    /// The points of low order in all their encodings of 32 bytes (<https://cr.yp.to/ecdh.html>).
    fn low_order_points() -> Vec<[u8; 32]> {
        let p_plus = |low: u8, top: u8| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, top);
            bytes
        };
        let mut one = [0; 32];
        one[0] = 1;
        let order_8_a = *b"\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a\
                           \xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00";
        let order_8_b = *b"\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b\
                           \x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57";
        let mut points = vec![[0; 32], one, order_8_a, order_8_b];
        points.extend([p_plus(0xec, 0x7f), p_plus(0xed, 0x7f), p_plus(0xee, 0x7f)]);
        // X25519 ignores bit 255 (RFC 7748, section 5), so each has a second encoding.
        for i in 0..points.len() {
            let mut bit_255 = points[i];
            bit_255[31] |= 0x80;
            points.push(bit_255);
        }
        points
    }

    /// A dialler that follows the handshake by hand, so that it can depart from it.
    struct Rogue {
        symmetric: SymmetricState,
        e: [u8; 32],
        e_public: [u8; 32],
        kem: mlkem768::KeyPair,
        offer: [u8; OFFER_LEN],
        ek: Vec<u8>,
        es: Vec<u8>,
        re: [u8; 32],
    }

    fn dh(secret: &[u8; 32], public: &[u8; 32]) -> Option<Vec<u8>> {
        let secret = x25519::PrivateKey::from(*secret);
        let shared = x25519::key_agreement(&secret, &x25519::PublicKey::from(*public)).ok()?;
        Some(shared.unprotected_as_ref().to_vec())
    }

    impl Rogue {
        fn dial(mode: u8, invite_id: [u8; 16]) -> Rogue {
            let e = [0xee; 32];
            let rs = *BOB_KEYS.public().as_bytes();
            let mut symmetric = SymmetricState::initialize_symmetric(XKPSK2.protocol_name);
            symmetric.mix_hash(&PREAMBLE);
            symmetric.mix_hash(&rs);
            let kem = mlkem768::KeyPair::new(mlkem768::Seed::from([5; 64])).unwrap();
            let ek = kem.public().as_ref().to_vec();
            let mut offer = [mode; OFFER_LEN];
            offer[1..].copy_from_slice(&invite_id);
            let e_public = *KeyPair::from_secret(e).public();
            Rogue { symmetric, e, e_public, kem, offer, ek, es: dh(&e, &rs).unwrap(), re: [0; 32] }
        }

        fn dial_low_order(point: [u8; 32]) -> Rogue {
            Rogue { e_public: point, es: vec![0; 32], ..Rogue::dial(0, [0; 16]) }
        }

        fn message_1(&mut self) -> [u8; MESSAGE_1_LEN] {
            self.symmetric.mix_hash(&self.e_public);
            self.symmetric.mix_key(&self.e_public);
            self.symmetric.mix_key(&self.es);
            let sealed =
                self.symmetric.encrypt_and_hash(&[&self.offer, self.ek.as_slice()].concat()).unwrap();
            [self.e_public.as_slice(), &sealed].concat().try_into().unwrap()
        }

        /// Whether message 2 could be opened with this token.
        fn read_message_2(&mut self, message: &[u8; MESSAGE_2_LEN], token: Option<&InviteToken>) -> bool {
            let (ct, message) = message.split_at(CT_LEN);
            let (re, sealed) = message.split_first_chunk::<32>().unwrap();
            self.re = *re;
            let ss = self.kem.decap(&mlkem768::Ciphertext::try_from(ct).unwrap()).unwrap();
            let psk = psk(self.symmetric.handshake_hash(), &ss, token, &self.offer, ct);
            self.symmetric.mix_hash(re);
            self.symmetric.mix_key(re);
            self.symmetric.mix_key(&dh(&self.e, re).unwrap());
            self.symmetric.mix_key_and_hash(&psk);
            self.symmetric.decrypt_and_hash(sealed).is_ok()
        }

        /// Message 3 with a static key that need not be that of the secret. Were the agreement with a point of
        /// low order accepted, its result would be zero.
        fn message_3(&mut self, public: [u8; 32], secret: &[u8; 32]) -> [u8; MESSAGE_3_LEN] {
            let s = self.symmetric.encrypt_and_hash(&public).unwrap();
            let is_low_order = dh(&ALICE, &public).is_none();
            let se = if is_low_order { vec![0; 32] } else { dh(secret, &self.re).unwrap() };
            self.symmetric.mix_key(&se);
            let payload = self.symmetric.encrypt_and_hash(&PAYLOAD_3).unwrap();
            [s, payload].concat().try_into().unwrap()
        }
    }
}

mod lanes {
    use super::*;

    pub const LANE: Lane<'static> = Lane {
        preamble: b"E-GOAT\x01\x01",
        ticket: &[0x71; 16],
        index: 2,
        handshake_hash: &[0x48; 32],
        export: &[0x65; 32],
    };

    #[test]
    fn a_lane_connects() {
        let (dialler, message) = LaneInitiator::start(&LANE).ok().unwrap();
        let (message, mut at_acceptor) = lane::accept(&LANE, &message).ok().unwrap();
        let mut at_dialler = dialler.finish(&message).ok().unwrap();
        assert_eq!(at_dialler.handshake_hash, at_acceptor.handshake_hash);
        send(&mut at_dialler.sealer, &mut at_acceptor.opener, b"chunk");
        send(&mut at_acceptor.sealer, &mut at_dialler.opener, b"taken");
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let (_, message) = LaneInitiator::start(&LANE).ok().unwrap();
        for (bit, changed) in flipped(message) {
            assert!(lane::accept(&LANE, &changed).is_err(), "bit {bit} of message 1");
        }
        for bit in 0..lane::MESSAGE_LEN * 8 {
            let (dialler, message) = LaneInitiator::start(&LANE).ok().unwrap();
            let (mut message, _) = lane::accept(&LANE, &message).ok().unwrap();
            message[bit / 8] ^= 1 << (bit % 8);
            assert!(dialler.finish(&message).is_err(), "bit {bit} of message 2");
        }
    }

    #[test]
    fn whatever_names_the_lane_is_bound() {
        let others = [
            Lane { preamble: b"E-GOAT\x01\x00", ..LANE },
            Lane { ticket: &[0; 16], ..LANE },
            Lane { index: 3, ..LANE },
            Lane { handshake_hash: &[0; 32], ..LANE },
            Lane { export: &[0; 32], ..LANE },
        ];
        let (_, message) = LaneInitiator::start(&LANE).ok().unwrap();
        for other in &others {
            assert!(lane::accept(other, &message).is_err());
        }
        assert!(lane::accept(&LANE, &message).is_ok());
    }
}
