// The fields of one invoice as a form, and back. Texts of the invoice are only ever set as text, never as markup.

const PARTY = ["Name", "Street", "City", "ZIP", "State", "Country", "VATID", "IBAN", "ExternalId"];
const HEADER = [
  "InvoiceNumber", "InvoiceDate", "DueDate", "OrderNumber", "Currency", "NetTotal", "TaxTotal", "Total",
];
const TABLES = {
  LineItems: [
    "Position", "ArticleNumber", "Description", "Quantity", "UnitOfMeasure", "UnitPrice", "TotalPrice", "VATPercentage",
  ],
  Taxes: ["Rate", "Base", "Amount"],
};
const LABELS = {
  InvoiceNumber: "Invoice number", InvoiceDate: "Invoice date", DueDate: "Due date", OrderNumber: "Order number",
  Currency: "Currency", NetTotal: "Net total", TaxTotal: "Tax total", Total: "Total", Name: "Name", Street: "Street",
  City: "City", ZIP: "ZIP", State: "State", Country: "Country", VATID: "VAT ID", IBAN: "IBAN",
  ExternalId: "External ID", Position: "Position", ArticleNumber: "Article", Description: "Description",
  Quantity: "Quantity", UnitOfMeasure: "Unit", UnitPrice: "Unit price", TotalPrice: "Total price",
  VATPercentage: "Tax %", Rate: "Rate %", Base: "Base", Amount: "Amount", Vendor: "Vendor",
  BusinessUnit: "Business unit", LineItems: "Line items", Taxes: "Taxes",
};
const ONE = { LineItems: "Line", Taxes: "Tax" };
const AMOUNTS = new Set([
  "NetTotal", "TaxTotal", "Total", "Quantity", "UnitPrice", "TotalPrice", "VATPercentage", "Rate", "Base", "Amount",
]);
const DATES = new Set(["InvoiceDate", "DueDate"]);
const AMOUNT = /^-?\d{1,30}(\.\d{1,20})?$/;
const DATE = /^\d{4}-\d{2}-\d{2}$/;

