//! Transfers that end in the middle: what arrived stays, is proven and goes on; nothing is there in part or twice.

use crate::common;

use common::disk::SmallDisk;
use common::files::{
    CHUNK, MIB, PIECE, chunks_in, landed_in, names_in, note_goes, sample, sample_of, set_time, staged_in,
};
use common::gate::Gate;
use common::proxy::{How, Plan, Proxy, Way};
use common::route::{Blow, Route};
use common::strace::{self, Fault, Faulty};
use common::tree::{all_in, as_received, put};
use common::{Home, Process, json_number, json_text, poll_until};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// What the connections of a transfer say beside the bytes of files, and what may be under way twice.
const BESIDE: u64 = 256 << 10;
/// Bytes of one connection after which it hangs, and the chunks in them.
const SOME: u64 = 3 << 20;
const SOME_CHUNKS: usize = 12;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A file that is not whole after [`SOME`] bytes.
fn large(route: &Route) -> (String, Vec<u8>) {
    let content = sample(6 * MIB + 1);
    (route.alice.file("large.bin", &content), content)
}

/// It is there once, and nothing is beside it.
fn arrived(route: &Route, name: &str, content: &[u8]) {
    assert_eq!(names_in(&route.landing), [name]);
    assert!(fs::read(route.landing.join(name)).unwrap() == content, "{name} is not what was sent");
    assert_eq!(route.bob.run(&["partial"]), "");
    note_goes(&route.bob);
    for home in [&route.alice, &route.bob] {
        assert_eq!(home.run(&["log"]).lines().count(), 1);
    }
}

fn goes_on_after(blow: Blow) {
    let mut route = Route::new();
    let (file, content) = large(&route);
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], blow);
    let sent = route.send(&["--streams", "1", &file]);
    assert_eq!((sent.bytes, sent.held), (content.len() as u64, (SOME_CHUNKS * CHUNK) as u64));
    assert!(sent.wire < sent.bytes - sent.held + BESIDE, "{sent:?}");
    arrived(&route, "large.bin", &content);
}

#[test]
fn it_goes_on_after_the_sender_was_killed() {
    goes_on_after(Blow::Sender);
}

#[test]
fn it_goes_on_after_the_receiver_was_killed() {
    goes_on_after(Blow::Node);
}

#[test]
fn it_goes_on_after_the_network_was_cut() {
    goes_on_after(Blow::Network);
}

fn goes_on_with_lanes_after(blow: Blow) {
    let mut route = Route::new();
    let content = sample(17 * MIB + 5);
    let file = route.alice.file("large.bin", &content);
    // The session's chunks, and those of one lane at least: the sender's socket does not hold all of them.
    route.send_in_part(1 << 20, 8, &["--streams", "4", &file], blow);
    let sent = route.send(&["--streams", "4", &file]);
    assert!(sent.bytes == content.len() as u64 && sent.held >= (8 * CHUNK) as u64, "{sent:?}");
    assert!(sent.wire < sent.bytes - sent.held + BESIDE, "{sent:?}");
    arrived(&route, "large.bin", &content);
}

#[test]
fn lanes_go_on_after_the_sender_was_killed() {
    goes_on_with_lanes_after(Blow::Sender);
}

#[test]
fn lanes_go_on_after_the_receiver_was_killed() {
    goes_on_with_lanes_after(Blow::Node);
}

#[test]
fn lanes_go_on_after_the_network_was_cut() {
    goes_on_with_lanes_after(Blow::Network);
}

/// 18 MB in files of which dozens lie in each chunk, over a session and a lane. The session is slow, so that the lane has
/// something to do; after 2 MiB the lane comes to grief. What it carried is sent again, and nobody notices.
fn a_lane_ends_in_the_middle(how: How) {
    let route = Route::new();
    let tree = route.alice.path("tree");
    fs::create_dir_all(&tree).unwrap();
    let all = sample(MIB);
    for n in 0..6000 {
        fs::write(tree.join(n.to_string()), &all[n..n + 3000]).unwrap();
    }
    let mut first = Some(Plan { segment: 256, ..Plan::default() });
    route.proxy.plan(move || first.take().unwrap_or(Plan::cut(Way::ToNode, 2 << 20, how)));
    let begun = Instant::now();
    let sent = route.send(&["--streams", "2", tree.to_str().unwrap()]);
    assert_eq!((sent.files, sent.lanes, sent.held), (6000, 2, 0));
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    let lane = &route.proxy.connections()[1];
    assert_eq!(lane.passed()[Way::ToNode as usize], 2 << 20, "the lane was in use");
    assert_same(&tree, &route.landing.join("tree"));
}

