//! `egoat id`: who this node is.

use crate::app::{Address, Own, contacts, identity};
use crate::cli::args;
use crate::cli::passphrase::PassphraseSource;
use crate::error::Result;
use crate::text::json::Object;
use crate::ui::output::Output;

pub fn run(own: &Own, out: Output, passphrases: &PassphraseSource, args: &args::Id) -> Result<()> {
    if let Some(name) = &args.name {
        own.home().set_name(&contacts::parse_name(name)?)?;
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
    let identity::Card { name, link } = identity::card(own)?;
    let (key, fingerprint) = (link.key, link.key.fingerprint());
    let mut human = format!("name         {name}\nkey          {key}\nfingerprint  {fingerprint}\n");
    for address in &link.addresses {
        human.push_str(&format!("address      {address}\n"));
    }
    human.push_str(&format!("link         {link}"));
    out.data(&human, || {
        Object::event("id")
            .text("name", &name)
            .text("key", &key.to_string())
            .text("fingerprint", &fingerprint)
            .list("addresses", link.addresses.iter().map(Address::to_string))
            .text("link", &link.to_string())
    })
}
