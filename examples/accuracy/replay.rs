//! A recorded run through scenario and simulation, as `dryscale simulate` does it.

use super::latencies::Latencies;
use super::recorded::Recording;
use anyhow::{Context, Result, bail};
use dryscale::scenario::{Draft, Inputs};
use dryscale::simulation::World;
use dryscale::simulation::record::{Fate, Recorder, RequestRecord};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use tempfile::NamedTempFile;

const MS_PER_S: f64 = 1e3;

/// The world of all runs: the shipped model file unmodified, the server's flags, and the client's cap.
///
/// The server was `vllm serve --model Qwen/Qwen3-14B` of release 0.23.0: 256 sequences, 8192 tokens a step, 18,038 KV blocks
/// by its log. Async scheduling and prefix caching are defaults; the prompts are random words, so that they share nothing.
/// The load generator held at most 256 requests in flight, made answers of a fixed length, and timed each request from its
/// send.
pub(crate) fn experiment(trace: &Path) -> String {
    format!(
        "\
duration = \"6h\"
[serving]
model = \"qwen3-14b-h100-80gb-tp1\"
vllm = \"0.32\"
initial_replicas = 1
[serving.engine]
max_num_seqs = 256
max_num_batched_tokens = 8192
num_gpu_blocks_override = 18038
[[workload.class]]
name = \"run\"
finish = \"length\"
[[workload.source]]
name = \"run\"
kind = \"replay\"
class = \"run\"
file = {trace:?}
format = \"csv\"
max_in_flight = {{ n = 256, policy = \"queue\" }}
"
    )
}

/// Latencies of the run as it is simulated.
pub(crate) fn replay(recording: &Recording) -> Result<Latencies> {
    let trace = trace(recording)?;
    let inputs = Inputs {
        policy: Some("static:1".to_owned()),
        experiment: Some("-".to_owned()),
        stdin: Some(experiment(trace.path()).into_bytes()),
        drain: true,
        ..Inputs::default()
    };
    let scenario = Draft::load(&inputs)?.scenario(&[])?;
    let mut observer = Observer::default();
    let world = World::new(scenario.setup(scenario.seed)?, &mut observer)?;
    // Nobody breaks it off.
    let _ = world.run(&mut |_| ControlFlow::Continue(()))?;
    let (finished, sent) = (observer.latencies.requests(), recording.requests.len());
    if finished != sent || observer.unfinished > 0 {
        bail!("{finished} of {sent} requests finished, {} did not", observer.unfinished);
    }
    Ok(observer.latencies)
}

/// The run as a trace that dryscale reads.
fn trace(recording: &Recording) -> Result<NamedTempFile> {
    let mut file =
        tempfile::Builder::new().suffix(".csv").tempfile().context("cannot make a file for the trace")?;
    let mut text = String::from("timestamp,prompt_tokens,output_tokens\n");
    for request in &recording.requests {
        text += &format!("{},{},{}\n", request.ready_s, request.input_tokens, request.output_tokens);
    }
    file.write_all(text.as_bytes())?;
    Ok(file)
}

#[derive(Default)]
struct Observer {
    latencies: Latencies,
    unfinished: usize,
}

impl Recorder for Observer {
    fn request(&mut self, record: &RequestRecord) {
        match (record.fate, record.ttft(), record.e2e()) {
            (Fate::Finished, Some(ttft), Some(e2e)) => {
                let ms = |time: dryscale::units::SimDuration| time.as_secs_f64() * MS_PER_S;
                self.latencies.push(ms(ttft), ms(e2e), record.output_tokens.get());
            }
            _ => self.unfinished += 1,
        }
    }
}
