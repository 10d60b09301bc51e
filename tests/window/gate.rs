//! The gate: which requests are answered at all. Each rule by itself, with raw bytes.

use std::io::{BufReader, Write};
use std::time::{Duration, Instant};

use crate::client::{Window, connect, raw, read};
use crate::common::Home;

/// The status of the answer to a request with these lines behind its first one.
fn status(window: &Window, first: &str, lines: &[&str]) -> u16 {
    let request: String = [first].iter().chain(lines).map(|line| format!("{line}\r\n")).collect();
    raw(window.port, format!("{request}\r\n").as_bytes()).map_or(0, |answer| answer.status)
}

#[test]
fn only_names_of_this_machine_are_a_host() {
    let (home, top) = (Home::new("alice"), "GET / HTTP/1.1");
    let window = Window::start(&home);
    let own = format!("127.0.0.1:{}", window.port);
    for good in [&own, "127.0.0.1", "127.0.0.1:1", "localhost:9999", "LOCALHOST", "[::1]:4680", "[::1]"] {
        assert_eq!(status(&window, top, &[&format!("Host: {good}")]), 200, "{good}");
    }
    for bad in [
        "0.0.0.0",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:99999",
        "localhost:1:2",
        "user@localhost",
        "127.0.0.2",
        "[::1",
        "127.1",
    ] {
        assert_eq!(status(&window, top, &[&format!("Host: {bad}")]), 403, "{bad}");
    }
    assert_eq!(status(&window, top, &[]), 400);
    assert_eq!(status(&window, top, &["Host: 127.0.0.1", "Host: 127.0.0.1"]), 400);
}

#[test]
fn pages_from_elsewhere_are_not_answered() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let host = format!("Host: 127.0.0.1:{}", window.port);
    let token = format!("Authorization: Bearer {}", window.token);
    let ask =
        |path: &str, line: &str| status(&window, &format!("GET {path} HTTP/1.1"), &[&host, &token, line]);
    for (line, top, below) in [
        ("X: y", 200, 200),
        ("Sec-Fetch-Site: same-origin", 200, 200),
        ("Sec-Fetch-Site: none", 200, 403),
        ("Sec-Fetch-Site: same-site", 403, 403),
        ("Sec-Fetch-Site: cross-site", 403, 403),
        ("Sec-Fetch-Site: x", 403, 403),
        (&format!("Origin: http://127.0.0.1:{}", window.port), 200, 200),
        (&format!("Origin: https://127.0.0.1:{}", window.port), 403, 403),
        (&format!("Origin: http://localhost:{}", window.port), 403, 403),
        ("Origin: http://127.0.0.1:1", 403, 403),
        ("Origin: null", 403, 403),
        ("Origin:", 403, 403),
    ] {
        assert_eq!(ask("/", line), top, "/ with {line}");
        assert_eq!(ask("/api/outbox", line), below, "/api/outbox with {line}");
    }
}

