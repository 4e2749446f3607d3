//! A ScaledObject as a Kubernetes object, and its YAML.

use super::names::{check_annotation_key, check_label, check_subdomain};
use crate::autoscaling::keda::ScaledObjectSpec;
use crate::problem::Problem;
use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;
use serde_saphyr::{DoubleQuoted, LitStr, SingleQuoted};

/// `apiVersion` of a ScaledObject.
pub const API_VERSION: &str = "keda.sh/v1alpha1";
/// `kind` of a ScaledObject.
pub const KIND: &str = "ScaledObject";
/// The annotation that carries a policy's name.
pub const ANNOTATION_NAME: &str = "dryscale.dev/name";
/// The annotation that carries a policy's summary.
pub const ANNOTATION_SUMMARY: &str = "dryscale.dev/summary";

/// What a ScaledObject says beside its scaling rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `None`: the one that `kubectl` is set to.
    pub namespace: Option<String>,
    /// `metadata.annotations`, in their order.
    pub annotations: IndexMap<String, String>,
    /// `spec.scaleTargetRef`.
    pub target: ScaleTargetRef,
    /// The rest of `spec`.
    pub spec: ScaledObjectSpec,
}

/// `spec.scaleTargetRef`, as far as it names a Deployment, the only kind that is simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleTargetRef {
    /// `name` of the Deployment.
    pub name: String,
}

impl Manifest {
    /// Checks what the API server checks of the object's own names.
    ///
    /// # Errors
    /// A problem with `metadata.name`, `metadata.namespace`, an annotation or `spec.scaleTargetRef.name`.
    pub fn check_names(&self) -> Result<(), Problem> {
        check_subdomain("metadata.name", &self.name)?;
        if let Some(namespace) = &self.namespace {
            check_label("metadata.namespace", namespace)?;
        }
        for key in self.annotations.keys() {
            check_annotation_key("annotations", key)?;
        }
        check_subdomain("spec.scaleTargetRef.name", &self.target.name)
    }
}

/// The YAML of `manifest`, as people write it: `scaleTargetRef`, bounds, settings, then triggers. Each line of
/// `comments` becomes a comment at the top.
///
/// Every text that a YAML 1.1 reader such as `kubectl` could take for a number, a boolean, null or a date is quoted, and
/// so is every value of a trigger's metadata and every annotation, which Kubernetes requires to be texts.
///
/// # Errors
/// A name that Kubernetes would not accept.
pub fn to_yaml(manifest: &Manifest, comments: &[String]) -> Result<String, Problem> {
    manifest.check_names()?;
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(&Object(manifest), options)
        .map_err(|error| Problem::whole(format!("the ScaledObject cannot be written: {error}")))?;
    let mut text: String = comments.iter().flat_map(|comment| comment_lines(comment)).collect();
    text.push_str(&yaml);
    Ok(text)
}

/// `comment` as lines of comment: whatever YAML takes for a line break or refuses to read ends up inside the comment.
fn comment_lines(comment: &str) -> Vec<String> {
    let lines = comment.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).map(|line| {
        let line: String =
            line.chars().map(|c| if c.is_control() || c == '\u{feff}' { ' ' } else { c }).collect();
        format!("# {line}").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// The whole object, key by key.
struct Object<'a>(&'a Manifest);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let manifest = self.0;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("apiVersion", API_VERSION)?;
        object.serialize_entry("kind", KIND)?;
        object.serialize_entry("metadata", &Metadata(manifest))?;
        object.serialize_entry("spec", &Spec(manifest))?;
        object.end()
    }
}

struct Metadata<'a>(&'a Manifest);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut metadata = serializer.serialize_map(None)?;
        metadata.serialize_entry("name", &self.0.name)?;
        if let Some(namespace) = &self.0.namespace {
            metadata.serialize_entry("namespace", namespace)?;
        }
        if !self.0.annotations.is_empty() {
            metadata.serialize_entry("annotations", &Texts(&self.0.annotations))?;
        }
        metadata.end()
    }
}

struct Spec<'a>(&'a Manifest);

impl Serialize for Spec<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = serde_json::to_value(&self.0.spec).map_err(serde::ser::Error::custom)?;
        let target =
            serde_json::json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": self.0.target.name });
        let mut spec = serializer.serialize_map(None)?;
        spec.serialize_entry("scaleTargetRef", &Camel(&target))?;
        if let Value::Object(fields) = &value {
            for (key, field) in fields {
                spec.serialize_entry(&camel_case(key), &Camel(field))?;
            }
        }
        spec.end()
    }
}

/// A value whose keys are ours, written with Kubernetes' keys. Below `metadata` keys are verbatim already.
struct Camel<'a>(&'a Value);

impl Serialize for Camel<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, field) in fields {
                    match field {
                        Value::Object(metadata) if key == "metadata" => {
                            let texts = metadata.iter().map(|(key, text)| {
                                (key.clone(), text.as_str().unwrap_or_default().to_owned())
                            });
                            map.serialize_entry(key, &Texts(&texts.collect()))?;
                        }
                        _ => map.serialize_entry(&camel_case(key), &Camel(field))?,
                    }
                }
                map.end()
            }
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&Camel(item))?;
                }
                seq.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

/// Keys with texts, each text quoted, or a block where it has line breaks.
pub(super) struct Texts<'a>(pub(super) &'a IndexMap<String, String>);

impl Serialize for Texts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, text) in self.0 {
            Texts::entry(&mut map, key, text)?;
        }
        map.end()
    }
}

