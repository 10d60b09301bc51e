// Files: chosen, pasted, dropped, folders; asked about; progress, interruption, stop; saved.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, existsSync, truncateSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { cleanUp, see, talkTo, two, until } from './lib.mjs';

let alice, bob, page, make;
before(async () => {
  ({ alice, bob } = await two());
  page = alice.page;
  await talkTo(page, 'bob');
  await talkTo(bob.page, 'alice');
  make = (name, content) => { const path = join(alice.dir, name); mkdirSync(join(path, '..'), { recursive: true }); writeFileSync(path, content); return path; };
});
after(cleanUp);

const tray = () => page.getByRole('group', { name: 'Files to send' });
const card = (where, name) => where.locator('.card', { hasText: name });
const got = name => join(bob.downloads, 'alice', name);
const arrives = (name, content) => until(`${name} arrives`, () => existsSync(got(name)) && readFileSync(got(name)).equals(Buffer.from(content)));

test('chosen files are shown with names and sizes before they are sent', async () => {
  await page.locator('input[type=file]').first().setInputFiles([make('one.txt', 'first'), make('two.txt', 'x'.repeat(2048)), make('not this.txt', 'no')]);
  await see(tray().getByText('2.0 KiB').first());
  await tray().getByRole('button', { name: 'Leave out not this.txt' }).click();
  await tray().getByRole('button', { name: 'Send all 2 to bob' }).click();
  await arrives('one.txt', 'first');
  await arrives('two.txt', 'x'.repeat(2048));
  await see(card(page, 'two.txt'));
  await see(page.locator('.meta', { hasText: 'In place and verified' }));
  assert.equal(await tray().count(), 0);
  assert.ok(!existsSync(got('not this.txt')));
});

test('a received file can be saved as it was', async () => {
  await see(card(bob.page, 'one.txt'));
  const [download] = await Promise.all([bob.page.waitForEvent('download'), card(bob.page, 'one.txt').getByRole('button', { name: 'Save a copy' }).click()]);
  assert.equal(download.suggestedFilename(), 'one.txt');
  assert.equal(readFileSync(await download.path(), 'utf8'), 'first');
  await see(card(bob.page, 'one.txt').getByRole('button', { name: 'Open folder' }));
});

test('a folder opens on the desktop, or shows its path where there is none', async () => {
  // With a program that opens folders, without one, and with one that finds no desktop.
  const bin = join(bob.dir, 'bin'), opened = join(bob.dir, 'opened'), none = join(bob.dir, 'none'), stub = join(bin, 'xdg-open');
  for (const dir of [bin, none]) mkdirSync(dir);
  const restart = async PATH => {
    await bob.shows.stop();
    bob.shows = await bob.window([], { PATH });
    await bob.profile.grantPermissions(['clipboard-read', 'clipboard-write']);
    await bob.page.goto(bob.shows.url);
    await talkTo(bob.page, 'alice');
    await card(bob.page, 'one.txt').getByRole('button', { name: 'Open folder' }).click();
  };
  writeFileSync(stub, `#!/bin/sh\nprintf %s "$1" >${opened}\n`, { mode: 0o755 });
  await restart(bin + delimiter + process.env.PATH);
  await until('the folder opens', () => existsSync(opened) && readFileSync(opened, 'utf8') === join(bob.downloads, 'alice'));
  assert.equal(await bob.page.getByRole('dialog').count(), 0);
  for (const path of [none, bin + delimiter + process.env.PATH]) {
    writeFileSync(stub, '#!/bin/sh\nexit 3\n');
    await restart(path);
    await see(bob.page.getByRole('dialog', { name: 'This folder cannot be opened from here' }).getByText(join(bob.downloads, 'alice')));
    await bob.page.getByRole('button', { name: 'Copy path' }).click();
    await until('it is copied', async () => await bob.page.evaluate(() => navigator.clipboard.readText()) === join(bob.downloads, 'alice'));
    await bob.page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  }
});

