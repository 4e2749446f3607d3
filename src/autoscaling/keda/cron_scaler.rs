//! The cron trigger: so many replicas between two times (`pkg/scalers/cron_scaler.go`, v2.20.2).

use super::cron::{Location, Schedule};
use super::metadata::Metadata;
use super::scaled_object::{MetricType, Trigger};
use super::version::KedaVersion;
use crate::autoscaling::hpa::MetricTarget;
use crate::problem::Problem;
use crate::units::{MilliValue, UnixMillis};

/// A checked cron trigger.
#[derive(Clone, Debug, PartialEq)]
pub struct CronTrigger {
    /// `timezone`: a name of the IANA database.
    pub timezone: String,
    /// `start`: a cron expression of five fields.
    pub start: String,
    /// `end`: likewise, another text.
    pub end: String,
    /// `desiredReplicas`: what is reported inside; not 0 since v2.16.
    pub desired_replicas: i64,
    /// `metricType`: `AverageValue` when left out; never `Utilization`.
    pub metric_type: MetricType,
    location: Location,
    starts: Schedule,
    ends: Schedule,
}

/// Metadata keys; all are needed.
const KEYS: [&str; 4] = ["timezone", "start", "end", "desiredReplicas"];

/// Go's zero time in Unix seconds, which stands for "never": 0001-01-01.
const NEVER: i64 = -62_135_596_800;

impl CronTrigger {
    /// Reads a trigger of type `cron`.
    ///
    /// # Errors
    /// Every problem of its metadata, by keys relative to the trigger. A zone that does not exist is one here; KEDA would
    /// fail at each evaluation.
    pub fn parse(trigger: &Trigger, version: KedaVersion) -> Result<Self, Vec<Problem>> {
        let mut metadata = Metadata::new("cron", trigger, &KEYS, &[], version);
        let (location, starts, ends) =
            (metadata.location(), metadata.schedule("start"), metadata.schedule("end"));
        let (start, end) = (metadata.required("start"), metadata.required("end"));
        if !start.is_empty() && start == end {
            let help = "let it end at another time";
            metadata.problem("end", "a cron trigger cannot start and end at the same times".to_owned(), help);
        }
        let desired_replicas = metadata.desired_replicas();
        let metric_type = metadata.metric_type(trigger);
        let timezone = metadata.text("timezone").unwrap_or_default();
        let parsed = location.zip(starts).zip(ends).map(|((location, starts), ends)| CronTrigger {
            timezone: timezone.to_owned(),
            start: start.to_owned(),
            end: end.to_owned(),
            desired_replicas,
            metric_type,
            location,
            starts,
            ends,
        });
        // Where one of the parts is missing there is a problem that says so.
        metadata.finish(parsed)?.ok_or_else(Vec::new)
    }

    /// What the trigger is worth at `now`: the value that it reports, and whether it is active.
    pub fn read(&self, now: UnixMillis, version: KedaVersion) -> (f64, bool) {
        let inside = self.is_inside(now, version);
        (if inside { self.desired_replicas as f64 } else { version.cron_value_outside() }, inside)
    }

    /// Whether `now` lies between a start and the end after it: as KEDA sees it, whether the end comes next.
    fn is_inside(&self, now: UnixMillis, version: KedaVersion) -> bool {
        let seconds = now.0.div_euclid(1000);
        let next = |schedule: &Schedule| schedule.next(seconds, &self.location).unwrap_or(NEVER);
        let (start, end) = (next(&self.starts), next(&self.ends));
        if !version.cron_compares_instants() {
            return (start >= end || seconds >= start) && seconds <= end;
        }
        let (after_start, before_end) = (seconds > start, seconds < end);
        if start < end { after_start && before_end } else { after_start || before_end }
    }

