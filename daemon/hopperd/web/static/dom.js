// Elements, times and requests. Whatever comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const h = (tag, attributes, ...children) => make(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => make(document.createElementNS(SVG, tag), attributes, children);

// A file's name as text: what is invisible or turns the reading direction is shown as its number.
export const visible = (text) =>
  String(text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);

// An address from outside becomes a link only where it leads to the web.
export function safeLink(address) {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

export const clock = { ahead: 0, now: () => (Date.now() + clock.ahead) / 1000 };
export const seconds = (time) => Date.parse(time) / 1000;

export function duration(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 1) return `${value.toFixed(1)} s`;
  if (value < 100) return `${value < 10 ? value.toFixed(1).replace(".0", "") : Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} days`;
}

// An age that goes on by itself.
export function age(since) {
  const node = h("time", { "data-since": since });
  node.textContent = duration(Math.max(0, clock.now() - since));
  return node;
}

export function tickAges() {
  for (const node of document.querySelectorAll("time[data-since]")) {
    const text = duration(Math.max(0, clock.now() - Number(node.dataset.since)));
    if (node.textContent !== text) node.textContent = text;
  }
}

export function moment(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  const text = today ? date.toLocaleTimeString() : date.toLocaleString();
  return h("time", { datetime: time, title: time }, text);
}

// Sentences from elsewhere, set beside each other: each begins with a capital and ends with a stop.
export const sentences = (...parts) => parts.map((part) => String(part ?? "").trim()).filter(Boolean)
  .map((part) => part[0].toUpperCase() + part.slice(1) + (/[.!?]$/.test(part) ? "" : ".")).join(" ");

export const bytes = (count) =>
  count < 1000 ? `${count} bytes` : count < 1e6 ? `${(count / 1e3).toFixed(0)} kB` : `${(count / 1e6).toFixed(1)} MB`;

// Replace a place's content only where what it is made from has changed; keep the focus where it was.
const made = new WeakMap();
export function put(place, from, build) {
  const now = JSON.stringify(from);
  if (made.get(place) === now && place.childElementCount) return;
  made.set(place, now);
  keepingFocus(place, () => {
    const open = new Set([...place.querySelectorAll("details[open]")].map((one) => one.dataset.key));
    place.replaceChildren(...[build()].flat(9).filter(Boolean));
    for (const one of place.querySelectorAll("details")) if (open.has(one.dataset.key)) one.open = true;
  });
}

// The same for a list, entry by entry: those made from the same stay as they are, so that a long list costs what changed.
const entries = new WeakMap();
export function putList(list, parts) {
  const before = entries.get(list) || new Map(), now = new Map();
  for (const { from, build } of parts) {
    const key = JSON.stringify(from);
    now.set(key, before.get(key) || build());
  }
  entries.set(list, now);
  keepingFocus(list, () => {
    const nodes = [...now.values()], kept = new Set(nodes);
    for (const one of [...list.children]) if (!kept.has(one)) one.remove();
    nodes.forEach((node, place) => list.children[place] === node || list.insertBefore(node, list.children[place] || null));
  });
}

function keepingFocus(place, change) {
  const active = document.activeElement;
  const key = active && place.contains(active) ? active.dataset.key : null;
  change();
  if (key && document.activeElement !== active) [...place.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key)?.focus();
}

// ------------------------------------------------------------------------------------------------------ requests

const KEY = "hopperd-token";
export const token = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

const authorized = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function request(path, options = {}) {
  const headers = { ...authorized(), ...(options.body ? { "Content-Type": "application/json" } : {}) };
  const answer = await fetch(path, { ...options, headers, credentials: "omit", cache: "no-store" });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, told.error || `The daemon answered ${answer.status}.`);
  }
  return answer;
}

export const get = async (path, signal) => (await request(path, { signal })).json();
export const post = async (path, body) => (await request(path, { method: "POST", body: JSON.stringify(body) })).json();

// Server-sent events through fetch, because EventSource cannot show a token.
export async function listen(path, signal, heard, opened) {
  const answer = await request(path, { signal });
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const kind = /^event: (.*)$/m.exec(part);
      const data = /^data: (.*)$/m.exec(part);
      heard(kind ? kind[1] : "heartbeat", data ? JSON.parse(data[1]) : null);
    }
  }
}
