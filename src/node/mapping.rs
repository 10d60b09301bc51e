//! Has routers map the port at which the node listens, for as long as the node runs: one thread asks, renews and asks again
//! (egoat(1), ROUTERS). How routers are asked: see `net::mapping`.
//!
//! What a router granted is noted in the home. The next node asks for the same, so that one that was killed leaves nothing
//! over, and links that have the outside port stay true.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use crate::crypto::{base32, random_array};
use crate::net::endpoint::Endpoint;
use crate::net::local::{self, Reach};
use crate::net::mapping::epoch::Epoch;
use crate::net::mapping::gateway::{self, Gateway};
use crate::net::mapping::{self, Failure, Grant, Routers, Wish};
use crate::node::context::Context;
use crate::node::options::Options;
use crate::node::outside::{MapState, Mapped, Mapping};
use crate::node::threads;
use crate::store::home::Home;
use crate::store::mapping as notes;
use crate::store::mapping::{By, Lease};

/// How often a router is asked whether it still has its table.
const CHECK_INTERVAL: Duration = Duration::from_secs(300);
/// The first pause after a failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A router that grants less than twice this is asked no more often, and one that grants more than this often.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(60);
const LONGEST_RENEWAL: Duration = Duration::from_secs(24 * 3600);
/// Addresses of IPv6 that a router is asked to let through.
const MAX_PINHOLES: usize = 2;
/// How long a node that ends waits for its routers.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What front-ends are told before a router was asked: also whether one will be.
pub fn before(own: &Endpoint, options: &Options, listening: &[SocketAddr]) -> Mapping {
    let off = |why: &str| Mapping { detail: why.into(), ..Mapping::default() };
    match () {
        () if own.is_hidden() => off("a node with a proxy asks no router"),
        () if !options.map => off("by `--map off`, or `map=off` in the settings"),
        () if local::is_loopback(listening) => off(LOOPBACK),
        () => Mapping { state: MapState::Trying, ..Mapping::default() },
    }
}

const LOOPBACK: &str = "the node listens where no router leads";

/// What there is to be mapped.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    /// The router of IPv4.
    gateway: Option<Gateway>,
    /// Where that router would dial the node; `None` if the node listens at no such address.
    inside: Option<SocketAddr>,
    /// The router of IPv6, and the addresses that it is to let through.
    pinholes: Option<(SocketAddr, Vec<SocketAddr>)>,
}

impl Plan {
    fn look(listening: &[SocketAddr]) -> Plan {
        if local::is_loopback(listening) {
            return Plan { gateway: None, inside: None, pinholes: None };
        }
        let at = |ip: IpAddr| Some(SocketAddr::new(ip, local::port_at(listening, ip)?));
        let gateway = gateway::v4();
        let towards = gateway.map(|gateway| gateway.own);
        // Where the routes are not known, whoever answers as a router is asked.
        let own = towards.or_else(|| local::outward_ips().into_iter().find(IpAddr::is_ipv4));
        // Of several addresses, the node may listen at another one than that which the system would use. By PCP and NAT-PMP it
        // asks from there; over TCP that cannot be chosen.
        let named = || listening.iter().copied().find(|at| at.is_ipv4() && is_mapped_for(at.ip()));
        let inside = own.and_then(|own| at(own).or_else(named));
        let global = |ip: &IpAddr| ip.is_ipv6() && Reach::of(*ip) == Reach::Global;
        let pinholes: Vec<SocketAddr> =
            local::own_ips().into_iter().filter(global).filter_map(at).take(MAX_PINHOLES).collect();
        let router = if pinholes.is_empty() { None } else { gateway::v6() };
        Plan { gateway, inside, pinholes: router.map(|router| (router, pinholes)) }
    }
}

/// A mapping that a router made for this node.
struct Held {
    lease: Lease,
    until: Instant,
    epoch: Option<Epoch>,
}

impl From<Grant> for Held {
    fn from(grant: Grant) -> Held {
        let lifetime = grant.lifetime.min(LONGEST_RENEWAL * 2);
        Held { lease: grant.lease, until: Instant::now() + lifetime, epoch: grant.epoch }
    }
}

struct Mapper<'a> {
    context: &'a Context,
    plan: Option<Plan>,
    held: Vec<Held>,
    /// When routers are to be asked again, also by the clock of the day: the other one stands still while a laptop sleeps.
    due: (Instant, SystemTime),
    /// Attempts in a row without a mapping.
    failures: u32,
}

