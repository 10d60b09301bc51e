//! Pairing over a login that exists already. The user names a command that runs egoat elsewhere, such as `ssh host egoat`;
//! it prints a link, or is given one. What pairs is the usual handshake between the two nodes, whichever can dial the
//! other; the login only carries the link, in place of a person who reads it aloud.

use std::time::Duration;

use crate::app::contacts::{invite, join};
use crate::app::link;
use crate::error::{Error, Result, reason};
use crate::net::endpoint::Endpoint;
use crate::store::external::{self, ProgramOutput, Starter};
use crate::store::peers::{Peer, Peers};
use crate::text;
use crate::wire::link::Link;

/// How long the command may take: somebody may have to type a password for the login.
const PAIRING_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an invite is good that is used at once.
const VIA_TTL: Duration = Duration::from_secs(600);

/// Pairs with the node whose egoat the command runs; it will be called `name` here, or what it calls itself.
pub fn pair(own: &Endpoint, command: &str, name: Option<String>) -> Result<Peer> {
    let remote = Remote(command);
    let link = remote.invite()?;
    match join(own, &link, name.clone()) {
        // It cannot be dialled; perhaps it can dial.
        Err(Error::Unreachable { peer, why }) => match link::node(own)? {
            Some(_) => remote.join(own, &link, name),
            None => Err(Error::Unreachable {
                peer,
                why: format!("{why}; and no node runs here for it to dial: start `egoat serve` on one side")
                    .into(),
            }),
        },
        joined => joined,
    }
}

/// The egoat at the other end: the words of a command line.
struct Remote<'a>(&'a str);

impl Remote<'_> {
    /// Has it print a link. Some logins print a greeting, too.
    fn invite(&self) -> Result<Link> {
        let printed = self.run(&["-q", "invite", "--ttl", &format!("{}s", VIA_TTL.as_secs())], "")?;
        let mut links = printed.lines().filter_map(|line| line.trim().parse::<Link>().ok());
        match (links.next(), links.next()) {
            (Some(link), None) if link.token.is_some() => Ok(link),
            _ => Err(self.failed("it printed no link, or several".into())),
        }
    }

    /// Has it join with a link of this node; returns the peer that it has become. The link goes to its standard input,
    /// where no list of processes shows it.
    fn join(&self, own: &Endpoint, remote: &Link, name: Option<String>) -> Result<Peer> {
        let invitation = invite(own, VIA_TTL, name, Vec::new())?;
        self.run(&["-q", "join", "-"], &format!("{}\n", invitation.link))?;
        let joined = Peers::load(own.home())?.by_key(&remote.key).cloned();
        joined.ok_or_else(|| {
            self.failed("the node that it has joined with is not the one that had invited".into())
        })
    }

    /// Runs it; returns what it prints if it succeeds. Its standard error is ours.
    fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut words = self.0.split_whitespace();
        let program = words.next().ok_or_else(|| Error::usage("--via names no command"))?;
        let mut command = Starter::new()?.command(program);
        command.args(words).args(arguments);
        let ended = external::run_within(PAIRING_TIMEOUT, &mut command, input);
        let ProgramOutput { printed, status } = ended.map_err(|cause| self.failed(reason(&cause)))?;
        match status.code() {
            Some(0) => Ok(printed),
            Some(69) => {
                Err(Error::Unreachable { peer: self.name(), why: "nor can it reach this node".into() })
            }
            _ => Err(self.failed(status.to_string())),
        }
    }

    fn name(&self) -> String {
        format!("the node behind `{}`", text::clean_line(self.0))
    }

    fn failed(&self, why: String) -> Error {
        Error::Failed {
            what: format!("cannot pair with {}: {why}", self.name()),
            hint: Some(
                "it is to run egoat on the other side, such as 'ssh host egoat'; try it with id".into(),
            ),
        }
    }
}
