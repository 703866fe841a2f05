"use strict";

// Where a table goes on to the right of its edge, a fade says so.
{
  const mark = (area) => area.classList.toggle("more", area.scrollLeft + area.clientWidth < area.scrollWidth - 1);
  const resized = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
  for (const area of document.querySelectorAll(".scroll")) {
    area.addEventListener("scroll", () => mark(area), { passive: true });
    resized.observe(area);
  }
}
