//! Codes and tokens: what gives access, for how long, and what takes it back.

use std::time::{Duration, Instant};

use crate::client::{Window, parts, raw};
use crate::common::clock::Clock;
use crate::common::{Home, poll_until, skip};

#[test]
fn nothing_below_api_is_told_without_a_token() {
    let home = Home::new("alice");
    let mut window = Window::start(&home);
    let good = std::mem::take(&mut window.token);
    let changed = good.replace(|c| c != 'a', "a");
    for bad in ["", "x", &good[1..], &changed, &good.to_uppercase()[..good.len() - 1]] {
        window.token = bad.to_owned();
        let answer = window.ask("GET", "/api/outbox", b"");
        assert_eq!(answer.status, 401, "{bad:?}");
        assert_eq!(window.ask("POST", "/api/nothing", b"").status, 401, "{bad:?}");
    }
    // What is in the program, everybody may read.
    assert_eq!(window.ask("GET", "/", b"").status, 200);
    window.token = good;
    assert!(window.is_in());
}

#[test]
fn guessing_takes_time_and_holds_up_nobody_else() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let wrong = Window { process: window.process, port: window.port, token: "x".into() };
    let begun = Instant::now();
    for _ in 0..6 {
        assert_eq!(wrong.ask("GET", "/api/outbox", b"").status, 401);
    }
    // 50, 100, 200, 400, 800 and 1600 ms.
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    let good = Window { token: window.token, ..wrong };
    let request = good.head("POST", "/api/session", "Content-Length: 6\r\n") + "code=x";
    let port = good.port;
    let guessing = std::thread::spawn(move || raw(port, request.as_bytes()).unwrap().status);
    assert!(good.is_in());
    assert!(!guessing.is_finished(), "the good one waited for the wrong one");
    assert_eq!(guessing.join().unwrap(), 401);
}

#[test]
fn a_code_is_good_once() {
    let home = Home::new("alice");
    let traded = |answer: crate::client::Answer| answer.objects()[0]["token"].as_str().unwrap().to_owned();
    let begin = || {
        let (process, address) = Window::process(&home, &["--listen", "127.0.0.1:0"]);
        let (port, code) = parts(&address);
        let mut window = Window { process, port, token: String::new() };
        assert_eq!(window.trade("").status, 401);
        let begun = Instant::now();
        window.token = traded(window.trade(&code));
        let again = window.trade(&code);
        // A machine that is busy for longer between the two shows something else.
        (begun.elapsed() < Duration::from_secs(2)).then_some((window, code, again))
    };
    // A page that is loaded twice at once is in all the same.
    let (window, code, again) = poll_until("two trades at once", begin);
    assert_eq!(traded(again), window.token);
    assert!(window.is_in());
    // Later somebody else has seen the code, and who came first cannot be told.
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(window.trade(&code).status, 401);
    assert!(!window.is_in());
    window.process.wait_to_say("was used twice");
    assert_eq!(window.trade(&code).status, 401);
}

/// The session that came of a code in time goes on after that.
#[test]
fn a_code_is_good_for_a_minute() {
    let home = Home::new("alice");
    let Some(clock) = Clock::for_waits(home.path("clock")) else { return skip("faketime is missing") };
    let words: Vec<&str> = clock.words.iter().map(String::as_str).collect();
    let begun = Instant::now();
    let (process, address) = Window::process_by(&words, &home, &["--listen", "127.0.0.1:0"]);
    let (port, in_time) = parts(&address);
    let mut window = Window { process, port, token: String::new() };
    let code = || parts(home.run(&["window", "--no-open"]).trim_end()).1;
    let late = code();
    // The machine's own time passes as well.
    clock.pass(30);
    let traded = window.trade(&in_time);
    if begun.elapsed() < Duration::from_secs(29) {
        assert_eq!(traded.status, 200);
        window.token = traded.objects()[0]["token"].as_str().unwrap().to_owned();
    }
    clock.pass(62);
    let answer = window.trade(&late);
    assert_eq!(answer.status, 401);
    assert!(answer.error().contains("run `egoat window` again"), "{}", answer.error());
    if !window.token.is_empty() {
        assert!(window.is_in());
    }
    assert_eq!(window.trade(&code()).status, 200);
}

#[test]
fn the_end_of_a_session_ends_its_events() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let mut events = window.events(None);
    events.state();
    let told = home.cmd(&["window", "--revoke"]).output().unwrap();
    assert!(told.status.success());
    assert!(String::from_utf8_lossy(&told.stderr).contains("all sessions have ended"));
    while events.next().is_some() {}
    assert!(!window.is_in());
    assert_eq!(window.events(None).status, 401);
    // A code that was not used is taken back as well, and a new one is good.
    let address = home.run(&["window", "--no-open"]);
    let (port, code) = parts(address.trim_end());
    assert_eq!(port, window.port);
    home.cmd(&["window", "--revoke"]).output().unwrap();
    assert_eq!(window.trade(&code).status, 401);
    let (_, code) = parts(home.run(&["window", "--no-open"]).trim_end());
    assert_eq!(window.trade(&code).status, 200);
}

#[test]
fn a_download_is_given_once_and_as_a_download() {
    let (alice, alice_node, bob, _bob_node) = crate::common::paired();
    let sent = bob.file("b\u{fc}.html", "<script>alert(1)</script>");
    bob.run(&["send", "alice", &sent]);
    let window = Window::start(&alice);
    let seq = poll_until("the file", || {
        let log = window.get("log", &[("peer", "bob")]);
        log.iter().find(|one| one["event"] == "file-received").map(|one| one["seq"].to_string())
    });
    let ticket = window.done("ticket", &[("peer", "bob"), ("seq", &seq)]);
    let path = ticket[0]["path"].as_str().unwrap().to_owned();
    // A browser that follows a link sends no token.
    let anonymous = Window { token: String::new(), ..window };
    let answer = anonymous.ask("GET", &path, b"");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"<script>alert(1)</script>"[..]));
    assert!(answer.head.contains("Content-Type: application/octet-stream\r\n"), "{}", answer.head);
    assert!(answer.head.contains("Content-Disposition: attachment; filename*=UTF-8''b%C3%BC.html\r\n"));
    assert_eq!(anonymous.ask("GET", &path, b"").status, 404);
    assert_eq!(anonymous.ask("GET", "/download/x", b"").status, 404);
    drop(alice_node);
}
