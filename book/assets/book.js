// Binds the header's buttons by name; the content policy forbids event attributes.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (!button) return;
  if (button.dataset.action === "print") window.print();
  if (button.dataset.action === "fullscreen") window.toggleFullScreen();
});

// Wide code and tables scroll sideways; the keyboard must be able to do that too.
document.addEventListener("DOMContentLoaded", () => {
  const wide = "div.highlight pre, .pst-scrollable-table-container, div.output pre, math[display=block]";
  for (const block of document.querySelectorAll(wide)) {
    if (block.scrollWidth > block.clientWidth && !block.hasAttribute("tabindex")) {
      block.tabIndex = 0;
    }
  }
});

// A link to a claim opens its card.
const unfold = () => {
  const target = document.getElementById(location.hash.slice(1));
  const card = target && target.querySelector(":scope > .claim-card > details");
  if (card) card.open = true;
};
addEventListener("hashchange", unfold);
document.addEventListener("DOMContentLoaded", unfold);
// Paper is white: what is read in the dark is printed in the light.
let shown;
addEventListener("beforeprint", () => {
  shown = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => { document.documentElement.dataset.theme = shown; });
