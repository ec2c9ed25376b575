// Takes pictures of pages and judges their layout: no overflow, no letters cut off or on top of each other, no network.
//
// Called by `run` with the browser, the folder for the pictures, and the pages.
import { chromium } from "playwright-core";
import path from "node:path";

const [browserPath, out, ...pages] = process.argv.slice(2);
const WIDTHS = [1400, 390];
const SCHEMES = ["light", "dark"];
// A long page becomes several pictures: browsers give up beyond 16384 pixels, and nobody can look at such a one.
const PICTURE_HEIGHT = 4000;
const PICTURES_MAX = 12;

// Runs in the page. Every finding is a sentence.
function judge() {
    const findings = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) {
        const wide = [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1);
        const names = wide.slice(0, 3).map((one) => `<${one.tagName.toLowerCase()} class="${one.getAttribute("class") ?? ""}">`);
        findings.push(`the page is ${root.scrollWidth} px wide in a window of ${root.clientWidth} px: ${names.join(", ")}`);
    }
    const shown = (one) => one.getClientRects().length > 0 && one.getBoundingClientRect().width > 0;
    for (const svg of [...document.querySelectorAll("svg")].filter(shown)) {
        const name = svg.getAttribute("aria-label") ?? "a plot without a label";
        const box = svg.getBoundingClientRect();
        const texts = [...svg.querySelectorAll("text")].map((one) => [one.textContent.trim(), one.getBoundingClientRect()]);
        for (const [words, at] of texts) {
            if (at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1) {
                findings.push(`${name}: "${words}" is cut off`);
            }
        }
        for (let i = 0; i < texts.length; i++) {
            for (let k = i + 1; k < texts.length; k++) {
                const [a, b] = [texts[i][1], texts[k][1]];
                const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                // The boxes of letters have empty space above and below.
                if (wide > 2 && high > Math.min(a.height, b.height) * 0.4) {
                    findings.push(`${name}: "${texts[i][0]}" and "${texts[k][0]}" cover each other`);
                }
            }
        }
        const size = parseFloat(getComputedStyle(svg.querySelector("text") ?? svg).fontSize);
        const scale = box.width / (svg.viewBox.baseVal?.width || svg.width.baseVal.value || box.width);
        if (svg.querySelector("text") && size * scale < 9) {
            findings.push(`${name}: letters of ${(size * scale).toFixed(1)} px are too small to read`);
        }
    }
    for (const one of document.querySelectorAll("p, li, dd, dt, h1, h2, h3, summary, figcaption")) {
        if (shown(one) && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline") {
            findings.push(`"${one.textContent.trim().slice(0, 60)}" is wider than its place`);
        }
    }
    return findings;
}

const browser = await chromium.launch({
    executablePath: browserPath,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
let count = 0;
for (const page of pages) {
    for (const width of WIDTHS) {
        for (const colorScheme of SCHEMES) {
            const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, javaScriptEnabled: true });
            const tab = await context.newPage();
            const fetched = [];
            tab.on("request", (request) => request.url().startsWith("file:") || fetched.push(request.url()));
            await tab.goto(`file://${page}`);
            const name = `${path.basename(path.dirname(page))}-${path.basename(page, ".html")}-${width}-${colorScheme}`;
            const height = await tab.evaluate(() => document.documentElement.scrollHeight);
            await tab.setViewportSize({ width, height: Math.min(height, PICTURE_HEIGHT) });
            for (let part = 0; part < Math.min(PICTURES_MAX, Math.ceil(height / PICTURE_HEIGHT)); part++) {
                await tab.evaluate((y) => window.scrollTo(0, y), part * PICTURE_HEIGHT);
                await tab.screenshot({ path: path.join(out, `${name}-${String(part + 1).padStart(2, "0")}.png`) });
            }
            await tab.setViewportSize({ width, height: 900 });
            // Everything that can be unfolded is judged too.
            await tab.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
            const findings = await tab.evaluate(judge);
            const network = fetched.map((url) => `it fetches ${url}`);
            for (const finding of [...new Set([...findings, ...network])]) {
                console.log(`${name}: ${finding}`);
                count += 1;
            }
            console.log(`${name}: ${height} px high`);
            await context.close();
        }
    }
}
await browser.close();
console.log(`${pages.length} pages, ${count} findings`);
process.exit(count > 0 ? 1 : 0);
