//! `[sweep]`: the keys of an experiment that are varied, and their values. `[tune]` of a policy is written alike.

use super::document::{Node, Table, Value};
use super::input_error::InputError;
use super::source_text::Origin;
use super::toml_text;
use crate::nearest::suggestion;
use crate::problem::Problem;

/// The most values of one range; a list may be as long as the file.
const STEPS_MAX: i64 = 10_000;

/// Grids of worlds. Each grid is all combinations of its axes' values, and the sweep is all of its grids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sweep {
    /// `[sweep]` is one grid; each `[[sweep]]` is one.
    pub grids: Vec<Vec<Axis>>,
}

/// A key that is varied.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Absolute key: `policy.scaled_object.triggers.0.metadata.threshold`. `policy` alone names whole policies.
    pub key: String,
    /// What it is set to.
    pub choices: Choices,
    /// Where it was written.
    pub origin: Origin,
}

/// The values of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Choices {
    /// `[2, 4, 8]`: these, in this order.
    List(Vec<toml::Value>),
    /// `{ low = 1, high = 64, steps = 7, scale = "log" }`.
    Range(Range),
}

/// Numbers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The first.
    pub low: f64,
    /// The last, above `low`.
    pub high: f64,
    /// Whether only whole numbers are meant: `low` and `high` were written as such.
    pub whole: bool,
    /// How they are spaced.
    pub scale: Scale,
    /// How many, at least 2; a search may do without.
    pub steps: Option<u32>,
}

/// How the numbers of a range are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// By equal differences.
    #[default]
    Linear,
    /// By equal ratios; `low` is above 0.
    Log,
}

impl Sweep {
    /// Reads `[sweep]` or several `[[sweep]]`.
    ///
    /// # Errors
    /// An empty table or list, a range that is none, a grid of a range without `steps`.
    pub(super) fn read(node: &Node) -> Result<Sweep, InputError> {
        let grids = match &node.value {
            Value::Array(grids) => grids.iter().map(grid).collect::<Result<_, _>>()?,
            _ => vec![grid(node)?],
        };
        Ok(Sweep { grids })
    }
}

fn grid(node: &Node) -> Result<Vec<Axis>, InputError> {
    let axes = Axis::read_all(node)?;
    let refuse = |origin: &Origin, problem: Problem| Err(InputError::at(origin, problem));
    if axes.is_empty() {
        let problem = Problem::whole("this sweep names no key");
        let example = r#"such as "policy.scaled_object.triggers.0.metadata.threshold" = [2, 4, 8]"#;
        return refuse(&node.origin, problem.help(example));
    }
    for axis in &axes {
        if let Choices::Range(Range { steps: None, .. }) = axis.choices {
            let problem = Problem::whole(format!("the range of `{}` has no `steps`", axis.key));
            return refuse(&axis.origin, problem.help("such as `steps = 7`"));
        }
    }
    Ok(axes)
}

impl Axis {
    /// Reads a table of keys with lists or ranges. Keys may be quoted as a whole or be nested tables.
    pub(super) fn read_all(node: &Node) -> Result<Vec<Axis>, InputError> {
        let Value::Table(table) = &node.value else {
            let message =
                format!("{} stands where a table of keys and their values is expected", node.describe());
            return Err(InputError::at(&node.origin, Problem::whole(message)));
        };
        let mut axes = Vec::new();
        collect(table, "", &mut axes)?;
        Ok(axes)
    }

    /// The values of the axis; those of a range without `steps` are its ends.
    pub fn values(&self) -> Vec<toml::Value> {
        match &self.choices {
            Choices::List(values) => values.clone(),
            Choices::Range(range) => range.values(),
        }
    }
}

