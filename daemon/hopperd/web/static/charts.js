// Throughput and time to export as inline SVG, each with the same figures as a table.

import { duration, h, s } from "./dom.js";

const WIDE = 480, HIGH = 150, LEFT = 44, BOTTOM = 20, TOP = 8;
const hour = (at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function nice(most) {
  if (most <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 5, 8, 10].map((step) => step * power).find((edge) => edge >= most);
}

function frame(series, most, label, text) {
  const bottom = HIGH - BOTTOM, count = series.done.length;
  const lines = [0, 0.5, 1].map((part) => {
    const y = bottom - part * (bottom - TOP);
    return [s("line", { class: "grid", x1: LEFT, x2: WIDE, y1: y, y2: y }),
      s("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, label(most * part))];
  });
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const at = series.starts + part * count * series.bucket_seconds;
    return s("text", { class: part % 0.5 ? "middle" : null, x: LEFT + part * (WIDE - LEFT), y: HIGH - 4, "text-anchor": anchor }, hour(at));
  });
  return s("svg", { class: "chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": text }, lines, ticks);
}

function asTable(series, key, heads, cells) {
  const details = h("details", { "data-key": key }, h("summary", { "data-key": `${key}-summary` }, "As a table"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const rows = series.done.map((_, at) => [at, cells(at)]).filter(([, row]) => row.some((cell) => cell));
    details.append(h("div", { class: "wide" }, h("table", {},
      h("thead", {}, h("tr", {}, ["from", ...heads].map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map(([at, row]) => h("tr", {},
        h("th", { scope: "row" }, hour(series.starts + at * series.bucket_seconds)),
        row.map((cell) => h("td", {}, cell || "–"))))))));
  });
  return details;
}

export function throughput(series, span) {
  const totals = series.done.map((done, at) => done + series.failed[at]);
  const most = nice(Math.max(...totals));
  const done = series.done.reduce((a, b) => a + b, 0), failed = series.failed.reduce((a, b) => a + b, 0);
  const each = series.bucket_seconds === 60 ? "per minute" : `per ${series.bucket_seconds / 60} minutes`;
  const svg = frame(series, most, (value) => value.toLocaleString(),
    `Throughput over the last ${span}: ${done} done, ${failed} failed.`);
  const bottom = HIGH - BOTTOM, step = (WIDE - LEFT) / totals.length;
  totals.forEach((total, at) => {
    if (!total) return;
    const x = LEFT + at * step + 0.5, wide = Math.max(1, step - 1);
    const full = (total / most) * (bottom - TOP), bad = (series.failed[at] / most) * (bottom - TOP);
    svg.append(s("g", {}, s("title", {}, `${hour(series.starts + at * series.bucket_seconds)}: ${series.done[at]} done, ${series.failed[at]} failed`),
      s("rect", { class: "done", x, y: bottom - full, width: wide, height: full - bad }),
      s("rect", { class: "failed", x, y: bottom - bad, width: wide, height: bad })));
  });
  return h("figure", {}, h("figcaption", {}, `Throughput, jobs ${each}`), svg,
    h("div", { class: "key" }, h("span", {}, h("i"), "done"), h("span", {}, h("i", { class: "failed" }), "failed")),
    asTable(series, `throughput-${span}`, ["done", "failed"], (at) => [series.done[at], series.failed[at]]));
}

function line(values, kind, dot, x, y) {
  const parts = [];
  let path = "";
  values.forEach((value, at) => {
    if (value === null) return;
    const alone = (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null;
    if (alone) parts.push(s("circle", { class: dot, cx: x(at), cy: y(value), r: 2.5 }));
    path += `${(values[at - 1] ?? null) === null ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  return [s("path", { class: kind, d: path }), parts];
}

export function timeToExport(series, span) {
  const most = nice(Math.max(0, ...series.p90_seconds.filter((value) => value !== null)));
  const svg = frame(series, most, duration,
    `Time to export over the last ${span}: half within ${duration(series.all_median_seconds)}, nine of ten within ${duration(series.all_p90_seconds)}.`);
  const bottom = HIGH - BOTTOM, step = (WIDE - LEFT) / series.done.length;
  const x = (at) => LEFT + (at + 0.5) * step, y = (value) => bottom - (value / most) * (bottom - TOP);
  svg.append(...[line(series.p90_seconds, "p90", "dot90", x, y), line(series.median_seconds, "median", "dot", x, y)].flat(9));
  return h("figure", {}, h("figcaption", {}, "Time to export"), svg,
    h("div", { class: "key" }, h("span", {}, h("i", { class: "median" }), "half within"),
      h("span", {}, h("i", { class: "p90" }), "nine of ten within")),
    asTable(series, `time-${span}`, ["half within", "nine of ten within"],
      (at) => [series.median_seconds[at] && duration(series.median_seconds[at]), series.p90_seconds[at] && duration(series.p90_seconds[at])]));
}
