// People: the first start, pairing, who is here, names, verification, blocking, several tabs.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Home, cleanUp, open, pair, profile, row, see, talkTo, two, until, write } from './lib.mjs';

let alice, bob, page;
before(async () => {
  ({ alice, bob } = await two({ both: false }));
  page = alice.page;
});
after(cleanUp);

test('the first start leads to a conversation by a link, on both sides', async () => {
  const [host, guest] = [new Home('dora'), new Home('emil')];
  for (const home of [host, guest]) {
    home.shows = await home.window(['--listen', '127.0.0.1:0']);
    home.profile = await profile();
    home.page = await open(home.profile, home.shows.url);
    await home.page.getByRole('textbox', { name: 'What should friends see?' }).fill(home.name);
  }
  await host.page.getByRole('button', { name: 'Invite somebody' }).click();
  const link = await host.page.getByRole('textbox', { name: 'Link' }).textContent();
  assert.match(link, /^egoat:/);
  await see(host.page.getByRole('button', { name: 'Copy link' }));
  await guest.page.getByRole('button', { name: 'I have a link' }).click();
  await guest.page.getByRole('textbox', { name: 'The link that you were given' }).fill(link);
  await guest.page.getByRole('button', { name: 'Join' }).click();
  await guest.page.getByRole('textbox', { name: 'Message to dora' }).waitFor();
  await host.page.getByRole('textbox', { name: 'Message to emil' }).waitFor();
  await write(guest.page, 'here I am');
  await see(row(host.page, 'here I am'));
  assert.deepEqual([...host.profile.wrong, ...guest.profile.wrong], []);
});

test('a name as people write it becomes one that egoat takes, and the page says so', async () => {
  const home = new Home('fresh');
  home.shows = await home.window(['--listen', '127.0.0.1:0']);
  home.profile = await profile();
  home.page = await open(home.profile, home.shows.url);
  const field = home.page.getByRole('textbox', { name: 'What should friends see?' });
  await field.fill('Anna Müller');
  await see(home.page.getByRole('status').filter({ hasText: 'Friends will see “Anna-Müller”' }));
  await field.fill(' … ');
  await home.page.getByRole('button', { name: 'I have a link' }).click();
  await see(home.page.getByText('A name needs at least one letter or digit.'));
  await field.fill('Anna Müller');
  await home.page.getByRole('button', { name: 'I have a link' }).click();
  await home.page.getByRole('textbox', { name: 'The link that you were given' }).waitFor();
  assert.equal(await field.inputValue(), 'Anna-Müller');
  assert.equal((await home.objects(['id']))[0].name, 'Anna-Müller');
  assert.equal(await home.page.locator('#toasts p').count(), 0);
  // By the same rule as the program: it takes whatever comes out.
  const made = await home.page.evaluate(async () => {
    const { nameOf } = await import('/text.js');
    return ["Anna's laptop", '../../etc', '--x--', 'host.lan.', '...', '\u202e', '', 'é'.repeat(99)].map(nameOf);
  });
  assert.deepEqual(made, ['Anna-s-laptop', 'etc', 'x', 'host.lan', null, null, null, 'é'.repeat(32)]);
  assert.deepEqual(home.profile.wrong, []);
});

test('a whole message with a link in it joins, and a used link says so in plain words', async () => {
  const host = new Home('hanna'), guests = [new Home('hugo'), new Home('ida')];
  for (const home of [host, ...guests]) await home.run(['id', '--name', home.name]);
  await host.node();
  const link = (await host.run(['invite', '--addr', host.listen])).trim();
  for (const [at, home] of guests.entries()) {
    home.profile = await profile();
    home.page = await open(home.profile, (await home.window(['--listen', '127.0.0.1:0'])).url);
    await home.page.locator('#add').click();
    await home.page.getByRole('button', { name: 'I have a link' }).click();
    await home.page.getByRole('textbox', { name: 'The link that you were given' }).fill(`Hi, here: ${link} see you, Anna\nSent from my iPhone`);
    await home.page.getByRole('button', { name: 'Join' }).click();
    if (at === 0) await home.page.getByRole('textbox', { name: 'Message to hanna' }).waitFor();
    else await see(home.page.getByText('This link was already used. Ask for a new one.'));
  }
  const [, late] = guests;
  assert.ok(await late.page.getByText('another node has used this invite').isHidden());
  await late.page.getByText('Why?').click();
  await see(late.page.getByText('another node has used this invite'));
});

