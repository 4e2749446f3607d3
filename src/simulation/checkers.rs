//! Conservation, checked: nothing appears or vanishes unaccounted for.
//!
//! Totals are kept as things happen and compared at every scrape, in every build; debug builds recount from the bottom
//! after every event. A failure is a defect of the simulator, never of the input, so it panics; the command that runs the
//! world adds the seed with which to replay it.

use super::flight::{Flight, Stage};
use super::world::World;
use crate::serving::engine::Engine;
use crate::serving::pod::Phase;

/// Running totals: every request has a fate or is on its way; GPUs in use are no more than there are. O(1).
pub(super) fn conserved(world: &World<'_>) {
    let accounted = world.totals.fates.total() + world.clients.flights.len() as u64;
    assert_eq!(
        world.totals.arrived, accounted,
        "requests are lost at {}: fates {:?}",
        world.now, world.totals.fates
    );
    let (used, all) = (world.fleet.nodes.gpus_used(), world.fleet.nodes.gpus_ordered());
    assert!(used <= all, "{used} of {all} GPUs are used at {}", world.now);
}

/// The same from the bottom up. O(everything).
pub(super) fn recount(world: &World<'_>) {
    conserved(world);
    pods(world);
    queues(world);
    ways(world);
}

/// GPUs and ready pods.
fn pods(world: &World<'_>) {
    let (fleet, now) = (&world.fleet, world.now);
    assert!(fleet.nodes.is_consistent(), "GPUs are lost at {now}");
    let placed = fleet.live().filter(|slot| slot.pod.node.is_some()).count() as u32;
    assert_eq!(fleet.nodes.gpus_used().get(), placed * fleet.gpus_per_pod.get(), "GPUs of pods at {now}");
    let pending = fleet.live().filter(|slot| slot.pod.phase() == Phase::Pending).count();
    assert_eq!(fleet.nodes.pending(), pending, "pods that wait at {now}");
    let active = fleet.live().filter(|slot| slot.pod.deleted.is_none()).count();
    assert_eq!(fleet.deployment.status_replicas().get() as usize, active, "pods at {now}");
    assert_eq!(fleet.deployment.spec_replicas().get() as usize, active, "the ReplicaSet lags at {now}");
    let ready = fleet.live().filter(|slot| slot.pod.phase() == Phase::Ready).count();
    assert_eq!(fleet.deployment.ready_replicas().get() as usize, ready, "ready pods at {now}");
    assert_eq!(world.totals.levels.ready.get() as usize, ready, "ready level at {now}");
}

/// Requests that wait: in engines, clients and the gateway.
fn queues(world: &World<'_>) {
    let (backlog, now) = (&world.totals.backlog, world.now);
    let engines = world.fleet.live().filter_map(|slot| slot.engine.as_ref());
    let waiting: u64 = engines.map(|engine| engine.num_waiting()).sum();
    assert_eq!(backlog.waiting(), waiting, "waiting requests at {now}");
    let count = |like: fn(&Flight) -> bool| world.clients.flights.count(like) as u64;
    let capped = count(|flight| flight.stage == Stage::Capped);
    let held = count(|flight| flight.stage == Stage::Held);
    assert_eq!(world.clients.waiting(), capped, "requests behind caps at {now}");
    assert_eq!(world.ingress.gateway.held() as u64, held, "held requests at {now}");
    assert_eq!(backlog.held(), capped + held, "held requests at {now}");
    let gateway = &world.ingress.gateway;
    let reachable = world.ingress.router.has_endpoint() && gateway.flow_control.is_none();
    assert!(held == 0 || !reachable, "{held} requests are held at {now} though there is an endpoint");
}

/// Requests on their way: as the router, their sources' caps and the engines know them.
fn ways(world: &World<'_>) {
    let (flights, now) = (&world.clients.flights, world.now);
    let given_up = |flight: &Flight| matches!(flight.stage, Stage::GivenUp { .. });
    let routed = flights.count(|flight| flight.pod().is_some() && !given_up(flight)) as u64;
    assert_eq!(world.ingress.router.in_flight_total(), routed, "requests in flight at {now}");
    if let Some(stats) = &world.ingress.stats {
        let without_token = flights.count(|flight| flight.prefilling().is_some()) as u64;
        assert_eq!(stats.prefilling_total(), without_token, "requests without a first token at {now}");
    }
    let unfinished: u64 = world
        .fleet
        .live()
        .filter_map(|slot| slot.engine.as_ref())
        .map(|engine| engine.num_unfinished())
        .sum();
    let in_engines =
        flights.count(|flight| matches!(flight.stage, Stage::InEngine(_)) || given_up(flight)) as u64;
    assert_eq!(unfinished, in_engines, "requests in engines at {now}");
    for (source, in_flight) in world.clients.in_flight() {
        let sent = flights.count(|flight| {
            flight.request.source == source && flight.stage != Stage::Capped && !given_up(flight)
        });
        assert_eq!(in_flight, sent as u32, "requests of source {source} in flight at {now}");
    }
}

/// An engine's own books. O(its requests and blocks).
pub(super) fn audit(world: &World<'_>, engine: &dyn Engine) {
    if let Err(fault) = engine.audit() {
        panic!("an engine's books at {}: {fault}", world.now);
    }
}
