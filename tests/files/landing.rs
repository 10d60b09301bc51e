//! How what arrives comes to its name, what is kept of what did not, and what the sender hears of either. It leaves out who
//! may send and how much: see `receiving`; and lost connections: see `resume`.

use crate::common;

use common::files::{landed_in, names_in, staged_in};
use common::proxy::{How, Plan, Way};
use common::rogue::{Rogue, dir, file};
use common::route::Route;
use common::{Home, poll_until};
use egoat::wire::message::Kind;
use std::fs;
use std::path::Path;

/// The node had no time to read the offer while its sender waited.
#[test]
fn an_offer_whose_sender_has_gone_leaves_nothing() {
    let (bob, mallory) = (Home::new("bob"), Rogue::new(13));
    bob.run(&["peers", "add", "mallory", &mallory.key()]);
    let node = bob.serve();
    let offers: [(&str, &dyn Fn(&mut common::rogue::Line)); 3] = [
        ("one", &|line| line.offer(&[file("one", 1000)])),
        ("tree", &|line| line.offer(&[dir("tree"), file("tree/empty", 0)])),
        ("stream", &|line| line.offer_stream("stream")),
    ];
    for (count, (what, offer)) in offers.iter().enumerate() {
        let mut line = mallory.session(&node.addr, &bob.key(), Kind::Files);
        offer(&mut line);
        line.hang_up();
        poll_until(what, || {
            (node.said().matches("connection to mallory lost").count() > count).then_some(())
        });
        assert_eq!(bob.run(&["partial"]), "", "{what}");
        assert!(names_in(&bob.path("partial")).is_empty(), "{what}");
        assert!(names_in(&bob.path("downloads/mallory")).is_empty(), "{what}");
    }
}

/// Bob has all of it, and Alice does not know.
fn send_without_the_last_word(route: &Route, paths: &[&str], names: &[&str]) {
    let first = route.alice.file("first", "x");
    route.send(&[&first]);
    let connection = route.proxy.connections().pop().unwrap();
    poll_until("its end", || connection.is_over().then_some(()));
    let whole = connection.passed()[Way::ToDialler as usize];
    fs::remove_file(route.landing.join("first")).unwrap();
    route.proxy.plan_next(Plan::cut(Way::ToDialler, whole - 1, How::Cut));
    route.alice.fails(&[&["send", "bob"], paths].concat(), 69);
    poll_until("all of it", || (landed_in(&route.landing) == names).then_some(()));
    poll_until("its folder to go", || staged_in(&route.landing).is_empty().then_some(()));
}

#[test]
fn what_was_changed_since_it_came_is_not_called_stored() {
    let in_place = |path: &Path| fs::write(path, "mine").unwrap();
    let by_another = |path: &Path| {
        // As large and as old, but not the same.
        let time = fs::metadata(path).unwrap().modified().unwrap();
        let other = path.with_extension("other");
        fs::write(&other, "mine").unwrap();
        common::files::set_time(&other, time);
        fs::rename(other, path).unwrap();
    };
    let changes: [&dyn Fn(&Path); 2] = [&in_place, &by_another];
    for change in changes {
        let route = Route::new();
        fs::create_dir(route.alice.path("tree")).unwrap();
        route.alice.file("tree/file", "hers");
        let (a, tree) = (route.alice.file("a.txt", "hers"), route.alice.path("tree"));
        let paths = [a.as_str(), tree.to_str().unwrap()];
        for changed in ["a.txt", "tree/file"] {
            let _ = fs::remove_dir_all(&route.landing);
            fs::create_dir_all(&route.landing).unwrap();
            send_without_the_last_word(&route, &paths, &["a.txt", "tree"]);
            change(&route.landing.join(changed));
            assert_eq!(route.send(&paths).held, 0, "{changed}");
            assert_eq!(names_in(&route.landing), ["a (1).txt", "a.txt", "tree", "tree (1)"]);
            for (path, content) in [("a (1).txt", "hers"), ("tree (1)/file", "hers"), (changed, "mine")] {
                assert_eq!(fs::read_to_string(route.landing.join(path)).unwrap(), content);
            }
        }
        // What was not changed is there once.
        fs::remove_dir_all(&route.landing).unwrap();
        send_without_the_last_word(&route, &paths, &["a.txt", "tree"]);
        assert_eq!(route.send(&paths).held, 8);
        assert_eq!(names_in(&route.landing), ["a.txt", "tree"]);
    }
}