let numbers = 0;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export class InvoiceForm {
  // `element` is the form to show; `changed` is called whenever a person types.
  constructor(fields, title, changed) {
    this.inputs = new Map();
    this.original = new Map();
    this.tables = {};
    this.changed = changed;
    this.sums = element("p", { class: "hint", role: "status" });
    this.element = element("form", { novalidate: "", "aria-label": title });
    this.everything = element("fieldset", {});
    this.everything.append(element("legend", {}, title), this.group("", HEADER, fields), this.sums);
    for (const party of ["Vendor", "BusinessUnit"]) {
      const inner = element("fieldset", {}, element("legend", {}, LABELS[party]));
      inner.append(this.group(`${party}.`, PARTY, fields[party] ?? {}));
      this.everything.append(inner);
    }
    for (const table of Object.keys(TABLES)) this.everything.append(this.table(table, fields));
    this.element.append(this.everything);
    this.element.addEventListener("submit", (event) => event.preventDefault());
    this.element.addEventListener("input", () => this.onInput());
    this.compareSums();
  }

  group(prefix, names, values) {
    const grid = element("div", { class: "grid" });
    for (const name of names) {
      const input = this.input(prefix + name, name, values[name] ?? "");
      grid.append(element("div", { class: "field" }, element("label", { for: input.id }, LABELS[name]), input));
    }
    return grid;
  }

  input(where, name, value) {
    const made = element("input", { id: `field-${++numbers}`, type: "text", autocomplete: "off", spellcheck: "false" });
    if (AMOUNTS.has(name)) made.inputMode = "decimal";
    if (DATES.has(name)) made.placeholder = "YYYY-MM-DD";
    made.value = value;
    made.dataset.name = name;
    this.original.set(made, { sent: value, shown: made.value });
    if (where) this.inputs.set(where, made);
    return made;
  }

  table(name, fields) {
    const outer = element("fieldset", {}, element("legend", {}, LABELS[name]));
    if ((fields.Kept ?? []).includes(name)) {
      outer.append(element("p", { class: "hint" }, "Too many rows to be shown; they stay as they were read."));
      return outer;
    }
    const body = element("tbody");
    const head = element("tr", {}, ...TABLES[name].map((each) => element("th", { scope: "col" }, LABELS[each])));
    head.append(element("td"));
    const add = element("button", { type: "button" }, `Add ${ONE[name].toLowerCase()}`);
    this.tables[name] = body;
    for (const row of fields[name] ?? []) this.addRow(name, row);
    add.addEventListener("click", () => {
      this.addRow(name, {}).querySelector("input").focus();
      this.changed();
    });
    outer.append(element("div", { class: "table" }, element("table", {}, element("thead", {}, head), body)), add);
    return outer;
  }

  addRow(table, values) {
    const row = element("tr");
    for (const name of TABLES[table]) {
      const cell = element("td", name === "Description" ? { class: "wide" } : {});
      cell.append(this.input("", name, values[name] ?? ""));
      row.append(cell);
    }
    const drop = element("button", { type: "button" }, "×");
    drop.addEventListener("click", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      this.numberRows(table);
      (next ?? this.element).querySelector("input")?.focus();
      this.changed();
    });
    row.append(element("td", {}, drop));
    this.tables[table].append(row);
    this.numberRows(table);
    return row;
  }

  numberRows(table) {
    [...this.tables[table].rows].forEach((row, at) => {
      for (const input of row.querySelectorAll("input")) {
        input.setAttribute("aria-label", `${ONE[table]} ${at + 1}, ${LABELS[input.dataset.name]}`);
      }
      row.querySelector("button").setAttribute("aria-label", `Remove ${ONE[table].toLowerCase()} ${at + 1}`);
    });
  }

  onInput() {
    for (const input of this.element.querySelectorAll("[aria-invalid]")) this.clear(input);
    this.compareSums();
    this.changed();
  }

  clear(input) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
    for (const each of this.element.querySelectorAll(".wrong")) each.remove();
  }

  compareSums() {
    const amounts = ["NetTotal", "TaxTotal", "Total"].map((name) => this.inputs.get(name).value.trim());
    const known = amounts.every((each) => AMOUNT.test(each));
    const [net, tax, total] = amounts.map(Number);
    const agrees = !known || Math.abs(net + tax - total) <= 0.025;
    this.sums.textContent = agrees ? "" : "Net total and tax total do not make the total.";
  }

  // What a person has typed. A text that was not touched goes back as it came, also what an input cannot show.
  read() {
    const fields = { Vendor: {}, BusinessUnit: {}, LineItems: [], Taxes: [] };
    for (const [where, input] of this.inputs) {
      const [first, second] = where.split(".");
      if (second) fields[first][second] = this.value(input);
      else fields[first] = this.value(input);
    }
    for (const [name, body] of Object.entries(this.tables)) {
      fields[name] = [...body.rows].map((row) => {
        const inputs = [...row.querySelectorAll("input")];
        return Object.fromEntries(inputs.map((input) => [input.dataset.name, this.value(input)]));
      });
    }
    return fields;
  }

  value(input) {
    const { sent, shown } = this.original.get(input);
    return input.value === shown ? sent : input.value.trim();
  }

  // The first field that cannot be meant, told beside it and given the focus; true if all can.
  check() {
    for (const input of this.element.querySelectorAll("input")) {
      const text = input.value.trim();
      if (text && AMOUNTS.has(input.dataset.name) && !AMOUNT.test(text)) {
        return this.complain(input, "This must be a number like 1234.50, without thousands separators.");
      }
      if (text && DATES.has(input.dataset.name) && !DATE.test(text)) {
        return this.complain(input, "This must be a date like 2026-01-31.");
      }
    }
    return true;
  }

  // A complaint of the server about `Total`, `Vendor.Name` or `LineItems.0.Quantity`.
  complainAt(where, sentence) {
    const [table, row, name] = where.split(".");
    const cells = this.tables[table]?.rows[Number(row)]?.querySelectorAll("input") ?? [];
    const input = this.inputs.get(where) ?? [...cells].find((each) => each.dataset.name === name);
    if (input) this.complain(input, sentence);
    return Boolean(input);
  }

  complain(input, sentence) {
    const told = element("p", { class: "wrong", id: `${input.id}-wrong`, role: "alert" }, sentence);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", told.id);
    input.after(told);
    input.focus();
    return false;
  }

  get isLocked() {
    return this.everything.disabled;
  }

  set isLocked(yes) {
    this.everything.disabled = yes;
  }
}
