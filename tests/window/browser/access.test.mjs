// For everybody: the keyboard alone, screen readers, light and dark, narrow; a sealed home; and a page that has no session.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { Home, cleanUp, open, profile, row, see, talkTo, two, until, write } from './lib.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let alice, bob, page;
before(async () => {
  ({ alice, bob } = await two({ both: false }));
  page = alice.page;
  await bob.run(['say', 'alice', 'hello with `code` and https://example.org']);
  await talkTo(page, 'bob');
  await write(page, 'an answer');
  await see(row(page, 'an answer').getByText('Delivered'));
});
after(cleanUp);

async function checkAxe(where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert.deepEqual(serious.map(({ id, nodes }) => `${where}: ${id} ${nodes.map(({ html }) => html).join(' ')}`), []);
}

test('axe finds nothing serious, in the light and in the dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await checkAxe(`talk ${colorScheme}`);
    await page.locator('#more').click();
    await see(page.locator('#about .digits', { hasText: /\d{5} \d{5}/ }));
    await checkAxe(`about ${colorScheme}`);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+k');
    await page.keyboard.type('hello');
    await see(page.locator('.hit'));
    await checkAxe(`finder ${colorScheme}`);
    await page.keyboard.press('Escape');
    await page.locator('#add').click();
    await checkAxe(`add ${colorScheme}`);
    await page.keyboard.press('Escape');
    for (const place of ['Outbox', 'Transfers']) {
      await page.locator('#places').getByText(place).click();
      await page.getByRole('heading', { name: place, exact: true }).waitFor();
      await checkAxe(`${place} ${colorScheme}`);
    }
    await talkTo(page, 'bob');
  }
});

test('the colours follow the scheme of the system', async () => {
  const paper = () => page.evaluate(() => getComputedStyle(document.getElementById('main')).backgroundColor);
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await paper();
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.notEqual(await paper(), light);
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
});

test('a screen reader finds the log, the list and the names', async () => {
  await page.getByRole('log', { name: 'Messages with bob' }).waitFor();
  await page.getByRole('navigation', { name: 'Conversations' }).getByRole('button', { name: /^bob, here/ }).waitFor();
  await see(page.getByRole('article').filter({ hasText: 'You: an answer' }));
  await page.getByRole('button', { name: 'Send', exact: true }).waitFor();
});

test('everything by keyboard', async () => {
  await page.locator('body').press('Control+k');
  await page.keyboard.type('bo');
  await see(page.locator('.hit', { hasText: 'bob' }));
  await page.keyboard.press('Enter');
  await until('the message can be written', () => page.locator('#write textarea').evaluate(node => node === document.activeElement));
  await page.keyboard.type('typed');
  await page.keyboard.press('Enter');
  await see(row(page, 'typed').getByText('Delivered'));
  // To the log, to its last message, and what can be done with it.
  await page.getByRole('log').focus();
  await page.keyboard.press('ArrowUp');
  await until('the message has the focus', () => row(page, 'typed').evaluate(node => node === document.activeElement));
  await page.keyboard.press('Enter');
  await page.getByRole('menuitem', { name: 'Copy text' }).waitFor();
  await page.keyboard.press('Escape');
  await page.locator('#more').focus();
  await page.keyboard.press('Enter');
  await page.getByRole('complementary').waitFor();
  await page.keyboard.press('Escape');
  await until('the panel closes', () => page.locator('#about').isHidden());
  // Nothing that can be pressed is out of reach of the tab key.
  const reached = new Set();
  await page.locator('body').evaluate(() => document.activeElement.blur());
  for (let at = 0; at < 40; at++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()));
  }
  for (const name of ['Add somebody', 'About bob', 'Search in this conversation', 'Attach files or a folder', 'Message to bob', 'Messages with bob']) assert.ok(reached.has(name), `${name}: ${[...reached].join(' | ')}`);
});

test('a window of 320 pixels shows all, one thing at a time', async () => {
  await page.setViewportSize({ width: 320, height: 640 });
  const fits = async () => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320 && document.querySelector('#main').getBoundingClientRect().right <= 320));
  await page.goto(`${alice.shows.origin}/#`);
  await see(page.locator('.conv'));
  assert.ok(await page.locator('#main').isHidden());
  await fits();
  await talkTo(page, 'bob');
  assert.ok(await page.locator('#side').isHidden());
  await fits();
  await checkAxe('narrow');
  await page.getByRole('button', { name: 'Back to the conversations' }).click();
  await see(page.locator('.conv'));
  await page.goBack();
  await page.getByRole('textbox', { name: 'Message to bob' }).waitFor();
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('what is wrong can be read by all, in the light and in the dark', async () => {
  await page.locator('input[type=file]').first().setInputFiles({ name: 'refused.txt', mimeType: 'text/plain', buffer: Buffer.from('x') });
  await bob.run(['peers', 'set', 'alice', 'files=refuse']);
  await page.getByRole('button', { name: 'Send to bob' }).click();
  await see(page.locator('.card.stopped', { hasText: 'refused.txt' }));
  await bob.serves.stop();
  await see(page.locator('#presence', { hasText: 'Away' }));
  await write(page, 'waits');
  await alice.serves.stop();
  await see(page.locator('#banner code'));
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await checkAxe(`wrong ${colorScheme}`);
    await row(page, 'refused.txt').getByRole('button', { name: 'Why?' }).click();
    await page.getByRole('dialog').getByText('Details').click();
    await checkAxe(`why ${colorScheme}`);
    await page.keyboard.press('Escape');
  }
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  }
});

test('a page without a session says how to get one', async () => {
  const stranger = await profile(), other = await open(stranger, alice.shows.origin);
  await see(other.getByRole('heading', { name: 'Open this page anew' }));
  await other.locator('#start').getByText('How?').click();
  await see(other.getByText('egoat window', { exact: true }));
  await alice.run(['window', '--revoke']);
  await see(page.getByRole('heading', { name: 'Open this page anew' }));
  await stranger.close();
  await page.goto(await alice.again());
  await talkTo(page, 'bob');
});

test('a sealed home asks for its passphrase', async () => {
  const sealed = new Home('sealed');
  await sealed.run(['id', '--name', 'sealed']);
  await sealed.seal('secret');
  const window = await sealed.window(['--listen', '127.0.0.1:0']), visitor = await profile(), sheet = await open(visitor, window.url);
  await sheet.getByLabel('Passphrase').fill('wrong');
  await sheet.getByRole('button', { name: 'Open' }).click();
  await see(sheet.locator('.err', { hasText: 'This passphrase is wrong.' }));
  await sheet.getByLabel('Passphrase').fill('secret');
  await sheet.getByRole('button', { name: 'Open' }).click();
  await see(sheet.getByText(/Nobody here yet|Talk and send files/));
  assert.deepEqual(visitor.wrong, []);
});

test('nothing went wrong in the page', () => assert.deepEqual(alice.profile.wrong, []));
