//! Power cuts: homes on an ext4 of their own, which is shut down without its journal while messages flow. What was
//! reported delivered is with the receiver then, what was reported queued is there or delivered, each exactly once; and
//! files that were reported sent are there, whole.

use crate::common;

use common::files::{names_in, sample_of};
use common::strace::{self, Fault, Faulty, KILL};
use common::tree::{all_in, as_received, put};
use common::{Home, Node, Process, Random, count, poll_for, poll_until};
use std::collections::HashSet;
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Those who speak at once.
const SPEAKERS: usize = 3;

/// Waits for a line. Then it stops processes, as nobody says anything after a power cut, and shuts file systems down by
/// EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: what the journal has not written is gone.
const POWER_CUT: &str = "import fcntl, os, signal, struct, sys
disks = [os.open(path, os.O_RDONLY) for path in sys.argv[1].split()]
print('ready', flush=True)
sys.stdin.readline()
for pid in sys.argv[2:]: os.kill(int(pid), signal.SIGSTOP)
for disk in disks: fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))
print('done', flush=True)";

/// Gets ready to cut the power of these disks, and of the machines with these processes.
fn power_cut(disks: &[&Disk], pids: &[u32]) -> Process {
    let roots: Vec<String> = disks.iter().map(|disk| disk.root().to_str().unwrap().to_owned()).collect();
    let mut command = Command::new("python3");
    command.args(["-c", POWER_CUT]).arg(roots.join(" ")).args(pids.iter().map(u32::to_string));
    Process::start(command)
}

/// Set in a test that has its mounts to itself.
const OWN_MOUNTS: &str = "EGOAT_OWN_MOUNTS";

/// Runs the test in a process of its own, in a mount namespace of its own, and returns true. Returns false in that process.
///
/// A mount namespace begins as a copy of the one that it is made in. Whenever another program makes one, the copy keeps
/// our file system alive after umount(8), still shut down, and mount(8) finds it instead of replaying the journal.
fn runs_in_own_mounts(test: &str) -> bool {
    if env::var_os(OWN_MOUNTS).is_some() {
        return false;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    if !succeeds(unshare().arg("true")) {
        crate::common::skip("`unshare --mount` does not work here");
        return true;
    }
    let mut command = unshare();
    command
        .arg(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg(format!("powercut::{test}"));
    let output = command.env(OWN_MOUNTS, "1").stdin(Stdio::null()).output().unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && printed[0].contains("1 passed"), "{}\n{}", printed[0], printed[1]);
    println!("{}", printed[0]);
    true
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// A file system in a file.
struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    /// `None` where this needs rights or tools that are not there.
    fn new() -> Option<Disk> {
        let disk = Disk { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(disk.root()).unwrap();
        let image = disk.dir.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let is_mounted = succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image)) && disk.mount();
        if !is_mounted || !succeeds(Command::new("python3").arg("--version")) {
            return None;
        }
        let mut cut = power_cut(&[&disk], &[]);
        cut.write(b"\n");
        (cut.end().1 == "ready\ndone\n" && disk.replace_power()).then_some(disk)
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("mounted")
    }

    fn mount(&self) -> bool {
        succeeds(
            Command::new("mount").args(["-o", "loop"]).arg(self.dir.path().join("image")).arg(self.root()),
        )
    }

    /// Mounts it again, which replays the journal.
    fn replace_power(&self) -> bool {
        succeeds(Command::new("umount").arg(self.root())) && self.mount()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        succeeds(Command::new("umount").arg("-l").arg(self.root()));
    }
}

/// What was said of messages, by their texts.
#[derive(Default)]
struct Told {
    queued: Vec<String>,
    delivered: Vec<String>,
    /// Those whose `say` was under way when the power went off: they may be there or not, but not twice.
    unknown: Vec<String>,
}

/// Says one thing after the other until the power is off.
fn speak(alice: &Home, speaker: &str, is_off: &AtomicBool, told: &Mutex<Told>) {
    for number in 0.. {
        let text = format!("{speaker} says {number}");
        let output = alice.cmd(&["say", "bob", &text]).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let mut told = told.lock().unwrap();
        match output.status.code() {
            // Too late: where the power is off, nobody would have seen it.
            _ if is_off.load(Ordering::Acquire) => {
                told.unknown.push(text);
                return;
            }
            Some(0) if said.contains("delivered to bob") => told.delivered.push(text),
            Some(0) => {
                assert!(said.contains("queued for bob"), "{said}");
                told.queued.push(text);
            }
            code => panic!("{code:?}: {said}"),
        }
    }
}

