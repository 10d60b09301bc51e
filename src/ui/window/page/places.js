// The outbox and the transfers of all peers, each a place of its own.

import { get, post } from './api.js';
import { offer, progress, stop, stoppedHere, titleOf } from './cards.js';
import { $, button, el, face, icon, iconButton, put, tell } from './dom.js';
import { friend, friends, keyOf, of, onChange, onEnd, reaches, state } from './state.js';
import { clean } from './text.js';
import { ahead, leaf, size, span } from './words.js';
import { why } from './why.js';

let waiting = null;
// Transfers that ended while this page was open, newest first.
const ended = [];
// By its number, the last record of the log when a transfer was first seen: the record of its file comes behind.
const begun = new Map();
onEnd(one => {
  ended.unshift({ ...one, since: begun.get(one.number) ?? 0, at: Date.now() });
  ended.length = Math.min(ended.length, 20);
  begun.delete(one.number);
});
// What was only interrupted or refused is still in the outbox, and shows there.
const isJob = (job, one) => job.event === 'file-queued' && keyOf(job) === keyOf(one) && clean(titleOf(job)) === clean(one.title);
const isOver = one => one.direction === 'in' || !waiting.some(job => isJob(job, one));

// Only the log knows whether files are in place. Their record may come a moment after the end of the transfer.
async function judge(one) {
  if (one.isWhole || !keyOf(one) || Date.now() - one.at > 60000) return;
  const event = one.direction === 'out' ? 'file-delivered' : 'file-received';
  const isIt = record => record.event === event && clean(one.title).startsWith(clean(leaf(record.path)).replace(/[/\\]$/, ''));
  one.isWhole = (await get('log', { peer: keyOf(one), after: one.since })).some(isIt);
}

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
    await Promise.all(ended.map(judge));
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
const cancel = one => deed(`c${one.number}`, 'plain', stopped(one) ? 'Remove' : 'Cancel', 'cancel', { number: one.number });
const line = (what, below, ...deeds) => el('div', 'line', el('span', { class: 'what', dir: 'auto' }, clean(what)),
  el('small', 'quiet', below), el('span', 'row', deeds));
// How it ended stands out, in words and colour.
const ill = (words, below) => [el('b', 'err', words), below && ` · ${below}`];
const nothing = (picture, title, text) => el('div', 'none', icon(picture), el('h2', null, title), el('p', null, text));

function outbox() {
  const groups = friends().map(peer => [peer, waiting.filter(one => keyOf(one) === peer.key)]).filter(([, list]) => list.length > 0);
  if (groups.length === 0) {
    return nothing('outbox', 'Nothing waits', 'What cannot be delivered yet waits here, and goes out by itself when the other side can be reached.');
  }
  return groups.flatMap(([peer, list]) => [
    el('h3', 'row', face(peer), el('span', { class: 'cut', dir: 'auto' }, peer.name)),
    el('div', 'row small quiet', el('span', 'grow', reason(peer, list)),
      button('link', 'Why?', () => why(list.find(one => !stopped(one)) ?? list[0], peer), { 'data-deed': `w${peer.key}` }),
      deed(`t${peer.key}`, 'link', 'Try now', 'retry', { peer: peer.key })),
    ...list.map(one => one.event === 'queued' ? line(one.text, `written ${span(one.age)} ago`, cancel(one))
      : stopped(one) ? halted(one) : line(titleOf(one), words(size(one.size), `${span(one.age)} ago`), cancel(one))),
  ]);
}

const stopped = ({ event, state: now }) => event === 'file-queued' && now !== 'waiting';
const again = one => deed(`r${one.number}`, 'plain', 'Try again', 'retry', { peer: keyOf(one) });
// Files that were refused, or have changed: they wait for the user.
const halted = one => line(titleOf(one), ill(one.state === 'refused' ? `Refused by ${nameOf(one)}` : 'Changed, not sent',
  // The reason begins with what stands before it here.
  words(size(one.size), one.reason && clean(one.reason).replace(/^.* refused: /, ''))), again(one), cancel(one));

function reason(peer, list) {
  const { talk, name } = peer;
  if (list.every(stopped)) return 'Waits for you: try again, or remove it.';
  const isAsked = of('transfer', peer.key).some(({ direction, taken }) => direction === 'out' && !taken);
  if (reaches(peer)) return isAsked ? `Waits for ${name} to accept.` : 'On its way.';
  if (!state.node.runs) return 'Waits until egoat runs again on this computer.';
  const next = ahead(talk.next);
  return `Waits for ${name}.${next ? ` Next try in ${next}.` : ''}`;
}

function became(one) {
  if (one.isWhole) return words('In place and verified', from(one), one.total && size(one.total));
  return stoppedHere.has(one.number) ? words('Stopped', from(one)) : ill('Not finished', from(one));
}

function transfers() {
  const jobs = waiting.filter(({ event }) => event === 'file-queued');
  // The first job that waits for a peer is the one that moves.
  const first = job => jobs.find(one => !stopped(one) && keyOf(one) === keyOf(job));
  const moves = job => first(job) === job && [...state.transfer.values()].some(one => one.direction === 'out' && keyOf(one) === keyOf(job));
  // How a transfer ended stands in the log of its conversation.
  const show = one => button('plain', 'Show', () => { location.hash = `#/${keyOf(one)}`; });
  const parts = [
    ['Asked', [...state.offer.values()].map(one => el('div', null, el('small', 'quiet', from(one)), offer(one, nameOf(one))))],
    ['Now', [...state.transfer.values()].map(one => line(one.title, words(from(one), progress(one)),
      button('plain', 'Stop', () => stop(one.number), { 'data-deed': `s${one.number}` })))],
    ['Not sent', jobs.filter(stopped).map(halted)],
    ['Waiting', jobs.filter(one => !stopped(one) && !moves(one)).map(one => line(titleOf(one), words(`to ${nameOf(one)}`, size(one.size)), cancel(one)))],
    ['Ended', ended.filter(isOver).map(one => line(one.title, became(one), show(one)))],
  ].filter(([, list]) => list.length > 0);
  if (parts.length > 0) return parts.flatMap(([title, list]) => [el('h3', null, title), ...list]);
  return nothing('moves', 'Nothing moves', 'Drop files on a conversation to send them. Sizes, speed and time left show here and there.');
}

onChange(changes => {
  for (const one of state.transfer.values()) if (!begun.has(one.number)) begun.set(one.number, state.conversation.get(keyOf(one))?.last ?? 0);
  if (!state.place) return;
  if (['conversation', 'live', 'ended'].some(what => changes.has(what))) look();
  else if (['transfer', 'offer', 'here', 'away', 'node'].some(what => changes.has(what))) draw();
});
