//! The lines of the log as JSON.

use crate::monitoring::labels::Labels;
use crate::monitoring::series::{ABSENT, STALE, is_absent, is_stale};
use crate::units::DecimalSeconds;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;

/// The format that is written, and the only one that is read.
pub(super) const FORMAT: u32 = 1;

/// One line: an object with one key, which says what the line is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Run(Run),
    Page(Page),
    Target(Target),
    Samples(Samples),
    Lost(Lost),
    End(End),
}

/// The first line: what queries depend on beside the samples.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    pub(super) format: u32,
    /// The wall clock at t = 0, milliseconds since 1970.
    pub(super) start_ms: i64,
    pub(super) prometheus: String,
    pub(super) evaluation_interval_s: Number,
    /// Prometheus' `--enable-feature`, as far as it concerns queries.
    pub(super) enable_features: Vec<String>,
    pub(super) metrics_version: String,
}

/// What targets of one kind expose.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) id: u32,
    pub(super) series: Arc<[Labels]>,
}

/// A target, before its samples.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    pub(super) id: u32,
    pub(super) page: u32,
    pub(super) labels: Labels,
}

/// Samples that were taken at one time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Samples {
    pub(super) t_s: Number,
    pub(super) visible_from_s: Number,
    pub(super) values: Rows,
}

/// The last line: without it the file is not whole.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) t_s: Number,
}

/// Prometheus ended: of the lines before, samples that are seen later than this are gone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lost {
    pub(super) t_s: Number,
}

/// A JSON number of seconds, read and written exactly: a float has too few digits for picoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) DecimalSeconds);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let seconds = DecimalSeconds::parse(raw);
        seconds.map(Number).ok_or_else(|| D::Error::custom("this is not a number of seconds, such as 12.5"))
    }
}

/// Rows of values by target, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Rows(pub(super) Vec<(u32, Values)>);

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(target, values)| (target, values)))
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowsVisitor)
    }
}

struct RowsVisitor;

impl<'de> Visitor<'de> for RowsVisitor {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arrays of sample values by target")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
        let mut rows = Vec::new();
        while let Some(row) = map.next_entry()? {
            rows.push(row);
        }
        Ok(Rows(rows))
    }
}

/// Sample values: numbers, and words for what JSON has no number for.
#[derive(Debug)]
pub(super) struct Values(pub(super) Box<[f64]>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Below it, every whole number is a float.
        const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for &value in &self.0 {
            let is_whole =
                value == value.trunc() && value.abs() < WHOLE_MAX && value.to_bits() != (-0.0_f64).to_bits();
            match value {
                _ if is_absent(value) => seq.serialize_element(&())?,
                _ if is_stale(value) => seq.serialize_element("stale")?,
                _ if value.is_nan() => seq.serialize_element("NaN")?,
                f64::INFINITY => seq.serialize_element("+Inf")?,
                f64::NEG_INFINITY => seq.serialize_element("-Inf")?,
                _ if is_whole => seq.serialize_element(&(value as i64))?,
                _ => seq.serialize_element(&value)?,
            }
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ValuesVisitor)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of sample values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
        let mut values = Vec::with_capacity(512);
        while let Some(OneValue(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Values(values.into()))
    }
}

struct OneValue(f64);

impl<'de> Deserialize<'de> for OneValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneValueVisitor)
    }
}

struct OneValueVisitor;

impl Visitor<'_> for OneValueVisitor {
    type Value = OneValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, null, \"stale\", \"NaN\", \"+Inf\" or \"-Inf\"")
    }
    fn visit_unit<E: Error>(self) -> Result<OneValue, E> {
        Ok(OneValue(ABSENT))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<OneValue, E> {
        Ok(OneValue(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<OneValue, E> {
        Ok(OneValue(value as f64))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<OneValue, E> {
        Ok(OneValue(value as f64))
    }
    fn visit_str<E: Error>(self, word: &str) -> Result<OneValue, E> {
        Ok(OneValue(match word {
            "stale" => STALE,
            "NaN" => f64::NAN,
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            _ => return Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(values: &[f64]) -> Vec<u64> {
        let text = serde_json::to_string(&Values(values.into())).expect("it is written");
        let back: Values = serde_json::from_str(&text).expect(&text);
        back.0.iter().map(|value| value.to_bits()).collect()
    }

    #[test]
    fn values_are_written_in_few_characters() {
        let values = [3.0, -0.0, 0.1, 1e300, 2e15, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, STALE, ABSENT];
        let text = serde_json::to_string(&Values(values.into())).expect("it is written");
        assert_eq!(text, r#"[3,-0.0,0.1,1e+300,2000000000000000,"NaN","+Inf","-Inf","stale",null]"#);
        assert_eq!(round_trip(&values), values.map(f64::to_bits));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(bits in any::<u64>(), whole in any::<i64>()) {
            let (any, whole) = (f64::from_bits(bits), whole as f64);
            prop_assume!(!any.is_nan());
            prop_assert_eq!(round_trip(&[any, whole]), [any.to_bits(), whole.to_bits()]);
        }
    }
}
