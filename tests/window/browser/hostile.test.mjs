// Other pages in the same browser, other names of this machine, and peers who mean harm.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { cleanUp, open, row, see, talkTo, two } from './lib.mjs';

let alice, bob, page, evil, evilAt;
before(async () => {
  ({ alice, bob } = await two({ both: false }));
  page = alice.page;
  await talkTo(page, 'bob');
  evil = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>evil</title>'));
  await new Promise(done => evil.listen(0, '127.0.0.1', done));
  evilAt = `http://127.0.0.1:${evil.address().port}/`;
});
after(async () => { evil.close(); await cleanUp(); });

test('a page on another port reads nothing, changes nothing and frames nothing', async () => {
  const other = await open(alice.profile, evilAt);
  const found = await other.evaluate(async target => {
    const tries = {
      read: () => fetch(`${target}/api/log?peer=x`).then(answer => answer.text()),
      page: () => fetch(`${target}/`).then(answer => answer.text()),
      say: () => fetch(`${target}/api/name`, { method: 'POST', body: new URLSearchParams({ name: 'evil' }) }).then(answer => answer.text()),
      blind: () => fetch(`${target}/api/name`, { method: 'POST', mode: 'no-cors', body: new URLSearchParams({ name: 'evil' }) }).then(answer => answer.type),
      script: () => new Promise((done, fail) => document.head.append(Object.assign(document.createElement('script'), { src: `${target}/main.js`, type: 'module', onload: done, onerror: fail }))),
      picture: () => new Promise((done, fail) => Object.assign(new Image(), { src: `${target}/icon.svg`, onload: done, onerror: fail })),
    };
    const results = {};
    for (const [name, run] of Object.entries(tries)) results[name] = await run().then(value => `got ${value}`, () => 'refused');
    const frame = document.createElement('iframe');
    frame.src = target;
    const loaded = new Promise(done => { frame.onload = done; });
    document.body.append(frame);
    await loaded;
    results.frame = frame.contentDocument === null ? 'refused' : 'got';
    return results;
  }, alice.shows.origin);
  const { blind, ...rest } = found;
  assert.deepEqual(new Set(Object.values(rest)), new Set(['refused']), JSON.stringify(found));
  assert.ok(blind === 'got opaque' || blind === 'refused');
  assert.equal((await alice.objects(['id']))[0].name, 'alice');
  await other.close();
});

test('a name that leads to this machine is not let in', async () => {
  const { port } = new URL(alice.shows.origin);
  const other = await alice.profile.newPage();
  const [answer] = await Promise.all([other.waitForEvent('response'), other.goto(`http://rebound.example:${port}/`).catch(() => {})]);
  assert.equal(answer.status(), 403);
  await other.close();
});

test('names and texts that turn the direction or hide are shown as what they are', async () => {
  await bob.run(['say', 'alice', '-'], 'exe.\u202egpj\u202c and \u0000\u001b[31mred');
  await see(row(page, 'exe.'));
  const text = await row(page, 'exe.').locator('.say').evaluate(node => node.textContent);
  assert.doesNotMatch(text, /[\u202a-\u202e\u0000\u001b]/);
  assert.match(text, /exe\.\ufffdgpj/);
});

test('the page loads nothing from elsewhere and evaluates nothing', async () => {
  const hosts = new Set();
  // The icon with a count is a blob that the page has made.
  page.on('request', request => request.url().startsWith('blob:') || hosts.add(new URL(request.url()).host));
  await page.reload();
  await page.getByRole('textbox', { name: 'Message to bob' }).waitFor();
  assert.deepEqual([...hosts], [new URL(alice.shows.origin).host]);
  assert.equal(await page.evaluate(() => { try { document.body.innerHTML = '<i></i>'; return 'set'; } catch { return 'refused'; } }), 'refused');
  assert.doesNotMatch(page.url(), /code=/);
});