#[test]
fn a_lane_that_is_cut_costs_nothing_but_itself() {
    a_lane_ends_in_the_middle(How::Cut);
}

/// Neither end is told; the sender sees that nothing is confirmed.
#[test]
fn a_lane_that_stalls_is_given_up_while_the_session_goes_on() {
    a_lane_ends_in_the_middle(How::Hang);
}

/// Whether two trees have the same in them.
fn assert_same(one: &Path, two: &Path) {
    let ran = Command::new("diff").arg("-r").args([one, two]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

fn a_tree_goes_on_after(blow: Blow) {
    let mut route = Route::new();
    let all = sample(6 * MIB);
    let tree = route.alice.path("tree");
    // Files that lie in a chunk together, across two, and in many.
    let sizes: Vec<usize> =
        (0..300).map(|n| n * 37).chain([0, CHUNK, 2 * MIB, 0, PIECE + 1, 2 * MIB]).collect();
    fs::create_dir_all(tree.join("empty/in it")).unwrap();
    for (n, size) in sizes.iter().enumerate() {
        let dir = tree.join(format!("{}", n % 7));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("{n:03}")), &all[n..n + size]).unwrap();
    }
    let path = tree.to_str().unwrap();
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", path], blow);
    let sent = route.send(&["--streams", "3", path]);
    assert_eq!((sent.bytes, sent.files), (sizes.iter().sum::<usize>() as u64, sizes.len() as u64));
    assert_eq!(sent.held, (SOME_CHUNKS * CHUNK) as u64);
    assert!(sent.wire < sent.bytes - sent.held + BESIDE, "{sent:?}");
    assert_eq!(names_in(&route.landing), ["tree"]);
    assert_same(&tree, &route.landing.join("tree"));

    // One of the files is gone again. What is proven with it is sent again.
    let other = route.alice.path("other");
    fs::rename(&tree, &other).unwrap();
    let path = other.to_str().unwrap();
    let mut send = route.start_in_part(SOME, SOME_CHUNKS, &["--streams", "1", path]);
    send.kill9();
    fs::remove_file(route.staging().join("files/other/0/007")).unwrap();
    route.mend();
    assert_eq!(route.send(&["--streams", "1", path]).held, 0);
    assert_eq!(names_in(&route.landing), ["other", "tree"]);
    assert_same(&other, &route.landing.join("other"));
}

#[test]
fn a_tree_goes_on_after_the_sender_was_killed() {
    a_tree_goes_on_after(Blow::Sender);
}

#[test]
fn a_tree_goes_on_after_the_receiver_was_killed() {
    a_tree_goes_on_after(Blow::Node);
}

/// 64 chunks are proven by one hash.
const RUN: usize = 64;

#[test]
fn damage_to_what_arrived_is_found_and_sent_again() {
    let mut route = Route::new();
    let content = sample(20 * MIB);
    let file = route.alice.file("large.bin", &content);
    let chunks = RUN + 3;
    let bytes = (chunks * CHUNK + CHUNK / 2) as u64;
    route.send_in_part(bytes, chunks, &["--streams", "1", &file], Blow::Sender);
    let staged = File::options().write(true).open(route.staging().join("files/large.bin")).unwrap();
    let place = (RUN + 1) * CHUNK + 77;
    staged.write_all_at(&[!content[place]], place as u64).unwrap();
    let sent = route.send(&["--streams", "1", &file]);
    assert_eq!(sent.held, (RUN * CHUNK) as u64, "the run that is whole, and no other");
    arrived(&route, "large.bin", &content);
}

/// What an accident on Bob's disk does to the staged file at a path, in a folder.
type Accident = fn(&Path, &Path);

#[test]
fn what_is_missing_of_what_arrived_is_sent_again() {
    let mut route = Route::new();
    let (file, content) = large(&route);
    let accidents: [Accident; 5] = [
        |_, file| File::options().write(true).open(file).unwrap().set_len(9).unwrap(),
        |_, file| fs::remove_file(file).unwrap(),
        |staging, _| fs::remove_file(staging.join("map")).unwrap(),
        // More than there are, and no flags.
        |staging, _| fs::write(staging.join("map"), [7; 1000]).unwrap(),
        |staging, _| fs::remove_dir_all(staging).unwrap(),
    ];
    for (n, accident) in accidents.into_iter().enumerate() {
        let name = format!("{n}.bin");
        fs::hard_link(&file, route.alice.path(&name)).unwrap();
        let path = route.alice.path(&name).to_str().unwrap().to_owned();
        let mut send = route.start_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &path]);
        send.kill9();
        route.node.kill9();
        route.mend();
        let staging = route.staging();
        accident(&staging, &staging.join("files").join(&name));
        route.node = route.bob.serve_again_at(&route.node.addr);
        let sent = route.send(&["--streams", "1", &path]);
        assert_eq!((sent.bytes, sent.held), (content.len() as u64, 0), "{n}");
        assert!(fs::read(route.landing.join(&name)).unwrap() == content, "{n}");
        assert!(staged_in(&route.landing).is_empty());
    }
}

