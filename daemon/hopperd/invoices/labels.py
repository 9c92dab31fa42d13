"""The words that stand before a value on an invoice, in English, German, French, Spanish, Italian and Dutch.

Only tables. Phrases are small regular expressions for text in lower case without accents, separated by semicolons;
groups of them are ranked, the surest first. Nothing here is made for one sender.
"""

import re
from typing import Final

_PARTS: Final = {
    "{no}": r"(?:number|nummer|numero|num|nr|no|n°|#|№|id)\.?",
    "{tax}": r"(?:sales tax|tax(?:es)?|v\.?a\.?t\.?|gst|hst|btw|mwst|ust|t\.?v\.?a\.?|i\.?v\.?a\.?)\.?",
    "{excl}": r"(?:excl|exkl|ex|exclusief|exclusive|excluding|hors|without|before|zzgl|ohne|senza|sin)\.?(?: of)?",
    "{sum}": r"(?:amount|total|betrag|bedrag)",
    "{incl}": r"(?:incl|including|inclusive|inkl|inc|mit|con|with)\.?(?: of)?",
}


def phrases(table: str) -> str:
    """One regular expression for a table of phrases, longer ones first so that they win; a space may be missing."""
    found = [" ".join(phrase.split()) for phrase in table.split(";") if phrase.strip()]
    pattern = "|".join(sorted(found, key=len, reverse=True))
    for name, part in _PARTS.items():
        pattern = pattern.replace(name, part)
    return pattern.replace(" ", r"\s?")


def _ranked(*tables: str, unless: str = "", after: str = "") -> tuple[re.Pattern[str], ...]:
    # the look ahead says nothing new: it spares most places the long way through all phrases
    return tuple(
        re.compile(rf"(?<![\w-])(?=[a-z#№]){after}(?:{phrases(table)})(?!(?<=\w)\w){unless}") for table in tables
    )


