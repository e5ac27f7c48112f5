//! Makes a new file in `migrations/` rebuild the crate that embeds them.
#![allow(clippy::print_stdout, reason = "a build script talks to cargo on standard output")]

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
