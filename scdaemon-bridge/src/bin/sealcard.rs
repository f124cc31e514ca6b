//! The person's command.

fn main() {}
