// The outbox and the transfers of all peers, each a place of its own.

import { get, post } from './api.js';
import { offer, progress, titleOf } from './cards.js';
import { $, button, el, face, icon, iconButton, put, tell } from './dom.js';
import { friend, friends, keyOf, onChange, onEnd, state } from './state.js';
import { clean } from './text.js';
import { ahead, size, span } from './words.js';
import { why } from './why.js';

let waiting = null;
// Transfers that ended while this page was open, newest first.
const ended = [];
onEnd(one => { ended.unshift(one); ended.length = Math.min(ended.length, 20); });

const nameOf = one => friend(keyOf(one))?.name ?? clean(one.peer);
const from = one => `${one.direction === 'out' ? 'to' : 'from'} ${nameOf(one)}`;
const words = (...parts) => parts.filter(Boolean).join(' · ');

export function openPlace(name) {
  state.place = name;
  $('place').hidden = false;
  look();
}

export function closePlace() {
  state.place = null;
  $('place').hidden = true;
}

async function look() {
  try {
    waiting = (await get('outbox')).filter(({ event }) => event !== 'end');
  } catch (error) {
    if (error.http) tell(error);
  }
  draw();
}

function draw() {
  if (!state.place || !waiting) return;
  const focus = document.activeElement?.dataset?.deed, title = state.place === 'outbox' ? 'Outbox' : 'Transfers';
  const back = iconButton('back', 'Back to the conversations', () => { location.hash = ''; }, { class: 'icon back' });
  put($('place'), el('header', 'bar', back, el('h2', null, title)), state.place === 'outbox' ? outbox() : transfers());
  if (focus) $('place').querySelector(`[data-deed="${focus}"]`)?.focus();
}

// A button that keeps the focus when the place is drawn anew.
const deed = (id, kind, label, path, fields) => button(kind, label, () => post(path, fields).catch(tell), { 'data-deed': id });
const cancel = ({ number }) => deed(`c${number}`, 'plain', 'Cancel', 'cancel', { number });
const line = (what, below, ...deeds) => el('div', 'line', el('span', { class: 'what', dir: 'auto' }, clean(what)),
  el('small', 'quiet', below), el('span', 'row', deeds));
const nothing = (picture, title, text) => el('div', 'none', icon(picture), el('h2', null, title), el('p', null, text));

function outbox() {
  const groups = friends().map(peer => [peer, waiting.filter(one => keyOf(one) === peer.key)]).filter(([, list]) => list.length > 0);
  if (groups.length === 0) {
    return nothing('outbox', 'Nothing waits', 'What cannot be delivered yet waits here, and goes out by itself when the other side can be reached.');
  }
  return groups.flatMap(([peer, list]) => [
    el('h3', 'row', face(peer), el('span', { class: 'cut', dir: 'auto' }, peer.name)),
    el('div', 'row small quiet', el('span', 'grow', reason(peer)),
      button('link', 'Why?', () => why(list[0], peer), { 'data-deed': `w${peer.key}` }),
      deed(`t${peer.key}`, 'link', 'Try now', 'retry', { peer: peer.key })),
    ...list.map(one => one.event === 'queued' ? line(one.text, `written ${span(one.age)} ago`, cancel(one))
      : line(titleOf(one), words(size(one.size), stopped(one), `${span(one.age)} ago`), cancel(one))),
  ]);
}

const stopped = ({ state: now, reason }) => now !== 'waiting' && clean(reason ?? now);

function reason({ here, talk, name }) {
  if (here) return 'On its way.';
  if (!state.node.runs) return 'Waits until egoat runs again on this computer.';
  const next = ahead(talk.next);
  return `Waits for ${name}.${next ? ` Next try in ${next}.` : ''}`;
}

function transfers() {
  const jobs = waiting.filter(({ event }) => event === 'file-queued');
  const retry = one => stopped(one) && deed(`r${one.number}`, 'plain', 'Try again', 'retry', { peer: keyOf(one) });
  // How a transfer ended stands in the log of its conversation.
  const show = one => button('plain', 'Show', () => { location.hash = `#/${keyOf(one)}`; });
  const parts = [
    ['Asked', [...state.offer.values()].map(one => el('div', null, el('small', 'quiet', from(one)), offer(one, nameOf(one))))],
    ['Now', [...state.transfer.values()].map(one => line(one.title, words(from(one), progress(one)),
      deed(`s${one.number}`, 'plain', 'Stop', 'stop', { number: one.number })))],
    ['Waiting', jobs.map(one => line(titleOf(one), words(`to ${nameOf(one)}`, size(one.size), stopped(one)), retry(one), cancel(one)))],
    ['Ended', ended.map(one => line(one.title, words(from(one), one.total && size(one.total)), show(one)))],
  ].filter(([, list]) => list.length > 0);
  if (parts.length > 0) return parts.flatMap(([title, list]) => [el('h3', null, title), ...list]);
  return nothing('moves', 'Nothing moves', 'Drop files on a conversation to send them. Sizes, speed and time left show here and there.');
}

onChange(changes => {
  if (!state.place) return;
  if (changes.has('conversation') || changes.has('live')) look();
  else if (['transfer', 'offer', 'here', 'away', 'node'].some(what => changes.has(what))) draw();
});
