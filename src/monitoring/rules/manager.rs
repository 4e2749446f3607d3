//! Rules in motion: each group at its own interval and phase, its rules one after the other.
//!
//! - A group is evaluated at slots an interval apart, at an offset that is its own (a hash there, a named stream here). The
//!   slot is the time of the evaluation and of its samples, less `query_offset`.
//! - Each rule's samples are stored before the next rule of the group is evaluated, which so sees them at the same time.
//! - A series that a rule gave and gives no more gets a staleness marker. A rule that fails stores nothing, no marker either:
//!   what it gave last can be seen for the lookback of five minutes.

use crate::monitoring::exposition::{Exposition, Stamp};
use crate::monitoring::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::monitoring::promql::{Query, Value};
use crate::monitoring::scrape::next_tick;
use crate::monitoring::series::Database;
use crate::random::Streams;
use crate::units::{SimDuration, SimTime, UnixMillis};
use rustc_hash::FxHashSet;

/// A rule group with its compiled queries.
#[derive(Clone, Debug)]
pub struct Group {
    /// Tells it apart from the groups of other files: `policy/saturation`.
    pub name: String,
    /// From one evaluation to the next.
    pub interval: SimDuration,
    /// Evaluates so long in the past.
    pub query_offset: SimDuration,
    /// Series that a rule may give; 0: any number.
    pub limit: usize,
    /// In the order in which they are evaluated.
    pub rules: Vec<Rule>,
}

/// A recording rule with its compiled query.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name of its series.
    pub record: String,
    /// Labels that are set on them; an empty value removes one.
    pub labels: Vec<(String, String)>,
    /// Gives vectors or scalars.
    pub query: Query,
}

/// The rule manager of one Prometheus.
#[derive(Clone, Debug)]
pub struct Rules {
    epoch: UnixMillis,
    evaluation_duration: SimDuration,
    groups: Vec<Slotted>,
    /// The series of all rules; each rule is a source.
    exposition: Exposition,
}

#[derive(Clone, Debug)]
struct Slotted {
    group: Group,
    offset: SimDuration,
    next: SimTime,
    /// The number of its first rule among all.
    first: usize,
    /// By rule.
    seen: Vec<Seen>,
}

/// What became of a rule's evaluations.
#[derive(Clone, Debug, Default)]
struct Seen {
    evaluations: u64,
    empty: u64,
    failed: u64,
    first_error: Option<String>,
}

impl Rules {
    /// The rules of a server that came up before the run; `epoch` is the wall clock at t = 0, and one rule takes
    /// `evaluation_duration`.
    pub fn new(
        groups: Vec<Group>,
        evaluation_duration: SimDuration,
        epoch: UnixMillis,
        streams: &Streams,
    ) -> Self {
        let mut rules = 0;
        let mut slotted = |group: Group| {
            let mut draws = streams.stream(&format!("prometheus/rule-group/{}", group.name));
            // Timestamps are milliseconds: so is the offset, or the distance of samples would vary by one.
            let offset = SimDuration::from_millis(draws.below(group.interval.as_millis().max(1)));
            let next = next_tick(SimTime::ZERO, group.interval, offset);
            let first = rules;
            rules += group.rules.len();
            Slotted { offset, next, first, seen: vec![Seen::default(); group.rules.len()], group }
        };
        let groups = groups.into_iter().map(&mut slotted).collect();
        Rules { epoch, evaluation_duration, groups, exposition: Exposition::new(rules) }
    }

    /// When each group is evaluated next, in order.
    pub fn next_evaluations(&self) -> impl Iterator<Item = SimTime> {
        self.groups.iter().map(|slotted| slotted.next)
    }

    /// When the group with this number is evaluated next.
    pub fn next_evaluation(&self, group: usize) -> SimTime {
        self.groups[group].next
    }

    /// Evaluates the group with this number at `now`, which must be [`Rules::next_evaluation`]'s, over `database`.
    pub fn evaluate(&mut self, database: &mut Database, group: usize, now: SimTime) {
        let Rules { epoch, evaluation_duration, groups, exposition } = self;
        let Slotted { group, next, first, seen, .. } = &mut groups[group];
        debug_assert_eq!(*next, now);
        let taken = UnixMillis(epoch.at(now).0 - group.query_offset.as_millis() as i64);
        let mut starts = now;
        for (index, (rule, seen)) in group.rules.iter_mut().zip(seen).enumerate() {
            let visible_from = starts + *evaluation_duration;
            let result = rule.evaluate(database, taken, starts, group.limit);
            seen.note(&result);
            if let Ok(samples) = result {
                let stamp = Stamp { taken, visible_from };
                exposition.append(database, *first + index, &Labels::default(), stamp, samples);
            }
            starts = visible_from;
        }
        *next = now + group.interval;
    }

    /// The server is back at `now`: each group waits for its next slot, and knows nothing of what its rules gave before.
    pub fn restart(&mut self, database: &mut Database, now: SimTime) {
        self.exposition.forget_all(database);
        for Slotted { group, offset, next, .. } in &mut self.groups {
            *next = next_tick(now + SimDuration::from_ps(1), group.interval, *offset);
        }
    }

