//! The answer to a query: as `promtool query` prints it, and as Prometheus' HTTP API gives it.

use crate::monitoring::labels::{Labels, METRIC_NAME};
use crate::monitoring::promql::Value;
use crate::units::UnixMillis;
use serde_json::json;
use std::cmp::Ordering;

/// `value` of an evaluation at `at` as `promtool query` prints it: a line a series, `{pod="a"} => 3 @[1767600750]`, and in a
/// matrix a line a sample below its series. Empty where there is no series.
///
/// Source: `String` of the types in prometheus/common model/value.go and model/metric.go.
pub fn query_text(value: &Value, at: UnixMillis) -> String {
    let sample = |value: f64, at: UnixMillis| format!("{} @[{}]\n", decimal(value), at.0 as f64 / 1000.0);
    match value {
        Value::Scalar(value) => format!("scalar: {}", sample(*value, at)),
        Value::String(text) => format!("{text}\n"),
        Value::Vector(elements) => elements
            .iter()
            .map(|(labels, value)| format!("{} => {}", metric(labels), sample(*value, at)))
            .collect(),
        Value::Matrix(series) => {
            let mut series: Vec<_> = series.iter().collect();
            series.sort_by(|a, b| order(&a.0, &b.0));
            let lines = |(labels, points): &(Labels, Vec<(UnixMillis, f64)>)| -> String {
                let points: String = points.iter().map(|(at, value)| sample(*value, *at)).collect();
                format!("{} =>\n{points}", metric(labels))
            };
            series.into_iter().map(lines).collect()
        }
    }
}

/// `value` of an evaluation at `at` as the `data` of Prometheus' HTTP API: one object in one line.
///
/// Source: web/api/v1/json_codec.go and util/jsonutil/marshal.go.
pub fn query_json(value: &Value, at: UnixMillis) -> String {
    let sample = |value: f64, at: UnixMillis| json!([seconds(at), api_number(value)]);
    let result = match value {
        Value::Scalar(value) => sample(*value, at),
        Value::String(text) => json!([seconds(at), text]),
        Value::Vector(elements) => elements
            .iter()
            .map(|(labels, value)| json!({ "metric": labels, "value": sample(*value, at) }))
            .collect(),
        Value::Matrix(series) => {
            let mut series: Vec<_> = series.iter().collect();
            series.sort_by(|a, b| a.0.cmp(&b.0));
            let all = series.into_iter().map(|(labels, points)| {
                let points = points.iter().map(|(at, value)| sample(*value, *at));
                json!({ "metric": labels, "values": points.collect::<Vec<_>>() })
            });
            all.collect()
        }
    };
    json!({ "resultType": value.result_type(), "result": result }).to_string()
}

/// `name{label="value", …}`, `name` alone without labels, `{}` without either.
fn metric(labels: &Labels) -> String {
    let name = labels.get(METRIC_NAME);
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(label, _)| *label != METRIC_NAME)
        .map(|(label, value)| format!("{label}={value:?}"))
        .collect();
    match (name, pairs.as_slice()) {
        ("", []) => "{}".to_owned(),
        (name, []) => name.to_owned(),
        (name, pairs) => format!("{name}{{{}}}", pairs.join(", ")),
    }
}

/// Fewer labels first, then by value; where one has a label that the other lacks, it comes later (`LabelSet.Before` in
/// prometheus/common model/labelset.go).
fn order(a: &Labels, b: &Labels) -> Ordering {
    let pairs = a.iter().zip(b.iter()).map(|(a, b)| b.0.cmp(a.0).then_with(|| a.1.cmp(b.1)));
    a.len().cmp(&b.len()).then_with(|| pairs.fold(Ordering::Equal, Ordering::then))
}

