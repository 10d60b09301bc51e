//! `egoat partial`: transfers that arrived in part.

use crate::app::Own;
use crate::app::files::partial::{self, PartialStatus};
use crate::cli::args::{self, PartialAction};
use crate::error::Result;
use crate::text::{self, json::Object};
use crate::ui::output::Output;

pub fn run(own: &Own, out: Output, args: args::Partial) -> Result<()> {
    match args.action {
        None | Some(PartialAction::List(_)) => list(own, out),
        Some(PartialAction::Remove(args)) => remove(own, out.ignoring_closed_stdout(), &args),
    }
}

fn list(own: &Own, out: Output) -> Result<()> {
    for PartialStatus { partial, peer, held, total, age } in partial::list(own)? {
        let of = total.map_or(String::new(), |bytes| format!(" of {}", text::size(bytes)));
        let dir = partial.dir.to_string_lossy();
        let line = format!(
            "{} {} from {peer}: {}{of}, {} ago, for {dir}",
            partial.id,
            partial.title,
            text::size(held),
            text::seconds(age.as_secs())
        );
        out.data(&text::clean_line(&line), || {
            let object = Object::event("partial").text("id", &partial.id).text("peer", &peer);
            let object = object.text("title", &partial.title).number("held", held);
            object.optional_number("bytes", total).number("age", age.as_secs()).text("dir", &dir)
        })?;
    }
    Ok(())
}

fn remove(own: &Own, out: Output, args: &args::PartialRemove) -> Result<()> {
    partial::remove(own, &args.ids, args.all, |partial| {
        let object = || Object::event("removed").text("id", &partial.id).text("title", &partial.title);
        out.data(&format!("removed {} {}", partial.id, partial.title), object)
    })
}
