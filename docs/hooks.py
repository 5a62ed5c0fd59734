"""What building the site adds: pages from the repository's root; lists of names and commands."""

import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from slotbench import registry
from slotbench.cli.actions import app

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"\[([^\]]*)\]\(([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    made = {page: (ROOT / name).read_text() for name, page in PAGES.items()}
    made |= {"names.md": names(), "commands.md": commands()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, files: Files, **_: Any) -> str:
    """Let links of the repository work on the site; links to code lose their target."""

    def moved(found: re.Match[str]) -> str:
        text, target, anchor = found.groups()
        name = target.removeprefix("../").removeprefix("docs/")
        name = PAGES.get(name, name)
        if files.get_file_from_path(name) or target.startswith("https:"):
            return f"[{text}]({name}{anchor or ''})"
        return text if target.startswith("../") or (ROOT / target).exists() else found[0]

    return LINK.sub(moved, markdown)


def names() -> str:
    """Every registered name with its summary and source, and a metric's keys."""
    lines = ["# Names", "", "`slotbench list` prints these; plugins add to them.", ""]
    for kind in registry.KINDS:
        entries = registry.entries(kind).values()
        keys = kind == "metrics"
        lines += [f"## {kind.capitalize()}", ""]
        lines += [
            "| name | what it is | source |" + " keys |" * keys,
            "|---|---|---|" + "---|" * keys,
        ]
        for entry in entries:
            what = entry.summary + f" ({', '.join(entry.variants)})" * bool(entry.variants)
            cells = [f"`{entry.name}`", what, entry.source]
            cells += [", ".join(f"`{key}`" for key in entry.facts["keys"])] if keys else []
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def commands() -> str:
    """Every command with its help and its options."""
    lines = ["# Commands", "", "`slotbench COMMAND --help` prints the same.", ""]
    for name, command in sorted(_leaves(typer.main.get_command(app), "slotbench")):
        lines += [
            f"## {name}",
            "",
            command.help or "",
            "",
            "| option | what it does |",
            "|---|---|",
        ]
        for option in command.params:
            if getattr(option, "hidden", False) or option.name == "help":
                continue
            shown = " ".join((*option.opts, *option.secondary_opts))
            text = " ".join((getattr(option, "help", "") or "").split()).replace("|", "\\|")
            lines.append(f"| `{shown}` | {text} |")
        lines.append("")
    return "\n".join(lines)


def _leaves(command: Any, name: str) -> list[tuple[str, Any]]:
    inside = getattr(command, "commands", None)
    if inside is None:
        return [(name, command)]
    return [leaf for key, each in inside.items() for leaf in _leaves(each, f"{name} {key}")]