#[test]
fn what_is_too_long_of_what_arrived_is_cut_off() {
    let mut route = Route::new();
    let (file, content) = large(&route);
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], Blow::Sender);
    let staged = File::options().write(true).open(route.staging().join("files/large.bin")).unwrap();
    staged.set_len(content.len() as u64 + 9).unwrap();
    assert_eq!(route.send(&["--streams", "1", &file]).held, (SOME_CHUNKS * CHUNK) as u64);
    arrived(&route, "large.bin", &content);
}

/// Nothing of Bob's is written through a link that somebody put in the place of a staged file.
#[test]
fn a_staged_file_that_became_a_link_is_not_written_through() {
    let mut route = Route::new();
    let (file, content) = large(&route);
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], Blow::Sender);
    let staged = route.staging().join("files/large.bin");
    fs::remove_file(&staged).unwrap();
    let elsewhere = route.bob.file("elsewhere", "mine");
    std::os::unix::fs::symlink(&elsewhere, &staged).unwrap();
    let said = route.alice.fails(&["send", "bob", &file], 74);
    assert!(said.contains("its disk failed"), "{said}");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
    assert!(landed_in(&route.landing).is_empty());
    // Alice has heard that it failed before it is over there.
    poll_until("it to be over", || {
        route.bob.cmd(&["partial", "remove", "--all"]).output().unwrap().status.success().then_some(())
    });
    route.send(&[&file]);
    arrived(&route, "large.bin", &content);
}

#[test]
fn a_file_that_is_another_one_by_then_is_sent_afresh() {
    let mut route = Route::new();
    let (file, content) = large(&route);
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    route.send_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file], Blow::Sender);

    // Of the same size, with another time: it is another transfer.
    let other = sample_of(2, content.len());
    fs::write(&file, &other).unwrap();
    set_time(Path::new(&file), time + Duration::from_nanos(1));
    let sent = route.send(&["--streams", "1", &file]);
    assert_eq!((sent.bytes, sent.held), (content.len() as u64, 0));
    assert_eq!(landed_in(&route.landing), ["large.bin"]);
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == other);
    assert_eq!(route.bob.run(&["partial"]).lines().count(), 1, "the first one waits");

    // With the time of the first: what arrived of that is not taken for a part of it.
    let third = sample_of(3, content.len());
    fs::write(&file, &third).unwrap();
    set_time(Path::new(&file), time);
    let sent = route.send(&["--streams", "1", &file]);
    assert_eq!((sent.bytes, sent.held), (content.len() as u64, 0));
    assert_eq!(names_in(&route.landing), ["large (1).bin", "large.bin"]);
    assert!(fs::read(route.landing.join("large (1).bin")).unwrap() == third);
}

#[test]
fn waiting_goes_on_by_itself() {
    let route = Route::new();
    let (file, content) = large(&route);
    route.proxy.plan_next(Plan::cut(Way::ToNode, SOME, How::Cut));
    let sent = route.send(&["--wait", "1m", "--streams", "1", &file]);
    assert_eq!(route.proxy.connections().len(), 2);
    assert!(sent.held > 0 && sent.wire < sent.bytes + BESIDE, "{sent:?}");
    arrived(&route, "large.bin", &content);
}

/// Bytes that Bob's node says in a transfer that the sender hears the end of.
fn said_in_all(route: &Route, args: &[&str]) -> u64 {
    route.send(args);
    let connection = route.proxy.connections().pop().unwrap();
    poll_until("its end", || connection.is_over().then_some(()));
    connection.passed()[Way::ToDialler as usize]
}

