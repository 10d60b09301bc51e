//! SOCKS5 (RFC 1928), the side that asks: one CONNECT, with a user and a password (RFC 1929) or without. It leaves out
//! where the proxy is, and how long it may take.

use std::io::ErrorKind::{TimedOut, UnexpectedEof};
use std::net::{IpAddr, TcpStream};

use crate::error::reason;
use crate::net::deadline::{Deadline, ShortRead};
use crate::wire::address::Address;
use crate::wire::proxy::Login;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
/// The version of the exchange of RFC 1929.
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why there is no connection, as what the proxy does: "says that ..." or "is ...".
pub enum Failure {
    /// The proxy cannot be used.
    Proxy(String),
    /// It says that the other end cannot be reached, or it did not reach it in time.
    Peer(String),
}

fn broken(what: &str) -> Failure {
    Failure::Proxy(format!("is no SOCKS5 proxy: {what}"))
}

fn unread(short: ShortRead) -> Failure {
    Failure::Proxy(match short.cause.kind() {
        TimedOut => "does not answer in time".into(),
        UnexpectedEof => "closed the connection before it had answered".into(),
        _ => format!("broke off: {}", reason(&short.cause)),
    })
}

/// What a reply of other than zero means (RFC 1928, section 6).
fn refusal(code: u8) -> Failure {
    Failure::Peer(match code {
        1 => "says that it failed, but not why".into(),
        2 => "says that its rules forbid it".into(),
        3 => "says that the network cannot be reached".into(),
        4 => "says that the host cannot be reached, or is not known".into(),
        5 => "says that the connection was refused".into(),
        6 => "says that it took too long".into(),
        7 => "says that it makes no connections".into(),
        8 => "says that it takes no address of this kind".into(),
        code => format!("gave the reason {code}, which has no meaning"),
    })
}

/// Has the proxy at the other end of `stream` connect to `to`: from here on, the stream leads there. Not a byte is read
/// that is not the proxy's.
pub fn connect(stream: &TcpStream, login: &Login, to: &Address, deadline: Deadline) -> Result<(), Failure> {
    let write = |bytes: &[u8]| {
        let broke = |cause| Failure::Proxy(format!("broke off: {}", reason(&cause)));
        deadline.write_all(stream, bytes).map_err(broke)
    };
    // In the order of preference; the proxy chooses.
    write(&[VERSION, 2, PASSWORD, NO_LOGIN])?;
    match read(stream, deadline)? {
        [VERSION, NO_LOGIN] => {}
        [VERSION, PASSWORD] => {
            write(&login_request(login))?;
            match read(stream, deadline)? {
                [LOGIN_VERSION, 0] => {}
                [LOGIN_VERSION, _] => {
                    return Err(Failure::Proxy("wants another user or password".into()));
                }
                _ => return Err(broken("it does not answer to a user and password")),
            }
        }
        [VERSION, NO_METHOD] => {
            return Err(Failure::Proxy("wants another kind of login than a password".into()));
        }
        [VERSION, _] => return Err(broken("it wants a login that was not offered")),
        _ => return Err(broken("it speaks another version, or something else")),
    }
    write(&connect_request(to))?;
    read_reply(stream, deadline)
}

fn read<const N: usize>(stream: &TcpStream, deadline: Deadline) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    deadline.read_exact(stream, &mut bytes).map_err(unread)?;
    Ok(bytes)
}

/// The lengths are those of [`Login`].
fn login_request(Login { user, password }: &Login) -> Vec<u8> {
    [&[LOGIN_VERSION, user.len() as u8], &user[..], &[password.len() as u8], password].concat()
}

fn connect_request(to: &Address) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match to.ip() {
        Some(IpAddr::V4(ip)) => {
            request.push(IPV4);
            request.extend(ip.octets());
        }
        Some(IpAddr::V6(ip)) => {
            request.push(IPV6);
            request.extend(ip.octets());
        }
        // A host has at most 253 bytes.
        None => {
            request.extend([NAME, to.host().len() as u8]);
            request.extend(to.host().as_bytes());
        }
    }
    request.extend(to.port().to_be_bytes());
    request
}

/// The address in a reply is that of the proxy's own end, and of no use.
fn read_reply(stream: &TcpStream, deadline: Deadline) -> Result<(), Failure> {
    let mut head = [0; 2];
    deadline.read_exact(stream, &mut head).map_err(|short| match short.cause.kind() {
        TimedOut => Failure::Peer("has not reached it in time".into()),
        _ => unread(short),
    })?;
    match head {
        [VERSION, 0] => {}
        // Some close behind the reason.
        [VERSION, code] => return Err(refusal(code)),
        _ => return Err(broken("its reply is of another version")),
    }
    let length = match read(stream, deadline)? {
        [0, IPV4] => 4,
        [0, IPV6] => 16,
        [0, NAME] => usize::from(read::<1>(stream, deadline)?[0]),
        _ => return Err(broken("its reply has no address")),
    };
    let mut rest = vec![0; length + 2];
    deadline.read_exact(stream, &mut rest).map_err(unread)
}