fn collect(table: &Table, prefix: &str, axes: &mut Vec<Axis>) -> Result<(), InputError> {
    for (segment, entry) in table {
        let key = if prefix.is_empty() { segment.clone() } else { format!("{prefix}.{segment}") };
        let refuse = |problem: Problem| Err(InputError::at(&entry.key, problem));
        let choices = match &entry.node.value {
            Value::Table(inner) if !inner.contains_key("low") && !inner.contains_key("high") => {
                collect(inner, &key, axes)?;
                continue;
            }
            Value::Table(inner) => Choices::Range(range(inner, &entry.key)?),
            Value::Array(items) if items.is_empty() => {
                return refuse(
                    Problem::whole(format!("the list of `{key}` is empty")).help("give at least one value"),
                );
            }
            Value::Array(items) => Choices::List(items.iter().map(toml_value).collect()),
            // One value alone is a list of one: it fixes the key for this grid.
            _ => Choices::List(vec![toml_value(&entry.node)]),
        };
        if toml_text::parse_key(&key).is_none() {
            return refuse(
                Problem::whole(format!("`{key}` is not a key")).help("segments are separated by dots"),
            );
        }
        axes.push(Axis { key, choices, origin: entry.key.clone() });
    }
    Ok(())
}

fn range(table: &Table, origin: &Origin) -> Result<Range, InputError> {
    const KEYS: [&str; 4] = ["low", "high", "steps", "scale"];
    if let Some((key, entry)) = table.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
        let mut problem = Problem::whole(format!("unknown key `{key}` in a range"));
        problem.help = suggestion(key, &KEYS);
        return Err(InputError::at(&entry.key, problem));
    }
    let number = |key: &str| match table.get(key).map(|entry| &entry.node) {
        None => Err(InputError::at(origin, Problem::whole(format!("a range needs `{key}`")))),
        Some(node) => match node.value {
            Value::Integer(number) => Ok((number as f64, true)),
            Value::Float(number) if number.is_finite() => Ok((number, false)),
            _ => {
                let message = format!("`{key}` of a range must be a number, and here is {}", node.describe());
                Err(InputError::at(&node.origin, Problem::whole(message)))
            }
        },
    };
    let ((low, low_whole), (high, high_whole)) = (number("low")?, number("high")?);
    let scale = match table.get("scale").map(|entry| &entry.node) {
        None => Scale::Linear,
        Some(node) => match node.as_str() {
            Some("linear") => Scale::Linear,
            Some("log") => Scale::Log,
            _ => {
                let problem = Problem::whole(format!("{} is no scale", node.describe()));
                return Err(InputError::at(&node.origin, problem.help("use \"linear\" or \"log\"")));
            }
        },
    };
    let at = |key: &str| table.get(key).map_or(origin, |entry| &entry.node.origin);
    if low >= high {
        let message = format!("`low` {low} is not below `high` {high}");
        return Err(InputError::at(at("low"), Problem::whole(message)));
    }
    if scale == Scale::Log && low <= 0.0 {
        let problem = Problem::whole(format!("a log scale cannot begin at {low}"));
        return Err(InputError::at(at("low"), problem.help("begin above 0, or use `scale = \"linear\"`")));
    }
    let steps = match table.get("steps").map(|entry| &entry.node) {
        None => None,
        Some(node) => match node.value {
            Value::Integer(steps) if (2..=STEPS_MAX).contains(&steps) => u32::try_from(steps).ok(),
            _ => {
                let message = format!("`steps` must be a whole number from 2 to {STEPS_MAX}");
                return Err(InputError::at(&node.origin, Problem::whole(message)));
            }
        },
    };
    Ok(Range { low, high, whole: low_whole && high_whole, scale, steps })
}

impl Range {
    fn values(&self) -> Vec<toml::Value> {
        let last = self.steps.unwrap_or(2) - 1;
        let mut values = Vec::new();
        for step in 0..=last {
            let value = match step {
                0 => self.low,
                _ if step == last => self.high,
                _ => self.at(f64::from(step) / f64::from(last)),
            };
            let value = if self.whole {
                toml::Value::Integer(libm::round(value) as i64)
            } else {
                toml::Value::Float(value)
            };
            // Whole numbers of a narrow range meet.
            if values.last() != Some(&value) {
                values.push(value);
            }
        }
        values
    }

    /// The number at `share` (0..1) of the way, to twelve digits: nobody means the last bits of a root.
    fn at(&self, share: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => self.low + (self.high - self.low) * share,
            Scale::Log => self.low * libm::pow(self.high / self.low, share),
        };
        format!("{value:.11e}").parse().unwrap_or(value)
    }
}

