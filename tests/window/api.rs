//! What the page is told, and what it does.

use std::time::{Duration, Instant};

use crate::client::{Objects, Window};
use crate::common::{Home, pair, paired, poll_until};

/// The objects of this kind.
fn of(objects: &Objects, event: &str) -> Objects {
    objects.iter().filter(|one| one["event"] == event).cloned().collect()
}

#[test]
fn a_message_goes_from_page_to_page() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let (at_alice, at_bob) = (Window::start(&alice), Window::start(&bob));
    let mut events = at_alice.events(None);
    let state = events.state();
    assert_eq!(of(&state, "window")[0]["name"], "alice");
    assert_eq!(of(&state, "window")[0]["is_new"], false);
    assert_eq!(of(&state, "node")[0]["own"], true);
    assert!(of(&state, "peer").is_empty());
    let link = at_alice.done("invite", &[])[0]["link"].as_str().unwrap().to_owned();
    let joined = at_bob.done("join", &[("link", &link)]);
    assert_eq!(joined[0]["peer"], "alice");
    events.wait_for("peer", |one| one["event"] == "peer" && one["peer"] == "bob");
    events.wait_for("presence", |one| one["event"] == "here" && one["peer"] == "bob");
    // A link is for one person, and is not sent to another.
    let refused = at_bob.post("say", &[("peer", "alice"), ("text", &link)]);
    assert_eq!(refused.status, 422);
    let text = "<b>\u{fc}</b>\nline 2 & 100%";
    let said = at_bob.done("say", &[("peer", "alice"), ("text", text), ("id", "1")]);
    let number = said[0]["number"].clone();
    let seen = events.wait_for("message", |one| one["event"] == "conversation" && one["unread"] == 1);
    assert_eq!((&seen["line"], &seen["last_event"]), (&"<b>\u{fc}</b>".into(), &"received".into()));
    let log = at_alice.get("log", &[("peer", "bob")]);
    assert_eq!((&log[0]["text"], &log[0]["number"]), (&text.into(), &number));
    // The same once more is the same message.
    assert_eq!(at_bob.done("say", &[("peer", "alice"), ("text", text), ("id", "1")])[0]["number"], number);
    let delivered = poll_until("the delivery", || {
        let log = at_bob.get("log", &[("peer", "alice")]);
        log.first().filter(|one| one["event"] == "delivered").cloned()
    });
    assert_eq!(delivered["number"], number);
    assert_eq!(at_alice.get("log", &[("peer", "bob")]).len(), 2);
    // What was read is read in the terminal, too.
    let seq = log[0]["seq"].to_string();
    assert!(alice.run(&["peers", "--unread"]).contains("bob 1"));
    at_alice.done("read", &[("peer", "bob"), ("seq", &seq)]);
    events.wait_for("read mark", |one| one["event"] == "conversation" && one["unread"] == 0);
    assert_eq!(alice.run(&["peers", "--unread"]), "");
}

#[test]
fn a_page_goes_on_where_it_was_and_reloads_after_a_gap() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let mut events = window.events(None);
    events.state();
    let mut last = 0;
    for name in ["a", "b", "c"] {
        window.done("name", &[("name", name)]);
        last = events.wait_for(name, |one| one["name"] == name)["n"].as_u64().unwrap();
    }
    let mut again = window.events(Some(last - 2));
    assert_eq!(again.next().unwrap()["name"], "b");
    assert_eq!(again.next().unwrap()["name"], "c");
    for unknown in [last - 1000, last + 1000, 1] {
        assert_eq!(window.events(Some(unknown)).next().unwrap()["event"], "state", "{unknown}");
    }
}

#[test]
fn six_pages_do_not_follow_at_once_and_one_that_left_makes_room() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let mut all: Vec<_> = (0..5).map(|_| window.events(None)).collect();
    all.iter_mut().for_each(|events| drop(events.state()));
    assert_eq!(window.events(None).status, 409);
    all.pop();
    poll_until("room", || (window.events(None).status == 200).then_some(()));
}

#[test]
fn a_quiet_connection_has_a_line_each_15_seconds() {
    use std::io::{BufRead, BufReader, Write};
    let home = Home::new("alice");
    let window = Window::start(&home);
    let mut stream = crate::client::connect(window.port);
    stream.write_all(window.head("GET", "/api/events", "").as_bytes()).unwrap();
    let begun = Instant::now();
    let comment = BufReader::new(stream).lines().map_while(Result::ok).find(|line| line == ":");
    assert!(comment.is_some() && begun.elapsed() > Duration::from_secs(13), "{:?}", begun.elapsed());
}

