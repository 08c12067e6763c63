// The inbox of `stentor dev`: asks the sandbox twice a second what changed, and shows it.
// Everything that came from outside is set as text, never as markup.

const LOOK_MS = 500;
const LOOK_HIDDEN_MS = 3000;
const KEPT_MAX = 10000;
const THREAD_MAX = 200;
const RECIPIENTS_MAX = 200;
const SENT_MAX = 50;
const RECEIVED_MAX = 50;
const RECEIVED_PAGE = 1000;
// The preview is asked for when no key was pressed for this time.
const MEASURE_MS = 150;
// What the page remembers over a reload, in the browser.
const SENT_KEY = "stentor.sent";
const CLEARED_KEY = "stentor.cleared";
// Where a phone writes to that has nothing to answer, and the phone that writes before any is there.
const SHORT_NUMBER = "72345";
const FIRST_PHONE = "+4915112340000";
const FINAL = new Set(["delivered", "undelivered", "expired", "rejected", "cancelled", "dead"]);

const at = (id) => document.getElementById(id);
const messages = new Map();
const sent = new Map();
let look = { epoch: null, revision: 0, newest: 0 };
let token = "";
let selected = null;
let drawPlanned = false;
let cursor = null;
// When the newest message that was cleared had arrived.
let clearedMs = Number(remembered(CLEARED_KEY)) || 0;
let receivedMs = 0;