    /// What a careful colleague would say about the rules, once the run is over.
    pub fn warnings(&self) -> Vec<String> {
        let rules = self.groups.iter().flat_map(|slotted| slotted.group.rules.iter().zip(&slotted.seen));
        rules.filter_map(|(rule, seen)| seen.warning(&rule.record)).collect()
    }
}

impl Rule {
    /// The rule's samples at `at`, from what can be seen at `seen`.
    fn evaluate(
        &mut self,
        database: &Database,
        at: UnixMillis,
        seen: SimTime,
        limit: usize,
    ) -> Result<Vec<(Labels, f64)>, String> {
        let value = self.query.evaluate(database, at, seen).map_err(|error| error.to_string())?;
        let elements = match value {
            Value::Vector(elements) => elements,
            Value::Scalar(value) => vec![(Labels::default(), value)],
            Value::Matrix(_) | Value::String(_) => {
                return Err("rule result is not a vector or scalar".to_owned());
            }
        };
        let named = |(labels, value): (Labels, f64)| (self.named(&labels), value);
        let samples: Vec<(Labels, f64)> = elements.into_iter().map(named).collect();
        let mut names = FxHashSet::default();
        if !samples.iter().all(|(labels, _)| names.insert(labels)) {
            return Err(
                "vector contains metrics with the same labelset after applying rule labels".to_owned()
            );
        }
        if limit > 0 && samples.len() > limit {
            return Err(format!("exceeded limit of {limit} with {} series", samples.len()));
        }
        Ok(samples)
    }

    fn named(&self, labels: &Labels) -> Labels {
        let mut builder = LabelsBuilder::from(labels);
        builder.set(METRIC_NAME, self.record.as_str());
        for (label, value) in &self.labels {
            builder.set(label, value.as_str());
        }
        builder.finish()
    }
}

