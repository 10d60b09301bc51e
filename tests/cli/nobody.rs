//! What a home that is not there, or knows nobody, says of that.

use crate::common::{EGOAT, Home, finish};
use std::process::Command;

/// A mistyped --home looks as if nothing waited and nothing was said.
#[test]
fn a_home_without_anybody_says_so() {
    let home = Home::new("alice");
    let typo = home.path("typo").display().to_string();
    let commands: [&[&str]; 4] = [&["fetch"], &["outbox"], &["log"], &["outbox", "retry"]];
    for command in commands {
        let at = |options: &[&str]| home.ends_with(&[options, command].concat(), b"", 0);
        let at_typo = |options: &[&str]| {
            let mut egoat = Command::new(EGOAT);
            egoat.args(["--home", &typo]).args(options).args(command);
            finish(egoat, b"", 0)
        };
        assert_eq!(at_typo(&[]), (String::new(), format!("egoat: no home is at {typo} yet\n")));
        assert_eq!(at_typo(&["-q"]), (String::new(), String::new()));
        let (out, said) = at(&[]);
        assert!(out.is_empty() && said.starts_with("egoat: no peer is saved in /"), "{said}");
        assert_eq!(at(&["-q"]), (String::new(), String::new()));
    }
    home.run(&["peers", "add", "bob", &Home::new("bob").key()]);
    assert_eq!(home.ends_with(&["outbox"], b"", 0), (String::new(), String::new()));
}

#[test]
fn a_line_that_is_none_is_like_a_broken_home() {
    let home = Home::new("alice");
    std::fs::write(home.path("peers"), "bob\n").unwrap();
    let said = home.fails(&["peers"], 74);
    assert!(said.contains("cannot use ") && said.contains("hint: correct it there"), "{said}");
}
