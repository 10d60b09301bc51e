//! Programs that are run for what arrives: for everything at least once and in order, whatever becomes of them and of the
//! node, with what a peer wrote as data and nothing else.

use crate::common;

use common::logs::{self, numbered};
use common::strace::{self, Fault, Faulty};
use common::{EGOAT, Home, Node, PATIENCE, Process, by, count, json_number, json_text, pair, poll_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use egoat::node::hooks::program::{Program, RunOutcome};

const MIB: usize = 1 << 20;
const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A program beside the home, which it finds in EGOAT_HOME.
fn script(home: &Home, body: &str) -> String {
    home.script("hook", body)
}

/// What the programs have written to a file in the home.
fn told(home: &Home) -> String {
    fs::read_to_string(home.path("told")).unwrap_or_default()
}

fn serve(home: &Home, option: &str, program: &str) -> Node {
    home.serve_with(&[&LISTEN[..], &[option, program]].concat())
}

fn serve_json(home: &Home, option: &str, program: &str) -> Process {
    let mut process =
        Process::start(home.cmd(&[&["--json", "serve"], &LISTEN[..], &[option, program]].concat()));
    process.wait_for("{\"event\":\"listening\"");
    process
}

/// Alice, who runs a program for messages, and bob, who says something now and then.
fn alice_and_bob(body: &str) -> (Home, Node, Home) {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let node = serve(&alice, "--on-message", &script(&alice, body));
    pair(&alice, &bob);
    (alice, node, bob)
}

/// Alice with saved peers, from whom messages come as the test writes them.
fn alice_with(peers: &[&str]) -> Home {
    let alice = Home::new("alice");
    for peer in peers {
        alice.run(&["peers", "add", peer, &Home::new(peer).key()]);
    }
    alice
}

fn say(from: &Home, text: &[u8]) {
    from.pipe(&["say", "--wait", "60s", "alice"], text);
}

fn wait_for_lines(home: &Home, count: usize) -> Vec<String> {
    poll_until("the programs to be run", || {
        let text = told(home);
        // The last line may be half written.
        (text.matches('\n').count() >= count).then(|| text.lines().map(str::to_owned).collect())
    })
}

#[test]
fn a_message_is_on_stdin_and_the_rest_in_the_environment() {
    let body = "printf '%s|' \"$EGOAT_PEER\" \"$EGOAT_KEY\" \"$EGOAT_ID\" \"$EGOAT_SIZE\" \"$EGOAT_TIME\" \
                \"${EGOAT_PATH-none}\" $# >$EGOAT_HOME/../env; cat >$EGOAT_HOME/../text; echo done >>$EGOAT_HOME/../told";
    let (alice, mut node, bob) = alice_and_bob(body);
    let hostile: &[u8] =
        b"$(touch pwned) `touch pwned`; touch pwned\n\"'\x1b[2J\xc3\xbf\0 EGOAT_PEER=root\n| x";
    say(&bob, hostile);
    let line = node.wait_for("hook for message ");
    wait_for_lines(&alice, 1);
    assert_eq!(fs::read(alice.path("text")).unwrap(), hostile);
    let log = alice.run(&["--json", "log"]);
    let (number, seconds) = (json_number(&log, "number"), json_number(&log, "time") / 1_000_000);
    let expected = format!("bob|{}|{number}|{}|{seconds}|none|0|", bob.key(), hostile.len());
    assert_eq!(fs::read_to_string(alice.path("env")).unwrap(), expected);
    assert_eq!(line, format!("hook for message {number} from bob: done"));
    assert!(!Path::new("pwned").exists());
}

#[test]
fn what_it_prints_goes_to_stderr_and_what_became_of_it_to_stdout() {
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    let program = script(
        &alice,
        "echo to stdout; echo to stderr >&2; test ! -e $EGOAT_HOME/../told && touch $EGOAT_HOME/../told && exit 7; exit 0",
    );
    let mut node = serve_json(&alice, "--on-message", &program);
    logs::receive(&own, "bob", &["a"]);
    let first = node.next_line().unwrap();
    let second = node.next_line().unwrap();
    let number = json_number(&alice.run(&["--json", "log"]), "number");
    let begin = |status| {
        format!(
            "{{\"event\":\"hook\",\"peer\":\"bob\",\"kind\":\"message\",\"number\":{number},\"path\":null,\"status\":{status},\"error\":null,\"milliseconds\":"
        )
    };
    assert!(
        first.starts_with(&begin(7)) && json_number(&first, "next") > json_number(&second, "next"),
        "{first}"
    );
    assert!(second.starts_with(&begin(0)) && second.ends_with(",\"next\":0}"), "{second}");
    let said = node.kill9();
    assert_eq!(said, "to stdout\nto stderr\nto stdout\nto stderr\n");
}

#[test]
fn a_program_that_fails_twice_is_run_a_third_time_and_what_follows_waits() {
    let body =
        "echo \"$EGOAT_ID $(cat)\" >>$EGOAT_HOME/../told; test $(grep -c first $EGOAT_HOME/../told) = 3";
    let (alice, mut node, bob) = alice_and_bob(body);
    say(&bob, b"first");
    say(&bob, b"second");
    assert!(node.wait_for("hook for ").contains(" from bob: exit status 1, again in "));
    assert!(node.wait_for("hook for ").contains(" from bob: exit status 1, again in "));
    assert!(node.wait_for("hook for ").ends_with(" from bob: done"));
    assert!(node.wait_for("hook for ").ends_with(" from bob: done"));
    let lines = wait_for_lines(&alice, 4);
    let words: Vec<&str> = lines.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(words, ["first", "first", "first", "second"]);
    let ids: Vec<u64> = lines.iter().map(|line| line.split_once(' ').unwrap().0.parse().unwrap()).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[3] > ids[0], "{ids:?}");
}