    /// The schedules that never come, by their keys.
    pub(super) fn never_comes(&self, now: UnixMillis) -> Vec<&'static str> {
        let seconds = now.0.div_euclid(1000);
        let schedules = [("start", &self.starts), ("end", &self.ends)];
        let never = |schedule: &Schedule| schedule.next(seconds, &self.location).is_none();
        schedules.into_iter().filter(|(_, schedule)| never(schedule)).map(|(key, _)| key).collect()
    }

    /// The target of the HPA's metric: one replica.
    pub fn target(&self) -> MetricTarget {
        self.metric_type.target(MilliValue(1000))
    }

    /// The name of its metric without the index.
    pub fn metric_name(&self, version: KedaVersion) -> String {
        let name = |expression: &str| {
            let name = expression.replace(' ', "").replace('*', "x").replace('/', "Sl").replace('?', "Qm");
            if version.cron_name_replaces_commas() { name.replace(',', "Cm") } else { name }
        };
        let name = format!("cron-{}-{}-{}", self.timezone, name(&self.start), name(&self.end));
        // `NormalizeString` of pkg/util/normalize_string.go.
        name.replace(['/', '.', ':', '%', '(', ')'], "-")
    }
}

impl Metadata<'_> {
    fn location(&mut self) -> Option<Location> {
        let name = self.required("timezone");
        if name.is_empty() {
            return None;
        }
        match Location::load(name) {
            Ok(location) => Some(location),
            Err(problem) => {
                self.problem("timezone", problem.message, &problem.help.unwrap_or_default());
                None
            }
        }
    }

    fn schedule(&mut self, key: &str) -> Option<Schedule> {
        let text = self.text(key)?;
        match Schedule::parse(text) {
            Ok(schedule) => Some(schedule),
            Err(why) => {
                let help = "write minute, hour, day of the month, month and day of the week, such as \"0 8 * * 1-5\"";
                self.problem(key, why, help);
                None
            }
        }
    }

    fn desired_replicas(&mut self) -> i64 {
        const KEY: &str = "desiredReplicas";
        self.required(KEY);
        match self.number(KEY, "\"3\"") {
            Some(0) if self.version.cron_compares_instants() => {
                self.problem(KEY, format!("`{KEY}` is 0, which KEDA takes for none"), "give another number");
                0
            }
            number => number.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKDAY: [(&str, &str); 4] = [
        ("timezone", "Europe/Berlin"),
        ("start", "0 8 * * 1-5"),
        ("end", "0 18 * * 1-5"),
        ("desiredReplicas", "4"),
    ];

    fn trigger(metadata: &[(&str, &str)]) -> Trigger {
        let metadata = metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Trigger { kind: "cron".to_owned(), metadata, ..Trigger::default() }
    }

    fn with(key: &str, value: &str, version: KedaVersion) -> Result<CronTrigger, Vec<String>> {
        let changed = WORKDAY.map(|(k, v)| (k, if k == key { value } else { v }));
        let problems = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        CronTrigger::parse(&trigger(&changed), version).map_err(problems)
    }

    fn at(text: &str) -> UnixMillis {
        UnixMillis(text.parse::<jiff::Timestamp>().expect("a timestamp").as_millisecond())
    }

    #[test]
    fn inside_it_is_worth_its_replicas_outside_nothing() {
        let cron = with("", "", KedaVersion::V2_20).expect("valid");
        // 2026-01-05 is a Monday; Berlin is an hour ahead.
        for (now, value, active) in [
            ("2026-01-05T06:59:59.999Z", 0.0, false),
            ("2026-01-05T07:00:00Z", 4.0, true),
            ("2026-01-05T16:59:59.999Z", 4.0, true),
            ("2026-01-05T17:00:00Z", 0.0, false),
            ("2026-01-10T12:00:00Z", 0.0, false),
        ] {
            assert_eq!(cron.read(at(now), KedaVersion::V2_20), (value, active), "{now}");
            let before = if active { value } else { 1.0 };
            for version in [KedaVersion::V2_15, KedaVersion::V2_17] {
                assert_eq!(cron.read(at(now), version), (before, active), "{now}");
            }
        }
    }

    #[test]
    fn an_interval_may_span_midnight() {
        let cron = with("end", "0 2 * * *", KedaVersion::V2_20).expect("valid");
        let active = |now| cron.read(at(now), KedaVersion::V2_20).1;
        assert!(active("2026-01-05T22:00:00Z") && active("2026-01-06T00:30:00Z"));
        assert!(!active("2026-01-06T01:30:00Z"));
    }

    #[test]
    fn schedules_that_never_come_follow_gos_zero_time() {
        const NEVER_COMES: &str = "0 0 31 2 *";
        let now = at("2026-01-05T12:00:00Z");
        let active = |cron: &CronTrigger, version| cron.read(now, version).1;
        let never_starts = with("start", NEVER_COMES, KedaVersion::V2_20).expect("valid");
        let never_ends = with("end", NEVER_COMES, KedaVersion::V2_20).expect("valid");
        for version in KedaVersion::ALL {
            assert!(active(&never_starts, version) && !active(&never_ends, version), "{version}");
        }
        assert_eq!(
            (never_starts.never_comes(now), never_ends.never_comes(now)),
            (vec!["start"], vec!["end"])
        );
        let neither = trigger(&[WORKDAY[0], ("start", NEVER_COMES), ("end", "0 0 30 2 *"), WORKDAY[3]]);
        let neither = CronTrigger::parse(&neither, KedaVersion::V2_20).expect("valid");
        assert!(!active(&neither, KedaVersion::V2_15) && active(&neither, KedaVersion::V2_16));
    }

    #[test]
    fn the_metric_is_named_after_zone_and_times() {
        let name = |start, end, version| {
            let metadata = [("timezone", "Etc/UTC"), ("start", start), ("end", end), WORKDAY[3]];
            CronTrigger::parse(&trigger(&metadata), version).expect("valid").metric_name(version)
        };
        let new = KedaVersion::V2_20;
        assert_eq!(name("0 0 * * Thu", "59 23 * * Thu", new), "cron-Etc-UTC-00xxThu-5923xxThu");
        assert_eq!(name("0 */2 * * ?", "0 1-23/2 * * *", new), "cron-Etc-UTC-0xSl2xxQm-01-23Sl2xxx");
        assert_eq!(name("0,30 * * * *", "15 * * * *", new), "cron-Etc-UTC-0Cm30xxxx-15xxxx");
        assert_eq!(name("0,30 * * * *", "15 * * * *", KedaVersion::V2_19), "cron-Etc-UTC-0,30xxxx-15xxxx");
    }

    #[test]
    fn what_keda_refuses_is_a_problem_with_its_key() {
        for (key, value) in [
            ("timezone", "Europe/Nowhere"),
            ("timezone", ""),
            ("start", "0 8 * *"),
            ("start", "@daily"),
            ("start", ""),
            ("end", "0 25 * * *"),
            ("end", "0 8 * * 1-5"),
            ("desiredReplicas", "many"),
            ("desiredReplicas", "1.5"),
            ("desiredReplicas", "0"),
            ("desiredReplicas", ""),
        ] {
            let found = with(key, value, KedaVersion::V2_20).expect_err("refused");
            assert!(
                found.len() == 1 && found[0].starts_with(&format!("metadata.{key}:")),
                "{key}={value}: {found:?}"
            );
        }
        assert!(with("desiredReplicas", "0", KedaVersion::V2_15).is_ok());
        let mut extra = trigger(&WORKDAY);
        extra.metadata.insert("endtime".to_owned(), "x".to_owned());
        assert!(CronTrigger::parse(&extra, KedaVersion::V2_20).is_err());
    }

    #[test]
    fn one_replica_is_the_target() {
        let mut trigger = trigger(&WORKDAY);
        let target =
            |trigger: &Trigger| CronTrigger::parse(trigger, KedaVersion::V2_20).map(|cron| cron.target());
        assert_eq!(target(&trigger), Ok(MetricTarget::AverageValue(MilliValue(1000))));
        trigger.metric_type = Some(MetricType::Value);
        assert_eq!(target(&trigger), Ok(MetricTarget::Value(MilliValue(1000))));
        trigger.metric_type = Some(MetricType::Utilization);
        assert!(target(&trigger).is_err());
    }
}