test('a link that the program was started with is offered, and used when the user says so', async () => {
  const [host, guest] = [new Home('fritz'), new Home('gerd')];
  for (const home of [host, guest]) await home.run(['id', '--name', home.name]);
  await host.node();
  const link = (await host.run(['invite', '--addr', host.listen])).trim();
  const window = await guest.window([link]), visitor = await profile(), sheet = await open(visitor, window.url);
  await sheet.getByRole('textbox', { name: 'The link that you were given' }).waitFor();
  assert.equal((await guest.objects(['peers', 'list'])).length, 0);
  await sheet.getByRole('button', { name: 'Join' }).click();
  await sheet.getByRole('textbox', { name: 'Message to fritz' }).waitFor();
});

test('a link that is wrong says so, and what to do', async () => {
  await page.getByRole('button', { name: 'Add somebody' }).first().click();
  await page.getByRole('button', { name: 'I have a link' }).click();
  await page.getByRole('textbox', { name: 'The link that you were given' }).fill('egoat:nonsense');
  await page.getByRole('dialog').getByRole('button', { name: 'Join' }).click();
  await see(page.getByRole('dialog').locator('.err', { hasText: 'This is no egoat link: copy it again, whole.' }));
  await page.keyboard.press('Escape');
});

test('who is here, since when and by which way', async () => {
  await talkTo(page, 'bob');
  await see(page.locator('#presence', { hasText: /^Here since \d\d:\d\d · on this computer$/ }));
  const ways = [['192.0.2.1:4628', 'direct'], ['[2001:db8::1]:4628', 'direct'], ['192.168.1.7:4628', 'nearby'], ['192.0.2.1:4628', 'mapped'],
    ['192.0.2.1:4628', 'proxy'], ['abc.onion:4628', 'proxy']];
  assert.deepEqual(await page.evaluate(async ways => { const { way } = await import('/who.js'); return ways.map(([address, path]) => way({ address, path })); }, ways),
    ['direct, IPv4', 'direct, IPv6', 'direct, in the same network', 'direct, through their router', 'through a proxy', 'through Tor']);
  await bob.serves.stop();
  await see(page.locator('#presence', { hasText: /^Away · last seen \d\d:\d\d/ }));
  bob.serves = await bob.node();
  await see(page.locator('#presence', { hasText: 'Here since' }));
});

test('the list has the newest first, with name, last line, time and unread', async () => {
  const carol = new Home('carol');
  await carol.run(['id', '--name', 'carol']);
  carol.serves = await carol.node();
  await pair(alice, carol);
  await carol.run(['say', 'alice', 'hello from carol\nand more']);
  const first = page.locator('#list li').first();
  await see(first.locator('.badge', { hasText: '1' }));
  assert.match(await first.innerText(), /carol[^]*\d\d:\d\d[^]*hello from carol/);
  await bob.run(['say', 'alice', 'and bob']);
  await see(page.locator('#list li:first-child .last', { hasText: 'and bob' }));
  await first.click();
  await page.getByRole('textbox', { name: 'Message to bob' }).waitFor();
  alice.carol = carol;
});

test('the safety number is the one of the other side, and comparing it leaves a mark', async () => {
  await page.locator('#more').click();
  const about = page.getByRole('complementary', { name: 'About bob' });
  const number = await until('the number', async () => (await about.locator('.digits').textContent()).match(/^[\d ]{60,}$/)?.[0]);
  const window = await bob.window(), [, code] = window.url.match(/code=(\w+)/);
  const ask = async (path, options) => (await (await fetch(`${window.origin}/api/${path}`, options)).json());
  const { token } = await ask('session', { method: 'POST', body: new URLSearchParams({ code }) });
  assert.equal((await ask(`safety?peer=${await bob.key('alice')}`, { headers: { Authorization: `Bearer ${token}` } })).number, number);
  await window.stop();
  await see(about.getByText((await alice.objects(['peers', 'list'])).find(({ peer }) => peer === 'bob').fingerprint));
  await about.getByText('Compared, it is the same').click();
  await see(page.locator('#who').getByRole('img', { name: 'Verified' }));
});

