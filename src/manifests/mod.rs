//! Kubernetes YAML, read and written.
