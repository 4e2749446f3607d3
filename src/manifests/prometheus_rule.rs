//! Recording rules as the Prometheus Operator's PrometheusRule, and its YAML.

use super::scaled_object::Texts;
use crate::monitoring::rules::{RuleGroupSpec, RuleSpec};
use crate::problem::Problem;
use crate::units::SimDuration;
use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// `apiVersion` of a PrometheusRule.
pub const RULE_API_VERSION: &str = "monitoring.coreos.com/v1";
/// `kind` of a PrometheusRule.
pub const RULE_KIND: &str = "PrometheusRule";

/// The YAML of a PrometheusRule called `name` with these groups, as one document of a file.
///
/// # Errors
/// Only what the YAML writer cannot write.
pub fn rules_to_yaml(
    name: &str,
    namespace: Option<&str>,
    groups: &[RuleGroupSpec],
) -> Result<String, Problem> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&Object { name, namespace, groups }, options)
        .map_err(|error| Problem::whole(format!("the PrometheusRule cannot be written: {error}")))
}

struct Object<'a> {
    name: &'a str,
    namespace: Option<&'a str>,
    groups: &'a [RuleGroupSpec],
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut metadata = IndexMap::from([("name", self.name)]);
        metadata.extend(self.namespace.map(|namespace| ("namespace", namespace)));
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("apiVersion", RULE_API_VERSION)?;
        object.serialize_entry("kind", RULE_KIND)?;
        object.serialize_entry("metadata", &metadata)?;
        let groups: Vec<Group<'_>> = self.groups.iter().map(Group).collect();
        object.serialize_entry("spec", &IndexMap::from([("groups", groups)]))?;
        object.end()
    }
}

struct Group<'a>(&'a RuleGroupSpec);

impl Serialize for Group<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let group = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &group.name)?;
        if let Some(interval) = group.interval {
            map.serialize_entry("interval", &duration(interval.duration()))?;
        }
        if !group.query_offset.duration().is_zero() {
            map.serialize_entry("query_offset", &duration(group.query_offset.duration()))?;
        }
        if group.limit > 0 {
            map.serialize_entry("limit", &group.limit)?;
        }
        if !group.labels.is_empty() {
            map.serialize_entry("labels", &Texts(&group.labels))?;
        }
        let rules: Vec<Rule<'_>> = group.rules.iter().map(Rule).collect();
        map.serialize_entry("rules", &rules)?;
        map.end()
    }
}

struct Rule<'a>(&'a RuleSpec);

impl Serialize for Rule<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = [("record", &self.0.record), ("expr", &self.0.expr)];
        let mut map = serializer.serialize_map(None)?;
        for (key, text) in texts {
            Texts::entry(&mut map, key, text)?;
        }
        if !self.0.labels.is_empty() {
            map.serialize_entry("labels", &Texts(&self.0.labels))?;
        }
        map.end()
    }
}

/// As Prometheus reads durations: whole seconds, or milliseconds, below which it knows none.
fn duration(duration: SimDuration) -> String {
    match duration.as_millis() {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_file_is_written_as_people_write_it() {
        let text = r#"
            name = "epp"
            interval = "1m 30s"
            query_offset = 0.5
            rules = [{ record = "a:b", expr = "max(x{y=\"z\"}) or vector(0)", labels = { slo = "1" } }]
        "#;
        let group: RuleGroupSpec = toml::from_str(text).expect("a group");
        let yaml = rules_to_yaml("llama", Some("llm"), &[group]).expect("it is written");
        insta::assert_snapshot!(yaml, @r#"
        apiVersion: monitoring.coreos.com/v1
        kind: PrometheusRule
        metadata:
          name: llama
          namespace: llm
        spec:
          groups:
          - name: epp
            interval: 90s
            query_offset: 500ms
            rules:
            - record: 'a:b'
              expr: 'max(x{y="z"}) or vector(0)'
              labels:
                slo: '1'
        "#);
    }
}
