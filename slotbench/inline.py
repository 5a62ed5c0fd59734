"""Pictures shown inline in a notebook."""

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True)
class Pictures:
    """PNG files under a title; a notebook shows them where this is a cell's last value."""

    title: str
    files: tuple[Path, ...]
    note: str = ""

    def _repr_html_(self) -> str:
        """HTML that holds the pictures themselves; no text in it is markup."""
        parts = [f"<h4>{escape(self.title)}</h4>"]
        for file in self.files:
            data = base64.b64encode(file.read_bytes()).decode()
            picture = f'<img alt="{escape(file.name)}" src="data:image/png;base64,{data}">'
            parts.append(f"<figure>{picture}<figcaption>{escape(file.name)}</figcaption></figure>")
        return "\n".join([*parts, f"<p>{escape(self.note)}</p>" if self.note else ""])
