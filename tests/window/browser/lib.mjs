// What the tests share: homes, the real program, and a browser that is installed. Each wait is for a condition, and bounded.

import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const PROGRAM = process.env.EGOAT ?? new URL('../../../target/debug/egoat', import.meta.url).pathname;
// By its name in PATH, or by CHROMIUM.
const CHROMIUM = process.env.CHROMIUM ?? process.env.PATH.split(delimiter).map(dir => join(dir, 'chromium')).find(existsSync);
// Generous: other programs run on the machine as well. In milliseconds.
export const PATIENCE = Number(process.env.PATIENCE ?? 30000);

const atEnd = [];
// Nothing that was started here outlives a test that is cut off.
const running = new Set();
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
// Everything that was started and made here ends with the process of the test.
export async function cleanUp() {
  while (atEnd.length) await atEnd.pop()();
}

export async function until(what, condition, patience = PATIENCE) {
  const end = Date.now() + patience;
  for (let last; ;) {
    last = await condition();
    if (last) return last;
    assert.ok(Date.now() < end, `did not come about: ${what}`);
    await new Promise(done => setTimeout(done, 40));
  }
}

export class Home {
  constructor(name) {
    this.name = name;
    this.dir = mkdtempSync(join(tmpdir(), `egoat-window-${name}-`));
    this.downloads = join(this.dir, 'got');
    this.env = { ...process.env, EGOAT_HOME: join(this.dir, 'home'), EGOAT_DOWNLOADS: this.downloads, HOME: this.dir, TZ: 'UTC', DISPLAY: '' };
    delete this.env.SSH_CONNECTION;
    delete this.env.EGOAT_PROXY;
    mkdirSync(this.downloads);
    atEnd.push(() => rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 }));
  }

  // Runs a command; its output, or an error with what it said.
  run(args, input = '', env = {}) {
    return new Promise((done, fail) => {
      const child = execFile(PROGRAM, args, { env: { ...this.env, ...env }, timeout: PATIENCE, maxBuffer: 1 << 26 }, (error, out, err) =>
        error ? fail(new Error(`egoat ${args.join(' ')}: ${err || error.message}`)) : done(out));
      child.stdin.on('error', () => {});
      child.stdin.end(input);
    });
  }

  // Seals the home with a passphrase, which the program reads from a descriptor of its own.
  async seal(passphrase) {
    const path = join(this.dir, 'passphrase');
    writeFileSync(path, `${passphrase}\n`.repeat(2));
    const child = spawn(PROGRAM, ['id', '--passphrase'], { env: { ...this.env, EGOAT_PASSPHRASE_FD: '3' }, stdio: ['ignore', 'ignore', 'inherit', openSync(path)] });
    assert.equal(await new Promise(done => child.on('exit', done)), 0);
  }

  async objects(args) {
    return (await this.run(['--json', ...args])).split('\n').filter(Boolean).map(line => JSON.parse(line));
  }

  // Starts a program that goes on; resolves with the first line of its output that fits.
  start(args, wanted, from = 'stdout', env = {}) {
    const child = spawn(PROGRAM, args, { env: { ...this.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = [];
    running.add(child);
    child.gone = new Promise(done => child.on('exit', () => done(running.delete(child))));
    const stop = async () => { child.kill('SIGKILL'); await child.gone; };
    atEnd.push(stop);
    child.stop = stop;
    child.said = said;
    return new Promise((done, fail) => {
      const late = setTimeout(() => fail(new Error(`egoat ${args.join(' ')} did not say ${wanted}: ${said.join('\n')}`)), PATIENCE);
      for (const name of ['stdout', 'stderr']) {
        createInterface({ input: child[name] }).on('line', line => {
          said.push(line);
          const found = name === from && line.match(wanted);
          if (found) clearTimeout(late), child.found = found, done(child);
        });
      }
      child.on('exit', code => { clearTimeout(late); fail(new Error(`egoat ${args.join(' ')} ended with ${code}: ${said.join('\n')}`)); });
    });
  }

  node() {
    return this.start(['--json', 'serve', '--listen', this.listen ?? '127.0.0.1:0'], /"listening","address":"([^"]+)"/).then(node => {
      this.listen = node.found[1];
      return node;
    });
  }

  // The window; `url` is its address with the code.
  async window(args = [], env = {}) {
    const child = await this.start(['window', '--no-open', '--listen', this.listen ?? '127.0.0.1:0', ...args], /(http:\/\/\S+)/, 'stdout', env);
    child.url = child.found[1];
    child.origin = new URL(child.url).origin;
    return child;
  }

  // Another code for the window that runs.
  async again() {
    return (await this.run(['window', '--no-open'])).match(/(http:\/\/\S+)/)[1];
  }

  async key(name) {
    return (await this.objects(['peers', 'list'])).find(({ peer }) => peer === name)?.key;
  }
}

