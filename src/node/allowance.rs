//! An allowance: so many of something at once, and then one more after each interval. It leaves out what of.

use std::time::{Duration, Instant};

/// How much is allowed.
#[derive(Clone, Copy)]
pub struct Rate {
    /// So many at once.
    pub at_once: u32,
    /// After that, one more in each interval.
    pub interval: Duration,
}

/// What has been taken of an allowance. The same value is always used with the same rate.
#[derive(Clone, Copy, Default)]
pub struct Allowance {
    /// When nothing of it counts as taken any more; `None` if nothing was taken yet.
    whole_at: Option<Instant>,
}

impl Allowance {
    /// Takes one, if one is left now.
    pub fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.reserve(rate, now, Duration::ZERO).is_some()
    }

    /// Takes one that is left now or will be soon, and says how long that is from now; `None` takes none, for it would be
    /// longer than `patience`. Those who ask first get theirs first (the generic cell rate algorithm of ITU-T I.371, which
    /// remembers one time and no queue).
    pub fn reserve(&mut self, rate: Rate, now: Instant, patience: Duration) -> Option<Duration> {
        let whole_at = self.whole_at.map_or(now, |at| at.max(now)) + rate.interval;
        let wait = whole_at.saturating_duration_since(now + rate.interval * rate.at_once);
        if wait > patience {
            return None;
        }
        self.whole_at = Some(whole_at);
        Some(wait)
    }

    /// Gives one back that turned out not to count.
    pub fn give_back(&mut self, rate: Rate) {
        self.whole_at = self.whole_at.and_then(|at| at.checked_sub(rate.interval));
    }

    /// Whether nothing of it counts as taken now.
    pub fn is_whole(&self, now: Instant) -> bool {
        self.whole_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { at_once: 10, interval: Duration::from_millis(500) };

    fn taken(allowance: &mut Allowance, now: Instant) -> usize {
        (0..30).filter(|_| allowance.take(RATE, now)).count()
    }

    #[test]
    fn a_burst_and_then_a_rate() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let after = |millis: u64| start + Duration::from_millis(millis);
        assert_eq!(taken(&mut allowance, start), 10);
        assert_eq!(taken(&mut allowance, after(400)), 0);
        assert_eq!(taken(&mut allowance, after(1000)), 2);
        assert!(!allowance.is_whole(after(5999)) && allowance.is_whole(after(6000)));
        assert_eq!(taken(&mut allowance, after(60_000)), 10);
    }

    #[test]
    fn those_who_wait_come_one_after_the_other() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        let patience = 2 * RATE.interval + Duration::from_millis(1);
        assert_eq!(taken(&mut allowance, now), 10);
        let waits = [(); 4].map(|()| allowance.reserve(RATE, now, patience));
        assert_eq!(waits, [Some(RATE.interval), Some(2 * RATE.interval), None, None]);
        // One that was refused has taken nothing from those after it.
        assert!(!allowance.take(RATE, now + 2 * RATE.interval));
        assert!(allowance.take(RATE, now + 3 * RATE.interval));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (mut allowance, now) = (Allowance::default(), Instant::now());
        for _ in 0..100 {
            assert!(allowance.take(RATE, now));
            allowance.give_back(RATE);
        }
        assert_eq!(taken(&mut allowance, now), 10);
    }
}
