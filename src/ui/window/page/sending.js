// Messages between the Enter key and the disk. They stand in the browser's storage from the first moment, each with a name of
// its own, so that a reload, a crash or a lost answer neither loses one nor sends it twice.

import { post } from './api.js';
import { change, state } from './state.js';

const KEPT = 'egoat.sending';
const read = () => { try { return JSON.parse(localStorage.getItem(KEPT)) ?? []; } catch { return []; } };
let list = read();
let isBusy = false;

export const unsaved = key => list.filter(one => one.peer === key);

function keep(next) {
  list = next;
  localStorage.setItem(KEPT, JSON.stringify(list));
}

// Other tabs have theirs in the same place, so each change begins with what is there.
const update = (id, more) => keep(read().map(one => one.id === id ? { ...one, ...more } : one));

export function say(peer, text) {
  keep([...read(), { id: crypto.randomUUID(), peer, text, time: Date.now() * 1000 }]);
  change(peer);
  flush();
}

export function again(entry) {
  update(entry.id, { failed: undefined, hint: undefined });
  change(entry.peer);
  flush();
}

export function drop({ id, peer }) {
  keep(read().filter(one => one.id !== id));
  change(peer);
}

// Forgets the messages to `key` that the program tells by now, by their numbers. One that it has had for a while may stand
// further up than what is loaded.
export function settle(key, numbers) {
  const isTold = one => one.peer === key && one.saved && (numbers.has(one.number) || Date.now() - one.saved > 10000);
  if (list.some(isTold)) keep(read().filter(one => !isTold(one)));
}

// In order, one at a time.
export async function flush() {
  if (isBusy) return;
  isBusy = true;
  for (let one; (one = list.find(({ saved, failed }) => !saved && !failed));) {
    try {
      const { number } = await post('say', { peer: one.peer, text: one.text, id: one.id });
      update(one.id, { saved: Date.now(), number });
    } catch (error) {
      // Without an answer or a session it is sent again when there is one; else the user decides.
      if (!error.http || error.http === 401) break;
      update(one.id, { failed: error.message, hint: error.hint });
    }
    change(one.peer);
  }
  isBusy = false;
}

export const onLive = () => { list = read(); if (state.isLive) flush(); };
addEventListener('storage', event => {
  if (event.key !== KEPT) return;
  list = read();
  change('all');
});
