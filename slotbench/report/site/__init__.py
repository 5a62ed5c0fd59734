"""The static site that ``slotbench report`` writes; it needs no network and opens from a file.

``pages`` what stands on the pages · ``charts`` the plots · ``gallery`` the pictures · ``writer``
the files · ``templates`` their form. Everything is derived from the run directories.
"""

from slotbench.report.site.writer import Site, write_site

__all__ = ["Site", "write_site"]
