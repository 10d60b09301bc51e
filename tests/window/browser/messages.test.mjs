// Messages: their states, what survives, drafts, the list, scrolling.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cleanUp, open, row, see, talkTo, two, until, write } from './lib.mjs';

let alice, bob, page;
before(async () => {
  ({ alice, bob } = await two());
  page = alice.page;
  await talkTo(page, 'bob');
});
after(cleanUp);

test('a message appears at once and says what became of it', async () => {
  await talkTo(bob.page, 'alice');
  await write(page, 'hello bob');
  await see(row(page, 'hello bob'));
  await see(row(page, 'hello bob').getByText('Delivered'));
  await see(row(bob.page, 'hello bob'));
});

test('news are shown within a second of being on the disk', async () => {
  const took = [];
  // Of three, because the machine may be busy with something else.
  for (const text of ['news one', 'news two', 'news three']) {
    await bob.run(['say', 'alice', text]);
    const begun = Date.now();
    await see(row(page, text));
    took.push(Date.now() - begun);
  }
  assert.ok(Math.min(...took) < 1000, `${took} ms`);
});

test('Enter sends, Shift+Enter breaks the line', async () => {
  const area = page.locator('#write textarea');
  await area.pressSequentially('first');
  await area.press('Shift+Enter');
  await area.pressSequentially('second');
  assert.equal(await area.inputValue(), 'first\nsecond');
  await area.press('Enter');
  await see(row(page, 'first\nsecond'));
  assert.equal(await area.inputValue(), '');
});

test('Enter that ends a composed word does not send', async () => {
  const area = page.locator('#write textarea'), devtools = await page.context().newCDPSession(page);
  await area.focus();
  await devtools.send('Input.imeSetComposition', { text: 'にほん', selectionStart: 3, selectionEnd: 3 });
  await area.evaluate(node => node.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })));
  assert.equal(await area.inputValue(), 'にほん');
  await devtools.send('Input.insertText', { text: '日本' });
  await area.press('Enter');
  await see(row(page, '日本').getByText('Delivered'));
});

test('a reload keeps what waits, and a lost answer does not send twice', async () => {
  // The program takes the message, but the page never hears so.
  const isLost = new Promise(done => page.route('**/api/say', route => route.fetch().then(() => route.abort()).then(done), { times: 1 }));
  await write(page, 'only once');
  await see(row(page, 'only once'));
  await isLost;
  await page.reload();
  await see(row(page, 'only once').getByText('Delivered'));
  await until('bob has it', async () => (await bob.objects(['log', 'alice'])).some(({ text }) => text === 'only once'));
  assert.equal(await row(page, 'only once').count(), 1);
  assert.equal((await bob.objects(['log', 'alice'])).filter(({ text }) => text === 'only once').length, 1);
});

test('a message that was written while the program was away is sent when it is back', async () => {
  await page.route('**/api/say', route => route.abort());
  await write(page, 'kept in the browser');
  await see(row(page, 'kept in the browser').getByText('Saving'));
  await page.close();
  page = alice.page = await open(alice.profile, await alice.again());
  await talkTo(page, 'bob');
  await see(row(page, 'kept in the browser').getByText('Delivered'));
});

test('a draft stays over switching, a reload and a new window', async () => {
  const area = page.locator('#write textarea');
  await area.fill('half a thought');
  await page.goto(`${alice.shows.origin}/#outbox`);
  await page.getByRole('heading', { name: 'Outbox' }).waitFor();
  await see(page.locator('.conv .last.draft', { hasText: 'half a thought' }));
  await page.reload();
  await talkTo(page, 'bob');
  assert.equal(await area.inputValue(), 'half a thought');
  await alice.run(['window', '--stop']);
  await alice.shows.gone;
  alice.shows = await alice.window();
  await page.goto(alice.shows.url);
  await talkTo(page, 'bob');
  assert.equal(await area.inputValue(), 'half a thought');
  await area.fill('');
});

test('the view stays where the reader is, counts what is new, and follows at the end', async () => {
  await bob.run(['say', '--lines', 'alice'], Array.from({ length: 60 }, (_, at) => `line ${at}`).join('\n'));
  await see(row(page, 'line 59'));
  const log = page.locator('#log');
  await until('the end shows', () => log.evaluate(node => node.scrollHeight - node.scrollTop - node.clientHeight < 5));
  await log.evaluate(node => { node.scrollTop = 300; });
  await see(page.locator('#down'));
  const place = () => page.evaluate(() => { const frame = document.getElementById('log').getBoundingClientRect(); const first = [...document.querySelectorAll('#log .msg')].find(row => row.getBoundingClientRect().top > frame.top); return first.textContent + first.getBoundingClientRect().top; });
  const before = await place();
  for (const text of ['new one', 'new two', 'new three']) await bob.run(['say', 'alice', text]);
  await see(page.getByRole('button', { name: '3 new messages, go to the end' }));
  assert.equal(await place(), before);
  await page.locator('#down').click();
  await until('the end shows', () => log.evaluate(node => node.scrollHeight - node.scrollTop - node.clientHeight < 5));
  await bob.run(['say', 'alice', 'followed']);
  await see(row(page, 'followed'));
  await until('it follows', () => log.evaluate(node => node.scrollHeight - node.scrollTop - node.clientHeight < 5));
  assert.ok(await page.locator('#down').isHidden());
});

