//! The log of all that was written to a store, as a file beside a run's results, from which the store can be had again.
//!
//! ```text
//!   {"run":{"format":1,"start_ms":1767600000000,"prometheus":"3.5","evaluation_interval_s":30,"enable_features":[],"metrics_version":"0.32"}}
//!   {"page":{"id":0,"series":[{"__name__":"up"},{"__name__":"vllm:num_requests_running","engine":"0",…},…]}}
//!   {"target":{"id":0,"page":0,"labels":{"namespace":"llm","pod":"llama-…",…}}}
//!   {"samples":{"t_s":12.345,"visible_from_s":12.365,"values":{"0":[1,3,null,"stale","NaN",…]}}}
//!   {"end":{"t_s":7200}}
//! ```
//!
//! As in Prometheus' write-ahead log (tsdb/record/record.go) there are records of series and records of samples. Each row
//! is written whole: beside the requests of a run the log is small, and every line can be understood without those
//! before it, apart from what its columns are called. Numbers have the fewest digits that read back as the same number.

mod line;
mod read;
mod write;

pub use read::{Reader, Recorded, TargetKind};
pub use write::Writer;

use super::labels::Labels;
use super::promql::QueryOptions;
use super::series::GroupId;
use super::vllm_metrics::MetricsRelease;
use crate::units::{SimTime, UnixMillis};
use std::sync::Arc;

/// One thing that was written to a store.
#[derive(Clone, Debug)]
pub enum Record {
    /// The series of a target, before any sample of them.
    Series {
        /// Their handle; handles count up in the order of these records.
        group: GroupId,
        /// The labels that the target gives to all of them.
        target: Labels,
        /// Each series' own labels.
        columns: Arc<[Labels]>,
    },
    /// A row of samples.
    Samples {
        /// Whose.
        group: GroupId,
        /// When they were taken.
        t: UnixMillis,
        /// From when on they can be seen.
        visible_from: SimTime,
        /// One value a column, [`STALE`](super::series::STALE) and [`ABSENT`](super::series::ABSENT) included.
        values: Box<[f64]>,
    },
    /// The server ended: rows that could not be seen yet are gone.
    Lost {
        /// When.
        at: SimTime,
    },
}

