//! Inputs that every reader takes: the seeds of tests/fuzz/seeds, as `cargo test --test mutation -- --ignored` writes
//! them. Small, so that the fuzzer finds out quickly what each byte does.

use std::collections::HashMap;
use std::ops::Range;

use egoat::crypto::keys::{InviteToken, PublicKey};
use egoat::store::log::Kind;
use egoat::transfer::manifest::{Entry, Manifest};
use egoat::transfer::path::SafePath;
use egoat::wire::beacon::Beacon;
use egoat::wire::codec::FieldWriter;
use egoat::wire::link::Link;
use egoat::wire::message::{Message, table};

use super::properties::{key, log_of, request, tzif_with};

/// A name for the file, and what is in it.
pub type Sample = (String, Vec<u8>);

/// Of the target called `name`.
pub fn samples(name: &str) -> Vec<Sample> {
    match name {
        "frames" => frames(),
        "message" => messages(),
        "beacon" => beacons(),
        "address" => texts(&["example.org:22", "Host.lan:1", "127.0.0.1:9", "[2001:db8::1]:4628", "::1"]),
        "link" => links(),
        "handshake" => handshake(),
        "log" => vec![named("two", log_of(Kind::History, &two_records()))],
        "outbox" => {
            vec![named("some-wait", lengths_and(&outbox())), named("one", lengths_and(&outbox()[..1]))]
        }
        "queued_files" => vec![named("jobs", lengths_and(&queued_files()))],
        "shares" => shares(),
        "want" => vec![named("none", vec![0]), named("one", [[1].as_slice(), &[7; 16]].concat())],
        "shares_log" => {
            vec![named("ended", lengths_and(&shares_log())), named("open", lengths_and(&shares_log()[..1]))]
        }
        "history" => history(),
        "peers" => texts(&[&peers()]),
        "manifest" => vec![named("tree", tree())],
        "routers" => routers(),
        "path" => texts(&["a/b/photo (1).tar.gz\n.profile\n日本/é\nnullable/x.con"]),
        "tzif" => {
            vec![named("rule", tzif_with("CET-1CEST,M3.5.0,M10.5.0/3")), named("two", two_transitions())]
        }
        "tz_rule" => texts(&[
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "EST5EDT",
            "<+0330>-3:30",
            "AAA3:00:01BBB,J60/-1,J300",
            "AAA-5BBB-6,59,364/167",
        ]),
        "text" => texts(&[
            "two\r\nlines\t\x1b[2J\u{202E}👨\u{200D}👩 \\\"\u{E0041}\u{FFFE}",
            "anna@home",
            "2024-03-31 02:30",
            "500 MiB",
            "24h",
        ]),
        "editor" => texts(&[
            "Phello world\x1b[D\x1b[D\x7f\x17\x19\x01\x0b",
            "\x1452 \u{6f22}\u{5b57} e\u{301} \u{1f468}\u{200d}\u{1f469}\x1b[A\x1b\rtwo\rthree\x12tw\x12\x07",
            "(\x1b[200~pasted\rlines\x1b[201~\x1b[1;5D\x1bb\x1bd\x1b[3~\x15\x19\x19",
        ]),
        _ => Vec::new(),
    }
}

fn named(name: &str, bytes: Vec<u8>) -> Sample {
    (name.to_owned(), bytes)
}

fn texts(texts: &[&str]) -> Vec<Sample> {
    texts.iter().enumerate().map(|(n, text)| named(&format!("{}", n + 1), text.as_bytes().to_vec())).collect()
}

