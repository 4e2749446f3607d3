//! KEDA's floats as Kubernetes quantities: `hpa/quantity_milli.jsonl`.

use super::{Tally, absent, lines};
use dryscale::autoscaling::keda::KedaVersion;
use dryscale::autoscaling::quantity::Quantity;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(rename = "in")]
    _text: String,
    /// The float as the hexadecimal digits of its bits.
    bits: String,
    milli_v2_20: i64,
    quantity_v2_20: String,
    /// Absent where Go leaves the conversion to the machine.
    milli_le_v2_19: Option<i64>,
    quantity_le_v2_19: Option<String>,
}

#[test]
fn quantity_milli() {
    let Some(lines) = lines("hpa/quantity_milli.jsonl") else { return absent("quantity_milli") };
    let mut tally = Tally::new("quantity_milli");
    for line in lines {
        tally.record(check(&line));
    }
    tally.finish();
}

fn check(line: &str) -> Result<(), String> {
    let record: Record = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    let bits = u64::from_str_radix(&record.bits, 16).map_err(|error| format!("{error}: {line}"))?;
    let value = f64::from_bits(bits);
    let new = Quantity::from_float(value, KedaVersion::V2_20);
    let old = Quantity::from_float(value, KedaVersion::V2_19);
    let same = new.milli().get() == record.milli_v2_20
        && new.to_string() == record.quantity_v2_20
        && record.milli_le_v2_19.is_none_or(|milli| old.milli().get() == milli)
        && record.quantity_le_v2_19.is_none_or(|text| old.to_string() == text);
    if same { Ok(()) } else { Err(format!("2.20 gives {new:?}, 2.19 gives {old:?} for {line}")) }
}
