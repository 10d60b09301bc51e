//! Settings of a home: where its node listens, where files land, and the sizes and paths that a user types.

use std::path::{Path, PathBuf};

use crate::app::link::Listen;
use crate::crypto::{base32, random_array};
use crate::error::{Error, Result, Verb};
use crate::node::door::listen;
use crate::store::file;
use crate::store::home::Home;
use crate::store::place;

pub use crate::store::home::expand;

/// The setting that says whether routers are asked.
const MAP_SETTING: &str = "map";

/// Bytes of one transfer that a node takes unless the user says otherwise.
pub const MAX_FILE: u64 = 1 << 30;

/// Where to listen: the addresses that were `given`, else those that the home names; none if the node is to choose.
pub fn listen_of(home: &Home, given: &[String]) -> Result<Vec<Listen>> {
    if given.is_empty() { listen::of_home(home) } else { parse_listen(given) }
}

/// Parses addresses to listen on. Port 0, which no address to dial has, means a free one.
pub fn parse_listen(given: &[String]) -> Result<Vec<Listen>> {
    given.iter().map(|text| listen::parse(text)).collect()
}

/// Whether the node asks routers for a mapping: as it was `given`, else as the home says.
pub fn map_of(home: &Home, given: Option<&str>) -> Result<bool> {
    let (value, place) = match given {
        Some(given) => (Some(given.to_owned()), "--map".to_owned()),
        None => (home.setting(MAP_SETTING)?, format!("map= in {}", home.settings_path().display())),
    };
    match value.as_deref() {
        None | Some("auto" | "") => Ok(true),
        Some("off") => Ok(false),
        Some(_) => Err(Error::usage(format!("{place} is auto or off"))),
    }
}

/// A directory that the user typed, from the root: it means the same to a node that is started elsewhere the next time.
/// `None` for an empty path.
pub fn directory(typed: &str) -> Option<PathBuf> {
    std::path::absolute(expand(Path::new(typed))).ok()
}

/// Where received files land; an error if they cannot, where the user has named the place.
pub fn downloads(home: &Home, given: Option<&str>) -> Result<PathBuf> {
    if given.is_some_and(str::is_empty) {
        return Err(Error::usage("--downloads names no directory: its value is empty"));
    }
    let dir = home.downloads(given)?;
    if given.is_some() || home.has_downloads_variable() {
        place::check_for_later(home, &dir)?;
    }
    Ok(dir)
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
