"""The command line of vcfbert: thin functions over `vcfbert.pipelines`."""
