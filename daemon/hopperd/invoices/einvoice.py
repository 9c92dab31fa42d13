"""Which e-invoice an XML document is, and its fields.

What is no e-invoice that we know gives nothing; what is not well-formed or not safe is the caller's to refuse
(`safe_xml` raises). The same answer here decides what is taken as an e-invoice everywhere.
"""

from hopperd.invoices import einvoice_cii, einvoice_ubl, fatturapa, safe_xml
from hopperd.invoices.document import Fields
from hopperd.invoices.safe_xml import Element

_ENVELOPE_DEPTH_MAX = 3
_ROOTS = einvoice_cii.ROOTS | einvoice_ubl.ROOTS | fatturapa.ROOTS


def is_invoice_at(name: str, depth: int) -> bool:
    """Whether an element of this local name makes the XML around it an e-invoice; `depth` is 0 for the outermost."""
    return depth <= _ENVELOPE_DEPTH_MAX and name in _ROOTS


def read_einvoice(data: bytes) -> list[Fields]:
    """The fields of each invoice in an XML document; none if it is no e-invoice of a known syntax.

    Raises `safe_xml.UnsafeXml`, `safe_xml.TooDeepXml` or `safe_xml.BadXml`.
    """
    root = _invoice_in(safe_xml.parse(data))
    if root is None:
        return []
    if root.name in einvoice_cii.ROOTS:
        return [einvoice_cii.read_cii(root)]
    if root.name in einvoice_ubl.ROOTS:
        return [einvoice_ubl.read_ubl(root)]
    return fatturapa.read_fatturapa(root)


def _invoice_in(element: Element, depth: int = 0) -> Element | None:
    """The invoice itself, out of an envelope such as the Standard Business Document around Peppol invoices."""
    if is_invoice_at(element.name, depth):
        return element
    if depth < _ENVELOPE_DEPTH_MAX:
        for child in element.children:
            if found := _invoice_in(child, depth + 1):
                return found
    return None
