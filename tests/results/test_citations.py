"""The paragraph and the BibTeX of a paper name what its numbers rest on, and nothing else."""

import re

from slotbench.results.citations import _ARXIV, to_bibtex, to_markdown, works
from slotbench.results.export import results
from slotbench.results.leaderboard import leaderboard
from tests.results.results import ALL, add_run, make_status, write

SIMCLR, BYOL, SLOT_ATTENTION = "2002.05709", "2006.07733", "2006.15055"


def fill(folder):
    for seed in range(3):
        run = add_run(folder, ALL, seed=seed)
        environment = {"git": {"commit": "d" * 40, "clean": seed > 0}}
        write(run / "environment.json", environment)
    add_run(folder, ALL, seed=5, objective="simclr", alignment="pool")
    add_run(folder, seed=6, objective="byol", status=make_status("failed", reason="x"))


def test_what_counts_is_cited_and_what_failed_is_not(tmp_path):
    fill(tmp_path)
    found = {work.arxiv: work for work in works(results(tmp_path))}
    assert {SIMCLR, SLOT_ATTENTION} <= found.keys()
    assert BYOL not in found
    assert found[SLOT_ATTENTION].authors == "Locatello and others"
    assert found[SLOT_ATTENTION].year == "2020"
    assert "slot-attention" in found[SLOT_ATTENTION].used_for
    assert found[SIMCLR].used_for == ["simclr"]


def test_authors_are_those_that_the_source_names():
    row = {"dataset": "", "external": "", "metric": "", "counts": True, "core": "slot-attention"}
    named = ("cosine", "simsiam")
    found = works({**row, "objective": name} for name in named)
    assert {work.authors for work in found} >= {"Stange and others", "Chen and He"}
    text = "Cuturi 2013, arXiv 1306.0895"
    assert [names[:2] for names in _ARXIV.findall(text)] == [("Cuturi", "")]


def test_bibtex_is_whole_and_its_keys_differ(tmp_path):
    fill(tmp_path)
    text = to_bibtex(results(tmp_path))
    entries = re.findall(r"^@(\w+)\{([a-z0-9_]+),$", text, re.MULTILINE)
    assert entries[0] == ("software", "slotbench")
    keys = [key for _, key in entries]
    assert len(keys) == len(set(keys)) > 3
    assert text.count("{") == text.count("}")
    assert f"note = {{commit {'d' * 40}}}" in text
    assert "author = {Chen and others}" in text


def test_the_paragraph_has_the_numbers_of_runs_and_the_answer(tmp_path):
    fill(tmp_path)
    sentence = leaderboard(tmp_path).verdict.sentence
    text = to_markdown(results(tmp_path), sentence)
    assert "from 4 runs with seeds 0-2, 5; 1 more failed and are in no mean" in text
    assert "commit dddddddddddd" in text
    assert "with changes that were not committed" in text
    assert "rendered, not the original clevr" in text
    assert f"\n{sentence}\n" in text
    assert text.endswith("```\n")
