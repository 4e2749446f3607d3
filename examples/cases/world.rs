//! One world of `experiments/cases/`, through scenario and simulation, as `dryscale simulate` runs it.

use anyhow::{Context, Result};
use dryscale::scenario::{Draft, Inputs};
use dryscale::simulation::World;
use dryscale::simulation::record::{
    Fate, PodRecord, Recorder, RequestRecord, RunTotals, ScaleRecord, TickRecord,
};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What is run: an experiment, and what is set beside it.
#[derive(Clone, Default)]
pub(crate) struct Variant {
    /// Heading of its column or row.
    pub(crate) title: String,
    experiment: String,
    policy: Option<String>,
    settings: Vec<String>,
}

impl Variant {
    /// `experiments/cases/NAME.toml` as it is.
    pub(crate) fn of(title: &str, experiment: &str) -> Variant {
        Variant { title: title.to_owned(), experiment: experiment.to_owned(), ..Variant::default() }
    }

    /// Under `static:N` or a policy of `experiments/cases/policies/`.
    pub(crate) fn under(mut self, policy: &str) -> Variant {
        self.policy = Some(policy.to_owned());
        self
    }

    /// With a setting of `--set`.
    pub(crate) fn with(mut self, setting: String) -> Variant {
        self.settings.push(setting);
        self
    }

    /// The runs under the seeds 1 to `seeds`, in their order.
    pub(crate) fn runs(&self, seeds: u64) -> Result<Vec<Run>> {
        (1..=seeds).into_par_iter().map(|seed| self.run(seed)).collect()
    }

    fn run(&self, seed: u64) -> Result<Run> {
        let folder = cases();
        let policy = self.policy.as_ref().map(|policy| {
            let file = folder.join("policies").join(format!("{policy}.toml"));
            if file.is_file() { file.display().to_string() } else { policy.clone() }
        });
        let inputs = Inputs {
            policy,
            experiment: Some(folder.join(format!("{}.toml", self.experiment)).display().to_string()),
            seed: Some(seed),
            settings: self.settings.clone(),
            ..Inputs::default()
        };
        let scenario = Draft::load(&inputs)?.scenario(&[]).with_context(|| self.experiment.clone())?;
        let mut run = Run::default();
        let world = World::new(scenario.setup(scenario.seed)?, &mut run)?;
        // Nobody breaks it off.
        let _ = world.run(&mut |_| ControlFlow::Continue(()))?;
        run.ttft_s.sort_by(f64::total_cmp);
        run.e2e_s.sort_by(f64::total_cmp);
        Ok(run)
    }
}

/// The folder of the experiments.
fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/cases")
}

/// What a run showed. Times are in seconds since its start.
#[derive(Default)]
pub(crate) struct Run {
    ttft_s: Vec<f64>,
    e2e_s: Vec<f64>,
    output_tokens: u64,
    /// One row a tick of the timeline.
    pub(crate) ticks: Vec<TickRecord>,
    /// Changes of `spec.replicas`: time, size before and after.
    pub(crate) changes: Vec<(f64, i32, i32)>,
    /// When pods beside the first became Ready.
    pub(crate) others_ready_s: Vec<f64>,
    ended_s: f64,
    replicas_max: i32,
    gpu_hours: f64,
}

impl Run {
    /// Nearest-rank quantile of the time to first token.
    pub(crate) fn ttft_s(&self, q: f64) -> f64 {
        quantile(&self.ttft_s, q)
    }
    /// The same of the time to the last token.
    pub(crate) fn e2e_s(&self, q: f64) -> f64 {
        quantile(&self.e2e_s, q)
    }
    /// Mean time to the last token.
    pub(crate) fn e2e_mean_s(&self) -> f64 {
        self.e2e_s.iter().sum::<f64>() / self.e2e_s.len() as f64
    }
    /// Requests that were answered to the end.
    pub(crate) fn completed(&self) -> f64 {
        self.e2e_s.len() as f64
    }
    /// Tokens of finished answers a second, from the start until the last request had its fate.
    pub(crate) fn output_tokens_per_s(&self) -> f64 {
        self.output_tokens as f64 / self.ended_s
    }
    /// Largest `spec.replicas`.
    pub(crate) fn replicas_max(&self) -> f64 {
        f64::from(self.replicas_max)
    }
    /// GPUs that pods held, times hours.
    pub(crate) fn gpu_hours(&self) -> f64 {
        self.gpu_hours
    }
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

impl Recorder for Run {
    fn request(&mut self, record: &RequestRecord) {
        self.ttft_s.extend(record.ttft().map(|time| time.as_secs_f64()));
        if record.fate == Fate::Finished {
            self.e2e_s.extend(record.e2e().map(|time| time.as_secs_f64()));
            self.output_tokens += u64::from(record.output_tokens.get());
        }
    }
    fn scale(&mut self, record: &ScaleRecord) {
        self.changes.push((record.at.as_secs_f64(), record.from.get(), record.to.get()));
    }
    fn tick(&mut self, record: &TickRecord) {
        self.ticks.push(record.clone());
    }
    fn pod(&mut self, record: &PodRecord) {
        let ready = record.ready.map(|at| at.as_secs_f64());
        self.others_ready_s.extend(ready.filter(|&at| at > 0.0));
    }
    fn end(&mut self, totals: &RunTotals) {
        const PS_PER_HOUR: f64 = 3600.0 * 1e12;
        self.ended_s = totals.ended.as_secs_f64();
        self.replicas_max = totals.replicas_range.1.get();
        self.gpu_hours = totals.gpu_ps as f64 / PS_PER_HOUR;
    }
}
