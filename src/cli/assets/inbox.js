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
      cursor = null;
      at("received").replaceChildren();
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
  const inOrder = [...messages.values()].sort((a, b) => a.number - b.number);
  for (const message of inOrder) {
    const phone = phones.get(phoneOf(message));
    if (phone) phone.push(message);
    else phones.set(phoneOf(message), [message]);
  }
  const newestFirst = [...phones.entries()].sort((a, b) => b[1].at(-1).number - a[1].at(-1).number);
  if (!phones.has(selected)) selected = newestFirst.length > 0 ? newestFirst[0][0] : null;
  drawRecipients(newestFirst.slice(0, RECIPIENTS_MAX));
  drawThread(phones.get(selected) ?? []);
  offerAnswer(phones.get(selected) ?? []);
}

// What a phone wrote stands at that phone.
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
  return message.text ?? (message.octets === null ? "…" : "binary data");
}

function drawThread(thread) {
  const pane = at("thread");
  const atEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 40 || pane.dataset.of !== selected;
  at("owner").textContent = selected ?? "no phone yet";
  if (thread.length === 0) {
    pane.replaceChildren(element("p", "quiet", "Nothing has arrived yet. Send a message on the left, or with curl."));
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
  else if (message.octets !== null) made.append(element("p", "text octets", message.octets.replace(/(..)/g, "$1 ")));
  else made.append(element("p", "text part", `${here(message)} of ${message.parts_total} parts are here`));
  const facts = element("p", "facts", `${factsOf(message).join(" · ")} · `);
  facts.append(element("b", receipt.kind, receipt.text));
  facts.title = message.parts.map((part) => `part ${part.number}: ${part.octets} octets, carrier's id ${part.id}, ${message.written ? "" : "receipt "}${part.receipt}`).join("\n");
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
  try {
    const from = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const answer = await fetch(`/v1/inbound?limit=${RECEIVED_PAGE}${from}`);
    const told = await answer.text();
    if (!answer.ok) throw new Error(JSON.parse(told).code);
    const lines = told.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    const received = lines.filter((line) => line.id);
    noteReceived(received);
    const before = cursor;
    cursor = lines.findLast((line) => line.cursor)?.cursor ?? cursor;
    more = received.length > 0 && cursor !== before;
  } catch (error) {
    // Another data directory has other cursors.
    if (error.message === "invalid_cursor") cursor = null;
  }
  setTimeout(readReceived, more ? 0 : document.hidden ? LOOK_HIDDEN_MS : LOOK_MS * 2);
}

function noteReceived(messages) {
  if (messages.length === 0) return;
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

async function send(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const button = event.target.querySelector("button");
  const copies = Number(form.get("copies"));
  const one = { to: form.get("to").trim(), body: form.get("body"), class: form.get("class") };
  if (form.get("from").trim()) one.from = form.get("from").trim();
  if (form.get("flash")) one.flash = true;
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

function noteSent(result, to) {
  if (!result.id) return showRefusal(result.error ?? { detail: "a message was refused" });
  at("sent-none").hidden = true;
  const item = element("li");
  const state = element("span", "state", "…");
  const page = element("a", "", result.id);
  page.href = `/v1/messages/${encodeURIComponent(result.id)}`;
  item.append(element("span", "", to), state, page);
  at("sent").prepend(item);
  sent.set(result.id, { item, state });
  while (sent.size > SENT_MAX) {
    const [oldest, { item: gone }] = sent.entries().next().value;
    gone.remove();
    sent.delete(oldest);
  }
}

async function followSent() {
  for (const [id, entry] of [...sent]) {
    if (FINAL.has(entry.state.textContent)) continue;
    try {
      const answer = await fetch(`/v1/messages/${encodeURIComponent(id)}`);
      const told = await answer.json();
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
at("write").addEventListener("submit", write);
at("received-hint").textContent = `curl ${location.origin}/v1/inbound`;
loadSandbox().then(poll);
followSent();
readReceived();