/// The node as a value of `toml`; it came from TOML.
fn toml_value(node: &Node) -> toml::Value {
    match &node.value {
        Value::Null => toml::Value::String(String::new()),
        Value::Bool(value) => toml::Value::Boolean(*value),
        Value::Integer(number) => toml::Value::Integer(*number),
        Value::Float(number) => toml::Value::Float(*number),
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(items) => toml::Value::Array(items.iter().map(toml_value).collect()),
        Value::Table(table) => toml::Value::Table(
            table.iter().map(|(key, entry)| (key.clone(), toml_value(&entry.node))).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SourceText;
    use super::*;

    fn sweep(text: &str) -> Result<Sweep, InputError> {
        let document = toml_text::parse(&SourceText::new("t.toml", text))?;
        Sweep::read(document.get("sweep").unwrap())
    }
    fn values(text: &str) -> String {
        let sweep = sweep(&format!("[sweep]\nk = {text}")).unwrap();
        sweep.grids[0][0].values().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_are_quoted_dotted_or_nested() {
        for text in [
            "[sweep]\n'policy.x.0.y' = [1, 2]\nseed = 3",
            "[sweep]\npolicy.x.0.y = [1, 2]\nseed = [3]",
            "[sweep.policy.x.0]\ny = [1, 2]\n[sweep]\nseed = 3",
        ] {
            let sweep = sweep(text).unwrap();
            let mut keys: Vec<&str> = sweep.grids[0].iter().map(|axis| axis.key.as_str()).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["policy.x.0.y", "seed"], "{text}");
        }
        let two = sweep("[[sweep]]\npolicy = 'a'\n[[sweep]]\npolicy = ['b', 'static:3']").unwrap();
        assert_eq!(two.grids.len(), 2);
        assert_eq!(two.grids[1][0].values().len(), 2);
    }

    #[test]
    fn ranges_are_spaced_by_their_scale() {
        assert_eq!(values("{ low = 1, high = 64, steps = 7, scale = 'log' }"), "1 2 4 8 16 32 64");
        assert_eq!(values("{ low = 1, high = 5, steps = 3 }"), "1 3 5");
        assert_eq!(values("{ low = 1, high = 3, steps = 9 }"), "1 2 3");
        assert_eq!(values("{ low = 0.1, high = 0.4, steps = 4 }"), "0.1 0.2 0.3 0.4");
        assert_eq!(values("{ low = 1.0, high = 8, steps = 4, scale = 'log' }"), "1.0 2.0 4.0 8.0");
    }

    #[test]
    fn what_is_no_sweep_says_why() {
        for (text, message, place) in [
            ("[sweep]", "names no key", "1:"),
            ("sweep = 3", "a table of keys", "1:9"),
            ("[sweep]\nk = []", "is empty", "2:1"),
            ("[sweep]\nk = { low = 1, high = 2 }", "has no `steps`", "2:1"),
            ("[sweep]\nk = { low = 1, high = 2, stpes = 2 }", "did you mean `steps`?", "2:26"),
            ("[sweep]\nk = { low = 2, high = 1, steps = 2 }", "is not below", "2:13"),
            ("[sweep]\nk = { low = 0, high = 1, steps = 2, scale = 'log' }", "cannot begin at 0", "2:13"),
            ("[sweep]\nk = { low = nan, high = 1, steps = 2 }", "must be a number", "2:13"),
            ("[sweep]\nk = { low = 0, high = 1, steps = 1000000 }", "from 2 to 10000", "2:34"),
            ("[sweep]\nk = { low = 0, high = 1, steps = 2, scale = 'exp' }", "is no scale", "2:45"),
            ("[sweep]\n'a b' = [1]", "is not a key", "2:1"),
        ] {
            let error = sweep(text).unwrap_err().to_string();
            assert!(
                error.contains(message) && error.contains(&format!("t.toml:{place}")),
                "{text}:\n{error}"
            );
        }
    }
}
