"""One function per subcommand: paths and a config in, a summary out."""
