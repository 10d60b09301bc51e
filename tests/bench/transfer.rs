//! The second half of `make bench`: how fast files travel, beside what a user would pick instead of egoat and beside
//! what the machine allows. All of it is real processes on loopback, from memory to memory, and over links of network
//! namespaces; the contenders of a table take turns, so that a disturbance hits all of them. Nothing fails here but a broken program.
//!
//! `cargo bench --bench transfer -- seal big` runs some sections only; EGOAT_RUNS says how often each contender runs,
//! after once that is not counted. Homes are in the temporary directory and sync to its disk as ever; with
//! TMPDIR=/dev/shm they do not. Left out: real networks, and magic-wormhole, which needs a server to meet at.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

mod common;
mod contender;
mod delay;
mod load;
#[path = "../common/sshd.rs"]
mod sshd;
mod usage;
mod wide;

use std::rc::Rc;
use std::time::Duration;

use common::{Home, median_and_worst, milliseconds, row, sync_time, time};
use contender::{Contender, FAST_SCP, STREAMS, cipher, egoat, egoats, over_ssh, plain_tcp, takes_trees};
use load::{Ground, Load};
use usage::{Run, Used};

const GIB: u64 = 1 << 30;
const DELAY: Duration = Duration::from_millis(25);
/// Opening a connection, the handshake, the offer, lanes, the end: what a transfer may wait for.
const ROUND_TRIPS: f64 = 8.0;
const ROUND_TRIP: f64 = 2.0 * DELAY.as_millis() as f64 / 1e3;

