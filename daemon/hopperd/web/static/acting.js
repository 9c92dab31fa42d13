// What a person can do from here: orders, pauses, tokens. Without an act token the command is shown in place of a button.

import { get, h, post, Refused, token } from "./dom.js";

export const rights = { acting: false, exports: false };

const dialog = document.getElementById("ask");
const part = (name) => document.getElementById(`ask-${name}`);

// One question; the text that was typed, "yes" where there is no field, or null.
export function ask({ title, text, yes, label = "", secret = false }) {
  part("title").textContent = title;
  part("text").textContent = text;
  part("yes").textContent = yes;
  part("label").textContent = label;
  part("label").hidden = part("input").hidden = !label;
  part("input").type = secret ? "password" : "text";
  part("input").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  (label ? part("input") : part("yes")).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const typed = part("input").value.trim();
      part("input").value = "";
      resolve(dialog.returnValue === "yes" ? (label ? typed : "yes") : null);
    }, { once: true });
  });
}
// Enter in the field means yes, not the first button of the form.
part("input").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  dialog.close("yes");
});

let forgets = 0;
export function tell(text) {
  const told = document.getElementById("told");
  told.textContent = text;
  clearTimeout(forgets);
  forgets = setTimeout(() => told.replaceChildren(), 9000);
}

export async function enterToken(why) {
  const typed = await ask({
    title: "Enter a token", text: why, yes: "Use it", label: "Token", secret: true,
  });
  if (!typed) return false;
  const before = token.get();
  token.set(typed);
  try {
    const may = await get("v1/rights");
    if (!may.known) throw new Refused(401, "This token is not known.");
    tell(may.act ? "You may read and act, until this tab is closed." : "You may read, until this tab is closed.");
    window.dispatchEvent(new Event("token"));
    return true;
  } catch (error) {
    token.set(before);
    tell(error.message);
    return false;
  }
}

async function act(path, body, said) {
  try {
    tell(said(await post(path, body)));
  } catch (error) {
    if (error.status === 401) {
      if (await enterToken("Acting needs the act token. It is kept in this tab only.")) await act(path, body, said);
    } else {
      tell(error.message);
    }
  }
}

const outcome = (answer) => [
  ...answer.did.map((one) => `${one.file}: ${one.what}`),
  ...answer.refused.map((one) => `${one.file}: ${one.why}`),
].join("; ") || "There was nothing to do.";

const QUESTIONS = {
  forget: "Give this job up?",
  hold: "Hold this job?",
};

async function order(name, job, more) {
  if (name === "forget") {
    const sure = await ask({ title: job.stage === "failed" || job.stage === "done" ? "Forget this job?" : QUESTIONS.forget,
      yes: job.stage === "failed" || job.stage === "done" ? "Forget it" : "Give it up",
      text: job.stage === "failed" || job.stage === "done"
        ? `${job.file}: the job leaves the list. Its original stays where it is.`
        : `${job.file} will not be captured; its original goes to failed/.` });
    if (sure === null) return;
  }
  if (name === "hold") {
    const why = await ask({ title: QUESTIONS.hold, text: `${job.file} stays where it is until somebody releases it.`, yes: "Hold", label: "Why (may be empty)" });
    if (why === null) return;
    more = { why };
  }
  if (name === "release" && job.stage === "submitting" && !more) {
    const sure = await ask({ title: "Ask for the capture again?", yes: "Release",
      text: `Nobody knows whether ${job.file} was captured already. Released, it is asked for once more, which may be paid for twice. If you find its task in the portal, name that task on the job's page instead.` });
    if (sure === null) return;
  }
  await act("v1/orders", { order: name, jobs: [job.job], ...more }, outcome);
}

const WORDS = { retry: "Retry", release: "Release", hold: "Hold", forget: "Give up" };

// A button, or where nobody may act from here, the command that does the same.
export function orderButton(name, job, main = true, typed = main) {
  if (!rights.acting) return typed ? h("code", {}, `hopperd ${name} ${job.job}`) : null;
  const word = name === "forget" && (job.stage === "done" || job.stage === "failed") ? "Forget" : WORDS[name];
  return h("button", { type: "button", class: main && "main", "data-key": `${name} ${job.job}`, "aria-label": `${word} ${job.file}`,
    onclick: () => order(name, job) }, word);
}

export function pauseButton(kind, name, paused, main) {
  const word = paused ? "Resume" : "Pause";
  if (!rights.acting) return main ? h("code", {}, `hopperd ${word.toLowerCase()} ${name}`) : null;
  return h("button", { type: "button", class: main && "main", "data-key": `${main ? "top " : ""}${word} ${kind} ${name}`, "aria-label": `${word} ${kind} ${name}`,
    onclick: async () => {
      if (!paused && (await ask({ title: `Pause ${kind} ${name}?`, text: "What is under way ends; nothing new begins until it is resumed.", yes: "Pause" })) === null) return;
      await act(`v1/${word.toLowerCase()}`, { kind, name, why: "" }, () => `${kind} ${name}: ${paused ? "goes on" : "paused"}`);
    } }, word);
}

export async function releaseWithTask(job) {
  const task = await ask({ title: "Name its task", text: "The id of the task as the service's portal shows it. Nothing is asked for again; the job goes on with that task.", yes: "Release", label: "Task id" });
  if (task) await order("release", job, { task });
}
