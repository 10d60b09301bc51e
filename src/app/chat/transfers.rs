//! Transfers and offers as a chat shows them.

use crate::app::link::{PendingOffer, Transfer, TransferWay, UNKNOWN};
use crate::text;

/// Its number, what it is and how far, in one short line.
pub fn line(transfer: &Transfer) -> String {
    let Transfer { number, peer, way, title, total, done, checked, rate, is_taken } = transfer;
    let preposition = if *way == TransferWay::In { "from" } else { "to" };
    if !is_taken && *checked == 0 {
        return format!("[{number}] waiting for {peer} to take {title}");
    }
    let far = match *total {
        _ if *done == 0 && *checked > 0 => "comparing".to_owned(),
        UNKNOWN => text::size(*done),
        total => percent(*done, total),
    };
    format!("[{number}] {far}, {}/s: {title} {preposition} {peer}", text::size(*rate))
}

fn percent(part: u64, total: u64) -> String {
    format!("{} %", u128::from(part).saturating_mul(100).checked_div(total.into()).unwrap_or(100))
}

/// A line for a transfer that comes in and goes on where an earlier connection ended, once it is known how far that was.
pub fn resumed(transfer: &Transfer) -> Option<String> {
    let Transfer { peer, title, total, done, checked, .. } = transfer;
    let goes_on = transfer.way == TransferWay::In && *total != UNKNOWN && *checked > 0 && *done > 0;
    goes_on.then(|| format!("{peer}'s {title} goes on at {}", percent(*done.min(checked), *total)))
}

/// An offer in words: its title and size, how much of it is here already, and where.
pub fn offered(offer: &PendingOffer) -> String {
    let PendingOffer { title, files, bytes, dots, held, place, .. } = offer;
    let extent = text::extent(*files, Some(*bytes).filter(|bytes| *bytes != UNKNOWN));
    let held = match *bytes {
        _ if *held == 0 => String::new(),
        UNKNOWN => format!("; {} of it are in {place}", text::size(*held)),
        bytes => format!("; {} of it is in {place}", percent(*held, bytes)),
    };
    let dots = if dots.is_empty() { String::new() } else { format!("; {dots}") };
    format!("{title}{extent}{held}{dots}")
}
