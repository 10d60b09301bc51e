//! Several ways to one place, tried at once (in the manner of RFC 8305): connections begin one after the other, a moment apart,
//! and the first that stands is used. A way that leads nowhere so costs nothing but that moment. Only threads and turns are here;
//! what a connection is, and what using it means, the caller says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Stack of a thread in bytes, as of the node's threads.
const STACK: usize = 256 << 10;
/// Connections that are being made at the same time, each by a thread.
const MAX_AT_ONCE: usize = 6;

/// Longer than any connection and its use take, by a proxy and tried again.
const LONGEST: Duration = Duration::from_secs(600);

/// The ways, by number from 0, and how to go each of them. Connecting and using are called in threads of their own, which may
/// outlive the race, so each must end by itself.
pub trait Ways: Send + Sync + 'static {
    /// A connection that is not used yet; dropping it closes it.
    type Connection: Send + 'static;
    /// What comes of using a connection.
    type Success: Send + 'static;
    /// Why a way leads nowhere.
    type Failure: Send + 'static;

    /// Connects by a way.
    fn connect(&self, way: usize) -> Result<Self::Connection, Self::Failure>;
    /// Uses the connection.
    fn use_it(&self, way: usize, connection: Self::Connection) -> Result<Self::Success, Self::Failure>;
    /// Whether the failure of one way is that of all.
    fn ends_all(&self, failure: &Self::Failure) -> bool;
}

/// How long each way has for itself.
#[derive(Clone, Copy)]
pub struct Pauses {
    /// From the beginning of a connection to that of the next one.
    pub connect: Duration,
    /// How long one connection is used before another one is as well.
    pub turn: Duration,
}

/// How a way ended, and which.
pub type Failed<W> = Vec<(usize, <W as Ways>::Failure)>;

/// Goes `count` ways at once until one succeeds, and says which; else how each failed, in the order in which they did.
pub fn run<W: Ways>(ways: &Arc<W>, count: usize, pauses: Pauses) -> Result<(usize, W::Success), Failed<W>> {
    if count == 1 {
        let only = ways.connect(0).and_then(|connection| ways.use_it(0, connection));
        return only.map(|success| (0, success)).map_err(|failure| vec![(0, failure)]);
    }
    let (report, events) = mpsc::channel();
    let now = Instant::now();
    let race = Race {
        ways: Arc::clone(ways),
        pauses,
        waiting: (0..count).collect(),
        connecting: 0,
        next_connect: now,
        ready: VecDeque::new(),
        in_use: 0,
        next_turn: now,
        report,
        events,
    };
    race.run()
}

enum Event<W: Ways> {
    Connected(usize, Result<W::Connection, W::Failure>),
    Used(usize, Result<W::Success, W::Failure>),
}

struct Race<W: Ways> {
    ways: Arc<W>,
    pauses: Pauses,
    /// Ways that nobody goes yet.
    waiting: VecDeque<usize>,
    connecting: usize,
    next_connect: Instant,
    /// Connections that stand, and are not used yet.
    ready: VecDeque<(usize, W::Connection)>,
    in_use: usize,
    /// When another connection is used, although one is.
    next_turn: Instant,
    report: Sender<Event<W>>,
    events: Receiver<Event<W>>,
}

impl<W: Ways> Race<W> {
    fn run(mut self) -> Result<(usize, W::Success), Failed<W>> {
        let mut failed = Vec::new();
        while self.begin_what_is_due() {
            let (way, failure) = match self.next_event() {
                None => continue,
                Some(Event::Connected(way, Ok(connection))) => {
                    self.connecting -= 1;
                    self.ready.push_back((way, connection));
                    continue;
                }
                Some(Event::Used(way, Ok(success))) => return Ok((way, success)),
                Some(Event::Connected(way, Err(failure))) => {
                    self.connecting -= 1;
                    self.next_connect = Instant::now();
                    (way, failure)
                }
                Some(Event::Used(way, Err(failure))) => {
                    self.in_use -= 1;
                    self.next_turn = Instant::now();
                    (way, failure)
                }
            };
            let ends_all = self.ways.ends_all(&failure);
            failed.push((way, failure));
            if ends_all {
                break;
            }
        }
        Err(failed)
    }

    /// Whether somebody has a connection to himself for now.
    fn is_turn_taken(&self) -> bool {
        self.in_use > 0 && Instant::now() < self.next_turn
    }

    fn may_connect(&self) -> bool {
        !self.waiting.is_empty() && self.connecting < MAX_AT_ONCE
    }

    /// Starts the threads whose time has come; `false` when nothing is under way any more.
    fn begin_what_is_due(&mut self) -> bool {
        if !self.is_turn_taken()
            && let Some((way, connection)) = self.ready.pop_front()
        {
            self.in_use += 1;
            self.next_turn = Instant::now() + self.pauses.turn;
            let ways = Arc::clone(&self.ways);
            self.spawn(move || Event::Used(way, ways.use_it(way, connection)));
        }
        // Nobody is called who may not be needed.
        let is_due = self.ready.is_empty()
            && !self.is_turn_taken()
            && (self.connecting == 0 || Instant::now() >= self.next_connect);
        if is_due
            && self.may_connect()
            && let Some(way) = self.waiting.pop_front()
        {
            self.connecting += 1;
            self.next_connect = Instant::now() + self.pauses.connect;
            let ways = Arc::clone(&self.ways);
            self.spawn(move || Event::Connected(way, ways.connect(way)));
        }
        self.connecting + self.in_use > 0
    }

