"""Files embedded in a PDF that its list of attachments does not name.

Some makers of e-invoices write the XML and refer to it from the catalogue's /AF or from a page only. pypdf finds such
streams by their type; it is imported only here, because it takes longer to load than most invoices to read.
"""

import io
from collections.abc import Iterator
from typing import Final

_OBJECTS_MAX: Final = 20_000


def unlisted_attachments(data: bytes, most: int) -> Iterator[bytes]:
    """The contents of up to `most` embedded files; what is broken is passed over."""
    import logging

    import pypdf
    from pypdf.generic import StreamObject

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings are about the file, which nobody can change
    found = 0
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        numbers = sorted({number for table in reader.xref.values() for number in table})[:_OBJECTS_MAX]
    except Exception:  # pypdf raises almost anything on damaged files
        return
    for number in numbers:
        try:
            stream = reader.get_object(number)
            if not isinstance(stream, StreamObject) or stream.get("/Type") != "/EmbeddedFile":
                continue
            content = stream.get_data()
        except Exception:  # noqa: S112  # the next one may be whole
            continue
        yield content
        found += 1
        if found >= most:
            return
