//! Answering offers.

use crate::app::link::{Decision, NodeLink};
use crate::error::{Error, Result};
use crate::store::home::Home;
use crate::store::place;

/// Decides an offer. It stays open if nothing can land in the directory that is named.
pub fn decide(home: &Home, link: &NodeLink, number: u64, decision: Decision) -> Result<()> {
    if let Decision::Accept { dir: Some(dir) } = &decision {
        place::check(home, dir)?;
        let live = link.live();
        let dots = live.offers.get(&number).map_or("", |offer| offer.dots.as_str());
        if !dots.is_empty() && place::is_user_home(dir) {
            return Err(Error::Failed {
                what: format!("{dots}; none of these is taken into your home directory"),
                hint: Some(format!("name another one: /accept {number} DIR")),
            });
        }
    }
    link.decide(number, decision)
}
