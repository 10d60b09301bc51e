// Reading: unread, attention, old messages, search, what a text becomes, and copying.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Home, cleanUp, open, pair, profile, row, see, talkTo, two, until, write } from './lib.mjs';

let alice, bob, carol, page;
const COUNT = 1000;
before(async () => {
  ({ alice, bob } = await two({ both: false }));
  carol = new Home('carol');
  await carol.run(['id', '--name', 'carol']);
  await carol.node();
  await pair(alice, carol);
  await carol.run(['say', '--lines', 'alice'], Array.from({ length: COUNT }, (_, at) => at === 123 ? 'the needle is here' : `line ${at}`).join('\n'));
  await alice.page.close();
  await alice.profile.close();
  // Notifications are allowed, and noted instead of shown.
  alice.profile = await profile({ permissions: ['notifications', 'clipboard-read', 'clipboard-write'] });
  await alice.profile.addInitScript(() => {
    window.noted = [];
    window.Notification = class {
      static permission = 'granted';
      static requestPermission = async () => 'granted';
      constructor(title, options) { Object.assign(this, { title, ...options }); window.noted.push(this); }
      close() {}
    };
  });
  page = alice.page = await open(alice.profile, await alice.again());
  await talkTo(page, 'bob');
});
after(cleanUp);

const noted = () => page.evaluate(() => window.noted.map(({ title, body }) => `${title}: ${body}`));

test('what is unread is counted in the title and the list, and begins below a line', async () => {
  await until('the count in the title', async () => /^\((999\+)\)/.test(await page.title()));
  await until('the icon has it', async () => (await page.locator('#icon').getAttribute('href')).startsWith('blob:'));
  await see(page.locator('.conv', { hasText: 'carol' }).locator('.badge', { hasText: '999+' }));
  await talkTo(page, 'carol');
  await see(page.locator('.day.new'));
  await see(row(page, /^carol: line 0$/));
  await page.locator('#down').click();
  await see(row(page, `line ${COUNT - 1}`));
  await until('all is read', async () => await page.title() === 'carol – egoat');
  await until('the terminal agrees', async () => (await alice.objects(['peers', '--unread'])).length === 0);
});

test('a notification tells of another conversation, opens it, and can be muted', async () => {
  await talkTo(page, 'bob');
  await page.getByRole('button', { name: 'Alerts off' }).click();
  await see(page.getByRole('button', { name: 'Alerts on' }));
  await carol.run(['say', 'alice', 'look here']);
  await until('it is noted', async () => (await noted()).includes('carol: look here'));
  await bob.run(['say', 'alice', 'you see this']);
  await see(row(page, 'you see this'));
  assert.deepEqual(await noted(), ['carol: look here']);
  await page.evaluate(() => window.noted[0].onclick());
  await see(row(page, 'look here'));
  await alice.run(['peers', 'set', 'bob', 'mute=yes']);
  await see(page.locator('.conv', { hasText: 'bob' }));
  await bob.run(['say', 'alice', 'quietly']);
  await see(page.locator('.conv .last', { hasText: 'quietly' }));
  assert.equal((await noted()).length, 1);
  await until('the muted one is not counted', async () => await page.title() === 'carol – egoat');
});

test('older messages come while scrolling, and the eye stays where it is', async () => {
  await talkTo(page, 'carol');
  const log = page.locator('#log');
  await until('the first one', async () => {
    await log.evaluate(node => { node.scrollTop = Math.min(node.scrollTop, 400); });
    return await row(page, /^carol: line 0$/).count() === 1;
  });
  await see(page.getByText('This is where your conversation with carol begins.'));
  assert.ok(await page.locator('#log .msg').count() <= 900);
  await page.locator('#down').click();
  await see(row(page, 'look here'));
  await see(page.locator('.day', { hasText: 'Today' }).first());
  assert.match(await row(page, 'look here').getAttribute('title'), /\d{4}.*\d\d:\d\d:\d\d/);
});

test('Ctrl+K finds what was said long ago, and shows it among its neighbours', async () => {
  await talkTo(page, 'bob');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('needle');
  await see(page.locator('.hit mark', { hasText: 'needle' }));
  await page.keyboard.press('Enter');
  await see(row(page, 'the needle is here'));
  await see(row(page, /^carol: line 122$/));
  await see(row(page, /^carol: line 124$/));
  await until('the hit has the focus', () => row(page, 'the needle is here').evaluate(node => node === document.activeElement));
  assert.ok(await row(page, 'the needle is here').evaluate(node => { const at = node.getBoundingClientRect(); return at.top > 60 && at.bottom < innerHeight; }));
});

