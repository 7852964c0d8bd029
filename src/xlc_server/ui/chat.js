// Chats: questions, streamed answers, their speed, and how busy the server is.
import { $, call, element, stream } from "./server.js";

const messages = JSON.parse(sessionStorage.getItem("messages") ?? "[]");
let [running, timer] = [null, 0]; // the AbortController of the answer that is being written; the next look at slots

export const lastAnswer = () => messages.findLast(({ role }) => role === "assistant")?.content ?? "";

// Returns a text with its code as elements; all else stays as the model wrote it.
function format(text) {
  return text.split(/^```/m).flatMap((part, index) => {
    if (index % 2) return [element("pre", {}, element("code", {}, part.replace(/^.*\n?/, "")))];
    return part.split(/`([^`\n]+)`/).map((piece, inner) => (inner % 2 ? element("code", {}, piece) : piece));
  });
}

// Adds a message to the page, and returns a function that sets its text and its thinking.
function addMessage(role, author) {
  const [thinking, body] = [element("pre"), element("div", { className: "text" })];
  const folded = element("details", { hidden: true }, element("summary", {}, "Thinking"), thinking);
  $("messages").append(element("article", { className: role }, element("h2", {}, author), folded, body));
  return (text, thoughts = "") => {
    const list = $("messages");
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    folded.hidden = !thoughts;
    thinking.textContent = thoughts;
    body.replaceChildren(...format(text));
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  };
}

function showMessages() {
  $("messages").replaceChildren();
  for (const { role, content, author, thoughts } of messages) addMessage(role, author)(content, thoughts);
}

function keepMessages() {
  try {
    sessionStorage.setItem("messages", JSON.stringify(messages));
  } catch {
    $("problem").textContent = "The chat is too long to be kept when the page is loaded again.";
  }
}

function request() {
  const body = { model: $("model").value, stream: true, stream_options: { include_usage: true } };
  for (const name of ["temperature", "max_tokens"]) if ($(name).value) body[name] = Number($(name).value);
  const system = $("system").value.trim() ? [{ role: "system", content: $("system").value }] : [];
  return { ...body, messages: [...system, ...messages.map(({ role, content }) => ({ role, content }))] };
}

// Asks a question and shows the answer as it comes. Without an answer, the question returns to its field.
async function ask(question) {
  const author = $("model").value;
  messages.push({ role: "user", content: question, author: "You" });
  addMessage("user", "You")(question);
  const update = addMessage("assistant", author);
  $("messages").scrollTop = $("messages").scrollHeight;
  running = new AbortController();
  const begun = performance.now();
  let [content, thoughts, first, usage, end] = ["", "", 0, {}, ""];
  try {
    for await (const event of stream("v1/chat/completions", request(), running.signal)) {
      const [choice] = event.choices;
      content += choice?.delta.content ?? "";
      thoughts += choice?.delta.reasoning_content ?? "";
      usage = event.usage ?? usage;
      end = choice?.finish_reason ?? end;
      if (content || thoughts || end) first ||= performance.now();
      update(content, thoughts);
    }
    showSpeed(first - begun, performance.now() - first, usage.completion_tokens, end);
  } catch (error) {
    $(running.signal.aborted ? "speed" : "problem").textContent = running.signal.aborted ? "Stopped." : error.message;
  }
  running = null;
  if (content || thoughts || end) messages.push({ role: "assistant", content, author, thoughts });
  else {
    messages.pop();
    $("question").value ||= question;
    showMessages();
  }
  keepMessages();
}

function showSpeed(wait, writing, n, end) {
  const speed = n > 1 ? `${((1000 * (n - 1)) / writing).toFixed(1)} tokens/s · ` : "";
  const rest = `${n} tokens${end === "length" ? " (the limit)" : ""}`;
  $("speed").textContent = `${speed}first token after ${(wait / 1000).toFixed(2)} s · ${rest}`;
}

// Shows the slots, and goes on until the server refuses to.
async function watchSlots() {
  const path = `slots?model=${encodeURIComponent($("model").value)}`;
  const slots = document.hidden ? [] : await call(path).then((answer) => answer.json()).catch(() => null);
  const n = slots?.filter((slot) => slot.is_processing).length;
  const dots = slots?.map((_, index) => element("i", { className: index < n ? "busy" : "" })) ?? [];
  $("slots").replaceChildren(...dots);
  $("slots").title = $("slots").ariaLabel = dots.length ? `${n} of ${dots.length} slots are busy` : "";
  clearTimeout(timer);
  if (slots) timer = setTimeout(watchSlots, running || n ? 500 : 5000);
}

function setBusy(isBusy) {
  $("send").hidden = $("clear").disabled = $("messages").ariaBusy = isBusy;
  $("stop").hidden = !isBusy;
  setTimeout(watchSlots, 100);
}

$("composer").addEventListener("submit", async () => {
  const question = $("question").value.trim();
  if (!question || running) return;
  $("question").value = $("problem").textContent = $("speed").textContent = "";
  setBusy(true);
  await ask(question).finally(() => setBusy(false));
  $("question").focus();
});
$("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("stop").addEventListener("click", () => running?.abort()); // the server sees that nobody reads, and frees the slot
addEventListener("keydown", (event) => event.key === "Escape" && running?.abort());
$("clear").addEventListener("click", () => {
  messages.length = 0;
  $("speed").textContent = $("problem").textContent = "";
  showMessages();
  keepMessages();
});
$("model").addEventListener("change", watchSlots);
showMessages();
