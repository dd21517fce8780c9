"""Load, benches, and the audit after a run."""