test('a history that cannot be read says so, and is read when it can be', async () => {
  const body = JSON.stringify({ event: 'error', error: 'the log is damaged', hint: 'restore it from a backup', status: 74 });
  await page.route('**/api/log?*', route => route.fulfill({ status: 500, body }));
  await page.reload();
  await see(page.getByText('What was said with carol cannot be shown'));
  await see(page.getByText('The log is damaged. Restore it from a backup.'));
  await page.unroute('**/api/log?*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await see(row(page, 'look here'));
});

test('a search in one conversation looks nowhere else', async () => {
  await talkTo(page, 'bob');
  await page.getByRole('button', { name: 'Search in this conversation' }).click();
  await page.keyboard.type('needle');
  await see(page.locator('#finder .empty', { hasText: 'Nothing has “needle”' }));
  await page.keyboard.press('Escape');
});

test('a search takes words in any order, says how many it found, and shows more of them', async () => {
  await talkTo(page, 'bob');
  const finder = page.locator('#finder'), hits = finder.locator('.hit:has(mark)');
  const search = async words => { await page.keyboard.press('Control+k'); await page.keyboard.type(words); };
  await search('here needle');
  await see(finder.getByText('1 found'));
  assert.deepEqual(await hits.locator('mark').allTextContents(), ['needle', 'here']);
  await page.keyboard.press('Escape');
  await search('Needle here');
  await see(finder.getByText('Capital letters count: “needle here” finds both.'));
  await page.keyboard.press('Escape');
  // So many of the numbers below 1000 have a 9 in them.
  await search('9 line');
  await see(finder.getByText('271 found, the newest 50 shown').first());
  assert.equal(await hits.count(), 50);
  await finder.getByText('Show more').click();
  await see(finder.getByText('271 found, the newest 100 shown').first());
  assert.equal(await hits.count(), 100);
  assert.equal(new Set(await hits.allTextContents()).size, 100);
  // A hit that was shown by that leads to its message.
  const last = hits.nth(99), text = (await last.locator('small').first().textContent()).trim();
  await last.click();
  const found = row(page, new RegExp(`^carol: ${text}$`));
  await until('the hit has the focus', () => found.evaluate(node => node === document.activeElement));
  assert.deepEqual((await found.locator('mark').allTextContents()).slice(0, 2), ['line', '9']);
  await talkTo(page, 'bob');
});

test('code and links keep the characters that were sent, also when they are copied', async () => {
  const text = 'run `make  check` and\n```\n\tif (a < b) {\n\t\tx = "&amp;";\n\t}\n```\nsee https://example.org/a_(b)?q=1&r=2. Done';
  await bob.run(['say', 'alice', '-'], text);
  await see(row(page, 'make  check'));
  const last = row(page, 'make  check').last();
  const copied = async () => page.evaluate(() => navigator.clipboard.readText());
  await last.locator('.say').evaluate(node => { const range = document.createRange(); range.selectNodeContents(node); getSelection().removeAllRanges(); getSelection().addRange(range); });
  await page.getByRole('log').focus();
  await page.keyboard.press('Control+c');
  assert.equal(await copied(), text);
  await page.evaluate(() => navigator.clipboard.writeText(''));
  await last.hover();
  await last.getByRole('button', { name: 'More' }).click();
  await page.getByRole('menuitem', { name: 'Copy text' }).click();
  await until('it is copied', async () => await copied() === text);
  assert.equal(await last.locator('a').getAttribute('href'), 'https://example.org/a_(b)?q=1&r=2');
  assert.equal(await last.locator('code').count(), 2);
});

test('a link shows where it leads before it opens', async () => {
  await bob.run(['say', 'alice', 'go to https://exаmple.org/x and javascript:alert(1)']);
  const link = row(page, 'javascript:alert').locator('a');
  await link.click();
  assert.equal(await link.count(), 1);
  // The Cyrillic letter in the name shows.
  await see(page.getByRole('dialog').getByText('https://xn--exmple-4nf.org/x'));
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  assert.equal(alice.profile.pages().length, 1);
});

test('a link for pairing is offered as joining, and never sent', async () => {
  const link = (await bob.run(['invite', '--addr', bob.listen])).trim();
  await page.locator('#write textarea').fill(link);
  await see(page.getByText('This is a link for pairing.'));
  await page.locator('#write textarea').press('Enter');
  await page.getByRole('button', { name: 'Join with it' }).click();
  await see(page.getByRole('dialog', { name: 'Join with a link' }));
  await page.keyboard.press('Escape');
  await write(page, 'not the link');
  await see(row(page, 'not the link').getByText('Delivered'));
  assert.ok(!(await bob.objects(['log', 'alice'])).some(({ text }) => text?.includes('egoat:')));
});

test('right to left, emoji and very long words', async () => {
  await bob.run(['say', 'alice', 'سلام دنیا']);
  await see(row(page, 'سلام دنیا'));
  assert.equal(await row(page, 'سلام دنیا').locator('.say').evaluate(node => getComputedStyle(node).direction), 'rtl');
  await bob.run(['say', 'alice', '👩‍👩‍👧🎉']);
  await see(page.locator('.msg.big'));
  await bob.run(['say', 'alice', 'w'.repeat(5000)]);
  await see(row(page, 'wwwww'));
  assert.ok(await page.locator('#log').evaluate(node => node.scrollWidth <= node.clientWidth));
});

test('nothing went wrong in the page', () => assert.deepEqual(alice.profile.wrong, []));
