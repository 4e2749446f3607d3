//! Kubernetes YAML: the ScaledObject that a policy is applied as, and the PrometheusRule that it may need.
//!
//! Reading YAML, with the place of every value, is the `scenario` wing's; here are the object's own rules and its text.

mod names;
mod prometheus_rule;
mod scaled_object;

pub use names::{check_annotation_key, check_label, check_subdomain};
pub use prometheus_rule::{RULE_API_VERSION, RULE_KIND, rules_to_yaml};
pub use scaled_object::{
    ANNOTATION_NAME, ANNOTATION_SUMMARY, API_VERSION, KIND, Manifest, ScaleTargetRef, to_yaml,
};
