//! Queries that can never find anything here: refused where a label's value is wrong, warned of where the metric is.
//!
//! In a cluster a selector with another deployment's name silently gives nothing, and KEDA takes nothing for 0. So a
//! selector on a metric that exists, but that no series can match, is a problem that names the label and its values.
//! A metric that does not exist may be meant for another release or an exporter that is not simulated: it runs empty, as
//! it would there, and is warned of.

use super::labels::{Labels, METRIC_NAME};
use super::promql::{Matcher, Query, Read};
use super::scrape::OWN_SERIES;
use super::vllm_metrics::{self, MetricsRelease};
use crate::nearest::nearest;
use crate::problem::{Place, Problem};
use crate::random::Streams;

/// How many of a label's values a message lists.
const VALUES_MAX: usize = 8;

/// The targets of one kind, and what each of them exposes.
#[derive(Clone, Debug)]
pub struct Exposed<'a> {
    /// The series of a target's page, without the target's labels; `up` and its like are added.
    pub columns: &'a [Labels],
    /// The labels of some of the targets that can be.
    pub targets: Vec<Labels>,
    /// Labels of which `columns` and `targets` hold examples only, such as `pod`; of every other label they hold all values.
    pub examples: &'a [&'a str],
}

/// Names that pods of `deployment` can have: `<deployment>-<hash of 10>-<5 characters>`, enough of them that any usual
/// pattern for such names finds one.
pub fn example_pod_names(deployment: &str) -> Vec<String> {
    /// What Kubernetes makes random names of (apimachinery `pkg/util/rand/rand.go`): no vowels, no 0, 1 and 3.
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    const EXAMPLES: usize = 256;
    let mut draws = Streams::new(0).stream("never-match/pod-names");
    let mut text = |length: usize, first: usize| -> String {
        // The first characters go round the alphabet: patterns for names are mostly about how they begin.
        let drawn = (1..length).map(|_| draws.below(ALPHABET.len() as u64) as usize);
        std::iter::once(first).chain(drawn).map(|at| char::from(ALPHABET[at % ALPHABET.len()])).collect()
    };
    let name = |i: usize| format!("{deployment}-{}-{}", text(10, i), text(5, i / ALPHABET.len()));
    (0..EXAMPLES).map(name).map(|name| name.chars().take(63).collect()).collect()
}

/// Judges every selector of `query` by what `world` can ever expose; `recorded` are the names that recording rules give, with
/// labels that only a run can tell; `release` is whose metrics the pods have.
///
/// The answer is what should be warned of.
///
/// # Errors
/// A selector on a metric that exists here and that no series can match, at the matcher that excludes them all.
pub fn check(
    query: &Query,
    world: &[Exposed<'_>],
    recorded: &[&str],
    release: MetricsRelease,
) -> Result<Vec<String>, Problem> {
    let mut warnings = Vec::new();
    let own: Vec<Labels> = OWN_SERIES.iter().map(|name| Labels::metric(name)).collect();
    let is_recorded = |read: &Read| recorded.iter().any(|record| is_called(read, record));
    for read in query.reads().iter().filter(|read| !is_recorded(read)) {
        let candidates = candidates(read, world, &own);
        if candidates.is_empty() {
            let warning = without_metric(read, world, release);
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        } else if !some_series(&candidates, read, |_| true) {
            return Err(never(query, read, &candidates));
        }
    }
    Ok(warnings)
}

/// Whether `query` may read any series of these targets. Labels of which only examples are known do not count against it.
pub fn reads(query: &Query, exposed: &Exposed<'_>) -> bool {
    let own: Vec<Labels> = OWN_SERIES.iter().map(|name| Labels::metric(name)).collect();
    let world = std::slice::from_ref(exposed);
    query.reads().iter().any(|read| {
        some_series(&candidates(read, world, &own), read, |matcher| {
            !exposed.examples.contains(&matcher.name.as_str())
        })
    })
}

/// A series that is right in name, with the targets that expose it.
struct Candidate<'w> {
    column: &'w Labels,
    world: &'w Exposed<'w>,
}

