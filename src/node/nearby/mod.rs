//! Friends in the same network find each other by beacons that nobody else can read (egoat-protocol(7), NEARBY). [`watch`] has
//! the threads that call and listen; [`hearing`] has what a node knows of those it may hear, and how much it listens to; [`probe`]
//! finds out whether anything can be heard here.

pub mod hearing;
pub mod probe;
pub mod watch;
