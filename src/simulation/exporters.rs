//! What exporters beside the pods show of the world: the gateway's endpoint picker, the router, the GPUs of each node.
//!
//! One that no query reads is not there: it would cost time and change nothing.

use super::event::Event;
use super::fleet::Fleet;
use super::gpu_readings::GpuReadings;
use super::setup::Target;
use super::telemetry::{Owner, Sensor};
use super::traffic::Ingress;
use super::world::World;
use crate::monitoring::dcgm::DcgmMetrics;
use crate::monitoring::epp_metrics::{Endpoint, EppMetrics, View};
use crate::monitoring::exposition::Page;
use crate::monitoring::router_metrics::{RouterMetrics, Server};
use crate::monitoring::wva_metrics::WvaMetrics;
use crate::random::Streams;
use crate::serving::ingress_stats::IngressStats;
use crate::serving::nodes::{NodeId, Nodes};
use crate::units::SimTime;

/// The exporters of a world.
#[derive(Clone, Debug, Default)]
pub struct Exporters {
    /// llm-d's endpoint picker.
    pub epp: Option<EppMetrics>,
    /// The production stack's router.
    pub router: Option<RouterMetrics>,
    /// dcgm-exporter, on every node.
    pub dcgm: Option<DcgmMetrics>,
    /// The Workload Variant Autoscaler.
    pub wva: Option<WvaMetrics>,
}

impl Exporters {
    /// Whether one of them shows what gateway and router count.
    pub(super) fn read_ingress(&self) -> bool {
        self.epp.is_some() || self.router.is_some()
    }

    /// The endpoint picker's page.
    pub(super) fn epp_page(&mut self, now: SimTime, fleet: &mut Fleet, ingress: &Ingress) -> Page {
        fleet.catch_up(now);
        let fresh = IngressStats::default();
        let endpoint = |&ordinal: &u32| {
            let slot = fleet.slot(ordinal);
            let stats = slot.engine.as_ref()?.stats(now);
            Some(Endpoint {
                name: &slot.pod.name,
                ordinal,
                waiting: stats.num_requests_waiting(),
                running: stats.num_requests_running,
                kv_cache_usage: stats.kv_cache_usage_perc(),
                in_flight: ingress.router.in_flight(ordinal),
            })
        };
        let endpoints: Vec<Endpoint<'_>> = ingress.router.endpoints().iter().filter_map(endpoint).collect();
        let view = View {
            stats: ingress.stats.as_deref().unwrap_or(&fresh),
            held: ingress.gateway.held() as u64,
            in_flight: ingress.router.in_flight_total(),
            endpoints: &endpoints,
        };
        self.epp.as_mut().map(|epp| epp.page(view)).unwrap_or_default()
    }

    /// The router's page.
    pub(super) fn router_page(&self, fleet: &Fleet, ingress: &Ingress) -> Page {
        let Some((router, stats)) = self.router.as_ref().zip(ingress.stats.as_deref()) else {
            return Page::default();
        };
        let discovered = |ordinal| ingress.router.endpoints().binary_search(&ordinal).is_ok();
        let server = |ordinal| Server {
            address: Target::address_of(ordinal),
            traffic: stats.pod(ordinal),
            in_flight: ingress.router.in_flight(ordinal),
            discovered: discovered(ordinal),
        };
        let servers: Vec<Server> = fleet.live().map(|slot| server(slot.pod.ordinal)).collect();
        router.page(stats.received, &servers)
    }
}

impl World<'_> {
    /// The exporters were there before the run.
    pub(super) fn start_exporters(&mut self, streams: &Streams) {
        let exporters = &self.sensor.exporters;
        let epp = exporters.epp.as_ref().map(|epp| (Owner::Epp, "epp", epp.target_labels()));
        let router =
            exporters.router.as_ref().map(|router| (Owner::Router, "router", router.target_labels()));
        let wva = exporters.wva.as_ref().map(|_| (Owner::Wva, "wva", WvaMetrics::target_labels()));
        for (owner, name, labels) in [epp, router, wva].into_iter().flatten() {
            let id = self.sensor.prometheus.known_exporter(name, labels);
            self.follow_target(id, owner);
        }
        if self.sensor.exporters.dcgm.is_some() {
            let readings = GpuReadings::new(&self.sensor.dcgm, streams);
            self.queue.push(readings.begins(), Event::GpuSampleBegins);
            self.sensor.gpu_readings = Some(readings);
            self.follow_exporters_of_nodes();
        }
    }

    /// Each node that pods can run on has an exporter; one that is gone takes its exporter with it.
    pub(super) fn follow_exporters_of_nodes(&mut self) {
        let Some(readings) = &mut self.sensor.gpu_readings else { return };
        let changes = readings.follow_nodes(&self.fleet.nodes);
        for node in changes.came {
            let (name, labels) =
                (format!("dcgm/{node}"), DcgmMetrics::target_labels(&Nodes::name(node), node));
            let prometheus = &mut self.sensor.prometheus;
            let id = match self.now {
                SimTime::ZERO => prometheus.known_exporter(&name, labels),
                now => prometheus.discover_exporter(now, &name, labels),
            };
            self.follow_target(id, Owner::Dcgm(node));
        }
        for node in changes.left {
            self.sensor.forget_exporter(self.now, Owner::Dcgm(node));
        }
    }

    /// The sample period of the GPUs' next reading begins.
    pub(super) fn gpu_sample_begins(&mut self) {
        if let Some(readings) = &mut self.sensor.gpu_readings {
            let ends = readings.begin(self.now, &mut self.fleet);
            self.queue.push(ends, Event::GpuSampleEnds);
        }
    }

    /// The GPUs are read.
    pub(super) fn gpu_sample_ends(&mut self) {
        if let Some(readings) = &mut self.sensor.gpu_readings {
            let begins = readings.end(self.now, &mut self.fleet);
            self.queue.push(begins, Event::GpuSampleBegins);
        }
    }
}

impl Sensor {
    /// The page of a node's dcgm-exporter; `None` where the node is gone.
    pub(super) fn dcgm_page(&mut self, node: NodeId, fleet: &Fleet) -> Option<Page> {
        let dcgm = self.exporters.dcgm.as_ref()?;
        Some(dcgm.page(&Nodes::name(node), self.gpu_readings.as_mut()?.gpus(node, fleet)?))
    }
}
