//! `egoat id`: who this node is.

use crate::app::{Address, Endpoint, Home, Link, identity, link};
use crate::cli::args;
use crate::cli::passphrase::PassphraseSource;
use crate::error::{Error, Result};
use crate::text::json::Object;
use crate::ui::output::Output;

pub fn run(own: &Endpoint, out: Output, passphrases: &PassphraseSource, args: &args::Id) -> Result<()> {
    if let Some(name) = &args.name {
        identity::rename(own, name)?;
    }
    if args.passphrase {
        let passphrase = passphrases.new_one()?;
        own.set_passphrase(passphrase.as_bytes())?;
        out.note(if passphrase.is_empty() {
            "the identity has no passphrase now"
        } else {
            "the identity has a new passphrase"
        });
    }
    let identity::Card { name, key, link } = identity::card(own)?;
    let fingerprint = key.fingerprint();
    let mut human = format!("name         {name}\nkey          {key}\nfingerprint  {fingerprint}");
    let addresses = link.as_ref().map_or(&[][..], |link| &link.addresses);
    for address in addresses {
        human.push_str(&format!("\naddress      {address}"));
    }
    let link = link.as_ref().map(Link::to_string);
    link.iter().for_each(|link| human.push_str(&format!("\nlink         {link}")));
    out.data(&human, || {
        Object::event("id")
            .text("name", &name)
            .text("key", &key.to_string())
            .text("fingerprint", &fingerprint)
            .list("addresses", addresses.iter().map(Address::to_string))
            .optional("link", link.as_deref())
    })
}

/// `egoat id --forget`: the node that runs gives the key to nobody any more.
pub fn forget(home: &Home, out: Output, args: &args::Id) -> Result<()> {
    if args.passphrase || args.name.is_some() {
        return Err(Error::usage("--forget goes alone"));
    }
    out.note(if link::forget(home)? {
        "the node gives the key to no other command until it is started again"
    } else {
        "no node runs here that could give the key to anybody"
    });
    Ok(())
}