fn is_in_order(texts: &[String]) -> bool {
    let number = |text: &str| text.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    let speakers: HashSet<&str> = texts.iter().map(|text| text.rsplit_once(' ').unwrap().0).collect();
    speakers.into_iter().all(|speaker| {
        let its = texts.iter().filter(|text| text.rsplit_once(' ').unwrap().0 == speaker);
        its.map(|text| number(text)).is_sorted_by(|a, b| a < b)
    })
}

fn check(alice: &Home, bob: &Home, told: &Told, context: &str) {
    let received = bob.received();
    let there: HashSet<&String> = received.iter().collect();
    assert_eq!(there.len(), received.len(), "{context}: some came twice: {received:?}");
    for text in told.delivered.iter().chain(&told.queued) {
        assert!(there.contains(text), "{context}: {text} is not there");
    }
    let all: HashSet<&String> = told.delivered.iter().chain(&told.queued).chain(&told.unknown).collect();
    assert!(there.is_subset(&all), "{context}: {received:?}");
    assert!(is_in_order(&received), "{context}: {received:?}");
    assert_eq!(alice.delivered(), received, "{context}");
}

/// The paths of what was kept aside.
fn aside(home: &Home) -> Vec<String> {
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let all = ["history", "outbox"].iter().flat_map(|dir| names(&home.path(dir)));
    all.filter(|name| !name.ends_with(".log") && !name.ends_with(".lock")).collect()
}

#[test]
fn a_power_cut_loses_and_doubles_nothing() {
    if runs_in_own_mounts("a_power_cut_loses_and_doubles_nothing") {
        return;
    }
    let (Some(sender), Some(receiver)) = (Disk::new(), Disk::new()) else {
        crate::common::skip("this needs root, loop devices, mkfs.ext4, mount and python3");
        return;
    };
    let alice = Home::new_in(&sender.root(), "alice");
    let bob = Home::new_in(&receiver.root(), "bob");
    let mut nodes: [Node; 2] = [&alice, &bob].map(Home::serve);
    let addrs = nodes.each_ref().map(|node| node.addr.clone());
    common::pair(&alice, &bob);
    let told = Mutex::new(Told::default());
    let mut random = Random::seeded(4);
    for cycle in 0..count(3, 50) {
        // Both, the sender alone while the receiver is away, the receiver alone, the sender alone.
        let machines = [0..2, 0..1, 1..2, 0..1][cycle % 4].clone();
        let cut = &[&sender, &receiver][machines.clone()];
        let is_away = cycle % 4 == 1;
        if is_away {
            nodes[1].kill9();
        }
        let is_off = AtomicBool::new(false);
        let enough = if is_away { SPEAKERS } else { 3 + random.below(20) };
        let said = || {
            let told = told.lock().unwrap();
            if is_away { told.queued.len() } else { told.delivered.len() }
        };
        let before = said();
        // Alice's machine has the first disk, Bob's the second.
        let pids: Vec<u32> = nodes[machines.clone()].iter().map(|node| node.child.id()).collect();
        let mut power = power_cut(cut, &pids);
        power.wait_for("ready");
        let errors = thread::scope(|scope| {
            for speaker in 0..SPEAKERS {
                let (alice, told, is_off) = (&alice, &told, &is_off);
                scope.spawn(move || speak(alice, &format!("{cycle}.{speaker}"), is_off, told));
            }
            let has_flowed = poll_for(|| (said() >= before + enough).then_some(()));
            // First of all, since it is what ends the speakers.
            is_off.store(true, Ordering::Release);
            assert!(has_flowed.is_some(), "cycle {cycle}: messages do not flow");
            power.write(b"\n");
            assert_eq!(power.end().1, "done\n");
            // A `say` may wait for a lock that a stopped node holds.
            nodes.each_mut().map(|node| node.kill9())
        });
        assert!(cut.iter().all(|disk| disk.replace_power()), "cycle {cycle}: it cannot be mounted again");
        nodes = [alice.serve_again_at(&addrs[0]), bob.serve_again_at(&addrs[1])];
        alice.run(&["say", "--wait", "60s", "bob", &format!("{cycle}.last says 0")]);
        told.lock().unwrap().delivered.push(format!("{cycle}.last says 0"));
        let context =
            format!("cycle {cycle}, told before {errors:?}, kept {:?}", [aside(&alice), aside(&bob)]);
        check(&alice, &bob, &told.lock().unwrap(), &context);
    }
    let told = told.lock().unwrap();
    println!(
        "{} messages reported delivered, {} queued, {} unknown; kept aside: {:?}; told: {:?}",
        told.delivered.len(),
        told.queued.len(),
        told.unknown.len(),
        [aside(&alice), aside(&bob)],
        nodes.each_mut().map(|node| node.kill9())
    );
}

