// The first page: what needs a person, then flow, folders and accounts.

import { orderButton, pauseButton, rights } from "./acting.js";
import { throughput, timeToExport } from "./charts.js";
import { age, duration, h, put, putList, s, safeLink, seconds, sentences, visible } from "./dom.js";

export const STAGES = {
  claimed: "taken in, not sent yet", uploaded: "sent, capture not asked for yet", submitting: "capture being asked for",
  submitted: "being captured at the service", captured: "result ready, not fetched yet", fetched: "export fetched, not delivered yet",
  delivered: "export delivered, original not filed yet", done: "done", abandoned: "given up, original not filed yet", failed: "failed",
};
const FAULTS = { file: "the file", service: "the service", account: "the account", us: "hopperd" };

export const jobLink = (job) => h("a", { href: `#/job/${encodeURIComponent(job.job)}`, "data-key": `link ${job.job}` }, visible(job.file));

// The address may be empty: then the service has not told it.
export const waits = (job) => job.stage === "submitted" && job.verification !== undefined;
const isGivenUp = (job) => job.failure?.reason === "forgotten";

export function stageBadge(job) {
  if (job.hold) return h("span", { class: "pill warn" }, "held");
  if (isGivenUp(job)) return h("span", { class: "pill" }, "given up by a person");
  if (job.stage === "failed" || job.stage === "abandoned") return h("span", { class: "pill bad" }, "failed");
  if (waits(job)) return h("span", { class: "pill warn" }, "waits for a person");
  if (job.stage === "done") return h("span", { class: "pill good" }, job.outcome === "delivered" || !job.outcome ? "delivered" : job.outcome);
  if (job.stuck) return h("span", { class: "pill warn" }, "stuck");
  return h("span", { class: "pill" }, job.stage);
}

export function why(job) {
  if (job.hold) return sentences(job.hold.what, job.hold.do);
  if (job.failure) return sentences(job.failure.what, job.failure.do);
  if (waits(job)) return "A person has to look at it at the service.";
  return job.waiting || STAGES[job.stage] || job.stage;
}

export const fault = (job) => job.failure && FAULTS[job.failure.fault] && !isGivenUp(job) ? h("span", { class: "quiet small" }, `Fault of ${FAULTS[job.failure.fault]} (${job.failure.reason})`) : null;

function need(kind, bad, title, text, since, buttons, extra) {
  return h("li", { class: bad && "bad" },
    h("div", {},
      h("div", { class: "meta" }, h("span", { class: `pill ${bad ? "bad" : "warn"}` }, kind), since ? h("span", { class: "quiet small" }, "for ", age(since)) : null, extra),
      h("div", { class: "title" }, title),
      h("p", { class: "small" }, visible(text))),
    h("div", { class: "buttons" }, buttons));
}

const at = (job, state) => seconds(state.at) - job.in_stage_seconds;
const placed = (job) => [jobLink(job), h("span", { class: "quiet small" }, ` in ${job.folder}`)];

const MOVING = new Set(["at", "age_seconds", "in_stage_seconds", "oldest_seconds", "by_age", "swept", "seen_seconds"]);
const still = (part) => JSON.parse(JSON.stringify(part, (key, value) => (MOVING.has(key) ? undefined : value)));

// What needs a person, each with what it is made from; built only where that is new.
function needs(state) {
  const found = [];
  const add = (from, build) => found.push({ from: still([...from, rights]), build });
  for (const line of state.folders) {
    const { folder, trouble, paused } = line;
    if (trouble) add(["trouble", folder, trouble], () => need("Folder", true, folder, sentences(trouble), null, []));
    if (paused) add(["paused", folder, paused], () => need("Folder paused", false, folder, sentences(paused.what), seconds(paused.since), pauseButton("folder", folder, true, true)));
  }
  for (const { account, paused, trouble } of state.accounts)
    if (paused) add(["paused account", account, paused], () => need("Account paused", !paused.by_person, account, sentences(paused.what, paused.by_person ? "" : paused.do),
      seconds(paused.since), pauseButton("account", account, true, true)));
    else if (trouble) add(["account", account, trouble], () => need("Account", false, account, sentences(trouble, "It is tried again by itself"), null, []));
  for (const { id, node, state: life, seen_seconds, carries } of state.nodes)
    if (life === "gone" && !state.nodes.some((other) => other.node === node && other.state === "working")) add(["node", id, carries], () => need("Node gone", false, node,
      sentences(carries ? `The others go on with the ${carries.toLocaleString()} invoices that it carried` : "The others have gone on with what it carried", "Look at that machine; where it was taken away for good, this goes by itself within the hour"), seconds(state.at) - seen_seconds, []));
  for (const { folder, what, do: todo } of state.homeless)
    add(["homeless", folder, what, todo], () => need("Not configured", true, folder, sentences(what, todo), null, []));
  for (const job of state.waiting_for_person)
    add(["verification", job], () => {
      const link = safeLink(job.verification);
      return need("Verification", false, placed(job), "A person has to look at it at the service; then it goes on by itself.", at(job, state),
        link ? h("a", { class: "button main", href: link, target: "_blank", rel: "noopener noreferrer", "data-key": `open ${job.job}`, "aria-label": `Open verification of ${job.file}` }, "Open verification") : h("code", {}, job.verification));
    });
  for (const job of state.held)
    add(["held", job], () => need("Held", false, placed(job), why(job), seconds(job.hold.since), orderButton("release", job)));
  for (const job of state.stuck)
    add(["stuck", job], () => need("Stuck", false, placed(job), sentences(STAGES[job.stage] || job.stage, job.waiting), at(job, state), orderButton("retry", job)));
  for (const job of state.failed)
    add(["failed", job], () => need("Failed", true, placed(job), why(job), at(job, state), [orderButton("retry", job), orderButton("forget", job, false, true)], fault(job)));
  for (const { folder, left_alone } of state.folders)
    for (const left of left_alone || [])
      add(["left alone", folder, left], () => need("Left alone", false, [visible(left.file), h("span", { class: "quiet small" }, ` in ${folder}`)], `${left.what} (${left.reason})`, null, []));
  for (const { channel, trouble, waiting } of state.letters)
    if (trouble) {
      const [kind, which] = channel.split("/");
      add(["letters", channel, trouble, waiting], () => need(kind === "hook" ? "Hook" : "Notices", false, kind === "hook" ? `Deliveries of folder ${which}` : `Notices by ${which}`,
        sentences(`${waiting.toLocaleString()} wait to be handed over and are tried again`, trouble), null, []));
    }
  return found;
}

