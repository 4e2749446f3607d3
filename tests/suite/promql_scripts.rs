//! PromQL by example: text scripts in the style of Prometheus' own (`promql/promqltest`).
//!
//! ```text
//!   load 15s                      series from t = 0, one sample each 15 s
//!     up{pod="a"} 1 1 _ stale     `_` is no sample, `stale` a staleness marker
//!     x 0+2x4                     0 2 4 6 8
//!     y 7x2                       7 7 7
//!   eval instant at 45s sum(x)    the answer, in any order; `eval_ordered` minds the order
//!     {} 6
//!   eval range from 0 to 1m step 30s x    a value at each step, `_` where there is none
//!     x 0 4 8
//!   eval_fail instant at 45s x * y    must fail, when it is compiled or when it is evaluated
//!   clear                         forgets the series
//!   release 2.53                  the semantics from here on, without experimental features
//!   enable promql-experimental-functions    one more feature of this release
//! ```

use dryscale::monitoring::labels::{Labels, METRIC_NAME};
use dryscale::monitoring::promql::{Features, Query, QueryOptions, Release, Value};
use dryscale::monitoring::series::{ABSENT, Database, Retention, STALE};
use dryscale::units::{SimDuration, SimTime, UnixMillis};
use std::path::Path;
use std::time::Duration;

#[test]
fn every_script_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/promql_scripts");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).expect("scripts").map(|f| f.expect("a file").path()).collect();
    names.sort();
    let mut evaluations = 0;
    for path in names {
        let text = std::fs::read_to_string(&path).expect("a script is text");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        evaluations += run(&name, &text);
    }
    assert!(evaluations > 50, "only {evaluations} evaluations were found");
}

/// Runs one script and says how many evaluations it has.
fn run(name: &str, text: &str) -> usize {
    let mut db = Database::new(Retention::All);
    let mut options = QueryOptions::default();
    let mut enabled: Vec<&str> = Vec::new();
    let mut evaluations = 0;
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.split(" # ").next().unwrap_or_default().trim_end()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut rest = &lines[..];
    while let [(number, line), after @ ..] = rest {
        let count = after.iter().take_while(|(_, line)| line.starts_with(' ')).count();
        let (inside, next) = after.split_at(count);
        rest = next;
        let at = format!("{name}:{number}");
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "clear" => db = Database::new(Retention::All),
            "release" => {
                enabled.clear();
                let release = Release::named(argument).expect(&at);
                options = QueryOptions { release, ..QueryOptions::default() };
            }
            "enable" => {
                enabled.push(argument);
                options.features = Features::named(enabled.iter().copied(), options.release).expect(&at);
            }
            "load" => inside.iter().for_each(|(_, series)| load(&mut db, millis(argument), series.trim())),
            "eval" | "eval_ordered" | "eval_fail" => {
                evaluations += 1;
                let answer = match argument.split_once(' ').expect(&at) {
                    ("instant", argument) => instant(&db, options, argument),
                    ("range", argument) => range(&db, options, argument),
                    _ => panic!("{at}: neither `instant` nor `range`"),
                };
                match answer {
                    Err(_) if command == "eval_fail" => {}
                    Err(why) => panic!("{at}: {why}"),
                    Ok(answer) if command == "eval_fail" => panic!("{at}: must fail, gives {answer:?}"),
                    Ok(answer) => compare(&at, answer, inside, command == "eval_ordered"),
                }
            }
            _ => panic!("{at}: there is no command `{command}`"),
        }
    }
    evaluations
}

/// A series, or an element, with its values; [`ABSENT`] where a step has none.
type Element = (Labels, Vec<f64>);

type Answer = Vec<Element>;

/// `at 45s sum(x)`.
fn instant(db: &Database, options: QueryOptions, argument: &str) -> Result<Answer, String> {
    let (time, text) = argument.strip_prefix("at ").and_then(|a| a.split_once(' ')).expect("an instant");
    let mut query = Query::compile(text, options).map_err(|problem| problem.to_string())?;
    let answer =
        query.evaluate(db, UnixMillis(millis(time)), SimTime::NEVER).map_err(|error| error.to_string())?;
    match answer {
        Value::Scalar(value) => Ok(vec![(Labels::default(), vec![value])]),
        Value::Vector(elements) => {
            Ok(elements.into_iter().map(|(labels, value)| (labels, vec![value])).collect())
        }
        other => Err(format!("a {} cannot be compared here", other.result_type())),
    }
}

