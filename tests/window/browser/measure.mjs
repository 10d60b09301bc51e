// Measures the page for `make bench`, by marks that it sets in the page: measure.mjs ADDRESS KEY RUNS, with the homes in ALICE and
// BOB. Prints a line of times in milliseconds for each measure, then "ready", and keeps the page open until its input ends.

import { execFileSync } from 'node:child_process';
import { cleanUp, launch, profile, see, until } from './lib.mjs';

const [address, key, runs] = process.argv.slice(2);
const egoat = (home, ...args) => execFileSync(process.env.EGOAT, ['--home', home, '--quiet', ...args], { encoding: 'utf8' });

await launch();
const context = await profile();
// Notes when the frame is out in which there are as many messages as a page loads, and when one with a certain text is.
await context.addInitScript(() => {
  const mark = name => requestAnimationFrame(() => { const after = new MessageChannel(); after.port1.onmessage = () => performance.mark(name); after.port2.postMessage(0); });
  globalThis.watch = () => {
    let isFull = false;
    new MutationObserver(changes => {
      const log = document.getElementById('log');
      if (!isFull && log?.querySelectorAll('.msg').length >= 200) isFull = true, mark('full');
      for (const { addedNodes } of changes) for (const node of addedNodes) {
        const wanted = node.textContent?.match(/number \d+ is said/);
        if (wanted && node.classList?.contains('msg')) mark(wanted[0]);
      }
    }).observe(document, { childList: true, subtree: true });
  };
  globalThis.watch();
});
const page = await context.newPage();
const print = times => console.log(times.map(time => time.toFixed(3)).join(' '));
const marked = name => page.waitForFunction(name => performance.getEntriesByName(name).at(-1)?.startTime, name).then(found => found.jsonValue());

await page.goto(`${address}&peer=${key}`);
// All is read, so that the end shows, and what comes is followed.
await see(page.locator('#log .msg'));
const down = page.locator('#down');
if (await down.isVisible()) await down.click();
await until('all is read', async () => await page.title() === 'bob – egoat');

if (Number(runs)) {
  const opened = [], clicked = [], told = [];
  for (let run = 0; run < runs; run++) {
    await page.reload();
    opened.push(await marked('full'));
    await page.evaluate(() => { location.hash = ''; });
    await page.locator('#none').waitFor();
    await page.evaluate(() => { document.getElementById('log').replaceChildren(); performance.clearMarks(); globalThis.watch(); });
    const at = await page.evaluate(() => { const at = performance.now(); document.querySelector('.conv').click(); return at; });
    clicked.push(await marked('full') - at);
  }
  print(opened);
  print(clicked);
  const origin = await page.evaluate(() => performance.timeOrigin);
  for (let run = 0; run < runs; run++) {
    const text = `number ${run} is said`;
    egoat(process.env.BOB, 'say', '--wait', '10s', 'alice', text);
    const at = origin + await marked(text);
    const { time } = JSON.parse(egoat(process.env.ALICE, '--json', 'log', '--limit', '1', 'bob').trim());
    told.push(at - time / 1000);
  }
  print(told);
}
console.log('ready');
process.stdin.resume();
process.stdin.on('end', async () => { await cleanUp(); process.exit(); });
