//! The doorman at every limit, on a clock of the tests' own.

use super::*;
use crate::crypto::keys::Seed;

const PENDING: usize = 64;
const RESERVED: usize = 16;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("literal")
}

fn admission() -> Arc<Admission> {
    Arc::new(Admission::new(Limits { seats: 100, pending: PENDING, open_files: 1024 }))
}

fn key() -> PublicKey {
    Seed::generate().static_keys().public()
}

impl Admission {
    fn try_at(self: &Arc<Self>, address: &str, at: Instant) -> Option<PendingSlot> {
        self.admit_at(Source::of(ip(address)), None, at)
    }

    fn try_now(self: &Arc<Self>, address: &str) -> Option<PendingSlot> {
        self.try_at(address, Instant::now())
    }

    fn await_at(&self, addresses: &[&str]) {
        self.await_peers(addresses.iter().map(|address| (ip(address), key())));
    }

    fn guests_and_leaving(&self) -> (usize, usize) {
        let state = self.state();
        (state.guests.len(), state.leaving.iter().sum())
    }

    /// As many as come in at one moment, each from an address of its own.
    fn fill_with_strangers(self: &Arc<Self>, now: Instant) -> Vec<PendingSlot> {
        (0..10_000_u32)
            .filter_map(|number| self.admit_at(Source::of(IpAddr::from(number.to_be_bytes())), None, now))
            .collect()
    }
}

#[test]
fn an_address_has_its_share_and_gets_it_back() {
    let admission = admission();
    let slots: Vec<_> = (0..MAX_PER_SOURCE).filter_map(|_| admission.try_now("10.0.0.1")).collect();
    assert_eq!(slots.len(), MAX_PER_SOURCE);
    assert!(admission.try_now("10.0.0.1").is_none());
    assert!(admission.try_now("::ffff:10.0.0.1").is_none(), "the mapped form is the same address");
    assert!(admission.try_now("10.0.0.2").is_some());
    drop(slots);
    assert!(admission.try_now("10.0.0.1").is_some());
    assert!(admission.state().guests.is_empty());
    assert_eq!(admission.take_refusals().of(Cause::Crowd), 2);
    assert_eq!(admission.take_refusals().total(), 0);
}

#[test]
fn peers_have_seats_until_they_leave() {
    let admission = Arc::new(Admission::new(Limits { seats: 2, pending: PENDING, open_files: 1024 }));
    let sit = || admission.try_now("10.0.0.1").expect("a place").seat(key());
    let seats: Vec<Seat> = (0..2).filter_map(|_| sit().ok()).collect();
    assert_eq!(seats.len(), 2);
    assert!(admission.state().guests.is_empty());
    let refused = sit();
    assert!(refused.is_err(), "all seats are taken");
    assert_eq!(admission.state().guests.len(), 1, "its place is kept while it is told");
    drop((seats, refused));
    assert!(sit().is_ok());
    let state = admission.state();
    assert_eq!((state.guests.len(), state.seats, state.by_peer.len()), (0, 0, 0));
    assert_eq!(admission.take_refusals().of(Cause::Full), 1);
}

#[test]
fn one_peer_does_not_take_all_seats() {
    let admission = admission();
    let peer = key();
    let seats: Vec<Seat> = (0..MAX_PER_PEER + 5)
        .filter_map(|_| admission.try_now("10.0.0.1").expect("a place").seat(peer).ok())
        .collect();
    assert_eq!(seats.len(), MAX_PER_PEER);
    assert!(admission.try_now("10.0.0.1").expect("a place").seat(key()).is_ok());
}

#[test]
fn one_ipv6_customer_is_one_source() {
    let admission = admission();
    let slots: Vec<_> = (0..8).filter_map(|host| admission.try_now(&format!("2001:db8::{host}"))).collect();
    assert_eq!(slots.len(), MAX_PER_SOURCE);
    assert!(admission.try_now("2001:db8:0:1::1").is_some());
}

/// The beginning of a first message that was never sent before.
fn first_message() -> [u8; DH_LEN] {
    crate::crypto::random_array()
}

