//! Files that are queued for a peer: the log that holds them, and `egoat outbox`.

use crate::common;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use common::logs::{directory, tell, told};
use common::{Home, json_text};
use egoat::crypto::keys::{PublicKey, Seed};
use egoat::store::found::Place;
use egoat::store::home::Own;
use egoat::store::log::{Kind, Log, LogId};
use egoat::store::own_files::OwnFiles;
use egoat::store::queued_files::{Job, Listed, Outcome, QueuedFiles, Stop};
use egoat::store::source::{Item, snapshot};
use egoat::time::Zone;
use proptest::prelude::*;

fn id(path: &Path) -> LogId {
    let key = |byte| Seed::from_bytes([byte; 32]);
    LogId::new(path.to_owned(), Kind::Files, &key(2).static_keys().public(), &key(1))
}

fn open(path: &Path) -> QueuedFiles {
    QueuedFiles::open(id(path), Arc::new(tell)).unwrap()
}

fn listed(path: &Path) -> Listed {
    Listed::new(id(path), Arc::new(tell))
}

/// An item that is nowhere.
fn item(name: &str) -> Item {
    let path = PathBuf::from(format!("/nowhere/{name}"));
    let place = Some(Place { real: path.clone(), inode: 5 });
    Item { path, name: None, is_dir: false, size: 3, modified: 4, place }
}

/// An item whose record is about as long as they get.
fn long_items() -> Vec<Item> {
    (0..260).map(|n| item(&format!("{n}-{}", "x".repeat(3990)))).collect()
}

fn changed() -> Stop {
    Stop::Changed { path: "/nowhere/a".into(), what: "it is gone".into() }
}

fn job(number: u64, items: &[Item], stopped: Option<Stop>) -> Job {
    Job { number, queued: 0, items: items.to_vec(), stopped }
}

/// Without the times, of which a test knows nothing.
fn untimed(jobs: Vec<Job>) -> Vec<Job> {
    jobs.into_iter().map(|job| Job { queued: 0, ..job }).collect()
}

#[test]
fn a_job_waits_until_it_is_settled() {
    let dir = directory();
    let path = dir.path().join("a.files.log");
    let mut list = listed(&path);
    assert!(!list.has_waiting().unwrap(), "there is no log yet");
    assert!(!path.exists(), "and looking makes none");
    let (mut writer, mut other) = (open(&path), open(&path));
    let (one, two) = ([item("a"), item("b")], [item("c")]);
    let numbers = [writer.queue(&one).unwrap(), other.queue(&two).unwrap()];
    assert!(numbers[0] < numbers[1]);
    let both = [job(numbers[0], &one, None), job(numbers[1], &two, None)];
    assert_eq!(untimed(list.waiting().unwrap()), both);
    assert!(list.has_waiting().unwrap() && list.is_waiting(numbers[0]).unwrap());

    assert!(other.settle(numbers[0], &Outcome::Sent).unwrap());
    assert!(!writer.settle(numbers[0], &Outcome::Cancelled).unwrap(), "another was faster");
    assert_eq!(untimed(list.all().unwrap()), both[1..]);
    assert!(writer.settle(numbers[1], &Outcome::Cancelled).unwrap());
    assert!(!list.has_waiting().unwrap() && list.all().unwrap().is_empty());
    assert!(!writer.settle(1, &Outcome::Sent).unwrap(), "there never was such a job");
    assert!(writer.queue(&[]).is_err());
    assert_eq!(told(), [""; 0]);
}

