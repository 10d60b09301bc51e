//! `egoat demo`: what the program is for, shown with itself. Two homes in a temporary directory, real processes, real
//! TCP on loopback; every step is checked, and printed with the time that it took.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::iter::successors;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::app::settings;
use crate::error::{Error, Result, Verb};
use crate::text::{self, json::Object};
use crate::ui::output::Output;

/// Every wait of the demo.
const TIMEOUT: Duration = Duration::from_secs(20);
const FILE_BYTES: usize = 64 << 20;

pub fn run(out: Output) -> Result<()> {
    let stage = Stage::new(out)?;
    let alice = stage.actor("alice")?;
    let bob = stage.actor("bob")?;

    let mut alice_node = stage.step("alice starts a node", || alice.serve())?;
    stage.step("alice invites, bob joins by the link", || {
        let link = alice.run(&["invite"])?;
        // Not as an argument, which others on this machine can see.
        bob.pipe(&["join", "-"], &link).map(drop)
    })?;
    let mut bob_node = stage.step("bob starts a node", || bob.serve())?;
    stage.step("alice says something to bob: on his disk when it is acknowledged", || {
        alice.run(&["say", "--wait", "20s", "bob", "hello bob"])?;
        bob_node.wait_for("message from alice: hello bob")
    })?;
    stage.step("bob answers", || {
        bob.run(&["say", "--wait", "20s", "alice", "hello alice"])?;
        alice_node.wait_for("message from bob: hello alice")
    })?;
    stage.step("bob's node is killed", || bob_node.kill())?;
    stage.step("alice says something to him, which waits in her outbox", || {
        alice.run(&["say", "bob", "are you there?"])?;
        expect(alice.run(&["outbox"])?.contains("-> bob: are you there?"), "nothing waits in the outbox")
    })?;
    let mut bob_node = stage.step("bob comes back, on another port, and has it at once", || {
        let mut node = bob.serve()?;
        node.wait_for("message from alice: are you there?")?;
        Ok(node)
    })?;
    stage.step("alice sends bob a file of 64 MiB; both copies are the same", || {
        let (file, bytes) = (stage.dir.join("sample.bin"), sample());
        fs::write(&file, &bytes).map_err(Error::disk(Verb::Write, &file))?;
        alice.run(&["send", "bob", &file.to_string_lossy()])?;
        bob_node.wait_for("file from alice: ")?;
        let copy = bob.home.join("downloads/alice/sample.bin");
        expect(fs::read(&copy).map_err(Error::disk(Verb::Read, &copy))? == bytes, "the copies differ")
    })?;
    stage.step("both histories tell the same", || {
        let (hers, his) = (alice.run(&["log", "bob"])?, bob.run(&["log", "alice"])?);
        let has_once = |log: &str, what: &str| log.matches(what).count() == 1;
        let are_same = ["hello bob", "hello alice", "are you there?"]
            .iter()
            .all(|what| has_once(&hers, what) && has_once(&his, what));
        expect(are_same, "a message is missing, or there twice")
    })?;
    out.note("all of it worked");
    Ok(())
}

fn expect(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::failed(format!("the demo failed: {otherwise}"))) }
}

fn failed(what: &str, cause: &std::io::Error) -> Error {
    Error::failed(format!("the demo failed: {what}: {cause}"))
}

/// The directory of the demo, gone when it ends.
struct Stage {
    out: Output,
    dir: PathBuf,
}

impl Stage {
    fn new(out: Output) -> Result<Stage> {
        Ok(Stage { out, dir: settings::temporary_dir("egoat-demo")? })
    }

    fn actor(&self, name: &str) -> Result<Actor> {
        let actor = Actor { home: self.dir.join(name) };
        actor.run(&["id", "--name", name])?;
        Ok(actor)
    }

    fn step<T>(&self, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = act()?;
        self.tell(what, started.elapsed()).map(|()| result)
    }

    fn tell(&self, what: &str, took: Duration) -> Result<()> {
        self.out.data(&format!("{:>8}  {what}", text::duration(took)), || {
            Object::event("step").text("what", what).number("microseconds", took.as_micros() as u64)
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Somebody with a home of their own.
struct Actor {
    home: PathBuf,
}

impl Actor {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let program =
            std::env::current_exe().map_err(|cause| failed("this program cannot find itself", &cause))?;
        let mut command = Command::new(program);
        command
            .arg("--home")
            .arg(&self.home)
            .args(arguments)
            .stdin(Stdio::null())
            .env_remove("EGOAT_DOWNLOADS")
            .env_remove("EGOAT_PASSPHRASE_FD")
            .env_remove("EGOAT_PROXY");
        Ok(command)
    }

    /// Runs a command to its end and gives its stdout.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        self.pipe(arguments, "")
    }

    /// The same with `input` on its stdin.
    fn pipe(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(arguments)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut run = || {
            let mut child = command.spawn()?;
            // What it does not want to read, it does not need.
            let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
            child.wait_with_output()
        };
        let ran = run().map_err(|cause| failed("a command did not start", &cause))?;
        let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
        expect(
            ran.status.success(),
            &format!("`egoat {}` ended with {}: {stderr}", arguments.join(" "), ran.status),
        )?;
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// Starts a node and waits until it listens.
    fn serve(&self) -> Result<Node> {
        let mut command = self.command(&["serve", "--show-text", "--listen", "127.0.0.1:0"])?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|cause| failed("a node did not start", &cause))?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            // Ends with the node, or when the demo does not listen any more.
            thread::spawn(move || {
                BufReader::new(stdout)
                    .lines()
                    .map_while(|line| line.ok())
                    .try_for_each(|line| sender.send(line))
            });
        }
        let mut node = Node { child, lines };
        node.wait_for("listening on ")?;
        Ok(node)
    }
}

/// A running node, killed when it is dropped.
struct Node {
    child: Child,
    lines: Receiver<String>,
}

impl Node {
    fn wait_for(&mut self, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                // Behind the time.
                Ok(line) if line.contains(wanted) => return Ok(()),
                Ok(_) => {}
                Err(_) => {
                    return expect(
                        false,
                        &format!("the node did not say \"{wanted}\" in {}", text::duration(TIMEOUT)),
                    );
                }
            }
        }
    }

    fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .map(drop)
            .map_err(|cause| failed("a node cannot be killed", &cause))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.kill();
    }
}

/// Bytes that repeat nowhere near, so that a misplaced chunk shows.
fn sample() -> Vec<u8> {
    // Knuth's MMIX generator: good enough to tell places apart.
    let next = |state: &u64| Some(state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407));
    successors(Some(1), next).flat_map(u64::to_be_bytes).take(FILE_BYTES).collect()
}
