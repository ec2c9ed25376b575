//! Microbenchmarks; `cargo bench` runs them all. This library is empty: the measurements are in `benches/benches`.

#![forbid(unsafe_code)]
