// The open conversation: what of its log is loaded, what waits, and how far it was read.

import { get, post } from './api.js';
import * as cards from './cards.js';
import { $, el, icon, put, tell } from './dom.js';
import { uploads } from './files.js';
import * as log from './log.js';
import * as rows from './rows.js';
import * as sending from './sending.js';
import { friend, keyOf, of, onChange, onEnd, state } from './state.js';
import { drawWho } from './who.js';
import { day, plural, sameDay } from './words.js';

// As many records as the program gives at once.
const PAGE = 200;
// More records than this are not kept: the browser slows down, and they are read again when somebody scrolls there.
const MOST = 800;
// Messages of one side within this many microseconds stand together.
const TOGETHER = 5 * 60e6;

// key; entries: records of the log; waiting: the outbox; older, newer: whether there are more on that side; divider: the record behind
// which the unread begin; seen: the last record that was read; found: what was searched for.
let open = null;
const hasEyes = () => document.visibilityState === 'visible' && document.hasFocus();

const deeds = {
  again: sending.again,
  drop: sending.drop,
  cancel: entry => post('cancel', { number: entry.number }).catch(tell),
  retry: () => post('retry', { peer: open.key }).catch(tell),
  resend: entry => say(entry.text),
};

export function say(text) {
  open.divider = null;
  if (open.newer) openTalk(open.key, { end: true });
  log.follow(true);
  sending.say(open.key, text);
}

// Opens the conversation with the peer `key`: at the record `seq`, at its end, or else where the unread begin.
export async function openTalk(key, { seq, found, end } = {}) {
  const { unread, read } = friend(key).talk, isMany = unread > PAGE - 20;
  const divider = unread && !end ? read ?? -1 : null;
  const mine = open = { key, entries: [], waiting: [], divider, seen: read ?? -1, found, isLoading: true };
  state.open = key;
  log.follow(true);
  draw();
  try {
    await load(mine, seq ?? (isMany && !end ? read ?? 0 : undefined));
  } catch (error) {
    mine.failed = error;
  }
  if (open !== mine) return;
  mine.isLoading = false;
  draw();
  const hit = mine.entries.find(entry => entry.seq === seq);
  if (hit) log.goTo(keyFor(hit), true)?.classList.add('found');
  else if (divider === null || !log.goTo('unread')) log.goToEnd();
  notice();
}

async function page(key, fields) {
  const entries = await get('log', { peer: key, limit: PAGE, ...fields });
  return { more: entries.pop()?.more ?? false, entries };
}

const outbox = async key => (await get('outbox', { peer: key })).filter(({ event }) => event !== 'end');

// Loads the end, or what is around the record `seq`. What waits is asked first: a message that leaves meanwhile is then in the
// log, and never in neither.
async function load(into, seq) {
  into.waiting = await outbox(into.key);
  if (seq === undefined) {
    const { entries, more } = await page(into.key);
    Object.assign(into, { entries, older: more });
  } else {
    const sides = [{ before: seq + 1, limit: 60 }, { after: seq, limit: 120 }];
    const [before, after] = await Promise.all(sides.map(side => page(into.key, side)));
    Object.assign(into, { entries: [...before.entries, ...after.entries], older: before.more, newer: after.more });
  }
}

// Takes in what is new; changes that come meanwhile make one more round.
async function refresh() {
  const mine = open;
  if (mine.isLoading) return;
  mine.again = true;
  if (mine.isBusy) return;
  mine.isBusy = true;
  try {
    while (mine.again && open === mine) {
      mine.again = false;
      mine.waiting = await outbox(mine.key);
      while (!mine.newer && await isMoreNew(mine));
    }
  } catch (error) {
    // Without an answer the banner says enough.
    if (error.http) mine.failed = error;
  }
  mine.isBusy = false;
  if (open === mine) draw(), notice();
}

async function isMoreNew(mine) {
  const last = mine.entries.at(-1)?.seq;
  const { entries, more } = await page(mine.key, last === undefined ? {} : { after: last });
  // Scrolling has loaded or dropped something meanwhile.
  if (mine.entries.at(-1)?.seq !== last) return true;
  if (last === undefined) mine.older = more;
  if (entries.length > 0 && mine.divider === null && !hasEyes()) mine.divider = mine.seen;
  mine.entries.push(...entries);
  if (log.isAtEnd() && mine.entries.length > MOST) mine.entries.splice(0, mine.entries.length - MOST / 2), mine.older = true;
  return more && last !== undefined;
}