#[test]
fn a_stopped_job_is_listed_until_the_user_decides() {
    let dir = directory();
    let path = dir.path().join("a.files.log");
    let (mut files, mut list) = (open(&path), listed(&path));
    let numbers = [files.queue(&[item("a")]).unwrap(), files.queue(&[item("b")]).unwrap()];
    assert!(!files.queue_again(numbers[0], &[item("x")]).unwrap(), "it waits already");
    let refused = Stop::Refused("it takes no files".into());
    files.settle(numbers[0], &Outcome::Stopped(changed())).unwrap();
    files.settle(numbers[1], &Outcome::Stopped(refused.clone())).unwrap();
    assert!(!list.has_waiting().unwrap() && list.waiting().unwrap().is_empty());
    let stopped =
        [job(numbers[0], &[item("a")], Some(changed())), job(numbers[1], &[item("b")], Some(refused))];
    assert_eq!(untimed(list.all().unwrap()), stopped);

    let grown = Item { size: 9, ..item("a") };
    assert!(files.queue_again(numbers[0], std::slice::from_ref(&grown)).unwrap());
    assert_eq!(untimed(list.waiting().unwrap()), [job(numbers[0], &[grown], None)], "under its old number");
    files.settle(numbers[1], &Outcome::Cancelled).unwrap();
    assert_eq!(list.all().unwrap().len(), 1);
    assert!(!files.queue_again(numbers[1], &[item("b")]).unwrap(), "it is gone");
}

/// A log in which every kind of record is: its bytes, where each record ends, and what is listed then.
fn history() -> (Vec<u8>, Vec<(usize, Vec<Job>)>) {
    let dir = directory();
    let path = dir.path().join("a.files.log");
    let (mut files, mut list) = (open(&path), listed(&path));
    let mut ends = Vec::new();
    let mut note = || ends.push((fs::metadata(&path).unwrap().len() as usize, untimed(list.all().unwrap())));
    note();
    let mut queue = |files: &mut QueuedFiles, name| {
        let number = files.queue(&[item(name), item("more")]).unwrap();
        note();
        number
    };
    let [a, b, c] = ["a", "b", "c"].map(|name| queue(&mut files, name));
    for (number, outcome) in [
        (a, Outcome::Stopped(changed())),
        (b, Outcome::Sent),
        (c, Outcome::Stopped(Stop::Refused("no".into()))),
    ] {
        assert!(files.settle(number, &outcome).unwrap());
        note();
    }
    assert!(files.queue_again(a, &[item("z")]).unwrap());
    note();
    assert!(files.settle(c, &Outcome::Cancelled).unwrap());
    note();
    (fs::read(&path).unwrap(), ends)
}

#[test]
fn a_log_cut_at_any_byte_lists_what_its_whole_records_say() {
    let (bytes, ends) = history();
    assert_eq!(ends.last().unwrap().0, bytes.len());
    let dir = directory();
    for cut in 0..=bytes.len() {
        let path = dir.path().join(format!("{cut}.files.log"));
        fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().rfind(|(end, _)| *end <= cut);
        let expected = whole.map_or(&[][..], |(_, jobs)| jobs);
        let mut follower = listed(&path);
        assert_eq!(untimed(follower.all().unwrap()), expected, "cut at {cut}");
        assert_eq!(told(), [""; 0], "a reader takes it for a tail in progress");
        let mut files = open(&path);
        let is_torn = whole.is_some_and(|(end, _)| *end < cut);
        assert_eq!(told().len(), usize::from(is_torn), "cut at {cut}");
        let number = files.queue(&[item("new")]).unwrap();
        let now = [expected, &[job(number, &[item("new")], None)]].concat();
        assert_eq!(untimed(follower.all().unwrap()), now, "cut at {cut}");
        assert_eq!(untimed(listed(&path).all().unwrap()), now, "cut at {cut}");
    }
}

#[test]
fn a_damaged_record_is_told_and_harms_no_other() {
    let dir = directory();
    let path = dir.path().join("a.files.log");
    let mut files = open(&path);
    let first = files.queue(&[item("a")]).unwrap();
    let place = fs::metadata(&path).unwrap().len();
    files.queue(&[item("b")]).unwrap();
    files.settle(first, &Outcome::Stopped(changed())).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"damage", place + 50).unwrap();
    assert_eq!(untimed(listed(&path).all().unwrap()), [job(first, &[item("a")], Some(changed()))]);
    let told = told();
    assert!(told.len() == 1 && told[0].contains("damaged and were skipped"), "{told:?}");
    assert!(QueuedFiles::open(id(&path), Arc::new(tell)).is_err(), "nothing is appended behind damage");
}

