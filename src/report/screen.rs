//! The first screen: a verdict in words, then the picture, then the table. It fits 80 x 24 and has no colour to lose.

use super::duration::{compact, spoken};
use super::estimate::{self, NOTHING};
use super::number::{count, counted, given_percent, percent, short};
use super::sparkline::Sparklines;
use super::wrap::{length, words, wrap};
use crate::analysis::{Answer, Bounds, ClassTargets, Timeline, Verdict};
use crate::units::SimDuration;

const WIDTH: usize = 80;
const HEIGHT: usize = 24;
const COLUMNS: usize = 48;

/// What the text answer of `simulate` is made of.
#[derive(Clone, Copy, Debug)]
pub struct Screen<'a> {
    /// What the answer is about, each in a word or two: policy, model and GPU, vLLM's version.
    pub title: &'a [String],
    /// The numbers.
    pub answer: &'a Answer,
    /// Between what the policy may scale.
    pub bounds: Bounds,
    /// The course of the run, of the first one of several.
    pub timeline: &'a Timeline,
    /// The targets, in the workload's order of classes.
    pub classes: &'a [ClassTargets],
    /// Goes before an amount: `$`.
    pub currency: &'a str,
    /// What to type next: what it answers, and the command.
    pub next: &'a [(&'a str, String)],
}