test('a peer can be renamed here', async () => {
  const about = page.getByRole('complementary');
  await about.getByRole('button', { name: 'Rename' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('ro bert');
  await see(page.getByRole('dialog').getByText('You will see “ro-bert”'));
  await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
  await see(page.locator('#who h2', { hasText: 'ro-bert' }));
  await alice.run(['peers', 'rename', 'ro-bert', 'bob']);
  await see(page.locator('#who h2', { hasText: 'bob' }));
});

test('a blocked peer is quiet until it is unblocked', async () => {
  const about = page.getByRole('complementary');
  await about.getByRole('button', { name: 'Block' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Block' }).click();
  await see(page.locator('#warn', { hasText: 'You have blocked bob' }));
  assert.ok((await alice.objects(['peers', 'list'])).find(({ peer }) => peer === 'bob').blocked);
  assert.ok(await page.locator('#write textarea').isDisabled());
  await page.locator('#warn').getByRole('button', { name: 'Unblock' }).click();
  await until('it is unblocked', () => page.locator('#write textarea').isEnabled());
  await see(page.locator('#presence', { hasText: 'Here since' }));
});

test('a key that has changed is loud, and nothing is sent', async () => {
  // Only an address that the user gave belongs to the key.
  await alice.run(['peers', 'set', 'bob', `address=${bob.listen}`]);
  await bob.serves.stop();
  const other = new Home('other');
  other.listen = bob.listen;
  other.serves = await other.node();
  await write(page, 'for bob alone');
  await see(page.getByRole('alert').filter({ hasText: 'bob’s key has changed. Nothing is sent.' }));
  await see(page.getByRole('alert').getByText((await other.objects(['id']))[0].fingerprint));
  await see(row(page, 'for bob alone').getByText('Waits'));
  await other.serves.stop();
  bob.serves = await bob.node();
  await see(row(page, 'for bob alone').getByText('Delivered'));
  await until('the alarm is over', async () => await page.locator('#warn').textContent() === '');
});

test('several tabs and the terminal agree', async () => {
  const second = await alice.profile.newPage();
  // A tab that is opened by a bookmark gets the session from one that is open.
  await second.goto(`${alice.shows.origin}/#/${alice.bob}`);
  await second.getByRole('textbox', { name: 'Message to bob' }).waitFor();
  await write(second, 'from the second tab');
  await see(row(page, 'from the second tab').getByText('Delivered'));
  await alice.run(['say', 'bob', 'from the shell']);
  for (const tab of [page, second]) await see(row(tab, 'from the shell'));
  await second.locator('#write textarea').fill('a draft of both');
  await talkTo(page, 'carol');
  await talkTo(page, 'bob');
  assert.equal(await page.locator('#write textarea').inputValue(), 'a draft of both');
  await page.locator('#write textarea').fill('');
  await second.close();
});

test('a tab more than can be kept up to date says so', async () => {
  const tabs = [];
  for (let at = 0; at < 5; at++) {
    tabs.push(await alice.profile.newPage());
    await tabs[at].goto(`${alice.shows.origin}/#outbox`);
    await tabs[at].getByRole('heading', { name: at < 4 ? 'Outbox' : 'egoat is open in other tabs' }).waitFor();
  }
  await tabs.shift().close();
  await until('there is room again', async () => {
    await tabs.at(-1).getByRole('button', { name: 'Try again' }).click({ timeout: 1000 }).catch(() => {});
    return tabs.at(-1).getByRole('heading', { name: 'Outbox' }).isVisible();
  });
  for (const tab of tabs) await tab.close();
});

test('a stranger who asks becomes a peer when the user says so', async () => {
  const zoe = new Home('zoe');
  await zoe.run(['id', '--name', 'zoe']);
  await zoe.run(['say', '--accept-new', alice.listen, 'may I?']).catch(() => {});
  const asks = page.getByRole('group', { name: 'Request' });
  await see(asks.getByText('zoe wants to be a peer'));
  await see(asks.getByText((await zoe.objects(['id']))[0].fingerprint));
  await asks.getByRole('button', { name: 'Accept' }).click();
  await see(page.locator('.conv', { hasText: 'zoe' }));
  assert.ok(await alice.key('zoe'));
});

test('a name that is markup is text', async () => {
  const name = '<img src=x onerror=alert(1)>';
  await alice.run(['peers', 'rename', 'carol', name]).catch(() => {});
  await alice.carol.run(['say', 'alice', '<b>bold</b><script>alert(1)</script>']);
  await see(page.locator('#list .last', { hasText: '<b>bold</b><script>' }));
  await page.locator('#list .last', { hasText: '<b>bold</b>' }).click();
  await see(row(page, '<b>bold</b><script>alert(1)</script>'));
  assert.equal(await page.locator('#log b, #log script').count(), 0);
});

test('a removed peer goes, and what was said stays on the disk', async () => {
  await talkTo(page, 'bob');
  if (await page.locator('#about').isHidden()) await page.locator('#more').click();
  await page.getByRole('complementary').getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await until('bob is gone', async () => await page.locator('.conv', { hasText: 'bob' }).count() === 0);
  assert.equal((await alice.objects(['peers', 'list'])).filter(({ peer }) => peer === 'bob').length, 0);
});

test('nothing went wrong in the page', () => assert.deepEqual(alice.profile.wrong, []));
