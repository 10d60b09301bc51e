//! `egoat window`: the page in a browser. The first one serves it, and starts the node where none runs; the next one gets a
//! new code from the first.

use std::ffi::OsStr;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::app::link::NodeEvent;
use crate::app::window::door::{self, Question, WindowLock};
use crate::app::window::{self, Setup, Window};
use crate::app::{Endpoint, Home, Link, contacts, desktop, identity, news, settings, uploads};
use crate::cli::args;
use crate::cli::values;
use crate::error::{Error, Result};
use crate::text::{self, json::Object};
use crate::ui;
use crate::ui::output::{self, Output};

/// The process outlives its last page for so long.
const OUTLIVES: Duration = Duration::from_secs(600);
/// How often it is looked whether that is over, and how often old uploads are looked for.
const LOOK: Duration = Duration::from_secs(5);
const SWEEP: Duration = Duration::from_secs(3600);

pub fn run(
    home: Home,
    proxy: Option<identity::Proxy>,
    out: Output,
    args: &args::Window,
    unlock: &dyn Fn(Home) -> Result<Endpoint>,
) -> Result<()> {
    if args.stop || args.revoke {
        return ask(&home, out, args);
    }
    let target = args.peer.as_deref().map(|given| target(&home, given)).transpose()?.unwrap_or_default();
    home.create()?;
    let Some(lock) = WindowLock::take(&home)? else {
        let Some(address) = door::ask(&home, Question::Code)? else {
            return Err(Error::failed("the window has just ended; try again"));
        };
        return show(out, args, &address, &target);
    };
    // Before anything is started: a page that is not to be had is an error at once.
    let listener = window::listen(&home, args.port)?;
    let port = listener.port().map_err(|cause| Error::failed(format!("no port: {cause}")))?;
    let setup = Setup {
        listen: settings::listen_of(&home, &args.listen)?,
        keep_free: values::keep_free(args.keep_free.as_deref())?,
        map: settings::map_of(&home, args.map.as_deref())?,
        proxy,
        commands: commands(&home, args),
        told: Box::new(move |event| tell(out, event)),
        report: Arc::new(output::warn),
    };
    let is_sealed = window::is_sealed(&home)?;
    let window = Window::new(home.clone(), setup, port);
    if is_sealed {
        out.note("the page asks for the passphrase");
    } else {
        window.begin(unlock(home)?);
    }
    window.watch()?;
    let (end, ended) = sync_channel(1);
    open_door(&lock, &window, end)?;
    show(out, args, &address(&window), &target)?;
    ui::window::serve(listener, &window)?;
    let mut swept: Option<Instant> = None;
    while window.feed.unseen() < OUTLIVES {
        if swept.is_none_or(|swept| swept.elapsed() >= SWEEP)
            && let Ok(own) = window.own()
        {
            uploads::sweep(own).unwrap_or_else(|error| output::warn(&error.to_string()));
            swept = Some(Instant::now());
        }
        match ended.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                out.note("the window was stopped");
                window.leave();
                return Ok(());
            }
        }
    }
    out.note("the window ends: its last page was closed 10 minutes ago");
    window.leave();
    Ok(())
}

/// The command lines that bring this window back, and a node: the page shows them when it has lost either. The port is part of
/// the first, because the browser keeps what was not sent yet under the origin of the page.
fn commands(home: &Home, args: &args::Window) -> (String, String) {
    let option = |name: &str, value: &str| format!(" {name} {}", text::shell_word(value));
    let mut shared = home.named().map_or_else(String::new, |dir| option("--home", &dir.to_string_lossy()));
    args.listen.iter().for_each(|address| shared += &option("--listen", address));
    args.keep_free.iter().for_each(|size| shared += &option("--keep-free", size));
    let port = args.port.filter(|port| *port > 0).map(|port| option("--port", &port.to_string()));
    (format!("egoat window{}{shared}", port.unwrap_or_default()), format!("egoat serve{shared}"))
}

