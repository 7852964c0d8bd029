// Constraints: whether one can be enforced, where a text leaves it, and what may come next.
import { lastAnswer } from "./chat.js";
import { $, call, element } from "./server.js";

const properties = { city: { type: "string", maxLength: 20 }, founded: { type: "integer", maximum: 2100 } };
const schema = { type: "object", properties, required: ["city", "founded"], additionalProperties: false };
const drafts = {
  json_schema: JSON.stringify(schema, null, 2),
  regex: "(Yes|No), [a-z ]{1,40}\\.",
  gbnf: 'root ::= ("yes" | "no") ", " [a-z ]+ "."',
  ...JSON.parse(sessionStorage.getItem("drafts") ?? "{}"),
};
let [timer, asking] = [0, new AbortController()];

async function explain() {
  if ($("constraints").hidden) return;
  asking.abort();
  const { signal } = (asking = new AbortController());
  const [model, kind, constraint, text] = ["model", "kind", "constraint", "text"].map((id) => $(id).value);
  try {
    const answer = await call("constraints/explain", { model, kind, constraint, text }, signal);
    const { accepted, complete, n_bytes, allowed, refused, expected } = await answer.json();
    let verdict = ["refused", `Refused after ${n_bytes} bytes${complete ? ", where the answer was complete" : ""}.`];
    if (accepted) verdict = ["accepted", "A complete answer."];
    else if (!refused) verdict = ["open", text ? "Allowed, but not complete." : "This can be enforced."];
    show(...verdict, allowed, refused, expected);
  } catch (error) {
    if (!signal.aborted) show("refused", error.message, "", "", []);
  }
}

// Shows a verdict, the two parts of the text, and buttons for tokens that may come next; not for runs of white space.
function show(kind, verdict, allowed, refused, expected) {
  Object.assign($("verdict"), { className: kind, textContent: verdict });
  $("shown").replaceChildren(allowed, element("mark", {}, refused));
  $("shown").hidden = !allowed && !refused;
  $("next").hidden = !expected.length;
  const buttons = expected.filter(({ token }) => /\S|^[ \n]$/.test(token)).map(({ token, is_control }) => {
    const disabled = is_control || token.includes("\ufffd"); // half a character
    const properties = { type: "button", disabled, onclick: () => setText(allowed + token) };
    return element("button", properties, token.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥"));
  });
  $("expected").replaceChildren(...buttons);
}

function setText(text) {
  $("text").value = text;
  $("text").dispatchEvent(new Event("change"));
  explain();
}

function openDraft() {
  $("constraint").value = drafts[$("kind").value];
  explain();
}

function typed() {
  drafts[$("kind").value] = $("constraint").value;
  sessionStorage.setItem("drafts", JSON.stringify(drafts));
  clearTimeout(timer);
  timer = setTimeout(explain, 300);
}

for (const id of ["constraint", "text"]) $(id).addEventListener("input", typed);
$("kind").addEventListener("change", openDraft);
$("take").addEventListener("click", () => setText(lastAnswer()));
$("model").addEventListener("change", explain);
addEventListener("hashchange", explain);
openDraft();
