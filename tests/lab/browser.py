"""A real browser, headless Chromium, in a namespace.

    with Browser(net.firewall) as browser:
        page = browser.open("http://127.0.0.1:8723/")
        page.wait("document.querySelectorAll('#calls tbody tr').length === 2")
        page.tables()["calls"][0]["Client"]
        page.click("#pause"), page.fill("#filter", "silent"), page.shot("status")

tests/tools/browser.js has the other end, tools/deps the library that drives it. Pages have nothing in common with each
other. What a page complains of, an exception or a refused resource, fails the next order.
"""

import json
import select
import subprocess
import tempfile

from . import tap
from .netns import need
from .proc import wait_until
from .proxy import ROOT

DRIVER = ROOT / "build/node"
SHOTS = ROOT / "build/shots"
PATIENCE = 30.0 * tap.slowdown()
# Each table's rows by the heads that its cells are labelled with; the text as people read it.
READ_TABLES = """(() => {
	const text = (node) => (node.innerText ?? "").replace(/\\s+/g, " ").trim();
	const tables = {};
	for (const table of document.querySelectorAll("table")) {
		tables[table.id] = [...table.tBodies[0].rows].map((row) => {
			const cells = {};
			[...row.cells].forEach((cell, which) => cells[cell.dataset.label || which] =
				{text: text(cell), classes: cell.className, parts: [...cell.children].map(text)});
			return cells;
		});
	}
	return tables;
})()"""


class Page:
    def __init__(self, browser, number):
        self.browser, self.number = browser, number

    def do(self, method, *words, complaints=()):
        """complaints: parts of what the page may say."""
        return self.browser.order({"page": self.number, "do": method, "with": words}, complaints)

    def evaluate(self, expression, complaints=()):
        return self.do("evaluate", expression, complaints=complaints)

    def wait(self, condition, complaints=()):
        """Until an expression is true. (Playwright's own way needs eval, which the page's policy forbids.)"""
        wait_until(lambda: self.evaluate(f"Boolean({condition})", complaints), PATIENCE, condition)

    def wait_rows(self, table, count):
        self.wait(f"document.querySelectorAll('#{table} tbody tr:not(.none)').length === {count}")

    def click(self, selector):
        self.do("click", selector)

    def fill(self, selector, text):
        self.do("fill", selector, text)

    def tables(self):
        return self.evaluate(READ_TABLES)

    def column(self, table, label):
        return [row[label]["text"] for row in self.tables()[table]]

    def text(self, selector):
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def shot(self, name, whole=True):
        """A picture, build/shots/NAME.png."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.do("screenshot", {"path": str(SHOTS / f"{name}.png"), "fullPage": whole})

    def close(self):
        self.browser.order({"page": self.number, "close": True})


class Browser:
    def __init__(self, ns):
        need("node", "chromium")
        self.process, self.opened = None, 0
        # Its own place, which is empty and goes with it.
        self.home = tempfile.TemporaryDirectory(prefix="pptpproxy-browser-", ignore_cleanup_errors=True)
        with ns:
            self.process = subprocess.Popen(
                ["node", ROOT / "tests/tools/browser.js", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": self.home.name, "TMPDIR": self.home.name}, text=True)

    def order(self, order, complaints=()):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], 2 * PATIENCE)[0]:
            raise AssertionError(f"the browser does not answer: {order}")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the browser ended: {order}")
        answer = json.loads(line)
        said = [text for text in answer["said"] if not any(part in text for part in complaints)]
        assert "error" not in answer and not said, f"{order}: {answer.get('error')} {said}"
        return answer["value"]

    def open(self, url, **options):
        """options: of a context of Playwright's: javaScriptEnabled, colorScheme, viewport, ..."""
        self.opened += 1
        page = Page(self, self.opened)
        options.setdefault("viewport", {"width": 1360, "height": 900})
        self.order({"page": page.number, "open": options})
        page.do("goto", url)
        return page

    def close(self):
        if self.process:
            self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
        self.home.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
