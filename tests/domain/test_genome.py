import json

from vcfbert.domain.genome import UNKNOWN, Genome


def test_a_length_that_ends_before_the_last_position_is_left_out():
    genome = Genome("ref.fa", {"1": 100, "2": 100}, {"1": "b37"})
    kept = genome.of({"1": 101, "2": 100})
    assert kept == Genome("ref.fa", {"2": 100}, {"1": "b37"})


def test_facts_come_under_the_names_of_the_contigs_with_or_without_chr():
    genome = Genome(None, {"chr1": 100, "MT": 5}, {"chr1": "GRCh38"})
    assert genome.of({"1": 7}) == Genome(None, {"1": 100}, {"1": "GRCh38"})


def test_what_is_known_of_a_contig_is_never_mixed_with_another_header():
    known = Genome("b37.fa", {"1": 100}, {})
    other = Genome("b38.fa", {"1": 90, "2": 80}, {"1": "b38", "2": "b38"})
    assert known.completed(other) == Genome("b37.fa", {"1": 100, "2": 80}, {"2": "b38"})
    assert UNKNOWN.completed(other) == other


def test_the_facts_survive_json():
    genome = Genome("ref.fa", {"1": 100}, {"1": "b37"})
    assert Genome.from_json(json.loads(json.dumps(genome.as_json()))) == genome
