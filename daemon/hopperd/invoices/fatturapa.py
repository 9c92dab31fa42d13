"""FatturaPA, the Italian e-invoice, read into fields: one document for each body in the file.

The only e-invoice without a net and a tax total of its own: they are added up from its tax summary, and the total too
where the sender left it out, exactly as the Italian exchange system does.
"""

from decimal import Decimal

from hopperd.invoices.document import Fields, LineItem, Party, Tax
from hopperd.invoices.einvoice_values import amount, day, iban, together
from hopperd.invoices.safe_xml import Element

ROOTS = frozenset({"FatturaElettronica"})


def read_fatturapa(root: Element) -> list[Fields]:
    """The fields of each invoice in the file; `root` is an element named in `ROOTS`."""
    head = root.first("FatturaElettronicaHeader") or Element("", {})
    vendor, buyer = head.first("CedentePrestatore"), head.first("CessionarioCommittente")
    return [_body(body, vendor, buyer) for body in root.every("FatturaElettronicaBody")]


def _body(body: Element, vendor: Element | None, buyer: Element | None) -> Fields:
    general = body.first("DatiGenerali", "DatiGeneraliDocumento") or Element("", {})
    taxes = tuple(_tax(row) for row in body.every("DatiBeniServizi", "DatiRiepilogo"))
    net, tax = _added_up([row.base for row in taxes]), _added_up([row.amount for row in taxes])
    total = amount(general.value("ImportoTotaleDocumento"))
    if total is None and net is not None and tax is not None:
        total = net + tax
    return Fields(
        invoice_number=general.value("Numero"),
        invoice_date=day(general.value("Data")),
        due_date=day(body.value("DatiPagamento", "DettaglioPagamento", "DataScadenzaPagamento")),
        order_number=body.value("DatiGenerali", "DatiOrdineAcquisto", "IdDocumento"),
        currency=general.value("Divisa"),
        net_total=net,
        tax_total=tax,
        total=total,
        vendor=_party(vendor, iban(body.value("DatiPagamento", "DettaglioPagamento", "IBAN"))),
        business_unit=_party(buyer),
        line_items=tuple(_line(line) for line in body.every("DatiBeniServizi", "DettaglioLinee")),
        taxes=taxes,
    )


def _added_up(amounts: list[Decimal | None]) -> Decimal | None:
    known = [value for value in amounts if value is not None]
    return sum(known, Decimal(0)) if known else None


def _party(party: Element | None, account: str | None = None) -> Party:
    if party is None:
        return Party(iban=account)
    who = party.first("DatiAnagrafici") or Element("", {})
    person = " ".join(
        name for name in (who.value("Anagrafica", "Nome"), who.value("Anagrafica", "Cognome")) if name is not None
    )
    seat = party.first("Sede") or Element("", {})
    code = who.value("IdFiscaleIVA", "IdCodice")
    return Party(
        name=who.value("Anagrafica", "Denominazione") or person or None,
        street=together(seat.value("Indirizzo"), seat.value("NumeroCivico")),
        city=seat.value("Comune"),
        zip=seat.value("CAP"),
        state=seat.value("Provincia"),
        country=seat.value("Nazione"),
        vat_id=f"{who.value('IdFiscaleIVA', 'IdPaese') or ''}{code}" if code else who.value("CodiceFiscale"),
        iban=account,
    )


def _line(line: Element) -> LineItem:
    return LineItem(
        position=line.value("NumeroLinea"),
        article_number=line.value("CodiceArticolo", "CodiceValore"),
        description=line.value("Descrizione"),
        quantity=amount(line.value("Quantita")),
        unit_of_measure=line.value("UnitaMisura"),
        unit_price=amount(line.value("PrezzoUnitario")),
        total_price=amount(line.value("PrezzoTotale")),
        vat_percentage=amount(line.value("AliquotaIVA")),
    )


def _tax(row: Element) -> Tax:
    return Tax(
        rate=amount(row.value("AliquotaIVA")),
        base=amount(row.value("ImponibileImporto")),
        amount=amount(row.value("Imposta")),
    )
