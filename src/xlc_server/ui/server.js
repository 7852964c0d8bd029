// Requests to the server, the fields that are kept while the tab is open, and the view that is shown.
export const $ = (id) => document.getElementById(id);

// Returns an element. Its texts are text nodes: what a server or a model writes is never read as HTML.
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Returns the answer to a request, or throws an Error with the server's own message.
export async function call(path, body, signal) {
  const headers = $("key").value ? { authorization: `Bearer ${$("key").value}` } : {};
  const post = body && { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(path, { headers, signal, ...post }).catch((error) => {
    throw signal?.aborted ? error : new Error("The server does not answer.");
  });
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(error?.message ?? `Status ${answer.status}`), { status: answer.status });
}

// Yields the events of a stream.
export async function* stream(path, body, signal) {
  const reader = (await call(path, body, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The answer is not complete: the server has gone.");
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks.filter((block) => block.startsWith("data: "))) {
      if (block === "data: [DONE]") return;
      const event = JSON.parse(block.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

async function listModels() {
  try {
    const { data } = await (await call("v1/models")).json();
    const chosen = sessionStorage.getItem("model");
    $("model").replaceChildren(...data.map(({ id }) => element("option", { selected: id === chosen }, id)));
    $("problem").textContent = "";
    $("model").dispatchEvent(new Event("change"));
  } catch (error) {
    $("problem").textContent = error.message;
    if (error.status === 401) $("settings").showPopover(); // its field for the key has the focus
  }
}

function showView() {
  const view = location.hash === "#constraints" ? "constraints" : "chat";
  for (const main of document.querySelectorAll("main")) main.hidden = main.id !== view;
  for (const link of document.querySelectorAll("nav a")) link.ariaCurrent = link.hash === `#${view}` ? "page" : null;
}

for (const field of document.querySelectorAll("[data-kept]")) {
  field.value = sessionStorage.getItem(field.id) ?? field.value;
  field.addEventListener("change", () => sessionStorage.setItem(field.id, field.value));
}
for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
$("key").addEventListener("change", listModels);
addEventListener("hashchange", showView);
showView();
listModels();