    /// Where the system has no thread, the work is done here, and the others wait for it.
    fn spawn(&self, work: impl FnOnce() -> Event<W> + Send + 'static) {
        let (work, report) = (Arc::new(std::sync::Mutex::new(Some(work))), self.report.clone());
        let shared = Arc::clone(&work);
        let go = move || {
            let work = shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            // Nobody listens any more when another way has succeeded: what this one has is closed.
            work.into_iter().for_each(|work| drop(report.send(work())));
        };
        if Builder::new().name("address".into()).stack_size(STACK).spawn(go).is_err() {
            let work = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            work.into_iter().for_each(|work| drop(self.report.send(work())));
        }
    }

    /// The next event; `None` when something else is due before.
    fn next_event(&mut self) -> Option<Event<W>> {
        let connects = self.may_connect().then_some(self.next_connect);
        let is_next_waiting = !self.ready.is_empty() || self.may_connect();
        let due = match self.is_turn_taken() {
            true => is_next_waiting.then_some(self.next_turn),
            false => connects,
        };
        match due {
            None => {
                let event = self.events.recv_timeout(LONGEST).ok();
                if event.is_none() {
                    // Threads that have died: nothing is under way.
                    (self.connecting, self.in_use) = (0, 0);
                }
                event
            }
            Some(due) => self.events.recv_timeout(due.saturating_duration_since(Instant::now())).ok(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// What a way does when it is gone; a gate opens when its sender is dropped.
    enum Step {
        Fails,
        Works,
        Waits(Mutex<Receiver<()>>),
    }

    impl Step {
        fn go(&self) -> Result<(), &'static str> {
            match self {
                Step::Fails => Err("failed"),
                Step::Works => Ok(()),
                Step::Waits(gate) => {
                    let _ = gate.lock().unwrap().recv();
                    Err("waited")
                }
            }
        }
    }

    struct Script(Vec<(Step, Step)>, Mutex<Vec<String>>);

    impl Ways for Script {
        type Connection = usize;
        type Success = usize;
        type Failure = &'static str;

        fn connect(&self, way: usize) -> Result<usize, &'static str> {
            self.1.lock().unwrap().push(format!("connect {way}"));
            self.0[way].0.go().map(|()| way)
        }
        fn use_it(&self, way: usize, connection: usize) -> Result<usize, &'static str> {
            assert_eq!(way, connection);
            self.1.lock().unwrap().push(format!("use {way}"));
            self.0[way].1.go().map(|()| way)
        }
        fn ends_all(&self, failure: &&'static str) -> bool {
            *failure == "waited"
        }
    }

    const SOON: Pauses = Pauses { connect: Duration::from_millis(1), turn: Duration::from_millis(1) };
    const NEVER: Pauses = Pauses { connect: Duration::from_secs(3600), turn: Duration::from_secs(3600) };

    type Ended = Result<(usize, usize), Failed<Script>>;

    fn race(ways: Vec<(Step, Step)>, pauses: Pauses) -> (Ended, Vec<String>) {
        let (count, script) = (ways.len(), Arc::new(Script(ways, Mutex::default())));
        let result = run(&script, count, pauses);
        let log = script.1.lock().unwrap().clone();
        (result, log)
    }

    #[test]
    fn no_second_way_is_gone_when_the_first_works() {
        let ways = vec![(Step::Works, Step::Works), (Step::Works, Step::Works)];
        let (result, log) = race(ways, NEVER);
        assert_eq!(result.unwrap(), (0, 0));
        assert_eq!(log, ["connect 0", "use 0"]);
    }

    #[test]
    fn a_way_that_fails_costs_no_pause() {
        let ways = vec![
            (Step::Fails, Step::Works),
            (Step::Works, Step::Fails),
            (Step::Fails, Step::Works),
            (Step::Works, Step::Works),
        ];
        let (result, log) = race(ways, NEVER);
        assert_eq!(result.unwrap(), (3, 3));
        assert_eq!(log, ["connect 0", "connect 1", "use 1", "connect 2", "connect 3", "use 3"]);
    }

    #[test]
    fn ways_that_say_nothing_give_way_after_a_while() {
        let (gates, waits): (Vec<_>, Vec<_>) = (0..8).map(|_| mpsc::channel()).unzip();
        let mut waits = waits.into_iter().map(|gate| Step::Waits(Mutex::new(gate)));
        let mut ways: Vec<(Step, Step)> = waits.by_ref().take(4).map(|wait| (wait, Step::Works)).collect();
        ways.extend(waits.map(|wait| (Step::Works, wait)));
        ways.push((Step::Works, Step::Works));
        let (result, _) = race(ways, SOON);
        assert_eq!(result.unwrap(), (8, 8));
        drop(gates);
    }

    #[test]
    fn each_failure_is_told_and_one_may_end_all() {
        let fails = || (Step::Fails, Step::Works);
        let (result, _) = race(vec![fails(), (Step::Works, Step::Fails), fails()], SOON);
        let mut failed: Vec<usize> = result.unwrap_err().into_iter().map(|(way, _)| way).collect();
        failed.sort_unstable();
        assert_eq!(failed, [0, 1, 2]);
        let (_, closed) = mpsc::channel();
        let ends = (Step::Waits(Mutex::new(closed)), Step::Works);
        let (result, log) = race(vec![fails(), ends, fails()], NEVER);
        assert_eq!(result.unwrap_err(), [(0, "failed"), (1, "waited")]);
        assert_eq!(log.len(), 2, "{log:?}");
        assert!(matches!(race(vec![], SOON).0, Err(none) if none.is_empty()));
    }
}
