// The verification page: opens the task in this window alone, asks about each document, and sends the decisions.

import { InvoiceForm, element } from "./form.js";

const CLOSED = "FC_Verification_TaskClosed";
const RETRY_MS = 3000;
const ZOOM_MAX = 4;

const windowId = [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
const here = `${location.pathname.replace(/\/+$/, "")}/windows/${windowId}`;
const part = (id) => document.getElementById(id);

let documents = [];
let at = 0;
let page = 0;
let zoom = 1;
let isOver = false;
let isDirty = false;
let isCutOff = false;
let isSending = false;
let beat = Promise.resolve(); // the last word that this window is still there

async function ask(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await fetch(here + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  let value = {};
  try {
    value = JSON.parse(text);
  } catch {
    value = { error_description: text };
  }
  return { status: answer.status, value };
}

function say(text, isGood = false) {
  part("message").textContent = text;
  part("message").classList.toggle("good", isGood);
}

function notice(text) {
  part("notice-text").textContent = text;
  part("notice").hidden = false;
  part("work").hidden = true;
}

function over(text) {
  isOver = true;
  isDirty = false;
  say("");
  notice(text);
}

// Opens the page, waits while another window has it, and from then on says that this one is still there.
async function hold() {
  let wait = RETRY_MS;
  if (isOver) return;
  try {
    beat = isSending ? beat : ask("PUT", "");
    const { status, value } = await beat;
    if (isOver) return;
    if (status === 200) {
      wait = value.heartbeat_seconds * 1000;
      if (part("work").hidden) await open();
      if (isCutOff) say("");
      isCutOff = false;
    } else if (status === 409) {
      const lost = documents.length > 0 ? " What was typed here is not saved." : "";
      notice(`This task is open in another window. It opens here once that one is closed.${lost}`);
      documents = [];
      isDirty = false;
    } else if (status === 404 || status === 410) {
      over("This task does not wait for anybody any more. It may have been verified already, or deleted.");
      return;
    }
  } catch {
    isCutOff = true;
    say("The server cannot be reached. This page tries again.");
  }
  setTimeout(hold, wait);
}

async function open() {
  const { status, value } = await ask("GET", "/task");
  if (status !== 200) return;
  part("number").textContent = `of task ${value.number}`;
  documents = value.documents.map((each) => ({ ...each, state: "open", forms: makeForms(each) }));
  part("notice").hidden = true;
  part("work").hidden = false;
  show(0);
}

function makeForms(each) {
  const many = each.invoices.length > 1;
  return each.invoices.map((invoice, number) => {
    const title = many ? `Invoice ${number + 1} of ${each.invoices.length}` : "Invoice";
    return new InvoiceForm(invoice.fields, title, () => (isDirty = true));
  });
}

function show(number) {
  at = number;
  const each = documents[at];
  part("document-name").textContent = each.name;
  part("forms").replaceChildren(...each.forms.map((form) => form.element));
  turn(0);
  refresh();
}

function refresh() {
  const each = documents[at];
  const isOpen = each.state === "open";
  const sure = each.invoices.map((invoice) => `${Math.round(invoice.confidence * 100)} %`).join(", ");
  const states = { open: `Read with a confidence of ${sure}.`, confirmed: "Confirmed.", removed: "Will be removed." };
  part("state").textContent = states[each.state];
  for (const form of each.forms) form.isLocked = !isOpen;
  part("confirm").hidden = part("remove").hidden = !isOpen;
  part("change").hidden = isOpen;
  part("finish").disabled = documents.some((other) => other.state === "open");
  part("documents").replaceChildren(...documents.map(entry));
}

function entry(each, number) {
  const marks = { open: "", confirmed: " ✓ confirmed", removed: " ✕ removed" };
  const button = element("button", { type: "button", "aria-current": String(number === at) });
  button.textContent = each.name + marks[each.state];
  button.addEventListener("click", () => {
    show(number);
    part("document-name").focus();
  });
  return element("li", {}, button);
}

function turn(number) {
  const { pages, name } = documents[at];
  page = Math.min(Math.max(number, 0), pages - 1);
  part("page-number").textContent = `Page ${page + 1} of ${pages}`;
  part("previous").disabled = page === 0;
  part("next").disabled = page === pages - 1;
  part("picture").hidden = false;
  part("no-picture").hidden = true;
  part("picture").alt = `Page ${page + 1} of ${name}`;
  part("picture").src = `${here}/documents/${at}/pages/${page}`;
  part("frame").scrollTo(0, 0);
}

function enlarge(factor) {
  zoom = Math.min(Math.max(zoom * factor, 0.5), ZOOM_MAX);
  part("picture").style.width = `${Math.round(zoom * 100)}%`;
}

function decide(state) {
  const each = documents[at];
  if (each.state !== "open") return;
  if (state === "confirmed" && !each.forms.every((form) => form.check())) return;
  each.state = state;
  isDirty = true;
  say("");
  const next = documents.findIndex((other) => other.state === "open");
  if (next >= 0) {
    show(next);
    part("document-name").focus();
  } else {
    refresh();
    part("finish").focus();
  }
}

function reopen(number) {
  documents[number].state = "open";
  show(number);
}

async function finish() {
  part("finish").disabled = true;
  say("Sending…", true);
  const decisions = documents.map(({ state, forms }) =>
    state === "removed" ? { removed: true } : { removed: false, invoices: forms.map((form) => form.read()) },
  );
  isSending = true; // a word that arrived after this would be answered with "gone"
  await beat.catch(() => {});
  try {
    const { status, value } = await ask("POST", "/close", { documents: decisions });
    if (status === 200) {
      over("Done. The task goes on; this window can be closed.");
      if (window.parent !== window) window.parent.postMessage(CLOSED, "*");
      return;
    }
    if (status === 410 || status === 404) {
      over("This task does not wait for anybody any more. What was typed here is not saved.");
      return;
    }
    say(value.error_description ?? "That did not work.");
    if (value.where) complain(value.where, value.error_description);
  } catch {
    say("The server cannot be reached. Please try again.");
  } finally {
    isSending = false;
  }
  part("finish").disabled = documents.some((each) => each.state === "open");
}

function complain(where, sentence) {
  const [number, invoice, ...rest] = where.split(".");
  reopen(Number(number));
  documents[at].forms[Number(invoice)]?.complainAt(rest.join("."), sentence);
}

part("confirm").addEventListener("click", () => decide("confirmed"));
part("remove").addEventListener("click", () => decide("removed"));
part("change").addEventListener("click", () => {
  reopen(at);
  part("confirm").focus();
});
part("finish").addEventListener("click", finish);
part("previous").addEventListener("click", () => turn(page - 1));
part("next").addEventListener("click", () => turn(page + 1));
part("smaller").addEventListener("click", () => enlarge(1 / 1.25));
part("larger").addEventListener("click", () => enlarge(1.25));
part("picture").addEventListener("error", () => {
  part("picture").hidden = true;
  part("no-picture").hidden = false;
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.key === "Enter" && documents.length > 0) decide("confirmed");
});
window.addEventListener("beforeunload", (event) => {
  if (isDirty) event.preventDefault();
});
window.addEventListener("pagehide", () => {
  if (!isOver) fetch(here, { method: "DELETE", keepalive: true }).catch(() => {});
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
hold();
