// Ctrl+K: goes to a conversation by a part of its name, and searches what was said, in all conversations or in one.

import { get } from './api.js';
import { $, el, face, icon, modal, put } from './dom.js';
import { friend, friends } from './state.js';
import { clean, marked } from './text.js';
import { brief, leaf } from './words.js';

// How long typing may pause before a search begins, in milliseconds.
const PAUSE = 160;

// A part of the text around what was found, as long as a line.
function around(text, wanted) {
  const flat = clean(text).replace(/\s+/g, ' '), at = flat.toLowerCase().indexOf(wanted.toLowerCase());
  const from = Math.max(0, at - 40);
  return (from > 0 ? '…' : '') + flat.slice(from, from + 160);
}

export function openFinder(scope) {
  if ($('finder')) return $('finder').close();
  const inside = scope && friend(scope);
  const list = el('ul', { role: 'listbox', id: 'hits', 'aria-label': 'Results' });
  const input = el('input', {
    type: 'text', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'hits', autocomplete: 'off', spellcheck: 'false', dir: 'auto',
    placeholder: inside ? `Search what was said with ${inside.name}` : 'Go to somebody, or search what was said',
    'aria-label': inside ? `Search with ${inside.name}` : 'Search',
  });
  const box = el('dialog', { id: 'finder', 'aria-label': 'Search' }, input, list);
  let timer, asked = 0, people = [], hits = null, at = 0;

  const go = hash => { box.close(); location.hash = hash; };
  const hit = (peer, title, below, when, hash) => el('li', { class: 'hit', role: 'option', onclick: () => go(hash) },
    face(peer), el('span', 'cut', title, below), el('small', null, when));
  const person = (peer, wanted) => hit(peer, el('span', { dir: 'auto' }, marked(peer.name, wanted)), null,
    peer.here ? 'here' : '', `#/${peer.key}`);
  const record = (one, wanted) => hit(friend(one.peer_key) ?? { name: one.peer }, clean(one.peer),
    el('small', { class: 'cut', dir: 'auto' }, marked(around(one.text ?? leaf(one.path), wanted), wanted)),
    brief(one.time), `#/${one.peer_key}/${one.seq}/${encodeURIComponent(wanted)}`);
  const options = () => [...list.querySelectorAll('.hit')];

  function draw() {
    const wanted = input.value.trim();
    put(list,
      people.length > 0 && wanted && el('li', { class: 'head', role: 'presentation' }, 'Conversations'),
      ...people.map(peer => person(peer, wanted)),
      hits?.length > 0 && el('li', { class: 'head', role: 'presentation' }, 'Messages and files'),
      ...(hits ?? []).map(one => record(one, wanted)));
    if (list.children.length === 0) {
      const words = !wanted ? 'Type a word of what was said.' : hits ? `Nothing with “${wanted}”.` : el('span', 'wait');
      put(list, el('li', { class: 'empty', role: 'presentation' }, words));
    }
    select(Math.min(at, options().length - 1));
  }

  function select(next) {
    const all = options();
    at = all.length ? (next + all.length) % all.length : 0;
    all.forEach((one, number) => { one.id = `hit${number}`; one.setAttribute('aria-selected', String(number === at)); });
    if (all[at]) input.setAttribute('aria-activedescendant', `hit${at}`), all[at].scrollIntoView({ block: 'nearest' });
    else input.removeAttribute('aria-activedescendant');
  }

  async function search(wanted, mine) {
    const found = await get('search', { text: wanted, peer: scope, limit: 50 }).catch(() => []);
    if (mine !== asked) return;
    hits = found.filter(({ event }) => event !== 'end').reverse();
    draw();
  }

  function typed() {
    const wanted = input.value.trim(), low = wanted.toLowerCase();
    people = inside ? [] : friends().filter(peer => !low || peer.name.toLowerCase().includes(low)).slice(0, wanted ? 6 : 9);
    clearTimeout(timer);
    const mine = ++asked;
    at = 0;
    if (wanted.length < 2) hits = wanted ? [] : null;
    else timer = setTimeout(() => search(wanted, mine), PAUSE), hits = hits?.length ? hits : null;
    draw();
  }

  input.addEventListener('input', typed);
  input.addEventListener('keydown', event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) event.preventDefault(), select(at + step);
    else if (event.key === 'Enter' && !event.isComposing) event.preventDefault(), options()[at]?.click();
  });
  box.addEventListener('click', event => { if (event.target === box) box.close(); });
  modal(box).then(() => { clearTimeout(timer); asked++; });
  typed();
  input.focus();
}

addEventListener('finder', event => openFinder(event.detail));
addEventListener('keydown', event => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') event.preventDefault(), openFinder();
});
$('find').prepend(icon('search'));
$('find').addEventListener('click', () => openFinder());
