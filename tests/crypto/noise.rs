//! The public Noise test vectors of tests/vectors/noise.txt, run through the engine that production runs. The
//! sources of the vectors are independent implementations: cacophony, snow, noise-c and flynn/noise.

use egoat::crypto::noise::{CipherState, HandshakeState, KeyPair, NNPSK0, Pattern, Role, XK, XKPSK2};
use std::sync::Arc;

/// One block of the file: its fields by name, its messages in order.
struct Vector {
    fields: Vec<(String, String)>,
    messages: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Vector {
    fn parse(block: &str) -> Vector {
        let mut vector = Vector { fields: Vec::new(), messages: Vec::new() };
        for line in block.lines() {
            let (name, value) = line.split_once('=').unwrap();
            if name == "message" {
                let (payload, ciphertext) = value.split_once(' ').unwrap();
                vector.messages.push((hex(payload), hex(ciphertext)));
            } else {
                vector.fields.push((name.to_string(), value.to_string()));
            }
        }
        vector
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.text(name).map(hex)
    }

    fn key(&self, name: &str) -> Option<[u8; 32]> {
        self.bytes(name).map(|bytes| bytes.try_into().unwrap())
    }

    /// The state of one side before the first message; `side` is `init` or `resp`.
    fn start(&self, pattern: &Pattern, role: Role, side: &str) -> HandshakeState {
        let s = self.key(&format!("{side}_static")).map(|secret| Arc::new(KeyPair::from_secret(secret)));
        let known = role == Role::Initiator && pattern.responder_static_is_known;
        let rs = known.then(|| *KeyPair::from_secret(self.key("resp_static").unwrap()).public());
        if let Some(given) = self.key("init_remote_static").filter(|_| known) {
            assert_eq!(rs, Some(given));
        }
        let prologue = self.bytes(&format!("{side}_prologue")).unwrap_or_default();
        let mut state = HandshakeState::initialize(pattern, role, &prologue, s, rs).unwrap();
        let e = KeyPair::from_secret(self.key(&format!("{side}_ephemeral")).unwrap());
        state.fixed_ephemeral_for_testing_only(e);
        state
    }

    fn set_psk(&self, state: &mut HandshakeState, side: &str) {
        if let Some(psk) = self.key(&format!("{side}_psk")) {
            state.set_psk(&psk);
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Runs a vector between our initiator and our responder: what each writes is compared, and read by the other.
fn run(vector: &Vector) {
    let pattern = match vector.text("protocol_name").unwrap() {
        name if name == XK.protocol_name => &XK,
        name if name == XKPSK2.protocol_name => &XKPSK2,
        name if name == NNPSK0.protocol_name => &NNPSK0,
        name => panic!("{name} is not one of ours"),
    };
    let mut initiator = vector.start(pattern, Role::Initiator, "init");
    let mut responder = vector.start(pattern, Role::Responder, "resp");
    // The psk of XKpsk2 is set as late as the real handshake has it: after message 1.
    let psk_before = if pattern.protocol_name == XKPSK2.protocol_name { 1 } else { 0 };

    let (handshake, transport) = vector.messages.split_at(pattern.messages.len());
    for (i, (payload, ciphertext)) in handshake.iter().enumerate() {
        if i == psk_before {
            vector.set_psk(&mut initiator, "init");
            vector.set_psk(&mut responder, "resp");
        }
        let (writer, reader) = if i % 2 == 0 { (initiator, responder) } else { (responder, initiator) };
        let (writer, written) = writer.write_message(payload).unwrap();
        assert_eq!(written, *ciphertext, "message {i}");
        let (reader, read) = reader.read_message(ciphertext).unwrap();
        assert_eq!(read, *payload, "message {i}");
        (initiator, responder) = if i % 2 == 0 { (writer, reader) } else { (reader, writer) };
    }

    if pattern.responder_static_is_known {
        let s = KeyPair::from_secret(vector.key("init_static").unwrap());
        assert_eq!(responder.remote_static(), Some(s.public()));
    }
    let initiator = initiator.split().unwrap();
    let responder = responder.split().unwrap();
    if let Some(hash) = vector.key("handshake_hash") {
        assert_eq!(initiator.handshake_hash, hash);
    }
    assert_eq!(initiator.handshake_hash, responder.handshake_hash);
    assert_eq!(initiator.export, responder.export);

    // flynn/noise lets the initiator begin again; the others go on in turn.
    let begins_again = vector.text("source").unwrap().starts_with("flynn/noise");
    let mut initiator_sends = begins_again || handshake.len().is_multiple_of(2);
    let mut from_initiator = (initiator.initiator, responder.initiator);
    let mut from_responder = (responder.responder, initiator.responder);
    for message in transport {
        transport_message(if initiator_sends { &mut from_initiator } else { &mut from_responder }, message);
        initiator_sends = !initiator_sends;
    }
}

fn transport_message(
    (sealer, opener): &mut (CipherState, CipherState),
    (payload, ciphertext): &(Vec<u8>, Vec<u8>),
) {
    assert_eq!(sealer.encrypt_with_ad(b"", payload).unwrap(), *ciphertext);
    assert_eq!(opener.decrypt_with_ad(b"", ciphertext).unwrap(), *payload);
}

#[test]
fn every_vector() {
    let file = include_str!("../vectors/noise.txt");
    let text: Vec<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    let text = text.join("\n");
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());

    let mut run_by_protocol = std::collections::BTreeMap::new();
    for block in blocks {
        let vector = Vector::parse(block);
        assert!(vector.messages.len() > 3);
        run(&vector);
        *run_by_protocol.entry(vector.text("protocol_name").unwrap().to_string()).or_insert(0) += 1;
    }
    // Each of the three patterns is proved, and no block was skipped.
    assert_eq!(run_by_protocol.len(), 3);
    assert_eq!(run_by_protocol.values().sum::<u32>(), 9);
}
