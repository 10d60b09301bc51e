//! Where a node listens when nobody has said where.

use crate::common;

use common::lan::Lan;
use common::{Home, Process, finish, json_number, json_text, poll_until};
use std::fs;
use std::process::Command;

fn serve(lan: &Lan, home: &Home, args: &[&str]) -> Process {
    Process::start(lan.cmd(home.cmd(&[&["serve"], args].concat())))
}

fn listen_of(home: &Home) -> String {
    fs::read_to_string(home.path("listen")).unwrap_or_default()
}

#[test]
fn a_node_takes_the_first_free_port_and_keeps_it() {
    let Some(lan) = Lan::new() else { return };
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut first = serve(&lan, &alice, &[]);
    first.wait_for("listening on [::]:4628");
    first.wait_to_say("this node has port 4628 from now on");
    let mut second = Process::start(lan.cmd(bob.cmd(&["--json", "serve"])));
    assert_eq!(json_text(&second.wait_for("{\"event\":\"listening\""), "address"), "[::]:4629");
    let chosen = second.wait_for("{\"event\":\"port\"");
    assert_eq!(json_number(&chosen, "port"), 4629);
    assert_eq!(json_text(&chosen, "file"), bob.path("listen").to_str().unwrap());
    second.wait_to_say("this node has port 4629 from now on");
    assert_eq!([listen_of(&alice), listen_of(&bob)], ["4628\n", "4629\n"]);

    // It keeps the port when a better one is free, and says nothing of it.
    first.kill9();
    second.kill9();
    let mut again = serve(&lan, &bob, &[]);
    again.wait_for("listening on [::]:4629");
    assert_eq!(again.kill9(), "");
}

#[test]
fn a_named_port_that_is_taken_is_an_error_whose_hint_works() {
    let Some(lan) = Lan::new() else { return };
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let mut node = serve(&lan, &alice, &[]);
    node.wait_for("listening on [::]:4628");
    let fails = |args: &[&str]| finish(lan.cmd(bob.cmd(args)), b"", 1).1;

    for (typed, free) in
        [("4628", "4629"), ("127.0.0.1:4628", "127.0.0.1:4629"), ("[::1]:4628", "[::1]:4629")]
    {
        let said = fails(&["serve", "--listen", typed]);
        assert!(said.contains("port 4628: address already in use"), "{said}");
        assert!(said.contains(&format!("give --listen {free}, which is free")), "{said}");
        serve(&lan, &bob, &["--listen", free]).wait_for("listening on ");
        assert_eq!(listen_of(&bob), "", "an option is for one start");
    }

    bob.run(&["invite", "--addr", "192.0.2.1"]);
    fs::write(bob.path("listen"), "127.0.0.1:4628\n").unwrap();
    let expected = format!("write 127.0.0.1:4629 into {}, which is free", bob.path("listen").display());
    let said = fails(&["serve"]);
    assert!(said.contains(&expected), "{said}");
    // A chat is of use without it.
    let chat = Process::start(lan.cmd(bob.cmd(&["chat"])));
    chat.wait_to_say("and it keeps trying");
    chat.wait_to_say(&expected);
    drop(chat);
    fs::write(bob.path("listen"), "alice\n").unwrap();
    let said = fails(&["serve"]);
    assert!(said.contains(&format!("write 4628 into {}", bob.path("listen").display())), "{said}");
    fs::write(bob.path("listen"), "70000\n").unwrap();
    let said = finish(lan.cmd(bob.cmd(&["serve"])), b"", 2).1;
    assert!(
        said.contains(&format!("cannot use {}: 70000 is no address", bob.path("listen").display())),
        "{said}"
    );
}

/// `egoat serve & egoat invite`: whichever is first, the link leads to the node.
#[test]
fn a_link_that_is_made_before_the_first_node_leads_to_it() {
    let Some(lan) = Lan::new() else { return };
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let mut other = serve(&lan, &carol, &[]);
    other.wait_for("listening on [::]:4628");
    let (link, said) = finish(lan.cmd(alice.cmd(&["invite"])), b"", 0);
    assert!(said.contains("this node has port 4629 from now on"), "{said}");
    assert!(link.trim_end().ends_with(":4629"), "{link}");
    let mut node = serve(&lan, &alice, &[]);
    node.wait_for("listening on [::]:4629");
    finish(lan.cmd(bob.cmd(&["join", link.trim_end()])), b"", 0);

    let both = Home::new("both");
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" --home \"$1\" serve & \"$0\" --home \"$1\" invite; cat; kill $!"]);
    shell.arg(common::EGOAT).arg(both.path(""));
    let mut shell = Process::start(lan.cmd(shell));
    let mut lines = [shell.next_line().unwrap(), shell.next_line().unwrap()];
    lines.sort();
    assert!(lines[0].starts_with("egoat:") && lines[0].ends_with(":4630"), "{lines:?}");
    assert_eq!(lines[1], "listening on [::]:4630");
    let joined = finish(lan.cmd(bob.cmd(&["join", "--as", "both", &lines[0]])), b"", 0);
    assert!(joined.0.starts_with("paired with both"), "{joined:?}");
    assert_eq!(shell.end().0, Some(0));
}

#[test]
fn a_port_alone_stays_on_loopback_with_a_proxy() {
    let Some(lan) = Lan::new() else { return };
    let alice = Home::new("alice");
    serve(&lan, &alice, &[]).wait_for("listening on [::]:4628");
    fs::write(alice.path("proxy"), "socks5://127.0.0.1:9050\n").unwrap();
    poll_until("the old port to be free", || {
        let mut node = serve(&lan, &alice, &[]);
        node.next_line().map(|line| assert_eq!(line, "listening on 127.0.0.1:4628"))
    });
}