// Loads more on a side, and drops what is far away on the other.
async function grow(side) {
  const mine = open, isOlder = side === 'older';
  if (mine.isGrowing || mine.entries.length === 0) return;
  mine.isGrowing = true;
  try {
    const from = isOlder ? { before: mine.entries[0].seq } : { after: mine.entries.at(-1).seq };
    const { entries, more } = await page(mine.key, from);
    mine.entries = isOlder ? [...entries, ...mine.entries] : [...mine.entries, ...entries];
    mine[side] = more;
    if (mine.entries.length > MOST && isOlder) mine.entries.length = MOST, mine.newer = true;
    else if (mine.entries.length > MOST) mine.entries.splice(0, mine.entries.length - MOST), mine.older = true;
    // What is older is not news for a screen reader.
    if (isOlder) $('log').setAttribute('aria-live', 'off');
    if (open === mine) log.follow(false), draw();
    setTimeout(() => $('log').removeAttribute('aria-live'), 100);
    // What came meanwhile was left to this.
    if (open === mine && !isOlder && !more) refresh();
  } catch (error) {
    if (error.http) tell(error);
  }
  mine.isGrowing = false;
}

// The log, what waits, and what is not on the disk yet, each once.
function everything(peer) {
  if (open.newer) return open.entries;
  const numbers = new Set(open.entries.filter(entry => entry.number && rows.isMine(entry)).map(({ number }) => number));
  const waiting = open.waiting.filter(({ number }) => !numbers.has(number));
  waiting.forEach(({ number }) => numbers.add(number));
  sending.settle(peer.key, numbers);
  return [
    ...open.entries,
    ...waiting.map(one => ({ ...one, queued: Date.now() * 1000 - one.age * 1e6 })),
    ...sending.unsaved(peer.key).map(one => ({ ...one, event: 'saving' })),
  ];
}

// A message of ours keeps its key from the first moment, so that its row stays while its state changes.
function keyFor({ event, id, key, seq, number }) {
  if (event === 'saving' || key) return `k${key ?? id}`;
  return seq === undefined ? `q${number}` : `r${seq}`;
}

const moment = entry => entry?.time ?? entry?.queued;
const plain = (key, make, stamp = '') => ({ key, stamp, make });
const isAlike = (one, other) => one && other
  && rows.isMine(one) === rows.isMine(other) && rows.isFile(one) === rows.isFile(other)
  && sameDay(moment(one), moment(other)) && Math.abs(moment(one) - moment(other)) < TOGETHER
  // What was written apart and arrived together has its own times.
  && Math.abs((one.said ?? moment(one)) - (other.said ?? moment(other))) < TOGETHER;

// The rows of all that was said: day lines, the line above the unread, and what stands together.
function describe(peer) {
  const shown = [], list = everything(peer).filter(entry => !isMoving(entry, peer));
  const states = list.map(entry => JSON.stringify(rows.status(entry, peer)));
  let before = null, divider = open.divider;
  list.forEach((entry, at) => {
    const when = moment(entry);
    if (when && !sameDay(when, moment(list[at - 1]))) {
      shown.push(plain(`d${when}`, () => el('div', 'day', day(when)), day(when)));
      before = null;
    }
    if (divider !== null && entry.seq > divider && !rows.isMine(entry)) {
      shown.push(plain('unread', () => el('div', { class: 'day new', role: 'separator' }, 'New')));
      before = divider = null;
    }
    const first = !isAlike(entry, before);
    const tail = !isAlike(entry, list[at + 1]) || states[at] !== states[at + 1] || !['received', 'delivered'].includes(entry.event);
    const place = { first, tail, found: open.found };
    const why = tail && rows.isWaiting(entry) && peer.talk.error;
    const stamp = JSON.stringify([entry.event, place, tail && states[at], why, entry.reason, peer.name]);
    shown.push({ key: keyFor(entry), stamp, make: () => rows.entry(entry, peer, place, deeds) });
    before = entry;
  });
  return shown;
}

// The job that the peer's outgoing transfer is of: the first one that waits. The transfer shows in its place.
const isMoving = (entry, peer) => entry.event === 'file-queued' && state.isLive
  && open.waiting.find(({ event, state: now }) => event === 'file-queued' && now === 'waiting')?.number === entry.number
  && of('transfer', peer.key).some(({ direction }) => direction === 'out');

