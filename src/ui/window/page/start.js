// What shows before there are conversations: the first start, a sealed home, and a page that has no session.

import { post } from './api.js';
import { how } from './back.js';
import { button, $, el, put } from './dom.js';
import { nameField } from './name.js';
import { showJoin, showLink, ways } from './add.js';
import { state } from './state.js';

let shown = null;
// Made once: a program that has ended gives no picture any more.
const mark = el('img', { class: 'mark', src: 'icon.svg', alt: '' });

function sheet(name, ...parts) {
  if (shown === name) return false;
  shown = name;
  document.body.dataset.view = 'start';
  $('app').hidden = true;
  $('start').hidden = false;
  put($('start'), el('div', { role: 'main' }, mark, ...parts));
  $('start').querySelector('input,textarea,.main')?.focus();
  return true;
}

export function leaveStart() {
  shown = null;
  $('start').hidden = true;
  $('app').hidden = false;
}
export const isAtStart = name => shown === name;

export const loading = () => sheet('loading', el('p', null, el('span', 'wait'), ' Opening'));

export const ended = () => sheet('ended', el('h2', null, 'Open this page anew'),
  el('p', null, 'For your safety, this page opens only by an address that egoat has just made. Start egoat again as you did before.'),
  how(), el('p', null, 'What you have written and not sent is still here, and goes out then.'));

export const elsewhere = () => sheet('elsewhere', el('h2', null, 'egoat is open in other tabs'),
  el('p', null, 'A browser can keep a few of them up to date, not more. Close one of them, or go on there.'),
  button('main', 'Try again', () => location.reload()));

export const unreachable = () => sheet('unreachable', el('h2', null, 'egoat has stopped on this computer'),
  el('p', null, 'Or it is busy: this page tries again by itself. If it stays so, start egoat again as you did before.'), how());

export function sealed() {
  const input = el('input', { type: 'password', id: 'pass', autocomplete: 'current-password' });
  const told = el('p', { class: 'err', role: 'alert' });
  const open = async event => {
    event.preventDefault();
    go.disabled = true;
    put(told);
    try {
      await post('unlock', { passphrase: input.value });
    } catch (error) {
      put(told, error.http === 400 ? 'This passphrase is wrong. Try again.' : `${error.message} ${error.hint ?? ''}`);
      input.select();
    }
    go.disabled = false;
  };
  const go = el('button', { class: 'main' }, 'Open');
  sheet('sealed', el('h2', null, 'Your passphrase'), el('p', null, 'What was said here is sealed. Nothing of it is known to this page before you open it.'),
    el('form', { onsubmit: open }, el('label', { class: 'field', for: 'pass' }, 'Passphrase'), input, told, el('div', 'row', go)));
}

// `done` ends the first start: the user has somebody to talk to, or wants to look around. `link` is one to join with.
export function first(done, link) {
  const { input, told, save } = nameField('Friends', state.window.name, { id: 'first', autocomplete: 'nickname' });
  const below = el('div');
  const named = () => save(async name => {
    if (name !== state.window.named) await post('name', { name });
    state.window.named = name;
  });
  const isNew = sheet('first', el('h2', null, 'Talk and send files, directly'),
    el('p', null, 'From this computer to a friend’s, encrypted end to end. There is no account and no server.'),
    el('label', { class: 'field', for: 'first' }, 'What should friends see?'), input, told,
    ways(async () => await named() && showLink(below), async () => await named() && showJoin(below, '', done)),
    below, button('link small', 'Look around first', async () => await named() && done()));
  if (isNew && link) showJoin(below, link, done);
}
