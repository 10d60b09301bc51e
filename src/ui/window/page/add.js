// Meeting somebody: a link for a guest, or a link from a host; and one's own name.

import { post } from './api.js';
import { ask, button, copy, el, icon, put, toast } from './dom.js';
import { nameField } from './name.js';
import { state } from './state.js';
import { clean } from './text.js';
import { span } from './words.js';

const goTo = key => { location.hash = `#/${key}`; };

// The two ways, as two buttons that say what each needs.
export const ways = (first, second) => el('div', 'choose',
  way('invite', 'Invite somebody', 'Make a link and give it to them', first),
  way('go', 'I have a link', 'Paste what a friend gave you', second));
const way = (picture, title, words, onclick) =>
  el('button', { type: 'button', onclick }, icon(picture), el('b', null, title), el('small', null, words));

export const invite = () => ask('Add somebody', box => {
  const inside = el('div');
  put(inside, el('p', 'quiet', 'Two computers pair once, by a link that works one time. Then they know each other.'),
    ways(() => showLink(inside), () => showJoin(inside, '', () => box.close())));
  box.append(inside, el('div', 'end', button('plain', 'Close', () => box.close())));
});

export const join = link => ask('Join with a link', box => {
  const inside = el('div');
  showJoin(inside, link, () => box.close());
  box.append(inside, el('div', 'end', button('plain', 'Close', () => box.close())));
});

export async function showLink(into) {
  put(into, el('p', 'quiet', el('span', 'wait'), ' Making a link'));
  try {
    const { link, seconds, note } = await post('invite');
    const copied = button('main', 'Copy link', () => copy(link, 'Link copied'));
    put(into, el('p', 'quiet', 'Give this to one person, by a way that you trust: a message, a mail, a note. ',
      `It works once, for ${span(seconds)}, and only while egoat runs here.`),
      el('div', { class: 'copy', tabindex: '0', role: 'textbox', 'aria-readonly': 'true', 'aria-label': 'Link' }, link),
      el('div', 'row', copied, el('span', 'quiet small grow', note ? clean(note) : '')),
      el('p', { class: 'quiet small', role: 'status' }, 'When they join, they show up in your list.'));
    copied.focus();
  } catch (error) {
    put(into, el('p', 'err', `${error.message} ${error.hint ?? ''}`));
  }
}

export function showJoin(into, given, done) {
  const link = el('textarea', { class: 'field mono', rows: 3, id: 'given', spellcheck: 'false', autocomplete: 'off', placeholder: 'egoat:…' });
  const told = el('p', { role: 'status' });
  link.value = given;
  const go = button('main', 'Join', async () => {
    const text = link.value.trim();
    if (!text) return link.focus();
    go.disabled = true;
    put(told, el('span', 'quiet', el('span', 'wait'), ' Calling. This takes some seconds.'));
    try {
      const paired = await post('join', { link: text });
      toast(`You and ${clean(paired.peer)} are paired`);
      done();
      goTo(paired.key);
    } catch (error) {
      refused(told, error);
      go.disabled = false;
    }
  });
  put(into, el('label', { class: 'field', for: 'given' }, 'The link that you were given'), link, el('div', 'row', go), told);
  (given ? go : link).focus();
}

// What went wrong in a person's words, and those of the program for who asks.
const PLAIN = [
  [/^This is no link/, 'This is no egoat link: copy it again, whole.'],
  [/another node has used this invite/, 'This link was already used. Ask for a new one.'],
  [/the invite has expired/, 'The time of this link is over. Ask for a new one.'],
];
function refused(into, { message, hint }) {
  const plain = PLAIN.find(([pattern]) => pattern.test(message))?.[1], words = clean([message, hint].filter(Boolean).join(' '));
  put(into, el('span', 'err', plain ?? clean(message)),
    plain ? el('details', null, el('summary', null, 'Why?'), el('p', 'quiet small', words)) : hint ? el('span', 'quiet', ` ${clean(hint)}`) : '');
}

// One's own name, and what others compare.
export const name = () => ask('You', box => {
  const { name: now, fingerprint, key } = state.window;
  const { input, told, save: take } = nameField('Friends', now, { id: 'ownname', autocomplete: 'nickname' });
  const save = () => take(async name => {
    if (name !== now) await post('name', { name });
    box.close();
  });
  input.addEventListener('keydown', event => { if (event.key === 'Enter') save(); });
  box.append(el('label', { class: 'field', for: 'ownname' }, 'What others see'), input, told,
    el('label', 'field', 'Your fingerprint'), el('div', 'digits', fingerprint ?? ''),
    el('label', 'field', 'Listens at'), el('p', 'quiet small', (state.node.addresses ?? []).map(clean).join(', ') || 'nowhere: no node runs'),
    el('label', 'field', 'Kept in'), el('p', 'quiet small', clean(state.window.home ?? '')),
    el('div', 'end', button('plain', 'Copy key', () => copy(key)), button('plain', 'Cancel', () => box.close()),
      button('main', 'Save', save)));
});
