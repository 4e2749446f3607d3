//! Mooncake's traces: JSON lines with `timestamp`, `input_length`, `output_length`, `hash_ids`.
//!
//! The format is that of the FAST25 release of kvcache-ai/Mooncake: timestamps are milliseconds since the first request,
//! `hash_ids` name the blocks of the prompt from its start, 512 tokens each, the last one cut where the prompt ends. An id
//! stands for its block *and all before it*, so equal ids mean equal prefixes.

use super::timestamp::{TimeUnit, decimal};
use super::{Record, token_count};
use crate::lines::Line;
use crate::problem::Problem;

const HELP: &str =
    "a Mooncake line is {\"timestamp\": ms, \"input_length\": n, \"output_length\": n, \"hash_ids\": [..]}";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    timestamp: serde_json::Number,
    input_length: serde_json::Number,
    output_length: serde_json::Number,
    #[serde(default)]
    hash_ids: Vec<u64>,
}

/// The request in a line.
pub(super) fn record(line: &Line<'_>) -> Result<Record, Problem> {
    let row: Row = line.json().map_err(|problem| problem.help(HELP))?;
    let at = decimal(&row.timestamp.to_string(), TimeUnit::Ms).map_err(|why| line.problem(why).help(HELP))?;
    let tokens = |name: &str, number: &serde_json::Number, least: u32| {
        token_count(name, &number.to_string(), least).map_err(|(why, help)| line.problem(why).help(help))
    };
    Ok(Record {
        line: line.number,
        at,
        prompt_tokens: tokens("input_length", &row.input_length, 1)?,
        output_tokens: tokens("output_length", &row.output_length, 0)?,
        hash_ids: row.hash_ids,
    })
}
