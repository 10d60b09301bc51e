//! How a router that lies is taken: in each field, late, in pieces, without end. On loopback, by what the node asks with.

use crate::common::poll_until;
use crate::common::router::{
    Answers, INSIDE, Router, SERVICE, description, error, found, found_at, nat_pmp_answer, ok, pcp_answer,
    upnp_answer, upnp_answer_with, wish,
};

use egoat::net::mapping::{self, Failure, Grant};
use egoat::store::mapping::{By, Lease};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// More than all waits for one router together.
const BOUND: Duration = Duration::from_secs(60);

/// What comes of asking, which must end.
fn ask(router: &Router) -> Result<Grant, Failure> {
    let begun = Instant::now();
    let asked = mapping::map(&router.routers, &wish());
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    asked
}

/// The same of a router that answers: on a busy machine, its answer may come too late.
fn heard(router: &Router) -> Result<Grant, Failure> {
    poll_until("an answer", || {
        Some(ask(router)).filter(|asked| asked.as_ref().err() != Some(&Failure::Silent))
    })
}

/// What a router grants.
fn outside(router: &Router) -> (String, By) {
    let lease = heard(router).unwrap().lease;
    assert_eq!(lease.inside.to_string(), INSIDE);
    (lease.outside.to_string(), lease.by)
}