test('a pasted file goes into the tray', async () => {
  await page.locator('#write textarea').evaluate(area => {
    const data = new DataTransfer();
    data.items.add(new File(['pasted'], 'picture.png', { type: 'image/png' }));
    area.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await tray().getByRole('button', { name: 'Send to bob' }).click();
  await arrives('picture.png', 'pasted');
});

test('a dropped folder arrives with all that is in it', async () => {
  make('photos/a.txt', 'a');
  make('photos/deep/b.txt', 'b');
  mkdirSync(join(alice.dir, 'photos/empty'));
  const loose = make('loose.txt', 'loose'), devtools = await page.context().newCDPSession(page);
  const data = { items: [], files: [join(alice.dir, 'photos'), loose], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver']) await devtools.send('Input.dispatchDragEvent', { type, x: 700, y: 300, data });
  await see(page.getByText('Drop to send to bob'));
  await devtools.send('Input.dispatchDragEvent', { type: 'drop', x: 700, y: 300, data });
  await see(tray().getByText('2 files, 2 B'));
  await tray().getByRole('button', { name: 'Send all 2 to bob' }).click();
  await arrives('photos/deep/b.txt', 'b');
  await arrives('loose.txt', 'loose');
  await until('the empty folder', () => existsSync(got('photos/empty')));
});

test('what is asked can be refused and accepted', async () => {
  await bob.run(['peers', 'set', 'alice', 'files=ask']);
  const send = async name => {
    await page.locator('input[type=file]').first().setInputFiles(make(name, name));
    await tray().getByRole('button', { name: 'Send to bob' }).click();
  };
  await send('unwanted.txt');
  await see(card(page, 'unwanted.txt').getByText('waits for bob to accept'));
  await see(bob.page.locator('.conv', { hasText: 'alice' }).getByText('Asks to send: unwanted.txt'));
  await card(bob.page, 'unwanted.txt').getByRole('button', { name: 'Refuse' }).click();
  await see(page.locator('.msg', { hasText: 'unwanted.txt' }).locator('.meta.bad').getByText('Refused by bob'));
  await see(page.locator('.card.stopped', { hasText: 'unwanted.txt' }));
  await see(page.locator('.conv', { hasText: 'bob' }).getByText('Refused: unwanted.txt'));
  await page.locator('.msg', { hasText: 'unwanted.txt' }).getByRole('button', { name: 'Why?' }).click();
  assert.equal(await page.getByRole('dialog').locator('.cause').textContent(), 'bob refused these files.');
  await see(page.getByRole('dialog', { name: 'Why was this refused?' }));
  await page.keyboard.press('Escape');
  // Among all transfers and in the outbox, too; nothing of it is on its way.
  for (const place of ['Transfers', 'Outbox']) {
    await page.locator('#places').getByText(place).click();
    const line = page.locator('#place .line', { hasText: 'unwanted.txt' });
    await see(line.locator('.err', { hasText: 'Refused by bob' }));
    assert.equal(await line.count(), 1);
    assert.equal(await page.locator('#place').getByText('On its way').count(), 0);
  }
  await talkTo(page, 'bob');
  await page.locator('.msg', { hasText: 'unwanted.txt' }).getByRole('button', { name: 'Remove' }).click();
  await until('it is gone', async () => await card(page, 'unwanted.txt').count() === 0);
  await send('wanted.txt');
  await card(bob.page, 'wanted.txt').getByRole('button', { name: 'Accept' }).click();
  await arrives('wanted.txt', 'wanted.txt');
  await bob.run(['peers', 'set', 'alice', 'files=']);
});

test('a question below the fold shows in the title, in the icon, and on a button that leads there', async () => {
  await bob.run(['peers', 'set', 'alice', 'files=ask']);
  const icon = bob.page.locator('#icon'), log = bob.page.locator('#log');
  for (let at = 0; at < 40; at++) await alice.run(['say', 'bob', `filler ${at}`]);
  await see(bob.page.locator('.msg', { hasText: 'filler 39' }));
  await until('all is read', async () => await icon.getAttribute('href') === 'icon.svg');
  await log.evaluate(node => { node.scrollTop = 0; });
  await page.locator('input[type=file]').first().setInputFiles(make('below.txt', 'below'));
  await tray().getByRole('button', { name: 'Send to bob' }).click();
  await until('the title', async () => (await bob.page.title()).startsWith('(1) 1 file to accept – '));
  await until('the icon', async () => (await icon.getAttribute('href')).startsWith('blob:'));
  await bob.page.getByRole('button', { name: '1 file to accept, go there' }).click();
  await until('it is on the screen', () => card(bob.page, 'below.txt').evaluate(node => node.getBoundingClientRect().bottom < innerHeight));
  await card(bob.page, 'below.txt').getByRole('button', { name: 'Accept' }).click();
  await arrives('below.txt', 'below');
  await until('the title is as before', async () => await bob.page.title() === 'alice – egoat');
  await page.locator('#places').getByText('Transfers').click();
  await see(page.locator('#place .line', { hasText: 'below.txt' }).getByText('In place and verified'));
  await talkTo(page, 'bob');
  await bob.run(['peers', 'set', 'alice', 'files=']);
});

test('progress shows, and an interrupted transfer goes on by itself', async () => {
  const content = randomBytes(256 << 20);
  await page.locator('input[type=file]').first().setInputFiles(make('large.bin', content));
  await tray().getByRole('button', { name: 'Send to bob' }).click();
  await see(card(page, 'large.bin').getByText(/%.*MiB\/s/));
  await page.getByRole('progressbar', { name: 'Progress of large.bin' }).waitFor();
  await bob.shows.stop();
  await bob.serves.stop();
  await see(page.locator('.msg', { hasText: 'large.bin' }).getByText('Waits'));
  assert.ok(!existsSync(got('large.bin')));
  bob.serves = await bob.node();
  await arrives('large.bin', content);
  await see(page.locator('.msg', { hasText: 'large.bin' }).getByText('In place and verified'));
});

test('a transfer shows among all transfers, and can be stopped', async () => {
  // Long enough that its progress is seen on a fast machine; zeros cost no time to make.
  const large = make('stopped.bin', '');
  truncateSync(large, 400 << 20);
  await page.locator('input[type=file]').first().setInputFiles(large);
  await tray().getByRole('button', { name: 'Send to bob' }).click();
  await see(card(page, 'stopped.bin').getByText(/%/));
  // A frozen receiver leaves time to press the button.
  bob.serves.kill('SIGSTOP');
  await page.locator('#places').getByText('Transfers').click();
  const line = page.locator('#place .line', { hasText: 'stopped.bin' }).first();
  await see(line.getByText('to bob'));
  await line.getByRole('button', { name: 'Stop' }).click();
  bob.serves.kill('SIGCONT');
  await until('nothing waits', async () => (await alice.objects(['outbox', 'list'])).length === 0);
  await see(page.locator('#place h3', { hasText: 'Ended' }));
  await see(page.locator('#place .line', { hasText: 'stopped.bin' }).getByText('Stopped · to bob'));
  assert.ok(!existsSync(got('stopped.bin')));
});

test('nothing went wrong in the page', () => assert.deepEqual([...alice.profile.wrong, ...bob.profile.wrong], []));