impl Texts<'_> {
    /// Writes one key with its text.
    pub(super) fn entry<M: SerializeMap>(map: &mut M, key: &str, text: &str) -> Result<(), M::Error> {
        if is_block(text) {
            map.serialize_entry(key, &LitStr(text))
        } else if text.chars().all(|c| (' '..='~').contains(&c) || c.is_alphanumeric()) {
            map.serialize_entry(key, &SingleQuoted(text))
        } else {
            // Only double quotes have escapes.
            map.serialize_entry(key, &DoubleQuoted(text))
        }
    }
}

/// Whether a text reads best, and survives, as a block (`|`): printable lines that begin and end with no blank.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let plain = |line: &str| {
        !line.is_empty()
            && !line.starts_with([' ', '\t'])
            && !line.ends_with([' ', '\t'])
            && line.chars().all(|c| c == '\t' || (' '..='~').contains(&c))
    };
    body.contains('\n') && body.split('\n').all(plain)
}

/// `min_replica_count` to `minReplicaCount`.
fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscaling::hpa::{Behavior, PolicyKind, ScalingPolicy, ScalingRules, SelectPolicy};
    use crate::autoscaling::keda::{
        Advanced, AuthenticationRef, Fallback, FallbackBehavior, HorizontalPodAutoscalerConfig, MetricType,
        Trigger,
    };

    fn manifest() -> Manifest {
        let texts =
            |texts: &[(&str, &str)]| texts.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Manifest {
            name: "llama".to_owned(),
            namespace: Some("on".to_owned()),
            annotations: texts(&[(ANNOTATION_NAME, "queue"), (ANNOTATION_SUMMARY, "Two: it's # enough.")]),
            target: ScaleTargetRef { name: "llama-predictor".to_owned() },
            spec: ScaledObjectSpec {
                polling_interval: Some(5),
                min_replica_count: Some(1),
                max_replica_count: Some(5),
                fallback: Some(Fallback {
                    failure_threshold: 3,
                    replicas: 2,
                    behavior: Some(FallbackBehavior::CurrentReplicasIfHigher),
                }),
                advanced: Some(Advanced {
                    horizontal_pod_autoscaler_config: Some(HorizontalPodAutoscalerConfig {
                        name: None,
                        behavior: Some(Behavior {
                            scale_up: None,
                            scale_down: Some(ScalingRules {
                                stabilization_window_seconds: Some(600),
                                select_policy: Some(SelectPolicy::Min),
                                policies: Some(vec![ScalingPolicy {
                                    kind: PolicyKind::Pods,
                                    value: 1,
                                    period_seconds: 120,
                                }]),
                                tolerance: Some("50m".to_owned()),
                            }),
                        }),
                    }),
                    ..Advanced::default()
                }),
                triggers: vec![Trigger {
                    kind: "prometheus".to_owned(),
                    metric_type: Some(MetricType::Value),
                    metadata: texts(&[
                        ("serverAddress", "http://prometheus:9090"),
                        ("query", "sum(a{pod=~\"x.*\"})\n+ sum(b)"),
                        ("threshold", "2"),
                        ("ignoreNullValues", "false"),
                    ]),
                    authentication_ref: Some(AuthenticationRef { name: "auth".to_owned(), kind: None }),
                    ..Trigger::default()
                }],
                ..ScaledObjectSpec::default()
            },
        }
    }

    #[test]
    fn a_manifest_reads_as_people_write_it() {
        let comments = ["Simulated over 2 h.\nkind: Evil\r\u{2028}x: \u{7}y".to_owned(), String::new()];
        insta::assert_snapshot!(to_yaml(&manifest(), &comments).unwrap(), @r##"
        # Simulated over 2 h.
        # kind: Evil
        #
        # x:  y
        #
        apiVersion: keda.sh/v1alpha1
        kind: ScaledObject
        metadata:
          name: llama
          namespace: "on"
          annotations:
            dryscale.dev/name: 'queue'
            dryscale.dev/summary: 'Two: it''s # enough.'
        spec:
          scaleTargetRef:
            apiVersion: apps/v1
            kind: Deployment
            name: llama-predictor
          pollingInterval: 5
          minReplicaCount: 1
          maxReplicaCount: 5
          fallback:
            failureThreshold: 3
            replicas: 2
            behavior: currentReplicasIfHigher
          advanced:
            horizontalPodAutoscalerConfig:
              behavior:
                scaleDown:
                  stabilizationWindowSeconds: 600
                  selectPolicy: Min
                  policies:
                  - type: Pods
                    value: 1
                    periodSeconds: 120
                  tolerance: 50m
          triggers:
          - type: prometheus
            metricType: Value
            metadata:
              serverAddress: 'http://prometheus:9090'
              query: |-
                sum(a{pod=~"x.*"})
                + sum(b)
              threshold: '2'
              ignoreNullValues: 'false'
            authenticationRef:
              name: auth
        "##);
    }

    #[test]
    fn names_that_kubernetes_refuses_are_not_written() {
        for (name, namespace, target) in
            [("a\nb", "n", "t"), ("a", "N", "t"), ("a", "n", "t: x"), ("", "n", "t")]
        {
            let manifest = Manifest {
                name: name.to_owned(),
                namespace: Some(namespace.to_owned()),
                target: ScaleTargetRef { name: target.to_owned() },
                ..manifest()
            };
            assert!(to_yaml(&manifest, &[]).is_err(), "{name:?} {namespace:?} {target:?}");
        }
    }
}
