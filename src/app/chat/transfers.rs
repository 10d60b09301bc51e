//! A transfer as a chat shows it.

use crate::app::link::{Transfer, TransferWay, UNKNOWN};
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
        total => format!("{} %", done.saturating_mul(100).checked_div(total).unwrap_or(100)),
    };
    format!("[{number}] {far}, {}/s: {title} {preposition} {peer}", text::size(*rate))
}
