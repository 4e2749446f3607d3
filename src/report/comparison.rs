//! Policies side by side: as a table, and as JSON.

use super::duration::humane;
use super::estimate::NOTHING;
use super::number::{self, counted};
use super::table::{Column, WIDTH, draw};
use super::wrap::{words, wrap};
use crate::analysis::{Answer, Comparison, Found, Interval, Optimum, RELAXATION, Regret};
use crate::simulation::Schedule;
use serde_json::{Map, Value, json};

/// What `compare` prints: what each policy does, how each differs from the first, and how far all are from the optimum.
pub fn comparison_text(
    comparison: &Comparison,
    optimum: Option<&Optimum>,
    currency: &str,
    seeds: usize,
) -> String {
    let regrets = optimum.map(|optimum| comparison.regrets(optimum));
    let mut text = draw(&sides(comparison, regrets.as_deref(), currency));
    if comparison.answers.len() > 1 {
        let first = comparison.answers[0].text("policy");
        let over = match seeds {
            1 => "one seed, so no interval".to_owned(),
            n => format!("mean over {n} seeds, with its 95 % interval"),
        };
        text.push_str(&format!("\n\nAgainst {first}, on the same requests ({over}):\n\n"));
        text.push_str(&draw(&changes(comparison, currency)));
    }
    text.push('\n');
    for sentence in optimum.iter().flat_map(|optimum| conclusion(optimum)) {
        let lines = wrap(WIDTH, "", " ", &words(&sentence));
        text.extend(lines.iter().map(|line| format!("\n{line}")));
        text.push('\n');
    }
    text
}

/// `compare --format json`.
pub fn comparison_json(comparison: &Comparison, optimum: Option<&Optimum>) -> String {
    let regrets = optimum.map(|optimum| comparison.regrets(optimum));
    let policies = comparison.answers.iter().enumerate().map(|(i, answer)| {
        let mut policy = json!({ "policy": answer.text("policy"), "summary": answer.json() });
        if let Some(regret) = regrets.as_ref().and_then(|regrets| regrets.get(i)) {
            policy["regret_gpu_hours"] = json!({ "at_least": regret.at_least, "at_most": regret.at_most });
        }
        policy
    });
    let name = |i: usize| comparison.answers[i].text("policy");
    let pairs = comparison.pairs.iter().map(|pair| {
        let differences = pair.differences.iter().map(|(key, interval)| {
            let Interval { mean, low, high, .. } = interval;
            (key.clone(), json!({ "mean": mean, "low": low, "high": high }))
        });
        json!({
            "a": name(pair.a),
            "b": name(pair.b),
            "differences": differences.collect::<Map<String, Value>>(),
        })
    });
    let mut all = json!({
        "policies": policies.collect::<Vec<Value>>(),
        "pairs": pairs.collect::<Vec<Value>>(),
    });
    if let Some(optimum) = optimum {
        all["optimum"] = optimum_json(optimum);
    }
    format!("{all:#}\n")
}

fn optimum_json(optimum: &Optimum) -> Value {
    let best = optimum.best.as_ref().ok().map(|Found { schedule, answer }| {
        let steps = schedule
            .steps()
            .iter()
            .map(|step| json!({ "at_s": step.time().as_secs_f64(), "replicas": step.replicas.get() }));
        json!({ "schedule": steps.collect::<Vec<Value>>(), "summary": answer.json() })
    });
    json!({
        "lower_bound_gpu_hours": optimum.lower_bound(),
        "relaxation": RELAXATION,
        "best_found": best,
        "infeasible": optimum.best.as_ref().err().map(ToString::to_string),
    })
}

fn sides(comparison: &Comparison, regrets: Option<&[Regret]>, currency: &str) -> Vec<Column> {
    let column = |name: &str, cell: &dyn Fn(&Answer) -> String| Column {
        name: name.to_owned(),
        cells: comparison.answers.iter().map(cell).collect(),
        right: true,
    };
    // Means alone: how far they can be trusted is the matter of the differences below them.
    let cell = |key: &'static str, text: fn(f64) -> String| {
        move |answer: &Answer| answer.number(key).map_or_else(|| NOTHING.to_owned(), text)
    };
    let cost = |answer: &Answer| {
        answer.number("cost").map_or_else(|| NOTHING.to_owned(), |cost| number::money(currency, cost))
    };
    let mut columns = vec![
        Column { right: false, ..column("", &|answer| answer.text("policy").to_owned()) },
        column("SLO met", &cell("slo.attainment", number::percent)),
        column("p95 TTFT", &cell("ttft_s.p95", humane)),
        column("p95 TPOT", &cell("tpot_s.p95", humane)),
        column("GPU-hours", &cell("gpu_hours", number::tenths)),
        column("cost", &cost),
        column("reversals", &cell("scaling.reversals", number::count)),
        column("killed", &cell("requests.killed", number::count)),
    ];
    if let Some(regrets) = regrets {
        let cells =
            comparison.answers.iter().zip(regrets).map(|(answer, regret)| match answer.truth("slo.met") {
                // It uses what it wants: it does not do the work.
                Some(false) => "misses".to_owned(),
                _ => span(regret),
            });
        columns.push(Column { name: "regret".to_owned(), cells: cells.collect(), right: true });
    }
    fitting(columns)
}