function doubtsNote(doubts) {
  const paid = doubts.open + doubts.finished, twice = doubts.perhaps_delivered_twice;
  if (!paid && !twice) return null;
  const counted = (count, what) => count ? `${count.toLocaleString()} ${count === 1 ? "invoice" : "invoices"} may ${what}.` : "";
  return h("div", { class: "note" },
    h("p", {}, counted(paid, "have been paid for twice: the service did not say whether it had accepted"), " ",
      counted(twice, "have been delivered twice"), " Compare them with the service's bill and with what came out."),
    doubts.jobs.length ? h("ul", {}, doubts.jobs.slice(0, 10).map((job) => h("li", {}, placed(job), " ", stageBadge(job),
      h("span", { class: "quiet small" }, ` ${job.notes ? job.notes.join("; ") : ""}`)))) : null);
}

function showNeeds(place, state) {
  put(place, "needs", () => [h("header", {}), h("ul", { class: "needs" }), h("div", {})]);
  const [head, list, notes] = place.children, found = needs(state);
  put(head, found.length, () => [h("h2", {}, "Needs a person"), found.length ? h("span", { class: "pill warn" }, String(found.length)) : null]);
  list.hidden = !found.length;
  putList(list, found);
  put(notes, [found.length, still(state.doubts), state.failed.length, state.more_failed], () => [
    found.length || state.more_failed ? null : h("p", { class: "fine" }, "✓ Nothing. Everything moves by itself."),
    state.failed.length ? h("p", { class: "small quiet" }, "What failed stands here until it is tried again or forgotten. Forget it once its invoice went through another time: the original stays in failed/.") : null,
    doubtsNote(state.doubts),
    state.more_failed ? h("p", { class: "small" }, h("a", { href: "#/list/failed", "data-key": "all failed" }, "All failed jobs")) : null,
  ]);
}

let span = "hour";

function flowSection(state, redraw) {
  const series = state.flow[span];
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const oldest = Math.max(0, ...state.backlog.map((row) => row.oldest_seconds));
  const tile = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const most = Math.max(1, ...state.backlog.map((row) => row.jobs));
  const button = (name, text) => h("button", { type: "button", "aria-pressed": span === name ? "true" : "false", "data-key": `span ${name}`, onclick: () => { span = name; redraw(); } }, text);
  return [
    h("header", {}, h("h2", {}, "Flow"), h("div", { class: "buttons", role: "group", "aria-label": "Charts over" }, button("hour", "Last hour"), button("day", "Last day"))),
    h("dl", { class: "tiles" },
      tile(`Done, last ${span}`, sum(series.done).toLocaleString()), tile(`Failed, last ${span}`, sum(series.failed).toLocaleString()),
      tile("Half exported within", duration(series.all_median_seconds)), tile("Nine of ten within", duration(series.all_p90_seconds)),
      tile("Open now", state.open.toLocaleString()), tile("Oldest open", state.backlog.length ? age(seconds(state.at) - oldest) : "–")),
    h("div", { class: "charts" }, throughput(series, span), timeToExport(series, span)),
    state.backlog.length ? h("div", { class: "wide" }, h("table", { class: "cards" }, h("caption", {}, "Open jobs by stage"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Stage"), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Share")),
        ["Jobs", "Held", "For a person", "Oldest"].map((head) => h("th", { scope: "col", class: "number" }, head)))),
      h("tbody", {}, state.backlog.map((row) => h("tr", {},
        h("th", { scope: "row" }, row.stage, h("div", { class: "quiet small" }, STAGES[row.stage])),
        h("td", {}, s("svg", { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
          s("rect", { class: "back", width: 100, height: 8, rx: 2 }), s("rect", { class: "bar", width: (100 * row.jobs) / most, height: 8, rx: 2 }))),
        h("td", { class: "number", "data-label": "Jobs" }, row.jobs.toLocaleString()), h("td", { class: "number", "data-label": "Held" }, row.held || ""),
        h("td", { class: "number", "data-label": "For a person" }, row.waiting_for_person || ""),
        h("td", { class: "number", "data-label": "Oldest" }, age(seconds(state.at) - row.oldest_seconds))))))) : null,
  ];
}

