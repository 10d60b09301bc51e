//! The process of the window: one for a home, its door, its port, and how it is reached from elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::client::{Window, parts};
use crate::common::clock::Clock;
use crate::common::{Home, Process, paired, poll_until, skip};

#[test]
fn a_second_one_opens_the_first_with_a_code_of_its_own() {
    let home = Home::new("alice");
    let first = Window::start(&home);
    let opened = home.path("opened");
    let open = format!("printf '%s\\n' \"$1\" >>{}", opened.display());
    let dir = home.path("bin");
    fs::create_dir(&dir).unwrap();
    home.script("bin/xdg-open", &open);
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    let mut second = home.cmd(&["window"]);
    second.env("PATH", &path).env_remove("SSH_CONNECTION").env_remove("SSH_CLIENT");
    let printed = String::from_utf8(second.output().unwrap().stdout).unwrap();
    let (port, code) = parts(printed.trim_end());
    assert_eq!(port, first.port);
    if cfg!(target_os = "linux") {
        poll_until("the browser", || {
            fs::read_to_string(&opened).is_ok_and(|said| said == printed).then_some(())
        });
    }
    let second = Window { token: first.trade(&code).objects()[0]["token"].as_str().unwrap().into(), ..first };
    assert!(second.is_in());
}

#[test]
fn a_peer_or_a_link_is_shown_at_once() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let _window = Window::start(&alice);
    let address = |target: &str| alice.run(&["window", "--no-open", target]).trim_end().to_owned();
    assert!(address("bo").ends_with(&format!("&peer={}", bob.key())));
    let link = bob.run(&["invite"]);
    assert!(address(link.trim_end()).ends_with(&format!("&join={}", link.trim_end())));
    assert!(alice.fails(&["window", "--no-open", "carol"], 2).contains("carol"));
    assert!(alice.fails(&["window", "--no-open", "egoat:x"], 2).contains("this is no link"));
}

#[test]
fn it_is_stopped_by_its_door() {
    let home = Home::new("alice");
    assert!(home.fails(&["window", "--stop"], 1).contains("no window runs"));
    assert!(home.fails(&["window", "--revoke"], 1).contains("no window runs"));
    let mut window = Window::start(&home);
    home.run(&["window", "--stop"]);
    let (code, ..) = window.process.end();
    assert_eq!(code, Some(0));
    assert_eq!(fs::read_to_string(home.path("window.lock")).unwrap(), "");
    assert!(home.fails(&["window", "--stop"], 1).contains("no window runs"));
}

/// A window with a clock of its own, in which a page was seen.
fn with_clock(home: &Home) -> Option<(Window, Clock)> {
    let clock = Clock::for_waits(home.path("clock"))?;
    let words: Vec<&str> = clock.words.iter().map(String::as_str).collect();
    let (process, address) = Window::process_by(&words, home, &["--listen", "127.0.0.1:0"]);
    let (port, code) = parts(&address);
    let mut window = Window { process, port, token: String::new() };
    window.token = window.trade(&code).objects()[0]["token"].as_str().unwrap().to_owned();
    Some((window, clock))
}

/// How often the main thread has begun to wait: it looks at the time between two waits.
fn looks(window: &Window) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", window.process.child.id())).ok()?;
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

#[test]
fn it_ends_ten_minutes_after_its_last_page() {
    let home = Home::new("alice");
    let Some((mut window, clock)) = with_clock(&home) else { return skip("faketime is missing") };
    clock.pass(602);
    window.process.wait_to_say("its last page was closed 10 minutes ago");
    let (code, ..) = window.process.end();
    assert_eq!(code, Some(0));
}