function remembered(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // A browser that keeps nothing still shows everything.
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// What changed.

async function poll() {
  let more = false;
  try {
    const answer = await fetch(`/dev/messages?after=${look.revision}`, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    more = take(await answer.json());
    showLink("live", "live");
  } catch {
    showLink("lost", "the daemon does not answer; trying again");
  }
  setTimeout(poll, more ? 0 : document.hidden ? LOOK_HIDDEN_MS : LOOK_MS);
}

function take(told) {
  if (told.epoch !== look.epoch) {
    const restarted = look.epoch !== null;
    look = { epoch: told.epoch, revision: 0, newest: 0 };
    messages.clear();
    if (restarted) {
      // The answer was asked for with a number of the process before.
      loadSandbox();
      readReceivedAgain();
      planDraw();
      return true;
    }
  }
  for (const message of told.messages) {
    look.revision = message.revision;
    messages.set(message.number, message);
    if (message.number > look.newest) {
      look.newest = message.number;
      if (at("follow").checked) selected = phoneOf(message);
    }
  }
  while (messages.size > KEPT_MAX) messages.delete(Math.min(...messages.keys()));
  for (const [name, on] of Object.entries(told.chaos)) {
    const input = at(`switch-${name}`);
    if (input && document.activeElement !== input) input.checked = on;
  }
  const forgotten = told.arrived - told.kept;
  at("arrived").textContent =
    `${told.arrived} message${told.arrived === 1 ? "" : "s"}${forgotten > 0 ? `, the last ${told.kept} kept` : ""}`;
  if (told.messages.length > 0) planDraw();
  return told.messages.length > 0;
}

function showLink(state, text) {
  const link = at("link");
  if (link.textContent === text) return;
  link.className = `link ${state}`;
  link.textContent = text;
}

// The phones.

function planDraw() {
  if (drawPlanned) return;
  drawPlanned = true;
  requestAnimationFrame(() => {
    drawPlanned = false;
    draw();
  });
}

function draw() {
  const phones = new Map();
  const shown = [...messages.values()].filter((message) => message.at_ms > clearedMs);
  at("uncover").hidden = shown.length === messages.size;
  const inOrder = shown.sort((a, b) => a.number - b.number);
  for (const message of inOrder) {
    const phone = phones.get(phoneOf(message));
    if (phone) phone.push(message);
    else phones.set(phoneOf(message), [message]);
  }
  const wanted = at("search").value.trim().toLowerCase();
  const found = [...phones.entries()].filter(([, thread]) => thread.some((message) => holds(message, wanted)));
  const newestFirst = found.sort((a, b) => b[1].at(-1).number - a[1].at(-1).number);
  if (!found.some(([phone]) => phone === selected)) selected = newestFirst.length > 0 ? newestFirst[0][0] : null;
  drawRecipients(newestFirst.slice(0, RECIPIENTS_MAX));
  drawThread(phones.get(selected) ?? []);
  offerAnswer(phones.get(selected) ?? []);
}

function holds(message, wanted) {
  return [message.to, message.from, message.text ?? ""].some((field) => field.toLowerCase().includes(wanted));
}

function clear() {
  clearedMs = Math.max(clearedMs, receivedMs, ...[...messages.values()].map((message) => message.at_ms));
  remember(CLEARED_KEY, clearedMs);
  sent.clear();
  remember(SENT_KEY, []);
  at("sent").replaceChildren();
  at("sent-none").hidden = false;
  readReceivedAgain();
  planDraw();
}

function uncover() {
  clearedMs = 0;
  remember(CLEARED_KEY, clearedMs);
  readReceivedAgain();
  planDraw();
}

// What a phone wrote is shown beside that phone.
function phoneOf(message) {
  return message.written ? message.from : message.to;
}

function drawRecipients(phones) {
  const focused = document.activeElement?.dataset?.to;
  at("recipients").replaceChildren(...phones.map(([to, thread]) => {
    const button = element("button");
    button.type = "button";
    button.dataset.to = to;
    button.setAttribute("aria-current", String(to === selected));
    const name = element("span", "recipient");
    name.append(element("span", "", to), element("span", "", String(thread.length)));
    button.append(name, element("span", "glimpse", glimpse(thread.at(-1))));
    button.addEventListener("click", () => {
      selected = to;
      at("follow").checked = false;
      planDraw();
    });
    const item = element("li");
    item.append(button);
    return item;
  }));
  if (focused) [...at("recipients").querySelectorAll("button")].find((button) => button.dataset.to === focused)?.focus();
}

function glimpse(message) {
  return message.text ?? (message.bytes === null ? "…" : "binary data");
}

function drawThread(thread) {
  const pane = at("thread");
  const atEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40 || pane.dataset.of !== selected;
  at("owner").textContent = selected ?? "no phone yet";
  if (thread.length === 0) {
    const nothing = messages.size === 0 ? "Nothing has arrived yet. Send a message from this page, or with curl." : "Nothing to show.";
    pane.replaceChildren(element("p", "quiet", nothing));
    return;
  }
  const shown = thread.slice(-THREAD_MAX).map(bubble);
  if (thread.length > THREAD_MAX) shown.unshift(element("p", "quiet", `${thread.length - THREAD_MAX} older ones are not shown.`));
  pane.replaceChildren(...shown);
  pane.dataset.of = selected;
  if (atEnd) pane.scrollTop = pane.scrollHeight;
}

function bubble(message) {
  const receipt = message.written ? takenOf(message) : receiptOf(message);
  const kinds = [message.written && "written", message.flash && "flash", receipt.kind === "bad" && "missed"];
  const made = element("article", ["bubble", ...kinds].filter(Boolean).join(" "));
  made.append(element("p", "sender", message.written ? `to ${message.to}` : message.from || "no sender"));
  if (message.text !== null) made.append(element("p", "text", message.text));
  else if (message.bytes !== null) made.append(element("p", "text bytes", message.bytes.replace(/(..)/g, "$1 ")));
  else made.append(element("p", "text part", `${here(message)} of ${message.parts_total} parts are here`));
  const facts = element("p", "facts");
  facts.append(...factsOf(message).map((fact) => element("span", "", fact)), element("b", receipt.kind, receipt.text));
  facts.title = message.parts.map((part) => `part ${part.number}: ${part.bytes} bytes, carrier's id ${part.id}, ${message.written ? "" : "receipt "}${part.receipt}`).join("\n");
  made.append(facts);
  return made;
}

function here(message) {
  return new Set(message.parts.map((part) => part.number)).size;
}

function factsOf(message) {
  const facts = [new Date(message.at_ms).toLocaleTimeString(), message.encoding];
  if (message.parts_total > 1) facts.push(`${message.parts_total} parts`);
  if (message.flash) facts.push("flash");
  if (message.ports) facts.push(`port ${message.ports[0]} from ${message.ports[1]}`);
  return facts;
}

const UNDELIVERED = {
  UNDELIV: "never reached the phone (UNDELIV)",
  EXPIRED: "expired at the carrier (EXPIRED)",
  REJECTD: "rejected by the carrier (REJECTD)",
};

function receiptOf(message) {
  const words = message.parts.map((part) => part.receipt);
  const failed = words.find((word) => word in UNDELIVERED);
  if (failed) return { kind: "bad", text: UNDELIVERED[failed] };
  if (words.every((word) => word === "none")) return { kind: "", text: "no receipt will come" };
  if (here(message) === message.parts_total && words.every((word) => word === "DELIVRD")) return { kind: "good", text: "receipt: delivered" };
  return { kind: "", text: words.includes("ENROUTE") ? "receipt: on its way" : "receipt to come" };
}

// What phones write.

function takenOf(message) {
  const taken = here(message) === message.parts_total && message.parts.every((part) => part.receipt === "taken");
  return taken ? { kind: "good", text: "received by your service" } : { kind: "", text: "not taken yet" };
}

// The newest sender that has a number; a name cannot be answered.
function offerAnswer(thread) {
  const arrived = thread.filter((message) => !message.written);
  const isNumber = (message) => /^\+?[0-9]{3,15}$/.test(message.from);
  const offered = arrived.findLast(isNumber)?.from ?? SHORT_NUMBER;
  const newest = arrived.at(-1);
  const hint = at("write-hint");
  hint.hidden = !newest || isNumber(newest);
  hint.textContent = hint.hidden ? "" : `Phones cannot answer a name such as ${newest.from || "none"}, only numbers.`;
  const to = at("write-to");
  const offer = `${selected} ${offered}`;
  if (to.dataset.offer === offer || document.activeElement === to) return;
  to.dataset.offer = offer;
  to.value = offered;
}

async function write(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  const [to, text] = [at("write-to").value, at("write-text")];
  const refusal = at("write-refusal");
  button.disabled = true;
  refusal.hidden = true;
  try {
    const body = JSON.stringify({ token, from: selected ?? FIRST_PHONE, to, text: text.value });
    const answer = await fetch("/dev/handset", { method: "POST", body });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    text.value = "";
  } catch (error) {
    refusal.textContent = `not sent: ${error.message}`;
    refusal.hidden = false;
  }
  button.disabled = false;
}

// What the service receives, as it would read it itself.

async function readReceived() {
  let more = false;
  const before = cursor;
  try {
    const from = before === null ? "" : `&cursor=${encodeURIComponent(before)}`;
    const answer = await fetch(`/v1/inbound?limit=${RECEIVED_PAGE}${from}`);
    const told = await answer.text();
    if (!answer.ok) throw new Error(JSON.parse(told).code);
    // Asked for before everything is read again.
    if (cursor !== before) more = true;
    else {
      const lines = told.split("\n").filter(Boolean).map((line) => JSON.parse(line));
      const received = lines.filter((line) => line.id);
      noteReceived(received);
      cursor = lines.findLast((line) => line.cursor)?.cursor ?? cursor;
      more = received.length > 0 && cursor !== before;
    }
  } catch (error) {
    // Another data directory has other cursors.
    if (error.message === "invalid_cursor") cursor = null;
  }
  setTimeout(readReceived, more ? 0 : document.hidden ? LOOK_HIDDEN_MS : LOOK_MS * 2);
}

// From the first one on.
function readReceivedAgain() {
  cursor = null;
  at("received").replaceChildren();
  at("received-none").hidden = false;
}

function noteReceived(received) {
  const messages = received.filter((message) => Date.parse(message.at) > clearedMs);
  if (messages.length === 0) return;
  receivedMs = Math.max(receivedMs, Date.parse(messages.at(-1).at));
  at("received-none").hidden = true;
  const list = at("received");
  for (const message of messages.slice(-RECEIVED_MAX)) {
    const item = element("li");
    const when = element("time", "", new Date(message.at).toLocaleTimeString());
    when.dateTime = message.at;
    item.append(element("span", "", `${message.from} → ${message.to}`), when, element("span", "said", message.text ?? message.hex));
    list.prepend(item);
  }
  while (list.children.length > RECEIVED_MAX) list.lastElementChild.remove();
}

// What was sent from here.

// The message in the form.
function typed() {
  const form = new FormData(at("send"));
  const one = { to: form.get("to").trim(), body: form.get("body"), class: form.get("class") };
  if (form.get("from").trim()) one.from = form.get("from").trim();
  if (form.get("flash")) one.flash = true;
  return one;
}

async function send(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  const copies = Number(at("copies").value);
  const one = typed();
  const list = Array.from({ length: copies }, (_, i) => (copies === 1 ? one : { ...one, body: `${one.body} (${i + 1})` }));
  button.disabled = true;
  showRefusal(null);
  try {
    const answer = await fetch("/v1/messages", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(copies === 1 ? one : list),
    });
    const told = await answer.json();
    if (!answer.ok) showRefusal(told);
    else for (const result of told.results ?? [told].flat()) noteSent(result, one.to);
  } catch (error) {
    showRefusal({ detail: `the daemon does not answer: ${error.message}` });
  }
  button.disabled = false;
}

function showRefusal(problem) {
  const refusal = at("refusal");
  refusal.hidden = problem === null;
  if (problem === null) return;
  refusal.textContent = [problem.code, problem.detail].filter(Boolean).join(": ");
  const url = URL.parse(problem.doc_url ?? "", location.href);
  if (typeof problem.doc_url === "string" && url?.origin === location.origin) {
    const page = element("a", "", "what that means");
    page.href = url.pathname;
    refusal.append(" ", page);
  }
}

// The text's length as the sandbox counts it, and the command that sends the same.
let measuring = 0;

function showTyped() {
  const one = typed();
  const quoted = JSON.stringify(one).replaceAll("'", "'\\''");
  at("curl").textContent =
    `curl ${location.origin}/v1/messages -H 'content-type: application/json' \\\n  -d '${quoted}'`;
  at("copied").textContent = "";
  clearTimeout(measuring);
  measuring = setTimeout(measure, MEASURE_MS, one.body);
}

async function measure(text) {
  let told = "";
  try {
    const answer = await fetch("/dev/preview", { method: "POST", body: JSON.stringify({ text }) });
    const found = await answer.json();
    told = answer.ok ? measured(found) : `not counted: ${found.detail}`;
  } catch {
    // The header says that the daemon does not answer.
  }
  if (at("body").value === text) at("measure").textContent = told;
}

function measured({ encoding, units, room, parts, fits, because }) {
  const why = because === null ? "" : ` because of “${because}”`;
  const told = `${units} of ${room * parts} units, ${parts} part${parts === 1 ? "" : "s"}, ${encoding}${why}`;
  return fits ? told : `${told}: too long to be sent`;
}

async function copy() {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("copied").textContent = "copied";
  } catch {
    getSelection().selectAllChildren(at("curl"));
    at("copied").textContent = "selected: copy it with the keyboard";
  }
}

