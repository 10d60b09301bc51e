//! Whether to take what a peer offers: what its line in the peers file and the node's own limit come to. A pure decision,
//! made before anything is written; it leaves out who is asked, and where the files go.

use crate::store::peers::{FilesPolicy, Peer};

/// What becomes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Accept,
    /// The user is asked; [`Rules::unanswered`] says what it comes to if nobody can be.
    Ask,
    /// It is refused, whatever the user would say.
    Refuse(DeclineReason),
}

/// Why an offer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclineReason {
    /// No files are taken from this peer.
    Policy,
    /// It is more than is taken unasked.
    TooLarge,
    /// The peer's folder would hold more than it may.
    Quota,
    /// The user would have to be asked.
    Asked,
}

/// What holds for the files of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    files: FilesPolicy,
    max_file: u64,
    quota: Option<u64>,
}

impl Rules {
    /// The rules for `peer`. A saved peer is one that the user has let in: without a policy, its files are accepted.
    /// `default_max` is the most bytes of one transfer from a peer without a limit of its own.
    pub fn of(peer: &Peer, default_max: u64) -> Rules {
        Rules {
            files: peer.files().unwrap_or(FilesPolicy::Accept),
            max_file: peer.max_file().unwrap_or(default_max),
            quota: peer.quota(),
        }
    }

    /// Judges an offer of so many bytes, or of a stream whose length nobody knows yet. `used` gives what counts against
    /// the quota beside these bytes, and is called only if that matters.
    pub fn judge(&self, bytes: Option<u64>, used: impl FnOnce() -> u64) -> Verdict {
        if self.files == FilesPolicy::Refuse {
            return Verdict::Refuse(DeclineReason::Policy);
        }
        // Ahead of the question: the user is not to say yes to what cannot be taken.
        if self.quota.is_some_and(|quota| is_over(quota, used(), bytes)) {
            return Verdict::Refuse(DeclineReason::Quota);
        }
        match (self.files, bytes) {
            (FilesPolicy::Accept, Some(bytes)) if bytes <= self.max_file => Verdict::Accept,
            // It ends at the limit while it arrives.
            (FilesPolicy::Accept, None) => Verdict::Accept,
            _ => Verdict::Ask,
        }
    }

    /// What [`Verdict::Ask`] comes to where there is nobody to ask.
    pub fn unanswered(&self) -> DeclineReason {
        match self.files {
            FilesPolicy::Accept => DeclineReason::TooLarge,
            FilesPolicy::Ask => DeclineReason::Asked,
            FilesPolicy::Refuse => DeclineReason::Policy,
        }
    }

    /// The most bytes of a stream that may arrive while the peer's folder holds `used`.
    pub fn limit(&self, used: u64) -> u64 {
        self.room(used).min(self.max_file)
    }

    /// The same of one that the user has said yes to: the quota holds nevertheless.
    pub fn room(&self, used: u64) -> u64 {
        self.quota.map_or(u64::MAX, |quota| quota.saturating_sub(used))
    }
}

