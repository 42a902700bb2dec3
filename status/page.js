/*
 * The status page, kept up to date: /calls.json each second, in the places and words that status_page.c
 * has; and what takes more than one moment: rates, a line for each call, sorting, a filter.
 *
 * Texts get into the page as text only. What has not changed is not touched, so a selection stays.
 * Sorting and filter stand in the address, behind the '#'.
 */
"use strict";
(() => {

const EVERY_MS = 1000;
const PATIENCE_MS = 5000;
const MINUTE_MS = 60000;
const ROWS_MAX = 500;
const SIDES = ["client", "server"];
const SVG = "http://www.w3.org/2000/svg";
const LINE = {width: 96, height: 24};

const byId = (id) => document.getElementById(id);

/* ---- figures; status_figure.c has the same ---- */

const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

function scaled(number, base, units) {
	let unit = 1, which = 0;
	while (number / unit >= base && which < units.length - 1) {
		unit *= base;
		which++;
	}
	const whole = Math.floor(number / unit), hundredths = Math.floor((number % unit) * 100 / unit);
	if (which === 0 || whole >= 100)
		return `${whole} ${units[which]}`;
	if (whole >= 10)
		return `${whole}.${Math.floor(hundredths / 10)} ${units[which]}`;
	return `${whole}.${String(hundredths).padStart(2, "0")} ${units[which]}`;
}

const octets = (number) => scaled(number, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
const rate = (bits) => bits === null ? "" : scaled(Math.round(bits), 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);

function time(ms) {
	const s = Math.floor(ms / 1000), two = (number) => String(number).padStart(2, "0");
	if (s < 10)
		return `${s}.${Math.floor(ms % 1000 / 100)} s`;
	if (s < 60)
		return `${s} s`;
	if (s < 3600)
		return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
	if (s < 86400)
		return `${Math.floor(s / 3600)} h ${two(Math.floor(s % 3600 / 60))} min`;
	return `${Math.floor(s / 86400)} d ${two(Math.floor(s % 86400 / 3600))} h`;
}

const moment = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
const sum = (numbers) => Object.values(numbers).reduce((all, number) => all + number, 0);

/* ---- what is remembered of the last minute ---- */

const calls = new Map(); /* by key: [{at, octets: {client, server}}], the oldest first */
let reasons = [];        /* [{at, totals}] */

/* A name is a call's own only once its client has chosen an ID; until then the server's tells them apart. */
const keyOf = (call) => `${call.connection} ${call.client.id ?? `server ${call.server.id}`}`;

function remember(figures) {
	const at = figures.totals.up_ms, last = reasons[reasons.length - 1];
	if (last && last.at > at) { /* another program */
		calls.clear();
		reasons = [];
	}
	reasons.push({at, totals: figures.totals});
	while (reasons.length > 1 && reasons[1].at <= at - MINUTE_MS)
		reasons.shift();
	const there = new Set();
	for (const call of figures.calls) {
		const key = keyOf(call), sample = {at, octets: {client: call.client.octets, server: call.server.octets}};
		let samples = calls.get(key);
		there.add(key);
		if (!samples)
			calls.set(key, samples = []);
		if (samples.length === 0 || samples[samples.length - 1].at < at)
			samples.push(sample);
		while (samples.length > 1 && samples[1].at <= at - MINUTE_MS)
			samples.shift();
	}
	for (const key of calls.keys())
		if (!there.has(key))
			calls.delete(key);
}

/* In bit/s between each two samples: [{at, rate}]. */
function rates(samples, side) {
	const found = [];
	for (let i = 1; i < samples.length; i++) {
		const more = samples[i].octets[side] - samples[i - 1].octets[side];
		const ms = samples[i].at - samples[i - 1].at;
		found.push({at: samples[i].at, rate: Math.max(more, 0) * 8000 / ms});
	}
	return found;
}

function lastRate(call, side) {
	const found = rates((calls.get(keyOf(call)) || []).slice(-2), side);
	return found.length > 0 ? found[0].rate : null;
}

/* ---- cells: a span, and a note behind it ---- */

function setText(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

function setClass(node, names) {
	if (node.className !== names)
		node.className = names;
}

function makeCell(column) {
	const cell = document.createElement(column.head ? "th" : "td");
	if (column.head)
		cell.scope = "row";
	cell.dataset.label = column.label;
	cell.append(document.createElement("span"));
	if (column.note)
		cell.append(document.createElement("small"));
	if (column.draw)
		column.draw(cell, null);
	return cell;
}

function fillCell(cell, column, row) {
	if (column.draw) {
		column.draw(cell, row);
		return;
	}
	setText(cell.firstChild, column.text(row));
	if (column.note)
		setText(cell.lastChild, column.note(row));
	if (column.title && cell.title !== column.title(row))
		cell.title = column.title(row);
	setClass(cell, typeof column.class === "function" ? column.class(row) : column.class || "");
}

/* ---- the line of a call ---- */

function drawLine(cell, row) {
	if (!row) {
		const svg = document.createElementNS(SVG, "svg"), ground = document.createElementNS(SVG, "line");
		svg.setAttribute("viewBox", `-1 -1 ${LINE.width + 2} ${LINE.height + 2}`);
		svg.setAttribute("role", "img");
		ground.setAttribute("x2", LINE.width);
		ground.setAttribute("y1", LINE.height);
		ground.setAttribute("y2", LINE.height);
		svg.append(ground);
		for (const side of SIDES) {
			const line = document.createElementNS(SVG, "polyline");
			line.setAttribute("class", side);
			svg.append(line);
		}
		cell.replaceChildren(svg);
		cell.className = "live drawn";
		return;
	}
	const samples = calls.get(keyOf(row)) || [], svg = cell.firstChild;
	const found = SIDES.map((side) => rates(samples, side));
	const most = Math.max(...found.flat().map((point) => point.rate), 0);
	const now = samples.length > 0 ? samples[samples.length - 1].at : 0;
	found.forEach((points, which) => {
		const text = points.map((point) => {
			const x = LINE.width * (1 - (now - point.at) / MINUTE_MS);
			const y = LINE.height * (1 - (most > 0 ? point.rate / most : 0));
			return `${x.toFixed(1)},${y.toFixed(1)}`;
		}).join(" ");
		svg.children[1 + which].setAttribute("points", text);
	});
	svg.setAttribute("aria-label", `most in the last minute: ${rate(most)}`);
	cell.title = `most in the last minute: ${rate(most)}`;
}

/* ---- columns ---- */

const toNumber = (addr) => addr.split(".").reduce((all, part) => all * 256 + Number(part), 0);

const by = (value) => (a, b) => {
	const x = value(a), y = value(b);
	return x < y ? -1 : x > y ? 1 : 0;
};

function ids(call, side) {
	const {id, shown_id} = call[side];
	return (id === null ? "ID not known yet" : `ID ${id}`) + (shown_id === null ? "" : `, sees ${shown_id}`);
}

function marks(call) {
	return [!call.open && "being set up", call.fastpath && "fast path", call.captured && "captured"]
		.filter(Boolean).join(", ");
}

function last(from) {
	const ago = from.last_packet_ms === null ? "never" : time(from.last_packet_ms);
	return from.silent ? `silent, ${ago}` : ago;
}

function endPoint(side, label) {
	return {
		name: side, label,
		order: by((call) => toNumber(call[side].addr) * 65536 + call[side].port),
		text: (call) => `${call[side].addr}:${call[side].port}`,
		note: (call) => ids(call, side),
	};
}

function direction(side) {
	const last_ms = (call) => call[side].last_packet_ms === null ? Infinity : call[side].last_packet_ms;
	return [{
		name: `${side}_packets`, label: `Packets from the ${side}`, down: true,
		order: by((call) => call[side].packets),
		text: (call) => count(call[side].packets),
		note: (call) => call[side].drops > 0 ? `${count(call[side].drops)} dropped` : "",
		class: (call) => call[side].drops > 0 ? "number first dropped" : "number first",
	}, {
		name: `${side}_octets`, label: `Octets from the ${side}`, down: true,
		order: by((call) => call[side].octets),
		text: (call) => octets(call[side].octets),
		title: (call) => `${count(call[side].octets)} octets`,
		class: "number",
	}, {
		name: `${side}_rate`, label: `Rate from the ${side}`, down: true,
		order: by((call) => lastRate(call, side) ?? -1),
		text: (call) => rate(lastRate(call, side)),
		class: "number live",
	}, {
		name: `${side}_last`, label: `Last from the ${side}`, down: true,
		order: by(last_ms),
		text: (call) => last(call[side]),
		class: (call) => call[side].silent ? "number silent" : "number",
	}];
}

const number = (name, label) => ({
	name, label, down: true, order: by((row) => row[name]), text: (row) => count(row[name]), class: "number",
});

const callColumns = [
	{
		name: "call", label: "Call", head: true,
		order: (a, b) => a.connection - b.connection || by((call) => call.client.id ?? -1)(a, b),
		text: (call) => call.call, note: marks,
	},
	endPoint("client", "Client"),
	endPoint("server", "Server"),
	{name: "age", label: "Age", down: true, order: by((call) => call.age_ms), text: (call) => time(call.age_ms), class: "number"},
	...direction("client"),
	...direction("server"),
	{name: "line", label: "Last minute", draw: drawLine},
];

const pairColumns = [
	{name: "listen", label: "Listens on", head: true, order: by((pair) => pair.listen), text: (pair) => pair.listen},
	{name: "peer", label: "Server", order: by((pair) => pair.peer), text: (pair) => pair.peer},
	{name: "state", label: "State", order: by((pair) => pair.state), text: (pair) => pair.state, class: (pair) => pair.state},
	number("connections", "Connections"),
	number("calls", "Calls"),
	number("accepted", "Clients"),
	number("connected", "Dials answered"),
	number("failed", "Dials failed"),
	{
		name: "last_error", label: "Last error", order: by((pair) => pair.last_error_ms ?? Infinity),
		text: (pair) => pair.last_error ?? "none",
		note: (pair) => pair.last_error === null || pair.last_error_ms === null ? "" : `${time(pair.last_error_ms)} ago`,
	},
];

const ruleColumns = [
	{name: "rule", label: "Rule", text: (rule) => rule.rule},
	{name: "kind", label: "Kind", text: (rule) => rule.command ? "command" : "address"},
	{...number("allowed", "Connections let in")},
	{...number("refused", "Not let in"), text: (rule) => rule.refused === null ? "" : count(rule.refused)},
];

/* ---- tables ---- */

class Table {
	constructor(id, columns, key, nobody) {
		this.element = byId(id);
		this.body = this.element.tBodies[0];
		this.columns = columns;
		this.key = key;
		this.nobody = nobody;
		this.rows = new Map();
		this.sorted = null; /* {column, descending} */
	}

	begin() {
		const empty = document.createElement("tr"), cell = document.createElement("td");
		cell.colSpan = this.columns.length;
		empty.className = "none";
		empty.append(cell);
		this.empty = empty;
		this.body.replaceChildren();
	}

	inOrder(rows) {
		if (!this.sorted)
			return rows;
		const {column, descending} = this.sorted, order = column.order;
		return [...rows].sort(descending ? (a, b) => order(b, a) : order);
	}

	rowOf(key) {
		let row = this.rows.get(key);
		if (!row) {
			row = document.createElement("tr");
			row.append(...this.columns.map(makeCell));
			this.rows.set(key, row);
		}
		return row;
	}

	show(rows) {
		const there = new Set();
		let at = this.body.firstChild;
		rows.forEach((row, place) => {
			const key = this.key(row, place), element = this.rowOf(key);
			there.add(key);
			this.columns.forEach((column, which) => fillCell(element.children[which], column, row));
			if (element === at)
				at = at.nextSibling;
			else
				this.body.insertBefore(element, at);
		});
		for (const [key, element] of this.rows) {
			if (!there.has(key)) {
				element.remove();
				this.rows.delete(key);
			}
		}
		if (rows.length === 0) {
			setText(this.empty.firstChild, this.nobody());
			this.body.append(this.empty);
		} else {
			this.empty.remove();
		}
	}
}

let lastFigures = null;
let words = []; /* of the filter */

const callTable = new Table("calls", callColumns, keyOf, () => words.length > 0 ? "No calls like these." : "No calls.");
const pairTable = new Table("pairs", pairColumns, (pair, place) => place, () => "No pairs.");
const ruleTable = new Table("rules", ruleColumns, (rule, place) => place, () => "None: any source may connect.");

/* ---- sorting ---- */

function showOrder(table) {
	for (const head of table.element.querySelectorAll("th[data-column]")) {
		if (table.sorted && table.sorted.column.name === head.dataset.column)
			head.setAttribute("aria-sort", table.sorted.descending ? "descending" : "ascending");
		else
			head.removeAttribute("aria-sort");
	}
	if (table === callTable)
		byId("sort").value = table.sorted ? table.sorted.column.name : "";
}

function sortBy(table, name, descending) {
	const column = table.columns.find((one) => one.name === name && one.order);
	table.sorted = column ? {column, descending: descending ?? Boolean(column.down)} : null;
	showOrder(table);
}

/* First the way that is wanted more often, then the other one, then as they came. */
function sortOn(table, name) {
	const {column, descending} = table.sorted || {};
	if (!column || column.name !== name)
		sortBy(table, name);
	else if (descending === Boolean(column.down))
		sortBy(table, name, !descending);
	else
		sortBy(table, "");
}

function makeSortable(table) {
	for (const head of table.element.querySelectorAll("th[data-column]")) {
		const button = document.createElement("button");
		button.type = "button";
		button.textContent = head.textContent;
		button.addEventListener("click", () => {
			sortOn(table, head.dataset.column);
			keepInAddress();
			show();
		});
		head.replaceChildren(button);
	}
}

function makeChoice() {
	const choice = byId("sort");
	choice.append(new Option("connection", ""));
	for (const column of callColumns)
		if (column.order)
			choice.append(new Option(column.label.toLowerCase(), column.name));
	choice.addEventListener("change", () => {
		sortBy(callTable, choice.value);
		keepInAddress();
		show();
	});
}

/* ---- filter ---- */

function matches(call) {
	const text = [call.call, marks(call), ...SIDES.flatMap((side) => [
		`${call[side].addr}:${call[side].port}`, call[side].proxy_addr, ids(call, side), call[side].silent ? `silent ${side}` : "",
	])].join("\n").toLowerCase();
	return words.every((word) => text.includes(word));
}

function takeFilter() {
	words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
}

/* ---- the address ---- */

function keepInAddress() {
	const parts = new URLSearchParams(), filter = byId("filter").value;
	for (const [name, table] of [["calls", callTable], ["pairs", pairTable]])
		if (table.sorted)
			parts.set(name, (table.sorted.descending ? "-" : "") + table.sorted.column.name);
	if (filter)
		parts.set("filter", filter);
	history.replaceState(null, "", parts.size > 0 ? `#${parts}` : location.pathname);
}

function takeAddress() {
	const parts = new URLSearchParams(location.hash.slice(1));
	for (const [name, table] of [["calls", callTable], ["pairs", pairTable]]) {
		const order = parts.get(name) || "";
		sortBy(table, order.replace(/^-/, ""), order.startsWith("-"));
	}
	byId("filter").value = parts.get("filter") || "";
	takeFilter();
}

/* ---- all of it ---- */

function showFigures(totals) {
	const figures = [
		[totals.calls, totals.calls_reserved, " being set up"],
		[totals.connections, totals.half_open, " half open"],
		[totals.calls_opened, totals.calls_ended, " ended"],
		[totals.accepted, sum(totals.refusals), " refused"],
		[totals.messages, sum(totals.message_drops), " dropped"],
		[totals.packets_received, sum(totals.packet_drops), " dropped"],
		[totals.packets_sent, totals.packets_carried, " by fast path"],
		[totals.workers, totals.ids_resting, " call IDs rest"],
	];
	document.querySelectorAll(".figures dd").forEach((place, which) => {
		const [large, small, text] = figures[which];
		setText(place.firstChild, count(large));
		setText(place.lastChild, count(small) + text);
	});
	setText(byId("whose"), `${totals.version}, up ${time(totals.up_ms)}; worker ${totals.worker_pid} for ${time(totals.worker_up_ms)}`
		+ (totals.fastpath ? "; fast path" : "") + (totals.capturing ? "; capturing" : ""));
	setText(byId("when"), moment(totals.time_s));
}

/* Their rows are there, in the order that the figures have. */
function showReasons(totals) {
	const before = reasons[0].totals;
	for (const kind of ["packet_drops", "message_drops", "refusals", "ends"]) {
		const rows = byId(kind).tBodies[0].rows;
		Object.entries(totals[kind]).forEach(([name, number], which) => {
			const row = rows[which], more = number - (before[kind][name] ?? 0);
			if (!row)
				return;
			if (row.cells.length < 3)
				row.insertCell().className = "number live";
			setText(row.cells[1].firstChild, count(number));
			setText(row.cells[2], more > 0 ? `+${count(more)}` : "");
			setClass(row, number > 0 ? "" : "zero");
		});
	}
}

function showCalls(all) {
	const found = words.length > 0 ? all.filter(matches) : all;
	const shown = callTable.inOrder(found).slice(0, ROWS_MAX);
	callTable.show(shown);
	let text = count(all.length) + (all.length === 1 ? " call" : " calls");
	if (found.length < all.length)
		text = `${count(found.length)} of ${text}`;
	if (shown.length < found.length)
		text += `; the first ${count(shown.length)} are shown`;
	setText(byId("shown"), text);
}

function show() {
	if (!lastFigures)
		return;
	showFigures(lastFigures.totals);
	showReasons(lastFigures.totals);
	pairTable.show(pairTable.inOrder(lastFigures.pairs));
	showCalls(lastFigures.calls);
	ruleTable.show(lastFigures.rules);
}

/* ---- each second ---- */

let paused = false, timer = null, under_way = false;

function tellLoss(error) {
	const lost = byId("lost"), what = lastFigures ? `the figures are those of ${moment(lastFigures.totals.time_s)}` : "there are no figures";
	setText(lost, `No answer (${error.message}): ${what}. It is tried again.`);
	lost.hidden = false;
}

async function fetchFigures() {
	const abort = new AbortController(), deadline = setTimeout(() => abort.abort(), PATIENCE_MS);
	try {
		const answer = await fetch("calls.json", {signal: abort.signal, cache: "no-store"});
		if (!answer.ok)
			throw new Error(`status ${answer.status}`);
		return await answer.json();
	} finally {
		clearTimeout(deadline);
	}
}

function later() {
	clearTimeout(timer);
	if (!paused && !document.hidden)
		timer = setTimeout(refresh, EVERY_MS);
}

async function refresh() {
	if (under_way)
		return;
	under_way = true;
	try {
		const figures = await fetchFigures();
		if (!paused) {
			lastFigures = figures;
			remember(figures);
			show();
			byId("lost").hidden = true;
		}
	} catch (error) {
		tellLoss(error);
	}
	under_way = false;
	later();
}

function makePause() {
	const button = byId("pause");
	button.addEventListener("click", () => {
		paused = !paused;
		button.textContent = paused ? "Go on" : "Pause";
		button.setAttribute("aria-pressed", String(paused));
		if (!paused)
			refresh();
	});
}

function begin() {
	for (const head of document.querySelectorAll("#calls .group"))
		head.colSpan = 4;
	byId("left_out")?.remove();
	for (const table of [callTable, pairTable, ruleTable])
		table.begin();
	makeSortable(callTable);
	makeSortable(pairTable);
	makeChoice();
	makePause();
	takeAddress();
	byId("filter").addEventListener("input", () => {
		takeFilter();
		keepInAddress();
		show();
	});
	window.addEventListener("hashchange", () => {
		takeAddress();
		show();
	});
	document.addEventListener("visibilitychange", () => {
		clearTimeout(timer);
		if (!document.hidden && !paused)
			refresh();
	});
}

/* Until the first figures come the page is as the server wrote it. */
async function start() {
	try {
		const figures = await fetchFigures();
		begin();
		document.documentElement.classList.add("with-script");
		lastFigures = figures;
		remember(figures);
		show();
		later();
	} catch (error) {
		tellLoss(error);
		setTimeout(start, EVERY_MS);
		return;
	}
	byId("lost").hidden = true;
}

start();

})();
