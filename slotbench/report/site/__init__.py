"""The static site that ``slotbench report`` writes; it needs no network and opens from a file.

``findings`` answer and evidence · ``pages`` tables and facts · ``charts``, ``curves`` plots ·
``gallery`` pictures · ``study`` a suite's question · ``writer``, ``templates`` the files.
"""

from slotbench.report.site.writer import Site, write_site

__all__ = ["Site", "write_site"]