impl Seen {
    fn note(&mut self, result: &Result<Vec<(Labels, f64)>, String>) {
        self.evaluations += 1;
        match result {
            Ok(samples) => self.empty += u64::from(samples.is_empty()),
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert_with(|| error.clone());
            }
        }
    }

    fn warning(&self, record: &str) -> Option<String> {
        let Seen { evaluations, empty, failed, first_error } = self;
        if *evaluations > 0 && empty == evaluations {
            return Some(format!("recording rule {record} gave nothing at all {evaluations} evaluations"));
        }
        let error = first_error.as_ref()?;
        Some(format!("recording rule {record} failed at {failed} of {evaluations} evaluations: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::promql::QueryOptions;
    use crate::monitoring::series::{GroupId, Retention, is_stale};

    const INTERVAL: SimDuration = SimDuration::from_secs(10);
    const TAKES: SimDuration = SimDuration::from_millis(5);

    fn rule(record: &str, expr: &str, labels: &[(&str, &str)]) -> Rule {
        let query = Query::compile(expr, QueryOptions::default()).expect("it compiles");
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Rule { record: record.to_owned(), labels, query }
    }

    /// A database with two pods, and the rules of one group over it.
    struct Server {
        database: Database,
        pods: Vec<GroupId>,
        rules: Rules,
    }

    impl Server {
        fn new(rules: Vec<Rule>, limit: usize) -> Self {
            let mut database = Database::new(Retention::All);
            let pods = ["a", "b"]
                .map(|pod| database.open(Labels::new([("pod", pod)]), [Labels::metric("waiting")].into()));
            let query_offset = SimDuration::ZERO;
            let group = Group { name: "g".to_owned(), interval: INTERVAL, query_offset, limit, rules };
            let rules = Rules::new(vec![group], TAKES, UnixMillis(0), &Streams::new(1));
            Server { database, pods: pods.into(), rules }
        }

        /// Samples of both pods just before the next evaluation, and that evaluation.
        fn round(&mut self, waiting: [Option<f64>; 2]) -> SimTime {
            let now = self.rules.next_evaluation(0);
            let taken = UnixMillis(now.as_millis() as i64);
            for (pod, waiting) in self.pods.iter().zip(waiting) {
                let value = waiting.unwrap_or(crate::monitoring::series::STALE);
                self.database.append(*pod, taken, now, &[value]);
            }
            self.rules.evaluate(&mut self.database, 0, now);
            now
        }

        /// The samples of each series called `record`, with from when they can be seen, in milliseconds after their time.
        fn recorded(&self, record: &str) -> Vec<String> {
            let named = self.database.groups().map(|(_, group)| group);
            let named = named.filter(|group| group.columns()[0].get(METRIC_NAME) == record);
            named
                .map(|group| {
                    let rows = group.rows(SimTime::NEVER);
                    let shown = |row| {
                        let value = rows.value(row, 0);
                        if is_stale(value) { "s".to_owned() } else { value.to_string() }
                    };
                    let values: Vec<String> = (0..rows.times.len()).map(shown).collect();
                    format!("{} {}", group.columns()[0].without(&[METRIC_NAME]), values.join(" "))
                })
                .collect()
        }
    }

    #[test]
    fn slots_are_an_interval_apart_and_samples_are_seen_when_the_rule_has_been_evaluated() {
        let mut server = Server::new(vec![rule("total", "sum(waiting)", &[])], 0);
        let first = server.round([Some(1.0), Some(2.0)]);
        assert!(first < SimTime::ZERO + INTERVAL && first.as_ps().is_multiple_of(1_000_000_000));
        assert_eq!(server.round([Some(3.0), Some(4.0)]), first + INTERVAL);
        assert_eq!(server.recorded("total"), ["{} 3 7"]);
        let (_, group) = server.database.groups().last().expect("the rule's");
        let seen = |at: SimTime| group.rows(at).times.len();
        assert_eq!(seen(SimTime::from_ps((first + TAKES).as_ps() - 1)), 0);
        assert_eq!(seen(first + TAKES), 1);
    }

    #[test]
    fn a_later_rule_of_the_group_sees_an_earlier_one_at_once_and_an_earlier_one_at_the_next_slot() {
        let rules = vec![
            rule("echo", "total * 10", &[]),
            rule("total", "sum(waiting)", &[]),
            rule("twice", "total * 2", &[]),
        ];
        let mut server = Server::new(rules, 0);
        for waiting in [1.0, 2.0, 3.0] {
            server.round([Some(waiting), Some(0.0)]);
        }
        assert_eq!(server.recorded("total"), ["{} 1 2 3"]);
        assert_eq!(server.recorded("twice"), ["{} 2 4 6"]);
        assert_eq!(server.recorded("echo"), ["{} 10 20"]);
    }

    #[test]
    fn a_series_that_a_rule_gives_no_more_gets_a_marker_and_labels_are_set_and_removed() {
        let rules = vec![
            rule("busy", "waiting > 1", &[("tier", "gold")]),
            rule("one", "1", &[]),
            rule("bare", "max by (pod) (waiting)", &[("pod", "")]),
        ];
        let mut server = Server::new(rules, 0);
        for waiting in [[Some(5.0), Some(2.0)], [Some(5.0), Some(0.0)], [None, Some(3.0)]] {
            server.round(waiting);
        }
        assert_eq!(
            server.recorded("busy"),
            [r#"{pod="a", tier="gold"} 5 5 s"#, r#"{pod="b", tier="gold"} 2 s 3"#]
        );
        assert_eq!(server.recorded("one"), ["{} 1 1 1"]);
        // Two pods are one series without the label: that fails, until one pod is gone.
        assert_eq!(server.recorded("bare"), ["{} 3"]);
        let [warning] = &server.rules.warnings()[..] else { panic!("{:?}", server.rules.warnings()) };
        assert!(
            warning.contains("bare failed at 2 of 3 evaluations") && warning.contains("same labelset"),
            "{warning}"
        );
    }

    #[test]
    fn a_rule_that_fails_leaves_what_it_gave_as_it_was() {
        let mut server = Server::new(vec![rule("each", "waiting", &[])], 1);
        for waiting in [[Some(4.0), None], [Some(5.0), Some(6.0)], [None, None]] {
            server.round(waiting);
        }
        assert_eq!(server.recorded("each"), [r#"{pod="a"} 4 s"#]);
        assert!(server.rules.warnings()[0].contains("exceeded limit of 1 with 2 series"));
        let mut nothing = Server::new(vec![rule("never", "waiting > 100", &[])], 0);
        nothing.round([Some(1.0), None]);
        assert_eq!(nothing.rules.warnings(), ["recording rule never gave nothing at all 1 evaluations"]);
    }

    #[test]
    fn a_server_that_was_down_waits_for_the_next_slot_and_ends_nothing() {
        let mut server = Server::new(vec![rule("busy", "waiting > 1", &[])], 0);
        let first = server.round([Some(5.0), Some(5.0)]);
        let back = first + INTERVAL + INTERVAL;
        server.rules.restart(&mut server.database, back);
        assert_eq!(server.rules.next_evaluation(0), back + INTERVAL, "a slot at the very start has passed");
        server.round([Some(5.0), Some(0.0)]);
        assert_eq!(server.recorded("busy"), [r#"{pod="a"} 5 5"#, r#"{pod="b"} 5"#]);
    }

    #[test]
    fn a_query_offset_moves_what_is_read_and_when_it_is_recorded() {
        let mut server = Server::new(vec![rule("total", "sum(waiting)", &[])], 0);
        server.rules.groups[0].group.query_offset = INTERVAL;
        let first = server.round([Some(1.0), Some(0.0)]);
        server.round([Some(2.0), Some(0.0)]);
        assert_eq!(server.recorded("total"), ["{} 1"]);
        let (_, group) = server.database.groups().last().expect("the rule's");
        assert_eq!(group.rows(SimTime::NEVER).times, [first.as_millis() as i64]);
    }
}
