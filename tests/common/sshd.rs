//! A private ssh server, on loopback or in a network namespace, and a client that knows it, for what goes over ssh: keys of
//! their own, the ciphers and algorithms of the installed OpenSSH, nothing of the user's or the system's configuration.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// What clients call the server.
pub const HOST: &str = "private";

/// How sshd says that a directory is missing which a system makes when it starts.
const MISSING: &str = "Missing privilege separation directory: ";
/// How long it may take to listen.
const START: Duration = Duration::from_secs(5);

pub struct Sshd {
    child: Child,
    dir: tempfile::TempDir,
    /// Bound and not listening, so that the system gives the port to nobody else while sshd starts.
    _port: Socket,
}

/// Where a program is; servers are often not in the search path.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|dir| dir.join(program)).find(|file| file.is_file())
}

impl Sshd {
    /// Starts it on loopback and logs in once; the error says why that cannot be.
    pub fn start() -> Result<Sshd, String> {
        Sshd::start_at("127.0.0.1", &[], &[])
    }

    /// The same at an address, with words in front of the commands of server and client, such as those that run them in a
    /// namespace.
    pub fn start_at(address: &str, server_words: &[&str], client_words: &[&str]) -> Result<Sshd, String> {
        let sshd = find("sshd").ok_or("sshd is not installed")?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let (taken, port) = take_port().map_err(|error| error.to_string())?;
        for key in ["host", "user"] {
            let file = dir.path().join(key);
            said(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file))?;
        }
        configure(dir.path(), address, port).map_err(|error| error.to_string())?;
        check(&sshd, dir.path())?;
        let child = after(server_words, sshd.as_os_str())
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let server = Sshd { child, dir, _port: taken };
        let deadline = Instant::now() + START;
        let log_in = || {
            said(after(client_words, OsStr::new("ssh")).arg("-F").arg(server.config()).args([HOST, "true"]))
        };
        loop {
            match log_in() {
                Ok(()) => return Ok(server),
                Err(why) if Instant::now() >= deadline => return Err(why),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// The process that every connection's processes descend from.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file for `-F` of ssh and scp.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("ssh_config")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program with words in front.
fn after(words: &[&str], program: &OsStr) -> Command {
    let [first, more @ ..] = words else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(more).arg(program);
    command
}

fn take_port() -> std::io::Result<(Socket, u16)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // sshd sets it too, so both can be bound.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let address = socket.local_addr()?.as_socket().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    Ok((socket, address.port()))
}

/// Runs a command; what it complains of is the error.
fn said(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ran = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if ran.status.success() {
        Ok(())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&ran.stderr).trim()))
    }
}

fn configure(dir: &Path, address: &str, port: u16) -> std::io::Result<()> {
    let file = |name: &str| dir.join(name).display().to_string();
    // Without PAM and with internal-sftp the server needs nothing of the system it runs on.
    let server = format!(
        "ListenAddress {address}\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
         Subsystem sftp internal-sftp\n",
        file("host"),
        file("user.pub"),
    );
    let client = format!(
        "Host {HOST}\nHostName {address}\nPort {port}\nHostKeyAlias {HOST}\nIdentityFile {}\nIdentitiesOnly yes\n\
         IdentityAgent none\nUserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n\
         BatchMode yes\nLogLevel ERROR\n",
        file("user"),
        file("known_hosts"),
    );
    let host_key = fs::read_to_string(dir.join("host.pub"))?;
    fs::write(dir.join("sshd_config"), server)?;
    fs::write(dir.join("ssh_config"), client)?;
    fs::write(dir.join("known_hosts"), format!("{HOST} {host_key}"))
}

/// Has the configuration checked, and makes the directory that sshd misses where no ssh server was ever started. The
/// directory stays, because another test may need it by then.
fn check(sshd: &Path, dir: &Path) -> Result<(), String> {
    let test =
        || said(Command::new(sshd).args([OsStr::new("-t"), OsStr::new("-f")]).arg(dir.join("sshd_config")));
    let Err(complaint) = test() else { return Ok(()) };
    let Some((_, missing)) = complaint.split_once(MISSING) else { return Err(complaint) };
    fs::create_dir_all(missing.trim()).map_err(|error| format!("{complaint}: {error}"))?;
    test()
}
