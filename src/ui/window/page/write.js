// What is being written: a draft for each conversation, the keys, and pasted things.

import { $, button, el, icon, iconButton, put } from './dom.js';
import { drop, pick, take } from './files.js';
import { join } from './add.js';
import { say } from './talk.js';
import { friend, state } from './state.js';
import { isEgoatLink } from './text.js';

const draftAt = key => `egoat.draft.${key}`;
export const draft = key => localStorage.getItem(draftAt(key)) ?? '';

const area = el('textarea', { rows: 1, dir: 'auto', autocomplete: 'off', enterkeyhint: 'send' });
const send = el('button', { class: 'main send', 'aria-label': 'Send', title: 'Send (Enter)' }, icon('send'));
const tray = el('div'), offer = el('div');
let shownFor = null;

const attach = iconButton('attach', 'Attach files or a folder', () => pick(attach), { 'aria-haspopup': 'menu' });
put($('write'), tray, offer, el('div', 'box', attach, area, send),
  el('div', 'tip', 'Enter sends, Shift+Enter breaks the line. Drop files or folders anywhere.'));

// Shows the draft of the open conversation.
export function showDraft() {
  const key = state.open, peer = key && friend(key);
  if (!peer) return;
  area.placeholder = `Message ${peer.name}`;
  area.setAttribute('aria-label', `Message to ${peer.name}`);
  area.disabled = Boolean(peer.blocked);
  if (shownFor === key) return;
  shownFor = key;
  area.value = draft(key);
  changed();
  if (matchMedia('(pointer:fine)').matches && !document.querySelector('dialog[open]')) area.focus({ preventScroll: true });
}
export const forgetDraft = () => { shownFor = null; };

function changed() {
  send.disabled = area.value.trim() === '';
  // Where the browser does not do it by `field-sizing`.
  if (!CSS.supports('field-sizing', 'content')) area.style.height = 'auto', area.style.height = `${area.scrollHeight}px`;
  offerLink();
}

area.addEventListener('input', () => {
  if (area.value) localStorage.setItem(draftAt(shownFor), area.value);
  else localStorage.removeItem(draftAt(shownFor));
  dispatchEvent(new CustomEvent('draft'));
  changed();
});

addEventListener('storage', event => {
  if (shownFor && event.key === draftAt(shownFor) && document.activeElement !== area) {
    area.value = event.newValue ?? '';
    changed();
  }
  if (event.key?.startsWith('egoat.draft.')) dispatchEvent(new CustomEvent('draft'));
});

// A link for pairing is a secret for one guest. It is offered as joining, and never sent.
function offerLink() {
  const isLink = isEgoatLink(area.value);
  if (isLink === offer.hasChildNodes()) return;
  put(offer, isLink && el('div', { class: 'joinlink', role: 'status' }, icon('go'),
    el('span', 'grow', 'This is a link for pairing. It is not sent: whoever sees it could use it.'),
    button('main', 'Join with it', () => { const link = area.value.trim(); empty(); join(link); })));
}

function empty() {
  area.value = '';
  area.dispatchEvent(new Event('input'));
}

area.addEventListener('keydown', event => {
  // While a word is composed, Enter ends the word. Safari says so by the code 229 alone.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  submit();
});
$('write').addEventListener('submit', event => { event.preventDefault(); submit(); });

function submit() {
  const text = area.value;
  if (text.trim() === '' || !state.open) return;
  if (isEgoatLink(text)) return offer.querySelector('.main').focus();
  empty();
  say(text);
}

area.addEventListener('paste', event => {
  if (event.clipboardData.files.length === 0) return;
  event.preventDefault();
  take(event.clipboardData);
});

drop(tray);
