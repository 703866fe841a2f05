"use strict";

// Browsers that know commandfor open the dialogs by themselves, scripts or not; the others are helped.
if (!("commandForElement" in HTMLButtonElement.prototype)) {
  for (const button of document.querySelectorAll("button[commandfor]")) {
    button.addEventListener("click", () => document.getElementById(button.getAttribute("commandfor")).showModal());
  }
}

// navigator.clipboard is kept from files that are opened from a disk in some browsers; a selection is not.
async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

for (const button of document.querySelectorAll(".copy")) {
  button.hidden = false;
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    button.textContent = (await copied(code)) ? "Copied" : "Selected: copy it by hand";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}
