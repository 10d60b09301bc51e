//! `egoat id`: who this node is.

use crate::cli::args::Id;
use crate::cli::output::Output;
use crate::cli::passphrase::Source;
use crate::cli::who;
use crate::error::Result;
use crate::net::local;
use crate::store::home::Own;
use crate::store::node_lock;
use crate::text::json::Object;
use crate::wire::address::Address;
use crate::wire::link::Link;

/// Where this node can be dialled, as far as it can tell.
pub fn own_addresses(own: &Own) -> Result<Vec<Address>> {
    let node = node_lock::running(own.home())?.unwrap_or_default();
    Ok(local::reachable_at(&node.listening))
}

pub fn run(own: &Own, out: Output, passphrases: &Source, args: &Id) -> Result<()> {
    if let Some(name) = &args.name {
        own.home().set_name(&who::name(name)?)?;
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
    let (name, key, addresses) = (own.home().name()?, own.key(), own_addresses(own)?);
    let link = Link { key, token: None, addresses: addresses.clone() };
    let mut human = format!("name         {name}\nkey          {key}\nfingerprint  {}\n", key.fingerprint());
    for address in &addresses {
        human.push_str(&format!("address      {address}\n"));
    }
    human.push_str(&format!("link         {link}"));
    out.data(&human, || {
        Object::event("id")
            .text("name", &name)
            .text("key", &key.to_string())
            .text("fingerprint", &key.fingerprint())
            .list("addresses", addresses.iter().map(Address::to_string))
            .text("link", &link.to_string())
    })
}
