//! What is typed in a chat and is no message: commands, and links.

use std::fs;

use crate::common::{EGOAT, Home, finish, paired, poll_until};
use crate::terminal::{Chat, USUAL, with_bob};

/// A link of this home's node.
fn link_of(home: &Home) -> String {
    let id = home.run(&["id"]);
    id.lines().find_map(|line| line.strip_prefix("link")).unwrap().trim().to_owned()
}

#[test]
fn help_fits_a_small_screen() {
    let Some((chat, _alice, _bob, _node)) = with_bob() else { return };
    for (columns, rows) in [(80, 24), (60, 20)] {
        chat.resize(columns, rows);
        for (topic, first, last) in [
            ("", "-- talk:   /to /msg", "/keys what the keys do"),
            (" talk", "-- /to NAME ", "-- /cancel [N] "),
            (" people", "-- /who ", "-- /mute [NAME] "),
            (" files", "-- /send PATH...", "-- /stop [N] "),
            (" chat", "-- /nick NAME ", "-- /quit "),
            (" /mute", "-- /mute [NAME]  mute a peer", "-- /mute [NAME]"),
            (" mute", "-- /mute [NAME]  mute a peer", "-- /mute [NAME]"),
        ] {
            chat.line("/clear");
            chat.wait("an empty screen", || (!chat.terminal.screen().contains("-- ")).then_some(()));
            chat.line(&format!("/help{topic}"));
            assert!(
                chat.see(last).contains(first),
                "{topic} is longer than the screen: {}",
                chat.terminal.screen()
            );
        }
    }
    chat.line("/help nonsense");
    chat.see("-- nonsense is no command");
}

#[test]
fn a_peer_is_muted_and_so_are_all_while_away() {
    let (alice, bob, carol) = (Home::new("alice"), Home::new("bob"), Home::new("carol"));
    let _nodes = [bob.serve(), carol.serve()];
    for home in [&bob, &carol] {
        alice.run(&["join", home.run(&["invite"]).trim_end()]);
    }
    let told = alice.path("told");
    let program = alice.script("script", &format!("cat >>{}; echo >>{0}", told.display()));
    let Some(chat) = Chat::open(&alice, USUAL, &format!("--notify {program} bob")) else { return };
    chat.see_input("bob (here)>");
    // What is mentioned rings, unless it is muted; in the end everything before has had its turn.
    let says = |home: &Home, text: &str| {
        home.run(&["say", "--wait", "10s", "alice", &format!("alice: {text}")]);
    };
    let is_told = |text: &str| {
        poll_until(text, || fs::read_to_string(&told).ok().filter(|told| told.contains(text)).map(drop));
    };
    chat.line("/mute");
    chat.see("-- bob is muted");
    assert!(fs::read_to_string(alice.path("peers")).unwrap().contains(" mute=yes"));
    chat.line("/who");
    chat.see("1 bob    here, direct, muted");
    says(&bob, "not while muted");
    chat.see("bob: alice: not while muted");
    says(&carol, "of somebody else");
    is_told("of somebody else");
    chat.line("/mute bob");
    chat.see("-- bob is not muted any more");
    assert!(!fs::read_to_string(alice.path("peers")).unwrap().contains("mute"));
    chat.line("/away at lunch");
    chat.see_input("[carol 1] muted, bob (here)>");
    says(&bob, "not while away");
    chat.see("bob: alice: not while away");
    chat.line("/away");
    chat.see_input("[carol 1] bob (here)>");
    says(&bob, "in the end");
    is_told("in the end");
    assert!(!fs::read_to_string(&told).unwrap().contains("not while"));

    alice.run(&["peers", "set", "bob", "mute=yes"]);
    chat.line("/who");
    chat.see("bob    here, direct, muted");
    alice.fails(&["peers", "set", "bob", "mute=perhaps"], 2);
}

#[test]
fn an_invite_names_who_joins_by_it() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    chat.line("/invite no/name");
    chat.see("-- no/name is no name");
    chat.line("/invite dave");
    chat.see("-- give this link to dave, and to nobody else; it works once, for a day:");
    let screen = chat.terminal.screen();
    let link = screen.lines().find(|row| row.starts_with("egoat:")).unwrap();
    Home::new("carol").run(&["join", link.trim_end()]);
    chat.see("-- paired with dave");
    assert!(alice.run(&["peers"]).contains("dave "));
}

/// Words of other chats lead to the command that does it here.
#[test]
fn words_of_other_chats_are_known() {
    let Some((chat, _alice, _bob, _node)) = with_bob() else { return };
    for (line, told) in [
        ("/join #rust", "-- there are no channels here: /to NAME talks to a peer"),
        ("/exit", "-- /exit is no command here; /quit leaves"),
        ("/query bob", "-- /query is no command here; /to NAME talks to NAME"),
        ("/part", "-- /part is no command here; /quit leaves, and /to NAME talks to another"),
        ("/whois bob", "-- /whois is no command here; /who lists the peers"),
    ] {
        chat.line(line);
        chat.see(told);
    }
}

