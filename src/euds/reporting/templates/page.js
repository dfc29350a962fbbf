(() => {
  "use strict";
  const MOST_SHOWN = 20;
  const { charts, sample } = JSON.parse(document.getElementById("data").textContent);

  // With `ast` Vega interprets expressions instead of compiling them, which the page's content
  // security policy forbids.
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true };

  const brushedViews = new Map();
  const areas = new Map();

  /** Whether a row lies in every chosen area; an area has a range for each of two columns. */
  const isChosen = (row) =>
    [...areas.values()].every((area) =>
      Object.entries(area).every(([column, [one, other]]) => {
        const value = row[column];
        return value !== null && value >= Math.min(one, other) && value <= Math.max(one, other);
      }),
    );

  const cell = (className, text, name) => {
    const element = document.createElement("td");
    element.className = className;
    element.textContent = text;
    element.dir = "auto";
    if (name) element.dataset.name = name;
    return element;
  };

  const spokenNumber = (value) => (value === null ? "–" : String(Number(value.toPrecision(4))));

  const shownRow = (row) => {
    const element = document.createElement("tr");
    element.append(cell("id", row.id), cell(`fate ${row.fate}`, row.reason ?? row.fate));
    for (const name of sample.columns) {
      element.append(cell("number", spokenNumber(row[name]), name));
    }
    if (sample.hasText) element.append(cell("text", row.text));
    return element;
  };

  const showHead = () => {
    const heads = [["id", "id"], ["fate", "fate"], ...sample.columns.map((name) => ["number", name])];
    if (sample.hasText) heads.push(["text", "text"]);
    for (const [className, text] of heads) {
      const element = document.createElement("th");
      element.scope = "col";
      element.className = className;
      element.textContent = text;
      document.getElementById("samples-head").append(element);
    }
  };

  const showRows = () => {
    const rows = areas.size ? sample.rows.filter(isChosen) : sample.rows;
    const shown = rows.slice(0, MOST_SHOWN);
    document.getElementById("samples-rows").replaceChildren(...shown.map(shownRow));
    const some = shown.length < rows.length ? `, the first ${shown.length} are shown` : "";
    const what = areas.size ? "rows in the chosen area" : "rows";
    document.getElementById("samples-count").textContent = `${rows.length} ${what}${some}`;
    document.getElementById("samples-all").hidden = areas.size === 0;
    const chosen = areas.size ? Object.fromEntries(rows.map((row) => [row.row, true])) : null;
    for (const view of brushedViews.values()) view.signal("chosen", chosen).runAsync();
  };

  // A view that is at work must not be told anything, and a drag tells more than can be shown.
  let isWaiting = false;
  const showRowsSoon = () => {
    if (isWaiting) return;
    isWaiting = true;
    setTimeout(() => {
      isWaiting = false;
      showRows();
    }, 30);
  };

  const listenToBrush = (name, view) => {
    brushedViews.set(name, view);
    view.addSignalListener("brush", (_, area) => {
      if (Object.keys(area).length) areas.set(name, area);
      else areas.delete(name);
      showRowsSoon();
    });
  };

  const letGo = () => {
    for (const view of brushedViews.values()) {
      view.signal("brush_x", []).signal("brush_y", []).runAsync();
    }
  };

  const draw = async (element) => {
    const name = element.dataset.chart;
    try {
      const { view } = await vegaEmbed(element, charts[name], options);
      if (element.classList.contains("brushed")) listenToBrush(name, view);
    } catch (error) {
      element.classList.add("failed");
      element.textContent = `This figure cannot be drawn: ${error.message}`;
      console.error(error);
    }
  };

  const start = async () => {
    await Promise.all([...document.querySelectorAll("[data-chart]")].map(draw));
    if (document.getElementById("samples")) {
      showHead();
      showRows();
      document.getElementById("samples-all").addEventListener("click", letGo);
      document.getElementById("samples").hidden = false;
    }
    document.documentElement.dataset.ready = "true";
  };

  start();
})();