function placesSection(state) {
  const kept = ({ after, done_days }) => after === "delete" ? "deleted once delivered" : done_days ? `kept ${done_days} days` : "kept";
  const status = (line) => line.trouble ? h("span", { class: "pill bad" }, "in trouble") : line.paused ? h("span", { class: "pill warn" }, "paused") : h("span", { class: "pill good" }, "fine");
  return [
    h("header", {}, h("h2", {}, "Folders and accounts")),
    h("div", { class: "wide" }, h("table", { class: "cards" }, h("caption", {}, "Hot folders"),
      h("thead", {}, h("tr", {}, ["Folder", "State", "Put files into", "Originals", "Account"].map((head) => h("th", { scope: "col" }, head)),
        ["Waiting", "Open"].map((head) => h("th", { scope: "col", class: "number" }, head)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Orders")))),
      h("tbody", {}, state.folders.map((line) => h("tr", {}, h("th", { scope: "row" }, line.folder), h("td", {}, status(line)),
        h("td", { class: "mono", "data-label": "In" }, visible(line.in)), h("td", { "data-label": "Originals" }, kept(line.originals)), h("td", { "data-label": "Account" }, line.account),
        h("td", { class: "number", "data-label": "Waiting files" }, (line.waiting_files ?? 0).toLocaleString()), h("td", { class: "number", "data-label": "Open jobs" }, line.open.toLocaleString()),
        h("td", {}, pauseButton("folder", line.folder, Boolean(line.paused), false))))))),
    h("div", { class: "wide" }, h("table", { class: "cards" }, h("caption", {}, "Accounts"),
      h("thead", {}, h("tr", {}, ["Account", "State"].map((head) => h("th", { scope: "col" }, head)),
        ["Tasks in flight", "Uploads", "Downloads"].map((head) => h("th", { scope: "col", class: "number" }, head)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Orders")))),
      h("tbody", {}, state.accounts.map((line) => h("tr", {}, h("th", { scope: "row" }, line.account), h("td", {}, status(line)),
        [["Tasks in flight", "tasks_in_flight"], ["Uploads", "uploads"], ["Downloads", "fetches"]].map(([label, key]) => h("td", { class: "number", "data-label": label }, line[key] ?? "")),
        h("td", {}, pauseButton("account", line.account, Boolean(line.paused), false))))))),
    state.nodes.length ? h("div", { class: "wide" }, h("table", { class: "cards" }, h("caption", {}, "Nodes"),
      h("thead", {}, h("tr", {}, ["Node", "State", "Version"].map((head) => h("th", { scope: "col" }, head)), ["Carries", "Last seen"].map((head) => h("th", { scope: "col", class: "number" }, head)))),
      h("tbody", {}, state.nodes.map((line) => h("tr", {}, h("th", { scope: "row" }, visible(line.node)),
        h("td", {}, h("span", { class: `pill ${{ working: "good", gone: "bad" }[line.state] || ""}` }, line.state)), h("td", { "data-label": "Version" }, line.version),
        h("td", { class: "number", "data-label": "Carries" }, line.carries.toLocaleString()),
        h("td", { class: "number", "data-label": "Last seen" }, line.state === "gone" ? [age(seconds(state.at) - line.seen_seconds), " ago"] : line.state === "working" ? "now" : "–")))))) : null,
    h("p", { class: "quiet small" }, state.history.days ? `Finished invoices stay known for ${state.history.days.toLocaleString()} days` : "Finished invoices stay known for ever",
      state.history.rows ? `, ${state.history.rows.toLocaleString()} of them at the most.` : "."),
  ];
}

export function showOverview(main, state) {
  if (state.trouble) {
    put(main, state.trouble, () => h("section", {}, h("header", {}, h("h2", {}, "This cannot be shown now")), h("p", { class: "note bad" }, state.trouble)));
    return;
  }
  if (!main.querySelector("#needs"))
    put(main, "overview", () => [h("h1", { class: "unseen" }, "Overview"), h("section", { id: "needs" }), h("section", { id: "flow" }), h("section", { id: "places" })]);
  const { folders, accounts, nodes } = state;
  const redraw = () => put(main.querySelector("#flow"), still([state.flow, state.backlog, state.open, span]), () => flowSection(state, redraw));
  showNeeds(main.querySelector("#needs"), state);
  redraw();
  put(main.querySelector("#places"), still([folders, accounts, nodes, rights]), () => placesSection(state));
}
