"""What the benchmarks of imputation share: tasks, tools, whole processes, scores, tables."""