INVOICE_NUMBER: Final = _ranked(
    r"""(?:tax |vat |sales )?invoice(?: vat)?\s?{no}; invoice ref(?:erence)?; inv\.?\s?{no};
    [a-z]*rechnungs?[.\s-]*{no}; [a-z]*factuur\s?{no}; {no} (?:de |de la |della |di )?(?:facture|factura|fattura);
    (?:facture|factura|fattura)\s?{no}; fattura n\.; n\. (?:di )?fattura;
    (?:credit note|credit memo|gutschrifts?|avoir|abono|creditnota)[\s-]*{no}""",
    r"""(?:bill|beleg|bon|quittungs?|receipt|statement|document|documento|folio|re|nota|ticket|recibo|scontrino)[\s-]*
    {no}(?:\s?{no})?; {no} documento; n\. documento; folio; check\s?#""",
    r"""(?:tax |vat |information )?invoice; [a-z]*rechnung; facture; factura(?: simplificada| ordinaria| electronica)?;
    fattura(?: elettronica| immediata| differita| accompagnatoria)?; [a-z]*factuur;
    credit (?:note|memo); gutschrift; avoir; nota (?:di|de) credito; creditnota""",
    r"^{no}\s?:?",
)
INVOICE_DATE: Final = _ranked(
    r"""(?:tax )?invoice dated?; date of (?:the )?invoice; inv\.? date; [a-z]*rechnungs-?datum; datum der rechnung;
    belegdatum; (?:rechnung|gutschrift) vom; facture du; factura del?; fattura del; factuur van; ausstellungsdatum;
    date (?:de )?(?:la )?factur(?:e|ation); date d'emission;
    fecha (?:de )?(?:la )?factura; fecha (?:de )?emision; fecha (?:de )?expedicion; data (?:della )?fattura;
    data (?:di )?emissione; data documento; (?:factuur|nota)\s?datum; date of issue; issue date; date issued;
    issued(?: on)?; bill(?:ing)? date; invoiced on; tax point(?: date)?; tax date; credit note date;
    document date""",
    r"(?:statement |receipt |transaction )?dated?; datum; fecha; data; le",
)
# A receipt is written when it is paid, a ticket when it is booked: where nothing says when the invoice was written.
OTHER_ISSUE_DATE: Final = _ranked(
    r"""date paid; paid(?: on)?; payment date; date of payment; date (?:de|du) paiement; zahlungsdatum;
    bezahlt am; fecha de pago; data (?:di )?pagamento; betaald op""",
    r"buchungsdatum; gebucht am; booking date; date of booking; booked on",
)
DUE_DATE: Final = _ranked(
    r"""(?:payment |invoice )?due(?: date| on| by)?; date due; payable (?:on or )?(?:before|by);
    pay(?:ment)? (?:by|before); zahlbar bis(?: zum)?; fallig(?:keit)?(?:sdatum)?(?: am| bis)?; zahlungsziel;
    zu zahlen bis(?: zum)?; bitte zahlen sie bis; date limite(?: de paiement)?(?: le)?; date de paiement;
    date d'echeance; echeance; a payer avant le; (?:fecha de )?vencimiento;
    (?:data )?scadenza(?: pagamento)?; verval\s?datum; te betalen (?:voor|uiterlijk); uiterste betaaldatum"""
)
ORDER_NUMBER: Final = _ranked(
    r"""(?:customer |your |client )?(?:purchase order|p\.?\s?o\.?|order|contract)\s?{no}; purchase order;
    your (?:order|po); bestell[-\s]?{no}; auftrags[-\s]?{no};
    {no} ?(?:de |d'|di )?(?:commande|pedido|ordine|order); (?:commande|pedido|ordine|bestel)\s?{no};
    bon de commande; ihre bestellung; uw (?:order|referentie)""",
    r"order; contract; po; votre commande; su pedido; vs\.? ordine",
)
DEPARTURE_DATE: Final = _ranked(
    r"""departure(?: date)?; check[\s-]?out(?: date)?; abreise(?:datum| am)?; date de depart; fecha de salida; salida;
    data (?:di )?partenza; partenza; vertrek(?:datum)?"""
)
OTHER_DATES: Final = re.compile(
    r"order|bestell|commande|pedido|ordine|liefer|deliver|livraison|entrega|consegna|ship|leistung|service|period"
    r"|start|end\b|print|arriv|depart|anreise|abreise|llegada|salida|birth|due|fallig|echeance|venc|scad|verval|until|bis\b|air\b|run\b|expir"
    r"|flight|gen\.|paiement|payment|preleve|regle|abbuch|afschrijv|cargo|cobro|addebit"
)

