// The rows of files: what arrived, waits, moves, or is asked about.

import { post } from './api.js';
import { ask, button, copy, el, icon, iconButton, tell } from './dom.js';
import { state } from './state.js';
import { clean } from './text.js';
import { folder, leaf, plural, since, size, span } from './words.js';

const card = (picture, name, ...rest) => el('div', { class: 'msg first', role: 'article', tabindex: '-1' },
  el('div', 'card', el('span', 'ico', icon(picture)), el('b', { dir: 'auto' }, clean(name)), ...rest));

// `ssh -L` changes the port: then the folders of the program are not on the machine of the browser.
const isLocal = () => String(state.window.port) === location.port;

// A file that arrived, or that the peer has.
export function file({ event, kind, path, seq, size: bytes }, peer) {
  const isArrival = event === 'file-received', isGone = isArrival && !kind, deeds = [];
  const open = () => post('folder', { peer: peer.key, seq }).catch(error => showPath(error, kind === 'dir' ? path : folder(path)));
  if (isArrival && kind === 'file') deeds.push(iconButton('save', 'Save a copy', () => save(peer.key, seq)));
  if (isArrival && kind && isLocal()) deeds.push(iconButton('folder', 'Open folder', open));
  const row = card(kind === 'dir' ? 'folder' : 'file', leaf(path),
    el('small', null, size(bytes), isGone ? ' · not there any more' : ''), deeds.length > 0 && el('span', 'row', deeds));
  row.title = clean(path);
  return row;
}

// Where there is no desktop, the user goes to the folder by its path.
const showPath = (error, path) => ask('This folder cannot be opened from here', box => box.append(
  el('p', 'quiet', `${error.message} The folder is:`), el('div', { class: 'copy', dir: 'ltr' }, clean(path)),
  el('div', 'end', button('plain', 'Copy path', () => copy(path, 'Path copied')), button('main', 'Close', () => box.close()))));

async function save(peer, seq) {
  try {
    const { path } = await post('ticket', { peer, seq });
    el('a', { href: path, download: '' }).click();
  } catch (error) {
    tell(error);
  }
}

export const titleOf = ({ paths }) => paths.length === 1 ? leaf(paths[0]) : `${leaf(paths[0])} and ${plural(paths.length - 1, 'other')}`;

// Files that wait to be sent, or were stopped.
export function job(entry) {
  const { paths } = entry, isStopped = entry.state !== 'waiting';
  const picture = isStopped ? 'block' : paths.length > 1 || paths[0].endsWith('/') ? 'folder' : 'file';
  const row = card(picture, titleOf(entry), el('small', null, size(entry.size)));
  row.firstChild.classList.toggle('stopped', isStopped);
  row.title = paths.map(clean).join('\n');
  return row;
}

// What moves now. The card stays while numbers change, so that its button keeps the focus.
function moving(picture, isMine, title, stop, words) {
  const told = el('small'), bar = el('progress', { 'aria-label': `Progress of ${clean(title)}` });
  const row = card(picture, title, told, el('span', 'row', button('plain', 'Stop', stop)), bar);
  row.classList.toggle('me', isMine);
  row.update = one => {
    told.textContent = words(one);
    if (one.total) bar.max = one.total, bar.value = one.bytes;
  };
  return row;
}

// Numbers of transfers that the user has stopped in this page.
export const stoppedHere = new Set();
export const stop = number => { stoppedHere.add(number); post('stop', { number }).catch(tell); };

export function transfer(one) {
  const row = moving('moves', one.direction === 'out', one.title, () => stop(one.number), progress);
  row.update(one);
  return row;
}

// Files on their way from the browser to the program.
export function upload(one) {
  const row = moving('file', true, one.title, one.stop, ({ bytes, total }) => `${size(bytes)} of ${size(total)} ready to send`);
  row.update(one);
  return row;
}

export function progress({ bytes, total, rate, direction, checked, taken, peer }) {
  if (!taken) return `${size(total)} · waits for ${clean(peer)} to accept`;
  if (total && bytes >= total) return `${size(total)} · being verified${direction === 'out' ? ' there' : ''}`;
  return [
    total ? `${Math.floor(bytes / total * 100)} % of ${size(total)}` : size(bytes),
    rate > 0 ? `${size(rate)}/s` : checked ? 'comparing with what is there' : 'starting',
    rate > 0 && total ? `${span((total - bytes) / rate)} left` : '',
  ].filter(Boolean).join(' · ');
}

// A peer asks whether it may send. The question ends by itself.
export function offer({ number, title, files, bytes, until, dots }, name) {
  const decide = answer => {
    const able = yes => [...deeds.children].forEach(button => { button.disabled = !yes; });
    able(false);
    post('decide', { number, answer }).catch(error => { able(true); tell(error); });
  };
  const deeds = el('span', 'row', button('plain', 'Refuse', () => decide('refuse')), button('main', 'Accept', () => decide('accept')));
  const words = [files > 1 && plural(files, 'file'), size(bytes), until && `until ${since(until)}`].filter(Boolean).join(' · ');
  const row = card(files > 1 ? 'folder' : 'file', title, el('small', null, words), dots && el('small', null, clean(dots)), deeds);
  row.firstChild.classList.add('ask');
  row.prepend(el('span', 'hush', `${name} wants to send: `));
  return row;
}