#[test]
fn a_first_message_is_answered_once() {
    let admission = admission();
    admission.await_at(&["10.0.0.1"]);
    let (recorded, new) = (first_message(), first_message());
    let is_answered =
        |from: &str, message| admission.try_now(from).is_some_and(|slot| slot.may_answer(message));
    assert!(is_answered("10.0.0.2", &recorded));
    assert!(!is_answered("10.0.0.2", &recorded) && !is_answered("10.0.0.1", &recorded));
    assert!(is_answered("10.0.0.1", &new));
}

#[test]
fn answers_have_a_rate_and_strangers_take_none_of_the_friends() {
    let (admission, start) = (admission(), Instant::now());
    let friends: Vec<String> = (1..=4).map(|host| format!("10.0.0.{host}")).collect();
    admission.await_at(&friends.iter().map(String::as_str).collect::<Vec<_>>());
    let answers = |from: &dyn Fn(u32) -> String, at: Instant| {
        let slots = (0..1000).filter_map(|number| admission.try_at(&from(number), at));
        slots.filter(|slot| slot.reserve_answer_at(&first_message(), at).is_some()).count()
    };
    let strangers = |number: u32| IpAddr::from((number + (99 << 24)).to_be_bytes()).to_string();
    // Those at once, and as many as come within the time that one may wait.
    assert_eq!(answers(&strangers, start), 128 + 50 / 10);
    // One friend's address has its share of those for all of them.
    assert_eq!(answers(&|_| friends[0].clone(), start), 128 + 50 / 3);
    assert_eq!(answers(&|_| friends[1].clone(), start), 256 + 50 / 2 - (128 + 50 / 3));
    assert_eq!(answers(&|_| friends[2].clone(), start), 0);
    let later = start + Duration::from_millis(100);
    assert_eq!((answers(&strangers, later), answers(&|_| friends[0].clone(), later)), (10, 34));
    assert_eq!(answers(&|_| friends[3].clone(), later), 50 - 34);
    assert_eq!(admission.guests_and_leaving(), (0, 0));
}

#[test]
fn when_the_answers_of_an_address_are_used_up_each_there_gets_its_turn() {
    let (admission, start) = (admission(), Instant::now());
    admission.await_at(&["10.0.0.1"]);
    let come = |at| admission.try_at("10.0.0.1", at).expect("a place");
    for _ in 0..128 {
        assert_eq!(come(start).reserve_answer_at(&first_message(), start), Some(Duration::ZERO));
    }
    let guests: Vec<_> = (0..RESERVED).map(|_| come(start)).collect();
    let waits = guests.iter().map(|guest| guest.reserve_answer_at(&first_message(), start));
    let turns = (1..=RESERVED as u64).map(|turn| Some(Duration::from_millis(3 * turn)));
    assert!(waits.eq(turns));
}

/// What does not authenticate is looked at, and takes nothing of the answers for what does.
#[test]
fn garbage_uses_up_no_answers() {
    let (admission, start) = (admission(), Instant::now());
    let come = |number: u32| {
        let from = IpAddr::from((number + (99 << 24)).to_be_bytes()).to_string();
        admission.try_at(&from, start).expect("a place")
    };
    for number in 0..200 {
        assert!(come(number).may_look(&first_message()));
    }
    assert_eq!(come(200).reserve_answer_at(&first_message(), start), Some(Duration::ZERO));
}

#[test]
fn peers_that_prove_themselves_use_up_no_answers() {
    let admission = admission();
    for _ in 0..1000 {
        let slot = admission.try_now("10.0.0.1").expect("a place");
        assert!(slot.may_answer(&first_message()));
        drop(slot.seat(key()));
    }
}

#[test]
fn who_waits_to_be_told_no_gives_way_first() {
    let (admission, start) = (admission(), Instant::now());
    admission.await_at(&["10.0.0.1"]);
    let slots: Vec<_> = (0..RESERVED).filter_map(|_| admission.try_at("10.0.0.1", start)).collect();
    slots[1..].iter().for_each(PendingSlot::begin);
    slots[5].turn_away(None);
    let later = start + Duration::from_millis(50);
    let _friend = admission.try_at("10.0.0.1", later).expect("a place");
    assert!(admission.state().guest(slots[5].number).is_none());
    assert!(admission.state().guest(slots[0].number).is_some());
}