/// Without the columns that can be missed most, as far as the others need their room.
fn fitting(mut columns: Vec<Column>) -> Vec<Column> {
    for dispensable in ["p95 TPOT", "p95 TPOT ms", "killed", "reversals", "p95 TTFT", "p95 TTFT s"] {
        if columns.iter().map(Column::width).sum::<usize>() <= WIDTH {
            break;
        }
        columns.retain(|column| column.name != dispensable);
    }
    columns
}

/// `0.4 - 1.9`, in GPU-hours.
fn span(regret: &Regret) -> String {
    let number = |interval: Interval| interval.mean.map(|mean| format!("{mean:.1}"));
    let most = number(regret.at_most).unwrap_or_else(|| NOTHING.to_owned());
    match regret.at_least.and_then(number) {
        Some(least) if least != most => format!("{least} to {most}"),
        _ => most,
    }
}

/// A figure of the second table.
struct Figure {
    title: &'static str,
    key: &'static str,
    /// From the summary's unit to the title's.
    scale: f64,
    /// Decimals of small differences; from 10 on there is one at most.
    decimals: usize,
}

const FIGURES: [Figure; 7] = [
    Figure { title: "SLO met %", key: "slo.attainment", scale: 100.0, decimals: 1 },
    Figure { title: "p95 TTFT s", key: "ttft_s.p95", scale: 1.0, decimals: 2 },
    Figure { title: "p95 TPOT ms", key: "tpot_s.p95", scale: 1e3, decimals: 1 },
    Figure { title: "GPU-hours", key: "gpu_hours", scale: 1.0, decimals: 1 },
    Figure { title: COST, key: "cost", scale: 1.0, decimals: 2 },
    Figure { title: "reversals", key: "scaling.reversals", scale: 1.0, decimals: 0 },
    Figure { title: "killed", key: "requests.killed", scale: 1.0, decimals: 0 },
];

const COST: &str = "cost";

fn changes(comparison: &Comparison, currency: &str) -> Vec<Column> {
    let others: Vec<usize> = (1..comparison.answers.len()).collect();
    let names = others.iter().map(|&i| comparison.answers[i].text("policy").to_owned()).collect();
    let mut columns = vec![Column { name: String::new(), cells: names, right: false }];
    for figure in &FIGURES {
        let cell = |policy: &usize| {
            let interval =
                comparison.against_first(*policy).and_then(|pair| pair.differences.get(figure.key));
            interval.map_or_else(|| NOTHING.to_owned(), |interval| figure.difference(interval))
        };
        let name = match figure.title {
            COST => format!("{COST} {currency}"),
            title => title.to_owned(),
        };
        columns.push(Column { name, cells: others.iter().map(cell).collect(), right: true });
    }
    fitting(columns)
}

impl Figure {
    /// `+1.2 ± 0.3`.
    fn difference(&self, interval: &Interval) -> String {
        let Some(mean) = interval.mean.map(|mean| mean * self.scale) else { return NOTHING.to_owned() };
        let decimals = if mean.abs() < 10.0 { self.decimals } else { self.decimals.min(1) };
        let number = format!("{mean:+.decimals$}");
        // What rounds to nothing has no sign.
        let is_zero = number.chars().all(|c| matches!(c, '+' | '-' | '0' | '.'));
        let number = if is_zero { &number[1..] } else { &number };
        match interval.half_width() {
            Some(half) => format!("{number} ± {:.decimals$}", half * self.scale),
            None => number.to_owned(),
        }
    }
}

/// What the optimum is known to be, a sentence each.
fn conclusion(optimum: &Optimum) -> Vec<String> {
    let bound = optimum.lower_bound().mean.map_or_else(String::new, |bound| {
        format!("No policy that meets the SLO can use less than {bound:.2} GPU-hours ({RELAXATION}).")
    });
    match &optimum.best {
        Ok(Found { schedule, answer }) => {
            let hours = answer.number("gpu_hours").unwrap_or_default();
            vec![
                bound,
                format!(
                    "The best timetable found, which knows the future, meets it with {hours:.2}: {}.",
                    timetable(schedule)
                ),
                "Regret is in GPU-hours over these two.".to_owned(),
            ]
        }
        Err(reason) => vec![format!("Infeasible: {reason}.")],
    }
}

/// `2 replicas all along`, or `1 to 4 replicas in 7 steps`.
fn timetable(schedule: &Schedule) -> String {
    let (min, max) = schedule.range();
    match schedule.steps().len() {
        1 => format!("{} all along", counted(f64::from(max.get()), "replica", "replicas")),
        n => format!("{min} to {max} replicas in {n} steps"),
    }
}