/// Asks for as long as the node runs.
pub fn run(context: &Context) {
    let due = (Instant::now(), SystemTime::now());
    let mut mapper = Mapper { context, plan: None, held: Vec::new(), due, failures: 0 };
    let mut is_rung = false;
    loop {
        let plan = Plan::look(&context.live().listening());
        let is_due = Instant::now() >= mapper.due.0 || SystemTime::now() >= mapper.due.1;
        let is_new = mapper.plan.as_ref() != Some(&plan);
        if is_new || is_due || (is_rung && mapper.failures > 0) || mapper.has_lost_one() {
            mapper.ask(plan);
        }
        let left = mapper.due.0.saturating_duration_since(Instant::now());
        is_rung = context.outside().wait(left.clamp(Duration::from_secs(1), CHECK_INTERVAL));
    }
}

impl Mapper<'_> {
    fn has_lost_one(&self) -> bool {
        self.held.iter().any(|held| mapping::is_lost(&held.lease, held.epoch.as_ref()))
    }

    /// Asks all routers of the plan, and tells what came of it.
    fn ask(&mut self, plan: Plan) {
        let noted = notes::noted(self.context.own().home());
        let before = std::mem::take(&mut self.held);
        let v4 = plan.inside.filter(|inside| is_mapped_for(inside.ip())).map(|inside| {
            let gateway = plan.gateway.map(|gateway| gateway.router.ip());
            let ask = |wish: &Wish| mapping::map(&Routers::of(gateway), wish);
            self.obtain(gateway, inside, &noted, &before, &ask)
        });
        if let Some((router, insides)) = &plan.pinholes {
            for inside in insides {
                let ask = |wish: &Wish| mapping::open_pinhole(*router, wish);
                // A router without a firewall for IPv6 need not answer.
                let _ = self.obtain(Some(router.ip()), *inside, &noted, &before, &ask);
            }
        }
        let leases: Vec<Lease> = self.held.iter().map(|held| held.lease.clone()).collect();
        if !leases.is_empty() && leases != noted {
            // Without the note, the next node may leave this mapping over until its time is up.
            notes::note(self.context.own().home(), &leases)
                .unwrap_or_else(|error| self.context.trouble(error));
        }
        self.schedule(v4.as_ref().is_some_and(Result::is_err));
        if self.context.outside().set(self.told(&plan, v4.and_then(Result::err))) {
            self.context.ring(None);
        }
        self.plan = Some(plan);
    }

    /// Gets one mapping: the one that was there before, if the router grants it again.
    fn obtain(
        &mut self,
        router: Option<IpAddr>,
        inside: SocketAddr,
        noted: &[Lease],
        before: &[Held],
        ask: &dyn Fn(&Wish) -> Result<Grant, Failure>,
    ) -> Result<(), Failure> {
        let is_same = |lease: &&Lease| {
            lease.inside == inside && router.is_none_or(|router| lease.router.ip() == router)
        };
        let last = before.iter().map(|held| &held.lease).chain(noted).find(is_same);
        let at_port = noted
            .iter()
            .find(|lease| lease.inside.port() == inside.port() && lease.inside.is_ipv4() == inside.is_ipv4());
        let wish = Wish {
            inside,
            port: last.or(at_port).map_or(inside.port(), |lease| lease.outside.port()),
            nonce: last.and_then(nonce_of).unwrap_or_else(random_array),
        };
        let renewed = last.map_or(Err(Failure::Silent), |lease| mapping::renew(lease, &wish));
        let failure = match renewed.or_else(|_| ask(&wish)) {
            Ok(grant) => {
                self.held.push(grant.into());
                return Ok(());
            }
            Err(failure) => failure,
        };
        // A router that is starting anew is silent for a while; one that says no has forgotten the mapping.
        let kept = before.iter().find(|held| is_same(&&held.lease) && held.until > Instant::now());
        match (failure, kept) {
            (Failure::Silent, Some(Held { lease, until, epoch })) => {
                self.held.push(Held { lease: lease.clone(), until: *until, epoch: *epoch });
                Err(Failure::Silent)
            }
            (failure, _) => Err(failure),
        }
    }

    /// Sets the time at which routers are asked again.
    fn schedule(&mut self, has_failed: bool) {
        self.failures = if has_failed { self.failures.saturating_add(1) } else { 0 };
        let left = self.held.iter().map(|held| held.until.saturating_duration_since(Instant::now())).min();
        // A random part between 128 and 160 of 256.
        let part = 128 + u32::from(random_array::<1>()[0]) / 8;
        let renewal = left.map(|left| (left / 256 * part).clamp(SHORTEST_RENEWAL, LONGEST_RENEWAL));
        let pause =
            (FIRST_PAUSE * 2u32.saturating_pow(self.failures.min(7).saturating_sub(1))).min(LONGEST_PAUSE);
        let wait = match renewal {
            Some(renewal) if has_failed => renewal.min(pause),
            Some(renewal) => renewal,
            None if has_failed => pause,
            None => LONGEST_PAUSE,
        };
        self.due = (Instant::now() + wait, SystemTime::now() + wait);
    }

    /// What front-ends are told; `failure` is that of IPv4.
    fn told(&self, plan: &Plan, failure: Option<Failure>) -> Mapping {
        let mapped = self.held.iter().map(|held| Mapped {
            address: held.lease.outside,
            by: held.lease.by,
            is_pinhole: held.lease.inside.is_ipv6(),
        });
        let (mapped, private): (Vec<Mapped>, Vec<Mapped>) =
            mapped.partition(|one| Reach::of(one.address.ip()) == Reach::Global);
        let asked = self.held.first().map(|held| held.lease.router.ip());
        let gateway = plan.gateway.map(|gateway| gateway.router.ip()).or(asked);
        let router = gateway.map_or_else(|| "the router".to_owned(), |gateway| gateway.to_string());
        let (state, detail) = match (&private[..], failure, plan.inside) {
            ([one, ..], ..) => {
                let outside = one.address;
                (
                    MapState::Behind,
                    format!("{router} maps {outside}, a private address: a second router is in front of it"),
                )
            }
            (_, Some(failure @ Failure::Inside(_)), _) => (MapState::Behind, why_not(gateway, &failure)),
            (_, Some(failure), _) if mapped.iter().all(|one| one.is_pinhole) => {
                (MapState::Failed, why_not(gateway, &failure))
            }
            _ if !mapped.is_empty() => (MapState::Works, String::new()),
            (.., Some(inside)) if Reach::of(inside.ip()) == Reach::Global => {
                (MapState::Needless, format!("{} is an address that everybody can dial", inside.ip()))
            }
            (.., Some(inside)) => (MapState::Failed, format!("no router maps {}", inside.ip())),
            _ if local::is_loopback(&self.context.live().listening()) => (MapState::Off, LOOPBACK.into()),
            _ if plan.gateway.is_some() => {
                (MapState::Failed, format!("the node does not listen where {router} leads"))
            }
            _ => (MapState::Failed, "this machine has no router".into()),
        };
        Mapping { state, gateway, detail, mapped }
    }
}

