"""The static site that ``slotbench report`` writes; it needs no network and opens from a file.

``findings`` answer, first screen and evidence · ``pages`` rows of the tables, facts of runs ·
``gallery`` and ``curves`` pictures · ``study`` a suite's question · ``writer`` files ·
``templates`` their form.
"""

from slotbench.report.site.writer import Site, write_site

__all__ = ["Site", "write_site"]
