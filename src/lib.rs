//! E-Goat.
pub mod crypto;
pub mod text;
pub mod time;
#[doc(hidden)]
pub fn main() -> std::process::ExitCode { std::process::ExitCode::SUCCESS }