_NOT_A_TOTAL: Final = phrases(
    r"""{tax}; pst; qst; net; netto; neto; ht\b; h\.t; {excl}; imponibile; imposta; spots?; hours?; pcs;
    pieces?; qty; quantity; items?; weight; units?; pages?; discount; savings?; paid; payments?; bezahlt;
    deposit; credits?; charges?; rabatt; remise; descuento; sconto; korting; base; no\b; stunden; anzahl;
    menge; lines?; of\b; articles?; colis; kg; stuks; aantal; des\b; enthalten; included; inclus; darin"""
)
NOT_A_TOTAL: Final = re.compile(rf"\s*(?:{_NOT_A_TOTAL})")
TOTAL: Final = _ranked(
    r"""grand total; invoice total; total invoice(?: amount| value)?; gross total; total gross;
    total (?:amount )?payable; total (?:amount )?\(?{incl} {tax}[\w\s./()]*; total for this invoice;
    gesamtbetrag; rechnungsbetrag; rechnungssumme; rechnungsendbetrag; endbetrag; endsumme; gesamtsumme;
    (?:gesamt\s?)?brutto(?:betrag|summe)?; zahlbetrag; zu zahlen; zu zahlender betrag; summe {incl}[\w. ]*;
    total t\.?t\.?c\.?; montant t\.?t\.?c\.?; montant total(?: ttc)?; net a payer; somme a payer;
    total facture; total a pagar; importe total; total factura; total general; totale? documento;
    totale fattura; totale da pagare; netto a pagare; importo totale; totaal (?:te betalen|te voldoen);
    totaal {incl}[\w. ]*; totaal\s?bedrag; factuur\s?totaal; te betalen(?: bedrag)?; totaal factuur;
    factuurbedrag; total eur""",
    r"total(?:e|al)?(?: amount| price| due| cost| balance)?; totaal; gesamt; summe",
    r"""(?:amount|balance|payment|total)\s?(?:amount )?due(?: on)?; amount payable; balance(?: owing)?;
    please pay; to pay; saldo; solde""",
    unless=rf"(?!\s*(?:{_NOT_A_TOTAL}))",
    after=r"(?<!net )(?<!netto )(?<!sub )(?<!sub-)(?<!sous )(?<!sous-)",
)
NET: Final = _ranked(
    r"""sub\s?-?\s?total; net (?:amount|value|total|price); total net(?:to| amount)?;
    (?:total|amount|montant|totaal|totale|summe|betrag|price)?\s?\(?\s?{excl}\s?{tax};
    netto\s?(?:betrag|summe|wert|bedrag)?; summe netto; zwischensumme; warenwert; total h\.?t\.?;
    montant h\.?t\.?; sous[\s-]total; base imponible; (?:totale )?imponibile; subtotaal; grondslag;
    totaal {excl}[\w. ]*; taxable (?:amount|value); total before tax; total base""",
    r"net; netto; neto; ht; h\.t\.",
)
TAX: Final = _ranked(
    r"""
    (?:total |plus |add |zzgl\.?\s|estimated |inkl\.?\s|enthaltene |montant |cuota |importe )?{tax}(?:\s?-?{sum})?;
    gst(?:/hst)?; pst; qst; tps; tvq; tps/gst; tvq/qst; mehrwertsteuer; umsatzsteuer; steuerbetrag;
    (?:totale )?imposta; totaal btw"""
)
_TAX_NUMBER: Final = re.compile(
    r"(?:vat|tax|gst|hst|btw|tva|iva|ust|mwst|steuer)[\s./-]*"
    r"(?:id|no|nr|num|reg|n°|code|invoice|rate|intra|registration|exempt)"
)

_BUYER: Final = phrases(
    r"""bill(?:ed)?[\s-]?to(?: address)?; billing address; sold[\s-]?to; invoiced?[\s-]?to; customer(?: name)?;
    client; buyer; invoice address; rechnungsempfanger; rechnungsadresse; rechnung an; kunde;
    kundenanschrift; factuuradres; klant; facture a; adresse de facturation; destinataire; facturar a;
    cliente; destinatario; spett\.?(?:le)?; intestatario"""
)
_VENDOR: Final = phrases(
    r"""from; seller; vendor; supplier; remit(?:tance)? to; remit address; (?:send )?payment to;
    service provider; sold by; payable to; verkaufer; lieferant; vendeur; fournisseur; emisor; proveedor;
    fornitore; cedente; leverancier"""
)
_OTHER: Final = phrases(
    r"""ship(?:ped)?[\s-]?to; deliver(?:y)?[\s-]?(?:to|address); lieferadresse; lieferanschrift; afleveradres;
    adresse de livraison; advertiser; agency; attention; attn\.?; product; brand; contact; guest(?: name)?;
    account executive; sales\s?(?:person|office|region|rep(?:resentative)?)"""
)
BUYER: Final = re.compile(rf"(?<!\w)(?:{_BUYER})\s?:?$|^to\s?:?$")
BUYER_INLINE: Final = re.compile(rf"^(?:{_BUYER}|to)\s?[:\s]\s?")
VENDOR_INLINE: Final = re.compile(rf"^(?:{_VENDOR})\s?[:\s]\s?")
VENDOR: Final = re.compile(rf"(?<!\w)(?:{_VENDOR})\s?:?$")
OTHER_PARTY: Final = re.compile(rf"(?:{_OTHER})\s?:?$")
CREDIT: Final = re.compile(r"credit (?:note|memo|invoice)|gutschrift|avoir|nota (?:di|de) credito|abono|credit-?nota")
YOURS: Final = re.compile(r"\b(?:your|customer|client|buyer|ihre|uw|votre|kunden|su|cliente|klant)\b")


def is_tax_number_label(text: str) -> bool:
    """Whether a text with a tax's name in it is about a registration number or a rate, not about an amount."""
    return bool(_TAX_NUMBER.search(text))