test('a message to a peer who is away waits, says why, and can be cancelled or goes out later', async () => {
  await bob.serves.stop();
  await bob.shows.stop();
  await see(page.locator('#presence', { hasText: 'Away' }));
  await write(page, 'take it back');
  await write(page, 'for later');
  await see(row(page, 'for later').getByText('Waits'));
  await see(page.locator('.conv', { hasText: 'bob' }).getByText('Waits: for later'));
  await until('a try', async () => (await alice.objects(['outbox', 'list'])).some(({ error }) => error));
  // The cause first, then what to do, and the words of the network only for who asks.
  await until('the reason', async () => {
    await page.keyboard.press('Escape');
    await row(page, 'for later').getByRole('button', { name: 'Why?' }).click();
    return await page.getByRole('dialog').locator('.cause').textContent() === 'bob’s computer does not answer.';
  });
  await see(page.getByRole('dialog').getByText('ask bob. Nothing is lost: egoat'));
  assert.ok(await page.getByRole('dialog').getByText('Cannot reach bob').isHidden());
  await page.getByRole('dialog').getByText('Details').click();
  await see(page.getByRole('dialog').getByText('Cannot reach bob'));
  await page.getByRole('dialog').getByRole('button', { name: 'Find out more' }).click();
  await see(page.getByRole('dialog').locator('p .err'));
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await page.locator('#places').getByText('Outbox').click();
  await see(page.locator('#place .line', { hasText: 'take it back' }));
  await page.locator('#place .line', { hasText: 'take it back' }).getByRole('button', { name: 'Cancel' }).click();
  await until('it is gone', async () => await page.locator('#place .line', { hasText: 'take it back' }).count() === 0);
  await talkTo(page, 'bob');
  await see(row(page, 'take it back').getByText('Cancelled, not sent'));
  bob.serves = await bob.node();
  await see(row(page, 'for later').getByText('Delivered'));
  await see(page.locator('#presence', { hasText: 'Here since' }));
  await row(page, 'take it back').getByRole('button', { name: 'Send again' }).click();
  await until('both are there', async () => await row(page, 'take it back').count() === 2);
});

test('a message that was long on its way shows when it was written', async () => {
  const shown = await page.evaluate(async () => {
    const rows = await import('/rows.js'), at = (hour, minute) => new Date(2026, 0, 5, hour, minute).getTime() * 1000;
    return [[at(5, 5), at(5, 5) + 59e6], [at(5, 5), at(5, 6)], [at(5, 5), at(5, 25)], [at(5, 25), at(5, 5)]].map(([said, time]) => {
      const row = rows.entry({ event: 'received', seq: 1, number: 1, text: 'late', said, time }, { name: 'bob', talk: {} }, { first: true, tail: true }, {});
      return [row.querySelector('.meta').textContent, row.querySelector('time').title.split('\n')[0]];
    });
  });
  assert.equal(shown[0][0], '05:05');
  assert.deepEqual(shown[1], ['05:05', 'Written 05:05, arrived 05:06']);
  assert.deepEqual(shown[2], ['05:05·arrived 05:25', 'Written 05:05, arrived 05:25']);
  assert.equal(shown[3][0], '05:05');
});

test('on a narrow screen a tap reaches what can be done with a message', async () => {
  await page.setViewportSize({ width: 390, height: 800 });
  await write(page, 'tap me, I am a message that is longer than the line of a telephone, by far');
  const more = row(page, 'tap me').getByRole('button', { name: 'More' });
  await until('it is on the screen', () => more.evaluate(node => { const box = node.getBoundingClientRect(); return box.width > 20 && box.left >= 0 && box.right <= innerWidth && getComputedStyle(node).opacity > 0.5; }));
  await more.click();
  await see(page.getByRole('menuitem', { name: 'Copy text' }));
  await page.keyboard.press('Escape');
  await page.setViewportSize({ width: 1280, height: 800 });
});

const copied = async command => {
  await page.locator('#banner').getByRole('button', { name: `Copy ${command}` }).click();
  await until('the command is copied', async () => await page.evaluate(() => navigator.clipboard.readText()) === command);
};

test('a banner says that no node runs and how to start one, and goes by itself', async () => {
  await alice.profile.grantPermissions(['clipboard-read', 'clipboard-write']);
  await alice.serves.stop();
  await see(page.locator('#banner', { hasText: 'egoat does not run in the background' }));
  await copied(`egoat serve --home ${alice.env.EGOAT_HOME} --listen ${alice.listen}`);
  alice.serves = await alice.node();
  await until('the banner goes', async () => await page.locator('#banner').textContent() === '');
});

test('what is written while egoat has ended is kept, shown as not sent, and sent when it is back', async () => {
  await alice.shows.stop();
  await see(page.locator('#banner', { hasText: 'egoat has stopped on this computer. Start it again as you did before.' }));
  assert.equal(await page.locator('.conv .face.here').count(), 0);
  assert.ok(await page.locator('#banner code').isHidden());
  await page.locator('#banner').getByText('How?').click();
  await copied(`egoat window --home ${alice.env.EGOAT_HOME} --listen ${alice.listen}`);
  await write(page, 'written while it was gone');
  await see(row(page, 'written while it was gone').getByText('Not sent yet'));
  await see(page.locator('.conv', { hasText: 'bob' }).getByText('Not sent yet: written while it was gone'));
  alice.shows = await alice.window();
  // The session has ended with the process: the page says so, until another one has a new session.
  await see(page.getByText('Open this page anew'));
  await see(page.getByText('Start egoat again as you did before.'));
  await page.locator('#start').getByText('How?').click();
  await see(page.getByText(`egoat window --home ${alice.env.EGOAT_HOME}`));
  const fresh = await open(alice.profile, alice.shows.url);
  await talkTo(fresh, 'bob');
  await see(row(fresh, 'written while it was gone').getByText('Delivered'));
  await see(row(page, 'written while it was gone').getByText('Delivered'));
  assert.equal(await row(page, 'written while it was gone').count(), 1);
});

test('nothing went wrong in the page', () => assert.deepEqual([...alice.profile.wrong, ...bob.profile.wrong], []));
