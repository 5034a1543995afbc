"use strict";

// What analogue.reporting.pages.packed has packed into the element of that id.
function inflated(id) {
  const text = document.getElementById(id).textContent;
  return new Response(new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip")));
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const characters = atob(base64), bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
  return bytes;
}

// Text goes in as text: tokens may look like markup.
function element(tag, properties = {}, ...children) {
  const { style, data, aria, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.style, style);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const LAYOUT = { font: { family: "system-ui, Arial, sans-serif", size: 12 }, paper_bgcolor: "#fff" };
const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
const FILL = "#31688e";
