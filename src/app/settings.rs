//! Settings of a home: where its node listens, where files land, and the sizes and paths that a user types.

use std::path::{Path, PathBuf};

use crate::app::link::Listen;
use crate::crypto::{base32, random_array};
use crate::error::{Error, Result, Verb};
use crate::store::file;
use crate::store::home::Home;
use crate::text;

pub use crate::store::home::expand;

/// Bytes of one transfer that a node takes unless the user says otherwise.
pub const MAX_FILE: u64 = 1 << 30;

/// Where to listen: the addresses that were `given`, else those that were chosen for this home.
pub fn listen_of(home: &Home, given: &[String]) -> Result<Vec<Listen>> {
    if given.is_empty() { parse_listen(&home.listen()?) } else { parse_listen(given) }
}

/// Parses addresses to listen on. Port 0, which no address to dial has, means a free one.
pub fn parse_listen(given: &[String]) -> Result<Vec<Listen>> {
    given.iter().map(|text| Listen::parse(text).map_or_else(|| Err(bad_listen(text)), Ok)).collect()
}

/// Chooses where the node of this home listens from now on.
pub fn choose_listen(home: &Home, given: &str) -> Result<()> {
    Listen::parse(given).map_or_else(|| Err(bad_listen(given)), |_| home.set_listen(given))
}

fn bad_listen(text: &str) -> Error {
    let hint = match text.parse::<u16>() {
        Ok(port) => format!("a port stands behind a host: [::]:{port} is on all addresses"),
        Err(_) => "an address is HOST:PORT, [IPV6]:PORT or HOST; port 0 takes a free one".into(),
    };
    Error::Usage { what: format!("{} is no address to listen on", text::clean_line(text)), hint: Some(hint) }
}

/// A directory that the user typed, from the root: it means the same to a node that is started elsewhere the next time.
/// `None` for an empty path.
pub fn directory(typed: &str) -> Option<PathBuf> {
    std::path::absolute(expand(Path::new(typed))).ok()
}

/// Makes a temporary directory that its owner alone can read.
pub fn temporary_dir(name: &str) -> Result<PathBuf> {
    let unique = base32::encode(&random_array::<8>());
    let dir = std::env::temp_dir().join(format!("{name}-{unique}"));
    file::create_private_dir(&dir).map_err(Error::disk(Verb::Create, &dir))?;
    Ok(dir)
}

/// The path from the root, as histories have it.
pub fn absolute(path: PathBuf) -> PathBuf {
    file::absolute(path)
}
