// Which page is shown, and what keeps it live. One stream of events feeds everything; nothing is asked for on a timer.

import { enterToken, rights } from "./acting.js";
import { clock, h, listen, put, tickAges, token } from "./dom.js";
import { showJob, showList } from "./job.js";
import { showOverview } from "./overview.js";

const main = document.getElementById("main");
const live = document.getElementById("live");
const banner = document.getElementById("banner");
const sign = document.getElementById("sign");
const field = document.getElementById("text");

let state = null;
let route = { kind: "overview" };
let drawing = new AbortController();

function routed() {
  const [, kind, text] = /^#\/(\w+)\/(.+)$/.exec(location.hash) || [];
  let decoded = "";
  try {
    decoded = decodeURIComponent(text || "");
  } catch {
    return { kind: "overview" };
  }
  if (kind === "job" || kind === "find") return { kind, text: decoded };
  if (kind === "list" && ["failed", "held"].includes(decoded)) return { kind: decoded };
  return { kind: "overview" };
}

async function draw() {
  drawing.abort();
  drawing = new AbortController();
  const { signal } = drawing;
  if (route.kind === "overview") {
    document.title = "hopperd";
    if (state) showOverview(main, state);
    return;
  }
  try {
    if (route.kind === "job") await showJob(main, route.text, signal);
    else await showList(main, route.kind, route.text, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) needToken();
    else put(main, error.message, () => h("section", {}, h("h1", {}, "Not found"), h("p", {}, error.message), h("a", { href: "#/" }, "Back to the overview")));
  }
}

function go() {
  const before = route;
  route = routed();
  if (route.kind !== "find") field.value = "";
  else if (document.activeElement !== field) field.value = route.text;
  if (before.kind !== route.kind || before.text !== route.text) {
    if (route.kind !== "find") {
      main.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
    if (route.kind === "overview") main.replaceChildren();
  }
  draw();
  if ((before.kind === "job" || route.kind === "job") && before.text !== route.text) reconnect();
}

// ------------------------------------------------------------------------------------------------------- searching

let typing = 0;
function search() {
  clearTimeout(typing);
  const text = field.value.trim();
  const target = text ? `#/find/${encodeURIComponent(text)}` : "#/";
  if (location.hash === target) return;
  if (route.kind === "find") {
    history.replaceState(null, "", target);
    go();
  } else {
    location.hash = target;
  }
}
field.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 250);
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(input|textarea)$/i.test(document.activeElement.tagName)) {
    event.preventDefault();
    field.focus();
  }
});

// ------------------------------------------------------------------------------------------------------ being live

function pill(text, kind) {
  if (live.textContent !== text) live.textContent = text;
  live.className = `pill ${kind}`;
}

function warn(text) {
  banner.hidden = !text;
  if (banner.textContent !== text) banner.textContent = text;
}

function needToken() {
  pill("Token needed", "warn");
  sign.hidden = false;
  put(main, "token", () => h("section", {}, h("h1", {}, "A token is needed"), h("p", {}, "Whoever runs hopperd here has set a token for this page. It is asked for once per tab."),
    h("p", {}, h("button", { type: "button", class: "main", onclick: () => enterToken("The token of this page. It is kept in this tab only.") }, "Enter the token"))));
}

let heardAt = Date.now();

function heard(kind, told) {
  heardAt = Date.now();
  if (kind === "state") {
    state = told;
    if (told.at) clock.ahead = Date.parse(told.at) - Date.now();
    const before = JSON.stringify(rights);
    Object.assign(rights, told.rights);
    sign.hidden = !rights.acting || Boolean(token.get());
    document.getElementById("version").textContent = told.version ? `hopperd ${told.version}` : "";
    warn(told.trouble || "");
    if (route.kind === "overview" || JSON.stringify(rights) !== before) draw();
  } else if (kind === "event" || kind === "missed") {
    clearTimeout(redrawing);
    redrawing = setTimeout(draw, 50);
  }
}
let redrawing = 0;

let connection = null;
let tries = 0;
let lost = 0;

async function connect() {
  const mine = new AbortController();
  connection = mine;
  const job = route.kind === "job" ? `&job=${encodeURIComponent(route.text)}` : "";
  try {
    await listen(`v1/events?state=1${job}`, mine.signal, heard, () => {
      if (tries && route.kind !== "overview") draw();
      tries = 0;
      lost = 0;
      heardAt = Date.now();
      pill("Live", "good");
      warn("");
    });
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error.status === 401) {
      token.set("");
      needToken();
      return;
    }
    if (error.status) warn(error.message);
  }
  if (mine.signal.aborted) return;
  lost = lost || Date.now();
  tries += 1;
  pill("Not connected", "bad");
  if (tries > 1 && banner.hidden) warn(`hopperd has not answered since ${new Date(lost).toLocaleTimeString()}; what is shown may be old. It is tried again by itself.`);
  setTimeout(() => connection === mine && connect(), Math.min(10000, 500 * 2 ** Math.min(tries, 5)));
}

function reconnect() {
  connection?.abort();
  connect();
}

sign.addEventListener("click", () => enterToken("The act token lets you retry, hold and release. It is kept in this tab only."));
window.addEventListener("token", () => {
  main.replaceChildren();
  tries = 0;
  draw();
  reconnect();
});
window.addEventListener("hashchange", go);
document.getElementById("zone").textContent = `Times are in the zone of this browser: ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
setInterval(tickAges, 1000);
// The daemon says something each 15 seconds; a connection that is silent for longer is dead, though nobody said so.
setInterval(() => live.textContent === "Live" && Date.now() - heardAt > 40000 && reconnect(), 5000);
route = routed();
if (route.kind === "find") field.value = route.text;
draw();
connect();
