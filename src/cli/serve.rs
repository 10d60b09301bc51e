//! `egoat serve`: the node without a terminal, a line an event on stdout.

use crate::app::link::{self, Limits, NodeEvent, Options, Programs};
use crate::app::{Endpoint, news, settings};
use crate::cli::args;
use crate::cli::values;
use crate::error::{Error, Result};
use crate::ui::output::{self, Output};

/// The limits that the options set, as far as the system allows them.
fn limits(out: Output, args: &args::Serve) -> Result<Limits> {
    if args.max_peers == Some(0) || args.max_pending == Some(0) {
        return Err(Error::usage("--max-peers and --max-pending are 1 or more"));
    }
    let limits = Limits::new(args.max_peers, args.max_pending);
    let is_less = |wanted: Option<usize>, got: usize| wanted.is_some_and(|wanted| wanted > got);
    if is_less(args.max_peers, limits.peers()) || is_less(args.max_pending, limits.pending) {
        out.note(&format!(
            "the system gives a process so few files, or so little memory, that --max-peers is {}, and --max-pending {}",
            limits.peers(),
            limits.pending
        ));
    }
    Ok(limits)
}

pub fn run(own: &Endpoint, out: Output, args: &args::Serve) -> Result<()> {
    let listen = settings::listen_of(own.home(), &args.listen)?;
    let options = Options {
        max_bytes: Some(values::max_file(args.max_file.as_deref())?),
        overwrite: args.overwrite,
        limits: limits(out, args)?,
        accept_new: args.accept_new,
        programs: Programs::new(args.on_message.as_deref(), args.on_file.as_deref())?,
        ..link::default_options(listen, own.home().downloads(args.downloads.as_deref())?)
    };
    for event in link::start(own, options)? {
        print(out, event)?;
    }
    Ok(())
}

fn print(out: Output, event: NodeEvent) -> Result<()> {
    if let (Some(line), Some(object)) = (news::line(&event), news::object(&event)) {
        return out.data(&line, || object);
    }
    match event {
        NodeEvent::TransferFailed { error, .. } | NodeEvent::Trouble(error) => {
            output::warn(&error.to_string())
        }
        NodeEvent::Fatal(error) => return Err(error),
        // Nobody is asked here, and each file was told by itself.
        _ => {}
    }
    Ok(())
}
