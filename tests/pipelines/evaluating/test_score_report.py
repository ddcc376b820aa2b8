"""The report of an evaluation as table, JSON and CSV."""

import csv
import io
import json
import math
from pathlib import Path

import pytest

from vcfbert.domain.metrics import Scores
from vcfbert.pipelines.evaluating.score_report import METRICS, EvalSummary


@pytest.fixture
def fx_summary():
    good = Scores(1200, 900, 0.9, 0.8, 0.85, 0.86, 0.7, 0.95, 0.9, 0.8, 0.81, 0.88)
    bad = Scores(1200, 900, 0.0, 0.0, 0.0, 0.0, 0.3, math.nan, 0.0, 0.0, 0.0, 0.5)
    facts = {
        "run": "r",
        "split": "test",
        "samples": 6,
        "sites": 2400,
        "hidden_sites": 1200,
        "masks": "rate-0.5",
        "predict_seconds": 1.5,
        "notes": ["Something to know."],
    }
    scores = {"model": {"all": good}, "most frequent allele": {"all": bad}}
    return EvalSummary(scores, facts, Path("a.json"), Path("a.csv"), None)


def test_the_table_has_a_row_a_system_and_group(fx_summary):
    headers, rows = fx_summary.table()
    assert len(headers) == len(METRICS) + 4
    assert [row[:4] for row in rows] == [
        ["all", "1,200", "900", "model"],
        ["all", "1,200", "900", "most frequent allele"],
    ]
    assert rows[0][4] == "0.9000"
    assert rows[1][headers.index("r2")] == "-"


def test_the_lines_say_what_was_scored_and_where_it_is(fx_summary):
    text = "\n".join(fx_summary.lines())
    assert "r on 6 test samples: 1,200 of 2,400 sites hidden (rate-0.5), 1.5 s." in text
    assert "Note: Something to know." in text
    assert "Written: a.csv" in text


def test_json_has_null_for_what_is_undefined(fx_summary):
    record = json.loads(fx_summary.to_json())
    assert record["samples"] == 6
    assert record["systems"]["model"]["all"]["r2"] == 0.95
    assert record["systems"]["most frequent allele"]["all"]["r2"] is None


def test_csv_has_a_row_a_system_and_group(fx_summary):
    rows = list(csv.DictReader(io.StringIO(fx_summary.to_csv())))
    assert [row["system"] for row in rows] == ["model", "most frequent allele"]
    assert rows[0]["f1"] == "0.850000"
    assert rows[1]["r2"] == ""