/// Go's `strconv.FormatFloat(value, 'f', -1, 64)`.
fn decimal(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

/// A number as the API writes it: with an exponent where it is very small or very large.
fn api_number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 || (1e-6..1e21).contains(&size) {
        return decimal(value);
    }
    // Go writes a sign and two digits at least: 1e-07.
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// Seconds since 1970 as a JSON number with at most three decimals.
fn seconds(at: UnixMillis) -> serde_json::Value {
    if at.0 % 1000 == 0 { json!(at.0 / 1000) } else { json!(at.0 as f64 / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: UnixMillis = UnixMillis(1_767_600_750_010);

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::new(pairs.iter().copied())
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, text, api) in [
            (3.0, "3", "3"),
            (-0.0, "-0", "-0"),
            (0.1, "0.1", "0.1"),
            (1e-6, "0.000001", "0.000001"),
            (2.5e-7, "0.00000025", "2.5e-07"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (-1e21, "-1000000000000000000000", "-1e+21"),
            (1e-300, &format!("0.{}1", "0".repeat(299)), "1e-300"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "+Inf", "+Inf"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!((decimal(value).as_str(), api_number(value).as_str()), (text, api));
        }
    }

    #[test]
    fn a_vector_is_a_line_a_series() {
        let vector = Value::Vector(vec![
            (labels(&[(METRIC_NAME, "up"), ("pod", "a"), ("job", "x\"y")]), 1.0),
            (labels(&[(METRIC_NAME, "up")]), 0.0),
            (labels(&[]), f64::NAN),
        ]);
        insta::assert_snapshot!(query_text(&vector, AT), @r#"
        up{job="x\"y", pod="a"} => 1 @[1767600750.01]
        up => 0 @[1767600750.01]
        {} => NaN @[1767600750.01]
        "#);
        insta::assert_snapshot!(query_json(&vector, AT), @r#"{"resultType":"vector","result":[{"metric":{"__name__":"up","job":"x\"y","pod":"a"},"value":[1767600750.01,"1"]},{"metric":{"__name__":"up"},"value":[1767600750.01,"0"]},{"metric":{},"value":[1767600750.01,"NaN"]}]}"#);
        assert_eq!(query_text(&Value::Vector(Vec::new()), AT), "");
        assert_eq!(query_json(&Value::Vector(Vec::new()), AT), r#"{"resultType":"vector","result":[]}"#);
    }

    #[test]
    fn numbers_and_texts_have_no_labels() {
        let at = UnixMillis(1_767_600_750_000);
        assert_eq!(query_text(&Value::Scalar(2.5), at), "scalar: 2.5 @[1767600750]\n");
        assert_eq!(
            query_json(&Value::Scalar(2.5), at),
            r#"{"resultType":"scalar","result":[1767600750,"2.5"]}"#
        );
        assert_eq!(query_text(&Value::String("hi".to_owned()), at), "hi\n");
        assert_eq!(
            query_json(&Value::String("hi".to_owned()), at),
            r#"{"resultType":"string","result":[1767600750,"hi"]}"#
        );
    }

    #[test]
    fn a_matrix_is_a_line_a_sample_below_its_series_in_order() {
        let points = |value| vec![(UnixMillis(1_000), value), (UnixMillis(2_500), value + 1.0)];
        let matrix = Value::Matrix(vec![
            (labels(&[("pod", "b"), ("x", "1")]), points(1.0)),
            (labels(&[("pod", "b")]), points(2.0)),
            (labels(&[("pod", "a")]), points(3.0)),
            (labels(&[("job", "z")]), points(4.0)),
        ]);
        insta::assert_snapshot!(query_text(&matrix, AT), @r#"
        {pod="a"} =>
        3 @[1]
        4 @[2.5]
        {pod="b"} =>
        2 @[1]
        3 @[2.5]
        {job="z"} =>
        4 @[1]
        5 @[2.5]
        {pod="b", x="1"} =>
        1 @[1]
        2 @[2.5]
        "#);
        let json = query_json(&matrix, AT);
        let first =
            r#"{"resultType":"matrix","result":[{"metric":{"job":"z"},"values":[[1,"4"],[2.5,"5"]]},"#;
        assert!(json.starts_with(first), "{json}");
    }
}
