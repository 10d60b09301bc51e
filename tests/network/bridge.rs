//! Machines on one Ethernet, as network namespaces that the test makes itself, with a bridge between them on which everything is
//! recorded. Each is called by a letter, and has 10.98.0.1, 10.98.0.2 ... if it has an IPv4 address.

use crate::common::{self, Home, Process, poll_until};
use crate::wire::{egoat_in, run};

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Tells the bridges of one process apart.
static LAID: AtomicU32 = AtomicU32::new(0);

/// Writes each packet that passes the bridge in hexadecimal, a line each. What the bridge itself sends is left out.
const RECORDER: &str = "
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(('br0', 0))
print('ready', flush=True)
while True:
    packet, where = s.recvfrom(65535)
    if where[2] != 4:
        print(packet.hex(), flush=True)
";

/// Sends what it is given in hexadecimal to the group of beacons, so many times to each port.
const SENDER: &str = "
import socket, sys
own, times, packets = sys.argv[1], int(sys.argv[2]), [bytes.fromhex(p) for p in sys.argv[3:]]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((own, 0))
for number in range(4 * times):
    try:
        s.sendto(packets[number // 4 % len(packets)], ('239.192.70.71', 4628 + number % 4))
    except BlockingIOError:
        pass
";

pub struct Bridge {
    prefix: String,
    hosts: usize,
    record: PathBuf,
    recorder: Child,
    _dir: tempfile::TempDir,
}

/// A UDP packet, or the first bytes of another one.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: IpAddr,
    /// Of the Internet's list: 17 is UDP, 6 is TCP.
    pub protocol: u8,
    pub to_port: u16,
    /// What the packet carries, with the rest of its header if it is TCP.
    pub body: Vec<u8>,
}

impl Bridge {
    /// With so many machines, which have IPv4 addresses or only those that IPv6 makes by itself. Where none can be made, the test
    /// says that it is skipped.
    pub fn lay(hosts: usize, has_v4: bool) -> Option<Bridge> {
        let number = LAID.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("egoat-t{}-{number}", std::process::id());
        let mut steps = vec![
            format!("ip netns add {prefix}"),
            format!("ip -n {prefix} link add br0 type bridge"),
            format!("ip -n {prefix} link set br0 promisc on up"),
        ];
        for host in 0..hosts {
            let name = format!("{prefix}{}", letter(host));
            steps.extend([
                format!("ip netns add {name}"),
                format!("ip link add eth0 netns {name} type veth peer name p{host} netns {prefix}"),
                format!("ip -n {prefix} link set p{host} master br0 up"),
                format!("ip -n {name} link set lo up"),
                format!("ip -n {name} link set eth0 up"),
            ]);
            if has_v4 {
                steps.push(format!("ip -n {name} addr add 10.98.0.{}/24 dev eth0", host + 1));
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let is_laid = steps.iter().all(|step| run(step));
        let recorder = is_laid.then(|| record(&prefix, &dir.path().join("record"))).flatten();
        let Some(recorder) = recorder else {
            common::skip("network namespaces with a bridge cannot be made here, or there is no python3");
            remove(&prefix, hosts);
            return None;
        };
        let bridge = Bridge { prefix, hosts, record: dir.path().join("record"), recorder, _dir: dir };
        (0..hosts).for_each(|host| bridge.wait_for_link(letter(host)));
        Some(bridge)
    }

    /// Waits until the machine may use its link-local address.
    fn wait_for_link(&self, host: char) {
        poll_until("a link-local address", || {
            let args = ["-n", &self.host(host), "-6", "-o", "addr", "show", "dev", "eth0", "-tentative"];
            let shown = Command::new("ip").args(args).output().unwrap();
            String::from_utf8(shown.stdout).unwrap().contains("fe80").then_some(())
        });
    }

    /// The namespace of a machine.
    pub fn host(&self, host: char) -> String {
        format!("{}{host}", self.prefix)
    }

    /// Changes something on a machine by ip(8).
    pub fn ip(&self, host: char, change: &str) {
        assert!(run(&format!("ip -n {} {change}", self.host(host))), "ip {change}");
    }

    /// Has a machine run a program.
    pub fn exec(&self, host: char, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(host)]).args(args);
        command
    }

    /// A command on a machine.
    pub fn cmd(&self, host: char, home: &Home, args: &[&str]) -> Command {
        egoat_in(&self.host(host), home, args)
    }

    /// A node on a machine.
    pub fn serve(&self, host: char, home: &Home, listen: &str) -> Process {
        crate::wire::serve_in(&self.host(host), home, listen)
    }

    /// Has a machine, which has an IPv4 address, send these packets in turn as beacons, so many in all to each port.
    pub fn send(&self, host: char, times: usize, packets: &[Vec<u8>]) {
        let own = self.address(host).into_iter().find(IpAddr::is_ipv4).unwrap();
        let mut command = self.exec(host, &["python3", "-c", SENDER]);
        command.args([own.to_string(), times.to_string()]);
        let hex = |packet: &Vec<u8>| packet.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert!(command.args(packets.iter().map(hex)).status().unwrap().success());
    }

    /// What has passed the bridge so far.
    pub fn packets(&self) -> Vec<Packet> {
        self.frames().iter().filter_map(|frame| parse(frame)).collect()
    }

    /// The same, as it was on the wire.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        let text = fs::read_to_string(&self.record).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter(|line| *line != "ready").map(bytes).collect()
    }

    /// The beacons from a machine.
    pub fn beacons(&self, host: char) -> Vec<Packet> {
        let mut beacons = self.packets();
        let own = self.address(host);
        beacons.retain(|packet| {
            packet.protocol == 17 && packet.body.starts_with(b"EG") && own.contains(&packet.from)
        });
        beacons
    }

    /// How often a machine began to connect to a port.
    pub fn dials(&self, host: char, port: u16) -> usize {
        let own = self.address(host);
        let is_dial = |packet: &&Packet| {
            // Of the flags of TCP only SYN.
            packet.protocol == 6
                && packet.to_port == port
                && packet.body.get(9) == Some(&2)
                && own.contains(&packet.from)
        };
        self.packets().iter().filter(is_dial).count()
    }

    /// The addresses of a machine.
    fn address(&self, host: char) -> Vec<IpAddr> {
        let shown = self.exec(host, &["ip", "-o", "addr", "show", "dev", "eth0"]).output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let words: Vec<&str> = shown.split_whitespace().collect();
        let inet = words.windows(2).filter(|pair| pair[0].starts_with("inet"));
        inet.filter_map(|pair| pair[1].split('/').next()?.parse().ok()).collect()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.recorder.kill();
        let _ = self.recorder.wait();
        remove(&self.prefix, self.hosts);
    }
}