#[test]
fn no_other_origin_is_ever_told_that_it_may_ask() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    for path in ["/", "/api/outbox", "/api/nothing", "/nothing"] {
        let options = window.ask("OPTIONS", path, b"");
        assert_eq!(options.status, 405);
        for answer in [options, window.ask("GET", path, b"")] {
            let head = answer.head.to_lowercase();
            assert!(!head.contains("access-control"), "{head}");
            for line in [
                "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'\r\n",
                "x-content-type-options: nosniff\r\n",
                "referrer-policy: no-referrer\r\n",
                "cross-origin-opener-policy: same-origin\r\n",
                "cross-origin-resource-policy: same-origin\r\n",
                "cache-control: no-store\r\n",
            ] {
                assert!(head.contains(line), "{line} in {head}");
            }
        }
    }
    for method in ["DELETE", "HEAD", "TRACE", "PATCH", "CONNECT", "get", "X"] {
        assert_eq!(window.ask(method, "/", b"").status, 405, "{method}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let good = format!("Host: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n", window.port, window.token);
    let post = "POST /api/retry HTTP/1.1\r\n";
    for (bad, body) in [
        ("Content-Length: 0\r\nContent-Length: 0\r\n", ""),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", "abcde"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("Content-Length: +0\r\n", ""),
        ("Content-Length: 0x0\r\n", ""),
        ("Content-Length: 0, 0\r\n", ""),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length:\r\n", ""),
        ("Content-Length: 99999999999999999999\r\n", ""),
        ("Content-Length : 0\r\n", ""),
        ("X: a\r\n folded\r\n", ""),
        ("X: a\r\n\tfolded\r\n", ""),
        ("X: a\nY: b\r\n", ""),
        ("X: a\rY: b\r\n", ""),
        ("X: a\r\r\n", ""),
        ("X: \0\r\n", ""),
        ("X: \u{e4}\r\n", ""),
        ("X\r\n", ""),
        (": a\r\n", ""),
        ("X y: a\r\n", ""),
        ("Authorization: Bearer x\r\n", ""),
    ] {
        // A second request behind it is not to be seen: it would be somebody else's in a smuggled body.
        let request = format!("{post}{good}{bad}\r\n{body}GET / HTTP/1.1\r\n{good}\r\n");
        let mut stream = BufReader::new(connect(window.port));
        let _ = stream.get_mut().write_all(request.as_bytes());
        assert_eq!(read(&mut stream).unwrap().unwrap().status, 400, "{bad:?}");
        assert!(read(&mut stream).unwrap_or(None).is_none(), "{bad:?} is followed by an answer");
    }
    // A body of unknown length is no ambiguity, and is not taken either.
    let request = format!("{post}{good}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(raw(window.port, request.as_bytes()).unwrap().status, 411);
    for first in [
        "GET / HTTP/1.0",
        "GET / HTTP/2.0",
        "GET  / HTTP/1.1",
        "GET /",
        "GET http://127.0.0.1/ HTTP/1.1",
        "GET * HTTP/1.1",
        " GET / HTTP/1.1",
        "",
    ] {
        let request = format!("{first}\r\n{good}\r\n");
        assert_eq!(raw(window.port, request.as_bytes()).unwrap().status, 400, "{first:?}");
    }
    let request = format!("GET / HTTP/1.1\r\n{good}Content-Length: 1\r\n\r\nx");
    assert_eq!(raw(window.port, request.as_bytes()).unwrap().status, 400, "a GET with a body");
}

#[test]
fn a_head_may_have_16_kib_and_5_seconds() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let host = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", window.port);
    let long = |length: usize| format!("{host}X: {}\r\n\r\n", "x".repeat(length - host.len() - 7));
    assert_eq!(raw(window.port, long(16 << 10).as_bytes()).unwrap().status, 200);
    assert_eq!(raw(window.port, long((16 << 10) + 5000).as_bytes()).unwrap().status, 400);
    // A byte a second keeps nothing open.
    let mut slow = connect(window.port);
    slow.write_all(host.as_bytes()).unwrap();
    let begun = Instant::now();
    let trickling = slow.try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        while begun.elapsed() < Duration::from_secs(60) && (&trickling).write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert!(read(&mut BufReader::new(&slow)).unwrap_or(None).is_none());
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(40), "{took:?}");
    drop(slow);
    trickle.join().unwrap();
}

#[test]
fn a_request_may_come_in_pieces_and_another_behind_it() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let mut stream = BufReader::new(connect(window.port));
    for _ in 0..2 {
        let head = window.head("POST", "/api/name", "Content-Length: 9\r\n");
        for piece in [head.as_bytes(), b"name=alic"].concat().chunks(7) {
            stream.get_mut().write_all(piece).unwrap();
        }
        assert_eq!(read(&mut stream).unwrap().unwrap().status, 200);
    }
    // Two at once are answered one after the other.
    let twice = [window.head("GET", "/", ""), window.head("GET", "/api/outbox", "")].concat();
    stream.get_mut().write_all(twice.as_bytes()).unwrap();
    assert_eq!(read(&mut stream).unwrap().unwrap().status, 200);
    assert_eq!(read(&mut stream).unwrap().unwrap().status, 200);
    // A body that is not wanted is no request.
    let body = window.head("GET", "/", "");
    let head = window.head("POST", "/nothing", &format!("Content-Length: {}\r\n", body.len()));
    stream.get_mut().write_all([head, body].concat().as_bytes()).unwrap();
    assert_eq!(read(&mut stream).unwrap().unwrap().status, 404);
    assert!(read(&mut stream).unwrap_or(None).is_none());
}

#[test]
fn more_than_32_connections_are_not_served() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    let silent: Vec<_> = (0..64).map(|_| connect(window.port)).collect();
    // Those that say nothing are closed after 5 seconds, and then there is room again.
    crate::common::poll_until("room for a browser", || {
        let answer = raw(window.port, window.head("GET", "/", "").as_bytes());
        answer.filter(|answer| answer.status == 200)
    });
    drop(silent);
}

#[test]
fn a_body_that_is_too_long_is_refused_unread() {
    let home = Home::new("alice");
    let window = Window::start(&home);
    for (path, length) in [("/api/name", 65_537), ("/api/say", 5 << 20)] {
        let head = window.head("POST", path, &format!("Content-Length: {length}\r\n"));
        assert_eq!(raw(window.port, head.as_bytes()).unwrap().status, 413, "{path}");
    }
}
