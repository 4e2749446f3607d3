//! PromQL by example: text scripts in the style of Prometheus' own (`promql/promqltest`).
//!
//! ```text
//!   load 15s                      series from t = 0, one sample each 15 s
//!     up{pod="a"} 1 1 _ stale     `_` is no sample, `stale` a staleness marker
//!     x 0+2x4                     0 2 4 6 8
//!     y 7x2                       7 7 7
//!   eval instant at 45s sum(x)    the answer, in any order; `eval_ordered` minds the order
//!     {} 6
//!   eval_fail instant at 45s x * y    must fail, when it is compiled or when it is evaluated
//!   clear                         forgets the series
//!   release 2.53                  the semantics from here on
//! ```

use dryscale::monitoring::labels::{Labels, METRIC_NAME};
use dryscale::monitoring::promql::{Query, QueryOptions, Release, Value};
use dryscale::monitoring::series::{ABSENT, Database, Retention, STALE};
use dryscale::units::{SimTime, UnixMillis};
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
    let mut release = Release::default();
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
            "release" => release = Release::named(argument).expect(&at),
            "load" => inside.iter().for_each(|(_, series)| load(&mut db, millis(argument), series.trim())),
            "eval" | "eval_ordered" | "eval_fail" => {
                evaluations += 1;
                let (time, query) =
                    argument.strip_prefix("instant at ").and_then(|a| a.split_once(' ')).expect(&at);
                let options = QueryOptions { release, ..QueryOptions::default() };
                let answer = Query::compile(query, options).map_err(|problem| problem.to_string()).and_then(
                    |mut query| {
                        let answer = query.evaluate(&db, UnixMillis(millis(time)), SimTime::NEVER);
                        answer.map_err(|error| error.to_string())
                    },
                );
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

fn compare(at: &str, answer: Value, want: &[(usize, &str)], ordered: bool) {
    let mut got = match answer {
        Value::Scalar(value) => vec![(Labels::default(), value)],
        Value::Vector(elements) => elements,
        other => panic!("{at}: a {} cannot be compared here", other.result_type()),
    };
    let mut want: Vec<(Labels, f64)> = want
        .iter()
        .map(|(_, line)| {
            let (labels, value) = line.trim().rsplit_once(' ').unwrap_or(("{}", line.trim()));
            (series(labels), value.parse().expect(at))
        })
        .collect();
    if !ordered {
        got.sort_by(|a, b| a.0.cmp(&b.0));
        want.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let close =
        |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    let same = got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| g.0 == w.0 && close(g.1, w.1));
    assert!(same, "{at}: {got:?}, must be {want:?}");
}

fn load(db: &mut Database, step: i64, line: &str) {
    let end = line.find('}').map_or_else(|| line.find(' ').unwrap_or(line.len()), |brace| brace + 1);
    let (name, values) = line.split_at(end);
    let id = db.open(Labels::default(), [series(name)].into());
    for (i, value) in values.split_whitespace().flat_map(expanded).enumerate() {
        if value.to_bits() != ABSENT.to_bits() {
            db.append(id, UnixMillis(i as i64 * step), SimTime::ZERO, &[value]);
        }
    }
}

/// `name{label="value", …}`.
fn series(text: &str) -> Labels {
    let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
    let pairs = rest.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| {
        let (label, value) = pair.split_once('=').expect("a label");
        (label.trim(), value.trim_matches('"'))
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
