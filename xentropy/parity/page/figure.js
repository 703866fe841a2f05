"use strict";

// The numbers are those of the table below the figure; nothing is stored twice.
{
  const plot = document.getElementById("plot");
  const rows = [...document.querySelectorAll("#levels tbody tr")];
  const curves = [...document.querySelectorAll(".readout tbody tr")];
  const caption = document.getElementById("level");
  const spoken = document.getElementById("spoken");
  const hairs = [...plot.querySelectorAll(".crosshair")];
  const positions = rows.map((row) => Number(row.dataset.x));
  let current = -1;

  const show = (index) => {
    current = index;
    const [level, ...cells] = [...rows[index].children].map((cell) => cell.textContent);
    caption.textContent = `At exact loss ${level}`;
    curves.forEach((curve, i) => {
      curve.children[1].textContent = cells[2 * i];
      curve.children[2].textContent = cells[2 * i + 1];
    });
    for (const hair of hairs) {
      hair.setAttribute("transform", `translate(${positions[index]} 0)`);
      hair.removeAttribute("hidden");
    }
    plot.setAttribute("aria-valuenow", index);
    plot.setAttribute("aria-valuetext", `exact loss ${level}`);
  };

  const speak = () => {
    const said = curves.map((curve) => {
      const [name, loss, gradient] = [...curve.children].map((cell) => cell.textContent.trim());
      return `${name}: loss ${loss}, gradient ${gradient === "-" ? "none" : gradient}`;
    });
    spoken.textContent = `${caption.textContent}. ${said.join("; ")}.`;
  };

  const nearest = (x) => {
    const distances = positions.map((position) => Math.abs(position - x));
    return distances.indexOf(Math.min(...distances));
  };

  const last = rows.length - 1;
  const steps = {
    ArrowRight: (i) => i + 1,
    ArrowUp: (i) => i + 1,
    ArrowLeft: (i) => i - 1,
    ArrowDown: (i) => i - 1,
    PageUp: (i) => i + 10,
    PageDown: (i) => i - 10,
    Home: () => 0,
    End: () => last,
  };

  if (rows.length && curves.length) {
    plot.tabIndex = 0;
    plot.setAttribute("role", "slider");
    plot.setAttribute("aria-valuemin", 0);
    plot.setAttribute("aria-valuemax", last);
    plot.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      show(Math.min(last, Math.max(0, step(current))));
      speak();
    });
    for (const svg of plot.querySelectorAll("svg")) {
      const follow = (event) => {
        const box = svg.getBoundingClientRect();
        show(nearest(((event.clientX - box.left) / box.width) * Number(plot.dataset.width)));
      };
      svg.addEventListener("pointermove", follow);
      svg.addEventListener("pointerdown", follow);
    }
    // About where a float32 of 1 less a probability has lost its last digit.
    show(nearest(positions[0] + (positions[last] - positions[0]) / 4));
  }
}
