//! Prometheus' answer to an instant query, as far as an autoscaler reads it that wants a value a pod.

/// What Prometheus answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A vector.
    Vector(Vec<Element>),
    /// A scalar.
    Scalar(f64),
    /// A range or a string.
    Other,
    /// A refused query or an unreachable server.
    Error(String),
}

/// One element of a vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    /// Its label `pod`; empty where it has none.
    pub pod: String,
    /// Its value.
    pub value: f64,
}

#[cfg(test)]
impl Answer {
    /// A vector of pods and values.
    pub(super) fn vector(elements: &[(&str, f64)]) -> Self {
        let element = |&(pod, value): &(&str, f64)| Element { pod: pod.to_owned(), value };
        Answer::Vector(elements.iter().map(element).collect())
    }
}
