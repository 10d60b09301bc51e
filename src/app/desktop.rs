//! Opening an address or a folder on the user's desktop, by the program that the system has for that.

use std::ffi::OsStr;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, reason};
use crate::node::threads;
use crate::store::external::Starter;

/// How long a program that opens a folder gets to fail: xdg-open looks for a desktop and a file manager first.
const FAILS_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Opens an address. What becomes of it is the desktop's business.
pub fn open(what: &OsStr) -> Result<()> {
    let (_, child) = start(what)?;
    reap(child);
    Ok(())
}

/// Opens a folder; an error also when the program that was to open it fails soon, as where there is no desktop.
pub fn open_folder(what: &OsStr) -> Result<()> {
    let (program, mut child) = start(what)?;
    let begun = Instant::now();
    while begun.elapsed() < FAILS_WITHIN {
        match child.try_wait() {
            Ok(Some(status)) if !status.success() => {
                return Err(Error::failed(format!(
                    "no file manager answers on this computer ({program} found none)"
                )));
            }
            Ok(None) => thread::sleep(LOOK),
            _ => return Ok(()),
        }
    }
    reap(child);
    Ok(())
}

/// Waits for its end beside, so that it leaves no zombie. Some of these programs run for as long as the browser.
fn reap(mut child: Child) {
    let _ = threads::spawn("desktop", move || drop(child.wait()));
}

fn start(what: &OsStr) -> Result<(&'static str, Child)> {
    let (program, arguments): (&'static str, &[&str]) = match () {
        () if cfg!(windows) => ("cmd", &["/c", "start", ""]),
        () if cfg!(target_os = "macos") => ("open", &[]),
        () => ("xdg-open", &[]),
    };
    let mut command = Starter::for_tool().command(program);
    command.args(arguments).arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Ok((program, child)),
        Err(cause) => {
            Err(Error::failed(format!("no desktop answers on this computer ({program}: {})", reason(&cause))))
        }
    }
}
