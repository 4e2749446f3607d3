//! Files that users write, turned into checked types.