/// Its name, and what it measures and prints.
type Section = (&'static str, fn(&Bench));
const SECTIONS: [Section; 6] =
    [("seal", seal), ("big", big), ("small", small), ("tiny", tiny), ("delay", delayed), ("wide", wide)];

struct Bench {
    ground: Ground,
    runs: usize,
}

fn main() {
    // Cargo adds options of its own.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let runs = std::env::var("EGOAT_RUNS").map_or(5, |runs| runs.parse().expect("EGOAT_RUNS is a number"));
    assert!(runs > 0, "EGOAT_RUNS is at least 1");
    if !SECTIONS.iter().any(|(name, _)| is_wanted(name)) {
        return println!("the sections are {}", SECTIONS.map(|(name, _)| name).join(", "));
    }
    let bench = Bench { ground: Ground::new(), runs };
    println!(
        "{runs} runs; MB are 10^6 bytes, MiB 2^20; s+s and MiB+MiB: sending + receiving end; cores: CPU s in wall s"
    );
    for (name, section) in SECTIONS.into_iter().filter(|(name, _)| is_wanted(name)) {
        println!("\n[{name}]");
        section(&bench);
    }
}

/// Who took how long, in seconds, a figure for each round. Verdicts compare within a round and take the median of that:
/// what slows the machine for a while then slows both sides.
struct Ranking(Vec<(String, Vec<f64>)>);

impl Ranking {
    /// The fastest, by its median, of those whose names begin like this.
    fn best(&self, name: &str) -> Option<&[f64]> {
        let named =
            self.0.iter().filter(|(what, _)| what.starts_with(name)).map(|(_, rounds)| rounds.as_slice());
        named.min_by(|one, other| median(one.iter().copied()).total_cmp(&median(other.iter().copied())))
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The median of what `compare` makes of two figures of a round.
fn over_rounds(one: &[f64], other: &[f64], compare: impl Fn(f64, f64) -> f64) -> f64 {
    median(one.iter().zip(other).map(|(one, other)| compare(*one, *other)))
}

/// Lets the contenders take turns, and prints a row for each.
fn contest(load: &Load, contenders: &[Contender], runs: usize) -> Ranking {
    println!(
        "{:<32} {:>11} {:>11} {:>7} {:>12} {:>6} {:>13}",
        load.name(),
        "median",
        "worst",
        "MB/s",
        "CPU s+s",
        "cores",
        "peak MiB+MiB"
    );
    let mut all: Vec<Vec<Run>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=runs {
        for (contender, counted) in contenders.iter().zip(&mut all) {
            let run = contender.run(load);
            // The first round warms up.
            if round > 0 {
                counted.push(run);
            }
        }
    }
    let print = |(contender, runs): (&Contender, Vec<Run>)| {
        let (median, worst) = median_and_worst(runs.iter().map(|run| run.wall).collect());
        println!(
            "{:<32} {:>11} {:>11} {:>7.0} {:>12} {:>6} {:>13}",
            contender.what,
            milliseconds(median),
            milliseconds(worst),
            load.bytes as f64 / 1e6 / median.as_secs_f64(),
            both(&runs, 2, |used| used.seconds, |all| all.iter().sum::<f64>() / all.len() as f64),
            cores(&runs),
            both(&runs, 1, |used| used.peak, |all| all.iter().copied().fold(0.0, f64::max)),
        );
        (contender.what.clone(), runs.iter().map(|run| run.wall.as_secs_f64()).collect())
    };
    Ranking(contenders.iter().zip(all).map(print).collect())
}

/// A figure of both ends over all runs; a dash where it is not known.
fn both(
    runs: &[Run],
    digits: usize,
    figure: impl Fn(Used) -> Option<f64>,
    over_all: impl Fn(&[f64]) -> f64,
) -> String {
    let end = |pick: fn(&Run) -> Used| {
        let all: Option<Vec<f64>> = runs.iter().map(|run| figure(pick(run))).collect();
        all.map_or("-".into(), |all| format!("{:.digits$}", over_all(&all)))
    };
    format!("{}+{}", end(|run| run.sender), end(|run| run.receiver))
}

/// Processor time in wall time. The cipher alone gets fewer than there are where others use the machine, too.
fn cores(runs: &[Run]) -> String {
    let used = |used: Used| used.seconds.unwrap_or_default();
    let processor: f64 = runs.iter().map(|run| used(run.sender) + used(run.receiver)).sum();
    let wall: Duration = runs.iter().map(|run| run.wall).sum();
    format!("{:.2}", processor / wall.as_secs_f64())
}

/// A line that holds a figure against what it is to reach; without the contenders that it needs, there is none.
fn verdict(what: &str, figure: Option<f64>, goal: &str) {
    match figure {
        Some(figure) => row(what, format!("{figure:.2}"), String::new(), goal),
        None => row(what, "not known".into(), String::new(), goal),
    }
}

/// How many times as long as egoat somebody takes.
fn times(ranking: &Ranking, other: &str) -> Option<f64> {
    Some(over_rounds(ranking.best(other)?, ranking.best("egoat")?, |other, egoat| other / egoat))
}

fn rate(bytes: u64, time: Duration) -> String {
    format!("{:.0} MB/s", bytes as f64 / 1e6 / time.as_secs_f64())
}

/// The cipher on one core; on all of them it takes part in the next section.
fn seal(bench: &Bench) {
    const BYTES: u64 = 256 << 20;
    row("records of 64 KiB, sealed or opened in place", "median".into(), "worst".into(), "");
    let (sealed, worst) = time(bench.runs, || contender::seal(BYTES, false));
    row("one core, sealed", rate(BYTES, sealed), rate(BYTES, worst), "");
    let (both, worst) = time(bench.runs, || contender::seal(BYTES, true));
    row("one core, sealed and opened", rate(BYTES, both), rate(BYTES, worst), "");
}

/// One large file.
fn big(bench: &Bench) {
    let load = Load::file(&bench.ground, "1-GiB", GIB);
    let mut contenders = vec![cipher(), plain_tcp(&bench.ground)];
    contenders.extend(over_ssh(&bench.ground, &["scp", FAST_SCP, "rsync", "tar"]));
    contenders.extend(egoats(&bench.ground, &STREAMS));
    let ranking = contest(&load, &contenders, bench.runs);
    let [(_, cipher), (_, tcp), ..] = ranking.0.as_slice() else { unreachable!("they always take part") };
    // Of rates in 1/(1/A + 1/T), the times add up.
    let limit: Vec<f64> = cipher.iter().zip(tcp).map(|(cipher, tcp)| cipher + tcp).collect();
    let rate = GIB as f64 / 1e6 / median(limit.iter().copied());
    verdict("limit 1/(1/A + 1/T) in MB/s: A cipher alone, T plain TCP", Some(rate), "");
    let share = ranking.best("egoat").map(|best| over_rounds(&limit, best, |limit, best| limit / best));
    verdict("egoat's best, share of the limit", share, ">= 0.9");
    verdict("scp's time in egoat's", times(&ranking, "scp over"), "> 1");
    verdict("rsync's time in egoat's", times(&ranking, "rsync"), "> 1");
}

/// Many small files.
fn small(bench: &Bench) {
    let load = Load::tree(&bench.ground, 10_000);
    let mut contenders = over_ssh(&bench.ground, &["scp", "rsync", "tar"]);
    if takes_trees() {
        contenders.extend(egoats(&bench.ground, &STREAMS));
    } else {
        println!("this egoat takes no directories: left out");
    }
    let ranking = contest(&load, &contenders, bench.runs);
    verdict("rsync's time in egoat's", times(&ranking, "rsync"), ">= 3");
    verdict("tar's time in egoat's", times(&ranking, "tar"), ">= 3");
}

/// So little that only starting and shaking hands count.
fn tiny(bench: &Bench) {
    let load = Load::file(&bench.ground, "1-KiB", 1 << 10);
    let mut contenders = over_ssh(&bench.ground, &["scp", "rsync"]);
    contenders.extend(egoats(&bench.ground, &[None]));
    // They are short, and vary more.
    let ranking = contest(&load, &contenders, 4 * bench.runs);
    verdict("egoat's time in scp's", times(&ranking, "scp over").map(|times| 1.0 / times), "<= 0.1");
    let sync = sync_time(Home::new("alice").dir.path());
    row("one append and fdatasync where the homes are", milliseconds(sync), String::new(), "");
}

/// A path on which waiting for answers would show.
fn delayed(bench: &Bench) {
    let tiny = Load::file(&bench.ground, "1-KiB", 1 << 10);
    let load = Load::file(&bench.ground, "256-MiB", 256 << 20);
    let contenders = [
        egoat(&bench.ground, "egoat, direct", None, None),
        egoat(&bench.ground, "egoat, through a proxy", None, Some(Duration::ZERO)),
        egoat(&bench.ground, "egoat, 25 ms later each way", None, Some(DELAY)),
    ];
    // The proxy's own work is no property of a long path: it is on both sides.
    let compare = |load: &Load, compare: fn(f64, f64) -> f64| {
        let ranking = contest(load, &contenders, bench.runs);
        Some(over_rounds(&ranking.0[2].1, &ranking.0[1].1, compare))
    };
    // So small a file shows what the opening alone waits for.
    let trips = compare(&tiny, |long, short| (long - short) / ROUND_TRIP);
    verdict("round trips of 1 KiB", trips, &format!("<= {ROUND_TRIPS}"));
    let share = compare(&load, |long, short| long / (1.1 * short + ROUND_TRIPS * ROUND_TRIP));
    let goal = format!("<= 1.1 without delay + {ROUND_TRIPS} round trips");
    verdict("256 MiB, share of the time that it may take", share, &goal);
}

/// Round trips of a message and of a small file to a node, that of TCP among them.
const OPENING: f64 = 3.0;
/// What the programs themselves may take for that, in seconds.
const STARTING: f64 = 0.05;

/// Links that are long, that lose packets, or both.
fn wide(bench: &Bench) {
    let Some(program) = wide::program(&bench.ground) else { return println!("left out: there is no cc") };
    for kind in &wide::KINDS {
        let link = match wide::Link::lay(kind, &program) {
            Ok(link) => Rc::new(link),
            Err(why) => return println!("left out: {why}"),
        };
        println!("\n{}", kind.what);
        let load = Load::file(&bench.ground, &format!("{}-MiB", kind.bytes >> 20), kind.bytes);
        let ranking = contest(&load, &wide::contenders(&link, &bench.ground), bench.runs);
        // On a long way, or one that loses packets, several connections gain most.
        let goal = if kind.round_trip < 50.0 { "> 1" } else { ">= 1.8" };
        verdict("scp's time in egoat's", times(&ranking, "scp"), goal);
        verdict("rsync's time in egoat's", times(&ranking, "rsync"), "> 1");
        if kind.round_trip == 150.0 {
            opening(bench, &link, kind.round_trip / 1e3);
        }
    }
}

/// What a message and a small file take over a link.
fn opening(bench: &Bench, link: &wide::Link, round_trip: f64) {
    let pair = wide::Pair::over(link, &bench.ground, "opening");
    let small = Load::file(&bench.ground, "1-KiB", 1 << 10);
    let path = small.path.to_str().expect("UTF-8");
    let goal = milliseconds(Duration::from_secs_f64(OPENING * round_trip + STARTING));
    for arguments in [&["say", "bob", "hello"][..], &["send", "bob", path]] {
        let (median, worst) = time(bench.runs, || {
            let ran = pair.command(link, arguments).output().expect("it starts");
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        });
        row(arguments[0], milliseconds(median), milliseconds(worst), &format!("<= {goal}"));
    }
}