function noteSent(result, to) {
  if (!result.id) return showRefusal(result.error ?? { detail: "a message was refused" });
  at("sent-none").hidden = true;
  const item = element("li");
  const state = element("span", "state", "…");
  const page = element("a", "", result.id);
  page.href = `/v1/messages/${encodeURIComponent(result.id)}`;
  page.target = "_blank";
  page.rel = "noopener";
  item.append(element("span", "", to), state, page);
  at("sent").prepend(item);
  sent.set(result.id, { item, state, to });
  while (sent.size > SENT_MAX) forgetSent(sent.keys().next().value);
  keepSent();
}

function forgetSent(id) {
  sent.get(id)?.item.remove();
  sent.delete(id);
  at("sent-none").hidden = sent.size > 0;
}

function keepSent() {
  remember(SENT_KEY, [...sent].map(([id, { to }]) => ({ id, to })));
}

function recallSent() {
  const kept = remembered(SENT_KEY);
  if (!Array.isArray(kept)) return;
  for (const { id, to } of kept) if (typeof id === "string" && typeof to === "string") noteSent({ id }, to);
}

async function followSent() {
  for (const [id, entry] of [...sent]) {
    if (FINAL.has(entry.state.textContent)) continue;
    try {
      const answer = await fetch(`/v1/messages/${encodeURIComponent(id)}`);
      const told = await answer.json();
      if (answer.status === 404) {
        // Of a data directory that is no more.
        forgetSent(id);
        keepSent();
        continue;
      }
      const state = answer.ok ? told.state : told.code;
      if (entry.state.textContent !== state) entry.state.textContent = state;
      entry.state.className = `state ${state === "delivered" ? "good" : FINAL.has(state) ? "bad" : ""}`;
    } catch {
      break;
    }
  }
  setTimeout(followSent, 1000);
}