fn by_udp(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Router {
    Router::start(Answers { udp: Box::new(answer), ..Answers::default() })
}

fn by_http(answer: impl Fn(&crate::common::router::Request) -> String + Send + Sync + 'static) -> Router {
    Router::start(Answers { ssdp: found(), http: Box::new(answer), ..Answers::default() })
}

/// An honest answer to PCP, and none to NAT-PMP.
fn pcp(request: &[u8]) -> Vec<u8> {
    if request[0] == 2 { pcp_answer(request, [11, 0, 0, 1], 4629, 3600) } else { Vec::new() }
}

#[test]
fn an_honest_router_is_believed_in_each_protocol() {
    let at = |port: &str, by| (format!("11.0.0.1:{port}"), by);
    assert_eq!(outside(&by_udp(|request| vec![pcp(request)])), at("4629", By::Pcp));
    let nat_pmp = |request: &[u8]| match request[0] {
        0 => vec![nat_pmp_answer(request)],
        _ => vec![vec![0, 0x81, 0, 1, 0, 0, 0, 9]],
    };
    assert_eq!(outside(&by_udp(nat_pmp)), at("4628", By::NatPmp));
    assert_eq!(outside(&by_http(upnp_answer)), at("4628", By::Upnp));
}

/// Nobody grants anything to these answers, and each asking ends.
fn are_not_believed(lies: Vec<(&'static str, Router)>) {
    let asked = lies.into_iter().map(|(what, router)| (what, thread::spawn(move || ask(&router))));
    for (what, asked) in asked.collect::<Vec<_>>() {
        let asked = asked.join().unwrap();
        assert!(asked.is_err(), "{what}: {asked:?}");
    }
}

#[test]
fn an_answer_of_pcp_with_a_lie_is_none() {
    let changed = |at: usize| {
        by_udp(move |request| {
            let mut answer = pcp(request);
            if let Some(byte) = answer.get_mut(at) {
                *byte ^= 1;
            }
            vec![answer]
        })
    };
    let granted = |ip: [u8; 4], port, lifetime| {
        by_udp(move |request| match request[0] {
            2 => vec![pcp_answer(request, ip, port, lifetime)],
            _ => Vec::new(),
        })
    };
    are_not_believed(vec![
        ("version", changed(0)),
        ("opcode", changed(1)),
        ("result", changed(3)),
        ("nonce", changed(24)),
        ("end of the nonce", changed(35)),
        ("protocol", changed(36)),
        ("inside port", changed(41)),
        ("the request itself", by_udp(|request| vec![request.to_vec()])),
        ("cut off", by_udp(|request| vec![pcp(request)[..request.len().min(56)].to_vec()])),
        ("too long", by_udp(|request| vec![[pcp(request), vec![0; 1300]].concat()])),
        ("no time", granted([11, 0, 0, 1], 4629, 0)),
        ("no port", granted([11, 0, 0, 1], 0, 3600)),
        ("a port that nobody dials", granted([11, 0, 0, 1], 22, 3600)),
        ("loopback", granted([127, 0, 0, 1], 4629, 3600)),
        ("a group", granted([224, 0, 0, 1], 4629, 3600)),
        ("no address", granted([0; 4], 4629, 3600)),
        ("junk without end", by_udp(|_| vec![vec![0xff; 60]; 1000])),
        ("nothing at all", by_udp(|_| vec![Vec::new()])),
    ]);
}

#[test]
fn an_answer_of_nat_pmp_with_a_lie_is_none() {
    let lying = |lie: fn(&[u8]) -> Vec<u8>| {
        by_udp(move |request| match request {
            [2, ..] => vec![vec![0, 0x81, 0, 1, 0, 0, 0, 9]],
            [0, 0] => vec![nat_pmp_answer(request)],
            _ => vec![lie(request)],
        })
    };
    are_not_believed(vec![
        (
            "inside port",
            lying(|request| {
                let mut answer = nat_pmp_answer(request);
                answer[9] ^= 1;
                answer
            }),
        ),
        ("cut off", lying(|request| nat_pmp_answer(request)[..15].to_vec())),
        ("refused", lying(|request| [&[0, request[1] | 0x80, 0, 2], &[0; 4][..]].concat())),
        ("no time", lying(|request| [&nat_pmp_answer(request)[..12], &[0; 4]].concat())),
    ]);
}

#[test]
fn a_late_answer_counts_and_one_that_is_too_late_does_not() {
    let late = |wait: u64| {
        by_udp(move |request| {
            thread::sleep(Duration::from_millis(wait));
            vec![pcp(request)]
        })
    };
    assert_eq!(outside(&late(200)).1, By::Pcp);
    assert_eq!(ask(&late(4000)).unwrap_err(), Failure::Silent);
}

#[test]
fn an_answer_byte_by_byte_is_read() {
    let piecemeal = |pause: u64, answer: fn(&crate::common::router::Request) -> String| {
        let answers = Answers {
            ssdp: found(),
            http: Box::new(answer),
            piece: 1,
            pause: Duration::from_micros(pause),
            ..Answers::default()
        };
        Router::start(answers)
    };
    let chunked = |request: &crate::common::router::Request| {
        let answer = upnp_answer(request);
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let chunks: String = body.chars().map(|c| format!("1;x\r\n{c}\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    assert_eq!(outside(&piecemeal(0, upnp_answer)).1, By::Upnp);
    assert_eq!(outside(&piecemeal(0, chunked)).1, By::Upnp);
    // At this pace it takes longer than anybody waits.
    assert!(ask(&piecemeal(50_000, upnp_answer)).is_err());
}

/// Listens where the router must not lead, at another address of loopback.
fn elsewhere() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/ctl", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn a_router_leads_to_no_other_machine() {
    let (other, url) = elsewhere();
    let location =
        Router::start(Answers { ssdp: found_at(&url), http: Box::new(upnp_answer), ..Answers::default() });
    assert_eq!(ask(&location).unwrap_err(), Failure::Silent);
    let target = url.clone();
    let control = by_http(move |request| match request.line.starts_with("GET ") {
        true => ok(&description(&target)),
        false => upnp_answer(request),
    });
    assert!(matches!(heard(&control), Err(Failure::Odd(By::Upnp, _))));
    let target = url.clone();
    let base = by_http(move |request| match request.line.starts_with("GET ") {
        true => ok(&format!("<URLBase>{target}</URLBase>{}", description(&target))),
        false => upnp_answer(request),
    });
    assert!(matches!(heard(&base), Err(Failure::Odd(By::Upnp, _))));
    let redirect =
        by_http(move |_| format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n"));
    assert!(matches!(heard(&redirect), Err(Failure::Odd(By::Upnp, _))));
    let asked = &redirect.asked.lock().unwrap().lines;
    assert!(asked.iter().all(|line| line == "GET /desc.xml HTTP/1.1"), "it was followed: {asked:?}");
    assert!(other.accept().is_err(), "it was dialled");
}

#[test]
fn a_description_that_is_no_use_is_none() {
    let described = |text: String| {
        by_http(move |request| match request.line.starts_with("GET ") {
            true => text.clone(),
            false => upnp_answer(request),
        })
    };
    let whole = ok(&description("/ctl"));
    are_not_believed(vec![
        ("too long", described(ok(&[description("/ctl"), "x".repeat(70 << 10)].concat()))),
        ("cut off", described(whole[..whole.len() - 1].to_owned())),
        ("no HTTP", described("220 ftp\r\n\r\n".into())),
        ("nothing", described(String::new())),
        ("another service", described(ok(&description("/ctl").replace("WANIP", "LANIP")))),
        (
            "a line break in the service",
            described(ok(&description("/ctl").replace(SERVICE, &format!("{SERVICE}\r\nX: y")))),
        ),
        ("a line break in the path", described(ok(&description("/ctl\r\nX: y")))),
        (
            "chunks of any length",
            described("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".into()),
        ),
    ]);
}

#[test]
fn an_outside_address_that_nobody_has_is_none() {
    let with = |outside: &'static str| by_http(move |request| upnp_answer_with(request, outside));
    are_not_believed(vec![
        ("loopback", with("127.0.0.1")),
        ("a name", with("router.example")),
        ("a group", with("239.1.2.3")),
        ("IPv6", with("2001:4860::1")),
    ]);
    for none in ["", "0.0.0.0"] {
        assert_eq!(heard(&with(none)).unwrap_err(), Failure::Inside(By::Upnp));
    }
    // A private one is that of a router behind another one: the node tells it to nobody.
    assert_eq!(outside(&with("10.1.2.3")).0, "10.1.2.3:4628");
}

#[test]
fn a_router_that_maps_for_ever_alone_is_asked_for_that() {
    let router = by_http(|request| match request.text("NewLeaseDuration").as_str() {
        "" | "0" => upnp_answer(request),
        "3600" => error(402),
        _ => error(725),
    });
    assert_eq!(heard(&router).unwrap().lifetime, Duration::from_secs(3600), "it is asked again nevertheless");
    let added = |port: &str, time: &str| (port.to_owned(), time.to_owned());
    let wanted = [added("4628", "3600"), added("4628", "604800"), added("4628", "0")];
    assert_eq!(router.asked.lock().unwrap().added, wanted);
}

#[test]
fn ports_that_are_taken_are_passed_over_and_not_for_ever() {
    let router = by_http(|request| match request.text("NewExternalPort").as_str() {
        "4628" => error(718),
        "4629" => error(729),
        _ => upnp_answer(request),
    });
    assert_eq!(outside(&router).0, "11.0.0.1:4630");
    let full = by_http(|request| match request.body.contains("AddPortMapping") {
        true => error(718),
        false => upnp_answer(request),
    });
    assert!(matches!(heard(&full), Err(Failure::Refused(By::Upnp, _))));
    assert_eq!(full.asked.lock().unwrap().added.len(), 8);
    let fickle = by_http(|request| match request.text("NewExternalPort").as_str() {
        "" => upnp_answer(request),
        "4628" => error(718),
        _ => error(724),
    });
    assert!(ask(&fickle).is_err());
    assert!(fickle.asked.lock().unwrap().added.len() < 20);
}

/// What the router says of a mapping that it has made.
fn is_lost(before: Router, after: &dyn Fn(SocketAddr, Option<SocketAddr>) -> Lease) -> bool {
    let grant = heard(&before).unwrap();
    let lease = after(before.http, before.routers.udp);
    mapping::is_lost(&lease, grant.epoch.as_ref())
}

#[test]
fn a_router_that_has_lost_its_table_or_its_address_is_noticed() {
    let lease = |by, router, handle: &str| Lease {
        by,
        router,
        inside: INSIDE.parse().unwrap(),
        outside: "11.0.0.1:4628".parse().unwrap(),
        handle: handle.into(),
    };
    // The age was 77 s when it mapped.
    for (age, is_expected) in [(78, false), (3, true), (3000, true)] {
        let router = by_udp(move |request| match request {
            [2, 1, ..] => vec![pcp(request)],
            [2, 0, ..] => vec![[&[2, 0x80, 0, 0, 0, 0, 0, 0], &u32::to_be_bytes(age)[..], &[0; 12]].concat()],
            _ => Vec::new(),
        });
        assert_eq!(is_lost(router, &|_, udp| lease(By::Pcp, udp.unwrap(), "")), is_expected, "{age}");
    }
    let moved = |address: &str| {
        let lease =
            Lease { outside: address.parse().unwrap(), ..lease(By::NatPmp, INSIDE.parse().unwrap(), "-") };
        let router =
            by_udp(
                |request| {
                    if request[0] == 0 { vec![nat_pmp_answer(request)] } else { vec![vec![0, 0x81, 0, 1]] }
                },
            );
        is_lost(router, &|_, udp| Lease { router: udp.unwrap(), ..lease.clone() })
    };
    assert_eq!((moved("11.0.0.1:4628"), moved("11.0.0.9:4628")), (false, true));
    let handle = format!("/ctl {SERVICE}");
    let by_upnp = |address: &str| {
        let outside = address.parse().unwrap();
        is_lost(by_http(upnp_answer), &|http, _| Lease { outside, ..lease(By::Upnp, http, &handle) })
    };
    assert_eq!((by_upnp("11.0.0.1:4628"), by_upnp("11.0.0.9:4628")), (false, true));
    let forgetful = by_http(|request| match request.body.contains("GetSpecificPortMappingEntry") {
        true => error(714),
        false => upnp_answer(request),
    });
    assert!(is_lost(forgetful, &|http, _| lease(By::Upnp, http, &handle)));
}

/// Not a test by itself: `mapping` runs it on a router of its own, which grants by PCP what EGOAT_ROUTER says.
#[test]
#[ignore = "a part of other tests"]
fn serve_as_a_router() {
    let Ok(granted) = std::env::var("EGOAT_ROUTER") else { return };
    let (ip, lifetime) = granted.split_once(' ').unwrap();
    let (ip, lifetime) = (ip.parse::<Ipv4Addr>().unwrap().octets(), lifetime.parse().unwrap());
    let socket = UdpSocket::bind("0.0.0.0:5351").unwrap();
    let mut buffer = [0; 1200];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        if buffer[..2] == [2, 1] {
            eprintln!("asked");
            socket.send_to(&pcp_answer(&buffer[..count], ip, 4702, lifetime), from).unwrap();
        }
    }
}
