// The list of conversations, and below it the places and the switch of notifications.

import { post } from './api.js';
import { toggleNotes, wantsNotes } from './attention.js';
import { $, button, el, face, icon, put, tell } from './dom.js';
import { invite, name as askName } from './add.js';
import { unsaved } from './sending.js';
import { friends, isHere, moment, of, onChange, reaches, state } from './state.js';
import { clean } from './text.js';
import { brief, leaf } from './words.js';
import { draft } from './write.js';

const rows = new Map();

const goesOut = ({ direction, taken }) => direction === 'out' && taken;
// What waits last, if it is newer than what was said last: [its line, what it waits for, whether that is bad].
function waits({ key, talk, ...peer }) {
  const kept = unsaved(key).findLast(({ saved }) => !saved), text = clean(kept?.text ?? talk.newest_line ?? '').split('\n')[0];
  if (kept?.failed) return [text, 'Not sent', true];
  // On the way to the disk it is for a moment only.
  if (kept) return state.isLive ? [`You: ${text}`] : [text, 'Not sent yet'];
  if (!(talk.newest > (talk.time ?? 0))) return null;
  const { newest_event: event, newest_state: now } = talk;
  if (event === 'file-queued' && now !== 'waiting') return [leaf(text), now === 'refused' ? 'Refused' : 'Not sent', true];
  if (event === 'file-queued') return [leaf(text), of('transfer', key).some(goesOut) ? 'On its way' : 'Waits'];
  return [text, reaches({ talk, ...peer }) ? 'On its way' : 'Waits'];
}

// The line below a name: [words, kind, state].
function last(peer) {
  const { last_event: event, line } = peer.talk, unsent = peer.key !== state.open && draft(peer.key);
  const [asked] = of('offer', peer.key), waiting = waits(peer);
  if (asked) return [clean(asked.title), 'asks', 'Asks to send'];
  if (unsent) return [unsent.split('\n')[0], 'draft', 'Draft'];
  if (waiting) return [waiting[0], waiting[2] ? 'bad' : 'waits', waiting[1]];
  if (!event) return ['Say hello'];
  const text = clean(line ?? '');
  if (event === 'file-received') return [`Sent ${leaf(text)}`];
  if (event === 'file-delivered') return [`You sent ${leaf(text)}`];
  return [event === 'received' ? text : `You: ${text}`];
}

function row(peer) {
  const [line, kind, became] = last(peer), count = peer.talk.unread ?? 0;
  const words = [peer.name, state.isLive && (peer.here ? 'here' : 'away'), count ? `${count} unread` : ''].filter(Boolean).join(', ');
  const badge = count > 998 ? '999+' : String(count);
  return el('li', null, el('button', {
    class: `conv${count ? ' unread' : ''}`, 'data-peer': peer.key, 'aria-current': peer.key === state.open && 'true',
    onclick: () => { location.hash = `#/${peer.key}`; },
  }, face({ ...peer, here: isHere(peer) }),
  el('span', { class: 'name cut', dir: 'auto' }, el('span', { 'aria-hidden': 'true' }, peer.name), el('span', 'hush', words)),
  el('time', 'when', brief(moment(peer))),
  el('span', { class: `last cut ${kind ?? ''}` }, became && el('b', null, `${became}: `), el('bdi', null, line)),
  count > 0 && el('span', { class: `badge${peer.mute ? ' still' : ''}`, 'aria-hidden': 'true' }, badge)));
}

export function drawList() {
  const all = friends(), list = $('list'), focused = document.activeElement?.dataset?.peer;
  const seen = new Set();
  all.forEach((peer, at) => {
    const { key, name, mute, talk } = peer;
    const stamp = JSON.stringify([name, state.isLive, isHere(peer), talk.unread, mute, last(peer), brief(moment(peer)), key === state.open]);
    const old = rows.get(peer.key);
    let node = old?.node;
    if (!node || old.stamp !== stamp) {
      node = row(peer);
      old?.node.replaceWith(node);
      rows.set(peer.key, { node, stamp });
    }
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
    seen.add(peer.key);
  });
  for (const [key, { node }] of rows) if (!seen.has(key)) node.remove(), rows.delete(key);
  if (focused && document.activeElement.dataset.peer !== focused) rows.get(focused)?.node.firstChild.focus({ preventScroll: true });
}

$('list').addEventListener('keydown', event => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...$('list').querySelectorAll('.conv')];
  all[all.indexOf(document.activeElement) + step]?.focus();
});

// Strangers who ask to be a peer.
let asked = '';
function drawAsks() {
  const stamp = [...state.request.keys()].join();
  if (asked === stamp) return;
  asked = stamp;
  put($('asks'), [...state.request.values()].map(one => el('div', { class: 'ask', role: 'group', 'aria-label': 'Request' },
    el('div', null, el('b', { dir: 'auto' }, clean(one.name)), ' wants to be a peer'),
    el('div', 'mono small quiet', one.fingerprint),
    el('div', 'row', button('main', 'Accept', () => post('accept', { fingerprint: one.fingerprint }).catch(tell)),
      el('span', 'quiet small grow', 'Compare the fingerprint first.')))));
}

let drawn = '';
function drawPlaces() {
  const waits = [...state.conversation.values()].reduce((sum, talk) => sum + talk.messages + talk.transfers + talk.stopped, 0);
  const moves = state.transfer.size + state.offer.size;
  const stamp = [waits, moves, state.place, wantsNotes()].join('|');
  if (drawn === stamp) return;
  drawn = stamp;
  const at = document.activeElement?.dataset?.place;
  const row = (name, picture, label, count, more) => el('button', { 'data-place': name, ...more },
    icon(picture), el('span', 'grow', label), count > 0 && el('span', 'badge still', String(count)));
  const place = (name, picture, label, count) => row(name, picture, label, count,
    { 'aria-current': state.place === name && 'true', onclick: () => { location.hash = `#${name}`; } });
  put($('places'), place('outbox', 'outbox', 'Outbox', waits), place('transfers', 'moves', 'Transfers', moves),
    row('alerts', 'bell', wantsNotes() ? 'Alerts on' : 'Alerts off', 0, { 'aria-pressed': String(wantsNotes()), onclick: toggleNotes }));
  if (at) $('places').querySelector(`[data-place=${at}]`)?.focus();
}

put($('add'), icon('add'), 'Add');
$('add').setAttribute('aria-label', 'Add somebody');
$('add').addEventListener('click', invite);
put($('own'), el('button', { class: 'cut soft', title: 'You: name, fingerprint', onclick: askName }, 'egoat'));

export function drawSide() {
  $('own').firstChild.textContent = clean(state.window.name || 'egoat');
  drawList();
  drawAsks();
  drawPlaces();
}
addEventListener('draft', drawList);
onChange(drawSide);
// "Yesterday" comes at midnight.
setInterval(drawList, 60000);