#[test]
fn many_messages_of_a_peer_are_dealt_with_in_order_and_once() {
    let (alice, mut node, bob) = alice_and_bob("text=$(cat); echo \"$text\" >>$EGOAT_HOME/../told");
    let texts = numbered(0, 100);
    bob.pipe(&["say", "--wait", "60s", "--lines", "alice"], texts.join("\n").as_bytes());
    assert_eq!(wait_for_lines(&alice, 100), texts);
    // All of it is noted: the next one is the only one after a restart.
    for _ in 0..100 {
        node.wait_for("hook for ");
    }
    node.kill9();
    let _node = serve(&alice, "--on-message", alice.path("hook").to_str().unwrap());
    logs::receive(&logs::open(&alice), "bob", &["last"]);
    assert_eq!(wait_for_lines(&alice, 101)[100..], ["last"]);
}

#[test]
fn a_message_whose_program_ran_when_the_node_was_killed_is_given_again() {
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    // One that goes on without its node must not keep the outputs of that open, nor run for ever.
    let body = "exec >/dev/null 2>&1; echo \"$(cat)\" >>$EGOAT_HOME/../told
                while test -e $EGOAT_HOME/../told && test ! -e $EGOAT_HOME/../go; do sleep 0.02; done";
    let program = script(&alice, body);
    let mut node = serve(&alice, "--on-message", &program);
    logs::receive(&own, "bob", &numbered(0, 3));
    for round in 1..4 {
        assert_eq!(wait_for_lines(&alice, round), vec!["message 0"; round]);
        node.kill9();
        node = serve(&alice, "--on-message", &program);
    }
    wait_for_lines(&alice, 4);
    fs::write(alice.path("go"), "").unwrap();
    assert_eq!(wait_for_lines(&alice, 6)[4..], ["message 1", "message 2"]);
}