/// An emptied screen has one prompt, and so has the scrollback of tmux: it keeps what was on the screen.
#[test]
fn an_emptied_screen_leaves_no_prompt_behind() {
    let Some((chat, _alice, bob, _node)) = with_bob() else { return };
    for number in 0..3 {
        chat.text("a draft");
        chat.see_input("bob (here)> a draft");
        chat.keys(&["C-l"]);
        bob.run(&["say", "alice", &format!("message {number}")]);
        chat.see(&format!("bob: message {number}"));
        chat.keys(&["C-l"]);
        // A live part of another height is drawn anew from the first row.
        chat.keys(&["M-Enter"]);
        chat.keys(&["C-u", "BSpace", "C-u"]);
        chat.see_input("bob (here)>");
    }
    let all = chat.terminal.tmux(&["capture-pane", "-p", "-S", "-"]).unwrap();
    assert_eq!(all.matches("bob (here)>").count(), 1, "{all}");
    assert_eq!(all.matches("bob: message").count(), 3, "{all}");
}

#[test]
fn this_node_gets_another_name() {
    let Some((chat, alice, _bob, _node)) = with_bob() else { return };
    chat.line("/nick");
    chat.see("-- you are called alice");
    chat.keys(&["C-u"]);
    chat.line("/nick no/name");
    chat.see("-- no/name is no name");
    chat.keys(&["C-u"]);
    chat.line("/nick alicia");
    chat.see("-- new peers know you as alicia");
    assert!(alice.run(&["id"]).contains("alicia"));
}

#[test]
fn a_link_is_asked_about_and_sent_to_nobody() {
    let Some((chat, alice, bob, _node)) = with_bob() else { return };
    let carol = Home::new("carol");
    let _carol_node = carol.serve();
    let link = carol.run(&["invite"]).trim_end().to_owned();
    chat.line(&link);
    chat.see("-- this is an invite link of the node");
    chat.see_input("join: yes or no>");
    chat.line("no");
    chat.see("-- then nothing was joined, and the link was sent to nobody");
    for own in [link_of(&alice), format!("/msg bob {}", link_of(&alice))] {
        chat.line("/clear");
        chat.line(&own);
        chat.see("-- this link is this node's own");
        chat.keys(&["C-u"]);
    }
    // What a mail program or a hand has cut has a secret in it all the same.
    chat.line(&link[..80]);
    chat.see("it was not sent");
    chat.keys(&["C-u"]);
    chat.paste(&format!("{link}\n"));
    chat.see(&link[..40]);
    // A paste takes the Enter that follows at once.
    chat.wait("the question", || {
        chat.keys(&["Enter"]);
        chat.input().starts_with("join:").then_some(())
    });
    chat.line("yes");
    chat.see("paired with carol");
    chat.line("/to bob");
    chat.see_input("bob (here)>");
    chat.line("the last one");
    poll_until("the last message", || (!bob.received().is_empty()).then_some(()));
    assert_eq!(bob.received(), ["the last one"]);
    assert!(carol.received().is_empty());
}

#[test]
fn line_mode_sends_neither_links_nor_commands() {
    let (alice, _alice_node, bob, _bob_node) = paired();
    let carol = Home::new("carol");
    let _carol_node = carol.serve();
    let link = carol.run(&["invite"]).trim_end().to_owned();

    let lines =
        format!("{link}\n{}\n/msg bob {link}\n/nick x\n/away\n/mute bob\n/help\nhello\n", &link[..80]);
    let (_, said) = finish(alice.cmd(&["chat", "bob"]), lines.as_bytes(), 0);
    assert_eq!(said.matches("was not sent: it is a link; `egoat join` takes it").count(), 1, "{said}");
    assert_eq!(said.matches("it is a link; `egoat join` takes it").count(), 2, "{said}");
    assert!(said.contains("was not sent: this is no link"), "{said}");
    for name in ["/nick", "/away", "/mute", "/help"] {
        assert!(said.contains(&format!("this line was not sent: {name} works on a terminal")), "{said}");
    }
    assert_eq!(bob.received(), ["hello"]);

    let Some(chat) = Chat::shell(USUAL) else { return };
    chat.line(&format!("clear; TERM=dumb {EGOAT} --home {} chat bob", alice.path("").display()));
    chat.line("/help");
    chat.see("egoat: talk:   /to /msg");
    chat.line("/mute");
    chat.see("egoat: bob is muted");
    chat.line(&link);
    chat.see("egoat: this is an invite link of the node");
    chat.line("y");
    chat.see("egoat: paired with carol");
    // A link of our own stands alone, for copying.
    chat.line("/invite");
    chat.wait("a link", || {
        chat.terminal
            .screen()
            .lines()
            .any(|row| row.starts_with("egoat:") && row.contains("@127.0.0.1:"))
            .then_some(())
    });
    chat.line("/q");
    chat.see_input("$");
    assert_eq!(bob.received(), ["hello"]);
}