#[test]
fn when_the_last_word_is_lost_nothing_is_sent_or_there_twice() {
    let route = Route::new();
    let content = sample(2 * MIB);
    let tree = route.alice.path("tree");
    fs::create_dir_all(tree.join("dir")).unwrap();
    route.alice.file("tree/dir/file", "x");
    let (a, b) = (route.alice.file("a.bin", &content), route.alice.file("b.bin", &content));
    let tree = tree.to_str().unwrap();
    let whole = said_in_all(&route, &["--streams", "1", &a]);

    // With the last byte of the last word.
    route.proxy.plan_next(Plan::cut(Way::ToDialler, whole - 1, How::Cut));
    let said = route.alice.fails(&["send", "bob", "--streams", "1", &b, tree], 69);
    assert!(said.contains("connection to bob lost"), "{said}");
    poll_until("both to be there", || (names_in(&route.landing) == ["a.bin", "b.bin", "tree"]).then_some(()));
    assert_eq!(route.bob.run(&["partial"]), "", "it is not a part of anything");
    let sent = route.send(&["--streams", "1", &b, tree]);
    assert_eq!((sent.held, sent.bytes, sent.files), (2 * MIB as u64 + 1, 2 * MIB as u64 + 1, 2));
    assert!(sent.wire < 4096, "{sent:?}");
    assert_eq!(names_in(&route.landing), ["a.bin", "b.bin", "tree"]);
    for home in [&route.alice, &route.bob] {
        assert_eq!(home.run(&["log"]).lines().count(), 3);
    }

    // The sender has heard of it now: who sends it once more wants it once more.
    note_goes(&route.bob);
    assert_eq!(route.send(&["--streams", "1", &b]).held, 0);
    assert_eq!(names_in(&route.landing), ["a.bin", "b (1).bin", "b.bin", "tree"]);

    // By itself.
    let c = route.alice.file("c.bin", &content);
    route.proxy.plan_next(Plan::cut(Way::ToDialler, whole - 1, How::Cut));
    let sent = route.send(&["--streams", "1", "--wait", "1m", &c]);
    assert_eq!(sent.held, sent.bytes);
    assert_eq!(names_in(&route.landing), ["a.bin", "b (1).bin", "b.bin", "c.bin", "tree"]);
}

#[test]
fn what_is_not_there_any_more_is_sent_again() {
    let route = Route::new();
    let (a, b) = (route.alice.file("a.txt", "a"), route.alice.file("b.txt", "b"));
    let whole = said_in_all(&route, &[&a]);
    route.proxy.plan_next(Plan::cut(Way::ToDialler, whole - 1, How::Cut));
    route.alice.fails(&["send", "bob", &b], 69);
    poll_until("the file to be there", || (names_in(&route.landing) == ["a.txt", "b.txt"]).then_some(()));
    fs::remove_file(route.landing.join("b.txt")).unwrap();
    assert_eq!(route.send(&[&b]).held, 0);
    assert_eq!(fs::read_to_string(route.landing.join("b.txt")).unwrap(), "b");
}