fn why_not(gateway: Option<IpAddr>, failure: &Failure) -> String {
    match gateway {
        Some(gateway) => format!("{gateway} {}", failure.says()),
        None if *failure == Failure::Silent => "nobody on this network answers as a router".into(),
        None => format!("what answers as a router {}", failure.says()),
    }
}

/// Whether a router could map something for an address of this machine.
fn is_mapped_for(ip: IpAddr) -> bool {
    matches!(Reach::of(ip), Reach::Private | Reach::Carrier | Reach::LinkLocal)
}

/// The nonce of a mapping that was made by PCP.
fn nonce_of(lease: &Lease) -> Option<[u8; 12]> {
    base32::decode(&lease.handle).filter(|_| lease.by == By::Pcp)?.try_into().ok()
}

/// Takes back what routers made for the node of this home, which is about to end. Waits for them a second at most.
pub fn withdraw(home: &Home) {
    let (done, ended) = mpsc::channel();
    for lease in notes::noted(home).into_iter().filter(|lease| local::is_own(lease.inside.ip())) {
        let done = done.clone();
        let _ = threads::spawn("mapping", move || {
            mapping::take_back(&lease, nonce_of(&lease).unwrap_or_default());
            drop(done);
        });
    }
    drop(done);
    // Ends when the last thread has dropped its end.
    let _: Result<(), _> = ended.recv_timeout(LAST_WORDS);
}