impl Screen<'_> {
    /// The text, with a line end after every line.
    pub fn text(&self) -> String {
        let verdict = Verdict::of(self.answer, self.bounds);
        let mut blocks = vec![
            wrap(WIDTH, "", " · ", &self.title_items()),
            [wrap(WIDTH, "  ", " ", &words(&sentence(&verdict, self.number("duration_s")))), self.slo()]
                .concat(),
            self.picture(),
            self.table(),
            wrap(WIDTH, "  ", " · ", &self.facts()),
            self.next_lines(),
        ];
        let used =
            blocks.iter().filter(|block| !block.is_empty()).map(|block| block.len() + 1).sum::<usize>();
        blocks[4].extend(self.warnings((HEIGHT + 1).saturating_sub(used)));
        blocks.retain(|block| !block.is_empty());
        let mut lines = blocks.join(&[String::new()][..]);
        while lines.len() > HEIGHT
            && let Some(blank) = lines.iter().rposition(String::is_empty)
        {
            lines.remove(blank);
        }
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn number(&self, key: &str) -> f64 {
        self.answer.number(key).unwrap_or(0.0)
    }

    fn title_items(&self) -> Vec<String> {
        let load = short(self.number("load.mean_rps"));
        let seed = match self.answer.repetitions() {
            1 => format!("seed {}", self.answer.json()["provenance"]["seed"]),
            n => format!("mean of {n} seeds"),
        };
        let more = [format!("{} at {load} req/s", compact(self.number("duration_s"))), seed];
        self.title.iter().cloned().chain(more).collect()
    }

    fn slo(&self) -> Vec<String> {
        let text = if !self.classes.iter().any(ClassTargets::has_any) {
            "No SLO is set: a class with slo = { ttft = \"2s\" } has requests that meet it or not.".to_owned()
        } else if self.answer.number("slo.attainment").is_none() {
            "Whether requests meet the SLO is not known: none has ended or is overdue.".to_owned()
        } else {
            let share = estimate::share(self.answer, "slo.attainment");
            let worst = self.lost().or_else(|| self.worst_latency());
            let worst = worst.map(|text| format!("; {text}")).unwrap_or_default();
            format!("{share} of requests met the SLO ({}){worst}.", self.targeted_share())
        };
        wrap(WIDTH, "  ", " ", &words(&text))
    }

    /// The share that should meet the SLO; where classes differ, of each.
    fn targeted_share(&self) -> String {
        let mut shares: Vec<f64> =
            self.classes.iter().filter(|class| class.has_any()).map(|class| class.attainment).collect();
        shares.dedup();
        match shares.as_slice() {
            [one] if self.answer.json()["slo"]["classes"].as_object().is_none_or(|c| c.len() < 2) => {
                format!("target {}", given_percent(*one))
            }
            _ => {
                let classes = self.answer.json()["slo"]["classes"].as_object().into_iter().flatten();
                let each = classes.map(|(name, class)| {
                    let met = class["attainment"].as_f64().map_or(NOTHING.to_owned(), percent);
                    format!("{name} {met} of {}", given_percent(class["target"].as_f64().unwrap_or_default()))
                });
                each.collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// The requests that were lost, where they alone can be why the SLO is missed: those that were served are in time.
    fn lost(&self) -> Option<String> {
        let in_time = |metric: &Metric| {
            let p95 = self.answer.number(&format!("{}.p95", metric.key));
            let targets = self.targets(metric);
            p95.is_none_or(|p95| targets.iter().all(|target| p95 <= target.as_secs_f64()))
        };
        if self.answer.truth("slo.met") != Some(false) || !METRICS.iter().all(in_time) {
            return None;
        }
        self.requests(&["aborted", "killed", "refused"])
    }

    /// The latency whose target is missed most, against it. Where classes differ, no one target can be named.
    fn worst_latency(&self) -> Option<String> {
        let metrics =
            METRICS.iter().filter_map(|metric| Some((self.answer.number(metric.attainment?)?, metric)));
        let (_, metric) = metrics.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let [target] = self.targets(metric)[..] else { return None };
        let key = format!("{}.p95", metric.key);
        self.answer.number(&key)?;
        Some(format!(
            "p95 {} {} against {}",
            metric.name,
            estimate::duration(self.answer, &key),
            given(target)
        ))
    }

    /// The targets of a metric that classes have, each once.
    fn targets(&self, metric: &Metric) -> Vec<SimDuration> {
        let mut targets: Vec<SimDuration> = self.classes.iter().filter_map(metric.target).collect();
        targets.sort();
        targets.dedup();
        targets
    }

    fn picture(&self) -> Vec<String> {
        let Some(lines) = Sparklines::of(self.timeline, COLUMNS) else { return Vec::new() };
        let (mean, peak) = (self.number("load.mean_rps"), self.number("load.peak_rps"));
        let load = if peak <= 1.25 * mean {
            format!("{} req/s", short(mean))
        } else {
            format!("max {} req/s", short(peak))
        };
        let (least, most) = (self.number("replicas.ready_min"), self.number("replicas.ready_max"));
        let ready = if least == most {
            counted(most, "replica", "replicas")
        } else {
            format!("{} ... {}", count(least), counted(most, "replica", "replicas"))
        };
        let waiting = format!("max {}", count(self.number("engine.longest_queue")));
        let row = |name: &str, line: &str, label: &str| format!("  {name:<10}{line}  {label}");
        vec![
            row("load", &lines.load, &load),
            row("waiting", &lines.waiting, &waiting),
            row("ready", &lines.ready, &ready),
            row("", &lines.axis, ""),
        ]
    }

    fn table(&self) -> Vec<String> {
        let width = if self.answer.repetitions() > 1 { 15 } else { 9 };
        let line = |name: &str, cells: [&str; 5]| {
            let [p50, p95, p99, target, met] = cells;
            format!("  {name:<6}{p50:>width$}{p95:>width$}{p99:>width$}{target:>11}{met:>width$}")
        };
        let header = line("", ["p50", "p95", "p99", "target", "met"]);
        let rows = METRICS.iter().map(|metric| {
            let quantile = |q: &str| estimate::duration(self.answer, &format!("{}.{q}", metric.key));
            let target = match self.targets(metric)[..] {
                [] => String::new(),
                [one] => given(one),
                _ => "by class".to_owned(),
            };
            let met = match metric.attainment {
                Some(key) if !target.is_empty() => estimate::share(self.answer, key),
                _ => String::new(),
            };
            line(metric.name, [&quantile("p50"), &quantile("p95"), &quantile("p99"), &target, &met])
        });
        std::iter::once(header).chain(rows).collect()
    }

    fn facts(&self) -> Vec<String> {
        let answer = self.answer;
        let mut facts = Vec::new();
        if self.number("replicas.min") == self.number("replicas.max") {
            facts.push(format!("{} all along", counted(self.number("replicas.max"), "replica", "replicas")));
        } else {
            let share = self.number("replicas.at_max_s") / self.number("duration_s").max(f64::MIN_POSITIVE);
            let (mean, max) =
                (estimate::tenths(answer, "replicas.mean"), estimate::whole(answer, "replicas.max"));
            facts.push(format!("replicas {mean} mean, {max} max ({:.0} % of the time)", share * 100.0));
        }
        facts.extend([
            format!("{} GPU-hours", estimate::tenths(answer, "gpu_hours")),
            estimate::cost(answer, "cost", self.currency),
            format!("longest queue {}", estimate::whole(answer, "engine.longest_queue")),
            counted(self.number("engine.preemptions"), "preemption", "preemptions"),
        ]);
        facts.push(self.requests(&["aborted", "killed", "refused"]).unwrap_or("no request lost".to_owned()));
        facts.extend(self.requests(&["waiting", "running"]).map(|open| format!("{open} at the end")));
        if let Some(at) = answer.number("scaling.step_at_s") {
            facts.push(match answer.number("scaling.step_to_capacity_s") {
                Some(after) => format!("load step at {}: capacity after {}", compact(at), spoken(after)),
                None => format!("load step at {}: capacity never came", compact(at)),
            });
        }
        facts
    }

    /// `3 requests killed, 1 refused`: those of `fates` that there were; `None` if there were none.
    fn requests(&self, fates: &[&str]) -> Option<String> {
        let mut some = fates
            .iter()
            .map(|fate| (self.number(&format!("requests.{fate}")), fate))
            .filter(|(n, _)| *n > 0.0);
        let (n, fate) = some.next()?;
        let first = format!("{} {fate}", counted(n, "request", "requests"));
        Some(some.fold(first, |text, (n, fate)| format!("{text}, {} {fate}", count(n))))
    }

    /// As many warnings as fit into `room` lines, and how many there are beside.
    fn warnings(&self, room: usize) -> Vec<String> {
        let warnings: Vec<&str> = self.answer.warnings().collect();
        let mut lines = Vec::new();
        let mut shown = 0;
        for (i, warning) in warnings.iter().enumerate() {
            let text = wrap(WIDTH, "  ", " ", &words(&format!("warning: {warning}")));
            let line_for_the_rest = usize::from(i + 1 < warnings.len());
            if lines.len() + text.len() + line_for_the_rest > room {
                break;
            }
            lines.extend(text);
            shown += 1;
        }
        if shown < warnings.len() {
            let more = if shown == 0 { "" } else { "more " };
            let rest = (warnings.len() - shown) as f64;
            let rest = counted(rest, &format!("{more}warning"), &format!("{more}warnings"));
            lines.push(format!("  {rest}: --format json shows all"));
        }
        lines
    }

    fn next_lines(&self) -> Vec<String> {
        let items: Vec<String> =
            self.next.iter().map(|(label, command)| format!("{label}   {command}")).collect();
        let one = format!("  {}", items.join("      "));
        if items.is_empty() {
            Vec::new()
        } else if length(&one) <= WIDTH {
            vec![one]
        } else {
            items.into_iter().map(|item| format!("  {item}")).collect()
        }
    }
}

/// A latency of the table.
struct Metric {
    name: &'static str,
    key: &'static str,
    attainment: Option<&'static str>,
    target: fn(&ClassTargets) -> Option<SimDuration>,
}

const METRICS: [Metric; 4] = [
    Metric {
        name: "TTFT",
        key: "ttft_s",
        attainment: Some("slo.ttft_attainment"),
        target: |class| class.ttft,
    },
    Metric { name: "ITL", key: "itl_s", attainment: None, target: |_| None },
    Metric {
        name: "TPOT",
        key: "tpot_s",
        attainment: Some("slo.tpot_attainment"),
        target: |class| class.tpot,
    },
    Metric { name: "E2E", key: "e2e_s", attainment: Some("slo.e2e_attainment"), target: |class| class.e2e },
];

/// A target as it was given: exact, where a measured time is rounded.
fn given(target: SimDuration) -> String {
    let seconds = target.as_secs_f64();
    if seconds < 1.0 { format!("{} ms", target.as_ps() as f64 / 1e9) } else { format!("{seconds} s") }
}

/// The verdict as a sentence, about a run of `duration_s` seconds.
pub fn sentence(verdict: &Verdict, duration_s: f64) -> String {
    let changed = |n: f64| counted(n, "change of size", "changes of size");
    let all_along = |n: f64| format!("{} all along", counted(n, "replica", "replicas"));
    let waited = |before: &str, n: f64| match n {
        0.0 => String::new(),
        n => format!(", {before} up to {} waited", counted(n, "request", "requests")),
    };
    match *verdict {
        Verdict::Idle => format!("Nothing arrived: there was no request in {}.", spoken(duration_s)),
        Verdict::Saws { changes, reversals, every_s } => format!(
            "It saws: {}, {} of them reversals, one every {}.",
            changed(changes),
            count(reversals),
            spoken(every_s)
        ),
        Verdict::AtItsMaximum { replicas, share, ready, waiting } => {
            // Some start at any time; far fewer than were asked for had no GPUs to start on.
            let few = if ready < replicas / 2.0 {
                format!(", of which at most {} were ready", count(ready))
            } else {
                String::new()
            };
            let rest = if waiting >= 0.5 {
                format!(", and {} waited at the end", counted(waiting, "request", "requests"))
            } else {
                String::new()
            };
            let size = counted(replicas, "replica", "replicas");
            format!(
                "It is overloaded: at its maximum of {size} for {} of the time{few}{rest}.",
                percent(share)
            )
        }
        Verdict::TooSmall { replicas, longest_queue } => {
            format!("It is too small: {}{}.", all_along(replicas), waited("and", longest_queue))
        }
        Verdict::NeverScales { replicas, longest_queue } => {
            format!("It never scales: {}{}.", all_along(replicas), waited("while", longest_queue))
        }
        Verdict::ReactsLate { after_s } => {
            format!("It reacts late: capacity came {} after the load's step.", spoken(after_s))
        }
        Verdict::FallsShort { changes, longest_queue } => {
            format!("It falls short: {}{}.", changed(changes), waited("and", longest_queue))
        }
        Verdict::HasRoom { running, ready } => format!(
            "It is over-provisioned: {} requests ran on each of {} ready replicas on average.",
            short(running),
            short(ready)
        ),
        Verdict::Holds { replicas } => format!("It holds: {}.", all_along(replicas)),
        Verdict::Follows { changes, reversals } => {
            format!("It holds: {}, {} of them reversals.", changed(changes), count(reversals))
        }
    }
}