#[test]
fn killed_at_any_call_of_the_note_it_repeats_and_loses_nothing() {
    if !strace::works() {
        return;
    }
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    let program = script(&alice, "text=$(cat); echo \"$text\" >>$EGOAT_HOME/../told");
    serve(&alice, "--on-message", &program).kill9();
    let cursor = alice.path("on-message.cursor");
    let new = alice.path("on-message.cursor.new");
    let mut expected = Vec::new();
    for (number, call) in ["openat", "write", "fsync", "rename"].into_iter().enumerate() {
        let fault = Fault { call, how: strace::KILL, nth: 1, on: vec![new.clone(), cursor.clone()] };
        // The cursor itself is opened to be read at the start.
        let fault = if call == "openat" { Fault { on: vec![new.clone()], ..fault } } else { fault };
        logs::receive(&own, "bob", &numbered(number, number + 1));
        let args = [&["serve"], &LISTEN[..], &["--on-message", &program]].concat();
        let mut faulty = Faulty::start(&alice, &args, &fault);
        poll_until("the fault", || faulty.was_hit().then_some(()));
        faulty.stop();
        let mut node = serve(&alice, "--on-message", &program);
        node.wait_for("hook for message");
        node.kill9();
        expected.extend([format!("message {number}"), format!("message {number}")]);
        assert_eq!(told(&alice).lines().collect::<Vec<_>>(), expected, "{call}");
    }
}

#[test]
fn no_more_than_four_run_at_once_and_one_of_each_peer() {
    let peers = ["p0", "p1", "p2", "p3", "p4", "p5", "p6"];
    let alice = alice_with(&peers);
    let own = logs::open(&alice);
    fs::create_dir(alice.path("running")).unwrap();
    let body = "exec 2>/dev/null >&2; cd $EGOAT_HOME/..; mkdir running/$EGOAT_PEER || echo twice >>told; ls running | wc -l >>counts
                while test -e counts && test ! -e go; do sleep 0.02; done; rmdir running/$EGOAT_PEER; echo $EGOAT_PEER >>told";
    let mut node = serve(&alice, "--on-message", &script(&alice, body));
    for peer in peers {
        logs::receive(&own, peer, &["a", "b", "c"]);
    }
    let counts = || fs::read_to_string(alice.path("counts")).unwrap_or_default();
    poll_until("four of them", || (counts().lines().count() == 4).then_some(()));
    // Nothing of it holds up the node, and who waits is known by the name of then.
    let waits = peers.iter().find(|peer| !alice.path("running").join(peer).exists()).unwrap();
    alice.run(&["peers", "rename", waits, "last"]);
    fs::write(alice.path("go"), "").unwrap();
    let lines = wait_for_lines(&alice, 21);
    for _ in 0..21 {
        node.wait_for("hook for message");
    }
    assert!(lines.iter().all(|line| line != "twice"), "{lines:?}");
    // The first of its messages may have been on its way before it was renamed.
    assert!(lines.iter().filter(|line| *line == "last").count() >= 2, "{lines:?}");
    let most = counts().lines().map(|line| line.trim().parse::<usize>().unwrap()).max();
    assert_eq!(most, Some(4));
}

#[test]
fn what_never_succeeds_holds_up_neither_others_nor_the_node() {
    let body = "test $EGOAT_PEER != bob && text=$(cat) && echo \"$text\" >>$EGOAT_HOME/../told";
    let (alice, mut node, bob) = alice_and_bob(body);
    let carol = Home::new("carol");
    pair(&alice, &carol);
    say(&bob, b"never");
    for text in ["one", "two", "three"] {
        say(&carol, text.as_bytes());
        say(&bob, b"never");
    }
    assert_eq!(wait_for_lines(&alice, 3), ["one", "two", "three"]);
    let tries: Vec<String> = (0..3).map(|_| node.wait_for("hook for ")).collect();
    let pauses = tries.iter().filter(|line| line.contains("from bob: exit status 1, again in")).count();
    assert!(pauses > 0, "{tries:?}");
    assert_eq!(alice.received().len(), 7);
}

#[test]
fn a_large_message_need_not_be_read() {
    for (body, expected) in [
        ("echo nothing >>$EGOAT_HOME/../told", "nothing"),
        ("head -c 3 >>$EGOAT_HOME/../told; echo >>$EGOAT_HOME/../told", "xxx"),
        ("wc -c >>$EGOAT_HOME/../told", "1048576"),
    ] {
        let (alice, mut node, bob) = alice_and_bob(body);
        say(&bob, &vec![b'x'; MIB]);
        assert!(node.wait_for("hook for ").ends_with(": done"));
        assert_eq!(wait_for_lines(&alice, 1)[0].trim(), expected);
    }
}

