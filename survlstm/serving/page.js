"use strict";
(() => {
  const unit = document.body.dataset.unit;
  const mostBytes = Number(document.body.dataset.mostBytes);
  const find = (id) => document.getElementById(id);
  const [form, events, file, asOf, status, problem] = ["form", "events", "file", "as-of", "status", "problem"].map(find);
  const [results, heading, chooser, subject, one, explained, notes] =
    ["results", "result", "chooser", "subject", "one", "explained", "notes"].map(find);
  const MINUS = "\u2212", DASH = "\u2013", SVG = "http://www.w3.org/2000/svg";
  const MOST_CODES = 20;
  // The results on the page, and the number of the last request: responses to earlier ones are dropped.
  let shown = null, lastRequest = 0;

  // Values from data are inserted as text, never as markup.
  const element = (name, properties = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) node.setAttribute(key, value);
    node.append(...children.filter((child) => child !== null).map((child) => child instanceof Node ? child : String(child)));
    return node;
  };
  const drawn = (name, properties = {}, text = null) => {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(properties)) node.setAttribute(key, value);
    if (text !== null) node.textContent = text;
    return node;
  };

  const plain = (value, digits) => value === null ? DASH : value.toFixed(digits).replace("-", MINUS);
  const signed = (value, digits) => value === null ? DASH : (value > 0 ? "+" : "") + plain(value, digits);
  const percent = (value) => value === null ? DASH : value > 0 && value < 0.001 ? "< 0.1 %" : `${plain(100 * value, 1)} %`;
  const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
  const mebibytes = `${Number((mostBytes / 2 ** 20).toPrecision(3))} MiB`;
  const day = (time) => time === null ? DASH : time.slice(0, 10);
  const ordinal = (value) => {
    if (value < 1) return "< 1st";
    if (value > 99) return "> 99th";
    const number = Math.round(value), ending = number % 100 > 10 && number % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][number % 10] || "th";
    return `${number}${ending}`;
  };

  class RequestError extends Error {}

  const send = async (path, text, type) => {
    let answer;
    try {
      answer = await fetch(path, text === undefined ? {} : {
        method: "POST", body: text, headers: { "Content-Type": type }, cache: "no-store", credentials: "omit",
      });
    } catch {
      throw new RequestError("The server can't be reached. Is it still running?");
    }
    if (answer.ok) return answer;
    let sentence = `The server answered with status ${answer.status}.`;
    try {
      sentence = (await answer.json()).error || sentence;
    } catch { /* The response is not JSON: report its status only. */ }
    throw new RequestError(sentence);
  };

  const showStatus = (sentence) => { status.textContent = sentence; };
  const showError = (error) => {
    showStatus("");
    const sentence = error instanceof RequestError ? error.message : "This page has an error; the browser's console shows it.";
    problem.replaceChildren(element("strong", {}, "No prediction: "), sentence);
    problem.hidden = false;
    results.hidden = true;
    problem.focus();
    if (!(error instanceof RequestError)) console.error(error);
  };

  // A JSON list of events is wrapped into the object that the API expects.
  const toRequest = (text) => {
    const start = text.trimStart()[0];
    if (start === "[") return { body: `{"events": ${text}}`, type: "application/json" };
    return { body: text, type: start === "{" ? "application/json" : "text/csv" };
  };
  const path = (name, options) => {
    const query = new URLSearchParams(options);
    if (asOf.value) query.set("as_of", asOf.value);
    return query.size ? `${name}?${query}` : name;
  };

  const predict = async () => {
    const text = events.value, request = ++lastRequest;
    problem.hidden = true;
    if (!text.trim()) throw new RequestError("There are no events. Paste some, choose a file, or load the example.");
    const { body, type } = toRequest(text);
    if (new Blob([body]).size > mostBytes) {
      throw new RequestError(`A request may hold at most ${mebibytes}; found more. Send fewer patients at once.`);
    }
    showStatus("Predicting …");
    const response = await (await send(path("predict"), body, type)).json();
    let visits = [];
    if (unit === "visits") visits = (await (await send(path("predict", { per_visit: "true" }), body, type)).json()).predictions;
    if (request !== lastRequest) return;
    shown = { response, visits, body, type };
    showAll();
  };

  const showAll = () => {
    const { response } = shown;
    const choices = [...response.predictions.map((row) => [row.position, row.subject_id, `risk ${percent(row.risk)}`]),
      ...response.not_scored.map((row) => [row.position, row.subject_id, "not scored"])].sort((a, b) => a[0] - b[0]);
    subject.replaceChildren(...choices.map(([position, id, what]) => element("option", { value: position }, `${id} ${DASH} ${what}`)));
    chooser.hidden = choices.length < 2;
    notes.replaceChildren(...response.notes.map((note) => element("li", {}, note)));
    results.hidden = false;
    const scored = response.predictions.length;
    showStatus(`${counted(scored, "patient")} scored${response.not_scored.length ? `, ${response.not_scored.length} not` : ""}.`);
    heading.focus({ preventScroll: true });
    results.scrollIntoView({ block: "start" });
    showOne();
  };

  const showOne = () => {
    const position = Number(subject.value), { response, visits } = shown;
    const row = response.predictions.find((each) => each.position === position);
    explained.replaceChildren();
    if (!row) {
      const left = response.not_scored.find((each) => each.position === position);
      heading.textContent = `No prediction for ${left.subject_id}`;
      one.replaceChildren(element("p", { class: "reason" }, left.reason));
      return;
    }
    heading.textContent = `Prediction for ${row.subject_id}`;
    const last = response.grid.at(-1);
    const fact = (name, value, more) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value), element("dd", { class: "more" }, more));
    const figures = element("div", { class: "plates two" }, survivalFigure(response, row));
    const own = visits.filter((each) => each.position === position);
    if (own.length > 1) figures.append(hazardFigure(own));
    one.replaceChildren(
      element("dl", { class: "strip" },
        fact("Risk", percent(row.risk), `of the event within ${counted(last, unit.slice(0, -1))} after ${origin(row)}`),
        fact("Percentile", row.percentile === null ? DASH : ordinal(row.percentile), "of the risks of the training subjects"),
        fact("History", day(row.history_end), `its last visit; ${counted(row.visits, "visit")}`),
        fact("Unknown codes", `${row.entries_unknown} of ${row.entries}`, "entries whose code the model does not know")),
      figures);
    explain(position);
  };
  const origin = (row) => unit === "visits" ? "the last one" : row.prediction_time ? `the prediction time, ${day(row.prediction_time)}` : `the landmark, ${day(row.landmark)}`;

  const explain = async (position) => {
    const request = ++lastRequest;
    explained.replaceChildren(element("p", { class: "muted" }, "Computing the effect of each code …"));
    try {
      const answer = await send(path("explain", { top: MOST_CODES, subject: position }), shown.body, shown.type);
      const response = await answer.json();
      if (request === lastRequest) explained.replaceChildren(...codesTable(response));
    } catch (error) {
      if (request !== lastRequest) return;
      explained.replaceChildren(element("p", { class: "reason" }, `The effects of the codes can't be computed: ${error.message}`));
    }
  };

  const codesTable = (response) => {
    const title = element("h3", {}, "Effect of each code");
    if (!response.codes.length) return [title, element("p", {}, "No code of this record is known to the model.")];
    const most = Math.max(...response.codes.map((row) => Math.abs(row.effect || 0))) || 1;
    // Two significant digits of the largest effect, so that small effects can be told apart.
    const digits = Math.min(6, Math.max(2, 1 - Math.floor(Math.log10(most))));
    const head = [["Code", "name", 1], ["Effect", "bar", 2], ["Entries", "", 1], ["Last", "", 1]].map(([name, kind, columns]) =>
      element("th", { scope: "col", class: kind, colspan: columns }, name));
    const rows = response.codes.map((row) => element("tr", {},
      element("th", { scope: "row", class: "name" }, row.description || row.code, row.description ? element("small", {}, row.code) : null),
      element("td", { class: "bar" }, bar(row.effect, most)),
      element("td", {}, signed(row.effect, digits)),
      element("td", {}, row.entries),
      element("td", {}, day(row.last_time))));
    const left = response.codes_left_out ? ` ${counted(response.codes_left_out, "code")} with smaller effects ${response.codes_left_out === 1 ? "is" : "are"} not shown.` : "";
    return [title,
      element("p", {}, "How much each code raises (right) or lowers (left) the log-odds of the event, computed by leaving the code out of the record. It describes the model; it does not say what causes the event."),
      element("div", { class: "scroll", role: "region", "aria-label": "Effect of each code", tabindex: "0" },
        element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))),
      element("p", { class: "notes" }, `Effects are log-odds: +0.69 doubles the odds, ${MINUS}0.69 halves them.${left}`)];
  };
  const bar = (effect, most) => {
    const picture = drawn("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    const width = 50 * Math.abs(effect || 0) / most;
    picture.append(
      drawn("rect", { x: effect > 0 ? 50 : 50 - width, y: 0, width, height: 10, class: effect > 0 ? "raises" : "lowers" }),
      drawn("line", { x1: 50, x2: 50, y1: 0, y2: 10, "vector-effect": "non-scaling-stroke" }));
    return picture;
  };

  // Both figures consist of axes with a few round numbers, and a line.
  const WIDTH = 440, HEIGHT = 290, LEFT = 52, RIGHT = 16, TOP = 26, BOTTOM = 50;
  const tickStep = (most) => {
    const power = 10 ** (Math.floor(Math.log10(most)) - 1);
    return [1, 2, 5, 10, 20].map((factor) => factor * power).find((step) => most / step <= 5);
  };
  const ticks = (most) => {
    const step = tickStep(most), values = [];
    for (let value = 0; value <= most * 1.0001; value += step) values.push(Number(value.toPrecision(12)));
    return values;
  };
  const axes = ({ across, up, acrossLabel, upLabel, label }) => {
    const picture = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
    for (const [coordinate, text] of up) {
      picture.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: coordinate, y2: coordinate, class: "grid" }),
        drawn("text", { x: LEFT - 8, y: coordinate + 4, "text-anchor": "end" }, text));
    }
    for (const [coordinate, text, anchor] of across) {
      picture.append(drawn("line", { x1: coordinate, x2: coordinate, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 5, class: "axis" }),
        drawn("text", { x: coordinate, y: HEIGHT - BOTTOM + 19, "text-anchor": anchor || "middle" }, text));
    }
    picture.append(drawn("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM, class: "axis" }),
      drawn("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, acrossLabel),
      drawn("text", { x: LEFT, y: TOP - 12, "text-anchor": "start" }, upLabel));
    return picture;
  };
  const upward = (share) => HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
  const rightward = (share) => LEFT + share * (WIDTH - RIGHT - LEFT);
  const figure = (picture, title, caption) =>
    element("figure", {}, picture, element("figcaption", {}, element("strong", {}, title), caption));

  const survivalFigure = (response, row) => {
    const last = response.grid.at(-1), axisLabel = unit === "visits" ? "Visits after the last one" : `Days after the ${row.prediction_time ? "prediction time" : "landmark"}`;
    const picture = axes({
      across: ticks(last).map((time) => [rightward(time / last), time.toLocaleString("en")]),
      up: [0, 0.25, 0.5, 0.75, 1].map((share) => [upward(share), `${100 * share} %`]),
      acrossLabel: axisLabel, upLabel: "Probability of no event yet",
      label: `Survival curve: from 100 % to ${percent(row.curve.at(-1))} after ${counted(last, unit.slice(0, -1))}.`,
    });
    const points = [[0, 1], ...response.grid.map((time, index) => [time, row.curve[index]])].filter(([, share]) => share !== null);
    // By visits the curve is a step function; by days it is linear within an interval, where every day is equally likely.
    const path = points.map(([time, share], index) => {
      const [x, y] = [rightward(time / last).toFixed(1), upward(share).toFixed(1)];
      return index === 0 ? `M${x} ${y}` : unit === "visits" ? `H${x}V${y}` : `L${x} ${y}`;
    }).join("");
    const [endTime, endShare] = points.at(-1);
    picture.append(drawn("path", { d: path, class: "line" }),
      drawn("circle", { cx: rightward(endTime / last), cy: upward(endShare), r: 3.5, class: "dot" }),
      drawn("text", { x: rightward(endTime / last) - 4, y: upward(endShare) + (endShare > 0.12 ? 20 : -10), "text-anchor": "end", class: "end" }, percent(endShare)));
    const horizons = response.horizons.map((time, index) => `${percent(row.survival[index])} after ${counted(time, unit.slice(0, -1))}`).join(", ");
    return figure(picture, "Survival", `Probability that the event has not happened, by ${unit} after ${origin(row)}: ${horizons}.`);
  };

  const hazardFigure = (visits) => {
    const rows = visits.filter((row) => row.hazard !== null && row.history_end !== null);
    const times = rows.map((row) => Date.parse(`${row.history_end.slice(0, 10)}T00:00:00Z`));
    const [first, final] = [Math.min(...times), Math.max(...times)], span = final - first || 1;
    const most = Math.max(...rows.map((row) => row.hazard)) || 1, above = ticks(most * 1.1), top = Math.max(most * 1.1, above.at(-1));
    const digits = Math.max(0, Math.ceil(-Math.log10(100 * tickStep(most * 1.1)) + 0.01));
    const at = (index) => [rightward((times[index] - first) / span), upward(rows[index].hazard / top)];
    const picture = axes({
      across: [[rightward(0), day(rows[0].history_end), "start"], [rightward(1), day(rows.at(-1).history_end), "end"]],
      up: above.map((share) => [upward(share / top), `${(100 * share).toFixed(digits)} %`]),
      acrossLabel: "Date of the visit", upLabel: "Hazard until the next visit",
      label: `Hazard after each of ${rows.length} visits, from ${percent(rows[0].hazard)} to ${percent(rows.at(-1).hazard)}.`,
    });
    picture.append(drawn("path", { d: rows.map((_, index) => `${index ? "L" : "M"}${at(index).map((part) => part.toFixed(1)).join(" ")}`).join(""), class: "line" }));
    if (rows.length <= 60) picture.append(...rows.map((_, index) => drawn("circle", { cx: at(index)[0], cy: at(index)[1], r: 3, class: "dot" })));
    return figure(picture, "Hazard, visit by visit", "Probability of the event before the next visit, computed from the history up to each visit.");
  };

  const busy = async (job) => {
    const buttons = [...form.querySelectorAll("button")];
    for (const button of buttons) button.disabled = true;
    try {
      await job();
    } catch (error) {
      showError(error);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(predict);
  });
  subject.addEventListener("change", showOne);
  find("example").addEventListener("click", () => busy(async () => {
    events.value = await (await send("example")).text();
    file.value = "";
    showStatus("The example is an invented patient with codes that the model knows.");
  }));
  file.addEventListener("change", () => busy(async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    if (chosen.size > mostBytes) {
      file.value = "";
      throw new RequestError(`A file may hold at most ${mebibytes}; found more. Send fewer patients at once.`);
    }
    events.value = await chosen.text();
    showStatus(`${chosen.name} is loaded.`);
    problem.hidden = true;
  }));
})();