#[test]
fn strangers_who_say_nothing_keep_no_newcomer_out() {
    let (admission, start) = (admission(), Instant::now());
    let silent = admission.fill_with_strangers(start);
    silent[1..].iter().for_each(PendingSlot::begin);
    let later = start + Duration::from_millis(50);
    assert!(admission.try_at("99.0.0.1", start).is_none(), "nobody has waited long enough to go");
    let newcomer = admission.try_at("99.0.0.1", later).expect("a place");
    assert!(admission.state().guest(silent[0].number).is_none());
    newcomer.begin();
    assert!(admission.try_at("99.0.0.2", later).is_none(), "all of them have begun");
}

#[test]
fn strangers_are_made_peers_at_a_rate() {
    let admission = admission();
    let added = |from: &str| {
        let slot = admission.try_now(from).expect("a place");
        (0..1000).filter(|_| slot.may_add()).count()
    };
    assert_eq!((added("10.0.0.1"), added("10.0.0.1"), added("10.0.0.2"), added("10.0.0.3")), (4, 0, 4, 0));
}

#[test]
fn an_address_has_a_burst_and_then_a_rate() {
    let (admission, start) = (admission(), Instant::now());
    let taken = |at: f64, tries: usize| {
        let now = start + Duration::from_secs_f64(at);
        (0..tries).filter(|_| admission.try_at("10.0.0.1", now).is_some()).count()
    };
    assert_eq!(taken(0.0, 30), 10);
    assert_eq!(taken(0.4, 5), 0);
    assert_eq!(taken(1.0, 5), 2);
    assert_eq!(taken(61.0, 30), 10);
    assert!(admission.try_at("10.0.0.2", start).is_some());
}

#[test]
fn the_handshakes_of_friends_do_not_count() {
    let admission = admission();
    for _ in 0..1000 {
        drop(admission.try_now("10.0.0.1").expect("welcome").seat(key()));
    }
}

fn bad() -> Error {
    Error::Protocol { peer: "a stranger".into(), what: "nonsense".into() }
}

fn lost() -> Error {
    Error::Lost { peer: "a stranger".into(), during: "the handshake".into() }
}

#[test]
fn failures_add_up_until_their_source_is_kept_out() {
    let (admission, start) = (admission(), Instant::now());
    let try_at = |at: u64| admission.try_at("10.0.0.1", start + Duration::from_secs(at));
    for _ in 0..2 {
        try_at(0).expect("two mistakes are nothing").fail(&bad());
    }
    try_at(0).expect("lines are cut").fail(&lost());
    try_at(0).expect("the third is the last one").fail(&bad());
    assert!(try_at(1).is_none() && try_at(14).is_none());
    let refusals = admission.take_refusals();
    assert_eq!((refusals.of(Cause::Penalty), refusals.of(Cause::Handshake)), (2, 4));
    assert!(try_at(17).is_some(), "three times five seconds are over");
}

#[test]
fn a_friend_comes_in_whatever_its_neighbours_did() {
    let admission = admission();
    drop(admission.try_now("10.0.0.1").expect("a place").seat(key()));
    for _ in 0..100 {
        admission.try_now("10.0.0.1").expect("never kept out").fail(&bad());
    }
    admission.await_at(&["10.0.0.2"]);
    for _ in 0..100 {
        admission.try_now("10.0.0.2").expect("never too often").fail(&bad());
    }
    let blocked = key();
    admission.await_peers([(ip("10.0.0.3"), blocked)].into_iter());
    admission.try_now("10.0.0.3").expect("a place").turn_away(Some(&blocked));
    assert!((0..100).filter_map(|_| admission.try_now("10.0.0.3")).count() < 100, "it is blocked now");
}

#[test]
fn strangers_leave_places_for_friends() {
    let admission = admission();
    admission.await_at(&["10.0.0.1"]);
    let strangers = admission.fill_with_strangers(Instant::now());
    assert_eq!(strangers.len(), PENDING - RESERVED);
    let friends: Vec<_> = (0..RESERVED).filter_map(|_| admission.try_now("10.0.0.1")).collect();
    assert_eq!(friends.len(), RESERVED);
    assert!(admission.try_now("10.0.0.1").is_none(), "nobody has waited long enough to go");
}