#[test]
fn a_file_is_in_place_when_its_program_runs() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let body = "printf '%s|' \"$EGOAT_PEER\" \"$EGOAT_SIZE\" \"$EGOAT_PATH\" \"$(cat)\" \"$EGOAT_ID\" >>$EGOAT_HOME/../told
                if test -d \"$EGOAT_PATH\"; then ls \"$EGOAT_PATH\"; else cat \"$EGOAT_PATH\"; fi >>$EGOAT_HOME/../told";
    let mut node = serve(&alice, "--on-file", &script(&alice, body));
    pair(&alice, &bob);
    let names = ["a b;$(x)'.txt", "-n", "ünï"];
    let mut id = 0;
    for name in names {
        bob.run(&["send", "alice", &bob.file(name, "content\n")]);
        let path = alice.path("downloads/bob").join(name);
        let line = node.wait_for("hook for file ");
        assert_eq!(line, format!("hook for file {} from bob: done", path.display()));
        let last = wait_for_lines(&alice, 1).pop().unwrap();
        let fields: Vec<&str> = last.split('|').collect();
        assert_eq!(fields[..4], ["bob", "8", path.to_str().unwrap(), ""]);
        assert_eq!(fields[5], "content");
        let number: u64 = fields[4].parse().unwrap();
        assert!(number > std::mem::replace(&mut id, number));
        fs::remove_file(alice.path("told")).unwrap();
    }
    let dir = bob.path("many");
    fs::create_dir(&dir).unwrap();
    for name in ["x", "y"] {
        fs::write(dir.join(name), "12345").unwrap();
    }
    bob.run(&["send", "alice", dir.to_str().unwrap()]);
    let lines = wait_for_lines(&alice, 2);
    let path = alice.path("downloads/bob/many");
    assert!(
        lines[0].starts_with(&format!("bob|10|{}||", path.display())) && lines[0].ends_with("|x"),
        "{lines:?}"
    );
    // A message is nothing to it.
    say(&bob, b"hello");
    bob.run(&["send", "alice", &bob.file("last", "x\n")]);
    assert!(wait_for_lines(&alice, 3)[2].ends_with("|x"));
    assert!(!alice.path("on-message.cursor").exists());
}

