//! Conservation, checked: nothing appears or vanishes unaccounted for.
//!
//! Totals are kept as things happen and compared at every scrape, in every build; debug builds recount from the bottom
//! after every event. A failure is a defect of the simulator, never of the input, so it panics; the command that runs the
//! world adds the seed with which to replay it.

use super::flight::Stage;
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

/// The same from the bottom up: GPUs, ready pods, queues. O(everything).
pub(super) fn recount(world: &World<'_>) {
    conserved(world);
    assert!(world.fleet.nodes.is_consistent(), "GPUs are lost at {}", world.now);
    let ready = world.fleet.live().filter(|slot| slot.pod.phase() == Phase::Ready).count();
    assert_eq!(world.fleet.deployment.ready_replicas().get() as usize, ready, "ready pods at {}", world.now);
    assert_eq!(world.totals.levels.ready.get() as usize, ready, "ready level at {}", world.now);
    let waiting: u64 = world.fleet.live().filter_map(|slot| Some(slot.engine.as_ref()?.num_waiting())).sum();
    assert_eq!(world.totals.backlog.waiting(), waiting, "waiting requests at {}", world.now);
    let held = world.clients.flights.count(|flight| flight.sent.is_none() || flight.stage == Stage::Held);
    assert_eq!(world.totals.backlog.held(), held as u64, "held requests at {}", world.now);
}
