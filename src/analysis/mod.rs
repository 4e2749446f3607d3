//! Score, repeat, sweep.