#[test]
fn older_records_come_in_parts() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let lines: String = (0..450).map(|number| format!("message {number}\n")).collect();
    bob.pipe(&["say", "alice", "--lines"], lines.as_bytes());
    poll_until("all of them", || (alice.received().len() == 450).then_some(()));
    let window = Window::start(&alice);
    let numbers = |log: &Objects| -> Vec<usize> {
        let texts = log.iter().filter_map(|one| one.get("text")?.as_str());
        texts.map(|text| text["message ".len()..].parse().unwrap()).collect()
    };
    let newest = window.get("log", &[("peer", "bob")]);
    assert_eq!(numbers(&newest), (250..450).collect::<Vec<_>>());
    assert_eq!(newest.last().unwrap()["more"], true);
    let seq = |log: &Objects| log[0]["seq"].to_string();
    let older = window.get("log", &[("peer", "bob"), ("before", &seq(&newest))]);
    assert_eq!(numbers(&older), (50..250).collect::<Vec<_>>());
    let oldest = window.get("log", &[("peer", "bob"), ("before", &seq(&older))]);
    assert_eq!(numbers(&oldest), (0..50).collect::<Vec<_>>());
    assert_eq!(oldest.last().unwrap()["more"], false);
    let after = window.get("log", &[("peer", "bob"), ("after", &seq(&older)), ("limit", "3")]);
    assert_eq!((numbers(&after), &after[3]["more"]), (vec![51, 52, 53], &true.into()));
    assert!(numbers(&window.get("log", &[("peer", "bob"), ("before", &seq(&oldest))])).is_empty());
    let found = window.get("search", &[("text", "MESSAGE 44"), ("limit", "3")]);
    assert!(numbers(&found).is_empty(), "capital letters count");
    let found = window.get("search", &[("text", "message 44"), ("limit", "3")]);
    assert_eq!((numbers(&found), &found[3]["more"]), (vec![447, 448, 449], &true.into()));
    // All words, in any order, and how many records have them.
    let found = window.get("search", &[("text", " 44  ESS"), ("peer", "bob")]);
    assert_eq!((numbers(&found), found[0]["total"].as_u64()), (vec![], Some(0)), "capital letters count");
    let found = window.get("search", &[("text", " 44  ess"), ("peer", "bob")]);
    let with_44 = [44, 144, 244, 344].into_iter().chain(440..450).collect::<Vec<_>>();
    assert_eq!((numbers(&found), &found[14]["total"]), (with_44.clone(), &14.into()));
    assert_eq!((&found[0]["peer_key"], &found[14]["more"]), (&bob.key().into(), &false.into()));
    let found = window.get("search", &[("text", "44"), ("limit", "5"), ("skip", "7")]);
    assert_eq!((numbers(&found), &found[5]["more"]), (with_44[2..7].to_vec(), &true.into()));
    let found = window.get("search", &[("text", "44"), ("limit", "5"), ("skip", "12")]);
    assert_eq!((numbers(&found), &found[2]["more"]), (with_44[..2].to_vec(), &false.into()));
    assert!(numbers(&window.get("search", &[("text", "44"), ("skip", "14")])).is_empty());
}

#[test]
fn what_waits_is_told_and_can_be_taken_back() {
    let (alice, _alice_node, bob, bob_node) = paired();
    drop(bob_node);
    let window = Window::start(&alice);
    let said = window.done("say", &[("peer", &bob.key()), ("text", "later")]);
    let number = said[0]["number"].to_string();
    let waiting = window.get("outbox", &[("peer", "bob")]);
    assert_eq!((&waiting[0]["text"], &waiting[0]["peer_key"]), (&"later".into(), &bob.key().into()));
    let mut events = window.events(None);
    let counted = of(&events.state(), "conversation");
    assert_eq!((&counted[0]["messages"], counted[0]["newest"].to_string()), (&1.into(), number.clone()));
    let cancelled = window.done("cancel", &[("number", &number)]);
    assert_eq!(cancelled[0]["event"], "cancelled");
    events.wait_for("end", |one| one["event"] == "conversation" && one["messages"] == 0);
    assert_eq!(window.post("cancel", &[("number", &number)]).status, 500);
    assert_eq!(window.get("log", &[("peer", "bob")])[0]["event"], "cancelled");
}

#[test]
fn contacts_are_changed_as_by_commands() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let window = Window::start(&alice);
    let safety = window.get("safety", &[("peer", "bob")])[0]["number"].as_str().unwrap().to_owned();
    let at_bob = Window::start(&bob).get("safety", &[("peer", "alice")]);
    assert_eq!((at_bob[0]["number"].as_str().unwrap(), safety.len()), (&*safety, 71));
    window.done("rename", &[("peer", &bob.key()), ("name", "robert")]);
    let peer = window.done("set", &[("peer", "robert"), ("rule", "mute=yes"), ("rule", "verified=yes")]);
    assert_eq!((&peer[0]["mute"], &peer[0]["verified"]), (&true.into(), &true.into()));
    assert_eq!(window.post("set", &[("peer", "robert"), ("rule", "nonsense=1")]).status, 400);
    assert_eq!(window.post("rename", &[("peer", "robert"), ("name", "a b")]).status, 400);
    assert_eq!(window.post("rename", &[("peer", "rob"), ("name", "x")]).status, 404, "only whole names");
    window.done("remove", &[("peer", "robert")]);
    assert_eq!(alice.run(&["peers"]), "");
    let checks = window.get("doctor", &[]);
    assert_eq!(of(&checks, "check").len(), checks.len());
}

