//! E-Goat.
pub mod crypto;
pub mod error;
pub mod net;
pub mod node;
pub mod store;
pub mod text;
pub mod time;
pub mod transfer;
pub mod wire;
#[doc(hidden)]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
