//! The `egoat` program: everything is in the library, so that tests and readers find it in one place.

use std::process::ExitCode;

fn main() -> ExitCode {
    egoat::main()
}