/// `from 0 to 1m step 30s x`.
fn range(db: &Database, options: QueryOptions, argument: &str) -> Result<Answer, String> {
    let words: Vec<&str> = argument.splitn(7, ' ').collect();
    let ["from", start, "to", end, "step", step, text] = words[..] else { panic!("a range") };
    let (start, end, step) = (millis(start), millis(end), millis(step));
    let mut query = Query::compile(text, options).map_err(|problem| problem.to_string())?;
    let duration = SimDuration::from_millis(step.unsigned_abs());
    let series = query
        .evaluate_range(db, UnixMillis(start), UnixMillis(end), duration, &mut |_| SimTime::NEVER)
        .map_err(|error| error.to_string())?;
    let steps = || (start..=end).step_by(duration.as_millis() as usize);
    Ok(series
        .into_iter()
        .map(|(labels, points)| {
            let at = |t| points.iter().find(|point| point.0.0 == t).map_or(ABSENT, |point| point.1);
            (labels, steps().map(at).collect())
        })
        .collect())
}

fn compare(at: &str, mut got: Answer, want: &[(usize, &str)], ordered: bool) {
    let mut want: Answer = want
        .iter()
        .map(|(_, line)| {
            let (labels, values) = series_and_values(line.trim());
            (labels, values.split_whitespace().flat_map(expanded).collect())
        })
        .collect();
    if !ordered {
        got.sort_by(|a, b| a.0.cmp(&b.0));
        want.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let close = |a: &f64, b: &f64| {
        let absent = |x: &f64| x.to_bits() == ABSENT.to_bits();
        let same = a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        same && absent(a) == absent(b)
    };
    let alike = |(got, want): (&Element, &Element)| {
        got.0 == want.0 && got.1.len() == want.1.len() && got.1.iter().zip(&want.1).all(|(a, b)| close(a, b))
    };
    let same = got.len() == want.len() && got.iter().zip(&want).all(alike);
    assert!(same, "{at}: {got:?}, must be {want:?}");
}

fn load(db: &mut Database, step: i64, line: &str) {
    let (labels, values) = series_and_values(line);
    let id = db.open(Labels::default(), [labels].into());
    for (i, value) in values.split_whitespace().flat_map(expanded).enumerate() {
        if value.to_bits() != ABSENT.to_bits() {
            db.append(id, UnixMillis(i as i64 * step), SimTime::ZERO, &[value]);
        }
    }
}

/// `name{label="value", …} values`, or values alone, as a number has them.
fn series_and_values(line: &str) -> (Labels, &str) {
    let end = match line.find('}') {
        Some(brace) => brace + 1,
        None if line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains(' ') => {
            line.find(' ').unwrap_or(line.len())
        }
        None => return (Labels::default(), line),
    };
    (series(&line[..end]), &line[end..])
}

/// `name{label="value", …}`; a quoted label, `{"a.b"="c"}`, may have any name.
fn series(text: &str) -> Labels {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    let pairs = rest.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| {
        let (label, value) = pair.split_once('=').expect("a label");
        (label.trim().trim_matches('"'), value.trim_matches('"'))
    });
    Labels::new(labels.chain([(METRIC_NAME, name.trim())]))
}

/// `3`, `_`, `stale`, `1+2x3` or `7x3`.
fn expanded(text: &str) -> Vec<f64> {
    let number = |text: &str| text.parse::<f64>().expect("a number");
    match text {
        "_" => vec![ABSENT],
        "stale" => vec![STALE],
        _ => match text.split_once('x') {
            None => vec![number(text)],
            Some((line, times)) => {
                let sign = line[1..].find(['+', '-']).map_or(line.len(), |at| at + 1);
                let (start, slope) = line.split_at(sign);
                let slope = if slope.is_empty() { 0.0 } else { number(slope) };
                let times = times.parse::<u32>().expect("a count");
                (0..=times).map(|i| number(start) + slope * f64::from(i)).collect()
            }
        },
    }
}

fn millis(text: &str) -> i64 {
    let duration =
        if text == "0" { Duration::ZERO } else { humantime::parse_duration(text).expect("a duration") };
    i64::try_from(duration.as_millis()).expect("a short script")
}
