//! Remembers: segments, projections, spools. The only crate that makes things durable.
