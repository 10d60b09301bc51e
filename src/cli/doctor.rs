//! `egoat doctor`: prints a line for each layer that was checked.

use crate::app::doctor::{self, Finding};
use crate::app::{Endpoint, Home};
use crate::error::Result;
use crate::text;
use crate::ui::output::Output;

/// The column at which a detail begins.
const DETAIL: usize = 19;

pub fn run(
    out: Output,
    home: Result<Home>,
    unlock: &dyn Fn(Home) -> Result<Endpoint>,
    has_proxy: bool,
    peer: Option<&str>,
) -> Result<()> {
    doctor::run(home, unlock, has_proxy, peer, &mut |finding| print(out, finding))
}

fn print(out: Output, finding: &Finding) -> Result<()> {
    let &Finding { layer, verdict, address, detail, hint } = finding;
    let verdict = verdict.word();
    let at = address.map(|address| format!("{address}: ")).unwrap_or_default();
    let mut human = text::clean_line(&format!("{verdict:<8} {layer:<9} {at}{detail}"));
    if let Some(hint) = hint {
        human.push_str(&format!("\n{:DETAIL$}hint: {}", "", text::clean_line(hint)));
    }
    out.table(&human, DETAIL, || finding.object())
}
