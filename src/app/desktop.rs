//! Opening an address or a folder on the user's desktop, by the program that the system has for that.

use std::ffi::OsStr;
use std::process::Stdio;

use crate::error::{Error, Result, reason};
use crate::node::threads;
use crate::store::external::Starter;

/// Opens it. What becomes of it is the desktop's business.
pub fn open(what: &OsStr) -> Result<()> {
    let (program, arguments): (&str, &[&str]) = match () {
        () if cfg!(windows) => ("cmd", &["/c", "start", ""]),
        () if cfg!(target_os = "macos") => ("open", &[]),
        () => ("xdg-open", &[]),
    };
    let mut command = Starter::for_tool().command(program);
    command.args(arguments).arg(what).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|cause| Error::failed(format!("{program} cannot be run: {}", reason(&cause))))?;
    // So that it leaves no zombie. Some of these programs run for as long as the browser.
    let _ = threads::spawn("desktop", move || drop(child.wait()));
    Ok(())
}