#[test]
fn who_comes_again_takes_over_from_a_connection_that_is_half_dead() {
    let route = Route::new();
    let content = sample(17 * MIB);
    let file = route.alice.file("large.bin", &content);
    // Bob does not learn that the first sender is gone, nor the second.
    route.start_in_part(1 << 20, 4, &["--streams", "4", &file]).kill9();
    let connections = || route.proxy.connections().len();
    let (before, others) = (route.chunks(), connections());
    let mut second = route.start(&["--streams", "4", &file]);
    // With all its lanes: one that it dials later would be as good as new.
    poll_until("the second to go on", || {
        (route.chunks() > before && connections() >= others + 4).then_some(())
    });
    route.proxy.plan(Plan::default);
    second.kill9();
    let began = Instant::now();
    let sent = route.send(&["--streams", "4", &file]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(sent.held >= (4 * CHUNK) as u64 && sent.wire < sent.bytes - sent.held + BESIDE, "{sent:?}");
    arrived(&route, "large.bin", &content);
}

/// As when cron starts it once more.
#[test]
fn who_sends_the_same_meanwhile_waits_for_the_first() {
    let route = Route::new();
    let content = sample(17 * MIB);
    let file = route.alice.file("large.bin", &content);
    let started = route.chunks();
    route.proxy.plan(|| Plan { segment: 512, ..Plan::default() });
    let args = ["--wait", "60s", "--streams", "1", &file];
    let mut first = route.start(&args);
    poll_until("it to be under way", || (route.chunks() > started + 2).then_some(()));
    let mut second = route.start(&args);
    for send in [&mut first, &mut second] {
        let (code, _, said) = send.end();
        assert_eq!(code, Some(0), "{said}");
    }
    assert!(!first.said().contains("lost"), "{}", first.said());
    assert!(second.said().contains("bob has it: another command has sent it"), "{}", second.said());
    arrived(&route, "large.bin", &content);
}

#[test]
fn what_arrived_in_part_is_listed_and_removed() {
    let mut route = Route::new();
    let (file, content) = large(&route);
    let mut send = route.start_in_part(SOME, SOME_CHUNKS, &["--streams", "1", &file]);
    let json = route.bob.run(&["--json", "partial"]);
    assert_eq!(json, route.bob.run(&["--json", "partial", "list"]));
    let id = json_text(&json, "id");
    let [peer, title, dir] = ["peer", "title", "dir"].map(|key| json_text(&json, key));
    assert_eq!((peer, title, dir), ("alice".into(), "large.bin".into(), route.landing.display().to_string()));
    assert_eq!(json_number(&json, "held"), (SOME_CHUNKS * CHUNK) as u64);
    assert_eq!(json_number(&json, "bytes"), content.len() as u64);
    assert!(json_number(&json, "age") < 60, "{json}");
    assert_eq!(route.staging(), route.landing.join(format!(".egoat-{id}")));
    let line = route.bob.run(&["partial"]);
    let start = format!("{id} large.bin from alice: 2.8 MiB of 6.0 MiB, ");
    let end = format!(" ago, for {}\n", route.landing.display());
    assert!(line.starts_with(&start) && line.ends_with(&end), "{line}");

    // Neither while it comes in, nor anything that is not there.
    let said = route.bob.fails(&["partial", "remove", &id], 1);
    assert!(said.contains("large.bin is coming in just now"), "{said}");
    send.kill9();
    route.mend();
    // All ids begin with nothing.
    for ids in [&[][..], &[""], &[&id, ""]] {
        let said = route.bob.fails(&[&["partial", "remove"][..], ids].concat(), 2);
        assert!(said.contains("which one?"), "{said}");
    }
    let said = route.bob.fails(&["partial", "remove", &id[..5], "nothing"], 1);
    assert!(said.contains("no transfer nothing waits"), "{said}");
    assert_eq!(route.bob.run(&["partial"]).lines().count(), 1);

    // Only Bob can look into it.
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let note = route.bob.path("partial").join(&id);
    assert_eq!(
        [mode(&route.staging()), mode(&route.staging().join("files")), mode(&note)],
        [0o700, 0o700, 0o600]
    );

    let removed = poll_until("its end", || {
        let ran = route.bob.cmd(&["--json", "partial", "remove", &id[..5]]).output().unwrap();
        ran.status.success().then(|| String::from_utf8(ran.stdout).unwrap())
    });
    assert_eq!(removed, format!("{{\"event\":\"removed\",\"id\":\"{id}\",\"title\":\"large.bin\"}}\n"));
    assert!(names_in(&route.landing).is_empty() && names_in(&route.bob.path("partial")).is_empty());
    assert_eq!(route.bob.run(&["partial"]), "");
    assert_eq!(route.send(&["--streams", "1", &file]).held, 0);
    arrived(&route, "large.bin", &content);

    // Two of them, of which one is gone with its folder.
    let other = route.alice.file("other.bin", &content);
    for file in [&file, &other] {
        route.start_in_part(SOME, 1 + route.chunks(), &["--streams", "1", file]).kill9();
        route.node.kill9();
        route.mend();
        route.node = route.bob.serve_again_at(&route.node.addr);
    }
    fs::remove_dir_all(&staged_in(&route.landing)[0]).unwrap();
    assert_eq!(route.bob.run(&["partial", "list"]).lines().count(), 2);
    assert_eq!(route.bob.run(&["partial", "remove", "--all"]).lines().count(), 2);
    assert_eq!(names_in(&route.landing), ["large.bin"]);
    assert!(names_in(&route.bob.path("partial")).is_empty());
}

/// Writes down a part as egoat-files(5) has it: a note and a folder, both of this age.
fn leave_part(route: &Route, id: &str, age: Duration) -> PathBuf {
    let note = route.bob.path("partial").join(id);
    fs::create_dir_all(note.parent().unwrap()).unwrap();
    fs::write(&note, format!("{} {MIB} {id}.bin\n{}\n", route.alice.key(), route.landing.display())).unwrap();
    let staging = route.landing.join(format!(".egoat-{id}"));
    fs::create_dir_all(staging.join("files")).unwrap();
    fs::write(staging.join("lock"), "").unwrap();
    fs::write(staging.join("id"), id).unwrap();
    fs::write(staging.join("map"), [1, 0, 0, 0, 0]).unwrap();
    fs::write(staging.join(format!("files/{id}.bin")), [0; CHUNK]).unwrap();
    let time = SystemTime::now() - age;
    set_time(&note, time);
    set_time(&staging.join("map"), time);
    staging
}

#[test]
fn a_part_is_kept_for_two_weeks() {
    let route = Route::new();
    let (new, old) = (leave_part(&route, "new", 13 * DAY), leave_part(&route, "old", 14 * DAY + DAY / 24));
    // Noted long ago, and some of it came yesterday.
    let busy = leave_part(&route, "busy", 20 * DAY);
    set_time(&busy.join("map"), SystemTime::now() - DAY);
    let listed = route.bob.run(&["--json", "partial"]);
    let ids: Vec<String> = listed.lines().map(|line| json_text(line, "id")).collect();
    assert_eq!(ids, ["new", "busy"], "the oldest first");
    assert_eq!(
        listed.lines().map(|line| json_number(line, "age") / (24 * 3600)).collect::<Vec<_>>(),
        [13, 1]
    );
    assert_eq!(json_number(&listed, "held"), CHUNK as u64);
    assert!(new.exists() && busy.exists() && !old.exists());
    assert_eq!(names_in(&route.bob.path("partial")), ["busy", "new"]);

    // A transfer that begins sees to it as well.
    set_time(&route.bob.path("partial/new"), SystemTime::now() - 15 * DAY);
    set_time(&new.join("map"), SystemTime::now() - 15 * DAY);
    route.send(&[&route.alice.file("a.txt", "a")]);
    assert_eq!(names_in(&route.landing), [".egoat-busy", "a.txt"]);
}

#[test]
fn a_note_that_is_damaged_is_in_the_way_of_no_other() {
    let route = Route::new();
    leave_part(&route, "good", DAY);
    let noted = |id: &str| route.bob.path("partial").join(id);
    for (id, content) in [("empty", vec![]), ("bytes", vec![0xff; 99]), ("long", vec![b'a'; 65 * MIB])] {
        for (id, age) in [(format!("{id}-new"), 13 * DAY), (format!("{id}-old"), 15 * DAY)] {
            fs::write(noted(&id), &content).unwrap();
            set_time(&noted(&id), SystemTime::now() - age);
        }
    }
    fs::create_dir(noted("directory")).unwrap();
    let listed = route.bob.run(&["--json", "partial"]);
    assert_eq!(listed.lines().map(|line| json_text(line, "id")).collect::<Vec<_>>(), ["good"]);
    let left = ["bytes-new", "directory", "empty-new", "good", "long-new"];
    assert_eq!(names_in(&route.bob.path("partial")), left, "the old ones are gone");

    route.send(&[&route.alice.file("a.txt", "a")]);
    assert_eq!(route.bob.run(&["partial", "remove", "--all"]).lines().count(), 1);
    assert_eq!(names_in(&route.landing), ["a.txt"]);
}

#[test]
fn a_peer_has_no_more_than_sixteen_parts() {
    let mut route = Route::new();
    let (file, content) = large(&route);
    for n in 0..16 {
        leave_part(&route, &format!("part{n:02}"), DAY + DAY / 24 * n);
    }
    let carol = Home::new("carol");
    let hers = leave_part(&route, "carols", 2 * DAY);
    let note = fs::read_to_string(route.bob.path("partial/carols")).unwrap();
    let note = note.replacen(&route.alice.key(), &carol.key(), 1);
    fs::write(route.bob.path("partial/carols"), note).unwrap();
    set_time(&route.bob.path("partial/carols"), SystemTime::now() - 2 * DAY);

    // Each of the others has one chunk.
    route.send_in_part(SOME, 16 + SOME_CHUNKS, &["--streams", "1", &file], Blow::Sender);
    let listed = route.bob.run(&["--json", "partial"]);
    let titles: Vec<String> = listed.lines().map(|line| json_text(line, "title")).collect();
    let mut expected = vec!["carols.bin".to_owned()];
    expected.extend((0..15).rev().map(|n| format!("part{n:02}.bin")));
    expected.push("large.bin".into());
    assert_eq!(titles, expected);
    assert!(hers.exists() && staged_in(&route.landing).len() == 17);

    // The oldest of sixteen, which goes on now, makes room for nobody.
    let id = listed.lines().last().map(|line| json_text(line, "id")).unwrap();
    for path in [route.bob.path("partial").join(&id), route.landing.join(format!(".egoat-{id}/map"))] {
        set_time(&path, SystemTime::now() - 10 * DAY);
    }
    let sent = route.send(&["--streams", "1", &file]);
    assert_eq!(sent.held, (SOME_CHUNKS * CHUNK) as u64);
    assert_eq!(landed_in(&route.landing), ["large.bin"]);
    assert!(fs::read(route.landing.join("large.bin")).unwrap() == content);
    assert_eq!(staged_in(&route.landing).len(), 16);
}

/// It was not full when there was room to be asked for.
#[test]
fn a_disk_that_fills_up_keeps_what_arrived() {
    let Some(disk) = SmallDisk::mount() else { return };
    disk.grow();
    let mut route = Route::with(&["--downloads", disk.path().to_str().unwrap()]);
    route.landing = disk.path().join("alice");
    let gate = Gate::before(&route.node.addr, 1 << 20);
    let content = sample(6 * MIB);
    let file = route.alice.file("large.bin", &content);
    let link = format!("egoat:{}@{}", route.bob.key(), gate.addr);
    let mut send = Process::start(route.alice.cmd(&["send", &link, "--streams", "1", &file]));
    poll_until("chunks to be written", || (route.chunks() >= 2).then_some(()));
    let filler = disk.path().join("filler");
    assert!(fs::write(&filler, vec![1; 9 * MIB]).is_err());
    gate.open();
    let (code, _, said) = send.end();
    assert!(
        code == Some(74)
            && said.contains("its disk is full")
            && said.contains("what arrived safely is kept there"),
        "{said}"
    );
    assert!(landed_in(&route.landing).is_empty());
    let held = chunks_in(&route.staging()) * CHUNK;
    assert!(held > 0);
    assert_eq!(json_number(&route.bob.run(&["--json", "partial"]), "held"), held as u64);
    assert!(route.node.is_running());

    fs::remove_file(&filler).unwrap();
    let sent = route.send(&[&file]);
    assert_eq!(sent.held, held as u64);
    assert!(sent.wire < sent.bytes - sent.held + BESIDE, "{sent:?}");
    arrived(&route, "large.bin", &content);
}

/// It was not full when there was room to be asked for.
#[test]
fn a_disk_that_fills_up_stops_lanes_too() {
    let Some(disk) = SmallDisk::mount() else { return };
    disk.grow();
    let mut route = Route::with(&["--downloads", disk.path().to_str().unwrap()]);
    route.landing = disk.path().join("alice");
    let gate = Gate::before(&route.node.addr, 1 << 20);
    let content = sample(6 * MIB);
    let file = route.alice.file("large.bin", &content);
    let link = format!("egoat:{}@{}", route.bob.key(), gate.addr);
    let mut send = Process::start(route.alice.cmd(&["send", &link, "--streams", "2", &file]));
    poll_until("chunks to be written", || (route.chunks() >= 4).then_some(()));
    let filler = disk.path().join("filler");
    assert!(fs::write(&filler, vec![1; 9 * MIB]).is_err());
    gate.open();
    let (code, _, said) = send.end();
    assert!(code == Some(74) && said.contains("its disk is full"), "{said}");
    assert!(landed_in(&route.landing).is_empty());
    fs::remove_file(&filler).unwrap();
    let sent = route.send(&["--streams", "2", &file]);
    assert!(sent.held >= (4 * CHUNK) as u64 && sent.wire < sent.bytes - sent.held + BESIDE, "{sent:?}");
    arrived(&route, "large.bin", &content);
}

/// The session has nothing to do any more, and nothing arrives on it, when its lane meets the full disk.
#[test]
fn a_disk_that_fills_up_behind_a_slow_lane_is_told() {
    let Some(disk) = SmallDisk::mount() else { return };
    disk.grow_to(64);
    let mut route = Route::with(&["--downloads", disk.path().to_str().unwrap()]);
    route.landing = disk.path().join("alice");
    // More than the sockets hold.
    let file = route.alice.path("large.bin");
    File::create(&file).unwrap().set_len(48 << 20).unwrap();
    let mut first = Some(Plan::default());
    route.proxy.plan(move || first.take().unwrap_or(Plan { segment: 1, seed: 1, ..Plan::default() }));
    let mut send = route.start(&["--streams", "2", file.to_str().unwrap()]);
    let mut last = (0, Instant::now());
    poll_until("the session to be idle", || {
        let passed = route.proxy.connections().first()?.passed()[0];
        if passed != last.0 {
            last = (passed, Instant::now());
        }
        (passed > CHUNK as u64 && last.1.elapsed() > Duration::from_millis(300)).then_some(())
    });
    assert!(fs::write(disk.path().join("filler"), vec![1; 65 * MIB]).is_err());
    let (code, _, said) = send.end();
    assert!(code == Some(74) && said.contains("its disk is full"), "{said}");
}

#[test]
fn what_has_no_room_is_declined_before_it_is_sent() {
    let Some(disk) = SmallDisk::mount() else { return };
    let mut route = Route::with(&["--downloads", disk.path().to_str().unwrap()]);
    route.landing = disk.path().join("alice");
    let content = sample(3 * MIB);
    let file = route.alice.file("large.bin", &content);
    let said = route.alice.fails(&["send", "bob", &file], 69);
    assert!(said.contains("its disk is full"), "{said}");
    let connection = route.proxy.connections().pop().unwrap();
    assert!(connection.passed()[Way::ToNode as usize] < 4096);
    assert!(names_in(&route.landing).is_empty() && names_in(&route.bob.path("partial")).is_empty());

    // What is there of it already is no room that is missing.
    disk.grow();
    let beside = disk.path().join("beside");
    fs::write(&beside, vec![1; 3 * MIB + MIB / 2]).unwrap();
    route.send_in_part(2 << 20, 8, &["--streams", "1", &file], Blow::Sender);
    let sent = route.send(&["--streams", "1", &file]);
    assert_eq!(sent.held, (8 * CHUNK) as u64);
    arrived(&route, "large.bin", &content);
}

/// The system takes what it could not write for written from then on, and has it in memory still.
#[test]
fn what_could_not_be_synced_is_sent_again() {
    if !strace::works() {
        return;
    }
    let mut route = Route::new();
    let tree = route.alice.path("tree");
    for number in 0..1600 {
        put(&tree.join(number.to_string()), &sample_of(number, 5000));
    }
    let tree = tree.to_str().unwrap();
    let addr = route.node.addr.clone();
    route.node.kill9();
    // Each thread counts for itself: by then some chunks are noted.
    let fault = Fault { call: "fsync", how: "error=EIO", nth: 150, on: Vec::new() };
    let mut node = Faulty::start(&route.bob, &["serve", "--listen", &addr], &fault);
    node.wait_for("listening on ");
    let said = route.alice.fails(&["send", "bob", "--streams", "1", tree], 74);
    assert!(said.contains("its disk failed") && node.was_hit(), "{said}");
    node.stop();
    route.node = route.bob.serve_again_at(&addr);
    assert_eq!(route.send(&["--streams", "1", tree]).held, 0);
    assert_eq!(all_in(&route.landing.join("tree")), as_received(Path::new(tree)));
}

/// A one-off receiver behind a network of its own, and the link to it.
fn receive(route: &Route, into: &Path) -> (Process, Proxy, String) {
    let args = ["receive", "--listen", "127.0.0.1:0", "--into", into.to_str().unwrap()];
    let mut receive = Process::start(route.bob.cmd(&args));
    let link = receive.wait_for("egoat:");
    let (before, addr) = link.rsplit_once('@').unwrap();
    let proxy = Proxy::before(addr);
    let link = format!("{before}@{}", proxy.addr);
    (receive, proxy, link)
}

#[test]
fn a_one_off_receiver_waits_for_the_rest() {
    let route = Route::new();
    let (file, content) = large(&route);
    let into = route.bob.path("into");
    let (mut receive, proxy, link) = receive(&route, &into);
    // The first connection is that of the pairing.
    let mut plans = [Plan::default(), Plan::cut(Way::ToNode, SOME, How::Cut)].into_iter();
    proxy.plan(move || plans.next().unwrap_or_default());
    let said = route.alice.fails(&["send", &link, "--streams", "1", &file], 69);
    assert!(said.contains("what arrived safely is kept there"), "{said}");
    let out = route.alice.run(&["--json", "send", &link, "--streams", "1", &file]);
    assert!(json_number(out.lines().last().unwrap(), "held") > 0, "{out}");
    let (code, out, said) = receive.end();
    assert_eq!((code, out), (Some(0), format!("{}\n", into.join("large.bin").display())), "{said}");
    assert!(said.contains("waiting for another try"), "{said}");
    assert_eq!(names_in(&into), ["large.bin"]);
    assert!(fs::read(into.join("large.bin")).unwrap() == content);
}

#[test]
fn another_one_off_receiver_goes_on_with_what_a_killed_one_has() {
    let route = Route::new();
    let (file, content) = large(&route);
    let into = route.bob.path("into");
    let (mut first, proxy, link) = receive(&route, &into);
    proxy.plan(|| Plan::cut(Way::ToNode, SOME, How::Hang));
    let mut send = Process::start(route.alice.cmd(&["send", &link, "--streams", "1", &file]));
    poll_until("chunks to be written", || {
        let staged = staged_in(&into);
        (chunks_in(staged.first()?) >= SOME_CHUNKS).then_some(())
    });
    first.kill9();
    proxy.cut(0);
    assert_eq!(send.end().0, Some(69));
    let (mut second, _proxy, link) = receive(&route, &into);
    let out = route.alice.run(&["--json", "send", &link, "--streams", "1", &file]);
    assert_eq!(json_number(out.lines().last().unwrap(), "held"), (SOME_CHUNKS * CHUNK) as u64);
    assert_eq!(second.end().0, Some(0));
    assert_eq!(names_in(&into), ["large.bin"]);
    assert!(fs::read(into.join("large.bin")).unwrap() == content);
}
