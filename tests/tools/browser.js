/*
 * A headless Chromium that does what its standard input says: a JSON object a line, with an answer in a line
 * for each. tests/lab/browser.py has the other end.
 *
 *   {"page": 1, "open": {options of a context}}     a page of its own, nothing in common with others
 *   {"page": 1, "do": "click", "with": [...]}       a method of Playwright's Page
 *   {"page": 1, "close": true}
 *
 * Answers: {"value": ...} or {"error": "..."}, and "said": what the page has complained of since.
 */
"use strict";
const {chromium} = require(`${process.argv[2]}/node_modules/playwright-core`);
const readline = require("node:readline");

const WORDS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync"];

const pages = new Map();

async function open(browser, number, options) {
	const context = await browser.newContext(options), page = await context.newPage(), said = [];
	page.on("console", (message) => message.type() === "error" && said.push(message.text()));
	page.on("pageerror", (error) => said.push(String(error)));
	pages.set(number, {page, context, said});
}

/* A page without its script loads itself anew now and then, and who looks just then sees neither. */
async function look(page, order) {
	for (;;) {
		try {
			return await page[order.do](...order.with);
		} catch (error) {
			if (!/context was destroyed|is navigating/.test(error.message))
				throw error;
			await page.waitForLoadState();
		}
	}
}

async function obey(browser, order) {
	if (order.open) {
		await open(browser, order.page, order.open);
		return null;
	}
	const {page, context} = pages.get(order.page);
	if (order.close) {
		await context.close();
		pages.delete(order.page);
		return null;
	}
	if (order.do === "evaluate" || order.do === "content")
		return look(page, order);
	await page[order.do](...order.with);
	return null;
}

async function main() {
	const browser = await chromium.launch({executablePath: "/usr/bin/chromium", args: WORDS});
	for await (const line of readline.createInterface({input: process.stdin})) {
		const order = JSON.parse(line), answer = {};
		try {
			answer.value = await obey(browser, order) ?? null;
		} catch (error) {
			answer.error = String(error.message);
		}
		answer.said = pages.get(order.page)?.said.splice(0) ?? [];
		console.log(JSON.stringify(answer));
	}
	await browser.close();
}

main();
