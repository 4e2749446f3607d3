//! The `dryscale` command.

fn main() {}
