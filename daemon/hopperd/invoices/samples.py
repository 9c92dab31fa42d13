"""hopperd's own sample invoices as files: a default set of every kind, or any number of them for a bulk.

Made up, deterministic, free to copy. Writes only below the directory it is given and never over a file that is there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from hopperd.invoices import sample_pages
from hopperd.invoices.document import Fields
from hopperd.invoices.sample_invoices import AU, CA, DE, FR, GB, US, WORDINGS, Wording, make_fields
from hopperd.invoices.small_pdf import small_pdf

__all__ = ["DEFAULT_SET", "make_samples", "small_pdf"]

Maker = Callable[[Fields, Wording], bytes]

# name, country, how it is drawn; "{}" takes the invoice's running number in a bulk
DEFAULT_SET: Final[tuple[tuple[str, Wording, Maker], ...]] = (
    ("fernhill-office-supply.pdf", US, sample_pages.text_pdf),
    ("kesselbrand-werkzeuge.pdf", DE, sample_pages.text_pdf),
    ("wattle-creek-tools.pdf", AU, sample_pages.text_pdf),
    ("branch-office/maple-ridge-packaging.pdf", CA, sample_pages.text_pdf),
    ("atelier-clairval-factur-x.pdf", FR, sample_pages.factur_x),
    ("thornwick-fasteners-scan.pdf", GB, sample_pages.scanned_pdf),
    ("wattle-creek-tools-two-pages.tif", AU, sample_pages.two_page_tiff),
    ("fernhill-office-supply-photo.png", US, sample_pages.png),
)
_BULK_RICH_EVERY: Final = 25


def make_samples(directory: Path, count: int | None = None) -> list[Path]:
    """Write the default set, or `count` invoices, below `directory`; returns the paths in the order they were made.

    The first ones are the default set; beyond it come small text PDFs of all countries with a Factur-X now and then,
    some thousands in a few seconds. Raises FileExistsError rather than overwrite.
    """
    wanted = len(DEFAULT_SET) if count is None else count
    made = []
    for index in range(wanted):
        name, wording, maker = DEFAULT_SET[index] if index < len(DEFAULT_SET) else _bulk(index)
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(maker(make_fields(index, wording), wording))
        made.append(path)
    return made


def _bulk(index: int) -> tuple[str, Wording, Maker]:
    wording = WORDINGS[index % len(WORDINGS)]
    if index % _BULK_RICH_EVERY == 0:
        return f"invoice-{index + 1:06d}-factur-x.pdf", FR, sample_pages.factur_x
    return f"invoice-{index + 1:06d}-{wording.country.lower()}.pdf", wording, sample_pages.text_pdf