fn candidates<'w>(read: &Read, world: &'w [Exposed<'w>], own: &'w [Labels]) -> Vec<Candidate<'w>> {
    let named = |column: &&Labels| is_called(read, column.get(METRIC_NAME));
    world
        .iter()
        .flat_map(|world| {
            let columns = world.columns.iter().chain(own).filter(named);
            columns.map(move |column| Candidate { column, world })
        })
        .collect()
}

/// Whether `read` selects a metric of this name.
fn is_called(read: &Read, metric: &str) -> bool {
    let mut names = read.matchers.iter().filter(|matcher| matcher.name == METRIC_NAME);
    names.all(|matcher| matcher.matches(metric))
}

/// Whether any series of any target passes those matchers of `read` that `counts`.
fn some_series(candidates: &[Candidate<'_>], read: &Read, counts: impl Fn(&Matcher) -> bool) -> bool {
    candidates.iter().any(|candidate| {
        let mut targets = candidate.world.targets.iter();
        targets.any(|target| {
            let mut matchers = read.matchers.iter().filter(|matcher| counts(matcher));
            matchers.all(|matcher| matcher.passes(candidate.column, target))
        })
    })
}

/// The problem with a selector that no series passes: at the first label that alone excludes them all.
fn never(query: &Query, read: &Read, candidates: &[Candidate<'_>]) -> Problem {
    let what =
        read.metric().map_or_else(|| "the metrics selected".to_owned(), |metric| format!("`{metric}`"));
    let alone = |matcher: &&Matcher| !some_series(candidates, read, |other| std::ptr::eq(other, *matcher));
    let with_namesakes =
        |matcher: &&Matcher| !some_series(candidates, read, |other| other.name == matcher.name);
    let mut matchers = read.matchers.iter();
    let guilty = matchers.clone().find(alone).or_else(|| matchers.find(with_namesakes));
    let Some(guilty) = guilty else {
        let labels: Vec<&Matcher> =
            read.matchers.iter().filter(|matcher| matcher.name != METRIC_NAME).collect();
        let all: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let message = format!("no series of {what} can ever match {} together", all.join(", "));
        let place = labels.last().map_or(Place::Whole, |last| query.place_of(last));
        return Problem { place, message, help: None };
    };
    let label = guilty.name.as_str();
    let (values, is_example) = values_of(label, candidates);
    let message = format!("no series of {what} can ever match {guilty}");
    let help = if values.is_empty() {
        let labels = labels_of(candidates);
        match nearest(label, labels.iter().copied()) {
            Some(near) => format!("there is no label `{label}`; did you mean `{near}`?"),
            None => format!("there is no label `{label}`; there are {}", labels.join(", ")),
        }
    } else if is_example {
        format!("`{label}` is here such as {:?}", values[0])
    } else {
        let shown: Vec<String> = values.iter().take(VALUES_MAX).map(|value| format!("{value:?}")).collect();
        let more = if values.len() > VALUES_MAX { ", …" } else { "" };
        format!("`{label}` is {}{more} here", shown.join(" or "))
    };
    Problem { place: query.place_of(guilty), message, help: Some(help) }
}

/// The values that `label` has on the candidates, in order of the page, and whether they are examples only.
fn values_of<'w>(label: &str, candidates: &[Candidate<'w>]) -> (Vec<&'w str>, bool) {
    let mut values = Vec::new();
    let mut is_example = false;
    for candidate in candidates {
        let own = candidate.column.get(label);
        let of_targets = candidate.world.targets.iter().map(|target| target.get(label));
        let all = std::iter::once(own).chain(of_targets.filter(|_| own.is_empty()));
        for value in all.filter(|value| !value.is_empty()) {
            is_example |= candidate.world.examples.contains(&label);
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    (values, is_example)
}

/// The labels that the candidates have, sorted.
fn labels_of<'w>(candidates: &[Candidate<'w>]) -> Vec<&'w str> {
    let mut labels: Vec<&str> = candidates
        .iter()
        .flat_map(|candidate| {
            candidate.column.iter().chain(candidate.world.targets.iter().flat_map(Labels::iter))
        })
        .map(|(label, _)| label)
        .filter(|label| *label != METRIC_NAME)
        .collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// What to say of a selector whose metric nothing here exposes.
