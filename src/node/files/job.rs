//! Files that a front-end hands to the node: sent now, or queued if the peer cannot be reached. A job belongs to its
//! front-end, and a transfer that has begun ends with it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::crypto::keys::PublicKey;
use crate::error::{Error, Result};
use crate::node::context::Context;
use crate::node::files::outbound;
use crate::node::threads;
use crate::store::own_files::OwnFiles;
use crate::time::now_micros;
use crate::transfer::source::{Sources, Wanted};
use crate::transfer::tally::Tally;
use crate::wire::control::{JobOutcome, JobReport};

/// What a front-end wants to be sent.
pub struct SendRequest {
    /// The front-end.
    pub owner: u64,
    /// Its number of the job.
    pub number: u64,
    /// To whom.
    pub peer: PublicKey,
    /// Files and directories, from the root.
    pub paths: Vec<PathBuf>,
}

/// Starts a thread for the job. `is_wanted` is false once the front-end is gone; `done` learns what became of the job.
pub fn start(
    context: &Arc<Context>,
    request: SendRequest,
    is_wanted: impl Fn() -> bool + Send + 'static,
    done: impl Fn(JobReport) + Clone + Send + 'static,
) {
    let (context, number, failed) = (Arc::clone(context), request.number, done.clone());
    let work = move || {
        let mut job =
            JobReport { number, outcome: JobOutcome::Sent, bytes: 0, milliseconds: 0, title: String::new() };
        if let Err(error) = run(&context, &request, &is_wanted, &mut job) {
            job.outcome = match error {
                Error::Stopped => JobOutcome::Stopped,
                error => JobOutcome::Failed(error.to_string()),
            };
        }
        done(job);
    };
    if let Err(error) = threads::spawn("job", work) {
        let outcome = JobOutcome::Failed(error.to_string());
        failed(JobReport { number, outcome, bytes: 0, milliseconds: 0, title: String::new() });
    }
}

fn run(
    context: &Context,
    request: &SendRequest,
    is_wanted: &dyn Fn() -> bool,
    job: &mut JobReport,
) -> Result<()> {
    let gone = || Error::failed("it is no peer any more");
    let contact = context.roster().get(&request.peer).ok_or_else(gone)?;
    let peer = contact.peer().ok_or_else(gone)?;
    peer.ensure_not_blocked()?;
    let own = context.own();
    let home = OwnFiles::of(own.home())?;
    let wanted: Vec<Wanted> = request.paths.iter().map(|path| Wanted::path(path)).collect();
    let sources = Sources::choose(&wanted, &home)?;
    sources.own().for_each(|what| own.report(&what));
    let tally = Arc::new(Tally::new(sources.manifest(), false));
    job.title.clone_from(&tally.title);
    job.bytes = sources.manifest().bytes();
    let _shown = context.live().begin(&peer.name, true, Some(request.owner), &tally);
    if !is_wanted() {
        // The front-end went before its transfer could be found and stopped.
        return Err(Error::Stopped);
    }
    let note = || {
        let mut history = own.history(peer.conversation())?;
        history.store_files_sent(now_micros(), &sources.manifest().listing())
    };
    let sent = outbound::dial(own, &peer).and_then(|session| {
        outbound::send_unless(
            || !contact.is_welcome(),
            session,
            &sources,
            outbound::default_streams(),
            &tally,
            note,
        )
    });
    let sent = context.logged(sent);
    job.milliseconds = tally.elapsed().as_millis() as u64;
    match sent {
        Ok(()) => {
            context.live().look();
            Ok(())
        }
        Err(_) if tally.check_stop().is_err() => Err(Error::Stopped),
        Err(error) if error.is_passing() => {
            context.logged(own.queued_files(&peer.key)?.queue_paths(&request.paths, None, &home))?;
            context.ring(Some(peer.key));
            job.outcome = JobOutcome::Queued;
            Ok(())
        }
        Err(error) => Err(error),
    }
}
