//! The age that a router tells of its table, by which this node sees that the table was lost (RFC 6887, section 8.5).

use std::time::Instant;

/// What a router said of its age, and when.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Seconds.
    age: u32,
    at: Instant,
}

impl Epoch {
    /// An age that was told just now.
    pub fn now(age: u32) -> Epoch {
        Epoch { age, at: Instant::now() }
    }

    /// Whether the table was lost since `before`: the age has fallen, or has not grown as the clock here has. The clocks may
    /// differ by a sixteenth and two seconds.
    pub fn has_fallen_since(&self, before: &Epoch) -> bool {
        let clock = self.at.saturating_duration_since(before.at).as_secs();
        let Some(grown) = self.age.checked_sub(before.age).map(u64::from) else {
            return self.age.saturating_add(1) < before.age;
        };
        clock + 2 < grown - grown / 16 || grown + 2 < clock - clock / 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_table_is_lost_when_its_age_is_not_what_it_should_be() {
        let at = Instant::now();
        let before = Epoch { age: 1000, at };
        for (seconds, age, has_fallen) in [
            (0, 1000, false),
            (0, 999, false),
            (0, 998, true),
            (600, 1600, false),
            (600, 1562, false),
            (600, 1550, true),
            (600, 1640, false),
            (600, 1700, true),
            (600, 5, true),
            (600, u32::MAX, true),
        ] {
            let now = Epoch { age, at: at + Duration::from_secs(seconds) };
            assert_eq!(now.has_fallen_since(&before), has_fallen, "{seconds} s, {age}");
        }
    }
}