#[test]
fn a_log_that_has_grown_starts_afresh_when_nothing_is_listed() {
    let dir = directory();
    let path = dir.path().join("a.files.log");
    let (mut files, mut other, mut list) = (open(&path), open(&path), listed(&path));
    let stuck = files.queue(&[item("stuck")]).unwrap();
    files.settle(stuck, &Outcome::Stopped(changed())).unwrap();
    let long = files.queue(&long_items()).unwrap();
    assert_eq!(list.all().unwrap().len(), 2);
    files.settle(long, &Outcome::Sent).unwrap();
    let length = || fs::metadata(&path).unwrap().len();
    assert!(length() > 1 << 20, "something is listed");
    files.settle(stuck, &Outcome::Cancelled).unwrap();
    assert!(length() < 200);

    let next = other.queue(&[item("next")]).unwrap();
    assert!(next > long);
    for list in [&mut list, &mut listed(&path)] {
        assert_eq!(untimed(list.all().unwrap()), [job(next, &[item("next")], None)]);
    }
    assert!(files.settle(next, &Outcome::Sent).unwrap());
    assert!(!list.has_waiting().unwrap());
    assert_eq!(told(), [""; 0]);
}

#[test]
fn nothing_queued_is_lost_while_the_log_starts_afresh() {
    let dir = directory();
    let path = dir.path().join("a.files.log");
    let sent = thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut files, items) = (open(&path), long_items());
                    (0..10).map(|n| files.queue(&items[..n * 20 + 1]).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        let (mut files, mut list) = (open(&path), listed(&path));
        let mut sent = Vec::new();
        while sent.len() < 30 {
            for job in list.waiting().unwrap() {
                assert!(files.settle(job.number, &Outcome::Sent).unwrap());
                sent.push(job.number);
            }
        }
        let mut queued: Vec<u64> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        queued.sort();
        sent.sort();
        assert_eq!(sent, queued);
        sent
    });
    assert!(sent.is_sorted_by(|a, b| a < b), "each once");
    assert!(!listed(&path).has_waiting().unwrap());
}

#[test]
fn it_is_a_log_of_its_own_kind() {
    let dir = directory();
    let path = dir.path().join("a.files.log");
    open(&path).queue(&[item("a")]).unwrap();
    assert_eq!(fs::read(&path).unwrap()[..10], *b"E-GOATLG\x01\x03");
    let key = |byte| Seed::from_bytes([byte; 32]);
    let outbox = LogId::new(path, Kind::Outbox, &key(2).static_keys().public(), &key(1));
    assert!(Log::open(outbox, Arc::new(tell)).is_err());
}