/// Large files are synced in between too, many small ones by several threads.
#[test]
fn files_that_were_sent_outlive_a_power_cut() {
    if runs_in_own_mounts("files_that_were_sent_outlive_a_power_cut") {
        return;
    }
    let Some(receiver) = Disk::new() else {
        crate::common::skip("this needs root, loop devices, mkfs.ext4, mount and python3");
        return;
    };
    let (alice, bob) = (Home::new("alice"), Home::new_in(&receiver.root(), "bob"));
    let landing = bob.path("downloads/alice");
    for (name, files) in [("few", 3), ("many", 300)] {
        let tree = alice.path(name);
        put(&tree.join("empty"), b"");
        for number in 0..files {
            put(&tree.join(format!("{}/{number}", number / 40)), &sample_of(number, 5000));
        }
        put(&tree.join("large"), &sample_of(99, 1_300_000));
        let mut node = bob.serve();
        common::pair(&bob, &alice);
        let mut power = power_cut(&[&receiver], &[node.child.id()]);
        power.wait_for("ready");
        alice.run(&["send", "bob", tree.to_str().unwrap()]);
        power.write(b"\n");
        assert_eq!(power.end().1, "done\n");
        node.kill9();
        assert!(receiver.replace_power(), "{name}: it cannot be mounted again");
        assert_eq!(all_in(&landing.join(name)), as_received(&tree), "{name}");
    }
}

/// The node dies between giving a directory its name and telling so, and the power goes off soon after: what the disk has
/// of the names by then says that all was whole.
#[test]
fn no_directory_is_there_twice_after_a_power_cut() {
    if runs_in_own_mounts("no_directory_is_there_twice_after_a_power_cut") {
        return;
    }
    let Some(receiver) = Disk::new().filter(|_| strace::works()) else {
        crate::common::skip("this needs root, loop devices, mkfs.ext4, mount, python3 and strace");
        return;
    };
    let (alice, bob) = (Home::new("alice"), Home::new_in(&receiver.root(), "bob"));
    let landing = bob.path("downloads/alice");
    let tree = alice.path("tree");
    put(&tree.join("file"), b"whole");
    let node = bob.serve();
    common::pair(&bob, &alice);
    let addr = node.addr.clone();
    drop(node);
    std::fs::create_dir_all(&landing).unwrap();
    // First for the folder in which it waits.
    let fault = Fault { call: "fsync", how: KILL, nth: 2, on: vec![landing.clone()] };
    let mut node = Faulty::start(&bob, &["serve", "--listen", &addr], &fault);
    node.wait_for("listening on ");
    alice.fails(&["send", "bob", tree.to_str().unwrap()], 69);
    poll_until("the fault", || node.was_hit().then_some(()));
    assert!(landing.join("tree/file").exists(), "it has its name");
    // Any sync has the journal written: that of a rename, but not of what has no place on the disk yet.
    std::fs::File::create(receiver.root().join("other")).unwrap().sync_all().unwrap();
    let mut power = power_cut(&[&receiver], &[]);
    power.write(b"\n");
    assert_eq!(power.end().1, "ready\ndone\n");
    node.stop();
    assert!(receiver.replace_power(), "it cannot be mounted again");
    assert!(landing.join("tree/file").exists(), "its name was in the journal");
    let _node = bob.serve();
    common::pair(&bob, &alice);
    alice.run(&["send", "bob", tree.to_str().unwrap()]);
    assert_eq!(names_in(&landing), ["tree"]);
    assert_eq!(all_in(&landing.join("tree")), as_received(&tree));
}
