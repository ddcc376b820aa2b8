"""The command line of vcfbert: thin functions that call `vcfbert.pipelines`."""