#[derive(Clone, Debug)]
enum Op {
    /// Many items or one.
    Queue(bool),
    /// Which job, and what becomes of it.
    Settle(prop::sample::Index, u8),
    QueueAgain(prop::sample::Index),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        3 => prop::bool::weighted(0.15).prop_map(Op::Queue),
        4 => (which(), 0..6u8).prop_map(|(which, outcome)| Op::Settle(which, outcome)),
        2 => which().prop_map(Op::QueueAgain),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_log_does_what_a_simple_model_does(ops in prop::collection::vec(op(), 1..40)) {
        let dir = directory();
        let path = dir.path().join("a.files.log");
        let (mut files, mut list) = (open(&path), listed(&path));
        let (mut model, mut given) = (BTreeMap::new(), vec![1]);
        for op in ops {
            match op {
                Op::Queue(many) => {
                    let items = if many { long_items() } else { vec![item("a")] };
                    let number = files.queue(&items).unwrap();
                    prop_assert!(number > *given.last().unwrap(), "numbers rise");
                    given.push(number);
                    model.insert(number, job(number, &items, None));
                }
                Op::Settle(which, outcome) => {
                    let number = *which.get(&given);
                    let outcome = match outcome {
                        0 => Outcome::Stopped(changed()),
                        1 => Outcome::Stopped(Stop::Refused("no".into())),
                        2 => Outcome::Cancelled,
                        _ => Outcome::Sent,
                    };
                    prop_assert_eq!(files.settle(number, &outcome).unwrap(), model.contains_key(&number));
                    match (outcome, model.get_mut(&number)) {
                        (Outcome::Stopped(stop), Some(job)) => job.stopped = Some(stop),
                        _ => drop(model.remove(&number)),
                    }
                }
                Op::QueueAgain(which) => {
                    let number = *which.get(&given);
                    let is_stopped = model.get(&number).is_some_and(|job| job.stopped.is_some());
                    prop_assert_eq!(files.queue_again(number, &[item("again")]).unwrap(), is_stopped);
                    if is_stopped {
                        model.insert(number, job(number, &[item("again")], None));
                    }
                }
                Op::Reopen => files = open(&path),
            }
            let expected: Vec<Job> = model.values().cloned().collect();
            prop_assert!(untimed(list.all().unwrap()) == expected);
            prop_assert!(untimed(listed(&path).all().unwrap()) == expected);
            prop_assert_eq!(list.has_waiting().unwrap(), expected.iter().any(|job| job.stopped.is_none()));
        }
        prop_assert_eq!(told(), [""; 0]);
    }
}

/// The home's owner, to queue files without a process.
fn own(home: &Home) -> Own {
    let found = egoat::store::home::Home::locate(home.path("").to_str()).unwrap();
    found.unlock(|_| None, || unreachable!("no passphrase"), Arc::new(|_: &str| ())).unwrap()
}

/// Alice knows Bob, who is nowhere.
fn alice_and_bob() -> (Home, PublicKey) {
    let alice = Home::new("alice");
    let bob = Seed::from_bytes([7; 32]).static_keys().public();
    alice.run(&["peers", "add", "bob", &bob.to_string()]);
    (alice, bob)
}

fn files(home: &Home, peer: &PublicKey) -> QueuedFiles {
    own(home).queued_files(peer).unwrap()
}

fn own_files(home: &Home) -> OwnFiles {
    OwnFiles::of(own(home).home()).unwrap()
}

/// Queues files as they are; gives the number.
fn queue(home: &Home, peer: &PublicKey, names: &[&str]) -> u64 {
    let items: Vec<Item> =
        names.iter().map(|name| snapshot(&home.path(name), &own_files(home)).unwrap()).collect();
    files(home, peer).queue(&items).unwrap()
}

/// What the node does when it comes to a job whose source has changed.
fn stop_what_changed(home: &Home, peer: &PublicKey, number: u64) {
    let jobs = own(home).read_queued_files(peer).waiting().unwrap();
    let stop = jobs.iter().find(|job| job.number == number).unwrap().change(&own_files(home)).unwrap();
    assert!(files(home, peer).settle(number, &Outcome::Stopped(stop)).unwrap());
}

/// Two look at a job that has changed: one stops it, its user queues it again, and only then the other would stop it.
#[test]
fn what_was_queued_again_is_not_stopped_for_what_was_before() {
    let (alice, bob) = alice_and_bob();
    alice.file("a", "12345");
    let one = queue(&alice, &bob, &["a"]);
    alice.file("a", "123456");
    let seen = own(&alice).read_queued_files(&bob).waiting().unwrap().remove(0);
    stop_what_changed(&alice, &bob, one);
    let mut queue = files(&alice, &bob);
    assert!(queue.queue_again(one, &seen.items_now(&own_files(&alice)).unwrap()).unwrap());
    assert!(!queue.stop(&seen, seen.change(&own_files(&alice)).unwrap()).unwrap());
    let jobs = own(&alice).read_queued_files(&bob).waiting().unwrap();
    assert_eq!(jobs.iter().map(|job| (job.number, job.size())).collect::<Vec<_>>(), [(one, 6)]);
}

