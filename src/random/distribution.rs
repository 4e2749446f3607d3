//! Families of distributions and how they are sampled: the same bits on every machine.
