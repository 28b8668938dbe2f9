"""The layouts of published benchmarks; each module defines a `BENCHMARK`."""