// What is told while it happens, and is not in the log.
function live(peer) {
  if (open.newer || !state.isLive) return [];
  const row = (kind, id, stamp, data, make) => ({ key: kind + id, stamp, data, make });
  return [
    ...of('transfer', peer.key).map(one => row('t', one.number, `${one.bytes} ${one.rate} ${one.taken}`, one, () => cards.transfer(one))),
    ...uploads(peer.key).map(one => row('u', one.id, String(one.bytes), one, () => cards.upload(one))),
    ...of('offer', peer.key).map(one => row('a', one.number, '', one, () => cards.offer(one, peer.name))),
  ];
}

function draw() {
  const peer = open && friend(open.key);
  $('talk').hidden = !peer;
  if (!peer) return;
  drawWho(peer);
  $('log').setAttribute('aria-label', `Messages with ${peer.name}`);
  $('log').setAttribute('aria-busy', String(open.isLoading));
  if (open.isLoading) return log.show([plain(`loading${open.key}`, rows.skeleton)]);
  if (open.failed) {
    return log.show([plain('failed', () => rows.failed(peer, open.failed, () => openTalk(open.key)), open.failed.message)]);
  }
  const list = [...describe(peer), ...live(peer)];
  const isEmpty = list.length === 0;
  log.show([open.older ? plain('top', rows.older) : plain('start', () => rows.beginning(peer, isEmpty), `${peer.name} ${isEmpty}`), ...list]);
  drawDown();
}

function drawDown() {
  const down = $('down'), asks = asksBelow();
  down.hidden = asks.length === 0 && !open.newer && (log.isAtEnd() || open.entries.length === 0);
  const isUnread = entry => entry.seq > open.seen && !rows.isMine(entry);
  const count = open.newer ? friend(open.key)?.talk.unread ?? 0 : open.entries.filter(isUnread).length;
  const files = asks.reduce((sum, { files }) => sum + files, 0);
  const words = files ? `${plural(files, 'file')} to accept` : count ? `${count} new` : open.newer ? 'Newest' : '';
  down.classList.toggle('asks', files > 0);
  if (down.hidden || down.dataset.words === words) return;
  down.dataset.words = words;
  down.setAttribute('aria-label', files ? `${words}, go there` : count ? `${plural(count, 'new message')}, go to the end` : 'Go to the end');
  put(down, words, icon('down'));
}

// Questions of the peer that are not on the screen.
const asksBelow = () => of('offer', open.key).filter(({ number }) => open.newer || !log.isOnScreen(`a${number}`));

$('down').addEventListener('click', () => {
  const [ask] = asksBelow();
  if (open.newer) openTalk(open.key, { end: true });
  else if (ask) return log.goTo(`a${ask.number}`, true), notice();
  else log.goToEnd(), notice();
  $('log').focus({ preventScroll: true });
});

// Marks as read what is on the screen of somebody who looks at it.
function notice() {
  const mine = open;
  if (!mine || mine.isLoading || $('talk').hidden) return;
  const last = hasEyes() ? lastOnScreen() : undefined;
  if (last > mine.seen) {
    mine.seen = last;
    clearTimeout(mine.reading);
    mine.reading = setTimeout(() => post('read', { peer: mine.key, seq: last }).catch(() => {}), 120);
  }
  drawDown();
}

function lastOnScreen() {
  if (log.isAtEnd() && !open.newer) return open.entries.at(-1)?.seq;
  const seqs = new Map(open.entries.map(entry => [keyFor(entry), entry.seq]));
  for (const key of log.visible()) if (seqs.has(key)) return seqs.get(key);
}

log.onScroll(() => {
  if (!open || open.isLoading) return;
  if (open.older && log.isNearTop()) grow('older');
  if (open.newer && log.isNearEnd()) grow('newer');
  notice();
});
addEventListener('focus', notice);
document.addEventListener('visibilitychange', notice);
onEnd(ended => { if (open && keyOf(ended) === open.key) refresh(); });
// "Next try in 40 s" and the like.
setInterval(() => { const peer = open && friend(open.key); if (peer) drawWho(peer); }, 5000);

onChange(changes => {
  if (!open || !friend(open.key)) return;
  if (changes.has('live') && state.isLive && open.failed) return openTalk(open.key);
  if (changes.has('conversation') && changes.has(open.key) || changes.has('live')) refresh();
  if (['all', open.key, 'here', 'away', 'live', 'transfer', 'offer', 'upload', 'peer'].some(what => changes.has(what))) draw();
});

export function closeTalk() {
  open = state.open = null;
  $('talk').hidden = true;
}
