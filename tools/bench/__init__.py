"""Load tests of the whole pipeline on one machine, and of its peers beside it; see BENCHMARKS.md."""
