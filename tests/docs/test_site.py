"""The documentation as a site: it builds without a complaint and needs nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slotbench import registry

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Every page by its name."""
    out = tmp_path_factory.mktemp("site")
    words = ("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out)
    variables = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.html")}


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = re.compile(
        r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//"""
    )
    for name, page in site.items():
        assert not fetched.findall(page), name
        assert "@import" not in page, name


def test_names_and_commands_are_listed(site):
    for kind in registry.KINDS:
        for name in registry.names(kind):
            assert f"<code>{name}</code>" in site["names.html"], name
    for command in ("prepare", "train", "suite run", "verify"):
        assert f"slotbench {command}" in site["commands.html"]
    assert "--objective" in site["commands.html"]


def test_docstrings_are_rendered(site):
    """Sphinx roles and double backticks become code."""
    page = re.sub(r"<pre.*?</pre>", "", site["python.html"], flags=re.DOTALL)
    assert "TwoViews" in page
    assert "slotbench.api.train" in page
    assert not re.findall(r":(?:class|func|mod|meth|data):`|``", page)


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
