//! `egoat serve`: the node without a terminal, a line an event on stdout.

use crate::app::link::{self, Limits, NodeEvent, Options, Programs};
use crate::app::{Endpoint, news, settings};
use crate::cli::args;
use crate::cli::values;
use crate::error::{Error, Result};
use crate::text::json::Object;
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
        keep_free: values::keep_free(args.keep_free.as_deref())?,
        overwrite: args.overwrite,
        limits: limits(out, args)?,
        accept_new: args.accept_new,
        programs: Programs::new(args.on_message.as_deref(), args.on_file.as_deref())?,
        ..link::default_options(listen, own.home().downloads(args.downloads.as_deref())?)
    };
    let mut journal = Journal { out, shows_text: args.show_text, left_out: 0 };
    for event in link::start(own, options)? {
        journal.note(event)?;
    }
    Ok(())
}

/// What the node tells on stdout and stderr.
struct Journal {
    out: Output,
    shows_text: bool,
    /// Lines that stdout did not take since it took one.
    left_out: usize,
}

impl Journal {
    fn note(&mut self, event: NodeEvent) -> Result<()> {
        match event {
            NodeEvent::Received { peer, messages } if self.shows_text => {
                for message in &messages {
                    let line = news::message_line(&peer, message);
                    self.print(&line, || news::message_object(&peer, message));
                }
            }
            NodeEvent::TransferFailed { error, .. } | NodeEvent::Trouble(error) => {
                output::warn(&error.to_string())
            }
            NodeEvent::Fatal(error) => return Err(error),
            event => {
                // Nobody is asked here, and each file was told by itself.
                if let (Some(line), Some(object)) = (news::line(&event), news::object(&event)) {
                    self.print(&line, || object);
                }
            }
        }
        Ok(())
    }

    /// Prints a line. The node is worth more than its output: where that is a file on a full disk, the line is left out.
    fn print(&mut self, line: &str, object: impl FnOnce() -> Object) {
        match self.out.data(line, object) {
            Ok(()) if self.left_out == 0 => {}
            Ok(()) => {
                let count = std::mem::take(&mut self.left_out);
                output::warn(&format!("stdout takes lines again; {count} were left out"));
            }
            Err(error) => {
                if self.left_out == 0 {
                    output::warn(&format!("{error}; the node runs on, and leaves lines out"));
                }
                self.left_out += 1;
            }
        }
    }
}