#[test]
fn an_offer_is_asked_about_and_answered() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    alice.run(&["peers", "set", "bob", "files=ask"]);
    let window = Window::start(&alice);
    let mut events = window.events(None);
    events.state();
    let sent = bob.file("photo.jpg", [1; 5000]);
    let sending = crate::common::Process::start(bob.cmd(&["send", "--wait", "60s", "alice", &sent]));
    let offer = events.wait_for("offer", |one| one["event"] == "offer");
    assert_eq!((&offer["title"], &offer["bytes"]), (&"photo.jpg".into(), &5000.into()));
    let number = offer["number"].to_string();
    assert_eq!(window.post("decide", &[("number", &number), ("answer", "perhaps")]).status, 400);
    window.done("decide", &[("number", &number), ("answer", "accept")]);
    events.wait_for("end of the offer", |one| one.get("id") == Some(&(*number).into()));
    poll_until("the file", || alice.path("downloads").join("bob/photo.jpg").exists().then_some(()));
    drop(sending);
}

#[test]
fn a_sealed_home_is_opened_by_the_page() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    {
        let (_alice_node, _bob_node) = (alice.serve(), bob.serve());
        pair(&alice, &bob);
    }
    let set = crate::common::by(&["sh", "-c", "exec \"$0\" \"$@\" 3<<end\ncorrect horse\nend"], &{
        let mut command = alice.cmd(&["id", "--passphrase"]);
        command.env("EGOAT_PASSPHRASE_FD", "3");
        command
    });
    crate::common::finish(set, b"", 0);
    let window = Window::start(&alice);
    let mut events = window.events(None);
    let state = events.state();
    assert_eq!((state.len(), &state[0]["locked"]), (1, &true.into()));
    assert!(!state[0].contains_key("name") && !state[0].contains_key("key"));
    for (name, fields) in [("say", &[("peer", "bob"), ("text", "x")][..]), ("name", &[("name", "x")])] {
        assert_eq!(window.post(name, fields).status, 423, "{name}");
    }
    assert_eq!(window.ask("GET", "/api/log?peer=bob", b"").status, 423);
    assert_eq!(window.post("unlock", &[("passphrase", "wrong")]).status, 400);
    window.done("unlock", &[("passphrase", "correct horse")]);
    events.wait_for("name", |one| one["event"] == "window" && one["name"] == "alice");
    events.wait_for("peer", |one| one["event"] == "peer" && one["peer"] == "bob");
    assert_eq!(window.get("log", &[("peer", "bob")]).len(), 1);
    // Beside the node that runs now, nobody is asked.
    assert!(alice.run(&["--json", "id"]).contains("alice"));
}

#[test]
fn beside_a_node_it_is_a_front_end() {
    let (alice, mut alice_node, bob, _bob_node) = paired();
    let window = Window::start(&alice);
    let mut events = window.events(None);
    let state = events.state();
    let node = &of(&state, "node")[0];
    assert_eq!((&node["runs"], &node["own"]), (&true.into(), &false.into()));
    window.done("say", &[("peer", "bob"), ("text", "hello")]);
    poll_until("the message", || bob.received().contains(&"hello".into()).then_some(()));
    alice_node.kill9();
    // The connection to it may end before its lock does, or after.
    let (mut is_over, mut is_away) = (false, false);
    while !(is_over && is_away) {
        let told = events.wait_for("end of the node", |one| one["event"] == "node" || one["event"] == "away");
        is_over |= told["event"] == "node" && told["runs"] == false;
        is_away |= told["event"] == "away";
    }
}

#[test]
fn what_is_not_there_is_told() {
    let (alice, _alice_node, _bob, _bob_node) = paired();
    let window = Window::start(&alice);
    for (method, path, status) in [
        ("GET", "/api/nothing", 404),
        ("POST", "/api/log", 404),
        ("GET", "/api/say", 404),
        ("GET", "/nothing.js", 404),
        ("GET", "/../page.html", 404),
        ("GET", "/api/log?peer=carol", 404),
        ("GET", "/api/log", 400),
        ("GET", "/api/log?peer=bob&before=x", 400),
        ("GET", "/api/log?peer=%zz", 400),
        ("GET", "/api/search?text=", 400),
    ] {
        let answer = window.ask(method, path, b"");
        assert_eq!(answer.status, status, "{method} {path}");
        let error = &answer.objects()[0];
        assert_eq!(error["event"], "error");
        assert!(error.contains_key("hint") && error["status"].is_u64());
    }
    assert_eq!(window.post("ticket", &[("peer", "bob"), ("seq", "1")]).status, 400);
    assert_eq!(window.post("say", &[("peer", "bob"), ("text", &"x".repeat((1 << 20) + 1))]).status, 400);
    assert_eq!(window.post("say", &[("peer", "bob"), ("text", "")]).status, 400);
    assert_eq!(window.post("folder", &[("peer", "bob"), ("seq", "1")]).status, 400);
}