#[test]
fn who_keeps_friends_waiting_gives_way() {
    let (admission, start) = (admission(), Instant::now());
    let later = |millis: u64| start + Duration::from_millis(millis);
    admission.await_at(&["10.0.0.1", "10.0.0.2"]);
    let friend = admission.try_at("10.0.0.2", start).expect("a place");
    let mut slots: Vec<_> =
        (1..RESERVED as u64).filter_map(|at| admission.try_at("10.0.0.1", later(at))).collect();
    assert_eq!(slots.len(), RESERVED - 1);
    slots[0].begin();
    let is_here = |number: u64| admission.state().guest(number).is_some();
    assert!(admission.try_at("10.0.0.2", later(20)).is_none());
    slots.extend(admission.try_at("10.0.0.2", later(30)));
    // The oldest one has begun, and the next one goes; who has an address alone stays.
    assert!(is_here(slots[0].number) && !is_here(slots[1].number) && is_here(friend.number));
    slots.iter().for_each(PendingSlot::begin);
    assert!(admission.try_at("10.0.0.1", later(60)).is_none());
    slots.extend(admission.try_at("10.0.0.1", later(200)));
    assert!(!is_here(slots[0].number) && is_here(slots[2].number) && is_here(friend.number));
    assert_eq!(admission.guests_and_leaving(), (RESERVED, 2));
    drop((slots, friend));
    assert_eq!(admission.guests_and_leaving(), (0, 0));
}

#[test]
fn those_who_were_put_out_are_counted_once() {
    let (admission, start) = (admission(), Instant::now());
    admission.await_at(&["10.0.0.1"]);
    let old: Vec<_> = (0..RESERVED).filter_map(|_| admission.try_at("10.0.0.1", start)).collect();
    let _new: Vec<_> =
        (0..RESERVED).filter_map(|_| admission.try_at("10.0.0.1", start + Duration::from_secs(1))).collect();
    old.into_iter().for_each(|slot| slot.fail(&lost()));
    let refusals = admission.take_refusals();
    assert_eq!((refusals.of(Cause::Crowd), refusals.of(Cause::Handshake)), (RESERVED as u64, 0));
}

#[test]
fn strangers_get_fewer_places_when_the_system_runs_short() {
    let (admission, now) = (admission(), Instant::now());
    let strangers = admission.fill_with_strangers(now);
    admission.run_short_at(now);
    let left = (PENDING - RESERVED) * 3 / 4;
    assert_eq!(admission.state().guests.len(), left);
    drop(strangers);
    assert_eq!(admission.fill_with_strangers(now).len(), left);
    let later = now + Duration::from_secs(PENDING as u64);
    let again = admission.fill_with_strangers(later);
    assert_eq!(again.len(), PENDING - RESERVED, "it is over by then");
    for _ in 0..50 {
        admission.run_short_at(later);
    }
    assert_eq!(admission.state().guests.len(), 1);
}

#[test]
fn friends_get_in_when_the_system_runs_short() {
    let (admission, start) = (admission(), Instant::now());
    let later = |millis: u64| start + Duration::from_millis(millis);
    admission.await_at(&["10.0.0.1"]);
    let silent: Vec<_> = (0..6).filter_map(|_| admission.try_at("10.0.0.1", start)).collect();
    admission.run_short_at(later(1));
    assert_eq!(admission.guests_and_leaving(), (6, 0), "none has waited long yet");
    let friend = admission.try_at("10.0.0.1", later(30)).expect("a place");
    assert_eq!(admission.guests_and_leaving(), (4, 3));
    drop((silent, friend));
    let all: Vec<_> = (0..99).filter_map(|_| admission.try_at("10.0.0.1", later(20_000))).collect();
    assert_eq!(all.len(), RESERVED, "it is over by then");
}

#[test]
fn places_for_friends_are_not_too_few() {
    assert_eq!([1, 2, 3, 8, 16, 64, 128].map(reserved), [0, 1, 1, 4, 4, 16, 32]);
}

#[test]
fn notes_of_strangers_have_a_rate() {
    let admission = admission();
    assert_eq!((0..1000).filter(|_| admission.may_note()).count(), NOTES.at_once as usize);
}
