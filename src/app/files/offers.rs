//! Offers: files that wait for the user's decision, by number.

use std::sync::mpsc::SyncSender;

use crate::error::{Error, Result};
use crate::node::event::Decision;

/// The offers that a front-end has shown. Those that are decided leave a gap, so that no number is given twice.
#[derive(Default)]
pub struct Offers {
    pending: Vec<Option<SyncSender<Decision>>>,
}

impl Offers {
    /// Keeps an offer that `answer` decides; returns its number.
    pub fn add(&mut self, answer: SyncSender<Decision>) -> usize {
        self.pending.push(Some(answer));
        self.pending.len()
    }

    /// Decides an offer. An error if none of this number waits any more.
    pub fn decide(&mut self, number: usize, decision: Decision) -> Result<()> {
        let place = number.checked_sub(1).and_then(|place| self.pending.get_mut(place));
        let answer = place.and_then(Option::take);
        if answer.is_some_and(|answer| answer.send(decision).is_ok()) {
            return Ok(());
        }
        Err(Error::failed("no such offer waits any more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn an_offer_is_decided_once() {
        let mut offers = Offers::default();
        let (answer, decided) = sync_channel(1);
        assert_eq!((offers.add(answer.clone()), offers.add(answer)), (1, 2));
        assert!(offers.decide(2, Decision::Refuse).is_ok());
        assert_eq!(decided.recv(), Ok(Decision::Refuse));
        for number in [2, 0, 3, usize::MAX] {
            assert!(offers.decide(number, Decision::Refuse).is_err(), "{number}");
        }
        drop(decided);
        assert!(offers.decide(1, Decision::Refuse).is_err(), "the transfer has ended");
    }
}