#[test]
fn the_outbox_lists_files_beside_messages_oldest_first() {
    let (alice, bob) = alice_and_bob();
    alice.file("a.txt", "12345");
    fs::create_dir(alice.path("dir")).unwrap();
    alice.file("dir/b", [0; 2048]);
    let dir = format!("{}/", alice.around().display());
    let one = queue(&alice, &bob, &["a.txt"]);
    let (out, said) = alice.ends_with(&["outbox"], b"", 0);
    let time = |number| Zone::utc().format(number);
    assert_eq!(out, format!("{one} {} -> bob file {dir}a.txt (5 B)\n", time(one)));
    assert!(said.contains("bob: not tried yet; no node runs here"), "{said}");
    assert!(!own(&alice).home().outbox_path(&bob).exists(), "a list makes no outbox");

    alice.run(&["say", "bob", "between"]);
    let two = queue(&alice, &bob, &["dir", "a.txt"]);
    let lines = alice.run(&["outbox", "list"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(&one.to_string()) && lines[1].ends_with("-> bob: between"), "{lines:?}");
    assert_eq!(lines[2], format!("{two} {} -> bob file {dir}dir/ and 1 more (2.0 KiB)", time(two)));
    let json = alice.run(&["--json", "outbox"]);
    let json = json.lines().last().unwrap();
    let start = format!(
        "{{\"event\":\"file-queued\",\"peer\":\"bob\",\"number\":{two},\
         \"paths\":[\"{dir}dir/\",\"{dir}a.txt\"],\"size\":2053,\"state\":\"waiting\",\"reason\":null,\"age\":"
    );
    assert!(json.starts_with(&start), "{json}");
    assert!(json_text(json, "error").contains("bob") && json.ends_with(",\"next\":0}"), "{json}");
}

#[test]
fn the_outbox_says_why_files_were_not_sent() {
    let (alice, bob) = alice_and_bob();
    for name in ["a", "b", "c"] {
        alice.file(name, "12345");
    }
    let [one, two, three] = [&["a"][..], &["a", "b"], &["c"]].map(|names| queue(&alice, &bob, names));
    alice.file("a", "123456");
    stop_what_changed(&alice, &bob, one);
    alice.file("a", "12345");
    fs::remove_file(alice.path("b")).unwrap();
    // Its time has changed at the least.
    stop_what_changed(&alice, &bob, two);
    let refused = Outcome::Stopped(Stop::Refused("8.0 EiB is more than it takes\x1b[2J".into()));
    files(&alice, &bob).settle(three, &refused).unwrap();

    let (out, said) = alice.ends_with(&["outbox"], b"", 0);
    assert_eq!(said, "", "nobody tries anything");
    let lines: Vec<&str> = out.lines().collect();
    let dir = format!("{}/", alice.around().display());
    assert!(lines[0].starts_with(&format!("{one} (changed) ")), "{out}");
    assert!(
        lines[0].ends_with(&format!(" -> bob file {dir}a (5 B): its size was 5 B and is 6 B now")),
        "{out}"
    );
    let end = format!(" -> bob file {dir}a and 1 more (10 B): {dir}a: it was modified after it was queued");
    assert!(lines[1].starts_with(&format!("{two} (changed) ")) && lines[1].ends_with(&end), "{out}");
    assert!(lines[2].starts_with(&format!("{three} (refused) ")), "{out}");
    assert!(lines[2].ends_with(" (5 B): 8.0 EiB is more than it takes\u{fffd}[2J"), "{out}");
    let json = alice.run(&["--json", "outbox"]);
    let states: Vec<_> = json.lines().map(|line| json_text(line, "state")).collect();
    assert_eq!(states, ["changed", "changed", "refused"]);
    assert_eq!(json_text(json.lines().next().unwrap(), "reason"), "its size was 5 B and is 6 B now");
}

#[test]
fn no_path_can_forge_a_line() {
    let (alice, bob) = alice_and_bob();
    let evil = "a\n1 -> bob: no\x1b[2J\u{202e}";
    alice.file(evil, "");
    queue(&alice, &bob, &[evil]);
    let out = alice.run(&["outbox"]);
    assert!(out.ends_with("/a\u{fffd}1 -> bob: no\u{fffd}[2J\u{fffd} (0 B)\n"), "{out:?}");
    assert_eq!(out.lines().count(), 1);
    let json = alice.run(&["--json", "outbox"]);
    assert!(json.contains("/a\\n1 -> bob: no\\u001b[2J\\u202e\"]"), "{json}");
}

#[test]
fn files_are_cancelled_by_their_ids_beside_messages() {
    let (alice, bob) = alice_and_bob();
    alice.file("a", "12345");
    let [one, two, three] = [(); 3].map(|()| queue(&alice, &bob, &["a"]));
    alice.file("a", "123456");
    stop_what_changed(&alice, &bob, two);
    alice.run(&["say", "bob", "hello"]);
    let json = alice.run(&["--json", "outbox"]);
    let message = json.lines().last().unwrap().split("\"number\":").nth(1).unwrap();
    let message = message.split(',').next().unwrap();
    let out = alice.run(&["outbox", "cancel", &three.to_string(), message, &two.to_string()]);
    let expected =
        [message, &two.to_string(), &three.to_string()].map(|id| format!("cancelled {id} to bob\n"));
    assert_eq!(out, expected.concat());
    let said = alice.fails(&["outbox", "cancel", &two.to_string()], 1);
    assert!(said.contains("waits; it may be delivered by now"), "{said}");
    let out = alice.run(&["--json", "outbox", "cancel", &one.to_string()]);
    assert_eq!(out, format!("{{\"event\":\"cancelled\",\"peer\":\"bob\",\"number\":{one}}}\n"));
    assert_eq!(alice.run(&["outbox"]), "");
}

#[test]
fn retry_queues_what_was_stopped_as_it_is_now() {
    let (alice, bob) = alice_and_bob();
    // The retry does not try to send by itself beside a node.
    let _node = alice.serve();
    for name in ["a", "b", "c"] {
        alice.file(name, "12345");
    }
    let [one, two, three] = ["a", "b", "c"].map(|name| queue(&alice, &bob, &[name]));
    alice.file("a", "123456");
    fs::remove_file(alice.path("b")).unwrap();
    stop_what_changed(&alice, &bob, one);
    stop_what_changed(&alice, &bob, two);
    let (_, said) = alice.ends_with(&["outbox", "retry", "bob"], b"", 1);
    assert!(said.contains(&format!("{one} to bob waits again, as it is now")), "{said}");
    assert!(said.contains("cannot send ") && said.contains("/b: no such file"), "{said}");
    assert!(said.contains("the node tries now"), "{said}");
    let jobs = own(&alice).read_queued_files(&bob).all().unwrap();
    let seen: Vec<_> = jobs.iter().map(|job| (job.number, job.size(), job.stopped.is_some())).collect();
    assert_eq!(seen, [(one, 6, false), (two, 5, true), (three, 5, false)]);
    assert_eq!(jobs[0].change(&own_files(&alice)), None);

    alice.file("b", "1");
    let (_, said) = alice.ends_with(&["outbox", "retry"], b"", 0);
    assert!(
        said.contains(&format!("{two} to bob waits again")) && !said.contains(&one.to_string()),
        "{said}"
    );
    assert_eq!(own(&alice).read_queued_files(&bob).waiting().unwrap().len(), 3);
}
