//! What a world's requests need at least, whoever decides about the number of replicas.

use super::input_error::InputError;
use super::world::Scenario;
use crate::random::Streams;
use crate::serving::performance::LeastWork;
use crate::units::{Gpus, Replicas, SimDuration, SimTime};
use crate::workload::{CapPolicy, Class, Request, SourceInfo};

/// The start of so many pods is drawn to find the quickest: no policy starts more in a run.
const STARTS_MAX: u64 = 4096;

/// What must be served for the SLO to be met, in replica time.
///
/// Every number errs on the cheap side: no fleet that meets the SLO can do with less.
#[derive(Clone, Debug)]
pub struct Demand {
    /// What those requests need that can meet their targets, in order of `from`.
    pub needs: Vec<Need>,
    /// So many of the requests may miss.
    pub misses_max: u64,
    /// A class more of whose requests must miss than may.
    pub hopeless: Option<String>,
    /// From a pod's assignment to a node until it can be sent its first request, of the quickest.
    pub quickest_start: SimDuration,
    /// The same of a slow one: the longest of a hundred.
    pub slow_start: SimDuration,
    /// GPUs of one replica.
    pub gpus_per_replica: Gpus,
    /// As many replicas as the nodes hold.
    pub replicas_max: Replicas,
    /// When the run ends.
    pub end: SimTime,
}

/// What a request needs, or a part of it: its prefill may be due before the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// When it is sent.
    pub from: SimTime,
    /// When it must have been served for its targets to be met.
    pub until: SimTime,
    /// The least time that an engine spends on it, in picoseconds.
    pub work_ps: f64,
    /// How much of the request this is, by work: 1 for all of it.
    pub share: f64,
}

/// What becomes of one request at best.
enum Best {
    /// It can meet its targets.
    Meets(Vec<Need>),
    /// Its targets cannot be met.
    Misses,
    /// It may remain without a fate, or has no target.
    Open,
}

impl Scenario {
    /// What the run with seed `seed` needs.
    ///
    /// # Errors
    /// What is wrong with the workload or with a file that it names.
    pub fn demand(&self, seed: u64) -> Result<Demand, InputError> {
        let mut workload = self.requests(seed)?;
        let (classes, sources) = (workload.classes().to_vec(), workload.sources().to_vec());
        let least = self.least_work()?;
        let mut requests = Vec::new();
        while let Some(request) = workload.next_request().map_err(|problem| self.locate_workload(problem))? {
            requests.push(request);
        }
        let trace_end = workload.trace_end().unwrap_or(SimTime::NEVER);
        let end = (SimTime::ZERO + self.duration).min(trace_end);
        requests.retain(|request| request.sent <= end);
        let last = if self.drain { SimTime::HORIZON } else { end };

        let mut tallies = vec![Tally::default(); classes.len()];
        let mut needs = Vec::new();
        for request in requests.iter().filter(|request| self.measures(request)) {
            let class = &classes[usize::from(request.class)];
            if class.slo.ttft.or(class.slo.tpot).or(class.slo.e2e).is_none() {
                continue;
            }
            let tally = &mut tallies[usize::from(request.class)];
            tally.all += 1;
            match self.at_best(request, class, &sources[usize::from(request.source)], &least) {
                Best::Meets(parts) if parts.iter().all(|need| need.until <= last) => needs.extend(parts),
                Best::Misses if request.sent <= last => tally.impossible += 1,
                _ => {}
            }
        }
        needs.sort_by(|a, b| a.from.cmp(&b.from).then(a.until.cmp(&b.until)));
        let hopeless =
            tallies.iter().zip(&classes).find(|(tally, class)| tally.impossible > tally.may_miss(class));
        let may_miss =
            |(tally, class): (&Tally, &Class)| tally.may_miss(class).saturating_sub(tally.impossible);
        let misses: u64 = tallies.iter().zip(&classes).map(may_miss).sum();
        let [quickest_start, slow_start] = self.starts(seed);
        Ok(Demand {
            hopeless: hopeless.map(|(_, class)| class.name.clone()),
            misses_max: misses + self.open_at_the_end(&classes),
            needs,
            quickest_start,
            slow_start,
            gpus_per_replica: self.model.gpus(),
            replicas_max: self.replicas_max(),
            end,
        })
    }

    fn least_work(&self) -> Result<LeastWork, InputError> {
        let step_time = self.model.step_time(&self.engine);
        let step_time = step_time.map_err(|problem| self.locate(problem.under("model")))?;
        Ok(LeastWork::new(&step_time, &self.engine))
    }

    /// Whether latencies of the request count.
    fn measures(&self, request: &Request) -> bool {
        request.sent >= SimTime::ZERO + self.measure.warmup.duration()
    }

