// The rows of messages, and what became of each: when, whether it arrived, why not, and what can be done.

import { button, copy, el, explain, face, icon, iconButton, menu } from './dom.js';
import { file, job } from './cards.js';
import { reaches, state } from './state.js';
import { isEmoji, rich } from './text.js';
import { brief, exact, sameDay, time } from './words.js';
import { why } from './why.js';

export const isMine = ({ event }) => event !== 'received' && event !== 'file-received';
export const isFile = ({ event }) => event.startsWith('file-');
export const isWaiting = ({ event }) => ['queued', 'file-queued', 'saving'].includes(event);

// From these on, in microseconds, a message of a peer shows when it was written, and beside it when it arrived.
const SHORT = 60e6, LONG = 10 * 60e6;
// When the clock of the peer is ahead, the arrival shows.
const isLate = ({ time: at, said, event }, from = SHORT) => event === 'received' && Boolean(said && at) && at - said >= from;
// A time, with its day where that is another than the other's.
const apart = (at, other) => sameDay(at, other) ? time(at) : `${brief(at)}, ${time(at)}`;

// What became of one of ours: [picture, words, is bad].
export function status(entry, peer) {
  switch (entry.event) {
    case 'saving': return entry.failed ? ['warn', 'Not sent', true] : ['away', state.isLive ? 'Saving' : 'Not sent yet'];
    case 'queued': return reaches(peer) ? ['send', 'On its way'] : ['away', 'Waits'];
    case 'delivered': return ['done', 'Delivered'];
    case 'cancelled': return ['close', 'Cancelled, not sent'];
    case 'expired': return ['close', 'Expired, not sent', true];
    case 'file-delivered': return ['done', 'In place and verified'];
    case 'file-queued':
      if (entry.state === 'waiting') return ['away', 'Waits'];
      return entry.state === 'refused' ? ['block', `Refused by ${peer.name}`, true] : ['warn', 'Changed, not sent', true];
    default: return null;
  }
}

// The line below the last of some messages that belong together.
function meta(entry, peer, deeds) {
  const line = el('div', 'meta'), at = entry.time ?? entry.queued, became = status(entry, peer);
  if (at) line.append(el('time', { title: title(entry) }, time(isLate(entry) ? entry.said : at)));
  if (isLate(entry, LONG)) line.append(el('span', { 'aria-hidden': 'true' }, '·'), el('span', null, `arrived ${apart(at, entry.said)}`));
  if (!became) return line;
  const [picture, words, isBad] = became;
  if (isBad) line.classList.add('bad');
  if (at) line.append(el('span', { 'aria-hidden': 'true' }, '·'));
  line.append(icon(picture), el('span', null, words));
  for (const [label, deed] of choicesOf(entry, peer, deeds)) line.append(button('link', label, deed));
  return line;
}

function choicesOf(entry, peer, deeds) {
  switch (entry.event) {
    case 'saving':
      return entry.failed ? [
        ['Why?', () => explain('This message is not sent', [entry.failed, entry.hint].filter(Boolean).join(' '))],
        ['Try again', () => deeds.again(entry)],
      ] : [];
    case 'queued':
    case 'file-queued':
      return [
        (entry.reason || !reaches(peer)) && ['Why?', () => why(entry, peer)],
        [entry.state && entry.state !== 'waiting' ? 'Remove' : 'Cancel', () => deeds.cancel(entry)],
        entry.event === 'file-queued' && entry.state !== 'waiting' && ['Try again', deeds.retry],
      ].filter(Boolean);
    case 'cancelled':
    case 'expired': return [['Send again', () => deeds.resend(entry)]];
    default: return [];
  }
}

// One of the log, of what waits, or of what is not saved yet. `place` says whether it is the first or the last (tail) of
// some that belong together, and what was searched for.
export function entry(entry, peer, place, deeds) {
  const row = entry.event === 'file-queued' ? job(entry) : isFile(entry) ? file(entry, peer) : message(entry, peer, place, deeds);
  row.classList.toggle('me', isMine(entry));
  row.classList.toggle('first', place.first);
  if (place.tail) row.append(meta(entry, peer, deeds));
  return row;
}

function message(entry, peer, place, deeds) {
  const said = el('div', { class: 'say', dir: 'auto' }, rich(entry.text, place.found));
  const row = el('div', { class: 'msg', role: 'article', tabindex: '-1', title: title(entry) },
    el('span', 'hush', isMine(entry) ? 'You: ' : `${peer.name}: `), said);
  const more = iconButton('more', 'More', () => choose(more), { class: 'icon acts', tabindex: '-1', 'aria-haspopup': 'menu' });
  const choose = at => menu(at, [
    ['copy', 'Copy text', () => copy(entry.text)],
    entry.event === 'queued' && ['close', 'Cancel', () => deeds.cancel(entry)],
    entry.failed && ['trash', 'Remove', () => deeds.drop(entry)],
    entry.time && title(entry),
  ]);
  said.append(more);
  row.more = () => choose(row);
  row.classList.toggle('big', isEmoji(entry.text));
  row.classList.toggle('faint', isWaiting(entry));
  return row;
}

// A message that was long on its way has two times.
function title(entry) {
  const at = entry.time ?? entry.queued;
  return isLate(entry) ? `Written ${apart(entry.said, at)}, arrived ${apart(at, entry.said)}\n${exact(at)}` : at ? exact(at) : '';
}

// What stands above all messages, or in their place.
export const older = () => el('div', 'top', el('span', { class: 'wait', role: 'img', 'aria-label': 'Loading older messages' }));
export const skeleton = () => el('div', { class: 'skel', role: 'img', 'aria-label': 'Loading' }, [1, 2, 3, 4].map(() => el('i')));
export const failed = ({ name }, { message, hint }, again) => el('div', 'hello', icon('warn'),
  el('b', { dir: 'auto' }, `What was said with ${name} cannot be shown`), el('p', 'quiet', `${message} ${hint ?? ''}`),
  button('plain', 'Try again', again));
export const beginning = (peer, isEmpty) => isEmpty
  ? el('div', 'hello', face({ ...peer, here: null }), el('b', { dir: 'auto' }, `Say hello to ${peer.name}`),
    el('p', 'quiet', `What you write goes from this computer to ${peer.name}’s, and nowhere else.`))
  : el('div', 'note', `This is where your conversation with ${peer.name} begins.`);