#[test]
fn it_stays_while_a_page_is_open_and_some_minutes_more() {
    let (open, closed) = (Home::new("alice"), Home::new("bob"));
    let all = [with_clock(&open), with_clock(&closed)];
    let [Some((open, at_open)), Some((closed, at_closed))] = all else { return skip("faketime is missing") };
    let mut events = open.events(None);
    events.state();
    let (Some(before), Some(closed_before)) = (looks(&open), looks(&closed)) else { return skip("no /proc") };
    at_open.pass(3000);
    // The time of the machine passes as well.
    at_closed.pass(500);
    poll_until("both look", || (looks(&open)? > before && looks(&closed)? > closed_before).then_some(()));
    assert!(open.is_in() && closed.is_in());
}

#[test]
fn one_that_was_killed_is_none() {
    let home = Home::new("alice");
    let mut window = Window::start(&home);
    window.process.kill9();
    assert!(home.fails(&["window", "--stop"], 1).contains("no window runs"));
    assert!(Window::start(&home).is_in());
}

#[test]
fn the_port_stays_what_it_was() {
    let home = Home::new("alice");
    fs::write(home.path("settings"), "# mine\nother = 1\n").unwrap();
    let start = || {
        let mut command = home.cmd(&["window", "--no-open", "--listen", "127.0.0.1:0"]);
        command.env_remove("SSH_CONNECTION").env_remove("SSH_CLIENT");
        let mut process = Process::start(command);
        let port = parts(&process.wait_for("http://")).0;
        (process, port)
    };
    let (process, port) = start();
    assert_eq!(
        fs::read_to_string(home.path("settings")).unwrap(),
        format!("# mine\nother = 1\nwindow-port={port}\n")
    );
    assert_eq!(fs::metadata(home.path("settings")).unwrap().permissions().mode() & 0o777, 0o600);
    drop(process);
    // Another program may have it meanwhile; on a machine where nobody does, it is the same.
    let (_process, again) = start();
    let noted = format!("window-port={again}\n");
    assert!(fs::read_to_string(home.path("settings")).unwrap().ends_with(&noted));
}

#[test]
fn a_port_that_is_taken_is_an_error_if_it_was_named() {
    let home = Home::new("alice");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = home.fails(&["window", "--no-open", "--port", &port], 1);
    assert!(said.contains("cannot listen") && said.contains("--port N"), "{said}");
    // Nothing was noted of it.
    assert!(!home.path("settings").exists());
}

#[test]
fn over_ssh_it_says_how_to_get_there() {
    let home = Home::new("alice");
    let mut command = home.cmd(&["window", "--port", "0", "--listen", "127.0.0.1:0"]);
    command.env("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.7 22").env("USER", "alice");
    let mut process = Process::start(command);
    let (port, _) = parts(&process.wait_for("http://"));
    let said = process.wait_to_say("ssh -N");
    assert_eq!(said, format!("ssh -N -L {port}:127.0.0.1:{port} alice@192.0.2.7"));
}

/// The file has the secret of the door; the page's own address has none.
#[test]
fn another_user_gets_no_code() {
    let home = Home::new("alice");
    let (process, address) = Window::process(&home, &["--listen", "127.0.0.1:0"]);
    let (port, code) = parts(&address);
    let lock = home.path("window.lock");
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&lock).unwrap();
    assert!(secret.starts_with("control ") && !secret.contains(&code));
    let as_nobody = |command: &str| {
        let mut other = Command::new("setpriv");
        other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-c", command]);
        other.output().unwrap()
    };
    if !as_nobody("exit 0").status.success() {
        return skip("no other user: this needs root and setpriv");
    }
    let read = as_nobody(&format!("cat {}", lock.display()));
    assert!(!read.status.success() && read.stdout.is_empty());
    // Who has seen the code on a command line gets nothing for it, and does not use it up.
    let body = format!("code={code}");
    let request = format!(
        "POST /api/session HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nConnection: close\\r\\nContent-Length: {}\\r\\n\\r\\n{body}",
        body.len()
    );
    let asked = as_nobody(&format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{request}' >&3; cat <&3"));
    let answer = String::from_utf8_lossy(&asked.stdout);
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let window = Window { process, port, token: String::new() };
    assert_eq!(window.trade(&code).status, 200);
}