    /// Replicas that the nodes hold.
    fn replicas_max(&self) -> Replicas {
        let nodes = &self.serving.nodes;
        let pods = u64::from(nodes.nodes_max()) * u64::from(nodes.pods_per_node(self.model.gpus()));
        Replicas(i32::try_from(pods).unwrap_or(i32::MAX))
    }

    /// A request that got its first token in time and runs when the run ends has no fate. Where no target limits the time to
    /// its last token, as many as fit into all engines may be such.
    fn open_at_the_end(&self, classes: &[Class]) -> u64 {
        let all_end = self.drain || classes.iter().all(|class| class.slo.e2e.is_some());
        let seats = u64::from(self.replicas_max().get().unsigned_abs()) * u64::from(self.engine.max_num_seqs);
        if all_end { 0 } else { seats }
    }

    fn at_best(&self, request: &Request, class: &Class, source: &SourceInfo, least: &LeastWork) -> Best {
        let slo = &class.slo;
        // A cap that queues sends when others are done, perhaps never: that depends on the policy.
        if source.max_in_flight.is_some_and(|cap| cap.policy == CapPolicy::Queue) {
            return Best::Open;
        }
        let prompt = request.prompt_tokens.get();
        let Some(room) = self.engine.max_model_len.get().checked_sub(prompt).filter(|room| *room > 0) else {
            return Best::Misses;
        };
        let later = request.output_tokens.get().min(room).saturating_sub(1);
        let cached = if self.engine.enable_prefix_caching { shared_tokens(request) } else { 0 };
        let cached = cached.min(prompt.saturating_sub(1));
        let prefill = least.prefill_ps(prompt - cached, cached);
        let input = self.model.request_path.input.duration();
        let first_token = input.as_ps() as f64 + prefill;
        if slo.ttft.is_some_and(|ttft| first_token > ttft.as_ps() as f64) {
            return Best::Misses;
        }
        // How long the tokens after the first may take, by either target.
        let by_tpot = slo.tpot.and_then(|tpot| tpot.checked_mul(u64::from(later)));
        let span = [by_tpot, slo.e2e].into_iter().flatten().min();
        let mean_step =
            span.filter(|_| later > 0).map(|span| SimDuration::from_ps(span.as_ps() / u64::from(later)));
        let Some(decode) = least.decode_ps(prompt, later, mean_step) else { return Best::Misses };
        let quickest = first_token + later as f64 * least.quickest_step().as_ps() as f64;
        if slo.e2e.is_some_and(|e2e| quickest > e2e.as_ps() as f64) {
            return Best::Misses;
        }
        let whole =
            [slo.e2e, slo.ttft.zip(by_tpot).map(|(ttft, rest)| ttft + rest)].into_iter().flatten().min();
        let need = |until: SimDuration, work_ps: f64, share: f64| {
            let until = request.sent.checked_add(until).unwrap_or(SimTime::NEVER);
            Need { from: request.sent, until, work_ps, share }
        };
        Best::Meets(match (whole, slo.ttft) {
            (Some(whole), Some(ttft)) if ttft < whole && decode > 0.0 => {
                let share = prefill / (prefill + decode);
                vec![need(ttft, prefill, share), need(whole, decode, 1.0 - share)]
            }
            (Some(whole), _) => vec![need(whole, prefill + decode, 1.0)],
            // Nothing limits when the rest comes.
            (None, Some(ttft)) => vec![need(ttft, prefill, 1.0)],
            (None, None) => return Best::Open,
        })
    }

    /// The quickest of all starts, and the slowest of the first hundred.
    fn starts(&self, seed: u64) -> [SimDuration; 2] {
        let stream = Streams::new(seed).named("startup");
        let start = |pod| self.startup.plan(&mut stream.at(pod)).ready_after;
        let known = self.serving.pod.endpoint_delay.duration();
        [(0..STARTS_MAX).map(start).min(), (0..100).map(start).max()]
            .map(|start| start.unwrap_or_default() + known)
    }
}

/// Tokens of the prompt that may be in the prefix cache.
fn shared_tokens(request: &Request) -> u32 {
    let shared: u64 = request.shared.iter().map(|segment| u64::from(segment.tokens.get())).sum();
    u32::try_from(shared).unwrap_or(u32::MAX)
}

/// Requests of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    all: u64,
    impossible: u64,
}

impl Tally {
    /// So many may miss, all known ones together, for the class to reach its share.
    fn may_miss(self, class: &Class) -> u64 {
        (self.all as f64 * (1.0 - class.slo.attainment) + 1e-6) as u64
    }
}