/// Stops the window that runs, or ends its sessions.
fn ask(home: &Home, out: Output, args: &args::Window) -> Result<()> {
    if args.peer.is_some() || (args.stop && args.revoke) {
        return Err(Error::usage("--stop and --revoke stand alone"));
    }
    let question = if args.stop { Question::Stop } else { Question::Revoke };
    match door::ask(home, question)? {
        Some(told) => out.note(&told),
        None => return Err(Error::failed("no window runs on this home")),
    }
    Ok(())
}

/// What the page is to show, as the end of its address: a peer, or a link that it asks about.
fn target(home: &Home, given: &str) -> Result<String> {
    if Link::looks_like(given) {
        return Ok(format!("&join={}", contacts::parse_link(given)?));
    }
    let peer = contacts::named_in(home, given)?;
    Ok(format!("&peer={}", peer.key))
}

/// The address of the page with a new code.
fn address(window: &Window) -> String {
    format!("http://127.0.0.1:{}/#code={}", window.port(), window.sessions.issue())
}

/// Lets `egoat window` in.
fn open_door(lock: &WindowLock, window: &Arc<Window>, end: SyncSender<()>) -> Result<()> {
    let window = Arc::clone(window);
    let end = Mutex::new(Some(end));
    lock.open(move |question| {
        let nothing: Box<dyn FnOnce()> = Box::new(|| ());
        match question {
            Question::Code => (address(&window), nothing),
            Question::Revoke => {
                window.sessions.revoke();
                window.feed.wake();
                output::warn("all sessions of the window have ended");
                ("all sessions have ended; `egoat window` begins a new one".into(), nothing)
            }
            Question::Stop => {
                let end = end.lock().ok().and_then(|mut end| end.take());
                let stop = move || end.map_or((), |end| end.send(()).unwrap_or(()));
                ("the window was stopped".into(), Box::new(stop))
            }
        }
    })
}

/// Prints the address, and opens it where there is a desktop.
fn show(out: Output, args: &args::Window, address: &str, target: &str) -> Result<()> {
    let address = format!("{address}{target}");
    out.data(&address, || Object::event("window").text("address", &address))?;
    let is_remote = ["SSH_CONNECTION", "SSH_CLIENT"].iter().any(|name| std::env::var_os(name).is_some());
    if is_remote {
        let port = port_of(&address);
        out.note("a browser on your own machine gets here through ssh; run this there, and open the address in it:");
        output::copyable(&format!("ssh -N -L {port}:127.0.0.1:{port} {}", host()));
    } else if !args.no_open
        && let Err(error) = desktop::open(OsStr::new(&address))
    {
        out.note(&format!("{error}; open the address in a browser, within a minute"));
    }
    Ok(())
}

fn port_of(address: &str) -> &str {
    let rest = address.trim_start_matches("http://127.0.0.1:");
    rest.split('/').next().unwrap_or(rest)
}

/// This machine as the user's ssh knows it, as far as it tells: the address at which it was reached.
fn host() -> String {
    let connection = std::env::var("SSH_CONNECTION").unwrap_or_default();
    let own = connection.split_whitespace().nth(2).unwrap_or("HOST");
    match std::env::var("USER") {
        Ok(user) if !user.is_empty() => text::clean_line(&format!("{user}@{own}")),
        _ => text::clean_line(own),
    }
}

/// What the node in this process tells. The page shows the rest.
fn tell(out: Output, event: &NodeEvent) {
    match event {
        NodeEvent::Listening(_) | NodeEvent::ChosePort { .. } => {
            news::line(event).into_iter().for_each(|line| out.note(&line));
        }
        NodeEvent::Trouble(error) if error.is_passing() => {}
        NodeEvent::TransferFailed { error, .. } | NodeEvent::Trouble(error) | NodeEvent::Fatal(error) => {
            output::warn(&error.to_string());
        }
        _ => {}
    }
}