/// What must be known of a run to ask its samples as the run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The wall clock at t = 0.
    pub start: UnixMillis,
    /// What its queries were compiled with.
    pub options: QueryOptions,
    /// The release of vLLM whose metrics its pods had.
    pub metrics: MetricsRelease,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::Keep;
    use crate::monitoring::promql::{Features, Query, Release};
    use crate::monitoring::series::{ABSENT, Database, Retention, STALE};
    use crate::problem::{Place, Problem};
    use crate::units::SimDuration;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

    const START: UnixMillis = UnixMillis(1_767_600_000_000);

    fn header() -> Header {
        Header {
            start: START,
            options: QueryOptions {
                release: Release::V2_53,
                evaluation_interval: SimDuration::from_millis(1_500),
                features: Features { experimental_functions: true, duration_expressions: false },
            },
            metrics: MetricsRelease::default(),
        }
    }

    fn columns(names: &[&str]) -> Arc<[Labels]> {
        names.iter().map(|name| Labels::new([("__name__", *name), ("engine", "0")])).collect()
    }

    fn ms(ms: u64) -> SimTime {
        SimTime::ZERO + SimDuration::from_millis(ms)
    }

    /// The log of two pods and one other target.
    fn log() -> String {
        let mut db = Database::new(Retention::Window(SimDuration::ZERO));
        db.keep_log();
        let pods = ["a", "b"].map(|pod| db.open(Labels::new([("pod", pod)]), columns(&["up", "x", "y"])));
        let other = db.open(Labels::default(), columns(&["up"]));
        for k in 1..4_i64 {
            let (t, seen) = (UnixMillis(START.0 + k * 1_000), ms(k as u64 * 1_000 + 20));
            db.append(pods[0], t, seen, &[1.0, k as f64 / 3.0, ABSENT]);
            db.append(pods[1], t, seen, &[0.0, STALE, f64::NAN]);
            db.append(other, t, seen, &[f64::INFINITY]);
        }
        written(&db.take_log(), ms(5_000))
    }

    fn written(records: &[Record], end: SimTime) -> String {
        let mut writer = Writer::new(Vec::new(), &header());
        records.iter().for_each(|record| writer.write(record));
        String::from_utf8(writer.finish(end).expect("memory takes all")).expect("it is text")
    }

    fn read(bytes: impl Into<Vec<u8>>, keep: Keep) -> Result<Recorded, Problem> {
        Reader::open(Box::new(Cursor::new(bytes.into())))?.read(keep)
    }

    /// A target's labels, and its rows: when, and the bits of the values.
    type Stored = (Labels, Vec<(i64, Vec<u64>)>);

    fn rows(db: &Database) -> Vec<Stored> {
        let group = |(_, group): (GroupId, &crate::monitoring::series::Group)| {
            let rows = group.rows(SimTime::NEVER);
            let row = |at: usize| {
                let bits = (0..group.columns().len()).map(|column| rows.value(at, column).to_bits());
                (rows.times[at], bits.collect())
            };
            (group.target().clone(), (0..rows.times.len()).map(row).collect())
        };
        db.groups().map(group).collect()
    }

    #[test]
    fn the_file_reads_as_documented() {
        insta::assert_snapshot!(log(), @r#"
        {"run":{"format":1,"start_ms":1767600000000,"prometheus":"2.53","evaluation_interval_s":1.5,"enable_features":["promql-experimental-functions"],"metrics_version":"0.32"}}
        {"page":{"id":0,"series":[{"__name__":"up","engine":"0"},{"__name__":"x","engine":"0"},{"__name__":"y","engine":"0"}]}}
        {"target":{"id":0,"page":0,"labels":{"pod":"a"}}}
        {"target":{"id":1,"page":0,"labels":{"pod":"b"}}}
        {"page":{"id":1,"series":[{"__name__":"up","engine":"0"}]}}
        {"target":{"id":2,"page":1,"labels":{}}}
        {"samples":{"t_s":1,"visible_from_s":1.02,"values":{"0":[1,0.3333333333333333,null],"1":[0,"stale","NaN"],"2":["+Inf"]}}}
        {"samples":{"t_s":2,"visible_from_s":2.02,"values":{"0":[1,0.6666666666666666,null],"1":[0,"stale","NaN"],"2":["+Inf"]}}}
        {"samples":{"t_s":3,"visible_from_s":3.02,"values":{"0":[1,1,null],"1":[0,"stale","NaN"],"2":["+Inf"]}}}
        {"end":{"t_s":5}}
        "#);
    }

    #[test]
    fn a_log_gives_the_store_back_zipped_or_not() {
        let text = log();
        let mut zip = GzEncoder::new(Vec::new(), Compression::default());
        zip.write_all(text.as_bytes()).expect("memory takes all");
        for bytes in [text.clone().into_bytes(), zip.finish().expect("memory takes all")] {
            let reader = Reader::open(Box::new(Cursor::new(bytes))).expect("it opens");
            assert_eq!(reader.header(), &header());
            let Recorded { database, end, kinds } = reader.read(Keep::All).expect("it reads");
            assert_eq!(end, ms(5_000));
            assert_eq!(kinds.iter().map(|kind| kind.targets.len()).collect::<Vec<_>>(), [2, 1]);
            let all = rows(&database);
            assert_eq!(all.iter().map(|(labels, _)| labels.get("pod")).collect::<Vec<_>>(), ["a", "b", ""]);
            let (t, b) = &all[1].1[2];
            assert_eq!((*t, &b[..]), (START.0 + 3_000, &[0.0, STALE, f64::NAN].map(f64::to_bits)[..]));
            let seen =
                |at| database.groups().map(|(_, group)| group.rows(at).times.len()).collect::<Vec<_>>();
            assert_eq!((seen(ms(2_019)), seen(ms(2_020))), (vec![1; 3], vec![2; 3]));
        }
    }

    #[test]
    fn a_series_that_was_forgotten_and_returned_is_one_series() {
        let mut db = Database::new(Retention::Window(SimDuration::ZERO));
        db.keep_log();
        let names = columns(&["x"]);
        for (pod, k) in [("a", 1), ("b", 2), ("a", 3)] {
            let group = db.open(Labels::new([("pod", pod)]), Arc::clone(&names));
            db.append(group, UnixMillis(START.0 + k * 1_000), ms(k as u64 * 1_000), &[k as f64]);
        }
        let recorded = read(written(&db.take_log(), ms(5_000)), Keep::All).expect("it reads");
        let all = rows(&recorded.database);
        assert_eq!(all.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(recorded.kinds[0].targets.len(), 2);
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        let query = Query::compile("x", QueryOptions::default()).expect("it compiles");
        let recorded = read(log(), Keep::read_by([&query])).expect("it reads");
        let widths = recorded.database.groups().map(|(_, group)| group.columns().len());
        assert_eq!(widths.collect::<Vec<_>>(), [1, 1, 0]);
        assert_eq!(rows(&recorded.database)[0].1[2].1, [1.0_f64.to_bits()]);
        assert_eq!(recorded.kinds[0].columns.len(), 3, "what could have been wanted is known");
    }

    #[test]
    fn a_log_that_was_cut_or_edited_is_refused_at_its_line() {
        let good = log();
        let edits: &[(&str, &str, u64, &str)] = &[
            ("\"format\":1", "\"format\":2", 1, "reads format 1"),
            ("\"start_ms\":1767600000000", "\"start_ms\":-1", 1, "years 1970 to 9998"),
            ("\"prometheus\":\"2.53\"", "\"prometheus\":\"1.0\"", 1, "Prometheus \"1.0\" is not known"),
            ("\"evaluation_interval_s\":1.5", "\"evaluation_interval_s\":0", 1, "below a millisecond"),
            ("\"metrics_version\":\"0.32\"", "\"metrics_version\":\"9\"", 1, "not a release of vLLM"),
            ("{\"run\":", "{\"page\":{\"id\":0,\"series\":[]}}\n{\"run\":", 1, "does not begin"),
            ("{\"page\":{\"id\":1", "{\"page\":{\"id\":7", 5, "page 7 comes where page 1 should"),
            ("{\"target\":{\"id\":1", "{\"target\":{\"id\":0", 4, "target 0 comes where target 1 should"),
            ("\"page\":1,\"labels\"", "\"page\":2,\"labels\"", 6, "no page 2"),
            ("\"2\":[", "\"3\":[", 7, "no target 3"),
            ("\"2\":[", "\"x\":[", 7, "number in quotes"),
            ("\"2\":[", "\"0\":[1,2,3],\"2\":[", 7, "`t_s` is not after that of target 0's row"),
            ("[0,\"stale\",\"NaN\"]", "[0,\"stale\"]", 7, "2 values, but page 0 has 3"),
            ("\"stale\"", "\"gone\"", 7, "invalid value: string \"gone\""),
            ("\"t_s\":2,", "\"t_s\":1,", 8, "`t_s` is not after"),
            ("\"t_s\":2,", "\"t_s\":2.0005,", 8, "whole number of milliseconds"),
            ("\"t_s\":2,", "\"t_s\":-2,", 8, "not a number of seconds"),
            ("\"t_s\":2,", "\"t_s\":\"2\",", 8, "not a number of seconds"),
            ("\"visible_from_s\":2.02,", "\"visible_from_s\":1,", 8, "`visible_from_s` is before"),
            ("\"visible_from_s\":2.02,", "", 8, "missing field `visible_from_s`"),
            ("\"t_s\":2,", "\"t_s\":2,\"x\":1,", 8, "unknown field `x`"),
            ("{\"end\":{\"t_s\":5}}", "{\"end\":{\"t_s\":10000000}}", 10, "no run ends that late"),
            (
                "{\"end\":{\"t_s\":5}}",
                "{\"end\":{\"t_s\":5}}\n{\"end\":{\"t_s\":5}}",
                11,
                "goes on after its end",
            ),
            ("{\"end\":{\"t_s\":5}}", "{\"run\":1}", 10, "invalid type"),
            ("{\"end\"", "{\"fin\"", 10, "unknown variant `fin`"),
            ("{\"end\":{\"t_s\":5}}\n", "", 9, "cut short"),
            ("{\"end\":{\"t_s\":5}}\n", "{\"end\":{\"t_", 10, "EOF while parsing"),
        ];
        for (from, to, line, says) in edits {
            assert!(good.contains(from), "{from}");
            let problem = read(good.replacen(from, to, 1), Keep::All).expect_err(to);
            let place = matches!(problem.place, Place::Line { line: found, .. } if found == *line);
            assert!(place && problem.message.contains(says) && problem.help.is_some(), "{to}: {problem:?}");
        }
        for (bytes, says) in [
            (&b""[..], "the file is empty"),
            (b"t_s,value\n1,2\n", "expected value"),
            (b"\xff\xfe\n", "not UTF-8"),
        ] {
            let problem = read(bytes, Keep::All).expect_err(says);
            assert!(problem.message.contains(says), "{problem}");
        }
    }

    /// Rows of a target: milliseconds after the row before, picoseconds until it is seen, values.
    type Rows = Vec<(u64, u64, [u64; 3])>;

    fn some_rows() -> impl Strategy<Value = Rows> {
        let value = prop_oneof![
            Just(STALE.to_bits()),
            Just(ABSENT.to_bits()),
            Just(f64::NAN.to_bits()),
            Just(f64::INFINITY.to_bits()),
            (0_u64..1 << 60).prop_map(|count| (count as f64).to_bits()),
            any::<f64>().prop_filter("every NaN is one", |value| !value.is_nan()).prop_map(f64::to_bits),
        ];
        proptest::collection::vec(
            (1_u64..100_000_000, 0_u64..1 << 50, [value.clone(), value.clone(), value]),
            0..8,
        )
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_again(targets in proptest::collection::vec(some_rows(), 0..5)) {
            let mut db = Database::new(Retention::All);
            db.keep_log();
            let mut instants = Vec::new();
            for (number, target) in targets.iter().enumerate() {
                let id = db.open(Labels::new([("pod", number.to_string())]), columns(&["a", "b", "c"]));
                let (mut t, mut seen) = (0, SimTime::ZERO);
                for (later, delay, bits) in target {
                    t += later;
                    seen = seen.max(ms(t) + SimDuration::from_ps(*delay));
                    let taken = db.append(id, UnixMillis(START.0 + t as i64), seen, &bits.map(f64::from_bits));
                    prop_assert!(taken);
                    instants.push(seen);
                }
            }
            let text = written(&db.take_log(), ms(1));
            let back = read(text, Keep::All).expect("it reads").database;
            prop_assert_eq!(rows(&back), rows(&db));
            let counts = |db: &Database, at| db.groups().map(|(_, group)| group.rows(at).times.len()).collect::<Vec<_>>();
            for seen in instants {
                let before = SimTime::from_ps(seen.as_ps() - 1);
                prop_assert_eq!(counts(&back, seen), counts(&db, seen));
                prop_assert_eq!(counts(&back, before), counts(&db, before));
            }
        }
    }
}