/// A stream has at least a byte, or it need not be sent.
fn is_over(quota: u64, used: u64, bytes: Option<u64>) -> bool {
    used.saturating_add(bytes.unwrap_or(1)) > quota
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::Seed;
    use proptest::prelude::*;

    const NODE: u64 = 1000;

    /// The rules for a peer with these options.
    fn rules(options: &str) -> Rules {
        let key = Seed::from_bytes([1; 32]).static_keys().public();
        let mut peer = Peer::new("bob".into(), key, vec![]);
        for option in options.split_whitespace() {
            peer.set_option(option).expect(option);
        }
        Rules::of(&peer, NODE)
    }

    /// The verdict where quotas must not matter.
    fn judge(options: &str, bytes: impl Into<Option<u64>>) -> Verdict {
        rules(options).judge(bytes.into(), || panic!("nothing is to be counted"))
    }

    #[test]
    fn a_saved_peer_is_accepted_up_to_the_nodes_limit() {
        assert_eq!(judge("", 0), Verdict::Accept);
        assert_eq!(judge("", NODE), Verdict::Accept);
        assert_eq!(judge("", NODE + 1), Verdict::Ask);
        assert_eq!(judge("", None), Verdict::Accept);
        assert_eq!(judge("files=accept", NODE), Verdict::Accept);
        assert_eq!(judge("files=accept", NODE + 1), Verdict::Ask);
    }

    #[test]
    fn the_peers_limit_wins_over_the_nodes() {
        assert_eq!(judge("max-file=10", 10), Verdict::Accept);
        assert_eq!(judge("max-file=10", 11), Verdict::Ask);
        assert_eq!(judge("max-file=2000", 2000), Verdict::Accept);
        assert_eq!(judge("max-file=2000", 2001), Verdict::Ask);
        assert_eq!(judge("max-file=0", 0), Verdict::Accept);
        assert_eq!(judge("max-file=0", 1), Verdict::Ask);
    }

    #[test]
    fn who_asks_asks_for_everything() {
        for bytes in [Some(0), Some(1), Some(NODE), Some(u64::MAX), None] {
            assert_eq!(judge("files=ask", bytes), Verdict::Ask);
            assert_eq!(judge("files=ask max-file=2000", bytes), Verdict::Ask);
        }
    }

    #[test]
    fn who_refuses_refuses_everything() {
        for bytes in [Some(0), Some(1), Some(u64::MAX), None] {
            for options in ["files=refuse", "files=refuse max-file=2000", "files=refuse quota=0"] {
                assert_eq!(judge(options, bytes), Verdict::Refuse(DeclineReason::Policy));
            }
        }
    }

    #[test]
    fn a_quota_is_for_all_that_the_folder_holds() {
        let over = Verdict::Refuse(DeclineReason::Quota);
        for (options, used, bytes, verdict) in [
            ("quota=100", 0, Some(100), Verdict::Accept),
            ("quota=100", 0, Some(101), over),
            ("quota=100", 60, Some(40), Verdict::Accept),
            ("quota=100", 60, Some(41), over),
            ("quota=100", 100, Some(0), Verdict::Accept),
            ("quota=100", 200, Some(0), over),
            ("quota=100", 99, None, Verdict::Accept),
            ("quota=100", 100, None, over),
            ("quota=100", u64::MAX, Some(u64::MAX), over),
            ("quota=100", u64::MAX, Some(0), over),
            // What is too much for the quota is not asked about, what is too much for the limit is.
            ("quota=100 files=ask", 60, Some(40), Verdict::Ask),
            ("quota=100 files=ask", 60, Some(41), over),
            ("quota=100 files=ask", 60, None, Verdict::Ask),
            ("quota=100 max-file=10", 60, Some(10), Verdict::Accept),
            ("quota=100 max-file=10", 60, Some(11), Verdict::Ask),
            ("quota=100 max-file=10", 60, Some(41), over),
            ("quota=2000", 0, Some(NODE + 1), Verdict::Ask),
        ] {
            assert_eq!(rules(options).judge(bytes, || used), verdict, "{options} {used} {bytes:?}");
        }
    }

    #[test]
    fn without_an_answer_the_sender_learns_what_was_in_the_way() {
        assert_eq!(rules("").unanswered(), DeclineReason::TooLarge);
        assert_eq!(rules("max-file=1").unanswered(), DeclineReason::TooLarge);
        assert_eq!(rules("files=ask").unanswered(), DeclineReason::Asked);
        assert_eq!(rules("files=refuse").unanswered(), DeclineReason::Policy);
    }

    #[test]
    fn a_stream_ends_at_the_nearest_limit() {
        assert_eq!(rules("").limit(u64::MAX), NODE);
        assert_eq!(rules("max-file=5").limit(0), 5);
        assert_eq!(rules("quota=5000").limit(0), NODE);
        assert_eq!(rules("quota=5000").limit(4500), 500);
        assert_eq!(rules("quota=5000").limit(5001), 0);
        assert_eq!(rules("quota=5000").limit(u64::MAX), 0);
        assert_eq!(rules("files=ask max-file=5").room(7), u64::MAX);
        assert_eq!(rules("files=ask max-file=5 quota=100").room(7), 93);
        assert_eq!(rules("files=ask quota=100").room(101), 0);
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_within_the_limit(used in 0_u64..300, max in 0_u64..300, quota in 0_u64..300, bytes in 0_u64..300) {
            let rules = rules(&format!("max-file={max} quota={quota}"));
            if rules.judge(Some(bytes), || used) == Verdict::Accept {
                prop_assert!(bytes <= rules.limit(used));
            } else {
                prop_assert!(bytes > rules.limit(used) || used > quota);
            }
        }
    }
}
