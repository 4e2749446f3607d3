//! What users read: terminal, JSON, CSV.
