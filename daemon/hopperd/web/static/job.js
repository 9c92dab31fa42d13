// Lists of jobs, and one job's page: its story with times, its receipt, where its files lie.

import { orderButton, releaseWithTask, rights, tell } from "./acting.js";
import { age, bytes, get, h, moment, put, request, safeLink, seconds, sentences, visible } from "./dom.js";
import { fault, jobLink, STAGES, stageBadge, waits, why } from "./overview.js";

export function jobTable(jobs, at, caption) {
  return h("div", { class: "wide" }, h("table", { class: "cards" }, h("caption", {}, caption),
    h("thead", {}, h("tr", {}, ["File", "Folder", "State", "Why", "Taken in", "Task"].map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, jobs.map((job) => h("tr", {},
      h("th", { scope: "row" }, jobLink(job)), h("td", { "data-label": "Folder" }, job.folder), h("td", {}, stageBadge(job)),
      h("td", { class: "small" }, visible(job.stage === "done" ? "" : why(job)), " ", fault(job)),
      h("td", { "data-label": "Taken in" }, age(seconds(at) - job.age_seconds), " ago"),
      h("td", { "data-label": "Task" }, job.task ? job.task.number || job.task.id : ""))))));
}

const kept = { key: "", jobs: [], next: null, at: "" };

// One page of jobs, and more on request. `kind` is "failed" or "held", or "find" with the text.
export async function showList(main, kind, text, signal) {
  const query = new URLSearchParams(kind === "find" ? { text, limit: 50 } : { [kind]: "1", limit: 50 });
  const key = query.toString();
  const page = await get(`v1/jobs?${key}`, signal);
  Object.assign(kept, { key, jobs: page.jobs, next: page.next, at: new Date().toISOString() });
  drawList(main, kind, text, query);
}

function drawList(main, kind, text, query) {
  const title = kind === "find" ? `Invoices with “${visible(text)}”` : kind === "failed" ? "Failed jobs" : "Held jobs";
  const count = kept.next ? `The newest ${kept.jobs.length}` : `${kept.jobs.length} found`;
  put(main, [kept.key, kept.jobs, kept.next], () => h("section", { id: "list" },
    h("header", {}, h("h1", {}, title), h("a", { href: "#/" }, "Back to the overview")),
    kept.jobs.length ? jobTable(kept.jobs, kept.at, count) : h("p", {}, "No such job. Perhaps the file still waits in in/, or stands under another name: part of it is enough."),
    kept.next ? h("button", { type: "button", "data-key": "more", onclick: async () => {
      const key = query.toString();
      const page = await get(`v1/jobs?${key}&before=${encodeURIComponent(kept.next)}`).catch((error) => tell(error.message));
      if (!page || kept.key !== key) return;
      kept.jobs = kept.jobs.concat(page.jobs);
      kept.next = page.next;
      drawList(main, kind, text, query);
    } }, "Show more") : null));
  document.getElementById("told").textContent = kept.jobs.length ? "" : "No such job.";
}

// The ten steps of every invoice, each with the stage it leads to and the event that proves it. Events of a task are told
// how it was seen before.
const seenWaiting = (row) => row?.event === "task-seen" && row.detail.task?.status === "waits-for-person";
const PERSON = 4, DELIVERED = 7, FILED = 8;
const STEPS = [
  ["Taken in", "claimed", (row) => row.event === "claimed" || row.event === "rebuilt"],
  ["Sent to the service", "uploaded", (row) => row.event === "uploaded" && row.stage === "uploaded"],
  ["Capture about to be asked for", "submitting", (row) => row.event === "run-intended"],
  ["Capture accepted", "submitted", (row) => row.event === "run-accepted" || (row.event === "released" && row.stage === "submitted")],
  ["Looked at by a person", "submitted", (row, seen) => row.event === "task-seen" && !seenWaiting(row) && seenWaiting(seen)],
  ["Result ready", "captured", (row) => row.stage === "captured"],
  ["Export fetched", "fetched", (row) => row.stage === "fetched"],
  ["Export delivered", "delivered", (row) => row.stage === "delivered"],
  ["Original filed away", "done", (row) => row.stage === "done" || row.stage === "failed"],
  ["Cleaned up at the service", "done", (row) => row.event === "remote-tidied"],
];

// For each step the first event that proves it. A job that goes back has to take the steps after that stage once more.
function pastSteps(rows) {
  const past = STEPS.map(() => null), order = Object.keys(STAGES);
  let stage = 0, seen = null;
  for (const row of rows) {
    const now = order.indexOf(row.stage);
    STEPS.forEach(([, leadsTo, proves], number) => {
      if (now < stage && order.indexOf(leadsTo) > now) past[number] = null;
      if (proves(row, seen)) past[number] ||= row;
    });
    if (seenWaiting(row)) past[PERSON] = null;
    if (row.event === "task-seen") seen = row;
    stage = now;
  }
  return past;
}

const WITHOUT_EXPORT = { duplicate: "Found to be a duplicate", removed: "Removed by a person at the service" };
const hasFailed = (job) => job.stage === "failed" || job.stage === "abandoned";

function stepName(number, job, row) {
  if (number === PERSON && !row) return "Waits for a person";
  if (number === DELIVERED && row) return WITHOUT_EXPORT[job.outcome] || STEPS[number][0];
  if (number === FILED && row && !job.filed.length) return "Receipt filed, without its original";
  if (number === FILED && hasFailed(job)) return "Original filed in failed/";
  return STEPS[number][0];
}

function stepNote(number, job) {
  if (number === 0) return `${job.files === 1 ? "one file" : `${job.files} files`}, ${bytes(job.size_bytes)}`;
  if (number === 3 && job.task) return `task ${job.task.number || job.task.id}`;
  if (number === DELIVERED && job.exports) return job.exports.map(visible).join(", ");
  if (number === FILED && !job.filed.length && !job.originals.some((original) => original.note)) return "originals of this folder are deleted once delivered";
  if (number === FILED) return job.filed.map(visible).join(", ");
  return "";
}

const verification = (job, more) => safeLink(job.verification) && h("a", { href: safeLink(job.verification), target: "_blank", rel: "noopener noreferrer", ...more }, "Open verification");

function story(job) {
  const past = pastSteps(job.history);
  const next = past.findLastIndex(Boolean) + 1;
  const ended = job.stage === "done" || job.stage === "failed";
  const now = ended ? -1 : hasFailed(job) ? FILED : waits(job) ? PERSON : next === PERSON ? next + 1 : next;
  return h("ol", { class: "story" }, STEPS.map((_, number) => {
    const row = past[number], current = number === now;
    const comes = number > now && number !== PERSON && !ended && !hasFailed(job);
    if (!row && !current && !comes) return null;
    const bad = row && number === FILED && hasFailed(job);
    return h("li", { class: bad ? "bad" : row ? "past" : current ? "now" : "" },
      h("strong", {}, stepName(number, job, row), current ? h("span", { class: "unseen" }, " (now)") : !row ? h("span", { class: "unseen" }, " (not yet)") : null),
      row ? moment(row.at) : h("span", { class: "quiet small" }, current ? "now" : "not yet"),
      h("div", { class: "what" }, row ? stepNote(number, job) : current ? (number === PERSON && verification(job)) || visible(job.waiting || "") : ""));
  }));
}

function copyButton(text) {
  return h("button", { type: "button", "aria-label": `Copy ${text}`, "data-key": `copy ${text}`, onclick: () =>
    navigator.clipboard ? navigator.clipboard.writeText(text).then(() => tell("Copied."), () => tell("The browser does not allow copying here.")) : tell("The browser does not allow copying here.") }, "Copy");
}

async function download(job, number, name) {
  try {
    const content = await (await request(`v1/export?job=${encodeURIComponent(job)}&number=${number}`)).blob();
    const link = h("a", { href: URL.createObjectURL(content), download: name.split("/").pop() });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) {
    tell(error.message);
  }
}

const exportsOf = (job, title, paths) => [
  paths.length ? h("h3", {}, title) : null,
  paths.map((path, number) => h("p", { class: "buttons" }, h("span", { class: "mono" }, visible(path)), copyButton(path),
    rights.exports ? h("button", { type: "button", "data-key": `get ${job} ${number}`, onclick: () => download(job, number, path) }, "Download") : null)),
];

function files(job) {
  const paths = job.paths || { originals: [], exports: [] };
  return [
    exportsOf(job.job, "Exports", paths.exports),
    job.duplicate_of && exportsOf(job.duplicate_of.job, "Exports of the first job", paths.delivered_before || []),
    paths.originals.length ? h("h3", {}, paths.originals.length === 1 ? "Original" : "Originals") : null,
    paths.originals.map((path) => h("p", { class: "buttons" }, h("span", { class: "mono" }, visible(path)), copyButton(path))),
  ];
}

function detail(row) {
  const parts = Object.entries(row.detail).map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  const text = parts.join(" ");
  return visible(text.length > 300 ? `${text.slice(0, 299)}…` : text);
}

const NOTES_SHOWN = 10;

// What was noticed of the job and of its originals, and whose duplicate it is.
function notes(job) {
  const noticed = job.originals.filter((original) => original.note);
  const all = [...(job.notes || []).map((note) => sentences(note)), ...noticed.map(({ name, note }) => job.files > 1 ? `${name}: ${sentences(note)}` : sentences(note))];
  const first = job.duplicate_of;
  return [
    first && h("p", { class: "note" }, "Duplicate of ", h("a", { href: `#/job/${encodeURIComponent(first.job)}`, "data-key": "first" }, `job ${first.job}`),
      first.exports.length ? `, which has delivered the same bytes: ${first.exports.map(visible).join(", ")}.` : ", which has delivered the same bytes."),
    all.slice(0, NOTES_SHOWN).map((note) => h("p", { class: "note" }, visible(note))),
    all.length > NOTES_SHOWN ? h("p", { class: "note" }, `And ${all.length - NOTES_SHOWN} more; the receipt has all of them.`) : null,
  ];
}

function page(job) {
  const open = job.stage !== "done" && job.stage !== "failed";
  const fact = (name, value) => (value ? [h("dt", {}, name), h("dd", {}, value)] : null);
  return [
    h("section", { id: "job" },
      h("header", {}, h("h1", {}, visible(job.file)), stageBadge(job)),
      job.stage !== "done" || job.hold ? h("p", {}, visible(why(job)), " ", fault(job)) : null,
      job.doubts ? h("p", { class: "note" }, `May have been paid for twice: ${job.doubts === 1 ? "once" : `${job.doubts} times`} nobody could tell whether the service had accepted it.`) : null,
      notes(job),
      h("div", { class: "buttons" },
        waits(job) ? verification(job, { class: "button main" }) : null,
        job.hold ? orderButton("release", job) : null,
        job.hold && job.stage === "submitting" && rights.acting ? h("button", { type: "button", "data-key": "task", onclick: () => releaseWithTask(job) }, "Name its task") : null,
        hasFailed(job) || (open && job.due && !job.hold) ? orderButton("retry", job, job.stage === "failed") : null,
        open && !job.hold ? orderButton("hold", job, false) : null,
        orderButton("forget", job, false))),
    h("section", { id: "story" }, h("header", {}, h("h2", {}, "Its story"), h("span", { class: "quiet small" }, "taken in ", age(seconds(job.opened)), " ago")), story(job)),
    h("section", { id: "facts" }, h("header", {}, h("h2", {}, "Files")), files(job),
      h("dl", { class: "facts" }, fact("Job", h("span", { class: "mono" }, job.job)), fact("Folder", job.folder), fact("Account", job.account), fact("Node", job.node),
        fact("Stage", STAGES[job.stage] === job.stage ? job.stage : `${job.stage}: ${STAGES[job.stage] || ""}`), fact("Task", job.task && `${job.task.number || ""} (${job.task.id})`))),
    h("section", { id: "papers" }, h("header", {}, h("h2", {}, "Papers")),
      job.receipt ? h("details", { "data-key": "receipt" }, h("summary", { "data-key": "receipt-summary" }, "Receipt"), h("pre", { tabindex: "0" }, visible(JSON.stringify(job.receipt, null, 2)).replaceAll("\\u000a", "\n"))) : h("p", { class: "quiet" }, "The receipt is written when the job ends."),
      h("details", { "data-key": "history" }, h("summary", { "data-key": "history-summary" }, `Whole history (${job.history.length})`),
        h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "History" }, h("table", {}, h("thead", {}, h("tr", {}, ["When", "Event", "Stage", "Detail"].map((head) => h("th", { scope: "col" }, head)))),
          h("tbody", {}, job.history.map((row) => h("tr", {}, h("td", {}, moment(row.at)), h("th", { scope: "row" }, row.event), h("td", {}, row.stage), h("td", { class: "small" }, detail(row))))))))),
  ];
}

export async function showJob(main, id, signal) {
  const found = await get(`v1/job?name=${encodeURIComponent(id)}`, signal);
  if (found.matches) {
    put(main, found.matches.map((job) => [job.job, job.stage]), () => h("section", { id: "list" }, h("header", {}, h("h1", {}, visible(id)), h("a", { href: "#/" }, "Back to the overview")),
      jobTable(found.matches, new Date().toISOString(), `${found.matches.length} jobs have this name`)));
    return;
  }
  document.title = `${visible(found.file)} · hopperd`;
  const still = JSON.parse(JSON.stringify(found, (key, value) => (["age_seconds", "in_stage_seconds"].includes(key) ? undefined : value)));
  put(main, [still, rights], () => [h("nav", { "aria-label": "Back" }, h("a", { href: "#/" }, "← Overview")), page(found)]);
}