// The sandbox's own words.

async function loadSandbox() {
  try {
    const told = await (await fetch("/dev/sandbox")).json();
    token = told.token;
    at("switches").replaceChildren(...told.switches.map(switchItem));
    at("magic").replaceChildren(...told.magic.map(magicItem));
  } catch {
    setTimeout(loadSandbox, 1000);
  }
}

function switchItem({ name, label, explanation }) {
  const input = element("input");
  input.type = "checkbox";
  input.id = `switch-${name}`;
  input.dataset.name = name;
  input.setAttribute("role", "switch");
  input.addEventListener("change", changeBehaviour);
  const words = element("label");
  words.append(input, element("span", "", label), element("small", "", explanation));
  const item = element("li");
  item.append(words);
  return item;
}

function magicItem({ digits, explanation }) {
  const button = element("button");
  button.type = "button";
  button.append(element("code", "", `…${digits}`), element("span", "", explanation));
  button.addEventListener("click", () => {
    const to = at("to");
    to.value = (to.value.length > 8 ? to.value.slice(0, -4) : "+491511234") + digits;
    showTyped();
    at("body").focus();
  });
  const item = element("li");
  item.append(button);
  return item;
}

async function changeBehaviour() {
  const inputs = [...at("switches").querySelectorAll("input")];
  const chaos = Object.fromEntries(inputs.map((input) => [input.dataset.name, input.checked]));
  try {
    const answer = await fetch("/dev/behaviour", { method: "POST", body: JSON.stringify({ token, chaos }) });
    if (!answer.ok) throw new Error((await answer.json()).detail);
  } catch (error) {
    showLink("lost", `not switched: ${error.message}`);
  }
}

at("send").addEventListener("submit", send);
at("send").addEventListener("input", showTyped);
at("copy").addEventListener("click", copy);
at("clear").addEventListener("click", clear);
at("uncover").addEventListener("click", uncover);
at("search").addEventListener("input", planDraw);
at("write").addEventListener("submit", write);
at("received-hint").textContent = `curl ${location.origin}/v1/inbound`;
showTyped();
recallSent();
loadSandbox().then(poll);
followSent();
readReceived();
