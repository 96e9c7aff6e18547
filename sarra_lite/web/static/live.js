// Keeps the page Now up to date while it is seen: the server sends those parts that changed, and
// idiomorph changes what differs, so that focus, selection and scrolling stay where they are.

const status = document.getElementById("live");
const policy = window.trustedTypes?.createPolicy("live", { createHTML: (text) => text });
let source = null;

function say(text) {
  // Only a change, since a screen reader says it.
  if (status.textContent !== text) status.textContent = text;
}

function update(event) {
  const html = policy ? policy.createHTML(event.data) : event.data;
  // Such a document runs no scripts and loads nothing.
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of [...fresh.body.children]) {
    const shown = document.getElementById(part.id);
    if (!shown) continue;
    const focused = shown.contains(document.activeElement);
    Idiomorph.morph(shown, part);
    // What had the focus has gone: its part is the nearest that is left.
    if (focused && document.activeElement === document.body) shown.focus({ preventScroll: true });
  }
  say("Live.");
}

function failed() {
  const ended = source.readyState === EventSource.CLOSED;
  say(ended ? "Not live any more. Load the page anew." : "Not live: the connection is lost.");
}

function follow() {
  // A browser has six connections to a server; pages that nobody sees must not take them all.
  source?.close();
  source = null;
  if (document.visibilityState === "hidden") return;
  source = new EventSource("/live");
  source.addEventListener("parts", update);
  source.addEventListener("error", failed);
}

document.addEventListener("visibilitychange", follow);
follow();