/// The table's samples, each by the name of its type and a number.
fn messages() -> Vec<Sample> {
    let names = table().into_iter().map(|row| (row.number, row.name.to_lowercase()));
    let names: HashMap<u8, String> = names.collect();
    let mut seen = HashMap::<u8, usize>::new();
    let all = Message::samples();
    let named = all.iter().map(|message| {
        let count = seen.entry(message.kind()).or_default();
        *count += 1;
        (format!("{}-{count}", names[&message.kind()]), kind_and_body(message))
    });
    named.collect()
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// Without the length.
fn kind_and_body(message: &Message) -> Vec<u8> {
    let mut bytes = encoded(message);
    bytes.drain(1..5);
    bytes
}

/// Several messages in a record, and each in many.
fn frames() -> Vec<Sample> {
    let all = Message::samples();
    let of = |kinds: Range<u8>| all.iter().filter(move |message| kinds.contains(&message.kind()));
    let stream: Vec<u8> = of(6..10).flat_map(encoded).collect();
    let short: Vec<u8> = of(7..8).flat_map(encoded).collect();
    let in_records = |step: u8, size: usize, stream: &[u8]| {
        let mut input = vec![step];
        for text in stream.chunks(size) {
            input.put_u16(text.len() as u16);
            input.put(text);
        }
        input
    };
    vec![
        named("one-record", in_records(0, usize::MAX, &stream)),
        named("many-records", in_records(0xc4, 7, &short)),
    ]
}

fn beacons() -> Vec<Sample> {
    let beacon = |is_answer, count| {
        let tags = vec![[0x5a; 8]; count];
        Beacon { is_answer, hour: 0x75bcd, port: 4628, salt: [7; 8], tags }.encode()
    };
    vec![named("ask", beacon(false, 16)), named("answer", beacon(true, 8))]
}

fn links() -> Vec<Sample> {
    let link =
        Link { is_share: false, key: key(7), token: None, addresses: vec!["[::1]:4628".parse().unwrap()] };
    let addresses = vec!["10.0.0.1:1".parse().unwrap(), "host.example:2".parse().unwrap()];
    let invite = Link { token: Some(InviteToken::from_bytes([9; 16])), addresses, ..link.clone() };
    let share = Link { is_share: true, ..invite.clone() };
    let links = [("link", link), ("invite", invite), ("share", share)];
    links.map(|(name, link)| named(name, link.to_string().into_bytes())).into()
}

fn handshake() -> Vec<Sample> {
    let invite = [[5, 1].as_slice(), &[0x1d; 16]].concat();
    let mut samples: Vec<Sample> =
        (0..=5).map(|which| named(&format!("good-{which}"), vec![which])).collect();
    samples.push(named("invite", invite));
    samples.push(named("payloads", [[6].as_slice(), &[0x2a; 128]].concat()));
    samples.push(named("key", [[8].as_slice(), key(3).as_bytes()].concat()));
    samples
}

fn two_records() -> Vec<(u64, Vec<u8>)> {
    [(1, ""), (1 << 40, "two")].map(|(seq, body)| (seq, body.as_bytes().to_vec())).to_vec()
}

/// `length u16 ‖ body` each.
fn lengths_and(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    for body in bodies {
        input.put_u16(body.len() as u16);
        input.put(body);
    }
    input
}

/// Five records: of three messages the first is settled and the second dropped.
fn outbox() -> Vec<Vec<u8>> {
    let body = |kind: u8, queued: u64, settled: u64, dropped: u32, rest: &[u8]| {
        let mut body = vec![kind];
        body.put_u64(queued);
        body.put_u64(settled);
        body.put_u32(dropped);
        body.put(rest);
        body
    };
    let draft = |expires: u64, key: &str, text: &str| {
        [&expires.to_be_bytes(), [key.len() as u8].as_slice(), key.as_bytes(), text.as_bytes()].concat()
    };
    vec![
        body(1, 1, 0, 0, &draft(0, "", "one")),
        body(1, 2, 0, 0, &draft(0, "key", "two")),
        body(2, 2, 1, 0, &[]),
        body(4, 2, 1, 1, &2u64.to_be_bytes()),
        body(1, 5, 1, 1, &draft(1 << 60, "", "five")),
    ]
}

/// A job that was stopped, one that waits again, one of two items, and one of two whose places are noted.
fn queued_files() -> Vec<Vec<u8>> {
    let item = |path: &str, name: &str| {
        let mut item = vec![0];
        item.put(&(-5i64).to_be_bytes());
        item.put_u64(1 << 33);
        for text in [path, name] {
            item.put_u16(text.len() as u16);
            item.put(text.as_bytes());
        }
        item
    };
    let place = |inode: u64, real: &str| {
        let mut place = inode.to_be_bytes().to_vec();
        place.put_u16(real.len() as u16);
        place.put(real.as_bytes());
        place
    };
    let body = |kind: u8, number: u64, rest: &[u8]| [[kind].as_slice(), &number.to_be_bytes(), rest].concat();
    let changed = [[3, 0, 2].as_slice(), b"/awhy"].concat();
    let queued = (1u64 << 50).to_be_bytes().to_vec();
    vec![
        body(1, 0, &item("/a", "")),
        body(2, 1, &changed),
        body(1, 1, &item("/a", "")),
        body(1, 0, &[item("/a", ""), item("/b", "c")].concat()),
        body(4, 0, &[queued, item("/a", ""), place(5, ""), item("/b", "c"), place(6, "/real/b")].concat()),
    ]
}

/// None and two; as many as a message holds would take minutes.
fn shares() -> Vec<Sample> {
    let body = |names: &[&str]| {
        let mut body = vec![names.len() as u8];
        for (number, name) in names.iter().enumerate() {
            body.put(&[number as u8; 16]);
            body.put_u32(2);
            body.put_u64(300);
            body.put_u8(name.len() as u8);
            body.put(name.as_bytes());
        }
        body
    };
    vec![named("none", body(&[])), named("two", body(&["notes", "\u{e9}\u{202e}"]))]
}

/// One by a link, which is stopped, and one for two peers, which is used up.
fn shares_log() -> Vec<Vec<u8>> {
    let mut item = vec![1];
    item.put(&(-5i64).to_be_bytes());
    item.put_u64(1 << 33);
    for text in ["/a", "a"] {
        item.put_u16(text.len() as u16);
        item.put(text.as_bytes());
    }
    item.put_u64(5);
    item.put_u16(0);
    let shared = |token: u8, until: u64, once: u8, to: &[PublicKey]| {
        let mut body = vec![1];
        body.put(&[token; 16]);
        body.put_u64(1 << 50);
        body.put_u64(until);
        body.put_u8(once);
        body.put_u32(2);
        body.put_u64(300);
        body.put_u16(to.len() as u16);
        to.iter().for_each(|key| body.put(key.as_bytes()));
        body.put(&item);
        body
    };
    let ended = |kind: u8, token: u8, key: &[u8]| {
        let id = InviteToken::from_bytes([token; 16]).invite_id();
        [[kind].as_slice(), &id, &(1u64 << 60).to_be_bytes(), key].concat()
    };
    vec![
        shared(1, 1 << 60, 0, &[]),
        shared(2, 0, 1, &[key(3), key(4)]),
        ended(2, 1, &[]),
        ended(3, 2, key(4).as_bytes()),
    ]
}

fn history() -> Vec<Sample> {
    let body = |kind: u8, rest: &[u8]| {
        let mut body = vec![kind];
        body.put_u64(1 << 50);
        body.put_u64(1 << 51);
        body.put(rest);
        body
    };
    let number = 7u64.to_be_bytes();
    vec![
        named("received", body(1, b"hi")),
        named("sent", body(2, b"\x03keyhi")),
        named("file-received", body(3, &[&number, b"/d/a".as_slice()].concat())),
        named("file-sent", body(4, &[&number, b"a".as_slice()].concat())),
        named("dropped", body(5, &[&number, b"\x02hi".as_slice()].concat())),
    ]
}

fn peers() -> String {
    let (bob, carol, dora) = (key(3), key(4), key(5));
    format!(
        "# friends\n\nbob {bob} 10.0.0.1:7,[::1]:8 files=ask max-file=4G dir=/srv/from%20bob future=1\n\
         carol {carol} - blocked seen=10.0.0.2:9\n\
         dora {dora} a.example:1 link=[fe80::1%eth0]:2 seen=10.0.0.3:9@2026-12-01 told=b:3@1999-01-01 near=c:4 \
         worked=a.example:1@2026-12-01 worked=b:3@2026-11-30\n"
    )
}

fn tree() -> Vec<u8> {
    let entry = |path: &str, is_dir: bool, size: u64| Entry {
        path: SafePath::parse(path).unwrap(),
        is_dir,
        executable: !is_dir,
        modified: -5,
        size,
    };
    let entries = vec![entry("d", true, 0), entry("d/a.c", false, 1 << 20), entry("b", false, 3)];
    Manifest::new(entries).unwrap().parts().concat()
}

/// A TZif file of version 1.
fn two_transitions() -> Vec<u8> {
    let mut file = b"TZif".to_vec();
    file.put(&[0; 16]);
    for count in [0, 0, 0, 2, 2, 4] {
        file.put_u32(count);
    }
    for time in [-100i32, 1 << 30] {
        file.put(&time.to_be_bytes());
    }
    file.put(&[1, 0]);
    for offset in [-3600i32, 7200] {
        file.put(&offset.to_be_bytes());
        file.put(&[0, 0]);
    }
    file.put(b"ABC\0");
    file
}

/// Answers of routers, each after the number of its kind.
fn routers() -> Vec<Sample> {
    let mut granted = request().encode();
    granted[1] |= 0x80;
    granted[8..24].fill(0);
    granted[54..].copy_from_slice(&[0xff, 0xff, 11, 0, 0, 1]);
    let announced = [&[2, 0x80, 0, 0], &[0; 20][..]].concat();
    let nat_pmp = [0, 130, 0, 0, 0, 0, 0, 9, 0x12, 0x14, 0x12, 0x15, 0, 0, 0x0e, 0x10];
    let found = "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                 LOCATION: http://192.168.7.1:5000/rootDesc.xml\r\n\r\n";
    let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let description = "<URLBase>http://192.168.7.1:81/</URLBase><service><serviceType>\
                       urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
                       <controlURL>ctl?a=1&amp;b=2</controlURL></service>";
    let address =
        "<u:NewExternalIPAddress x=\"y\">11.0.0.1</u:NewExternalIPAddress><errorCode>718</errorCode>";
    let sample = |name: &str, kind: u8, bytes: &[u8]| named(name, [&[kind], bytes].concat());
    vec![
        sample("pcp", 0, &granted),
        sample("pcp-announce", 0, &announced),
        sample("nat-pmp", 0, &nat_pmp),
        sample("nat-pmp-address", 0, &[0, 128, 0, 0, 0, 0, 1, 2, 11, 0, 0, 1]),
        sample("ssdp", 1, found.as_bytes()),
        sample("http", 2, plain.as_bytes()),
        sample("http-chunked", 2, chunked.as_bytes()),
        sample("description", 3, description.as_bytes()),
        sample("address", 3, address.as_bytes()),
    ]
}