fn remove(prefix: &str, hosts: usize) {
    let machines = (0..hosts).map(|host| format!("{prefix}{}", letter(host)));
    machines.chain([prefix.to_owned()]).for_each(|name| {
        run(&format!("ip netns del {name}"));
    });
}

fn letter(host: usize) -> char {
    (b'a' + host as u8) as char
}

fn record(namespace: &str, to: &PathBuf) -> Option<Child> {
    let mut python = Command::new("ip");
    python.args(["netns", "exec", namespace, "python3", "-c", RECORDER]);
    python.stdin(Stdio::null()).stdout(File::create(to).unwrap()).stderr(Stdio::null());
    let mut recorder = python.spawn().ok()?;
    poll_until("the recorder to begin or to end", || {
        let has_begun = fs::read_to_string(to).unwrap().starts_with("ready\n");
        (has_begun || recorder.try_wait().unwrap().is_some()).then_some(())
    });
    recorder.try_wait().unwrap().is_none().then_some(recorder)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len() / 2).map(|at| digit(2 * at)).collect()
}

/// Reads an Ethernet frame with IP in it.
fn parse(frame: &[u8]) -> Option<Packet> {
    let ip = frame.get(14..)?;
    let v4 = |at: usize| Some(IpAddr::from(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?)));
    let v6 = |at: usize| Some(IpAddr::from(Ipv6Addr::from(*ip.get(at..)?.first_chunk::<16>()?)));
    let (protocol, from, rest) = match frame[12..14] {
        [0x08, 0x00] => (ip[9], v4(12)?, ip.get(usize::from(ip[0] & 15) * 4..)?),
        [0x86, 0xdd] => (ip[6], v6(8)?, ip.get(40..)?),
        _ => return None,
    };
    let to_port = u16::from_be_bytes(*rest.get(2..)?.first_chunk::<2>()?);
    let body = rest.get(if protocol == 17 { 8 } else { 4 }..)?.to_vec();
    Some(Packet { from, protocol, to_port, body })
}
