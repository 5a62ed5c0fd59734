import json
from dataclasses import asdict, replace

import pytest

from slotbench import registry, rules
from slotbench.errors import UserError
from tests.index import own_entries, stands


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_entry_loads_and_says_what_it_is(kind):
    entries = registry.entries(kind)
    assert entries
    for entry in entries.values():
        assert entry.summary
        assert entry.source
        assert callable(entry.load())


def test_a_name_unlike_any_other_lists_them_all():
    with pytest.raises(UserError, match=", ".join(registry.names("objectives"))):
        registry.get("objectives", "xyzzy")


def test_the_index_is_what_the_classes_say():
    """Type: make index"""
    own = {(entry.kind, entry.name): entry for entry in own_entries()}
    stored = json.loads(registry.INDEX.read_text("utf-8"))
    assert set(own) == {(kind, name) for kind in stored for name in stored[kind]}
    for (kind, name), entry in own.items():
        fields = {**stored[kind][name], "variants": tuple(stored[kind][name].get("variants", ()))}
        assert registry.Entry(kind, name, **fields) == entry


def test_our_own_classes_keep_the_rules_for_plugins():
    for entry in own_entries():
        thing = entry.load()
        own = {**asdict(entry), **vars(thing)}
        rules.check_class(entry.kind, entry.target, own, thing)
        rules.check_texts(entry.kind, entry.target, own)


def test_a_class_that_was_renamed_or_removed_leaves_the_index():
    entry = registry.get("objectives", "simclr")
    assert stands(entry)
    for gone in (
        {"name": "simclr-2"},
        {"target": "slotbench.cores:A"},
        {"target": "slotbench.a:A"},
    ):
        assert not stands(replace(entry, **gone))


def test_every_objective_has_a_family_and_every_dataset_variants():
    families = {entry.family for entry in registry.entries("objectives").values()}
    assert families <= {"reconstruction", "self-supervised", "control"}
    for entry in registry.entries("datasets").values():
        assert entry.variants == entry.load().variants


def test_an_error_lists_no_wall_of_names():
    names = [f"metric/{number}" for number in range(150)]
    assert registry.unknown("metric", "zzz", names).message.endswith("metric/29 and 120 more.")
    assert "metric/29." in registry.unknown("metric", "zzz", names[:30]).message
    assert registry.unknown("metric", "zzz", []).message.endswith("There is none.")


@pytest.mark.parametrize("target", ["no.such:Class", "noCode", "json:Nothing"])
def test_an_address_that_leads_nowhere_is_named_when_it_is_used(target):
    entry = registry.Entry("cores", "mine", "a core", "here", target)
    with pytest.raises(UserError, match=f"'{target}' of 'mine' cannot be found"):
        entry.load()