#[test]
fn it_begins_with_what_arrives_and_goes_on_with_what_came_without_it() {
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    let program = script(&alice, "text=$(cat); echo \"$text\" >>$EGOAT_HOME/../told");
    logs::receive(&own, "bob", &["long ago"]);
    let mut node = serve(&alice, "--on-message", &program);
    let mode = fs::metadata(alice.path("on-message.cursor")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    logs::receive(&own, "bob", &["one"]);
    assert_eq!(wait_for_lines(&alice, 1), ["one"]);
    node.wait_for("hook for");
    node.kill9();
    let mut node = alice.serve();
    logs::receive(&own, "bob", &["two"]);
    node.kill9();
    logs::receive(&own, "bob", &["three"]);
    // Of a new peer, all has arrived since.
    alice.run(&["peers", "add", "carol", &Home::new("carol").key()]);
    logs::receive(&own, "carol", &["four"]);
    let mut node = serve(&alice, "--on-message", &program);
    let mut lines = wait_for_lines(&alice, 4);
    lines[1..].sort();
    assert_eq!(lines, ["one", "four", "three", "two"]);
    for _ in 0..3 {
        node.wait_for("hook for");
    }
    node.kill9();
    // A cursor can be looked at with `log`, and removed.
    let cursor = alice.path("on-message.cursor");
    assert_eq!(alice.run(&["log", "--cursor", cursor.to_str().unwrap()]), "");
    fs::remove_file(&cursor).unwrap();
    let mut node = serve(&alice, "--on-message", &program);
    logs::receive(&own, "bob", &["five"]);
    assert_eq!(wait_for_lines(&alice, 5)[4], "five");
    node.wait_for("hook for");
    node.kill9();
    // One that is damaged is not guessed at.
    fs::write(&cursor, "E-Goat cursor 1\njunk\n").unwrap();
    let error = alice.fails(&[&["serve"], &LISTEN[..], &["--on-message", &program]].concat(), 74);
    assert!(error.contains("on-message.cursor is damaged"), "{error}");
    assert_eq!(fs::read_to_string(&cursor).unwrap(), "E-Goat cursor 1\njunk\n");
}

#[test]
fn who_comes_back_has_said_nothing_new() {
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    let key = logs::key(&own, "bob").to_string();
    logs::receive(&own, "bob", &logs::numbered(0, 7));
    alice.run(&["peers", "remove", "bob"]);
    let program = script(&alice, "text=$(cat); echo \"$text\" >>$EGOAT_HOME/../told");
    let mut node = serve(&alice, "--on-message", &program);
    alice.run(&["peers", "add", "bob", &key]);
    logs::receive(&own, "bob", &["new"]);
    assert_eq!(wait_for_lines(&alice, 1), ["new"]);
    node.wait_for("hook for");
    node.kill9();
    assert_eq!(told(&alice), "new\n");
}

#[test]
fn no_secret_reaches_a_program() {
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    let secret = alice.file("secret", "correct horse\n");
    // The path of the program is no text for a shell either.
    let dir = alice.path("a $(touch pwned) \"'b");
    fs::create_dir(&dir).unwrap();
    let body = "env >$EGOAT_HOME/../env; ls -l /proc/self/fd >$EGOAT_HOME/../fds; cat >>$EGOAT_HOME/../told; echo $# >>$EGOAT_HOME/../told";
    let program = dir.join("hook");
    fs::rename(script(&alice, body), &program).unwrap();
    for number in [3, 9] {
        let shell = format!("exec {number}<'{secret}'; export EGOAT_PASSPHRASE_FD={number}; exec \"$@\"");
        let words = ["sh", "-c", &shell, "sh"];
        let args = [&["serve"], &LISTEN[..], &["--on-message", program.to_str().unwrap()]].concat();
        let mut node = Process::start(by(&words, &alice.cmd(&args)));
        node.wait_for("listening on");
        logs::receive(&own, "bob", &["text"]);
        assert!(node.wait_for("hook for").ends_with(": done"));
        node.kill9();
        let (env, fds) = ["env", "fds"].map(|name| fs::read_to_string(alice.path(name)).unwrap()).into();
        assert!(!env.contains("PASSPHRASE") && env.contains("EGOAT_PEER=bob"), "{env}");
        assert!(!fds.contains("secret"), "{fds}");
        assert_eq!(std::mem::take(&mut told(&alice)), "text0\n");
        fs::remove_file(alice.path("told")).unwrap();
    }
    let shell = "exec \"$@\"";
    let words = ["bash", "-c", &format!("exec 10<'{secret}'; EGOAT_PASSPHRASE_FD=10 {shell}"), "sh"];
    let args = ["serve", "--on-message", program.to_str().unwrap()];
    let mut node = Process::start(by(&words, &alice.cmd(&args)));
    let (status, _, error) = node.end();
    assert_eq!(status, Some(2), "{error}");
    assert!(error.contains("EGOAT_PASSPHRASE_FD is to be at most 9"), "{error}");
}

#[test]
fn what_cannot_be_started_is_tried_again() {
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    let error = alice.fails(&["serve", "--on-message", "/nowhere/hook"], 2);
    assert!(error.contains("there is no program /nowhere/hook") && error.contains("hint: "), "{error}");
    alice.fails(&["serve", "--on-file", "/bin/echo with arguments"], 2);
    alice.fails(&["chat", "--notify", "/nowhere/hook", "bob"], 2);
    let program = script(&alice, "kill -9 $$");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o600)).unwrap();
    let mut node = serve_json(&alice, "--on-message", &program);
    logs::receive(&own, "bob", &["a"]);
    let line = node.next_line().unwrap();
    assert!(line.contains("\"status\":null,\"error\":\"could not be started: permission denied\""), "{line}");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(json_text(&node.next_line().unwrap(), "error"), "killed by signal 9");
    script(&alice, "exit 0");
    let line = node.next_line().unwrap();
    assert!(line.contains("\"status\":0,\"error\":null"), "{line}");
}