// Makes peers of two homes, of which nodes run. `one` must be reachable.
export async function pair(one, other) {
  const link = (await one.run(['invite', '--addr', one.listen, '--as', other.name])).trim();
  await other.run(['join', '--as', one.name, '-'], link);
}

let browser;
export async function launch() {
  if (browser) return browser;
  const data = mkdtempSync(join(tmpdir(), 'egoat-browser-'));
  browser = await chromium.launch({
    executablePath: CHROMIUM, timeout: PATIENCE,
    env: { ...process.env, HOME: data, XDG_CONFIG_HOME: data, XDG_CACHE_HOME: data },
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--lang=en-GB', '--host-resolver-rules=MAP rebound.example 127.0.0.1'],
  });
  atEnd.push(async () => { await browser.close(); rmSync(data, { recursive: true, force: true, maxRetries: 5 }); browser = null; });
  return browser;
}

// A browser profile of its own, which notes everything that the policy of the page would have stopped.
export async function profile(options = {}) {
  const context = await (await launch()).newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(PATIENCE);
  context.wrong = [];
  context.on('weberror', error => context.wrong.push(error.error().stack));
  context.on('console', message => { if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text())) context.wrong.push(message.text()); });
  if (process.env.EGOAT_PAGE) await context.route(({ pathname }) => /^\/([a-z]+\.(js|css|svg))?$/.test(pathname), fromDisk);
  return context;
}

// With EGOAT_PAGE=DIR the files of that folder are shown in place of those in the program: no build for a change of the page.
// What the program says of each file is the same: it is asked once, since each of these requests is a connection.
const said = new Map();
async function fromDisk(route) {
  const url = new URL(route.request().url()), name = url.pathname.slice(1) || 'page.html';
  if (!said.has(url.origin)) said.set(url.origin, route.fetch({ url: url.origin }));
  const answer = await said.get(url.origin);
  const type = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' }[name.split('.').pop()];
  const headers = { ...answer.headers(), 'content-type': `${type}; charset=utf-8` };
  delete headers['content-length'];
  await route.fulfill({ status: 200, headers, body: readFileSync(join(process.env.EGOAT_PAGE, name)) });
}

export async function open(context, url) {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

// Two people with a window each, paired.
export async function two(options = {}) {
  const alice = new Home('alice'), bob = new Home('bob');
  for (const home of [alice, bob]) await home.run(['id', '--name', home.name]), home.listen = undefined;
  const scene = { alice, bob };
  alice.serves = await alice.node();
  bob.serves = await bob.node();
  await pair(alice, bob);
  alice.bob = await alice.key('bob');
  bob.alice = await bob.key('alice');
  alice.shows = await alice.window();
  alice.profile = await profile(options);
  alice.page = await open(alice.profile, alice.shows.url);
  if (options.both !== false) {
    bob.shows = await bob.window();
    bob.profile = await profile(options);
    bob.page = await open(bob.profile, bob.shows.url);
  }
  return scene;
}

export const talkTo = async (page, name) => {
  await page.locator('.conv', { hasText: name }).first().click();
  await page.getByRole('textbox', { name: `Message to ${name}` }).waitFor();
};
export const write = async (page, text) => {
  await page.locator('#write textarea').fill(text);
  await page.locator('#write textarea').press('Enter');
};
// The row of a message with this text.
export const row = (page, text) => page.locator('.msg', { hasText: text });
export const see = locator => locator.first().waitFor();
