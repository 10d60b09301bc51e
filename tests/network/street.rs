//! Three machines, as network namespaces that the test makes itself: Alice's at 11.0.0.1, a router with network address
//! translation, and Bob's behind it at 192.168.7.2. Debian's miniupnpd maps ports on the router.

use crate::common::{self, poll_until};
use crate::wire::run;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tells the streets of one process apart.
static LAID: AtomicU32 = AtomicU32::new(0);

pub struct Street {
    pub alice: String,
    pub router: String,
    pub bob: String,
    daemon: Option<Child>,
    dir: tempfile::TempDir,
}

/// The chains that miniupnpd fills.
const RULES: &str = r#"
table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        iifname "ri" accept
        ct state established,related accept
        jump miniupnpd
    }
    chain miniupnpd { }
}
table inet nat {
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 100; oifname "ro" masquerade; jump postrouting_miniupnpd; }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
"#;

impl Street {
    /// The router's outside address is the second one of the network `outside`, such as 11.0.0. Where no street can be laid,
    /// the test says that it is skipped.
    pub fn lay(outside: &str) -> Option<Street> {
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let name = |who: &str| format!("egoat-m{who}-{}-{number}", std::process::id());
        let dir = tempfile::tempdir().unwrap();
        let street = Street { alice: name("a"), router: name("r"), bob: name("b"), daemon: None, dir };
        let Street { alice, router, bob, .. } = &street;
        let rules = street.file("rules", RULES);
        let steps = [
            format!("ip netns add {alice}"),
            format!("ip netns add {router}"),
            format!("ip netns add {bob}"),
            format!("ip link add va netns {alice} type veth peer name ro netns {router}"),
            format!("ip link add vb netns {bob} type veth peer name ri netns {router}"),
            format!("ip -n {alice} addr add {outside}.1/24 dev va"),
            format!("ip -n {router} addr add {outside}.2/24 dev ro"),
            format!("ip -n {router} addr add 192.168.7.1/24 dev ri"),
            format!("ip -n {bob} addr add 192.168.7.2/24 dev vb"),
            format!("ip -n {alice} link set va up"),
            format!("ip -n {router} link set ro up"),
            format!("ip -n {router} link set ri up"),
            format!("ip -n {bob} link set vb up"),
            format!("ip -n {alice} link set lo up"),
            format!("ip -n {router} link set lo up"),
            format!("ip -n {bob} link set lo up"),
            format!("ip -n {bob} route add default via 192.168.7.1"),
            format!("ip netns exec {router} sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"),
            format!("ip netns exec {router} nft -f {rules}"),
        ];
        let is_laid = steps.iter().all(|step| run(step));
        if !is_laid {
            common::skip("network namespaces with a router cannot be made here");
        }
        is_laid.then_some(street)
    }

    /// The same, with miniupnpd on the router; `settings` are lines of its configuration.
    pub fn with_daemon(outside: &str, settings: &str) -> Option<Street> {
        let mut street = Street::lay(outside)?;
        street.start_daemon(settings).then_some(street)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts miniupnpd in the place of the one that runs; whether it is installed.
    pub fn start_daemon(&mut self, settings: &str) -> bool {
        self.stop_daemon();
        let path = |name: &str| self.dir.path().join(name).to_str().unwrap().to_owned();
        let config = format!(
            "ext_ifname=ro\nlistening_ip=ri\nsecure_mode=yes\nlease_file={}\nupnp_table_name=filter\n\
             upnp_nat_table_name=nat\nupnp_forward_chain=miniupnpd\nupnp_nat_chain=prerouting_miniupnpd\n\
             upnp_nat_postrouting_chain=postrouting_miniupnpd\nuuid=9fcb11e1-fa6d-4097-b235-3140a2b4808c\n{settings}\n",
            path("leases")
        );
        let (config, pid) = (self.file("config", &config), path("pid"));
        let mut daemon = Command::new("ip");
        daemon.args(["netns", "exec", &self.router, "miniupnpd", "-d", "-f", &config, "-P", &pid]);
        let log = fs::File::create(path("log")).unwrap();
        daemon.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut daemon = daemon.spawn().unwrap();
        // It has its sockets before it writes this.
        let state = poll_until("miniupnpd to start", || {
            let has_ended = daemon.try_wait().unwrap().is_some();
            (has_ended || fs::metadata(&pid).is_ok_and(|file| file.len() > 0)).then_some(has_ended)
        });
        self.daemon = Some(daemon);
        if state {
            common::skip("miniupnpd does not start here");
        }
        !state
    }

    pub fn stop_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let _ = fs::remove_file(self.dir.path().join("pid"));
    }

    /// Changes something on Alice's machine by ip(8).
    pub fn alice(&self, change: &str) {
        assert!(run(&format!("ip -n {} {change}", self.alice)), "ip {change}");
    }

    /// Changes something on the router by ip(8).
    pub fn router(&self, change: &str) {
        assert!(run(&format!("ip -n {} {change}", self.router)), "ip {change}");
    }

    /// Changes something on Bob's machine by ip(8).
    pub fn bob(&self, change: &str) {
        assert!(run(&format!("ip -n {} {change}", self.bob)), "ip {change}");
    }

    /// The mappings of the router: the outside port, and where it leads.
    pub fn mappings(&self) -> Vec<(String, String)> {
        let listed = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.router,
                "nft",
                "list",
                "chain",
                "inet",
                "nat",
                "prerouting_miniupnpd",
            ])
            .output()
            .unwrap();
        let rule = |line: &str| {
            let (_, rest) = line.split_once("dport ")?;
            let (port, rest) = rest.split_once(' ')?;
            Some((port.to_owned(), rest.split_once(" to ")?.1.trim().to_owned()))
        };
        String::from_utf8(listed.stdout).unwrap().lines().filter_map(rule).collect()
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        self.stop_daemon();
        for namespace in [&self.alice, &self.router, &self.bob] {
            run(&format!("ip netns del {namespace}"));
        }
    }
}