fn without_metric(read: &Read, world: &[Exposed<'_>], release: MetricsRelease) -> String {
    let Some(metric) = read.metric() else {
        let names = read.matchers.iter().filter(|matcher| matcher.name == METRIC_NAME);
        let names: Vec<String> = names.map(ToString::to_string).collect();
        return format!("no metric here matches {}: the selector finds nothing", names.join(", "));
    };
    if let Some(why) = vllm_metrics::why_missing(metric, release) {
        return format!("{why}: the selector finds nothing");
    }
    let mut names: Vec<&str> =
        world.iter().flat_map(|world| world.columns).map(|column| column.get(METRIC_NAME)).collect();
    names.extend(OWN_SERIES);
    match nearest(metric, names) {
        Some(near) => {
            format!("nothing here exposes `{metric}`, so the selector finds nothing; did you mean `{near}`?")
        }
        None => format!("nothing here exposes `{metric}`, so the selector finds nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::kube_state_metrics;
    use super::super::promql::QueryOptions;
    use super::*;

    fn judged(text: &str) -> Result<Vec<String>, Problem> {
        let vllm: Vec<Labels> = [
            ("vllm:num_requests_waiting", "", ""),
            ("vllm:kv_cache_usage_perc", "", ""),
            ("vllm:request_success_total", "finished_reason", "stop"),
            ("vllm:request_success_total", "finished_reason", "length"),
            ("vllm:e2e_request_latency_seconds_bucket", "le", "1.0"),
            ("vllm:e2e_request_latency_seconds_bucket", "le", "+Inf"),
        ]
        .map(|(name, label, value)| {
            Labels::new([(METRIC_NAME, name), ("model_name", "llama"), ("engine", "0"), (label, value)])
        })
        .into();
        let pods = example_pod_names("llama").into_iter().map(|pod| {
            Labels::new([("namespace", "llm"), ("pod", &pod), ("job", "llama"), ("node", "node-0")])
        });
        let kube = kube_state_metrics::columns("llm", "llama");
        let world = [
            Exposed { columns: &vllm, targets: pods.collect(), examples: &["pod", "node"] },
            Exposed { columns: &kube, targets: vec![kube_state_metrics::target_labels()], examples: &[] },
        ];
        let query = Query::compile(text, QueryOptions::default()).expect("it compiles");
        check(&query, &world, &["epp:saturation"], MetricsRelease::default())
    }

    #[test]
    fn selectors_that_some_series_can_match_pass() {
        for text in [
            "sum(vllm:num_requests_waiting)",
            r#"vllm:num_requests_waiting{namespace="llm", pod=~"llama.*", engine="0"}"#,
            r#"vllm:num_requests_waiting{pod=~"llama-[a-z0-9]+-[a-z0-9]{5}", absent=""}"#,
            r#"vllm:num_requests_waiting{pod=~"llama-[0-9].*", pod!~".*-x...."}"#,
            r#"vllm:num_requests_waiting{namespace!="kube-system", job!~"x|y"}"#,
            r#"sum by (le) (rate(vllm:e2e_request_latency_seconds_bucket{le=~"1.0|[+]Inf"}[2m]))"#,
            r#"kube_deployment_status_replicas{deployment="llama", namespace="llm", job="kube-state-metrics"}"#,
            r#"up{job="llama"} + on() up{job="kube-state-metrics"}"#,
            r#"{__name__=~"vllm:.*", engine="0"}"#,
            "vector(1)",
            r#"max(epp:saturation{whatever="it has"})"#,
        ] {
            assert_eq!(judged(text), Ok(Vec::new()), "{text}");
        }
    }

    #[test]
    fn a_label_that_excludes_every_series_is_named_with_its_values() {
        for (text, place, says) in [
            (
                r#"sum(vllm:num_requests_waiting{namespace="prod"})"#,
                r#"namespace="prod""#,
                r#"`namespace` is "llm" here"#,
            ),
            (
                r#"vllm:num_requests_waiting{engine="0", model_name=~"qwen.*"}"#,
                r#"model_name=~"qwen.*""#,
                r#""llama""#,
            ),
            (
                r#"vllm:num_requests_waiting{pod=~"vllm-.*"}"#,
                r#"pod=~"vllm-.*""#,
                r#"`pod` is here such as "llama-"#,
            ),
            (r#"vllm:num_requests_waiting{pod="llama-0"}"#, r#"pod="llama-0""#, "such as"),
            (
                r#"vllm:num_requests_waiting{model="llama"}"#,
                r#"model="llama""#,
                "there is no label `model`; there are engine",
            ),
            (
                r#"vllm:num_requests_waiting{model_nam="llama"}"#,
                r#"model_nam="llama""#,
                "did you mean `model_name`",
            ),
            (
                r#"vllm:request_success_total{finished_reason="abort"}"#,
                r#"finished_reason="abort""#,
                r#""stop" or "length""#,
            ),
            (r#"vllm:e2e_request_latency_seconds_bucket{le="1"}"#, r#"le="1""#, r#""1.0" or "+Inf""#),
            (r#"up{job="vllm"}"#, r#"job="vllm""#, r#""llama" or "kube-state-metrics""#),
            (r#"vllm:num_requests_waiting or up{pod=~"x.*"}"#, r#"pod=~"x.*""#, "such as"),
        ] {
            let problem = judged(text).expect_err(text);
            let Place::Text { text: whole, span } = &problem.place else { panic!("{text} has no place") };
            assert_eq!(&whole[span.0..span.1], place, "{text}");
            assert!(problem.to_string().contains(says), "{text}: {problem}");
        }
    }

    #[test]
    fn matchers_that_exclude_each_other_are_told_together() {
        let problem = judged(r#"up{job="kube-state-metrics", namespace="llm"}"#).expect_err("no such target");
        assert!(
            problem.message.contains(r#"job="kube-state-metrics", namespace="llm" together"#),
            "{problem}"
        );
    }

    #[test]
    fn a_metric_that_is_not_here_is_warned_of() {
        for (text, says) in [
            ("avg(vllm:gpu_cache_usage_perc)", "0.32 calls it `vllm:kv_cache_usage_perc`"),
            (r#"avg(vllm:gpu_cache_usage_perc{namespace="prod"})"#, "finds nothing"),
            ("sum(vllm:num_request_waiting)", "did you mean `vllm:num_requests_waiting`?"),
            ("sum(DCGM_FI_DEV_GPU_UTIL)", "nothing here exposes `DCGM_FI_DEV_GPU_UTIL`"),
            (r#"{__name__=~"node_.*"}"#, r#"__name__=~"node_.*""#),
        ] {
            let warnings = judged(text).expect(text);
            assert!(warnings.len() == 1 && warnings[0].contains(says), "{text}: {warnings:?}");
        }
        assert_eq!(judged("x / x").expect("only a warning").len(), 1, "each is told once");
    }

    #[test]
    fn example_names_look_like_pods_and_stay_within_a_label() {
        let names = example_pod_names("llama");
        assert!(names.iter().all(|name| name.len() == "llama-".len() + 10 + 1 + 5));
        assert!(example_pod_names(&"x".repeat(80)).iter().all(|name| name.len() <= 63));
    }
}
