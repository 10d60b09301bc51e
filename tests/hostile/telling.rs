//! A peer that tells where it can be dialled, and lies: what it tells is noted only if it can be another machine's, seldom, and
//! nothing of this machine is dialled for it.

use crate::common;

use common::rogue::{Line, Rogue};
use common::{Home, Node};
use egoat::wire::features::Features;
use egoat::wire::message::{Kind, Message};
use egoat::wire::told::{AddressKind, ToldAddress, ToldAddresses};
use std::net::TcpListener;

struct Field {
    bob: Home,
    node: Node,
    mallory: Rogue,
}

impl Field {
    fn new() -> Field {
        let (bob, mallory) = (Home::new("bob"), Rogue::new(44).with_features(Features::IGNORABLE));
        let node = bob.serve();
        bob.run(&["peers", "add", "mallory", &mallory.key()]);
        Field { bob, node, mallory }
    }

    fn push(&self) -> Line {
        let mut line = self.mallory.session(&self.node.addr, &self.bob.key(), Kind::Push);
        line.expect(&Message::Held(0));
        line
    }

    /// Tells these addresses, and waits until the node has dealt with them.
    fn tell(&self, line: &mut Line, version: u64, addresses: &[String]) {
        let address =
            |text: &String| ToldAddress { kind: AddressKind::Interface, address: text.parse().unwrap() };
        let list =
            ToldAddresses { version, addresses: addresses.iter().map(address).collect() }.encode_list();
        line.say(&Message::Addresses { version, list: &list });
        line.say(&Message::Ping);
        line.expect(&Message::Pong);
    }

    /// What stands in Bob's peers file.
    fn noted(&self) -> String {
        std::fs::read_to_string(self.bob.path("peers")).unwrap()
    }
}

#[test]
fn what_leads_back_here_is_neither_noted_nor_dialled() {
    let field = Field::new();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = trap.local_addr().unwrap().port();
    let traps = ["127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"];
    let mut told: Vec<String> = traps.iter().map(|host| format!("{host}:{port}")).collect();
    told.extend(
        ["224.0.0.1:4628", "[fe80::1]:4628", "169.254.7.7:4628", "11.0.0.1:22", "localhost:4628"]
            .map(String::from),
    );
    let mut line = field.push();
    field.tell(&mut line, 1, &told);
    assert!(!field.noted().contains("told"), "{}", field.noted());
    // One that may be noted shows that the list was read.
    field.tell(&mut line, 2, &[told, vec!["203.0.113.1:4628".into()]].concat());
    assert!(field.noted().contains(" told=203.0.113.1:4628@") && field.noted().contains(" told-version=2"));
    drop(line);

    field.bob.fails(&["say", "--wait", "0s", "mallory", "are you there"], 75);
    field.bob.run(&["outbox", "retry", "mallory"]);
    common::poll_until("a try", || {
        field.bob.run(&["--json", "outbox"]).contains("203.0.113.1").then_some(())
    });
    trap.set_nonblocking(true).unwrap();
    assert!(trap.accept().is_err(), "loopback was dialled because a peer named it");
}

#[test]
fn a_peer_that_tells_all_the_time_is_noted_three_times() {
    let field = Field::new();
    let mut line = field.push();
    for version in 1..=50 {
        field.tell(&mut line, version, &[format!("203.0.113.{version}:4628")]);
    }
    assert!(field.noted().contains("told=203.0.113.3:4628"), "{}", field.noted());
    assert!(field.noted().contains(" told-version=3"), "{}", field.noted());
}

#[test]
fn older_news_and_news_from_the_future_are_ignored() {
    let field = Field::new();
    let mut line = field.push();
    let at = |last: u8| vec![format!("203.0.113.{last}:4628")];
    field.tell(&mut line, u64::MAX, &at(1));
    field.tell(&mut line, 7, &at(2));
    field.tell(&mut line, 6, &at(3));
    assert!(field.noted().contains("told=203.0.113.2:4628"), "{}", field.noted());
    assert_eq!(field.noted().matches("told=").count(), 1);
}

#[test]
fn malformed_addresses_end_the_session() {
    let field = Field::new();
    for list in [&[][..], &[1], &[17], &[0, 0], &[1, 1, 0, 0, 9, b'1']] {
        let mut line = field.push();
        line.say(&Message::Addresses { version: 1, list });
        line.say(&Message::Ping);
        line.expect_end();
    }
    let mut line = field.push();
    line.frame(129, &vec![0; 4154]);
    line.expect_end();
    assert!(!field.noted().contains("told"), "{}", field.noted());
}