/// The limit of the programs that a node runs is a minute; here it is short.
#[test]
fn what_takes_too_long_is_killed_with_all_that_it_started() {
    let home = Home::new("alice");
    let path = script(
        &home,
        &format!("sleep 1000 & echo $! >{0}; echo $$ >>{0}; wait", home.path("pids").display()),
    );
    let program = Program::new(&path, Duration::from_millis(500), false).unwrap();
    let began = Instant::now();
    // Its input is more than a pipe holds, and nobody reads it.
    let outcome = program.run(&[], vec![0; MIB]);
    assert!(matches!(&outcome, RunOutcome::Failed(why) if why == "took longer than 500 ms"), "{outcome:?}");
    assert!(began.elapsed() < PATIENCE);
    let pids = fs::read_to_string(home.path("pids")).unwrap();
    for pid in pids.lines() {
        // Gone, or waiting to be buried by whoever adopted it.
        poll_until("its end", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
}

#[test]
fn those_who_never_let_go_of_their_input_do_not_fill_the_memory() {
    let home = Home::new("alice");
    // It leaves its group, and keeps the pipe.
    let path = script(&home, "exec 3<&0; setsid sleep 20 <&3 >/dev/null 2>&1 & exit 0");
    let program = Program::new(&path, Duration::from_secs(20), false).unwrap();
    let ends: Vec<bool> = (0..20).map(|_| program.run(&[], vec![0; MIB]).is_done()).collect();
    assert_eq!(ends.iter().filter(|is_done| **is_done).count(), 16, "{ends:?}");
    assert!(ends[..16].iter().all(|is_done| *is_done), "{ends:?}");
}

#[test]
fn a_program_can_answer_from_the_same_home() {
    let (alice, bob) = (Home::new("alice"), Home::new("bob"));
    let body = format!("{EGOAT} -q say --id \"answer $EGOAT_ID\" \"$EGOAT_PEER\" \"you said $(cat)\"");
    let _node = serve(&alice, "--on-message", &script(&alice, &body));
    let mut bob_node = bob.serve();
    pair(&alice, &bob);
    say(&bob, b"ping");
    assert_eq!(bob_node.wait_for("message from"), "message from alice: you said ping");
}

#[test]
#[ignore = "takes a minute: make check-net"]
fn a_minute_is_the_limit() {
    let alice = alice_with(&["bob", "carol"]);
    let own = logs::open(&alice);
    let program = script(
        &alice,
        "exec 2>/dev/null >&2; test $EGOAT_PEER = carol || sleep 100; cat >>$EGOAT_HOME/../told",
    );
    let mut node = serve_json(&alice, "--on-message", &program);
    let began = Instant::now();
    logs::receive(&own, "bob", &["a"]);
    logs::receive(&own, "carol", &["b\n"]);
    assert_eq!(wait_for_lines(&alice, 1), ["b"]);
    node.wait_for("{\"event\":\"hook\",\"peer\":\"carol\"");
    while began.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let line = node.wait_for("{\"event\":\"hook\",\"peer\":\"bob\"");
    assert_eq!(json_text(&line, "error"), "took longer than 1 m");
    assert!(began.elapsed() >= Duration::from_secs(60));
}

#[test]
fn a_node_that_is_killed_again_and_again_deals_with_everything_in_order() {
    let alice = alice_with(&["bob"]);
    let own = logs::open(&alice);
    let program = script(&alice, "text=$(cat); sleep 0.01; echo \"$text\" >>$EGOAT_HOME/../told");
    let mut random = common::Random::seeded(7);
    let mut sent = 0;
    serve(&alice, "--on-message", &program).kill9();
    for _ in 0..count(8, 100) {
        let mut node = serve(&alice, "--on-message", &program);
        logs::receive(&own, "bob", &numbered(sent, sent + 10));
        sent += 10;
        for _ in 0..random.below(12) {
            node.next_line();
        }
        node.kill9();
    }
    let mut node = serve(&alice, "--on-message", &program);
    let last = format!("message {}", sent - 1);
    poll_until("the last one", || told(&alice).lines().any(|line| line == last).then_some(()));
    node.kill9();
    let mut seen = std::collections::HashSet::new();
    let first_times: Vec<String> =
        told(&alice).lines().filter(|line| seen.insert(line.to_string())).map(str::to_owned).collect();
    assert_eq!(first_times, numbered(0, sent));
}
